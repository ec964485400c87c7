"""Records from where they are kept."""

import json
from pathlib import Path

from sparsebench.errors import SparsebenchError
from sparsebench.gate.record import Record, parse


def load(path: Path) -> Record:
    """The record in what ``gate --json`` or ``--into`` wrote, or in a journal below ``.asv/gate``.

    Raises:
        SparsebenchError: it cannot be read or holds no record.
    """
    if path.is_dir():
        kept = [p for p in path.iterdir() if p.suffix in (".json", ".jsonl", ".parquet")]
        newest = max(kept, key=lambda p: p.stat().st_mtime, default=None)
        hint = f"; the newest in it: {newest}" if newest else ""
        raise SparsebenchError(f"{path}: must be one record, got a folder{hint}")
    if path.suffix == ".parquet":
        from sparsebench.gate import parquet  # loads Arrow: 70 MB, seldom needed

        return parquet.read(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SparsebenchError(f"{path}: cannot be read; {error}") from None
    try:
        document = json.loads(text)
    except json.JSONDecodeError:  # more than one document: a journal
        return parse(str(path), text.splitlines())
    rows = document.get("record") if isinstance(document, dict) else None
    return parse(str(path), rows if isinstance(rows, list) else text.splitlines())
