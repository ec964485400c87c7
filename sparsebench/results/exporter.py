"""The dataset in other formats: CSV, JSON lines and asv's own result files."""

import hashlib
import itertools
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, Unpack

import pandas as pd

from sparsebench.errors import SparsebenchError
from sparsebench.results.dataset.storage import slug
from sparsebench.results.reader import Filters, read

_DATASET_COLUMNS: Final = {  # by asv's name
    "result": "value",
    "stats_ci_99_a": "ci_99_a",
    "stats_ci_99_b": "ci_99_b",
    "stats_q_25": "q_25",
    "stats_q_75": "q_75",
    "stats_number": "number",
    "stats_repeat": "repeat",
    "samples": "samples",
}
_RESULT_COLUMNS: Final = [
    *("result", "params", "version", "started_at", "duration"),
    *("stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75"),
    *("stats_number", "stats_repeat", "samples", "profile"),
]
_RUN_COLUMNS: Final = ["project", "machine", "commit_hash", "env_name"]
_MACHINE_FIELDS: Final = ("arch", "cpu", "gpu", "cuda", "driver", "num_cpu", "os", "ram")


def export(dataset: str | Path, into: Path, form: str, **filters: Unpack[Filters]) -> int:
    """Write the rows that match in another format and return how many rows there are.

    Args:
        dataset: the folder or URI that `ingest` wrote to.
        into: the file to write; for the form "asv" the folder of the results trees, one per
            project.
        form: "csv" (lists and dicts as JSON), "jsonl" (one row per line) or "asv" (result files of
            version 2 with machine.json and benchmarks.json, which asv's own commands read).
        filters: as for `read`.

    Raises:
        SparsebenchError: as for `read`; or ``into`` cannot be written.
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
    with into.open("w", encoding="utf-8") as file:
        for row in _plain_rows(frame):
            times = {name: row[name] and row[name].isoformat() for name in _TIMES if name in row}
            file.write(_json(row | times) + "\n")


_TIMES: Final = ("commit_date", "started_at")


def _to_asv(frame: pd.DataFrame, into: Path) -> None:
    trees: defaultdict[Path, dict[str, Any]] = defaultdict(dict)  # each one's benchmarks.json
    for _, group in frame.groupby(_RUN_COLUMNS, sort=False):
        rows = list(_plain_rows(group))
        project, machine, commit, env = (str(rows[0][name]) for name in _RUN_COLUMNS)
        tree = into / slug(project)
        folder = tree / slug(machine)
        fields = {key: str(rows[0][key]) for key in _MACHINE_FIELDS if rows[0][key] is not None}
        fields["machine"] = machine
        rows.sort(key=itemgetter("benchmark"))
        benchmarks = {
            name: list(each) for name, each in itertools.groupby(rows, itemgetter("benchmark"))
        }
        _write_json(folder / "machine.json", {**fields, "version": 1})
        name = f"{slug(commit)[:8]}-{_env_file_name(env)}.json"
        _write_json(folder / name, _result_file(benchmarks, fields))
        trees[tree] |= {name: _settings(name, each) for name, each in benchmarks.items()}
    for tree, settings in trees.items():
        _write_json(tree / "benchmarks.json", {**settings, "version": 2})


FORMS: Final[Mapping[str, Callable[[pd.DataFrame, Path], None]]] = {
    "csv": _to_csv,
    "jsonl": _to_jsonl,
    "asv": _to_asv,
}


def _result_file(benchmarks: Mapping[str, list[dict[str, Any]]], fields: Mapping[str, str]) -> Any:
    """Return the content of an asv result file of version 2."""
    first = next(iter(benchmarks.values()))[0]
    requirements = first["requirements"] or {}
    return {
        "commit_hash": first["commit_hash"],
        "env_name": first["env_name"],
        "date": _milliseconds(first["commit_date"]),
        "params": {**fields, "python": first["python"], **requirements},
        "python": first["python"],
        "requirements": requirements,
        "env_vars": first["env_vars"] or {},
        "result_columns": _RESULT_COLUMNS,
        "results": {name: _result_row(rows) for name, rows in benchmarks.items()},
        "durations": {},
        "version": 2,
    }


def _result_row(rows: list[dict[str, Any]]) -> list[Any]:
    """Return a benchmark as asv stores it: lists in product order, trailing nulls dropped."""
    params = _parameter_values(rows)
    by_params = {tuple(row["params"] or ()): row for row in rows}
    complete = len(rows) == math.prod(map(len, params))
    if complete and len(by_params) < len(rows):  # a parameter's values repeat
        ordered: list[dict[str, Any] | None] = [*rows]
    else:
        ordered = [by_params.get(combination) for combination in itertools.product(*params)]
    first = rows[0]
    cells: dict[str, Any] = {
        "params": params,
        "version": first["benchmark_version"],
        "started_at": _milliseconds(first["started_at"]),
        "duration": first["duration"],
    }
    for name, column in _DATASET_COLUMNS.items():
        values = [_cell(row, column) for row in ordered]
        cells[name] = None if all(value is None for value in values) else values
    entry = [cells.get(name) for name in _RESULT_COLUMNS]
    while entry[-1] is None and len(entry) > 2:
        entry.pop()
    return entry


def _parameter_values(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Return the values of each parameter, in the order in which they first occur."""
    columns = zip(*(row["params"] or [] for row in rows), strict=True)
    return [list(dict.fromkeys(column)) for column in columns]


def _cell(row: dict[str, Any] | None, column: str) -> Any:
    """Return what asv would write; NaN for the value of a skipped or missing row."""
    if column != "value":
        return row[column] if row else None
    if row is None or row["status"] == "skipped":
        return math.nan
    return row["value"]


def _settings(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what asv's benchmarks.json must hold for a benchmark."""
    row = rows[0]
    return {
        "name": name,
        "code": "",
        "type": row["type"] or "track",
        "unit": row["unit"] or "unit",
        "param_names": row["param_names"] or [],
        "params": _parameter_values(rows),
        "version": row["benchmark_version"] or "",
    }


def _plain_rows(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Yield rows of plain Python values, None for what is not known."""
    for row in frame.to_dict("records"):
        yield {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | dict):
        return value
    return None if value is None or value is pd.NaT or value is pd.NA or value != value else value


def _json(value: Any) -> str:
    return json.dumps(value.tolist() if hasattr(value, "tolist") else value, ensure_ascii=False)


def _milliseconds(time: pd.Timestamp | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1000)


def _env_file_name(env: str) -> str:
    """Return asv's part of the file name, without characters that could leave the folder."""
    if len(env) < 60:
        return slug(env)
    return f"env-{hashlib.md5(env.encode(), usedforsecurity=False).hexdigest()}"


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
