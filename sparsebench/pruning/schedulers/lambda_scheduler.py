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
        sl_lambda: one function for all groups, or a list with one per group.
        sparsifier, last_epoch, verbose: see BaseScheduler.

    Raises:
        ConfigError: not one function per group, or something that is no function.

    Source: ``torch.ao.pruning.LambdaSL``. Deviates: its ``state_dict`` can be pickled, because
    it holds no functions: the attributes of a callable object, None for a function or lambda.
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
                    "LambdaSL: sl_lambda must be a function of the epoch, or a list of one per "
                    f"group, got {shown(factor)}"
                )
        super().__init__(sparsifier, last_epoch, verbose)

    def get_sl(self) -> list[float]:
        """Return the level of each group at ``last_epoch``."""
        self._warn_if_called_directly()
        return [
            base * factor(self.last_epoch)
            for factor, base in zip(self.sl_lambdas, self.base_sl, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return every attribute but sparsifier and functions, see the class."""
        state = super().state_dict()
        state["sl_lambdas"] = [_attributes(factor) for factor in self.sl_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the attributes to what :meth:`state_dict` gave; functions are not replaced.

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
    """Return the attributes of a callable object, or None for a function."""
    is_function = hasattr(factor, "__code__") or not hasattr(factor, "__dict__")
    return None if is_function else dict(vars(factor))
