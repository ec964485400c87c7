"""ActivationSparsifier: masks a layer's input, by an aggregate of its earlier inputs."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.activation.functions import (
    FUNCTION_KEYS,
    unwrap_functions,
    wrap_functions,
)
from sparsebench.pruning.float_environment import in_default_environment
from sparsebench.pruning.fqn import fqn_to_module, module_to_fqn
from sparsebench.pruning.state import SparsifierState

Aggregate = Callable[[Tensor, Tensor], Tensor]
Feature = int | Sequence[int]
Mask = Tensor | list[Tensor]  # a list has one tensor per feature


class ActivationSparsifier:
    """Computes ``mask = mask_fn(reduce_fn(aggregate of inputs), **sparse_config)`` per layer.

    Every forward adds the first positional input of each registered layer to its aggregate;
    ``step`` computes the mask from the inputs since the last step; ``squash_mask`` stops the
    aggregation and applies the masks. All arguments but ``model`` are defaults of
    :meth:`register_layer`.

    Args:
        model: has the layers.
        aggregate_fn: of the current aggregate and a new input; the first input is the first
            aggregate. Must not write into its arguments.
        reduce_fn: of the aggregate, for example ``lambda x: x.mean(dim=0)``.
        mask_fn: of the reduced aggregate and ``sparse_config``; 0 prunes, any other value keeps.
            Its result must broadcast to the input.
        features: indices along ``feature_dim``, each an int or a list of ints, with one mask per
            element; all others are kept. None: one mask for the entire input.
        feature_dim: the dimension of ``features``.
        sparse_config: keyword arguments of ``mask_fn``.

    Attributes:
        data_groups: by layer name its arguments, ``layer``, ``hook``, ``hook_state``
            (``"aggregate"``, ``"sparsify"`` or ``"None"``), and ``data``, the aggregate.
        state: by layer name ``mask``: None until the first input, then ones until the first step.

    Source: ``torch.ao.pruning._experimental.activation_sparsifier``. Deviates: the aggregate starts
    from the first input and not from zeros, has no autograd graph, accepts a smaller last batch;
    the caller's input is never written to; a step without new inputs keeps the masks.
    """

    def __init__(
        self,
        model: nn.Module,
        aggregate_fn: Aggregate | None = None,
        reduce_fn: Callable[[Tensor], Tensor] | None = None,
        mask_fn: Callable[..., Tensor] | None = None,
        features: Sequence[Feature] | None = None,
        feature_dim: int | None = None,
        **sparse_config: Any,
    ) -> None:
        self.model = model
        self.defaults: dict[str, Any] = {
            "sparse_config": sparse_config,
            "aggregate_fn": aggregate_fn,
            "reduce_fn": reduce_fn,
            "mask_fn": mask_fn,
            "features": features,
            "feature_dim": feature_dim,
        }
        self.data_groups: dict[str, dict[str, Any]] = {}
        self.state = SparsifierState()

    def register_layer(
        self,
        layer: nn.Module,
        aggregate_fn: Aggregate | None = None,
        reduce_fn: Callable[[Tensor], Tensor] | None = None,
        mask_fn: Callable[..., Tensor] | None = None,
        features: Sequence[Feature] | None = None,
        feature_dim: int | None = None,
        **sparse_config: Any,
    ) -> None:
        """Aggregate the inputs of ``layer`` from now on; arguments that are None have the default.

        A layer that is registered already loses its aggregate and mask, with a warning.

        Raises:
            ConfigError: the layer is not in the model, a function is missing, or ``features`` come
                without ``feature_dim``; nothing was changed.
        """
        name = self._name_of(layer)
        given = {
            "aggregate_fn": aggregate_fn,
            "reduce_fn": reduce_fn,
            "mask_fn": mask_fn,
            "features": features,
            "feature_dim": feature_dim,
        }
        group = {**self.defaults, **{k: v for k, v in given.items() if v is not None}}
        group["sparse_config"] = {**self.defaults["sparse_config"], **sparse_config}
        _check_group(name, group)
        if name in self.data_groups:
            warnings.warn(
                f"layer {name!r} is registered already; its aggregate and mask are reset",
                stacklevel=2,
            )
            self.unregister_layer(name)
        self.data_groups[name] = {**group, "layer": layer}
        self.state[name]["mask"] = None
        self._attach(name, "aggregate")

    def unregister_layer(self, name: str) -> None:
        """Remove a layer, its mask and its hook.

        Raises:
            ConfigError: no layer of that name is registered.
        """
        self._check_known(name)
        self._detach(name)
        del self.state[name], self.data_groups[name]

    def get_mask(self, name: str | None = None, layer: nn.Module | None = None) -> Mask:
        """Return the mask of a layer: a tensor, or with ``features`` a list of one per feature.

        Raises:
            ConfigError: no layer or an unknown one was named, or it has had no input yet, so that
                the mask's shape is unknown.
        """
        if name is None and layer is None:
            raise ConfigError("get_mask: must be given a name or a layer, got neither")
        if name is None:
            assert layer is not None
            name = self._name_of(layer)
        self._check_known(name)
        mask: Mask | None = self.state[name].get("mask")
        if mask is None:
            raise ConfigError(
                f"get_mask: layer {name!r} must have had an input, got none; run the model"
            )
        return mask

    @in_default_environment
    def step(self) -> None:
        """Compute new masks from the inputs since the last step; all of them, or none.

        A layer without an input since then keeps its mask.
        """
        with ExitStack() as undo, torch.no_grad():
            for name, group in self.data_groups.items():
                undo.callback(self.state[name].update, mask=self.state[name]["mask"])
                if "data" in group:
                    self.update_mask(name, group["data"], group)
            undo.pop_all()
        for group in self.data_groups.values():
            group.pop("data", None)

    def update_mask(self, name: str, data: Mask, configs: Mapping[str, Any]) -> None:
        """Set one layer's mask from its aggregate ``data``."""
        reduce_fn, mask_fn = configs["reduce_fn"], configs["mask_fn"]
        parts = data if isinstance(data, list) else [data]
        masks = [mask_fn(reduce_fn(part), **configs["sparse_config"]) for part in parts]
        self.state[name]["mask"] = masks if isinstance(data, list) else masks[0]

    def squash_mask(self, attach_sparsify_hook: bool = True, **kwargs: Any) -> None:
        """Stop aggregating inputs; from now on apply the masks, if ``attach_sparsify_hook``.

        Raises:
            ConfigError: a layer has no mask to apply yet; nothing was changed.
        """
        if attach_sparsify_hook:
            for name in self.data_groups:
                self.get_mask(name)
        for name in self.data_groups:
            self._detach(name)
            self._attach(name, "sparsify" if attach_sparsify_hook else "None")

    def state_dict(self) -> dict[str, Any]:
        """Return ``state`` with sparse COO masks, ``data_groups`` and ``defaults``.

        Containers are copies; the aggregates in ``data_groups`` are shared, never written to. The
        result can be pickled, without lambdas and local functions.
        """
        groups = {
            name: {key: value for key, value in group.items() if key not in ("hook", "layer")}
            for name, group in self.data_groups.items()
        }
        return {
            "state": {
                name: _convert_mask(entry, Tensor.to_sparse_coo)
                for name, entry in self.state.items()
            },
            "data_groups": {
                name: wrap_functions(_copy_containers(group)) for name, group in groups.items()
            },
            "defaults": wrap_functions(_copy_containers(self.defaults)),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace layers, masks and hooks by those of ``state_dict``, which is not changed.

        A function that was not saved is replaced by the one that this sparsifier has for the layer.

        Raises:
            ConfigError: the model lacks one of the layers, or a layer that aggregates inputs would
                lack a function; nothing was changed.
        """
        defaults = unwrap_functions(_copy_containers(state_dict["defaults"]), self.defaults)
        groups = {
            name: unwrap_functions(
                _copy_containers(group), self.data_groups.get(name, self.defaults)
            )
            for name, group in state_dict["data_groups"].items()
        }
        for name, group in groups.items():
            if group["hook_state"] == "aggregate":
                _check_group(name, group)
        layers = {name: fqn_to_module(self.model, name) for name in state_dict["data_groups"]}
        for name, layer in layers.items():
            if not isinstance(layer, nn.Module):
                names = (name for name, _ in self.model.named_modules())
                raise ConfigError(f"load_state_dict: {unknown_name('layer', name, names)}")
        for name in self.data_groups:
            self._detach(name)
        self.defaults = defaults
        self.state = SparsifierState()
        for name, entry in state_dict["state"].items():
            self.state[name].update(_convert_mask(entry, Tensor.to_dense))
        self.data_groups = {n: {**group, "layer": layers[n]} for n, group in groups.items()}
        for name, group in self.data_groups.items():
            self._attach(name, group["hook_state"])

    def __getstate__(self) -> dict[str, Any]:
        """Return everything, the model included, without lambdas and local functions."""
        groups = {name: wrap_functions(group) for name, group in self.data_groups.items()}
        return {**self.__dict__, "defaults": wrap_functions(self.defaults), "data_groups": groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        groups = {name: unwrap_functions(group, {}) for name, group in state["data_groups"].items()}
        defaults = unwrap_functions(state["defaults"], {})
        self.__dict__.update({**state, "defaults": defaults, "data_groups": groups})

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for name, group in self.data_groups.items():
            lines += ["\tData Group", f"\t    name: {name}"]
            hidden = ("data", "hook", *FUNCTION_KEYS)
            lines += [f"\t    {key}: {group[key]}" for key in sorted(group) if key not in hidden]
        return "\n".join(lines) + ")"

    def _name_of(self, layer: nn.Module) -> str:
        name = module_to_fqn(self.model, layer)
        if name is None:
            raise ConfigError(f"layer: must be part of the model, got {layer}")
        return name

    def _check_known(self, name: str) -> None:
        if name not in self.data_groups:
            raise ConfigError(unknown_name("layer", name, self.data_groups))

    def _attach(self, name: str, hook_state: str) -> None:
        group = self.data_groups[name]
        group["hook_state"] = hook_state
        hooks = {"aggregate": _Aggregating, "sparsify": _Sparsifying}
        if hook_state in hooks:
            hook = hooks[hook_state](self, name)
            group["hook"] = group["layer"].register_forward_pre_hook(hook)

    def _detach(self, name: str) -> None:
        hook = self.data_groups[name].pop("hook", None)
        if hook is not None:
            hook.remove()


class _Hook:
    """A forward pre-hook; an object and not a closure, so that it can be pickled."""

    def __init__(self, sparsifier: ActivationSparsifier, name: str) -> None:
        self.sparsifier = sparsifier
        self.name = name

    def input_of(self, inputs: tuple[Any, ...]) -> Tensor:
        if not inputs or not isinstance(inputs[0], Tensor):
            raise ConfigError(
                f"layer {self.name!r}: its first positional argument must be a tensor, got "
                f"{type(inputs[0]).__name__ if inputs else 'none'}"
            )
        return inputs[0]


class _Aggregating(_Hook):  # pickled models name this class
    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        group, entry = self.sparsifier.data_groups[self.name], self.sparsifier.state[self.name]
        x = self.input_of(inputs).detach()
        new = _select_features(x, group["features"], group["feature_dim"])
        _check_group(self.name, group)  # an unpickled one may lack its functions
        with torch.no_grad():
            group["data"] = _add_to_aggregate(group.get("data"), new, group["aggregate_fn"])
        if entry["mask"] is None:
            entry["mask"] = _mask_of_ones(new, group["feature_dim"])


class _Sparsifying(_Hook):  # pickled models name this class
    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        group, mask = self.sparsifier.data_groups[self.name], self.sparsifier.get_mask(self.name)
        x = _apply_mask(self.input_of(inputs), mask, group["features"], group["feature_dim"])
        return (x, *inputs[1:])


def _check_group(name: str, group: Mapping[str, Any]) -> None:
    for key in FUNCTION_KEYS:
        if not callable(group[key]):
            raise ConfigError(
                f"layer {name!r}: {key} must be callable, got {group[key]!r}; give it to "
                "register_layer (lambdas and local functions are not saved)"
            )
    if group["features"] is not None and group["feature_dim"] is None:
        raise ConfigError(f"layer {name!r}: features must come with feature_dim, got none")


def _select_features(x: Tensor, features: Sequence[Feature] | None, dim: int | None) -> Mask:
    """Return ``x`` itself without ``features``, else a copy of each feature along ``dim``."""
    if features is None or dim is None:
        return x
    return [x.index_select(dim, index) for index in _feature_indices(features, x)]


def _add_to_aggregate(former: Mask | None, new: Mask, aggregate_fn: Aggregate) -> Mask:
    """Return the aggregate of ``former`` and ``new``; of the first input, a copy."""
    if former is None:
        return [part.clone() for part in new] if isinstance(new, list) else new.clone()
    if isinstance(new, list):
        return [_aggregate(a, b, aggregate_fn) for a, b in zip(former, new, strict=True)]
    assert isinstance(former, Tensor)
    return _aggregate(former, new, aggregate_fn)


def _aggregate(former: Tensor, new: Tensor, aggregate_fn: Aggregate) -> Tensor:
    """Return ``aggregate_fn(former, new)``, also for a batch of another size.

    Such a batch (the last of an epoch) is aggregated row by row if ``aggregate_fn`` keeps the
    number of rows, as a sum or a maximum does; rows without a counterpart are kept. If it does not,
    as a concatenation, it gets both tensors unchanged.
    """
    rows = min(len(former), len(new))
    if former.shape == new.shape or former.shape[1:] != new.shape[1:]:
        return aggregate_fn(former, new)
    shared = aggregate_fn(former[:rows].clone(), new[:rows])
    if shared.shape != new[:rows].shape:
        return aggregate_fn(former, new)
    longer = former if len(former) > rows else new
    return torch.cat([shared, longer[rows:]])


def _mask_of_ones(new: Mask, dim: int | None) -> Mask:
    """Return a mask of ones that fits inputs like ``new`` in batches of any size."""
    if isinstance(new, list):
        return [torch.ones_like(part[:1] if dim != 0 else part) for part in new]
    return torch.ones_like(new[:1] if new.ndim > 1 else new)


def _apply_mask(
    x: Tensor, mask: Mask, features: Sequence[Feature] | None, dim: int | None
) -> Tensor:
    """Return a copy of ``x``, dtype included, that is 0 where the mask is 0."""
    if features is None or dim is None:
        assert isinstance(mask, Tensor)
        return x.masked_fill(mask.to(x.device) == 0, 0)
    for index, part in zip(_feature_indices(features, x), mask, strict=True):
        selected = x.index_select(dim, index).masked_fill(part.to(x.device) == 0, 0)
        x = x.index_copy(dim, index, selected)
    return x


def _feature_indices(features: Sequence[Feature], x: Tensor) -> list[Tensor]:
    return [torch.as_tensor(feature, device=x.device).reshape(-1) for feature in features]


def _copy_containers(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``group`` with copies of its dicts and lists; functions and tensors are shared."""
    return {
        key: value.copy() if isinstance(value, (dict, list)) else value
        for key, value in group.items()
    }


def _convert_mask(entry: Mapping[str, Any], layout: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Return ``entry`` with its mask, or each of its masks, in another layout."""
    mask = entry["mask"]
    if isinstance(mask, list):
        return {**entry, "mask": [layout(part) for part in mask]}
    return {**entry, "mask": None if mask is None else layout(mask)}
