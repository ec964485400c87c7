"""asv's JSON files as dicts; each way in which a file can be broken is a one-line error."""

import json
import re
from pathlib import Path
from typing import Any

from sparsebench.errors import SparsebenchError

# Half of a surrogate pair, escaped: JSON may hold it, UTF-8 (and so Parquet) may not.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class BadFileError(SparsebenchError):
    """A file that cannot be used; the text starts with its path."""

    def __init__(self, path: Path, problem: str) -> None:
        line = " ".join(problem.split())
        super().__init__(f"{path}: {line if len(line) <= 300 else f'{line[:300]}...'}")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        BadFileError: it cannot be read, or is a folder, a pipe or the like.
    """
    if path.exists() and not path.is_file():
        raise BadFileError(path, "must be a plain file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFileError(path, error.strerror or str(error)) from None


def parse_object(path: Path, content: bytes) -> dict[str, Any]:
    """Return the JSON object in ``content``; asv's bare NaN and Infinity are allowed.

    Raises:
        BadFileError: empty, binary, truncated, nested too deeply, or not an object.
    """
    if not content.strip():
        raise BadFileError(path, "must be JSON, got an empty file")
    try:
        data = json.loads(content)
        data = _replace_surrogates(data) if _SURROGATE.search(content) else data
    except UnicodeDecodeError:
        raise BadFileError(path, "must be JSON in UTF-8, got binary data") from None
    except RecursionError:
        raise BadFileError(path, "must be an asv file, got JSON nested too deeply") from None
    except ValueError as error:
        raise BadFileError(path, f"must be JSON, broken or truncated: {error}") from None
    if not isinstance(data, dict):
        raise BadFileError(path, f"must be a JSON object, got a {type(data).__name__}")
    return data


def check_version(path: Path, data: dict[str, Any], supported: tuple[int, ...]) -> int:
    """Return the file's format version.

    Raises:
        BadFileError: there is none, or it is not one of ``supported``.
    """
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadFileError(path, "must hold asv's integer 'version'; not an asv file")
    if version > max(supported):
        raise BadFileError(
            path,
            f"format version must be at most {max(supported)}, got {version}; update sparsebench",
        )
    if version not in supported:
        raise BadFileError(path, f"format version must be one of {supported}, got {version}")
    return version


def _replace_surrogates(value: Any) -> Any:
    """Return ``value`` with a question mark for each lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_replace_surrogates(k): _replace_surrogates(v) for k, v in value.items()}
    return value
