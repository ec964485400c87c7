"""The one base of every error that a person can cause, and how such a message is built."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_FEW: Final = 8  # names that are listed all


class SparsebenchError(Exception):
    """Bad input or an impossible request; its text is one line: where, the rule, what was got."""


class SparsebenchWarning(UserWarning):
    """A doubt that does not stop the work; the command line prints it as one line."""


class ConfigError(SparsebenchError, ValueError):
    """A sparsifier's configuration breaks a rule; nothing was changed."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """One line that says ``name`` is no ``what``, with the near ones that exist.

    Up to 8 names are listed all; of more, the near ones, or the first 8 if none is near.
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
