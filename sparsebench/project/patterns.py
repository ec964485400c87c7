"""Regular expressions that choose benchmarks."""

import re

from sparsebench.errors import SparsebenchError


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, to be searched as asv does in ``name(parameters)``.

    Raises:
        SparsebenchError: it is not a regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SparsebenchError(
            f"--bench: must be a regular expression, got {pattern!r}: {error}"
        ) from None
