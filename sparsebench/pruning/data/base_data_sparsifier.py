"""BaseDataSparsifier: masks on tensors and embeddings that are added by name."""

import abc
import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.data.container import Container, key_of
from sparsebench.pruning.masks.pattern import shown
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier
from sparsebench.pruning.sparsifiers.element_masks import fitted, given_mask
from sparsebench.pruning.sparsifiers.groups import check_keys, check_spelling
from sparsebench.pruning.sparsifiers.parametrization import FakeSparsity
from sparsebench.pruning.sparsifiers.state import Config, SparsifierState

Data = Tensor | nn.Embedding | nn.EmbeddingBag


class BaseDataSparsifier(BaseSparsifier):
    """What all data sparsifiers share; a subclass defines :meth:`update_mask`.

    Masks are held here and not by the data: a tensor that was added stays what its owner has, and
    a change of it is seen by the next ``step``; ``squash_mask`` writes the zeros into it.

    Args:
        data_list: (name, data) pairs to add with the defaults.
        defaults: configuration of all data that does not override it.

    Attributes:
        data_groups: the configuration of each name.
        state: the ``mask`` of each name, and whatever a subclass adds.

    Source: ``torch.ao.pruning._experimental.data_sparsifier.BaseDataSparsifier``. Deviates: a name
    may have dots (``a.b`` is not ``a_b``), loading leaves the caller's dict as it was, a call that
    is refused changes nothing, and importing it changes no warnings filter.
    """

    def __init__(
        self, data_list: Sequence[tuple[str, Data]] | None = None, **defaults: Any
    ) -> None:
        super().__init__(defaults=defaults)
        self._container = Container()
        self.data_groups: dict[str, Config] = {}
        for pair in data_list or ():
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ConfigError(f"data_list: must hold (name, data) pairs, got {shown(pair)}")
            self.add_data(*pair)

    def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Raise NotImplementedError: data is added by :meth:`add_data`, there is no model."""
        raise NotImplementedError(f"{type(self).__name__}: add data with add_data(name, data)")

    def add_data(self, name: str, data: Data, reuse_mask: bool = True, **config: Any) -> Tensor:
        """Put a mask of ones on a tensor, parameter, or the weight of an embedding.

        Data of a name that exists is replaced, with a warning; its configuration stays where
        ``config`` does not override it.

        Args:
            name: any text.
            data: of any dtype and device; held as it is, not copied.
            reuse_mask: keep the mask of the data that is replaced, which must have its shape.
            config: overrides of the defaults; ``mask`` and ``parametrization`` as in a
                BaseSparsifier's configuration.

        Returns:
            The data with its mask applied.

        Raises:
            ConfigError: ``name`` or ``data`` is of another type, a setting does not apply to it, or
                its shape is not that of the mask; nothing was changed.
        """
        if not isinstance(name, str):
            raise ConfigError(f"add_data: name must be text, got {shown(name)}")
        weight = self._extract_weight(data)
        known = name in self.data_groups
        group = copy.deepcopy({**(self.data_groups[name] if known else self.defaults), **config})
        mask = self.get_mask(name) if known and reuse_mask else given_mask(name, group)
        check_spelling(name, config, self.defaults)
        _check_shape(name, weight, mask)
        self.check_group(weight, {"tensor_fqn": name, **group})
        if known:
            warnings.warn(f"data {name!r} was there before; it is replaced", stacklevel=2)
            self._delete_data(name)
        self._hold(name, weight, torch.ones_like(weight) if mask is None else mask, group)
        return self._container.sparsified(name)

    def get_data(self, name: str, return_original: bool = True) -> Tensor:
        """The data as it was added, or with the mask applied.

        Raises:
            ConfigError: an unknown name, or ``return_original`` after it was squashed.
        """
        self.get_mask(name)  # where its data is now
        if not return_original:
            return self._container.sparsified(name)
        if not self._container.is_masked(name):
            raise ConfigError(f"get_data: {name!r} must not be squashed for its original values")
        return self._container.original(name)

    def get_mask(self, name: str) -> Tensor:
        """The mask of some data, in force or, after squash, as it last was.

        It is on the data's device and in its dtype, also after ``embedding.to(...)``.

        Raises:
            ConfigError: an unknown name.
        """
        self._check_known(name)
        mask: Tensor = self._state[name]["mask"]
        if self._container.is_masked(name):
            moved = fitted(mask, self._container.original(name))
            if (moved.device, moved.dtype) != (mask.device, mask.dtype):
                mask.data = moved
        return mask

    def step(self) -> None:  # type: ignore[override]  # as upstream, without use_path
        """Update every mask from the data as it is now.

        Raises:
            ConfigError: some data was squashed, or a setting does not apply; no mask was touched.
        """
        if self.enable_mask_update:
            self._step()
        self._step_count += 1

    def _step(self) -> None:
        for name, group in self.data_groups.items():
            self.check_group(self.get_data(name), {"tensor_fqn": name, **group})
        with torch.no_grad():
            for name, group in self.data_groups.items():
                self.update_mask(name, self.get_data(name), **group)

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
        """Write the zeros into the data, and take the masks off.

        Args:
            leave_parametrized: False takes the masks off without writing.
            names: which; None: all that are not squashed yet.

        Raises:
            ConfigError: an unknown name, or nothing left to squash.
        """
        chosen = [n for n in self.data_groups if self._container.is_masked(n)]
        for name in names or ():
            self._check_known(name)
        if names is None and self.data_groups and not chosen:
            raise ConfigError("squash_mask: some data must have a mask; was it squashed already?")
        for name in names or ():
            if name not in chosen:
                raise ConfigError(f"squash_mask: {name!r} must have a mask; squashed already?")
        for name in chosen if names is None else names:
            self.get_mask(name)  # where its data is now
            self._container.squash(name, leave_parametrized)

    def state_dict(self) -> dict[str, Any]:
        """``state`` with the masks as sparse COO, ``data_groups``, and ``_container``, the data.

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
        """Take over the data, masks and configuration of ``state_dict``, which stays as it is.

        The data is a copy: what was added here before is no longer referred to.

        Args:
            strict: be exactly what ``state_dict`` says, else keep what is here and add the rest.

        Raises:
            ConfigError: ``state_dict`` lacks the configuration or values of some data; nothing
                was changed.
        """
        _check_complete(state_dict)
        if strict:
            self._container, self._state, self.data_groups = Container(), SparsifierState(), {}
        for name, entry in state_dict["state"].items():
            if name not in self.data_groups:
                self._take(name, entry, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        """Everything, the data included by value."""
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

    def _hold(self, name: str, weight: Tensor, mask: Tensor, group: Config) -> None:
        mask = fitted(mask, weight)
        parametrization = group.get("parametrization", FakeSparsity)(mask)
        self._container.put(name, weight)
        self._container.mask_with(name, parametrization)
        self._state[name]["mask"] = mask
        self.data_groups[name] = group

    def _take(self, name: str, entry: Mapping[str, Any], state_dict: Mapping[str, Any]) -> None:
        """One name of a loaded state; data that was squashed when it was saved has no mask."""
        values = state_dict["_container"]
        tensor = self._container.stored(name, values)
        assert tensor is not None
        weight, group = tensor.clone(), copy.deepcopy(state_dict["data_groups"][name])
        self._hold(name, weight, entry["mask"].to_dense().clone(), group)
        self._state[name].update({k: copy.deepcopy(v) for k, v in entry.items() if k != "mask"})
        if key_of(name) in values:
            self._container.squash(name, leave_parametrized=False)

    def _check_known(self, name: str) -> None:
        if name not in self.data_groups:
            raise ConfigError(unknown_name("data", name, self.data_groups))

    def _delete_data(self, name: str) -> None:
        """Forget some data and its mask; the data keeps its own values."""
        self._check_known(name)
        self._container.drop(name)
        del self._state[name], self.data_groups[name]


def _check_shape(name: str, weight: Tensor, mask: Tensor | None) -> None:
    if mask is not None and mask.shape != weight.shape:
        raise ConfigError(
            f"add_data: {name!r} must have the shape of its mask {tuple(mask.shape)}, got "
            f"{tuple(weight.shape)}; reuse_mask=False gives it a new one"
        )


def _check_complete(state_dict: Mapping[str, Any]) -> None:
    check_keys(state_dict, state=Mapping, data_groups=Mapping, _container=Mapping)
    for name in state_dict["state"]:
        if name not in state_dict["data_groups"]:
            raise ConfigError(f"load_state_dict: data {name!r} must be in data_groups")
        if Container().stored(name, state_dict["_container"]) is None:
            raise ConfigError(f"load_state_dict: data {name!r} must be in _container")
