"""Writing a file that was asked for on the command line."""

from pathlib import Path

from sparsebench.errors import SparsebenchError


def write(path: Path, text: str) -> None:
    """Write ``text``, making the folder if need be.

    Raises:
        SparsebenchError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SparsebenchError(f"{path}: cannot be written; {error.strerror}") from None
