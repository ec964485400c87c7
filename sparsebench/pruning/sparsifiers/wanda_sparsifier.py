"""WandaSparsifier: prunes by weight times the norm of the input it is multiplied with."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import check_level, shown
from sparsebench.pruning.masks.reference import element_scores, l1, lowest_in_blocks
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier, IncompatibleKeys
from sparsebench.pruning.sparsifiers.groups import settings
from sparsebench.pruning.sparsifiers.input_norm import (
    InputNorm,
    observe,
    observer_of,
    stop_observing,
)
from sparsebench.pruning.sparsifiers.parametrization import has_mask, masking_of, unmasked_tensor
from sparsebench.pruning.sparsifiers.state import Config, TensorState


class WandaSparsifier(BaseSparsifier):
    """Zeroes in each output row the weights of lowest ``|w_ij| * norm(x_j)``.

    Between ``prepare`` and ``squash_mask`` every input of a masked Linear counts: run the
    calibration data through the model, then ``step``. ``norm(x_j)`` is the 2-norm of input feature
    j over all of it.

    Args:
        sparsity_level: share of each row, ``round(level * columns)``; <= 0 none, >= 1 all.
        semi_structured_block_size: m zeroes the m // 2 lowest of each m in a row instead (4: 2:4),
            whatever the level, unless that is <= 0.

    Attributes:
        state: besides ``mask``, ``sum_of_squares`` of the inputs, by feature, float64.

    Source: arXiv:2306.11695; names as in torchao's WandaSparsifier. Deviates from torchao, and
    agrees with the paper: weights compare within a row (not the whole tensor), and by the norm
    (not its square). Sums are float64 whatever the model's dtype, and equal scores prune the lower
    column first.
    """

    def __init__(
        self, sparsity_level: float = 0.5, semi_structured_block_size: int | None = None
    ) -> None:
        super().__init__(
            defaults={
                "sparsity_level": sparsity_level,
                "semi_structured_block_size": semi_structured_block_size,
            }
        )

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError unless ``tensor`` is a Linear's weight and the settings fit."""
        fqn = group["tensor_fqn"]
        level, size = settings(group, "sparsity_level", "semi_structured_block_size")
        if not isinstance(group["module"], nn.Linear) or group["tensor_name"] != "weight":
            raise ConfigError(f"{fqn}: must be the weight of a Linear, whose inputs are weighed")
        try:
            check_level(level)
        except ConfigError as error:
            raise ConfigError(f"{fqn}: {error}") from None
        if size is not None and (not isinstance(size, int) or size < 2):
            raise ConfigError(
                f"{fqn}: semi_structured_block_size must be an integer above 1, got {shown(size)}"
            )

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self,
        module: nn.Module,
        tensor_name: str,
        sparsity_level: float,
        semi_structured_block_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Rank the unmasked weight by row and write the mask in place."""
        mask = masking_of(module, tensor_name).mask
        if sparsity_level <= 0:
            mask.fill_(1)
            return
        scores = wanda_scores(unmasked_tensor(module, tensor_name), _seen(module).norm())
        columns = scores.shape[1]
        size = semi_structured_block_size or columns
        zeros = size // 2 if semi_structured_block_size else round(min(sparsity_level, 1) * columns)
        mask.copy_(~lowest_in_blocks(scores, (1, size), zeros))

    def squash_mask(self, *args: Any, **kwargs: Any) -> None:
        """As in BaseSparsifier, and the inputs are weighed no more."""
        super().squash_mask(*args, **kwargs)
        for group in self.groups:
            stop_observing(group["module"])

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """As in BaseSparsifier; calibration goes on from the sums that were saved."""
        former = self.groups
        result = super().load_state_dict(state_dict, strict)
        for group in former:
            if not has_mask(group["module"], group["tensor_name"]):
                stop_observing(group["module"])
        return result

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        for group in self.groups:
            _check_free(group)
        super()._prepare(*args, **kwargs)
        for group in self.groups:
            observe(group["module"])

    def _in_force(self, group: Config) -> dict[str, Any]:
        """As in BaseSparsifier, and ``sum_of_squares`` of the inputs, by feature."""
        observer = observer_of(group["module"])
        sums = {} if observer is None else {"sum_of_squares": observer.sum_of_squares}
        return {**super()._in_force(group), **sums}

    def _restore(self, group: Config, entry: TensorState) -> None:
        sums = entry.pop("sum_of_squares", None)
        super()._restore(group, entry)
        observe(group["module"]).sum_of_squares = sums

    def _update_masks(self, groups: Sequence[Config]) -> None:
        for group in groups:
            observer = observer_of(group["module"])
            unseen = observer is None or observer.sum_of_squares is None
            if unseen and group["sparsity_level"] > 0:
                raise ConfigError(
                    f"step: {group['tensor_fqn']} must have seen inputs; run calibration data "
                    "through the model first, or leave it out if nothing calls its module"
                )
        super()._update_masks(groups)


def wanda_scores(weight: Tensor, norm: Tensor) -> Tensor:
    """``|weight| * norm`` of each column, shape (rows, cols), float32, or float64 for float64.

    Args:
        weight: shape (rows, cols), any float dtype.
        norm: 2-norm of each input feature, shape (cols,).
    """
    magnitude = element_scores(weight, l1)
    return magnitude * norm.to(magnitude)


def _seen(module: nn.Module) -> InputNorm:
    observer = observer_of(module)
    assert observer is not None, "step checks this before any mask"
    return observer


def _check_free(group: Config) -> None:
    if hasattr(group["module"], "activation_post_process"):
        raise ConfigError(
            f"prepare: {group['tensor_fqn']} must not be observed already; its module has an "
            "activation_post_process, of another sparsifier or of quantisation"
        )
