"""BaseDataSparsifier: masks on tensors and embeddings that are added by name."""

import abc
import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.float_environment import in_default_environment
from sparsebench.pruning.masks.pattern import shown
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier
from sparsebench.pruning.sparsifiers.element_masks import cast_mask, given_mask
from sparsebench.pruning.sparsifiers.groups import check_keys, check_spelling
from sparsebench.pruning.sparsifiers.parametrization import (
    FakeSparsity,
    has_mask,
    parametrizations_of,
)
from sparsebench.pruning.state import Config, SparsifierState

Data = Tensor | nn.Embedding | nn.EmbeddingBag


class BaseDataSparsifier(BaseSparsifier):
    """Base class of all data sparsifiers; a subclass defines :meth:`update_mask`.

    The sparsifier holds the masks. A tensor that was added is not copied: its owner can change it,
    and the next ``step`` uses the new values. ``squash_mask`` writes the zeros into it.

    Args:
        data_list: (name, data) pairs to add with the defaults.
        defaults: configuration of all data that does not override it.

    Attributes:
        data_groups: the configuration of each name.
        state: the ``mask`` of each name, and whatever a subclass adds.

    Source: ``torch.ao.pruning._experimental.data_sparsifier.BaseDataSparsifier``. Deviates: a name
    may have dots (``a.b`` is not ``a_b``), loading does not change the caller's dict, a call that
    is refused changes nothing, and importing it changes no warnings filter.
    """

    def __init__(
        self, data_list: Sequence[tuple[str, Data]] | None = None, **defaults: Any
    ) -> None:
        super().__init__(defaults=defaults)
        self._container = nn.Module()  # has each tensor, parametrized, under container_key(name)
        self.data_groups: dict[str, Config] = {}
        for pair in data_list or ():
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ConfigError(f"data_list: must hold (name, data) pairs, got {shown(pair)}")
            self.add_data(*pair)

    def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Raise NotImplementedError: there is no model; :meth:`add_data` adds data."""
        raise NotImplementedError(f"{type(self).__name__}: add data with add_data(name, data)")

    def add_data(self, name: str, data: Data, reuse_mask: bool = True, **config: Any) -> Tensor:
        """Put a mask of ones on a tensor, parameter, or the weight of an embedding.

        Data of a name that exists is replaced, with a warning; its configuration is kept except
        for what ``config`` overrides.

        Args:
            name: any text.
            data: of any dtype and device; not copied.
            reuse_mask: keep the mask of the data that is replaced, which must have its shape.
            config: overrides of the defaults; ``mask`` and ``parametrization`` as in a
                BaseSparsifier's configuration.

        Returns:
            The data with its mask applied.

        Raises:
            ConfigError: ``name`` or ``data`` has another type, a setting does not apply, or the
                shape is not that of the mask; nothing was changed.
        """
        if not isinstance(name, str):
            raise ConfigError(f"add_data: name must be text, got {shown(name)}")
        weight = self._extract_weight(data)
        exists = name in self.data_groups
        group = copy.deepcopy({**(self.data_groups[name] if exists else self.defaults), **config})
        mask = self.get_mask(name) if exists and reuse_mask else given_mask(name, group)
        check_spelling(name, config, self.defaults)
        if mask is not None and mask.shape != weight.shape:
            raise ConfigError(
                f"add_data: {name!r} must have the shape of its mask {tuple(mask.shape)}, got "
                f"{tuple(weight.shape)}; reuse_mask=False gives it a new one"
            )
        self.check_group(weight, {"tensor_fqn": name, **group})
        if exists:
            warnings.warn(f"data {name!r} exists already; it is replaced", stacklevel=2)
            if self._is_masked(name):
                self._squash(name, leave_parametrized=False)
            delattr(self._container, container_key(name))
            del self._state[name], self.data_groups[name]
        self._attach(name, weight, torch.ones_like(weight) if mask is None else mask, group)
        return self.get_data(name, return_original=False)

    def get_data(self, name: str, return_original: bool = True) -> Tensor:
        """Return the data as it was added, or with the mask applied.

        Raises:
            ConfigError: an unknown name, or ``return_original`` after it was squashed.
        """
        self.get_mask(name)  # moves the mask to the data's device
        if not return_original:
            data: Tensor = getattr(self._container, container_key(name))
            return data
        if not self._is_masked(name):
            raise ConfigError(
                f"get_data: {name!r} must not be squashed if return_original is True, got squashed "
                "data; give return_original=False"
            )
        return self._original(name)

    def get_mask(self, name: str) -> Tensor:
        """Return the mask of some data: the one in force or, after squash, the last one.

        It is on the data's device and in its dtype, also after ``embedding.to(...)``.

        Raises:
            ConfigError: an unknown name.
        """
        self._check_known(name)
        mask: Tensor = self._state[name]["mask"]
        if self._is_masked(name):
            moved = cast_mask(mask, self._original(name))
            if (moved.device, moved.dtype) != (mask.device, mask.dtype):
                mask.data = moved
        return mask

    @in_default_environment
    def step(self) -> None:  # type: ignore[override]  # as upstream, without use_path
        """Update every mask from the current data.

        Raises:
            ConfigError: some data was squashed, or a setting does not apply; no mask was changed.
        """
        if self.enable_mask_update:
            for name, group in self.data_groups.items():
                self.check_group(self.get_data(name), {"tensor_fqn": name, **group})
            with torch.no_grad():
                for name, group in self.data_groups.items():
                    self.update_mask(name, self.get_data(name), **group)
        self._step_count += 1

    @abc.abstractmethod
    def update_mask(self, name: str, data: Tensor, **kwargs: Any) -> None:  # type: ignore[override]  # data has no module
        """Update, in place, the mask of ``name``; ``kwargs`` is its configuration."""

    def squash_mask(
        self,
        *args: Any,
        leave_parametrized: bool = True,
        names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the zeros into the data, and remove the masks.

        Args:
            leave_parametrized: False removes the masks without writing.
            names: which data; None: all that is not squashed yet.

        Raises:
            ConfigError: an unknown name, or nothing left to squash.
        """
        masked = [name for name in self.data_groups if self._is_masked(name)]
        for name in names or ():
            self._check_known(name)
        if names is None and self.data_groups and not masked:
            raise ConfigError(
                "squash_mask: some data must have a mask, got none; was it squashed already?"
            )
        for name in names or ():
            if name not in masked:
                raise ConfigError(
                    f"squash_mask: {name!r} must have a mask, got none; was it squashed already?"
                )
        for name in masked if names is None else names:
            self.get_mask(name)  # moves the mask to the data's device
            self._squash(name, leave_parametrized)

    def state_dict(self) -> dict[str, Any]:
        """Return ``state`` with sparse COO masks, ``data_groups``, and ``_container``, the data.

        The data is shared with the tensors it came from, as in a model's ``state_dict``.
        """
        return {
            "state": {
                name: {**entry, "mask": entry["mask"].to_sparse_coo()}
                for name, entry in self._state.items()
            },
            "data_groups": copy.deepcopy(self.data_groups),
            "_container": self._container.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> None:  # type: ignore[override]  # all of it is loaded
        """Replace data, masks and configuration by those of ``state_dict``, which is not changed.

        The data is copied; data that was added before is no longer referred to.

        Args:
            strict: replace everything, else keep the data that is here and add the rest.

        Raises:
            ConfigError: ``state_dict`` lacks the configuration or values of some data, or has a
                mask that is not of zeros and ones; nothing was changed.
        """
        check_keys(state_dict, state=Mapping, data_groups=Mapping, _container=Mapping)
        for name, entry in state_dict["state"].items():
            if name not in state_dict["data_groups"]:
                raise ConfigError(f"load_state_dict: data {name!r} must be in data_groups")
            if _stored_tensor(name, state_dict["_container"]) is None:
                raise ConfigError(f"load_state_dict: data {name!r} must be in _container")
            mask = entry.get("mask")
            given_mask(name, {"mask": mask.to_dense() if isinstance(mask, Tensor) else mask})
        if strict:
            self._container, self._state, self.data_groups = nn.Module(), SparsifierState(), {}
        for name, entry in state_dict["state"].items():
            if name not in self.data_groups:
                self._restore_data(name, entry, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        """Return everything, with a copy of the data."""
        return {**self.__dict__, "_container": None, "_saved": self.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state["_saved"]
        self.__dict__.update({key: state[key] for key in state if key != "_saved"})
        self.load_state_dict(saved)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for name, group in self.data_groups.items():
            lines += ["\tData Group", f"\t    name: {name}"]
            lines += [f"\t    {key}: {group[key]}" for key in sorted(group)]
        return "\n".join([*lines, ")"])

    def _extract_weight(self, data: object) -> Tensor:
        if isinstance(data, (nn.Embedding, nn.EmbeddingBag)):
            return data.weight
        if isinstance(data, Tensor):
            return data
        raise ConfigError(
            "add_data: data must be a Tensor, Parameter, Embedding or EmbeddingBag, "
            f"got {type(data).__name__}"
        )

    def _attach(self, name: str, weight: Tensor, mask: Tensor, group: Config) -> None:
        """Put a mask on new data, and store its configuration and state."""
        mask = cast_mask(mask, weight)
        parametrization = group.get("parametrization", FakeSparsity)(mask)
        self._container.register_buffer(container_key(name), weight)
        parametrize.register_parametrization(self._container, container_key(name), parametrization)
        self._state[name]["mask"] = mask
        self.data_groups[name] = group

    def _restore_data(
        self, name: str, entry: Mapping[str, Any], state_dict: Mapping[str, Any]
    ) -> None:
        """Add data of a loaded state; data that was squashed when it was saved has no mask."""
        tensors = state_dict["_container"]
        tensor = _stored_tensor(name, tensors)
        assert tensor is not None
        group = copy.deepcopy(state_dict["data_groups"][name])
        self._attach(name, tensor.clone(), entry["mask"].to_dense().clone(), group)
        self._state[name].update({k: copy.deepcopy(v) for k, v in entry.items() if k != "mask"})
        if container_key(name) in tensors:
            self._squash(name, leave_parametrized=False)

    def _is_masked(self, name: str) -> bool:
        return has_mask(self._container, container_key(name))

    def _original(self, name: str) -> Tensor:
        return parametrizations_of(self._container, container_key(name)).original

    def _squash(self, name: str, leave_parametrized: bool) -> None:
        key = container_key(name)
        parametrize.remove_parametrizations(self._container, key, leave_parametrized)

    def _check_known(self, name: str) -> None:
        if name not in self.data_groups:
            raise ConfigError(unknown_name("data", name, self.data_groups))


# Attributes that the container had when the keys of saved states were fixed: do not change.
_RESERVED_NAMES = frozenset(
    [
        "put",
        "mask_with",
        "is_masked",
        "mask",
        "original",
        "sparsified",
        "squash",
        "drop",
        "stored",
        "parametrizations",
    ]
)
_EMPTY_MODULES = (nn.Module(), nn.ModuleDict())


def container_key(name: str) -> str:
    """Return the attribute of the container that holds the data ``name``; a key of saved states.

    That is ``name`` itself if it can be an attribute. Dots, which names in a module must not have,
    are escaped, so that ``a.b`` and ``a_b`` are different. An empty name, or one that a module or
    torch's dict of parametrizations has already (``training``, ``items``), gets a prefix.
    """
    key = name.replace("%", "%25").replace(".", "%2E")
    taken = not key or key in _RESERVED_NAMES or any(hasattr(m, key) for m in _EMPTY_MODULES)
    return f"%{key}" if taken else key


def _stored_tensor(name: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
    """Return the data ``name`` from the ``state_dict`` of a container, or None."""
    key = container_key(name)
    return tensors.get(f"parametrizations.{key}.original", tensors.get(key))
