"""The dataset in other formats: CSV, JSON lines, and asv's own result files."""

import hashlib
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Unpack

import pandas as pd

from sparsebench.errors import SparsebenchError
from sparsebench.results.dataset.storage import slug
from sparsebench.results.reader import Filters, read

_COLUMNS: Final = {  # asv's name: ours
    "result": "value",
    "stats_ci_99_a": "ci_99_a",
    "stats_ci_99_b": "ci_99_b",
    "stats_q_25": "q_25",
    "stats_q_75": "q_75",
    "stats_number": "number",
    "stats_repeat": "repeat",
    "samples": "samples",
}
_ORDER: Final = [
    *("result", "params", "version", "started_at", "duration"),
    *("stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75"),
    *("stats_number", "stats_repeat", "samples", "profile"),
]
_RUN: Final = ["project", "machine", "commit_hash", "env_name"]
_MACHINE: Final = ("arch", "cpu", "gpu", "cuda", "driver", "num_cpu", "os", "ram")


def export(dataset: str | Path, into: Path, form: str, **filters: Unpack[Filters]) -> int:
    """Write the rows that match as ``form``, and give how many rows there were.

    Args:
        dataset: the folder or URI that `ingest` wrote to.
        into: the file to write; of the form "asv" the folder of the results trees, one a project.
        form: "csv" (lists and dicts as JSON), "jsonl" (a row a line) or "asv" (result files of
            version 2 with machine.json and benchmarks.json, which asv's own commands read).
        filters: as of `read`.

    Raises:
        SparsebenchError: as `read`; or ``into`` cannot be written.
    """
    frame = read(dataset, **filters)
    try:
        FORMS[form](frame, into)
    except OSError as error:
        raise SparsebenchError(f"{into}: cannot be written: {error.strerror}") from None
    return len(frame)


def _to_csv(frame: pd.DataFrame, into: Path) -> None:
    texts = {
        name: frame[name].map(_json, na_action="ignore")
        for name in ("param_names", "params", "requirements", "env_vars", "samples")
    }
    frame.assign(**texts).to_csv(into, index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")


def _to_jsonl(frame: pd.DataFrame, into: Path) -> None:
    with into.open("w", encoding="utf-8") as sink:
        for row in _rows(frame):
            times = {k: v and v.isoformat() for k, v in row.items() if k in _TIMES}
            sink.write(_json(row | times) + "\n")


_TIMES: Final = ("commit_date", "started_at")


def _to_asv(frame: pd.DataFrame, into: Path) -> None:
    trees: defaultdict[Path, dict[str, Any]] = defaultdict(dict)
    for _, group in frame.groupby(_RUN, sort=False):
        rows = list(_rows(group))
        project, machine, commit, env = (str(rows[0][name]) for name in _RUN)
        tree = into / slug(project)
        folder = tree / slug(machine)
        facts = {key: str(rows[0][key]) for key in _MACHINE if rows[0][key] is not None}
        facts["machine"] = machine
        benchmarks = {name: list(each) for name, each in _by_benchmark(rows)}
        _write(folder / "machine.json", {**facts, "version": 1})
        _write(folder / f"{slug(commit)[:8]}-{_file_name(env)}.json", _result(benchmarks, facts))
        trees[tree] |= {name: _listed(name, each) for name, each in benchmarks.items()}
    for tree, listed in trees.items():
        _write(tree / "benchmarks.json", {**listed, "version": 2})


FORMS: Final[Mapping[str, Callable[[pd.DataFrame, Path], None]]] = {
    "csv": _to_csv,
    "jsonl": _to_jsonl,
    "asv": _to_asv,
}


def _by_benchmark(rows: Iterable[dict[str, Any]]) -> Iterable[tuple[str, Any]]:
    return itertools.groupby(sorted(rows, key=lambda r: r["benchmark"]), lambda r: r["benchmark"])


def _result(benchmarks: Mapping[str, list[dict[str, Any]]], facts: Mapping[str, str]) -> Any:
    """One asv result file of version 2."""
    first = next(iter(benchmarks.values()))[0]
    requirements = first["requirements"] or {}
    return {
        "commit_hash": first["commit_hash"],
        "env_name": first["env_name"],
        "date": _ms(first["commit_date"]),
        "params": {**facts, "python": first["python"], **requirements},
        "python": first["python"],
        "requirements": requirements,
        "env_vars": first["env_vars"] or {},
        "result_columns": _ORDER,
        "results": {name: _entry(rows) for name, rows in benchmarks.items()},
        "durations": {},
        "version": 2,
    }


def _entry(rows: list[dict[str, Any]]) -> list[Any]:
    """A benchmark as asv stores it: a list a column in product order, trailing nulls dropped."""
    axes = _axes([row["params"] or [] for row in rows])
    found = {tuple(row["params"] or ()): row for row in rows}
    whole = len(rows) == math.prod(map(len, axes)) and len(found) < len(rows)  # values repeat
    each = rows if whole else [found.get(key) for key in itertools.product(*axes)]
    first = rows[0]
    cells: dict[str, Any] = {
        "params": axes,
        "version": first["benchmark_version"],
        "started_at": _ms(first["started_at"]),
        "duration": first["duration"],
    }
    for name, ours in _COLUMNS.items():
        values = [_recorded(row, ours) for row in each]
        cells[name] = None if all(value is None for value in values) else values
    entry = [cells.get(name) for name in _ORDER]
    while entry[-1] is None and len(entry) > 2:
        entry.pop()
    return entry


def _axes(every: list[list[str]]) -> list[list[str]]:
    """The values of each parameter, in the order in which they come."""
    return [list(dict.fromkeys(column)) for column in zip(*every, strict=True)]


def _recorded(row: dict[str, Any] | None, column: str) -> Any:
    """What asv would write: NaN for what was skipped, or is not among the rows."""
    if column != "value":
        return row[column] if row else None
    if row is None or row["status"] == "skipped":
        return math.nan
    return row["value"]


def _listed(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What asv's benchmarks.json must say of a benchmark."""
    row = rows[0]
    return {
        "name": name,
        "code": "",
        "type": row["type"] or "track",
        "unit": row["unit"] or "unit",
        "param_names": row["param_names"] or [],
        "params": _axes([each["params"] or [] for each in rows]),
        "version": row["benchmark_version"] or "",
    }


def _rows(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows of plain Python values, None for what is not known."""
    for row in frame.to_dict("records"):
        yield {str(key): _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | dict):
        return value
    return None if value is None or value is pd.NaT or value is pd.NA or value != value else value


def _json(value: Any) -> str:
    return json.dumps(value.tolist() if hasattr(value, "tolist") else value, ensure_ascii=False)


def _ms(time: pd.Timestamp | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1000)


def _file_name(env: str) -> str:
    """As asv names it, but that no odd name leaves the folder."""
    return (
        slug(env)
        if len(env) < 60
        else f"env-{hashlib.md5(env.encode(), usedforsecurity=False).hexdigest()}"
    )


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
