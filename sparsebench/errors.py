"""Base classes of errors and warnings for users, and the message on an unknown name."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_FEW: Final = 8  # up to this many names are listed completely


class SparsebenchError(Exception):
    """Bad input or an impossible request.

    The text is one line: where, what must hold, what was given, what to do.
    """


class SparsebenchWarning(UserWarning):
    """A problem that does not stop the work; the command line prints it as one line."""


class ConfigError(SparsebenchError, ValueError):
    """An invalid configuration of a sparsifier; nothing was changed."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return one line on an unknown name, with similar valid names.

    Up to 8 valid names are all listed; of more, the similar ones, or the first 8 if none is.

    Args:
        what: kind of the name, such as "column".
        name: the unknown name.
        known: all valid names.

    Example:
        >>> unknown_name("column", "vlaue", ["value", "unit"])
        "unknown column 'vlaue'; near: value; others: unit"
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    far = [other for other in names if other not in near]
    if not near:
        more = f" and {len(far) - _FEW} more" if len(far) > _FEW else ""
        hint = f"known: {', '.join(far[:_FEW]) or 'none'}{more}"
    else:
        others = f"; others: {', '.join(far)}" if far and len(names) <= _FEW else ""
        hint = f"near: {', '.join(near)}{others}"
    return f"unknown {what} {name!r}; {hint}"
