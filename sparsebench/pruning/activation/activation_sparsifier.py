"""ActivationSparsifier: masks a layer's input, from an aggregate of the inputs before."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.activation.functions import NAMES, restored, saved
from sparsebench.pruning.activation.inputs import (
    Aggregate,
    Feature,
    Mask,
    aggregated,
    all_kept,
    masked,
    selected,
)
from sparsebench.pruning.fqn import fqn_to_module, module_to_fqn
from sparsebench.pruning.sparsifiers.state import SparsifierState

_OF_ONE_MODEL = ("hook", "layer")  # not in the state_dict


class ActivationSparsifier:
    """Makes ``mask = mask_fn(reduce_fn(aggregate of the inputs), **sparse_config)`` for layers.

    Each registered layer's first positional input is gathered in every forward; ``step`` makes the
    mask from what was gathered since the last one; ``squash_mask`` stops the gathering and applies
    the masks. All arguments but ``model`` are defaults of :meth:`register_layer`.

    Args:
        model: holds the layers.
        aggregate_fn: of the aggregate so far and a new input; the first input is the first
            aggregate. Must not write into its arguments.
        reduce_fn: of the aggregate, for example ``lambda x: x.mean(dim=0)``.
        mask_fn: of the reduced aggregate and ``sparse_config``; 0 prunes, all else keeps. Its
            result must broadcast to the input.
        features: indices along ``feature_dim``, each an int or a list of ints, that get a mask
            each; all others are kept. None: one mask for the whole input.
        feature_dim: the dimension of ``features``.
        sparse_config: keyword arguments of ``mask_fn``.

    Attributes:
        data_groups: by layer name its arguments, ``layer``, ``hook``, ``hook_state``
            (``"aggregate"``, ``"sparsify"`` or ``"None"``), and ``data``, the aggregate.
        state: by layer name ``mask``: None until the first input, then ones until the first step.

    Source: ``torch.ao.pruning._experimental.activation_sparsifier``. Deviates: the aggregate starts
    from the first input and not from zeros, holds no autograd graph, takes a smaller last batch;
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
        """Gather the inputs of ``layer`` from now on; None takes the default.

        A layer that is registered already starts anew, with a warning.

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
            warnings.warn(f"layer {name!r} was registered before; it starts anew", stacklevel=2)
            self.unregister_layer(name)
        self.data_groups[name] = {**group, "layer": layer}
        self.state[name]["mask"] = None
        self._attach(name, "aggregate")

    def unregister_layer(self, name: str) -> None:
        """Forget a layer, its mask and its hook.

        Raises:
            ConfigError: no layer of that name is registered.
        """
        self._check_known(name)
        self._detach(name)
        del self.state[name], self.data_groups[name]

    def get_mask(self, name: str | None = None, layer: nn.Module | None = None) -> Mask:
        """The mask of a layer: a tensor, or with ``features`` a list of one each.

        Raises:
            ConfigError: neither or an unknown layer was named, or it has not seen an input yet,
                so that the mask's shape is unknown.
        """
        if name is None and layer is None:
            raise ConfigError("get_mask: must be given a name or a layer, got neither")
        if name is None:
            assert layer is not None
            name = self._name_of(layer)
        self._check_known(name)
        mask: Mask | None = self.state[name].get("mask")
        if mask is None:
            raise ConfigError(f"get_mask: layer {name!r} must have seen an input; run the model")
        return mask

    def step(self) -> None:
        """Make new masks from the inputs since the last step; all of them, or none.

        A layer that has seen no input since then keeps its mask.
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
        reduce, make, settings = configs["reduce_fn"], configs["mask_fn"], configs["sparse_config"]
        self.state[name]["mask"] = (
            [make(reduce(part), **settings) for part in data]
            if isinstance(data, list)
            else make(reduce(data), **settings)
        )

    def squash_mask(self, attach_sparsify_hook: bool = True, **kwargs: Any) -> None:
        """Stop gathering inputs; from now on apply the masks, if ``attach_sparsify_hook``.

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
        """``state`` with the masks as sparse COO, ``data_groups`` and ``defaults``.

        Containers are copies; the aggregates in ``data_groups`` are shared, never written to. It
        can be pickled: lambdas and local functions are left out of the file then.
        """
        return {
            "state": {
                name: _converted(entry, Tensor.to_sparse_coo) for name, entry in self.state.items()
            },
            "data_groups": {name: _stored(group) for name, group in self.data_groups.items()},
            "defaults": saved(_copied(self.defaults)),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Become what ``state_dict`` describes, which stays as it is; former hooks go.

        A function that is not in the file is the one that this sparsifier has for the layer.

        Raises:
            ConfigError: the model lacks one of its layers, or a layer that gathers inputs would
                lack a function; nothing was changed.
        """
        defaults = restored(_copied(state_dict["defaults"]), self.defaults)
        groups = {
            name: restored(_copied(group), self.data_groups.get(name, self.defaults))
            for name, group in state_dict["data_groups"].items()
        }
        for name, group in groups.items():
            if group["hook_state"] == "aggregate":
                _check_group(name, group)
        layers = {name: fqn_to_module(self.model, name) for name in state_dict["data_groups"]}
        for name, layer in layers.items():
            if not isinstance(layer, nn.Module):
                known = (name for name, _ in self.model.named_modules())
                raise ConfigError(f"load_state_dict: {unknown_name('layer', name, known)}")
        for name in self.data_groups:
            self._detach(name)
        self.defaults = defaults
        self.state = SparsifierState()
        for name, entry in state_dict["state"].items():
            self.state[name].update(_converted(entry, Tensor.to_dense))
        self.data_groups = {n: {**group, "layer": layers[n]} for n, group in groups.items()}
        for name, group in self.data_groups.items():
            self._attach(name, group["hook_state"])

    def __getstate__(self) -> dict[str, Any]:
        """Everything, the model included, without lambdas and local functions."""
        groups = {name: saved(group) for name, group in self.data_groups.items()}
        return {**self.__dict__, "defaults": saved(self.defaults), "data_groups": groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        groups = {name: restored(group, {}) for name, group in state["data_groups"].items()}
        defaults = restored(state["defaults"], {})
        self.__dict__.update({**state, "defaults": defaults, "data_groups": groups})

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for name, group in self.data_groups.items():
            lines += ["\tData Group", f"\t    name: {name}"]
            hidden = ("data", "hook", *NAMES)
            lines += [f"\t    {key}: {group[key]}" for key in sorted(group) if key not in hidden]
        return "\n".join(lines) + ")"

    def _name_of(self, layer: nn.Module) -> str:
        name = module_to_fqn(self.model, layer)
        if name is None:
            raise ConfigError(f"layer: must be a part of the model, got {layer}")
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
    """What a forward pre-hook needs; an object and not a closure, so that it can be pickled."""

    def __init__(self, sparsifier: ActivationSparsifier, name: str) -> None:
        self.sparsifier = sparsifier
        self.name = name

    def input_of(self, inputs: tuple[Any, ...]) -> Tensor:
        if not inputs or not isinstance(inputs[0], Tensor):
            raise ConfigError(
                f"layer {self.name!r}: its first positional argument must be a tensor to sparsify"
            )
        return inputs[0]


class _Aggregating(_Hook):
    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        group, entry = self.sparsifier.data_groups[self.name], self.sparsifier.state[self.name]
        x = self.input_of(inputs).detach()
        new = selected(x, group["features"], group["feature_dim"])
        _check_group(self.name, group)  # an unpickled one may lack its functions
        with torch.no_grad():
            group["data"] = aggregated(group.get("data"), new, group["aggregate_fn"])
        if entry["mask"] is None:
            entry["mask"] = all_kept(new, group["feature_dim"])


class _Sparsifying(_Hook):
    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        group, mask = self.sparsifier.data_groups[self.name], self.sparsifier.get_mask(self.name)
        x = masked(self.input_of(inputs), mask, group["features"], group["feature_dim"])
        return (x, *inputs[1:])


def _check_group(name: str, group: Mapping[str, Any]) -> None:
    for key in NAMES:
        if not callable(group[key]):
            raise ConfigError(
                f"layer {name!r}: {key} must be callable, got {group[key]!r}; give it to "
                "register_layer (files hold no lambdas and local functions)"
            )
    if group["features"] is not None and group["feature_dim"] is None:
        raise ConfigError(f"layer {name!r}: features must come with feature_dim, got none")


def _stored(group: Mapping[str, Any]) -> dict[str, Any]:
    return saved(_copied({k: v for k, v in group.items() if k not in _OF_ONE_MODEL}))


def _copied(group: Mapping[str, Any]) -> dict[str, Any]:
    """The same values in dicts and lists of their own; functions and tensors are shared."""
    return {
        key: value.copy() if isinstance(value, (dict, list)) else value
        for key, value in group.items()
    }


def _converted(entry: Mapping[str, Any], to: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    mask = entry["mask"]
    if isinstance(mask, list):
        return {**entry, "mask": [to(part) for part in mask]}
    return {**entry, "mask": None if mask is None else to(mask)}
