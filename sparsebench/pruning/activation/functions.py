"""Saving a person's functions: those that can be found again by name, and nothing of the others."""

import pickle
from collections.abc import Callable, Mapping
from typing import Any

NAMES = ("aggregate_fn", "reduce_fn", "mask_fn")


class Unsaved:
    """A lambda or local function: itself as long as it stays in this process, None in a file."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.function = function

    def __reduce__(self) -> tuple[type["Unsaved"], tuple[()]]:
        return Unsaved, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Unsaved":
        return self


def saved(group: Mapping[str, Any]) -> dict[str, Any]:
    """``group`` with its functions so that it can be pickled."""
    return {key: _saved(value) if key in NAMES else value for key, value in group.items()}


def restored(group: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`saved`; a function that is not in the file is taken from ``own``."""
    group = {
        key: value.function if isinstance(value, Unsaved) else value for key, value in group.items()
    }
    lost = [key for key in NAMES if group.get(key) is None]
    return {**group, **{key: own.get(key) for key in lost}}


def _saved(function: Any) -> Any:
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return Unsaved(function)
    return function
