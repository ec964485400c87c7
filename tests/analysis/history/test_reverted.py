"""Which steps a later step reverted, and which steps are not reported."""

import numpy as np
import pandas as pd
import pytest

from sparsebench.analysis.history import Step, steps
from tests import histories
from tests.histories import as_frame

LENGTH = 30  # snapshots per level


def reported(*levels: float) -> list[tuple[str, str, str | None]]:
    """Return the steps of a series with these levels, in their order: level, verdict, undone at."""
    rng = np.random.default_rng(1)
    logs = np.log(np.repeat(levels, LENGTH)) + rng.normal(0, 0.005, len(levels) * LENGTH)
    harness = np.zeros((1, logs.size), dtype=np.int64)
    found = steps(as_frame({"m": histories.History(logs[None], harness=harness)}))
    return [described(step) for step in sorted(found, key=lambda step: step.commit)]


def described(step: Step) -> tuple[str, str, str | None]:
    verdict = ("worse" if step.worse else "better") + ", reverted" * (step.status != "there")
    return level(step.commit), verdict, level(step.undone_at) if step.undone_at else None


def level(commit: str) -> str:
    """Return which level begins at a commit: "a" is the first one."""
    number, rest = divmod(int(commit[:8], 16), LENGTH)
    assert rest == 0
    return "abcdefgh"[number]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param((2, 1, 2), [("b", "better, reverted", "c")], id="an improvement was lost"),
        pytest.param((1, 2, 1), [("b", "worse, reverted", "c")], id="a regression was repaired"),
        pytest.param(
            (2, 1, 2.5),
            [("b", "better, reverted", "c"), ("c", "worse", None)],
            id="it got worse than it ever was",
        ),
        pytest.param(
            (1, 2, 0.7),
            [("b", "worse, reverted", "c"), ("c", "better", None)],
            id="it got better than it ever was",
        ),
        pytest.param(
            (2, 1, 1.2),
            [("b", "better", None), ("c", "worse", None)],
            id="most of an improvement stayed",
        ),
        pytest.param((2, 1, 1.9), [("b", "better, reverted", "c")], id="most of one was lost"),
        pytest.param(
            (1, 2, 3, 1),
            [("b", "worse, reverted", "d"), ("c", "worse, reverted", "d")],
            id="two regressions repaired at once",
        ),
        pytest.param(
            (1, 2, 1, 2),
            [("b", "worse, reverted", "c"), ("d", "worse", None)],
            id="a regression came back",
        ),
        pytest.param(
            (1, 2, 1, 2, 1),
            [("b", "worse, reverted", "c"), ("d", "worse, reverted", "e")],
            id="a mode that comes and goes",
        ),
        pytest.param((1, 2, 3), [("b", "worse", None), ("c", "worse", None)], id="twice worse"),
    ],
)
def test_a_return_to_an_earlier_level_is_no_step_of_its_own(
    levels: tuple[float, ...], expected: list[tuple[str, str, str | None]]
) -> None:
    assert reported(*levels) == expected


def test_what_a_shift_of_the_machine_hides_undoes_nothing() -> None:
    """One series stays where it is while its machine gets slower, and gets slower itself later."""
    logs = np.random.default_rng(4).normal(0, 0.005, (30, 120))
    logs[1:, 40:] += 0.3
    logs[0, 80:] += 0.3
    harness = np.zeros(logs.shape, dtype=np.int64)
    (step,) = steps(as_frame({"m": histories.History(logs, harness=harness)}))
    assert (step.commit[:8], step.worse, step.status) == (f"{80:08x}", True, "there")
    assert step.date == pd.Timestamp("2020-03-21", tz="UTC")
