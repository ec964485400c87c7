"""BaseScheduler: sets the sparsity level of every group of a sparsifier once per epoch."""

import warnings
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

from sparsebench.errors import ConfigError
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier

_BASE_LEVEL: Final = "base_sparsity_level"  # in a group, and so in the sparsifier's state


class BaseScheduler:
    """Base class of all schedulers; a subclass defines :meth:`get_sl`.

    The constructor takes the first step, to epoch ``last_epoch + 1``. Then, in every epoch::

        sparsifier.step()
        scheduler.step()

    Args:
        sparsifier: prepared; each of its groups has a ``sparsity_level``.
        last_epoch: the last finished epoch; -1 to start. To resume, load the sparsifier's state
            first, then either give the last epoch here or load this scheduler's state.
        verbose: print each new level.

    Attributes:
        base_sl: the level that each group had when its schedule started.
        last_epoch: the epoch of the last step.

    Raises:
        TypeError: ``sparsifier`` is no BaseSparsifier.
        ConfigError: it is not prepared, a group of it has no ``sparsity_level``, or ``last_epoch``
            is given and no schedule ran on it before.

    Source: ``torch.ao.pruning.BaseScheduler``. Deviates: a step leaves ``enable_mask_update``
    unchanged, a sparsifier without levels is refused by name, and levels that are not finite, or
    not one per group, are refused before any is set. Levels above 1 are stored, and act as 1.
    """

    def __init__(
        self, sparsifier: BaseSparsifier, last_epoch: int = -1, verbose: bool = False
    ) -> None:
        check_sparsifier(sparsifier)
        self.sparsifier = sparsifier
        self.base_sl = _base_levels(sparsifier, resumes=last_epoch >= 0)
        self.last_epoch = last_epoch
        self.verbose = verbose
        self._step_count = 0
        self._last_sl: list[float] = []
        self._get_sl_called_within_step = False
        sparsifier.step_count = 0
        self.step()

    def get_sl(self) -> list[float]:
        """Return the level of each group at ``last_epoch``; only :meth:`step` may call it."""
        self._warn_if_called_directly()
        raise NotImplementedError(f"{type(self).__name__} must define get_sl()")

    def get_last_sl(self) -> list[float]:
        """Return the level of each group as the last step set it."""
        return self._last_sl

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch and set every group's level.

        Args:
            epoch: the number to print, if ``verbose``; it does not choose the epoch.

        Raises:
            ConfigError: ``get_sl`` did not return one finite level per group; no level was set.
        """
        warn_if_before_sparsifier(self._step_count, self.sparsifier.step_count)
        self.last_epoch += 1
        self._get_sl_called_within_step = True
        try:
            levels = self.get_sl()
            _check_levels(levels, len(self.sparsifier.groups))
        except BaseException:
            self.last_epoch -= 1  # a step that fails changes nothing
            raise
        finally:
            self._get_sl_called_within_step = False
        self._step_count += 1
        self._set_levels(levels)
        for index, level in enumerate(levels):
            self.print_sl(self.verbose, index, level, epoch)
        self._last_sl = list(levels)

    def print_sl(self, is_verbose: bool, group: int, sl: float, epoch: int | None = None) -> None:
        """Print the new level of one group, if ``is_verbose``."""
        if is_verbose:
            when = "" if epoch is None else f"epoch {epoch}: "
            print(f"{when}sparsity level of group {group} is now {sl:.4e}")  # noqa: T201  # verbose=True asks for it

    def state_dict(self) -> dict[str, Any]:
        """Return every attribute but the sparsifier; save and load the sparsifier's state first."""
        return copy_attributes(self.__dict__, without="sparsifier")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the attributes to what :meth:`state_dict` gave; ``state_dict`` is not changed.

        Raises:
            ConfigError: it is of a sparsifier with another number of groups.
        """
        state = copy_attributes(state_dict, without="sparsifier")
        levels, groups = state.get("base_sl", self.base_sl), len(self.sparsifier.groups)
        if len(levels) != groups:
            raise ConfigError(
                f"load_state_dict: must be of a sparsifier with {groups} groups, got {len(levels)}"
            )
        self.__dict__.update(state)
        for group, level in zip(self.sparsifier.groups, levels, strict=True):
            group[_BASE_LEVEL] = level
        if len(self._last_sl) == groups:  # what the constructor's step has set meanwhile
            self._set_levels(self._last_sl)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__} (\nSparsifier {self.sparsifier}\n    base_sl: {self.base_sl}\n)"
        )

    def _set_levels(self, levels: Sequence[float]) -> None:
        for group, level in zip(self.sparsifier.groups, levels, strict=True):
            group["sparsity_level"] = level

    def _warn_if_called_directly(self) -> None:
        if not self._get_sl_called_within_step:
            warnings.warn(
                "get_sl() must be called by step() only; get_last_sl() returns the level",
                stacklevel=3,
            )

    def _make_sure_a_list(self, var: Any) -> list[Any]:
        """Return one value per group: a list with one each unchanged, any other value repeated."""
        groups = len(self.sparsifier.groups)
        if not isinstance(var, (list, tuple)):
            return [var] * groups
        if len(var) != groups:
            raise ConfigError(
                f"{type(self).__name__}: a list must have one value for each of {groups} groups, "
                f"got {len(var)}"
            )
        return list(var)


def _base_levels(sparsifier: BaseSparsifier, *, resumes: bool) -> list[float]:
    """Return the level of each group that a schedule is computed from.

    A new schedule takes the present levels, and notes them in the groups. One that resumes at
    ``last_epoch`` takes the noted ones: the present levels are those of the middle of a ramp.
    """
    if not resumes:
        for group in sparsifier.groups:
            group[_BASE_LEVEL] = group["sparsity_level"]
    for group in sparsifier.groups:
        if _BASE_LEVEL not in group:
            raise ConfigError(
                f"scheduler: last_epoch must be -1 where no schedule ran before, got a sparsifier "
                f"without {_BASE_LEVEL} for {group['tensor_fqn']!r}; load its state first"
            )
    return [group[_BASE_LEVEL] for group in sparsifier.groups]


def check_sparsifier(sparsifier: object) -> None:
    """Raise TypeError or ConfigError if ``sparsifier`` has no levels; see BaseScheduler."""
    if not isinstance(sparsifier, BaseSparsifier):
        raise TypeError(
            f"scheduler: sparsifier must be a BaseSparsifier, got {type(sparsifier).__name__}"
        )
    if not sparsifier.groups:
        raise ConfigError("scheduler: sparsifier must be prepared first, got one without groups")
    for group in sparsifier.groups:
        if "sparsity_level" not in group:
            raise ConfigError(
                f"scheduler: every group must have a sparsity_level, got "
                f"{group['tensor_fqn']!r} of {type(sparsifier).__name__} without one"
            )


def _check_levels(levels: Sequence[float], groups: int) -> None:
    if len(levels) != groups:
        raise ConfigError(
            f"get_sl: must return one level for each of {groups} groups, got {levels}"
        )
    for level in levels:
        if not isfinite(level):
            raise ConfigError(f"get_sl: levels must be finite, got {levels}")


def warn_if_before_sparsifier(scheduler_steps: int, sparsifier_steps: int) -> None:
    """Warn if a scheduler takes its second step before the first step of its sparsifier.

    The constructor takes the first step of a scheduler. The levels of the second replace those of
    the first, which no mask was made with.
    """
    if scheduler_steps == 1 and sparsifier_steps < 1:
        warnings.warn(
            "scheduler.step() was called before sparsifier.step(): the first level is skipped; "
            "call sparsifier.step() first in every epoch",
            UserWarning,
            stacklevel=3,
        )


def copy_attributes(attributes: Mapping[str, Any], without: str) -> dict[str, Any]:
    """Return the attributes except ``without``; lists and dicts are copied."""
    return {
        key: value.copy() if isinstance(value, (list, dict)) else value
        for key, value in attributes.items()
        if key != without
    }
