"""BaseDataScheduler: sets one setting of all data of a data sparsifier once per epoch."""

import abc
from collections.abc import Mapping
from typing import Any

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.data.base_data_sparsifier import BaseDataSparsifier
from sparsebench.pruning.schedulers.base_scheduler import (
    copy_attributes,
    warn_if_before_sparsifier,
)


class BaseDataScheduler(abc.ABC):
    """Base class of all data schedulers; a subclass defines :meth:`get_schedule_param`.

    The constructor takes the first step. Then, in every epoch, call ``data_sparsifier.step()``,
    then ``scheduler.step()``.

    Args:
        data_sparsifier: whose data has the setting.
        schedule_param: name of the setting, such as ``"sparsity_level"``.
        last_epoch: the last finished epoch; -1 to start.
        verbose: print each new value.

    Attributes:
        base_param: the value of each name at construction; None if it has no such setting.

    Raises:
        TypeError: ``data_sparsifier`` is no BaseDataSparsifier.
        ConfigError: none of its data has that setting.

    Source: ``torch.ao.pruning._experimental.data_scheduler.BaseDataScheduler``. Deviates: a step
    leaves ``enable_mask_update`` unchanged, and refuses a name that the sparsifier does not have.
    """

    def __init__(
        self,
        data_sparsifier: BaseDataSparsifier,
        schedule_param: str,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        _check_sparsifier(data_sparsifier, schedule_param)
        self.data_sparsifier = data_sparsifier
        self.schedule_param = schedule_param
        self.base_param = self._current_values()
        self.last_epoch = last_epoch
        self.verbose = verbose
        self._step_count = 0
        self._last_param: dict[str, Any] = {}
        data_sparsifier.step_count = 0
        self.step()

    @abc.abstractmethod
    def get_schedule_param(self) -> Mapping[str, Any]:
        """Return values at ``last_epoch`` by name; names that are absent keep theirs."""

    def get_last_param(self) -> dict[str, Any]:
        """Return the value of each name after the last step."""
        return self._last_param

    def step(self) -> None:
        """Go to the next epoch and set the values.

        Raises:
            ConfigError: ``get_schedule_param`` returned a name that the sparsifier does not have;
                nothing was set.
        """
        warn_if_before_sparsifier(self._step_count, self.data_sparsifier.step_count)
        self.last_epoch += 1
        try:
            values = self.get_schedule_param()
            names = self.data_sparsifier.data_groups
            for name in values:
                if name not in names:
                    raise ConfigError(f"get_schedule_param: {unknown_name('data', name, names)}")
        except BaseException:
            self.last_epoch -= 1  # a step that fails changes nothing
            raise
        self._step_count += 1
        for name, value in values.items():
            self.data_sparsifier.data_groups[name][self.schedule_param] = value
            if self.verbose:
                print(f"{self.schedule_param} of {name} is now {value}")  # noqa: T201  # verbose=True asks for it
        self._last_param = self._current_values()

    def state_dict(self) -> dict[str, Any]:
        """Return every attribute but the sparsifier; save and load the sparsifier's state first."""
        return copy_attributes(self.__dict__, without="data_sparsifier")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the attributes to what :meth:`state_dict` gave; ``state_dict`` is not changed."""
        self.__dict__.update(copy_attributes(state_dict, without="data_sparsifier"))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__} (\nData Sparsifier {self.data_sparsifier}\n"
            f"    {self.schedule_param}: {self.base_param}\n)"
        )

    def _current_values(self) -> dict[str, Any]:
        groups = self.data_sparsifier.data_groups
        return {name: group.get(self.schedule_param) for name, group in groups.items()}


def _check_sparsifier(sparsifier: object, param: str) -> None:
    if not isinstance(sparsifier, BaseDataSparsifier):
        raise TypeError(
            f"scheduler: data_sparsifier must be a BaseDataSparsifier, "
            f"got {type(sparsifier).__name__}"
        )
    groups = sparsifier.data_groups.values()
    if groups and not any(param in group for group in groups):
        names = {key for group in groups for key in group}
        raise ConfigError(f"scheduler: {unknown_name('schedule_param', param, names)}")
