"""asv results to ingest: real ones of tests/data, and small ones that a test writes."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data" / "asv"
COLUMNS = [
    *("result", "params", "version", "started_at", "duration"),
    *("stats_ci_99_a", "stats_ci_99_b", "stats_q_25", "stats_q_75"),
    *("stats_number", "stats_repeat", "samples", "profile"),
]


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """A copy of the real version 2 tree, for tests that change it."""
    return Path(shutil.copytree(DATA / "v2", tmp_path / "tiny" / "results"))


@pytest.fixture
def run_python() -> Callable[[str], str]:
    """A function that runs a line of code in a new interpreter and returns what it prints."""

    def run(code: str) -> str:
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return process.stdout.strip()

    return run


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that makes folders of a name unreadable, also for the superuser."""

    def lock(name: str) -> None:
        def scandir(path: Any = ".") -> Any:
            if Path(path).name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return original(path)

        original = os.scandir
        monkeypatch.setattr(os, "scandir", scandir)

    return lock


@pytest.fixture
def write_result(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a version 2 result file and returns its path."""

    def write(
        results: dict[str, Any],
        folder: str = "generated/results",
        benchmarks: dict[str, Any] | None = None,
        name: str = "aaaaaaaa-env.json",
        **fields: Any,
    ) -> Path:
        data = {
            "commit_hash": "a" * 40,
            "env_name": "env",
            "date": 1_700_000_000_000,
            "params": {"machine": "workstation", "python": "3.11"},
            "python": "3.11",
            "requirements": {},
            "env_vars": {},
            "result_columns": COLUMNS,
            "results": results,
            "durations": {},
            "version": 2,
        } | fields
        path = tmp_path / folder / "workstation" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data), encoding="utf-8")
        if benchmarks is not None:
            listed = json.dumps(benchmarks | {"version": 2})
            path.parent.parent.joinpath("benchmarks.json").write_text(listed, encoding="utf-8")
        return path

    return write
