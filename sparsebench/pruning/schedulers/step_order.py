"""What every scheduler shares: the warning about the order of steps, and copying its own state."""

import warnings
from collections.abc import Mapping
from typing import Any


def warn_of_order(scheduler_steps: int, sparsifier_steps: int) -> None:
    """Warn where a scheduler steps a second time and its sparsifier has not stepped yet.

    The first step of a scheduler is its own, at construction; the levels of the second overwrite
    those of the first before any mask was made with them.
    """
    if scheduler_steps == 1 and sparsifier_steps < 1:
        warnings.warn(
            "scheduler.step() was called before sparsifier.step(): the first level is skipped; "
            "call sparsifier.step() first in every epoch",
            UserWarning,
            stacklevel=3,
        )


def copied(attributes: Mapping[str, Any], without: str) -> dict[str, Any]:
    """The attributes but ``without``, in containers of their own."""
    return {
        key: value.copy() if isinstance(value, (list, dict)) else value
        for key, value in attributes.items()
        if key != without
    }
