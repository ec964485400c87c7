"""A sparsifier's groups: from a configuration entry to a located, checked tensor."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.fqn import fqn_to_module, get_arg_info_from_tensor_fqn
from sparsebench.pruning.parametrization import FakeSparsity, has_mask, masking_of
from sparsebench.pruning.state import TensorState

Config = dict[str, Any]

LOCATION = ("module", "module_fqn", "tensor_name")  # of a group; found again from its tensor_fqn

# Truth values, in whatever type they were stored: they take the weight's dtype.
_TRUTH_VALUES = (torch.bool, torch.uint8, torch.int8)


def make_group(model: nn.Module, defaults: Config, entry: Config) -> Config:
    """``defaults`` overridden by ``entry``, with the tensor's module and names.

    Raises:
        ConfigError: ``entry`` is no dict with a ``tensor_fqn`` of ``model``, its location disagrees
            with that, or its tensor has no shape yet, a mask of another kind, or another shape
            than the ``mask`` that was given.
    """
    _check_entry(entry)
    group = located(model, {**copy.deepcopy(defaults), **entry})
    if not exists(model, group):
        raise ConfigError(f"prepare: {no_tensor(model, group['tensor_fqn'])}")
    _check_location(entry, group)
    _check_parametrization(group)
    tensor = getattr(group["module"], group["tensor_name"])
    if is_lazy(tensor):
        raise ConfigError(
            f"prepare: {group['tensor_fqn']} must have a shape; run a lazy module once before"
        )
    check_mask_shape(group, group)
    return group


def located(model: nn.Module, group: Config) -> Config:
    """``group`` with its module and names; a leading dot of ``tensor_fqn`` is dropped."""
    fqn = str(group["tensor_fqn"]).removeprefix(".")
    return {**group, **get_arg_info_from_tensor_fqn(model, fqn)}


def exists(model: nn.Module, group: Config) -> bool:
    """Whether ``model`` has a tensor under the group's ``tensor_fqn``."""
    info = get_arg_info_from_tensor_fqn(model, str(group["tensor_fqn"]).removeprefix("."))
    tensor = getattr(info["module"], info["tensor_name"], None)
    return isinstance(info["module"], nn.Module) and isinstance(tensor, Tensor)


def no_tensor(model: nn.Module, tensor_fqn: str) -> str:
    """One line that says ``model`` has no such tensor, and which near ones it has."""
    tensors = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
    return unknown_name("tensor_fqn", tensor_fqn, tensors)


def follow(model: nn.Module, group: Config) -> None:
    """Point ``group`` to the module that took its module's place and kept its mask.

    ``prepare_qat`` and ``fuse_modules`` put new modules under old names, with the parametrizations
    of the old ones; without this the weights of a module that nothing runs any more would rule.
    """
    there, name = fqn_to_module(model, group["module_fqn"]), group["tensor_name"]
    if there is group["module"] or not isinstance(there, nn.Module) or not has_mask(there, name):
        return
    if masking_of(there, name) is masking_of(group["module"], name):
        group["module"] = there


def check_distinct(groups: Sequence[Config]) -> None:
    """ConfigError where a tensor is named twice, also under two names of one shared module."""
    seen: dict[tuple[int, str], str] = {}
    for group in groups:
        key = (id(group["module"]), group["tensor_name"])
        if key in seen:
            raise ConfigError(
                f"config: a tensor must be named once, got {seen[key]!r} and "
                f"{group['tensor_fqn']!r} for the same one"
            )
        seen[key] = group["tensor_fqn"]


def check_mask_shape(group: Config, holder: Mapping[str, Any]) -> None:
    """ConfigError where ``holder`` has a ``mask`` of another shape than the group's tensor."""
    mask, tensor = holder.get("mask"), getattr(group["module"], group["tensor_name"])
    if mask is not None and mask.shape != tensor.shape:
        raise ConfigError(
            f"{group['tensor_fqn']}: a mask must have the tensor's shape {tuple(tensor.shape)}, "
            f"got {tuple(mask.shape)}"
        )


def fitted(mask: Tensor, tensor: Tensor) -> Tensor:
    """``mask`` on the device of ``tensor`` and in its dtype; wide integers are the caller's own."""
    fits = mask.is_floating_point() or mask.dtype in _TRUTH_VALUES
    dtype = tensor.dtype if fits else mask.dtype
    return mask.detach().to(device=tensor.device, dtype=dtype)


def stored(group: Config) -> Config:
    """A group as it is saved: without its location, which belongs to one model."""
    return {key: value for key, value in group.items() if key not in LOCATION}


def without_modules(groups: Iterable[Config]) -> list[Config]:
    """The groups without their modules, as a pickle holds them."""
    return [{key: value for key, value in group.items() if key != "module"} for group in groups]


def loaded(
    model: nn.Module, state_dict: Mapping[str, Any]
) -> tuple[list[Config], dict[str, TensorState], list[str]]:
    """Groups and states of ``state_dict`` as copies, and the tensors that ``model`` lacks.

    Raises:
        ConfigError: no ``state`` or ``groups``, or a mask of another shape than its tensor.
    """
    for key in ("state", "groups"):
        if key not in state_dict:
            raise ConfigError(f"load_state_dict: {unknown_name('key', key, state_dict)}")
    groups = [located(model, copy.deepcopy(g)) for g in state_dict["groups"] if exists(model, g)]
    missing = [g["tensor_fqn"] for g in state_dict["groups"] if not exists(model, g)]
    states = {}
    for group in groups:
        saved = state_dict["state"].get(group["tensor_fqn"], {})
        check_mask_shape(group, saved)
        states[group["tensor_fqn"]] = TensorState(copy.deepcopy(dict(saved)))
    return groups, states, missing


def _check_entry(entry: object) -> None:
    if not isinstance(entry, dict):
        raise ConfigError(
            f"config: must be a list of dicts like {{'tensor_fqn': 'layer.weight'}}, "
            f"got an element of type {type(entry).__name__}"
        )
    if "tensor_fqn" not in entry:
        raise ConfigError(f"config: every element must have a 'tensor_fqn', got {entry!r}")


def _check_location(entry: Config, group: Config) -> None:
    for key in LOCATION:
        if key in entry and entry[key] != group[key]:
            raise ConfigError(
                f"config: {key} must agree with tensor_fqn={entry['tensor_fqn']!r}, "
                f"got {key}={entry[key]!r}"
            )


def _check_parametrization(group: Config) -> None:
    module, name = group["module"], group["tensor_name"]
    wanted = group.get("parametrization", FakeSparsity)
    if has_mask(module, name) and type(masking_of(module, name)) is not wanted:
        raise ConfigError(
            f"prepare: {group['tensor_fqn']} must not have a mask of another parametrization, got "
            f"{type(masking_of(module, name)).__name__}; squash it before"
        )
