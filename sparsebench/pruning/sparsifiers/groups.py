"""A sparsifier's groups: a configuration entry in, a checked group with its module out."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from sparsebench.pruning.sparsifiers.parametrization import (
    has_mask,
    mask_parametrization,
    parametrizations_of,
)
from sparsebench.pruning.state import Config, TensorState

# Keys of a group that belong to one model; they are derived from its tensor_fqn.
_LOCATION = ("module", "module_fqn", "tensor_name", "shared_with")

# Settings that define a pattern of blocks.
PATTERN_SETTINGS = ("sparsity_level", "sparse_block_shape", "zeros_per_block")

# Dtypes with an order: complex numbers have none, and torch computes too little in fp8.
_RANKED_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

# Settings of sparsifiers that are not among their defaults.
_OTHER_SETTINGS = ("parametrization", "prune_bias", "mask_update_due")
_MISSPELT_CUTOFF = 0.85  # difflib's ratio from which an unknown key is a misspelt setting


@dataclass(frozen=True)
class LoadedState:
    """The content of a sparsifier's ``state_dict``, located in a model.

    Attributes:
        groups: one per tensor that the model has.
        states: per ``tensor_fqn`` of ``groups`` what was saved, the mask included.
        missing: each ``tensor_fqn`` that the model does not have.
    """

    groups: list[Config]
    states: dict[str, TensorState]
    missing: list[str]


def check_arguments(model: object, config: object) -> None:
    """Raise ConfigError unless these are a module and an iterable or None."""
    if not isinstance(model, nn.Module):
        raise ConfigError(f"prepare: model must be an nn.Module, got {shown(model)}")
    if config is not None and not isinstance(config, Iterable):
        raise ConfigError(
            "config: must be a list of dicts like {'tensor_fqn': 'layer.weight'}, "
            f"got {shown(config)}"
        )


def make_group(model: nn.Module, defaults: Config, entry: Config, masks: ElementMasks) -> Config:
    """Return ``defaults`` overridden by ``entry``, with the tensor's module and names.

    Raises:
        ConfigError: ``entry`` is no dict with a ``tensor_fqn`` of ``model``, its location disagrees
            with that, a key of it is a misspelt setting, or its tensor is computed from others,
            has no shape yet, a dtype without order, a mask of another parametrization, or another
            shape than the ``mask`` given.
    """
    if not isinstance(entry, dict):
        raise ConfigError(
            "config: must be a list of dicts like {'tensor_fqn': 'layer.weight'}, "
            f"got an element of type {type(entry).__name__}"
        )
    if "tensor_fqn" not in entry:
        raise ConfigError(f"config: every element must have a 'tensor_fqn', got {entry!r}")
    check_spelling(str(entry["tensor_fqn"]), entry, defaults)
    group = _located(model, {**copy.deepcopy(defaults), **entry})
    if not _has_tensor(group):
        names = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
        raise ConfigError(f"prepare: {unknown_name('tensor_fqn', group['tensor_fqn'], names)}")
    for key in _LOCATION:
        if key in entry and entry[key] != group[key]:
            raise ConfigError(
                f"config: {key} must agree with tensor_fqn={entry['tensor_fqn']!r}, "
                f"got {key}={entry[key]!r}"
            )
    _check_tensor(group, masks)
    return group


def _check_tensor(group: Config, masks: ElementMasks) -> None:
    """Raise ConfigError if no mask can be put on the group's tensor."""
    fqn, module, name = group["tensor_fqn"], group["module"], group["tensor_name"]
    is_own = name in module._parameters or name in module._buffers
    if not is_own and not parametrize.is_parametrized(module, name):
        raise ConfigError(
            f"prepare: {fqn} must be a parameter or a buffer, got a tensor that is computed from "
            "others (torch.nn.utils.prune or weight_norm?); make it permanent first"
        )
    if has_mask(module, name):
        kind = type(mask_parametrization(module, name))
        if kind is not masks.parametrization(group):
            raise ConfigError(
                f"prepare: {fqn} must not have a mask of another parametrization, got "
                f"{kind.__name__}; squash it first"
            )
    tensor = getattr(module, name)
    if is_lazy(tensor):
        raise ConfigError(f"prepare: {fqn} must have a shape, got a lazy module; run it once first")
    check_dtype(fqn, tensor)
    masks.check_shape(group, group)


def check_spelling(where: str, entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise ConfigError if a key of ``entry`` looks like a setting that ``entry`` does not have.

    Callers may add keys of their own (``squash_mask`` can keep them), so only near misses are
    refused. A key that resembles a setting is accepted beside that setting.
    """
    settings = {*defaults, *_OTHER_SETTINGS}
    absent = [setting for setting in settings if setting not in entry]
    for key in entry:
        if key in settings:
            continue
        if get_close_matches(str(key), absent, n=1, cutoff=_MISSPELT_CUTOFF):
            raise ConfigError(f"{where}: {unknown_name('setting', str(key), absent)}")


def check_dtype(where: str, tensor: Tensor) -> None:
    """Raise ConfigError if the tensor's dtype has no order, or torch does not compute in it."""
    if tensor.dtype not in _RANKED_DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in _RANKED_DTYPES)
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise ConfigError(f"{where}: dtype must be one of {names}, got {dtype}")


def settings(group: Config, *keys: str) -> list[Any]:
    """Return the group's values of ``keys``; ConfigError if it lacks one."""
    try:
        return [group[key] for key in keys]
    except KeyError as error:
        raise ConfigError(
            f"{group['tensor_fqn']}: {error.args[0]} must be given, in the group or the defaults"
        ) from None


def one_per_tensor(model: nn.Module, groups: Sequence[Config]) -> list[Config]:
    """Return the groups without repetitions of a tensor that several modules hold.

    Such a tensor (embedding and head, tied layers) has one group, that of its first name;
    ``shared_with`` lists its other holders as (module, tensor_name).

    Raises:
        ConfigError: a tensor is named twice under one name, also under two names of a shared
            module, or under two names with different settings.
    """
    holders = _holders(model)
    first: dict[tuple[int, str], Config] = {}
    kept = []
    for group in groups:
        own = (group["module"], group["tensor_name"])
        shared = holders.get(_tensor_id(*own), [own])
        key = (id(shared[0][0]), shared[0][1])
        former = first.get(key)
        if former is None:
            first[key] = group
            kept.append({**group, "shared_with": [each for each in shared if each != own]})
            continue
        names = f"{former['tensor_fqn']!r} and {group['tensor_fqn']!r}"
        if own == (former["module"], former["tensor_name"]):
            raise ConfigError(f"config: a tensor must be named once, got {names} for the same one")
        if not _same_settings(former, group):
            raise ConfigError(
                f"config: {names} are one tensor and must have the same settings, got different "
                "ones; name one of them"
            )
    return kept


def _holders(model: nn.Module) -> dict[int, list[tuple[nn.Module, str]]]:
    """Return per tensor (by id, parametrized or not) the modules that hold it, in model order."""
    holders: dict[int, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        if isinstance(module, parametrize.ParametrizationList):
            continue
        lists = module._modules.get("parametrizations")
        masked = list(lists._modules) if isinstance(lists, nn.ModuleDict) else []
        for name in (*module._parameters, *module._buffers, *masked):
            identity = _tensor_id(module, name)
            if identity:
                holders.setdefault(identity, []).append((module, name))
    return holders


def _tensor_id(module: nn.Module, name: str) -> int:
    """Return the id of a parameter or buffer, also under a mask; else 0.

    Other parametrizations make another tensor of it, which no two modules share.
    """
    own: Tensor | None = module._parameters.get(name)
    own = module._buffers.get(name) if own is None else own
    if own is None and has_mask(module, name):
        parametrizations = parametrizations_of(module, name)
        if len(parametrizations) == 1 and parametrizations.is_tensor:
            own = parametrizations._parameters.get("original")
            own = parametrizations._buffers.get("original") if own is None else own
    return 0 if own is None else id(own)


def _same_settings(one: Config, other: Config) -> bool:
    ignored = {*_LOCATION, "tensor_fqn", "mask"}
    masks = one.get("mask"), other.get("mask")
    given = [mask for mask in masks if mask is not None]
    same_masks = not given or (len(given) == 2 and torch.equal(*given))
    plain = [{k: v for k, v in group.items() if k not in ignored} for group in (one, other)]
    return same_masks and plain[0] == plain[1]


def follow_replaced_module(model: nn.Module, group: Config) -> None:
    """Point ``group`` to the module that replaced its module in ``model`` and has its mask.

    ``prepare_qat`` and ``fuse_modules`` put new modules under old names, with the parametrizations
    of the old ones. Without this, masks would come from weights that the model no longer uses.
    """
    module, name = fqn_to_module(model, group["module_fqn"]), group["tensor_name"]
    if module is group["module"] or not isinstance(module, nn.Module) or not has_mask(module, name):
        return
    if mask_parametrization(module, name) is mask_parametrization(group["module"], name):
        group["module"] = module


def without_location(group: Config) -> Config:
    """Return the group as it is saved: without what belongs to one model."""
    return {key: value for key, value in group.items() if key not in _LOCATION}


def without_module(group: Config) -> Config:
    """Return the group as it is pickled: without its modules."""
    return {key: value for key, value in group.items() if key not in ("module", "shared_with")}


def kept_params(
    groups: Sequence[Config],
    for_all: Sequence[str] | None,
    per_layer: Mapping[str, Sequence[str]] | None,
) -> list[Config]:
    """Return what ``squash_mask`` leaves of each group: the keys for all, and for its layer.

    Raises:
        ConfigError: an unknown layer or key, or keys that are no list.
    """
    per_layer = per_layer or {}
    layers = {group["module_fqn"] for group in groups}
    for layer in per_layer:
        if layer not in layers:
            raise ConfigError(f"squash_mask: {unknown_name('layer', layer, layers)}")
    kept = []
    for group in groups:
        lists = for_all or (), per_layer.get(group["module_fqn"], ())
        for keys in lists:
            if isinstance(keys, str):
                raise ConfigError(f"squash_mask: must get a list of keys, got {shown(keys)}")
        keys = [*lists[0], *lists[1]]
        for key in keys:
            if key not in group:
                raise ConfigError(f"squash_mask: {unknown_name('parameter to keep', key, group)}")
        kept.append({key: group[key] for key in keys})
    return kept


def parse_state_dict(
    model: nn.Module, state_dict: Mapping[str, Any], masks: ElementMasks
) -> LoadedState:
    """Return copies of the groups and states of ``state_dict``, located in ``model``.

    Raises:
        ConfigError: ``state_dict`` does not have the form that ``state_dict()`` gives, or has a
            mask of another shape than its tensor, or a tensor twice or of a dtype without order.
    """
    check_keys(state_dict, state=Mapping, groups=Sequence)
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
    groups, missing = [], []
    for saved in state_dict["groups"]:
        group = _located(model, copy.deepcopy(dict(saved)))
        if _has_tensor(group):
            groups.append(group)
        else:
            missing.append(saved["tensor_fqn"])
    groups = one_per_tensor(model, groups)
    states = {}
    for group in groups:
        check_dtype(group["tensor_fqn"], getattr(group["module"], group["tensor_name"]))
        entry = state_dict["state"].get(group["tensor_fqn"], {})
        masks.check_shape(group, entry)
        states[group["tensor_fqn"]] = TensorState(copy.deepcopy(dict(entry)))
    return LoadedState(groups, states, missing)


def check_keys(state_dict: object, **kinds: type) -> None:
    """Raise ConfigError unless ``state_dict`` is a mapping whose ``kinds`` have these types."""
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


def _located(model: nn.Module, group: Config) -> Config:
    """Return ``group`` with its module and names; a leading dot of ``tensor_fqn`` is dropped."""
    fqn = str(group["tensor_fqn"]).removeprefix(".")
    return {**group, **get_arg_info_from_tensor_fqn(model, fqn)}


def _has_tensor(group: Config) -> bool:
    """Return whether there is a tensor at the group's location."""
    module = group["module"]
    return isinstance(module, nn.Module) and isinstance(
        getattr(module, group["tensor_name"], None), Tensor
    )
