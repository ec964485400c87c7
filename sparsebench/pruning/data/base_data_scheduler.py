"""BaseDataScheduler: sets one setting of all data of a data sparsifier, epoch by epoch."""

import abc
from collections.abc import Mapping
from typing import Any

from sparsebench.errors import ConfigError, unknown_name
from sparsebench.pruning.data.base_data_sparsifier import BaseDataSparsifier
from sparsebench.pruning.schedulers.step_order import copied, warn_of_order


class BaseDataScheduler(abc.ABC):
    """What all data schedulers share; a subclass defines :meth:`get_schedule_param`.

    Construction takes the first step. Afterwards, in every epoch, ``data_sparsifier.step()`` comes
    before ``scheduler.step()``.

    Args:
        data_sparsifier: whose data has the setting.
        schedule_param: name of the setting, such as ``"sparsity_level"``.
        last_epoch: the epoch that was finished last; -1 starts anew.
        verbose: print each new value.

    Attributes:
        base_param: the value of each name at construction; None where it has no such setting.

    Raises:
        TypeError: ``data_sparsifier`` is no BaseDataSparsifier.
        ConfigError: none of its data has that setting.

    Source: ``torch.ao.pruning._experimental.data_scheduler.BaseDataScheduler``. Deviates: a step
    leaves ``enable_mask_update`` alone, and refuses a name that the sparsifier does not have.
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
        self.base_param = self._current()
        self.last_epoch = last_epoch
        self.verbose = verbose
        self._step_count = 0
        self._last_param: dict[str, Any] = {}
        self._get_sp_called_within_step = False
        data_sparsifier._step_count = 0
        self.step()

    @abc.abstractmethod
    def get_schedule_param(self) -> Mapping[str, Any]:
        """By name the values at ``last_epoch``; names that are left out keep theirs."""

    def get_last_param(self) -> dict[str, Any]:
        """The value of each name as the last step left it."""
        return self._last_param

    def step(self) -> None:
        """Go to the next epoch and set the values.

        Raises:
            ConfigError: ``get_schedule_param`` gave a name that the sparsifier does not have;
                nothing was set.
        """
        warn_of_order(self._step_count, self.data_sparsifier._step_count)
        values = self._next_values()
        self._step_count += 1
        for name, value in values.items():
            self.data_sparsifier.data_groups[name][self.schedule_param] = value
            if self.verbose:
                print(f"{self.schedule_param} of {name} is now {value}")  # noqa: T201  # verbose=True asks for it
        self._last_param = self._current()

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but the sparsifier; save that beside it, and load it first."""
        return copied(self.__dict__, without="data_sparsifier")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; ``state_dict`` stays as it is."""
        self.__dict__.update(copied(state_dict, without="data_sparsifier"))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__} (\nData Sparsifier {self.data_sparsifier}\n"
            f"    {self.schedule_param}: {self.base_param}\n)"
        )

    def _current(self) -> dict[str, Any]:
        groups = self.data_sparsifier.data_groups
        return {name: group.get(self.schedule_param) for name, group in groups.items()}

    def _next_values(self) -> Mapping[str, Any]:
        self.last_epoch += 1
        self._get_sp_called_within_step = True
        try:
            values = self.get_schedule_param()
            for name in values:
                if name not in self.data_sparsifier.data_groups:
                    known = self.data_sparsifier.data_groups
                    raise ConfigError(f"get_schedule_param: {unknown_name('data', name, known)}")
        except BaseException:
            self.last_epoch -= 1  # a failed step leaves the epoch, too
            raise
        finally:
            self._get_sp_called_within_step = False
        return values


def _check_sparsifier(sparsifier: object, param: str) -> None:
    if not isinstance(sparsifier, BaseDataSparsifier):
        raise TypeError(
            f"scheduler: data_sparsifier must be a BaseDataSparsifier, "
            f"got {type(sparsifier).__name__}"
        )
    groups = sparsifier.data_groups.values()
    if groups and not any(param in group for group in groups):
        known = {key for group in groups for key in group}
        raise ConfigError(f"scheduler: {unknown_name('schedule_param', param, known)}")
