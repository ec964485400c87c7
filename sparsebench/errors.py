"""The one base of every error that a person can cause, and how such a message is built."""

from collections.abc import Iterable
from difflib import get_close_matches


class SparsebenchError(Exception):
    """Bad input or an impossible request; its text is one line: where, the rule, what was got."""


class SparsebenchWarning(UserWarning):
    """A doubt that does not stop the work; the command line prints it as one line."""


class ConfigError(SparsebenchError, ValueError):
    """A sparsifier's configuration breaks a rule; nothing was changed."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """One line that says ``name`` is no ``what``, with the near ones that exist."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    shown = near or names[:8]
    more = f" and {len(names) - len(shown)} more" if not near and len(names) > len(shown) else ""
    hint = f"near: {', '.join(near)}" if near else f"known: {', '.join(shown) or 'none'}{more}"
    return f"unknown {what} {name!r}; {hint}"
