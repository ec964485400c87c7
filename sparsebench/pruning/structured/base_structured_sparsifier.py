"""BaseStructuredSparsifier: masks on whole rows, and prune(), which takes the rows out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from sparsebench.errors import ConfigError
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier
from sparsebench.pruning.sparsifiers.state import Config
from sparsebench.pruning.structured.bias import release_bias
from sparsebench.pruning.structured.prune import prune
from sparsebench.pruning.structured.row_masks import RowMasks
from sparsebench.pruning.structured.rows import check_level


class BaseStructuredSparsifier(BaseSparsifier):
    """What all structured pruners share; a subclass defines ``update_mask``.

    ``prepare`` puts a row mask on every tensor, ``step`` has the subclass update the masks in
    place, ``prune`` takes the masked rows out of the model. On Linear and convolutions the bias of
    a masked row goes with it, unless the group says ``prune_bias=False``; on an LSTM it always
    goes.

    Args:
        defaults: configuration of every group that does not override it; ``prune_bias`` (True)
            and whatever the subclass's ``update_mask`` takes.
        patterns: must be None. Upstream's table of layer sequences has no counterpart here:
            channels are followed through the whole graph.

    Source: ``torch.ao.pruning._experimental.pruner.BaseStructuredSparsifier``.
    """

    supported_modules: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d, nn.LSTM)
    requires_level = False
    _masks = RowMasks()

    def __init__(self, defaults: Config | None = None, patterns: None = None) -> None:
        super().__init__(defaults)
        if patterns is not None:
            raise ConfigError(
                "patterns: must be None, because prune() follows channels through the whole graph "
                f"instead of matching layer sequences, got {type(patterns).__name__}"
            )

    def make_config_from_model(
        self,
        model: nn.Module,
        SUPPORTED_MODULES: Iterable[type[nn.Module]] | None = None,  # noqa: N803  # upstream's
    ) -> None:
        """Set ``config`` to the weights of every Linear, Conv2d and LSTM (both of each layer).

        Raises:
            ConfigError: ``model`` has no such module.
        """
        supported = tuple(SUPPORTED_MODULES or self.supported_modules)
        self.config = [
            {"tensor_fqn": f"{name}.{tensor_name}".lstrip(".")}
            for name, module in model.named_modules()
            if isinstance(module, supported) and not _reads_weight_elsewhere(module)
            for tensor_name in _weights(module)
        ]
        if not self.config:
            kinds = ", ".join(sorted(kind.__name__ for kind in supported))
            raise ConfigError(
                f"config: must name tensors where the model has no module of type {kinds}, got None"
            )

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError where rows of ``tensor`` cannot be masked as ``group`` says."""
        fqn, module = group["tensor_fqn"], group["module"]
        if tensor.dim() < 2:
            raise ConfigError(
                f"{fqn}: rows can be pruned of tensors with 2 or more dimensions, "
                f"got shape={tuple(tensor.shape)}"
            )
        if _reads_weight_elsewhere(module):
            raise ConfigError(
                f"{fqn}: its module's forward must be what uses it, got the output projection of "
                "an attention, which reads the weight itself; leave it out"
            )
        if self.requires_level and "sparsity_level" not in group:
            raise ConfigError(f"{fqn}: sparsity_level must be given, in the group or the defaults")
        check_level(fqn, group.get("sparsity_level", 0))

    def squash_mask(
        self,
        params_to_keep: Sequence[str] | None = None,
        params_to_keep_per_layer: Mapping[str, Sequence[str]] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Make the masked weights and biases permanent, zeros included; no shape changes."""
        super().squash_mask(params_to_keep, params_to_keep_per_layer, *args, **kwargs)
        for group in self.groups:
            release_bias(group["module"], group["tensor_name"], masked=True)

    def prune(self) -> nn.Module:
        """The model without its masked rows; the modules change in place, their classes stay.

        Its output equals the masked model's to rounding, in evaluation mode (Dropout, BatchNorm).
        Where masked channels reach an output of the model, that output has only the kept ones.
        What stays masked, because something needs the channel, becomes permanent zeros. New
        Parameters replace the old: make the optimizer after this call. See :mod:`.prune` for what
        is supported.

        Raises:
            ConfigError: not prepared, pruned already, or a masked layer feeds something that
                cannot lose channels (named in the message); nothing was changed.
        """
        model = self._require_model("prune")
        self._require_masks("prune")
        with torch.no_grad():
            prune(model, [(group["tensor_fqn"], group["module"]) for group in self.groups])
        return model


def _weights(module: nn.Module) -> list[str]:
    if not isinstance(module, nn.LSTM):
        return ["weight"]
    return [
        name
        for name, _ in module.named_parameters(recurse=False)
        if "weight_hr" not in name and name.startswith("weight")
    ]


def _reads_weight_elsewhere(module: nn.Module) -> bool:
    """Whether the weight is used without calling the module, so that no hook can add the bias."""
    return isinstance(module, NonDynamicallyQuantizableLinear)
