"""BaseStructuredSparsifier: masks on whole rows, and prune(), which removes the rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import check_level
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier
from sparsebench.pruning.sparsifiers.element_masks import ElementMasks, given_mask
from sparsebench.pruning.sparsifiers.parametrization import has_mask, mask_parametrization
from sparsebench.pruning.state import Config
from sparsebench.pruning.structured.flow import ChannelFlow
from sparsebench.pruning.structured.gates import (
    GateSparsity,
    mask_gates,
    release_gates,
    unlink_gates,
)
from sparsebench.pruning.structured.parametrization import (
    FakeStructuredSparsity,
    hide_bias,
    restore_bias,
    row_mask,
)
from sparsebench.pruning.structured.trace import trace

_WITH_BIAS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class RowMasks(ElementMasks):
    """One bool per row, applied by FakeStructuredSparsity, or on an LSTM by GateSparsity."""

    def parametrization(self, group: Config) -> type[nn.Module]:
        """Return the class that the group's configuration names, or the one for its module."""
        lstm = isinstance(group["module"], nn.LSTM)
        default: type[nn.Module] = GateSparsity if lstm else FakeStructuredSparsity
        return group.get("parametrization", default)  # type: ignore[no-any-return]  # a loose dict

    def full(self, tensor: Tensor) -> Tensor:
        """Return True for every row, shape (rows,)."""
        return torch.ones(len(tensor), dtype=torch.bool, device=tensor.device)

    def cast(self, mask: Tensor, tensor: Tensor) -> Tensor:
        """Return ``mask`` as bools, on the device of ``tensor``."""
        return (mask.detach() != 0).to(tensor.device)

    def check_shape(self, group: Config, holder: Mapping[str, Any]) -> None:
        """Raise ConfigError where the mask does not have one entry per row."""
        mask = given_mask(group["tensor_fqn"], holder)
        tensor = getattr(group["module"], group["tensor_name"])
        if mask is not None and mask.shape != tensor.shape[:1]:
            raise ConfigError(
                f"{group['tensor_fqn']}: a mask must have one entry per row, shape "
                f"{tuple(tensor.shape[:1])}, got {tuple(mask.shape)}"
            )

    def attach(self, group: Config, mask: Tensor | None) -> tuple[Tensor, Callable[[], object]]:
        """Put a mask on the tensor, and on its bias, unless ``prune_bias`` is False."""
        module, name = group["module"], group["tensor_name"]
        already_masked = has_mask(module, name)
        in_force, undo = super().attach(group, mask)
        if not already_masked:
            if isinstance(module, nn.LSTM):
                mask_gates(module, name)
            elif isinstance(module, _WITH_BIAS) and name == "weight":
                hide_bias(module, mask_parametrization(module, name), group.get("prune_bias", True))
        return in_force, undo

    def detach(self, group: Config) -> None:
        """Take the mask off the tensor and its bias."""
        if isinstance(group["module"], nn.LSTM):
            unlink_gates(group["module"], group["tensor_name"])
        _release_bias(group, masked=False)
        super().detach(group)


class BaseStructuredSparsifier(BaseSparsifier):
    """Base class of the structured pruners; a subclass defines ``update_mask``.

    ``prepare`` puts a row mask on every tensor, ``step`` has the subclass update the masks in
    place, ``prune`` removes the masked rows from the model. On Linear and convolutions the bias of
    a masked row is removed with it, unless the group says ``prune_bias=False``; on an LSTM always.

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
            if isinstance(module, supported) and not _is_attention_projection(module)
            for tensor_name in _weight_names(module)
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
                f"{fqn}: a tensor must have 2 or more dimensions to have its rows pruned, "
                f"got shape={tuple(tensor.shape)}"
            )
        if group.get("shared_with"):
            raise ConfigError(
                f"{fqn}: a tensor whose rows are pruned must belong to one module, got one that "
                f"{1 + len(group['shared_with'])} modules share; leave it out"
            )
        if _is_attention_projection(module):
            raise ConfigError(
                f"{fqn}: the weight must be used by its module's forward, got the output "
                "projection of an attention, which reads the weight itself; leave it out"
            )
        if self.requires_level and "sparsity_level" not in group:
            raise ConfigError(f"{fqn}: sparsity_level must be given, in the group or the defaults")
        try:  # below 0 a level acts as 0, above 1 as 1
            check_level(group.get("sparsity_level", 0))
        except ConfigError as error:
            raise ConfigError(f"{fqn}: {error}") from None

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
            _release_bias(group, masked=True)

    def prune(self) -> nn.Module:
        """Remove the masked rows from the model, and return it; modules change in place.

        The output equals the masked model's to rounding, in evaluation mode (Dropout, BatchNorm).
        Where masked channels reach an output of the model, that output has only the kept ones.
        New Parameters replace the old: make the optimizer after this call.

        The model is traced by ``torch.fx``, and each masked row is followed as a channel: through
        activations, pooling, norms, views, sums and products, to the layers that read it. It is
        removed if every reader can do without it: because it is 0, or because it is a constant
        that the reader's bias can absorb. Before a convolution that pads with zeros, one constant
        channel is kept and its weights absorb the others, see :mod:`.layers.convolution`.
        Channels that are added or multiplied, or that a depthwise convolution connects, are
        removed together or not at all.

        A masked channel that is needed is not removed; its row becomes zeros. Needed are: a channel
        that is added to one that is not masked, and a constant other than 0 that padding changed at
        the border before a nonlinearity. What cannot lose channels, or is not understood, is
        refused.

        Raises:
            ConfigError: not prepared, pruned already, or a masked layer feeds something that
                cannot lose channels (named in the message); nothing was changed.
        """
        model = self._require_model("prune")
        self._require_masks("prune")
        with torch.no_grad():
            root, graph = trace(model)
            with parametrize.cached():  # a masked weight is read several times
                flow = ChannelFlow(root, graph)
            for group in self.groups:
                _check_followed(flow, group)
            removed = flow.removed_channels()  # decides and raises; below, layers change
            for layer in flow.layers.values():
                layer.remove_channels(removed)
        return model


def _release_bias(group: Config, masked: bool) -> None:
    """Give the module of ``group`` its bias back; ``masked``: with the masked values."""
    module, name = group["module"], group["tensor_name"]
    if isinstance(module, nn.LSTM):
        release_gates(module, name, masked)
    elif name == "weight":
        restore_bias(module, masked)


def _weight_names(module: nn.Module) -> list[str]:
    if not isinstance(module, nn.LSTM):
        return ["weight"]
    return [
        name
        for name, _ in module.named_parameters(recurse=False)
        if "weight_hr" not in name and name.startswith("weight")
    ]


def _is_attention_projection(module: nn.Module) -> bool:
    """Return whether an attention reads the weight itself, so that no hook can add the bias."""
    return isinstance(module, NonDynamicallyQuantizableLinear)


def _check_followed(flow: ChannelFlow, group: Config) -> None:
    module, tensor_fqn = group["module"], group["tensor_fqn"]
    if id(module) not in flow.layers:
        raise ConfigError(
            f"prune: {tensor_fqn} must belong to a Linear, Conv or LSTM that the model's forward "
            f"calls itself, got a {type(module).__name__}; leave it out, or use squash_mask instead"
        )
    if row_mask(module, group["tensor_name"]) is None:
        raise ConfigError(f"prune: {tensor_fqn} must have a row mask (FakeStructuredSparsity)")
