"""BaseSparsifier: puts masks on a model's tensors, updates them, and makes them permanent."""

import abc
import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.conversion import convert
from sparsebench.pruning.fqn import get_arg_info_from_tensor_fqn
from sparsebench.pruning.parametrization import (
    FakeSparsity,
    has_mask,
    masking_of,
    parametrizations_of,
)
from sparsebench.pruning.state import SparsifierState, TensorState

SUPPORTED_MODULES: set[type[nn.Module]] = {nn.Linear}

Config = dict[str, Any]

_LOCATION = ("module", "module_fqn", "tensor_name")  # of a group; found again from its tensor_fqn


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` passed over: tensors that the model does not have."""

    unexpected_keys: list[str]


class BaseSparsifier(abc.ABC):
    """What all sparsifiers share; a subclass defines :meth:`update_mask`.

    ``prepare`` puts a mask of ones on every tensor that the configuration names, ``step`` has the
    subclass update the masks in place, ``squash_mask`` multiplies them in and takes the
    parametrizations away. A call that raises leaves model and sparsifier as they were.

    Args:
        defaults: configuration of every group that does not override it.

    Attributes:
        groups: one dict a tensor: its configuration, ``tensor_fqn``, ``module_fqn``, ``module``
            and ``tensor_name``.
        state: per ``tensor_fqn`` the ``mask`` that is in force, and whatever a subclass adds.
        enable_mask_update: ``step`` does nothing while this is False.

    Source: ``torch.ao.pruning.BaseSparsifier``; ``docs/semantics.md`` lists the deviations.
    """

    _mask_rule = "the tensor's shape"

    def __init__(self, defaults: Config | None = None) -> None:
        super().__init__()
        self.defaults: Config = defaults or {}
        self.groups: list[Config] = []
        self.enable_mask_update = True
        self.model: nn.Module | None = None
        self.config: list[Config] | None = None
        self._state = SparsifierState()

    @property
    def state(self) -> SparsifierState:
        """State per ``tensor_fqn``; ``mask`` is the very tensor that the model applies now."""
        for group in self.groups:
            if "module" in group and has_mask(group["module"], group["tensor_name"]):
                mask = masking_of(group["module"], group["tensor_name"]).mask
                self._state[group["tensor_fqn"]]["mask"] = mask
        return self._state

    @abc.abstractmethod
    def update_mask(self, module: nn.Module, tensor_name: str, **kwargs: Any) -> None:
        """Update, in place, the mask on ``module.<tensor_name>``; ``kwargs`` is its whole group."""

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError where ``group`` cannot apply to ``tensor``; called by ``prepare``."""
        return  # a subclass without settings has none to check

    def make_config_from_model(
        self,
        model: nn.Module,
        SUPPORTED_MODULES: Iterable[type[nn.Module]] = SUPPORTED_MODULES,  # noqa: N803  # upstream's
    ) -> None:
        """Set ``config`` to the ``weight`` of every supported module, subclasses and root included.

        Raises:
            ConfigError: ``model`` has no such module.
        """
        supported = tuple(SUPPORTED_MODULES)
        names = [name for name, m in model.named_modules() if isinstance(m, supported)]
        if not names:
            kinds = ", ".join(sorted(kind.__name__ for kind in supported))
            raise ConfigError(
                f"config: must name tensors where the model has no module of type {kinds}, got None"
            )
        self.config = [{"tensor_fqn": f"{name}.weight".lstrip(".")} for name in names]

    def prepare(self, model: nn.Module, config: Sequence[Config] | None = None) -> None:
        """Put a mask of ones on each tensor that ``config`` names; ``model`` changes in place.

        Args:
            model: holds the tensors, parameters or buffers.
            config: dicts with ``tensor_fqn`` and overrides of ``defaults``; ``mask`` gives a mask
                to start from, ``parametrization`` a class to use instead of FakeSparsity. None:
                every supported module of ``model``, or, after unpickling, the former groups.

        Raises:
            ConfigError: no such tensor, one named twice or masked already, or a setting out of
                its range; nothing was changed.
        """
        with ExitStack() as undo:
            undo.callback(self.__dict__.update, copy.copy(self.__dict__))
            self._adopt(model, config)
            self._prepare()
            undo.pop_all()

    def step(self, use_path: bool = True) -> None:
        """Update every mask from the weights as they are now.

        Raises:
            ConfigError: the sparsifier is not prepared, or was squashed.
        """
        if not self.enable_mask_update:
            return
        for group in self.groups:
            self._require_mask(group)
        with torch.no_grad():
            for group in self.groups:
                self.update_mask(**group)

    def squash_mask(
        self,
        params_to_keep: Sequence[str] | None = None,
        params_to_keep_per_layer: Mapping[str, Sequence[str]] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Make the masked values permanent and remove the parametrizations.

        Args:
            params_to_keep: keys of the groups to leave on each module, as ``module.sparse_params``.
            params_to_keep_per_layer: more keys, by ``module_fqn``.

        Raises:
            ConfigError: squashed already, or a layer or key that no group has.
        """
        kept = [
            self._kept(group, params_to_keep, params_to_keep_per_layer) for group in self.groups
        ]
        self._check_layers(params_to_keep_per_layer or {})
        for group in self.groups:
            self._require_mask(group)
        for group, sparse_params in zip(self.groups, kept, strict=True):
            module = group["module"]
            parametrize.remove_parametrizations(module, group["tensor_name"])
            if sparse_params:
                module.sparse_params = sparse_params

    def convert(
        self,
        module: nn.Module,
        mapping: Mapping[type[nn.Module], type[nn.Module]] | None = None,
        inplace: bool = False,
        parameterization: type[nn.Module] = FakeSparsity,
    ) -> nn.Module:
        """``module`` with its masked children replaced, see :func:`conversion.convert`."""
        return convert(module, mapping, inplace, parameterization)

    def state_dict(self) -> dict[str, Any]:
        """``state`` (masks included) and ``groups`` without their modules, sharing no container."""
        return {
            "state": {fqn: dict(entry) for fqn, entry in self.state.items()},
            "groups": [
                {key: value for key, value in group.items() if key not in _LOCATION}
                for group in self.groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Take over the groups and masks of ``state_dict``, which stays as it is.

        Tensors that are masked here and absent there lose their mask; tensors that are not masked
        yet get one. A mask keeps its bits and takes the weight's device and floating dtype.

        Args:
            strict: raise where the model lacks a tensor of ``state_dict``, else pass over it.

        Returns:
            The tensors that were passed over.

        Raises:
            ConfigError: not prepared, an unknown tensor, or a mask of another shape.
        """
        model = self._require_model("load_state_dict")
        missing = [g["tensor_fqn"] for g in state_dict["groups"] if not _exists(model, g)]
        if strict and missing:
            raise ConfigError(f"load_state_dict: {_no_tensor(model, missing[0])}")
        groups = [_located(model, group) for group in state_dict["groups"] if _exists(model, group)]
        state = {group["tensor_fqn"]: _entry(state_dict, group) for group in groups}
        for group in groups:
            self._check_mask_shape(group, state[group["tensor_fqn"]])
        self._release({group["tensor_fqn"] for group in groups})
        self.groups = groups
        self._state = SparsifierState()
        for group in groups:
            self._restore(group, state[group["tensor_fqn"]])
        return IncompatibleKeys(missing)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the model: a pickle restores it by ``prepare(model)``."""
        return {
            **self.__dict__,
            "model": None,
            "config": _without_modules(self.config or ()),
            "groups": _without_modules(self.groups),
            "_state": self.state,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> "BaseSparsifier":
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.groups):
            lines += [f"\tGroup {index}", f"\t    module: {group.get('module')}"]
            lines += [f"\t    {key}: {group[key]}" for key in sorted(group) if key != "module"]
        return "\n".join(lines) + ")"

    def _adopt(self, model: nn.Module, config: Sequence[Config] | None) -> None:
        """Take over model and configuration and make the groups, touching nothing of the model."""
        former, self.model, self.groups = self.groups, model, []
        if any("module" in group for group in former):
            raise ConfigError("prepare: must be called once, but this sparsifier is prepared")
        if config is not None:
            self.config = list(config)
        elif former:
            self.config = [self._recalled(group) for group in former]
        else:
            self.make_config_from_model(model)
        self._state = SparsifierState()
        assert self.config is not None
        self.groups = [self._group(model, entry) for entry in self.config]
        _check_distinct(self.groups)

    def _recalled(self, group: Config) -> Config:
        """A group of an unpickled sparsifier as configuration, with the mask it had."""
        entry = {key: value for key, value in group.items() if key not in _LOCATION}
        return {**entry, "mask": self._state[group["tensor_fqn"]]["mask"]}

    def _group(self, model: nn.Module, entry: Config) -> Config:
        """Defaults, overrides and location of one tensor, checked."""
        if not isinstance(entry, dict):
            raise ConfigError(
                f"config: must be a list of dicts like {{'tensor_fqn': 'layer.weight'}}, "
                f"got an element of type {type(entry).__name__}"
            )
        if "tensor_fqn" not in entry:
            raise ConfigError(f"config: every element must have a 'tensor_fqn', got {entry!r}")
        group = _located(model, {**copy.deepcopy(self.defaults), **entry})
        if not _exists(model, group):
            raise ConfigError(f"prepare: {_no_tensor(model, group['tensor_fqn'])}")
        for key in _LOCATION:
            if key in entry and entry[key] != group[key]:
                raise ConfigError(
                    f"config: {key} must agree with tensor_fqn={entry['tensor_fqn']!r}, "
                    f"got {key}={entry[key]!r}"
                )
        if has_mask(group["module"], group["tensor_name"]):
            raise ConfigError(f"prepare: {group['tensor_fqn']} must not have a mask already")
        tensor = getattr(group["module"], group["tensor_name"])
        if is_lazy(tensor):
            raise ConfigError(
                f"prepare: {group['tensor_fqn']} must have a shape; run a lazy module once before"
            )
        self._check_mask_shape(group, group)
        self.check_group(tensor, group)
        return group

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        """Register a mask for every group; all or none."""
        with ExitStack() as undo:
            for group in self.groups:
                self._attach(group, group.get("mask"))
                undo.callback(self._detach, group)
            undo.pop_all()

    def _attach(self, group: Config, mask: Tensor | None) -> None:
        module, name = group["module"], group["tensor_name"]
        tensor = getattr(module, name).detach()
        mask = self._full_mask(tensor) if mask is None else _fitted(mask, tensor)
        parametrization = group.get("parametrization", FakeSparsity)(mask)
        parametrize.register_parametrization(module, name, parametrization)
        self._state[group["tensor_fqn"]]["mask"] = mask

    def _detach(self, group: Config) -> None:
        """Take our mask off a tensor, leaving the unmasked values and other parametrizations."""
        module, name = group["module"], group["tensor_name"]
        if len(parametrizations_of(module, name)) == 1:
            parametrize.remove_parametrizations(module, name, leave_parametrized=False)
        else:  # torch cannot remove one of several: a mask of ones changes nothing
            masking_of(module, name).mask.fill_(1)

    def _full_mask(self, tensor: Tensor) -> Tensor:
        """The mask that prunes nothing of ``tensor``; every mask has its shape."""
        return torch.ones_like(tensor)

    def _check_mask_shape(self, group: Config, holder: Mapping[str, Any]) -> None:
        mask, tensor = holder.get("mask"), getattr(group["module"], group["tensor_name"])
        shape = self._full_mask(tensor.detach()).shape
        if mask is not None and mask.shape != shape:
            raise ConfigError(
                f"{group['tensor_fqn']}: a mask must have {self._mask_rule} {tuple(shape)}, "
                f"got {tuple(mask.shape)}"
            )

    def _restore(self, group: Config, entry: TensorState) -> None:
        """Give one tensor the mask of a loaded state, in the mask object that it has, if any."""
        module, name = group["module"], group["tensor_name"]
        mask = entry.pop("mask", None)
        if not has_mask(module, name):
            self._attach(group, mask)
        elif mask is not None:
            current, loaded = masking_of(module, name).mask, _fitted(mask, getattr(module, name))
            if current.dtype == loaded.dtype:
                current.copy_(loaded)
            else:
                current.data = loaded
        self._state[group["tensor_fqn"]].update(entry)

    def _release(self, keep: set[str]) -> None:
        """Take the mask off every tensor that is not in ``keep``."""
        for group in self.groups:
            if group["tensor_fqn"] not in keep and has_mask(group["module"], group["tensor_name"]):
                self._detach(group)

    def _require_model(self, caller: str) -> nn.Module:
        if self.model is None:
            raise ConfigError(f"{caller}: must follow prepare(model, config)")
        return self.model

    def _require_mask(self, group: Config) -> None:
        self._require_model("step")
        if not has_mask(group["module"], group["tensor_name"]):
            raise ConfigError(
                f"{group['tensor_fqn']}: must carry a mask, but has none; was it squashed already?"
            )

    def _kept(
        self,
        group: Config,
        everywhere: Sequence[str] | None,
        per_layer: Mapping[str, Sequence[str]] | None,
    ) -> Config:
        keys = [*(everywhere or ()), *(per_layer or {}).get(group["module_fqn"], ())]
        for key in keys:
            if key not in group:
                raise ConfigError(f"squash_mask: {unknown_name('parameter to keep', key, group)}")
        return {key: group[key] for key in keys}

    def _check_layers(self, per_layer: Mapping[str, Sequence[str]]) -> None:
        known = {group["module_fqn"] for group in self.groups}
        for layer in per_layer:
            if layer not in known:
                raise ConfigError(f"squash_mask: {unknown_name('layer', layer, known)}")


def _without_modules(groups: Iterable[Config]) -> list[Config]:
    return [{key: value for key, value in group.items() if key != "module"} for group in groups]


def _located(model: nn.Module, group: Config) -> Config:
    """``group`` with its module and names; a leading dot of ``tensor_fqn`` is dropped."""
    fqn = str(group["tensor_fqn"]).removeprefix(".")
    return {**group, **get_arg_info_from_tensor_fqn(model, fqn)}


def _exists(model: nn.Module, group: Config) -> bool:
    info = get_arg_info_from_tensor_fqn(model, str(group["tensor_fqn"]).removeprefix("."))
    tensor = getattr(info["module"], info["tensor_name"], None)
    return isinstance(info["module"], nn.Module) and isinstance(tensor, Tensor)


def _no_tensor(model: nn.Module, tensor_fqn: str) -> str:
    tensors = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]
    return unknown_name("tensor_fqn", tensor_fqn, tensors)


def _entry(state_dict: dict[str, Any], group: Config) -> TensorState:
    return TensorState(copy.deepcopy(dict(state_dict["state"].get(group["tensor_fqn"], {}))))


def _check_distinct(groups: Sequence[Config]) -> None:
    """One tensor may be named once, also under two names of one shared module."""
    seen: dict[tuple[int, str], str] = {}
    for group in groups:
        key = (id(group["module"]), group["tensor_name"])
        if key in seen:
            raise ConfigError(
                f"config: a tensor must be named once, got {seen[key]!r} and "
                f"{group['tensor_fqn']!r} for the same one"
            )
        seen[key] = group["tensor_fqn"]


def _fitted(mask: Tensor, tensor: Tensor) -> Tensor:
    """``mask`` on the device of ``tensor``, floats in its dtype; other dtypes are the caller's."""
    dtype = tensor.dtype if mask.is_floating_point() else mask.dtype
    return mask.detach().to(device=tensor.device, dtype=dtype)
