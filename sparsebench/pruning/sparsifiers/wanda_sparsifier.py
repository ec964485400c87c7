"""WandaSparsifier: prunes by weight times the norm of the input it is multiplied with."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import check_level, shown
from sparsebench.pruning.masks.reference import element_scores, l1, lowest_in_blocks
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier, IncompatibleKeys
from sparsebench.pruning.sparsifiers.groups import settings
from sparsebench.pruning.sparsifiers.parametrization import (
    has_mask,
    mask_parametrization,
    unmasked_tensor,
)
from sparsebench.pruning.state import Config, TensorState

_OBSERVER_NAME = "activation_post_process"  # the name that torchao's observer has, too


class WandaSparsifier(BaseSparsifier):
    """Zeroes in each output row the weights of lowest ``|w_ij| * norm(x_j)``.

    Between ``prepare`` and ``squash_mask`` every input of a masked Linear counts: run the
    calibration data through the model, then ``step``. ``norm(x_j)`` is the 2-norm of input feature
    j over all of it. Under DistributedDataParallel that is the data of all ranks: each rank must
    call ``step``, and all get the same masks.

    Args:
        sparsity_level: share of each row, ``round(level * columns)``; <= 0 none, >= 1 all.
        semi_structured_block_size: m zeroes the m // 2 lowest of each m in a row instead (4: 2:4),
            whatever the level, unless that is <= 0.

    Attributes:
        state: besides ``mask``, ``sum_of_squares`` of this process's inputs, per feature, float64.

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
        self._sums: dict[int, Tensor] = {}  # of the last step, by the id of a module

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError unless ``tensor`` is a Linear's weight and the settings fit."""
        fqn = group["tensor_fqn"]
        level, size = settings(group, "sparsity_level", "semi_structured_block_size")
        if not isinstance(group["module"], nn.Linear) or group["tensor_name"] != "weight":
            raise ConfigError(
                f"{fqn}: must be the weight of a Linear, whose inputs can be observed, got "
                f"{group['tensor_name']} of {type(group['module']).__name__}"
            )
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
        """Rank the unmasked weight per row and write the mask in place."""
        mask = mask_parametrization(module, tensor_name).mask
        if sparsity_level <= 0:
            mask.fill_(1)
            return
        norm = self._sums[id(module)].sqrt()  # `_checked_groups` has them of all that are due
        scores = wanda_scores(unmasked_tensor(module, tensor_name), norm)
        columns = scores.shape[1]
        size = semi_structured_block_size or columns
        zeros = size // 2 if semi_structured_block_size else round(min(sparsity_level, 1) * columns)
        mask.copy_(~lowest_in_blocks(scores, (1, size), zeros))

    def squash_mask(self, *args: Any, **kwargs: Any) -> None:
        """As in BaseSparsifier; inputs are no longer observed."""
        super().squash_mask(*args, **kwargs)
        for group in self.groups:
            for layer in _layers(group):
                stop_observing(layer)

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """As in BaseSparsifier; calibration continues from the saved sums."""
        former_groups = self.groups
        result = super().load_state_dict(state_dict, strict)
        for group in former_groups:
            if not has_mask(group["module"], group["tensor_name"]):
                for layer in _layers(group):
                    stop_observing(layer)
        return result

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        for group in self.groups:
            if any(hasattr(layer, _OBSERVER_NAME) for layer in _layers(group)):
                raise ConfigError(
                    f"prepare: {group['tensor_fqn']} must not be observed already, got a module "
                    f"with an {_OBSERVER_NAME}, of another sparsifier or of quantisation"
                )
        super()._prepare(*args, **kwargs)
        for group in self.groups:
            for layer in _layers(group):
                observe(layer)

    def _module_state(self, group: Config) -> dict[str, Any]:
        """As in BaseSparsifier, and ``sum_of_squares`` of the inputs, per feature."""
        observer = observer_of(group["module"])
        sums = {} if observer is None else {"sum_of_squares": observer.sum_of_squares}
        return {**super()._module_state(group), **sums}

    def _restore(self, group: Config, entry: TensorState) -> None:
        sums = entry.pop("sum_of_squares", None)
        super()._restore(group, entry)
        observe(group["module"]).sum_of_squares = sums

    def _checked_groups(self) -> list[Config]:
        """As in BaseSparsifier; the sums of all inputs are there, and finite."""
        due = super()._checked_groups()
        ranks = data_parallel_ranks(self.model)
        pruned = [group for group in due if group["sparsity_level"] > 0]
        self._sums = {id(group["module"]): _sums_of_ranks(group, ranks) for group in pruned}
        for group in pruned:
            _check_sums(group["tensor_fqn"], self._sums[id(group["module"])])
        return due

    def __getstate__(self) -> dict[str, Any]:
        """As in BaseSparsifier; sums over ranks are made again by each step."""
        return {**super().__getstate__(), "_sums": {}}


def data_parallel_ranks(model: nn.Module | None) -> Any:
    """Return the process group over which ``model`` is replicated; None if it is not."""
    replicated = (
        (m for m in model.modules() if isinstance(m, DistributedDataParallel)) if model else ()
    )
    for module in replicated:
        return module.process_group
    return None


def _layers(group: Config) -> list[nn.Module]:
    """Return the Linears whose weight the tensor is: their inputs are multiplied with it."""
    holders = [group["module"], *(module for module, _ in group.get("shared_with", ()))]
    return [module for module in holders if isinstance(module, nn.Linear)]


def _sums_of_ranks(group: Config, ranks: Any) -> Tensor:
    """Return the sums of squares over all ranks, shape (features,), float64; empty without inputs.

    A rank without inputs takes part, too: the sums are a collective of all ranks.
    """
    observers = [observer_of(layer) for layer in _layers(group)]
    sums = [each.sum_of_squares for each in observers if each is not None]
    own = [each for each in sums if each is not None]
    if ranks is None:
        return sum(own[1:], own[0]) if own else torch.empty(0)
    weight = unmasked_tensor(group["module"], group["tensor_name"])
    counted = weight.new_zeros(weight.shape[1] + 1, dtype=torch.float64)
    for each in own:
        counted[:-1] += each.to(counted)
        counted[-1] = 1
    dist.all_reduce(counted, group=ranks)
    return counted[:-1] if counted[-1] > 0 else torch.empty(0)


def _check_sums(fqn: str, sums: Tensor) -> None:
    """Raise ConfigError unless inputs were observed, and all of their sums are finite."""
    if not sums.numel():
        raise ConfigError(
            f"step: {fqn} must have had inputs, got none; run calibration data through the model "
            "first, or omit the tensor if nothing calls its module"
        )
    wrong = (~sums.isfinite()).nonzero().flatten().tolist()
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ConfigError(
            f"step: {fqn} must have had finite inputs, got NaN, infinity or squares beyond float32 "
            f"in feature {wrong[0]}{more}; prepare again and calibrate without them"
        )


def wanda_scores(weight: Tensor, norm: Tensor) -> Tensor:
    """Return ``|weight| * norm`` per column, shape (rows, cols), float32, or float64 for float64.

    Args:
        weight: shape (rows, cols), any float dtype.
        norm: 2-norm of each input feature, shape (cols,).
    """
    magnitude = element_scores(weight, l1)
    return magnitude * norm.to(magnitude)


class InputNorm(nn.Module):
    """Observer of a layer's inputs: the sum of squares of each feature, in float64.

    The sums are no buffer: ``model.to(torch.bfloat16)`` must not round them. They are on the device
    of the last input; None until an input had rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sum_of_squares: Tensor | None = None

    @torch.no_grad()
    def forward(self, x: Tensor) -> None:
        """Add ``x``, shape (..., features) or (features,), any float dtype."""
        if not x.numel():  # such as an expert's that no token was routed to
            return
        wide = x.detach().to(torch.float64 if x.dtype == torch.float64 else torch.float32)
        squares = wide.reshape(-1, wide.shape[-1]).square().sum(0).double()
        former = self.sum_of_squares
        self.sum_of_squares = squares if former is None else former.to(squares) + squares


def observe(module: nn.Module) -> InputNorm:
    """Return the observer of the inputs of ``module``; add it if there is none."""
    observer = observer_of(module)
    if observer is None:
        observer = InputNorm()
        module.add_module(_OBSERVER_NAME, observer)
        module.register_forward_pre_hook(_add_input, with_kwargs=True)
    return observer


def observer_of(module: nn.Module) -> InputNorm | None:
    """Return the observer of the inputs of ``module``, or None."""
    observer = getattr(module, _OBSERVER_NAME, None)
    return observer if isinstance(observer, InputNorm) else None


def stop_observing(module: nn.Module) -> None:
    """Remove the observer of ``module``, if it has one."""
    if observer_of(module) is None:
        return
    delattr(module, _OBSERVER_NAME)
    for key, hook in list(module._forward_pre_hooks.items()):
        if hook is _add_input:
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)


def _add_input(module: nn.Module, inputs: tuple[Tensor, ...], by_name: dict[str, Tensor]) -> None:
    observer = observer_of(module)
    x = inputs[0] if inputs else by_name.get("input")
    if observer is not None and x is not None:
        observer(x)
