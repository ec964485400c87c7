"""LambdaSL: the level is the base level times a function of the epoch."""

from collections.abc import Callable, Sequence
from typing import Any

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import shown
from sparsebench.pruning.schedulers.base_scheduler import BaseScheduler, check_sparsifier
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier

Factor = Callable[[int], float]


class LambdaSL(BaseScheduler):
    """Sets each group's level to ``base_sl * sl_lambda(epoch)``.

    Args:
        sl_lambda: one function for all groups, or one each.
        sparsifier, last_epoch, verbose: see BaseScheduler.

    Raises:
        ConfigError: another number of functions than groups, or something that is no function.

    Source: ``torch.ao.pruning.LambdaSL``. Deviates: its ``state_dict`` can be pickled, as it holds
    no function: of a callable object its attributes, of a function or lambda nothing (None).
    """

    def __init__(
        self,
        sparsifier: BaseSparsifier,
        sl_lambda: Factor | Sequence[Factor],
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        check_sparsifier(sparsifier)
        self.sparsifier = sparsifier
        self.sl_lambdas: list[Factor] = self._make_sure_a_list(sl_lambda)
        for factor in self.sl_lambdas:
            if not callable(factor):
                raise ConfigError(
                    "LambdaSL: sl_lambda must be a function of the epoch, or a list of one a "
                    f"group, got {shown(factor)}"
                )
        super().__init__(sparsifier, last_epoch, verbose)

    def get_sl(self) -> list[float]:
        """The level of each group at ``last_epoch``."""
        self._warn_if_called_directly()
        return [
            base * factor(self.last_epoch)
            for factor, base in zip(self.sl_lambdas, self.base_sl, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Every attribute but sparsifier and functions, see the class."""
        state = super().state_dict()
        state["sl_lambdas"] = [_attributes(factor) for factor in self.sl_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave; functions stay this scheduler's own.

        Raises:
            ConfigError: it is of a sparsifier with another number of groups.
        """
        state = dict(state_dict)
        saved = state.pop("sl_lambdas", [None] * len(self.sl_lambdas))
        if len(saved) != len(self.sl_lambdas):
            raise ConfigError(
                f"load_state_dict: must be of {len(self.sl_lambdas)} functions, got {len(saved)}"
            )
        super().load_state_dict(state)
        for factor, attributes in zip(self.sl_lambdas, saved, strict=True):
            if isinstance(attributes, dict):
                factor.__dict__.update(attributes)


def _attributes(factor: Factor) -> dict[str, Any] | None:
    """A callable object's attributes, which can be saved; None for a function, which cannot."""
    return (
        dict(vars(factor))
        if not hasattr(factor, "__code__") and hasattr(factor, "__dict__")
        else None
    )
