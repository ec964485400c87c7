"""What a log without a terminal shows of long work."""

import io
import time

import pytest
from rich.console import Console

from sparsebench.cli.progress import rounds


def test_a_log_gets_a_line_in_ten_seconds_however_many_rounds_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    console = Console(file=io.StringIO(), width=80)
    with rounds(console) as tell:
        for number in range(100):
            for done in range(2):
                tell(number, done, 2)
                now += 0.25
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()
    assert shown == [f"round {number}: 2 cases" for number in (1, 21, 41, 61, 81)]
