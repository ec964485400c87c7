"""BaseSparsifier: puts masks on a model's tensors, updates them, and makes them permanent."""

import abc
import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.conversion import convert
from sparsebench.pruning.float_environment import in_default_environment
from sparsebench.pruning.kernels.dispatch import check_memory
from sparsebench.pruning.sparsifiers.element_masks import ElementMasks
from sparsebench.pruning.sparsifiers.groups import (
    check_arguments,
    follow_replaced_module,
    kept_params,
    make_group,
    one_per_tensor,
    parse_state_dict,
    without_location,
    without_module,
)
from sparsebench.pruning.sparsifiers.parametrization import (
    FakeSparsity,
    has_mask,
    mask_parametrization,
    remove_parametrizations,
    unmasked_tensor,
)
from sparsebench.pruning.state import Config, SparsifierState, TensorState

SUPPORTED_MODULES: set[type[nn.Module]] = {nn.Linear}


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` ignored: tensors that the model does not have."""

    unexpected_keys: list[str]


class BaseSparsifier(abc.ABC):
    """Base class of all sparsifiers; a subclass defines :meth:`update_mask`.

    ``prepare`` puts a mask of ones on every tensor that the configuration names, ``step`` calls
    ``update_mask`` for each of them, ``squash_mask`` multiplies the masks in and removes the
    parametrizations. A call that raises ConfigError for its arguments leaves model and sparsifier
    unchanged; for an exception in the caller's own code see :meth:`step`.

    A tensor has one mask, also where several modules hold it (embedding and head, tied layers): it
    has one group, under its first name, and is still one Parameter after ``squash_mask``. Two
    sparsifiers that prepare the same tensor share it: preparing sets it
    to ones, and each step overwrites it.

    Args:
        defaults: configuration of every group that does not override it.

    Attributes:
        groups: one dict per tensor: its configuration, ``tensor_fqn``, ``module_fqn``, ``module``,
            ``tensor_name``, and in ``shared_with`` the other holders, (module, name).
        state: per ``tensor_fqn`` the ``mask`` that is in force, and whatever a subclass adds.
        enable_mask_update: ``step`` changes no mask while this is False.

    Source: ``torch.ao.pruning.BaseSparsifier``; ``docs/semantics.md`` lists the deviations.
    """

    _masks = ElementMasks()

    def __init__(self, defaults: Config | None = None) -> None:
        super().__init__()
        self.defaults: Config = defaults or {}
        self.groups: list[Config] = []
        self.enable_mask_update = True
        self.model: nn.Module | None = None
        self.config: list[Config] | None = None
        self._step_count = 0  # upstream's name, and the one in pickles
        self._state = SparsifierState()

    @property
    def state(self) -> SparsifierState:
        """State per ``tensor_fqn``; ``mask`` is the tensor object that the model applies now."""
        for group in self.groups:
            if "module" in group and has_mask(group["module"], group["tensor_name"]):
                self._state[group["tensor_fqn"]].update(self._module_state(group))
        return self._state

    @state.setter
    def state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the state, for subclasses with their own; masks in force are not changed."""
        self._state = SparsifierState()
        for tensor_fqn, entry in state.items():
            self._state[tensor_fqn].update(entry)

    @property
    def step_count(self) -> int:
        """Number of steps; a scheduler sets it to 0 when it is made."""
        return self._step_count

    @step_count.setter
    def step_count(self, count: int) -> None:
        self._step_count = count

    @abc.abstractmethod
    def update_mask(self, module: nn.Module, tensor_name: str, **kwargs: Any) -> None:
        """Update, in place, the mask on ``module.<tensor_name>``; ``kwargs`` is the whole group."""

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError if ``group`` cannot apply to ``tensor``.

        Called by ``prepare`` and ``load_state_dict``, and again by every ``step``, before any mask
        is changed.
        """
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
            model: has the tensors, parameters or buffers.
            config: dicts with ``tensor_fqn`` and overrides of ``defaults``; ``mask`` gives a mask
                to start from, ``parametrization`` a class to use instead of FakeSparsity. None:
                every supported module of ``model``, or, after unpickling, the former groups.

        Raises:
            ConfigError: ``model`` is no module, ``config`` no list of dicts, a tensor unknown,
                named twice or of a dtype without order, a setting misspelt or out of its range,
                or this sparsifier's masks are still on a model; nothing was changed.
        """
        with ExitStack() as undo:
            undo.callback(self.__dict__.update, copy.copy(self.__dict__))
            self._make_groups(model, config)
            self._prepare()
            undo.pop_all()

    def _make_groups(self, model: nn.Module, config: Sequence[Config] | None) -> None:
        """Set model, configuration and groups; the model is not changed."""
        check_arguments(model, config)
        former, self.groups, self.model = self.groups, [], model
        if any("module" in g and has_mask(g["module"], g["tensor_name"]) for g in former):
            raise ConfigError(
                "prepare: must not follow prepare, but this sparsifier's masks are on a model; "
                "squash_mask() first, or make another sparsifier"
            )
        if config is not None:
            self.config = list(config)
        elif former and not any("module" in group for group in former):  # unpickled
            self.config = [
                {**without_location(g), "mask": self._state[g["tensor_fqn"]].get("mask")}
                for g in former
            ]
        else:
            self.make_config_from_model(model)
        self._state = SparsifierState()
        assert self.config is not None
        groups = [make_group(model, self.defaults, entry, self._masks) for entry in self.config]
        self.groups = one_per_tensor(model, groups)
        self._check_groups(self.groups)

    def _check_groups(self, groups: Sequence[Config]) -> None:
        for group in groups:
            self.check_group(getattr(group["module"], group["tensor_name"]), group)

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        """Put a mask on the tensor of every group; of all of them or none."""
        with ExitStack() as undo:
            for group in self.groups:
                mask, detach = self._masks.attach(group, group.get("mask"))
                undo.callback(detach)
                self._state[group["tensor_fqn"]]["mask"] = mask
            undo.pop_all()

    @in_default_environment
    def step(self, use_path: bool = True) -> None:
        """Update every mask from the current weights: check all groups, then write all masks.

        A group whose ``mask_update_due`` is False (set by a scheduler, see CubicSL) keeps its mask.
        If the caller's own code raises (a callable norm, an ``update_mask``), or gives scores that
        are refused, the groups before that have new masks, the others their former ones, and the
        step does not count. No mask depends on a former one, so the next step corrects it.

        Raises:
            ConfigError: the sparsifier is not prepared, or was squashed, or a setting is out of
                its range; no mask was changed.
        """
        if self.enable_mask_update:
            groups = self._checked_groups()
            with torch.no_grad():
                for group in groups:
                    self.update_mask(**group)
        self._step_count += 1

    def _checked_groups(self) -> list[Config]:
        """Return the groups that are due, with every check of a step done; no mask changes."""
        self._require_masks("step")
        due = [group for group in self.groups if group.get("mask_update_due", True)]
        for group in due:
            self.check_group(unmasked_tensor(group["module"], group["tensor_name"]), group)
        for group in due:
            self._check_memory(group)
            self._check_step(group)
        return due

    def _check_memory(self, group: Config) -> None:
        """Raise ConfigError if no mask can be written: the tensor or the mask was changed."""
        parametrization = mask_parametrization(group["module"], group["tensor_name"])
        if not isinstance(parametrization, FakeSparsity):
            return  # masks of other parametrizations have shapes of their own
        tensor = unmasked_tensor(group["module"], group["tensor_name"])
        try:
            check_memory(parametrization.mask, tensor)
        except ConfigError as error:
            raise ConfigError(f"step: {group['tensor_fqn']}: {error}") from None

    def _check_step(self, group: Config) -> None:
        """Raise ConfigError if a step cannot update this group, though ``prepare`` accepted it."""
        return

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
        self._require_masks("squash_mask")
        kept = kept_params(self.groups, params_to_keep, params_to_keep_per_layer)
        for group, sparse_params in zip(self.groups, kept, strict=True):
            module = group["module"]
            for holder, name in [(module, group["tensor_name"]), *group.get("shared_with", ())]:
                remove_parametrizations(holder, name, masked=True)
            if sparse_params:
                module.sparse_params = sparse_params

    def convert(
        self,
        module: nn.Module,
        mapping: Mapping[type[nn.Module], type[nn.Module]] | None = None,
        inplace: bool = False,
        parameterization: type[nn.Module] = FakeSparsity,
    ) -> nn.Module:
        """Return ``module`` with its masked children replaced, see :func:`conversion.convert`."""
        return convert(module, mapping, inplace, parameterization)

    def state_dict(self) -> dict[str, Any]:
        """Return ``state`` and ``groups`` without modules; later steps do not change the result."""
        return {
            "state": {
                tensor_fqn: {
                    key: value.detach().clone() if isinstance(value, Tensor) else value
                    for key, value in entry.items()
                }
                for tensor_fqn, entry in self.state.items()
            },
            "groups": [without_location(group) for group in self.groups],
        }

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Replace groups and masks by those of ``state_dict``, which is not changed.

        Tensors that are masked here and absent there lose their mask; tensors that are not masked
        yet get one. A mask keeps its bits and gets the weight's device and floating dtype.

        Args:
            strict: raise if the model lacks a tensor of ``state_dict``, else ignore that tensor.

        Returns:
            The tensors that were ignored.

        Raises:
            ConfigError: not prepared, not the form that ``state_dict()`` gives, an unknown tensor,
                a mask of another shape, or settings that are absent or do not apply; nothing was
                changed.
        """
        model = self._require_model("load_state_dict")
        loaded = parse_state_dict(model, state_dict, self._masks)
        if strict and loaded.missing:
            raise ConfigError(
                "load_state_dict: the model must have every tensor of the state, got "
                f"{loaded.missing[0]!r}, which it lacks; strict=False ignores such tensors"
            )
        self._check_groups(loaded.groups)
        for group in self.groups:
            masked = has_mask(group["module"], group["tensor_name"])
            if masked and group["tensor_fqn"] not in loaded.states:
                self._masks.detach(group)
        self.groups = loaded.groups
        self._state = SparsifierState()
        for group in loaded.groups:
            self._restore(group, loaded.states[group["tensor_fqn"]])
        return IncompatibleKeys(loaded.missing)

    def _restore(self, group: Config, entry: TensorState) -> None:
        """Set mask and state of one tensor to a loaded ``entry``; a mask object is kept."""
        module, name = group["module"], group["tensor_name"]
        parametrization = self._masks.parametrization(group)
        if (
            has_mask(module, name)
            and type(mask_parametrization(module, name)) is not parametrization
        ):
            self._masks.detach(group)
        mask = entry.pop("mask", None)
        if mask is not None or not has_mask(module, name):
            self._state[group["tensor_fqn"]]["mask"], _ = self._masks.attach(group, mask)
        self._state[group["tensor_fqn"]].update(entry)

    def _module_state(self, group: Config) -> dict[str, Any]:
        """Return the part of a tensor's state that its module holds."""
        return {"mask": mask_parametrization(group["module"], group["tensor_name"]).mask}

    def _require_model(self, caller: str) -> nn.Module:
        if self.model is None:
            raise ConfigError(f"{caller}: must follow prepare(model, config)")
        return self.model

    def _require_masks(self, caller: str) -> None:
        """Raise ConfigError if a group's tensor has no mask; groups follow replaced modules."""
        model = self._require_model(caller)
        for group in self.groups:
            if not has_mask(group["module"], group["tensor_name"]):
                raise ConfigError(
                    f"{caller}: {group['tensor_fqn']} must carry a mask, got none; was it squashed "
                    "already?"
                )
            follow_replaced_module(model, group)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the model; after unpickling, ``prepare(model)`` restores it."""
        return {
            **self.__dict__,
            "model": None,
            "config": [without_module(entry) for entry in self.config or ()],
            "groups": [without_module(group) for group in self.groups],
            "_state": self.state,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> "BaseSparsifier":
        copied = self.__class__.__new__(self.__class__)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.groups):
            lines += [f"\tGroup {index}", f"\t    module: {group.get('module')}"]
            lines += [f"\t    {key}: {group[key]}" for key in sorted(group) if key != "module"]
        return "\n".join([*lines, ")"])
