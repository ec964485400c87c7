"""CubicSL: the level approaches its target fast at first, then slowly."""

from collections.abc import Sequence
from typing import Any

from sparsebench.errors import ConfigError
from sparsebench.pruning.schedulers.base_scheduler import BaseScheduler, check_sparsifier
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier


class CubicSL(BaseScheduler):
    """Moves each group's level from ``init_sl`` to ``base_sl``, its own level, along a cubic.

    At epoch t, from ``init_t`` to ``init_t + total_t * delta_t``::

        s = base_sl + (init_sl - base_sl) * (1 - (t - init_t) / (total_t * delta_t)) ** 3

    Every argument is one value for all groups, or a list with one per group.

    Args:
        init_sl: level at ``init_t``; may be above the target.
        init_t: epoch in which pruning starts.
        delta_t: from ``init_t`` on, masks are updated every ``delta_t`` epochs; in the others
            ``sparsifier.step()`` keeps them; at least 1.
        total_t: number of updates until the target is reached; 0 reaches it at ``init_t``.
        initially_zero: level 0 instead of ``init_sl`` before ``init_t``.
        sparsifier, last_epoch, verbose: see BaseScheduler.

    Raises:
        ConfigError: ``delta_t`` below 1, ``total_t`` below 0, or a list of another length.

    Source: arXiv:1710.01878; ``torch.ao.pruning.CubicSL``. Deviates: levels may go down,
    ``total_t=0`` works, and ``delta_t`` is how often masks change: it sets ``mask_update_due`` of
    every group (delete the key to update at every step). Between updates the level still changes.
    """

    def __init__(
        self,
        sparsifier: BaseSparsifier,
        init_sl: float | Sequence[float] = 0.0,
        init_t: int | Sequence[int] = 0,
        delta_t: int | Sequence[int] = 10,
        total_t: int | Sequence[int] = 100,
        initially_zero: bool | Sequence[bool] = False,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        check_sparsifier(sparsifier)
        self.sparsifier = sparsifier
        self.init_sl = self._make_sure_a_list(init_sl)
        self.init_t = self._make_sure_a_list(init_t)
        self.delta_t = self._make_sure_a_list(delta_t)
        self.total_t = self._make_sure_a_list(total_t)
        self.initially_zero = self._make_sure_a_list(initially_zero)
        _check_at_least("delta_t", 1, self.delta_t)
        _check_at_least("total_t", 0, self.total_t)
        super().__init__(sparsifier, last_epoch, verbose)

    @staticmethod
    def sparsity_compute_fn(
        s_0: float,
        s_f: float,
        t: int,
        t_0: int,
        dt: int,
        n: int,
        initially_zero: bool = False,
    ) -> float:
        """Return the level at epoch ``t``: exactly ``s_0`` until ``t_0``, ``s_f`` from the end on.

        Args:
            s_0, s_f: first and last level.
            t, t_0: epoch, and epoch of the start.
            dt, n: epochs between updates, and number of updates.
            initially_zero: 0 before ``t_0``.
        """
        if t < t_0:
            return 0.0 if initially_zero else s_0
        if t >= t_0 + dt * n:
            return s_f
        if t == t_0:
            return s_0
        level = s_f + (s_0 - s_f) * (1.0 - (t - t_0) / (dt * n)) ** 3
        return max(min(s_0, s_f), min(max(s_0, s_f), level))

    def get_sl(self) -> list[float]:
        """Return the level of each group at ``last_epoch``."""
        self._warn_if_called_directly()
        return [
            self.sparsity_compute_fn(s_0, s_f, self.last_epoch, t_0, dt, n, zero)
            for s_0, s_f, t_0, dt, n, zero in zip(
                self.init_sl,
                self.base_sl,
                self.init_t,
                self.delta_t,
                self.total_t,
                self.initially_zero,
                strict=True,
            )
        ]

    def _set_levels(self, levels: Sequence[float]) -> None:
        super()._set_levels(levels)
        for group, t_0, dt in zip(self.sparsifier.groups, self.init_t, self.delta_t, strict=True):
            elapsed = self.last_epoch - t_0
            group["mask_update_due"] = elapsed < 0 or elapsed % dt == 0


def _check_at_least(name: str, least: int, values: list[Any]) -> None:
    if any(value < least for value in values):
        raise ConfigError(f"CubicSL: {name} must be at least {least}, got {values}")
