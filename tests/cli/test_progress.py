"""Progress lines in a log."""

import io
import time

import pytest
from rich.console import Console

from sparsebench.cli.progress import rounds


def test_a_log_gets_at_most_one_line_per_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    console = Console(file=io.StringIO(), width=80)
    with rounds(console) as show_round:
        for number in range(100):
            for done in range(2):
                show_round(number, done, 2)
                now += 0.25
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()
    assert shown == [f"round {number}: 2 cases" for number in (1, 21, 41, 61, 81)]
