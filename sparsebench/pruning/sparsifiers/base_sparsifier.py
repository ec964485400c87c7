"""BaseSparsifier: puts masks on a model's tensors, updates them, and makes them permanent."""

import abc
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError
from sparsebench.pruning.conversion import convert
from sparsebench.pruning.sparsifiers.element_masks import ElementMasks
from sparsebench.pruning.sparsifiers.groups import (
    check_arguments,
    check_distinct,
    check_layers,
    follow,
    kept,
    loaded,
    make_group,
    stored,
    without_modules,
)
from sparsebench.pruning.sparsifiers.parametrization import (
    FakeSparsity,
    has_mask,
    masking_of,
    unmasked_tensor,
)
from sparsebench.pruning.sparsifiers.state import Config, SparsifierState, TensorState, snapshot

SUPPORTED_MODULES: set[type[nn.Module]] = {nn.Linear}


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` passed over: tensors that the model does not have."""

    unexpected_keys: list[str]


class BaseSparsifier(abc.ABC):
    """What all sparsifiers share; a subclass defines :meth:`update_mask`.

    ``prepare`` puts a mask of ones on every tensor that the configuration names, ``step`` has the
    subclass update the masks in place, ``squash_mask`` multiplies them in and takes the
    parametrizations away. A call that is refused by a ConfigError for what it was given leaves
    model and sparsifier as they were; for code of the caller's own that raises see :meth:`step`.

    A tensor has one mask. Where two sparsifiers prepare the same tensor they share it: preparing
    sets it to ones, and whichever steps last has written it.

    Args:
        defaults: configuration of every group that does not override it.

    Attributes:
        groups: one dict a tensor: its configuration, ``tensor_fqn``, ``module_fqn``, ``module``
            and ``tensor_name``.
        state: per ``tensor_fqn`` the ``mask`` that is in force, and whatever a subclass adds.
        enable_mask_update: ``step`` does nothing while this is False.

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
        self._step_count = 0
        self._state = SparsifierState()

    @property
    def state(self) -> SparsifierState:
        """State per ``tensor_fqn``; ``mask`` is the very tensor that the model applies now."""
        for group in self.groups:
            if "module" in group and has_mask(group["module"], group["tensor_name"]):
                self._state[group["tensor_fqn"]].update(self._in_force(group))
        return self._state

    @state.setter
    def state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """For subclasses that bring their own; masks stay those that are in force."""
        self._state = SparsifierState()
        for tensor_fqn, entry in state.items():
            self._state[tensor_fqn].update(entry)

    @abc.abstractmethod
    def update_mask(self, module: nn.Module, tensor_name: str, **kwargs: Any) -> None:
        """Update, in place, the mask on ``module.<tensor_name>``; ``kwargs`` is its whole group."""

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError where ``group`` cannot apply to ``tensor``.

        Called by ``prepare`` and ``load_state_dict``, and again by every ``step``, before any mask
        is touched.
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
            model: holds the tensors, parameters or buffers.
            config: dicts with ``tensor_fqn`` and overrides of ``defaults``; ``mask`` gives a mask
                to start from, ``parametrization`` a class to use instead of FakeSparsity. None:
                every supported module of ``model``, or, after unpickling, the former groups.

        Raises:
            ConfigError: ``model`` is no module, ``config`` no list of dicts, a tensor unknown,
                named twice or of a dtype that has no order, a setting misspelt or out of its range,
                or this sparsifier's masks are still on a model; nothing was changed.
        """
        with ExitStack() as undo:
            undo.callback(self.__dict__.update, copy.copy(self.__dict__))
            self._adopt(model, config)
            self._prepare()
            undo.pop_all()

    def step(self, use_path: bool = True) -> None:
        """Update every mask from the weights as they are now.

        A group whose ``mask_update_due`` is False (a scheduler's word, see CubicSL) keeps its mask.
        Where the caller's own code raises (a callable norm, an ``update_mask``), or gives scores
        that are refused, the tensors before have their new masks, the others those they had, and
        the step does not count; masks depend on none before them, so the next step mends it.

        Raises:
            ConfigError: the sparsifier is not prepared, or was squashed, or a setting is out of
                its range; no mask was touched.
        """
        if self.enable_mask_update:
            self._step()
        self._step_count += 1

    def _step(self) -> None:
        self._require_masks("step")
        due = [group for group in self.groups if group.get("mask_update_due", True)]
        for group in due:
            self.check_group(unmasked_tensor(group["module"], group["tensor_name"]), group)
        self._update_masks(due)

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
        check_layers(self.groups, params_to_keep_per_layer or {})
        saved = [kept(group, params_to_keep, params_to_keep_per_layer) for group in self.groups]
        for group, sparse_params in zip(self.groups, saved, strict=True):
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
        """``state`` and ``groups`` without their modules; a later step changes nothing of it."""
        return {
            "state": {fqn: snapshot(entry) for fqn, entry in self.state.items()},
            "groups": [stored(group) for group in self.groups],
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
            ConfigError: not prepared, something that ``state_dict()`` never gives, an unknown
                tensor, a mask of another shape, or settings that lack or do not apply; nothing was
                changed.
        """
        model = self._require_model("load_state_dict")
        groups, states, missing = loaded(model, state_dict, self._masks)
        if strict and missing:
            raise ConfigError(
                f"load_state_dict: the model must have every tensor of the state, got "
                f"{missing[0]!r} besides; strict=False passes over it"
            )
        self._check_groups(groups)
        self._release({group["tensor_fqn"] for group in groups})
        self.groups = groups
        self._state = SparsifierState()
        for group in groups:
            self._restore(group, states[group["tensor_fqn"]])
        return IncompatibleKeys(missing)

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the model: a pickle restores it by ``prepare(model)``."""
        return {
            **self.__dict__,
            "model": None,
            "config": without_modules(self.config or ()),
            "groups": without_modules(self.groups),
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
        return "\n".join([*lines, ")"])

    def _adopt(self, model: nn.Module, config: Sequence[Config] | None) -> None:
        """Take over model and configuration and make the groups, touching nothing of the model."""
        check_arguments(model, config)
        former, self.groups, self.model = self.groups, [], model
        if any("module" in g and has_mask(g["module"], g["tensor_name"]) for g in former):
            raise ConfigError(
                "prepare: must not follow prepare, but this sparsifier's masks are on a model; "
                "squash_mask() first, or make another sparsifier"
            )
        if config is not None:
            self.config = list(config)
        elif former and not any("module" in group for group in former):
            self.config = [self._recalled(group) for group in former]
        else:
            self.make_config_from_model(model)
        self._state = SparsifierState()
        assert self.config is not None
        self.groups = [
            make_group(model, self.defaults, entry, self._masks) for entry in self.config
        ]
        check_distinct(self.groups)
        self._check_groups(self.groups)

    def _check_groups(self, groups: Sequence[Config]) -> None:
        for group in groups:
            self.check_group(getattr(group["module"], group["tensor_name"]), group)

    def _recalled(self, group: Config) -> Config:
        """A group of an unpickled sparsifier as configuration, with the mask it had."""
        return {**stored(group), "mask": self._state[group["tensor_fqn"]].get("mask")}

    def _prepare(self, *args: Any, **kwargs: Any) -> None:
        """Register a mask for every group; all or none."""
        with ExitStack() as undo:
            for group in self.groups:
                undo.callback(self._attach(group, group.get("mask")))
            undo.pop_all()

    def _attach(self, group: Config, mask: Tensor | None) -> Callable[[], object]:
        """Put a mask on one tensor; returns what undoes it."""
        in_force, undo = self._masks.attach(group, mask)
        self._state[group["tensor_fqn"]]["mask"] = in_force
        return undo

    def _restore(self, group: Config, entry: TensorState) -> None:
        """Give one tensor the mask of a loaded state, in the mask object that it has, if any."""
        module, name = group["module"], group["tensor_name"]
        wanted = self._masks.parametrization(group)
        if has_mask(module, name) and type(masking_of(module, name)) is not wanted:
            self._masks.detach(group)
        mask = entry.pop("mask", None)
        if mask is not None or not has_mask(module, name):
            self._attach(group, mask)
        self._state[group["tensor_fqn"]].update(entry)

    def _update_masks(self, groups: Sequence[Config]) -> None:
        with torch.no_grad():
            for group in groups:
                self.update_mask(**group)

    def _release(self, keep: set[str]) -> None:
        """Take the mask off every tensor that is not in ``keep``."""
        for group in self.groups:
            if group["tensor_fqn"] not in keep and has_mask(group["module"], group["tensor_name"]):
                self._masks.detach(group)

    def _in_force(self, group: Config) -> dict[str, Any]:
        """What ``state`` says of a tensor and is kept at its module."""
        return {"mask": masking_of(group["module"], group["tensor_name"]).mask}

    def _require_model(self, caller: str) -> nn.Module:
        if self.model is None:
            raise ConfigError(f"{caller}: must follow prepare(model, config)")
        return self.model

    def _require_masks(self, caller: str) -> None:
        """ConfigError where a group's tensor has no mask; groups follow replaced modules."""
        model = self._require_model(caller)
        for group in self.groups:
            if not has_mask(group["module"], group["tensor_name"]):
                raise ConfigError(
                    f"{caller}: {group['tensor_fqn']} must carry a mask, but has none; "
                    "was it squashed already?"
                )
            follow(model, group)
