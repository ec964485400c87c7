"""Lightning callbacks that prune a copy of the model, after or during training.

Imports Lightning, so ``sparsebench.pruning`` imports this module only when a callback is used.
"""

import copy
import importlib
import logging
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from sparsebench.pruning.data.base_data_scheduler import BaseDataScheduler
from sparsebench.pruning.data.base_data_sparsifier import BaseDataSparsifier

_LOGGER = logging.getLogger(__name__)
_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def _lightning() -> Any:
    """Return the Lightning package; of two installed ones, the one that is imported already."""
    for name in sorted(_PACKAGES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise  # Lightning is installed, but a module that it needs is not
    raise ImportError(
        "sparsebench.pruning: the data sparsity callbacks need Lightning, got neither of "
        f"{', '.join(_PACKAGES)}; install lightning"
    )


_Callback: Any = _lightning().callbacks.Callback


class PostTrainingDataSparsity(_Callback):  # type: ignore[misc]  # Lightning's type, imported late
    """Prunes a copy of the model when training has ended.

    Args:
        data_sparsifier_class: made when training has ended.
        data_sparsifier_args: its keyword arguments.

    Attributes:
        sparsified: the pruned copy of ``pl_module.model``, in evaluation mode; None before.
        data_sparsifier: holds the masks, each under its parameter's name, dots included.

    Source: the callback of this name under ``torch.ao.pruning._experimental``.
    """

    def __init__(
        self,
        data_sparsifier_class: type[BaseDataSparsifier],
        data_sparsifier_args: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.data_sparsifier_class = data_sparsifier_class
        self.data_sparsifier_args = data_sparsifier_args
        self.data_sparsifier: Any = None
        self.sparsified: nn.Module | None = None

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Copy, prune and squash."""
        self.sparsified = copy.deepcopy(pl_module.model).eval()
        self.data_sparsifier = self.data_sparsifier_class(**self.data_sparsifier_args)
        _add_parameters(self.sparsified, self.data_sparsifier)
        self.data_sparsifier.step()
        self.data_sparsifier.squash_mask()
        _log_sparsity(self.data_sparsifier)


class TrainingAwareDataSparsity(_Callback):  # type: ignore[misc]  # Lightning's type, imported late
    """Prunes a copy of the model after each epoch, along a schedule.

    Args:
        data_sparsifier_class, data_sparsifier_args: as in PostTrainingDataSparsity.
        data_scheduler_class: made when training starts.
        data_scheduler_args: its keyword arguments but ``data_sparsifier``.

    Attributes:
        sparsified: the pruned copy of ``pl_module.model`` after the last epoch; masks are on it
            until training ends, then it holds the zeros.
        data_sparsifier, data_scheduler: those of the copy; None before training.

    Source: the callback of this name under ``torch.ao.pruning._experimental``.
    """

    def __init__(
        self,
        data_sparsifier_class: type[BaseDataSparsifier],
        data_sparsifier_args: Mapping[str, Any],
        data_scheduler_class: type[BaseDataScheduler],
        data_scheduler_args: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.data_sparsifier_class = data_sparsifier_class
        self.data_sparsifier_args = data_sparsifier_args
        self.data_scheduler_class = data_scheduler_class
        self.data_scheduler_args = data_scheduler_args
        self.data_sparsifier: Any = None
        self.data_scheduler: Any = None
        self.sparsified: nn.Module | None = None
        self.data_sparsifier_state_dict: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make sparsifier and scheduler, and add the parameters to them."""
        self.data_sparsifier = self.data_sparsifier_class(**self.data_sparsifier_args)
        self.sparsified = copy.deepcopy(pl_module.model)
        _add_parameters(self.sparsified, self.data_sparsifier)
        settings = {**self.data_scheduler_args, "data_sparsifier": self.data_sparsifier}
        self.data_scheduler = self.data_scheduler_class(**settings)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Restore the state at the end of the last epoch."""
        if self.data_sparsifier_state_dict is not None:
            self.data_sparsifier.load_state_dict(self.data_sparsifier_state_dict)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Copy the model, update the masks of the copy, and advance the schedule."""
        self.sparsified = copy.deepcopy(pl_module.model)
        _add_parameters(self.sparsified, self.data_sparsifier)
        self.data_sparsifier.step()
        self.data_scheduler.step()
        self.data_sparsifier_state_dict = self.data_sparsifier.state_dict()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the zeros into the copy."""
        self.data_sparsifier.squash_mask()
        _log_sparsity(self.data_sparsifier)


def _add_parameters(model: nn.Module, sparsifier: BaseDataSparsifier) -> None:
    """Add, or replace, every parameter of ``model``; existing masks and settings are kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # replacing is intended here
        for name, parameter in model.named_parameters():
            sparsifier.add_data(name, parameter)


def _log_sparsity(sparsifier: BaseDataSparsifier) -> None:
    for name in sparsifier.data_groups:
        zeros = (sparsifier.get_mask(name) == 0).double().mean()
        _LOGGER.info("sparsity of %s: %.2f %%", name, 100 * zeros)
