"""asv's JSON: read whole, with every way a file can be broken turned into one line."""

import json
import re
from pathlib import Path
from typing import Any

from sparsebench.errors import SparsebenchError

# Half of a surrogate pair, escaped: JSON may hold it, UTF-8 (and so Parquet) may not.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class BadFileError(SparsebenchError):
    """A file that cannot be used; the text starts with its path."""

    def __init__(self, path: Path, rule: str) -> None:
        super().__init__(f"{path}: {_one_line(rule)}")


def read_bytes(path: Path) -> bytes:
    """The whole file; raises BadFileError when it is no plain, readable file."""
    if path.exists() and not path.is_file():
        raise BadFileError(path, "must be a plain file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFileError(path, error.strerror or str(error)) from None


def parse_object(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON object in ``content``, asv's bare NaN and Infinity included.

    Raises:
        BadFileError: empty, binary, truncated, nested too deeply, or not an object.
    """
    if not content.strip():
        raise BadFileError(path, "must be JSON, got an empty file")
    try:
        data = json.loads(content)
        data = _storable(data) if _SURROGATE.search(content) else data
    except UnicodeDecodeError:
        raise BadFileError(path, "must be JSON in UTF-8, got binary data") from None
    except RecursionError:
        raise BadFileError(path, "must be an asv file, got JSON nested too deeply") from None
    except ValueError as error:
        raise BadFileError(path, f"must be JSON, broken or cut off: {error}") from None
    if not isinstance(data, dict):
        raise BadFileError(path, f"must be a JSON object, got a {type(data).__name__}")
    return data


def check_version(path: Path, data: dict[str, Any], known: tuple[int, ...]) -> int:
    """The file's format version, which must be one of ``known``."""
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadFileError(path, "must hold asv's integer 'version'; not an asv file")
    if version > max(known):
        raise BadFileError(
            path, f"format version must be at most {max(known)}, got {version}; update sparsebench"
        )
    if version not in known:
        raise BadFileError(path, f"format version must be one of {known}, got {version}")
    return version


def _storable(value: Any) -> Any:
    """``value`` with every lone surrogate replaced by a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _one_line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}..."
