"""A sparsifier's groups: from a configuration entry to a located, checked tensor."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.fqn import fqn_to_module, get_arg_info_from_tensor_fqn
from sparsebench.pruning.masks.pattern import shown
from sparsebench.pruning.sparsifiers.element_masks import ElementMasks
from sparsebench.pruning.sparsifiers.parametrization import has_mask, masking_of
from sparsebench.pruning.sparsifiers.state import Config, TensorState

LOCATION = ("module", "module_fqn", "tensor_name")  # of a group; found again from its tensor_fqn

# What can be ranked: complex numbers have no order, and torch computes too little in fp8.
_RANKED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# Settings that sparsifiers know besides their defaults.
_MORE_SETTINGS = ("parametrization", "prune_bias", "mask_update_due")
_MISSPELT = 0.85  # likeness from which a key that nobody knows is taken for a known one


def check_arguments(model: object, config: object) -> None:
    """ConfigError unless these are a model and a configuration, by their types."""
    if not isinstance(model, nn.Module):
        raise ConfigError(f"prepare: model must be an nn.Module, got {shown(model)}")
    if config is not None and not isinstance(config, Iterable):
        raise ConfigError(
            "config: must be a list of dicts like {'tensor_fqn': 'layer.weight'}, "
            f"got {shown(config)}"
        )


def make_group(model: nn.Module, defaults: Config, entry: Config, masks: ElementMasks) -> Config:
    """``defaults`` overridden by ``entry``, with the tensor's module and names.

    Raises:
        ConfigError: ``entry`` is no dict with a ``tensor_fqn`` of ``model``, its location disagrees
            with that, a key of it is a misspelt default, or its tensor is computed from others,
            has no shape yet, a dtype that has no order, a mask of another kind, or another shape
            than the ``mask`` given.
    """
    _check_entry(entry)
    check_spelling(str(entry["tensor_fqn"]), entry, defaults)
    group = located(model, {**copy.deepcopy(defaults), **entry})
    if not exists(model, group):
        raise ConfigError(f"prepare: {no_tensor(model, group['tensor_fqn'])}")
    _check_location(entry, group)
    _check_own(group)
    _check_parametrization(group, masks)
    tensor = getattr(group["module"], group["tensor_name"])
    if is_lazy(tensor):
        raise ConfigError(
            f"prepare: {group['tensor_fqn']} must have a shape; run a lazy module once before"
        )
    check_dtype(group["tensor_fqn"], tensor)
    masks.check_shape(group, group)
    return group


def check_spelling(where: str, entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """ConfigError where a key of ``entry`` looks like a setting that ``entry`` does not have.

    Keys of a person's own are welcome (``squash_mask`` can keep them), so only near misses are
    refused; beside the setting itself, or among the defaults, any key may stand.
    """
    known = {*defaults, *_MORE_SETTINGS}
    absent = [key for key in known if key not in entry]
    for key in entry:
        if key not in known and get_close_matches(str(key), absent, n=1, cutoff=_MISSPELT):
            raise ConfigError(f"{where}: {unknown_name('setting', str(key), absent)}")


def check_dtype(where: str, tensor: Tensor) -> None:
    """ConfigError where the tensor's dtype has no order, or torch does not compute in it."""
    if tensor.dtype not in _RANKED:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in _RANKED)
        got = str(tensor.dtype).removeprefix("torch.")
        raise ConfigError(f"{where}: dtype must be one of {names}, got {got}")


def settings(group: Config, *keys: str) -> list[Any]:
    """The group's values of ``keys``; ConfigError where it lacks one."""
    try:
        return [group[key] for key in keys]
    except KeyError as error:
        raise ConfigError(
            f"{group['tensor_fqn']}: {error.args[0]} must be given, in the group or the defaults"
        ) from None


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


def stored(group: Config) -> Config:
    """A group as it is saved: without its location, which belongs to one model."""
    return {key: value for key, value in group.items() if key not in LOCATION}


def without_modules(groups: Iterable[Config]) -> list[Config]:
    """The groups without their modules, as a pickle holds them."""
    return [{key: value for key, value in group.items() if key != "module"} for group in groups]


def kept(
    group: Config,
    everywhere: Sequence[str] | None,
    per_layer: Mapping[str, Sequence[str]] | None,
) -> Config:
    """What ``squash_mask`` leaves of ``group``: the keys named for all, and those for its layer."""
    lists = everywhere or (), (per_layer or {}).get(group["module_fqn"], ())
    for keys in lists:
        if isinstance(keys, str):
            raise ConfigError(f"squash_mask: must get a list of keys, got {shown(keys)}")
    keys = [*lists[0], *lists[1]]
    for key in keys:
        if key not in group:
            raise ConfigError(f"squash_mask: {unknown_name('parameter to keep', key, group)}")
    return {key: group[key] for key in keys}


def check_layers(groups: Iterable[Config], per_layer: Iterable[str]) -> None:
    """ConfigError where one of ``per_layer`` is the module of no group."""
    known = {group["module_fqn"] for group in groups}
    for layer in per_layer:
        if layer not in known:
            raise ConfigError(f"squash_mask: {unknown_name('layer', layer, known)}")


def loaded(
    model: nn.Module, state_dict: Mapping[str, Any], masks: ElementMasks
) -> tuple[list[Config], dict[str, TensorState], list[str]]:
    """Groups and states of ``state_dict`` as copies, and the tensors that ``model`` lacks.

    Raises:
        ConfigError: ``state_dict`` is not of this form, or a mask of another shape than its tensor,
            or a tensor named twice or of a dtype that has no order.
    """
    _check_state_dict(state_dict)
    groups = [located(model, copy.deepcopy(g)) for g in state_dict["groups"] if exists(model, g)]
    missing = [g["tensor_fqn"] for g in state_dict["groups"] if not exists(model, g)]
    check_distinct(groups)
    states = {}
    for group in groups:
        check_dtype(group["tensor_fqn"], getattr(group["module"], group["tensor_name"]))
        saved = state_dict["state"].get(group["tensor_fqn"], {})
        masks.check_shape(group, saved)
        states[group["tensor_fqn"]] = TensorState(copy.deepcopy(dict(saved)))
    return groups, states, missing


def check_keys(state_dict: object, **kinds: type) -> None:
    """ConfigError unless ``state_dict`` is a dict whose ``kinds`` have these types."""
    if not isinstance(state_dict, Mapping):
        raise ConfigError(
            "load_state_dict: must get what a sparsifier's state_dict() gave, "
            f"got {shown(state_dict)}"
        )
    for key, kind in kinds.items():
        if key not in state_dict:
            raise ConfigError(
                "load_state_dict: must get what a sparsifier's state_dict() gave, got a dict "
                f"without {key!r}"
            )
        if not isinstance(state_dict[key], kind):
            raise ConfigError(
                f"load_state_dict: {key!r} must be a {kind.__name__.lower()}, "
                f"got {shown(state_dict[key])}"
            )


def _check_state_dict(state_dict: object) -> None:
    check_keys(state_dict, state=Mapping, groups=Sequence)
    assert isinstance(state_dict, Mapping)
    for group in state_dict["groups"]:
        if not isinstance(group, Mapping) or "tensor_fqn" not in group:
            raise ConfigError(
                f"load_state_dict: every group must have a 'tensor_fqn', got {shown(group)}"
            )
    for tensor_fqn, entry in state_dict["state"].items():
        if not isinstance(entry, Mapping):
            raise ConfigError(
                f"load_state_dict: the state of {tensor_fqn!r} must be a mapping, "
                f"got {shown(entry)}"
            )


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


def _check_own(group: Config) -> None:
    """Torch parametrizes what a module holds, not what a hook of its computes."""
    module, name = group["module"], group["tensor_name"]
    held = name in module._parameters or name in module._buffers
    if not held and not parametrize.is_parametrized(module, name):
        raise ConfigError(
            f"prepare: {group['tensor_fqn']} must be a parameter or a buffer, got a tensor that is "
            "computed from others (torch.nn.utils.prune or weight_norm?); make it permanent first"
        )


def _check_parametrization(group: Config, masks: ElementMasks) -> None:
    module, name = group["module"], group["tensor_name"]
    wanted = masks.parametrization(group)
    if has_mask(module, name) and type(masking_of(module, name)) is not wanted:
        raise ConfigError(
            f"prepare: {group['tensor_fqn']} must not have a mask of another parametrization, got "
            f"{type(masking_of(module, name)).__name__}; squash it before"
        )
