"""Records as text: whole, cut off anywhere, damaged, or of a newer format."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.findings import Side
from sparsebench.gate.record import (
    FORMAT,
    Blocks,
    Control,
    Doubt,
    Ended,
    Event,
    Failure,
    Journal,
    Record,
    RunPlan,
    Skip,
    Values,
    lines,
    load_record,
    parse,
)
from sparsebench.gate.verdicts import gate_result

CASES = (
    BenchmarkCase(
        "a.time", ("n",), ("'ü\"'",), "time", "seconds", 60.0, None, 60.0, None, {"base": 0}
    ),
    BenchmarkCase(
        "b.track", (), (), "track", "unit", 6.0, "b:1", 9.0, 0.1, {"head": None}, {"base": "E"}
    ),
)
EVENTS: tuple[Event, ...] = (
    Blocks(0, 0, "screen", "BHHB", (1e-3, 1.1e-3, 0.1 + 0.2, 1e-3), 3, 4),
    Values(1, 0, "screen", float("inf"), [1, None, "\u2028"]),
    Failure(1, 0, "head", "E: \ud800"),
    Skip(0, "base"),
    Doubt(0, "odd"),
    Control(0, 1e-4, 2e-4),
    Ended("interrupted", 1.5),
    Ended("budget", 2.5),
)
RECORD = Record(
    RunPlan("p", "m", "e", Side("0" * 40, "s"), Side("1" * 40, "t", 3), 0.05, CASES, ("note",)),
    list(EVENTS),
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse("x", lines(RECORD)) == RECORD
    assert RECORD.seconds == 4.0
    assert RECORD.rounds == 1
    assert RECORD.finished


def test_a_record_that_was_truncated_anywhere_keeps_its_whole_lines() -> None:
    rows = lines(RECORD)
    for whole in range(1, len(rows)):
        for cut in (1, len(rows[whole]) // 2, len(rows[whole]) - 1):
            got = parse("x", [*rows[:whole], rows[whole][:cut]])
            assert got.events == RECORD.events[: whole - 1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '{"project": "p"}',
        "{lines[0]}\n3",
        "{lines[0]}\n[]",
        '{lines[0]}\n{{"event": "unknown"}}',
        '{lines[0]}\n{{"event": "skip"}}',
        '{lines[0]}\n{{"event": "skip", "case": 2, "side": "base"}}',
        '{lines[0]}\n{{"event": "skip", "case": "0", "side": "base"}}',
        "{lines[0]}\n{lines[1]}x\n{lines[2]}",
    ],
)
def test_what_is_no_record_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    path.write_text(text.format(lines=lines(RECORD)) if "{lines" in text else text)
    with pytest.raises(SparsebenchError) as raised:
        load_record(path)
    assert str(raised.value).startswith(f"{path}: must be a gate's record; ")
    assert "\n" not in str(raised.value)


def test_json_of_another_kind_is_reported_by_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(SparsebenchError, match=r"must be a gate's record; it has no 'format'"):
        load_record(path)


def test_a_folder_of_records_is_refused_and_names_its_newest(tmp_path: Path) -> None:
    with pytest.raises(SparsebenchError, match=r"must be one record, got a folder$"):
        load_record(tmp_path)
    for name, age in (("gate-a.parquet", 20), ("gate-b.parquet", 10), ("README.md", 0)):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    with pytest.raises(SparsebenchError, match=r"got a folder; the newest in it: .*gate-b.parquet"):
        load_record(tmp_path)


def test_a_newer_format_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    newer = replace(RECORD.plan, format=FORMAT + 1)
    path.write_text("\n".join(lines(Record(newer))))
    with pytest.raises(SparsebenchError, match=r"got format=3; update sparsebench$"):
        load_record(path)


def test_a_journal_and_a_document_that_holds_it_are_loaded_alike(tmp_path: Path) -> None:
    journal, document = tmp_path / "gate.jsonl", tmp_path / "gate.json"
    journal.write_text("\n".join(lines(RECORD)) + "\n")
    document.write_text(json.dumps({"record": lines(RECORD)}, indent=1))
    assert load_record(journal) == load_record(document) == RECORD
    assert gate_result(load_record(journal)) == gate_result(RECORD)


def test_continuing_a_record_keeps_it_whole_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gate.jsonl"
    path.write_text("\n".join(lines(RECORD)) + "\n")
    before = path.read_bytes()

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", no_space)
        with pytest.raises(
            SparsebenchError, match=r"gate\.jsonl: cannot be written; No space left"
        ):
            Journal(path, parse("x", path.read_text().splitlines()))
    assert path.read_bytes() == before

    journal = Journal(path, parse("x", path.read_text().splitlines()))
    journal.add(Doubt(1, "later"))
    assert path.read_bytes() == before + b'{"event": "doubt", "case": 1, "text": "later"}\n'
    journal.close()
