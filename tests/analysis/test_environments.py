import pandas as pd
import pytest

from sparsebench.analysis.environments import (
    are_successive,
    superseded_environments,
    without_environments,
)
from sparsebench.analysis.history import commit_order
from sparsebench.analysis.points import benchmark_history
from tests.synthetic import commit_place, history


def measured(*spans: tuple[str, str, int, int]) -> pd.DataFrame:
    """Rows of (machine, environment, index of the first commit, of the last)."""
    frame = history(commits=10, axes={"n": ["1"]})
    index = commit_place(frame)
    return pd.concat(
        [
            frame[index.between(first, last)].assign(machine=machine, env_name=name)
            for machine, name, first, last in spans
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize(
    ("spans", "successive", "names"),
    [
        ([("a", "old", 0, 4), ("a", "new", 5, 9)], True, {"old"}),
        ([("a", "old", 0, 5), ("a", "new", 5, 9)], True, {"old"}),  # both at one commit
        ([("a", "one", 0, 9), ("a", "two", 0, 9)], False, set()),
        ([("a", "one", 0, 9), ("a", "two", 0, 9), ("a", "old", 0, 0)], False, set()),
        ([("a", "one", 0, 9), ("b", "two", 0, 3)], False, set()),
        ([("a", "old", 0, 4), ("a", "new", 5, 9), ("b", "old", 0, 9)], True, {"old"}),
    ],
)
def test_an_environment_is_superseded_by_one_measured_after_it(
    spans: list[tuple[str, str, int, int]], successive: bool, names: set[str]
) -> None:
    rows = measured(*spans)
    superseded = superseded_environments(rows)
    assert are_successive(rows) is successive
    assert {name for _, _, name in superseded} == names
    left = without_environments(rows, superseded)
    assert set(left["machine"]) == {machine for machine, *_ in spans}
    assert len(without_environments(rows, set())) == len(rows)


def test_successive_environments_are_two_harnesses_of_one_host_and_others_a_dimension() -> None:
    rows = measured(("a", "old", 0, 4), ("a", "new", 5, 9))
    measured_history = benchmark_history("b", rows, commit_order(rows))
    assert measured_history.harness_changes() == [5]
    assert set(measured_history.points["host"]) == {0}
    assert set(measured_history.dims["environment"]) == {""}
    both = measured(("a", "old", 0, 9), ("a", "new", 0, 9))
    measured_history = benchmark_history("b", both, commit_order(both))
    assert measured_history.harness_changes() == []
    assert set(measured_history.dims["environment"]) == {"old", "new"}
