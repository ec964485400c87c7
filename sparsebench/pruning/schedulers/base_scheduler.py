"""BaseScheduler: sets the sparsity level of every group of a sparsifier, epoch by epoch."""

import warnings
from collections.abc import Sequence
from math import isfinite
from typing import Any

from sparsebench.errors import ConfigError
from sparsebench.pruning.schedulers.step_order import copied, warn_of_order
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier


class BaseScheduler:
    """What all schedulers share; a subclass defines :meth:`get_sl`.

    Construction takes the first step, to epoch ``last_epoch + 1``. Afterwards, in every epoch::

        sparsifier.step()
        scheduler.step()

    Args:
        sparsifier: prepared; each of its groups has a ``sparsity_level``.
        last_epoch: the epoch that was finished last; -1 starts anew.
        verbose: print each new level.

    Attributes:
        base_sl: the level that each group had at construction.
        last_epoch: the epoch of the last step.

    Raises:
        TypeError: ``sparsifier`` is no BaseSparsifier.
        ConfigError: it is not prepared, or a group of it has no ``sparsity_level``.

    Source: ``torch.ao.pruning.BaseScheduler``. Deviates: a step leaves ``enable_mask_update``
    alone, a sparsifier without levels is refused by name, and levels that are no finite numbers,
    or not one a group, are refused before any is set. Levels above 1 are stored, and act as 1.
    """

    def __init__(
        self, sparsifier: BaseSparsifier, last_epoch: int = -1, verbose: bool = False
    ) -> None:
        check_sparsifier(sparsifier)
        self.sparsifier = sparsifier
        self.base_sl: list[float] = [group["sparsity_level"] for group in sparsifier.groups]
        self.last_epoch = last_epoch
        self.verbose = verbose
        self._step_count = 0
        self._last_sl: list[float] = []
        self._get_sl_called_within_step = False
        sparsifier._step_count = 0
        self.step()

    def get_sl(self) -> list[float]:
        """The level of each group at ``last_epoch``; called by :meth:`step`, never by a person."""
        self._warn_if_called_directly()
        raise NotImplementedError(f"{type(self).__name__} must define get_sl()")

    def get_last_sl(self) -> list[float]:
        """The level of each group as the last step set it."""
        return self._last_sl

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch and set every group's level.

        Args:
            epoch: the number to print, where ``verbose``; does not choose the epoch.

        Raises:
            ConfigError: ``get_sl`` gave another number of levels than there are groups, or one
                that is not finite; no level was set.
        """
        warn_of_order(self._step_count, self.sparsifier._step_count)
        levels = self._next_levels()
        self._step_count += 1
        self._set_levels(levels)
        for index, level in enumerate(levels):
            self.print_sl(self.verbose, index, level, epoch)
        self._last_sl = list(levels)

    def print_sl(self, is_verbose: bool, group: int, sl: float, epoch: int | None = None) -> None:
        """Print the new level of one group, where ``is_verbose``."""
        if is_verbose:
            when = "" if epoch is None else f"epoch {epoch}: "
            print(f"{when}sparsity level of group {group} is now {sl:.4e}")  # noqa: T201  # verbose=True asks for it

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but the sparsifier; save that beside it, and load it first."""
        return copied(self.__dict__, without="sparsifier")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; ``state_dict`` stays as it is.

        Raises:
            ConfigError: it is of a sparsifier with another number of groups.
        """
        state = copied(state_dict, without="sparsifier")
        base, groups = state.get("base_sl", self.base_sl), len(self.sparsifier.groups)
        if len(base) != groups:
            raise ConfigError(
                f"load_state_dict: must be of a sparsifier with {groups} groups, got {len(base)}"
            )
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__} (\nSparsifier {self.sparsifier}\n    base_sl: {self.base_sl}\n)"
        )

    def _next_levels(self) -> Sequence[float]:
        self.last_epoch += 1
        self._get_sl_called_within_step = True
        try:
            levels = self.get_sl()
            _check_levels(levels, len(self.sparsifier.groups))
        except BaseException:
            self.last_epoch -= 1  # a failed step leaves the epoch, too
            raise
        finally:
            self._get_sl_called_within_step = False
        return levels

    def _set_levels(self, levels: Sequence[float]) -> None:
        for group, level in zip(self.sparsifier.groups, levels, strict=True):
            group["sparsity_level"] = level

    def _warn_if_called_directly(self) -> None:
        if not self._get_sl_called_within_step:
            warnings.warn("get_sl() is for step(); get_last_sl() gives the level", stacklevel=3)

    def _make_sure_a_list(self, var: Any) -> list[Any]:
        """``var`` a group: a list of one each as it is, any other value repeated."""
        groups = len(self.sparsifier.groups)
        if not isinstance(var, (list, tuple)):
            return [var] * groups
        if len(var) != groups:
            raise ConfigError(
                f"{type(self).__name__}: a list must have one value for each of {groups} groups, "
                f"got {len(var)}"
            )
        return list(var)


def check_sparsifier(sparsifier: object) -> None:
    """Raise where ``sparsifier`` has no levels to schedule; see BaseScheduler."""
    if not isinstance(sparsifier, BaseSparsifier):
        raise TypeError(
            f"scheduler: sparsifier must be a BaseSparsifier, got {type(sparsifier).__name__}"
        )
    if not sparsifier.groups:
        raise ConfigError("scheduler: sparsifier must be prepared before, got one without groups")
    for group in sparsifier.groups:
        if "sparsity_level" not in group:
            raise ConfigError(
                f"scheduler: every group must have a sparsity_level, got "
                f"{group['tensor_fqn']!r} of {type(sparsifier).__name__} without one"
            )


def _check_levels(levels: Sequence[float], groups: int) -> None:
    if len(levels) != groups:
        raise ConfigError(f"get_sl: must give one level for each of {groups} groups, got {levels}")
    for level in levels:
        if not isfinite(level):
            raise ConfigError(f"get_sl: levels must be finite, got {levels}")
