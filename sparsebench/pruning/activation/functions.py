"""Pickling of the caller's functions: by name if they have one, else as None.

Saved states name this module and :class:`Unsaved`: do not move them.
"""

import pickle
from collections.abc import Callable, Mapping
from typing import Any

FUNCTION_KEYS = ("aggregate_fn", "reduce_fn", "mask_fn")


class Unsaved:
    """A lambda or local function: itself within this process, None in a file."""

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self.function = function

    def __reduce__(self) -> tuple[type["Unsaved"], tuple[()]]:
        return Unsaved, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Unsaved":
        return self


def wrap_functions(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``group`` with each function that cannot be pickled in an :class:`Unsaved`."""
    wrapped = dict(group)
    for key in FUNCTION_KEYS:
        if key in group:
            try:
                pickle.dumps(group[key])
            except (pickle.PicklingError, AttributeError, TypeError):
                wrapped[key] = Unsaved(group[key])
    return wrapped


def unwrap_functions(group: Mapping[str, Any], fallback: Mapping[str, Any]) -> dict[str, Any]:
    """Undo :func:`wrap_functions`; take functions that were not saved from ``fallback``."""
    unwrapped = {
        key: value.function if isinstance(value, Unsaved) else value for key, value in group.items()
    }
    for key in FUNCTION_KEYS:
        if unwrapped.get(key) is None:
            unwrapped[key] = fallback.get(key)
    return unwrapped
