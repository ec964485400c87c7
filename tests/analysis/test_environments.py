import pandas as pd
import pytest

from sparsebench.analysis.environments import current, gave_way, in_turn
from sparsebench.analysis.history import commit_order
from sparsebench.analysis.points import breaks, points
from tests.synthetic import commit_place, history


def measured(*spans: tuple[str, str, int, int]) -> pd.DataFrame:
    """Rows of (machine, environment, first commit's place, last commit's place)."""
    frame = history(commits=10, axes={"n": ["1"]})
    place = commit_place(frame)
    return pd.concat(
        [
            frame[place.between(first, last)].assign(machine=machine, env_name=name)
            for machine, name, first, last in spans
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize(
    ("spans", "turns", "over"),
    [
        ([("a", "old", 0, 4), ("a", "new", 5, 9)], True, {"old"}),
        ([("a", "old", 0, 5), ("a", "new", 5, 9)], True, {"old"}),  # twice at the change-over
        ([("a", "one", 0, 9), ("a", "two", 0, 9)], False, set()),
        ([("a", "one", 0, 9), ("a", "two", 0, 9), ("a", "old", 0, 0)], False, set()),
        ([("a", "one", 0, 9), ("b", "two", 0, 3)], False, set()),
        ([("a", "old", 0, 4), ("a", "new", 5, 9), ("b", "old", 0, 9)], True, {"old"}),
    ],
)
def test_an_environment_gives_way_to_one_measured_after_it(
    spans: list[tuple[str, str, int, int]], turns: bool, over: set[str]
) -> None:
    rows = measured(*spans)
    assert in_turn(rows) is turns
    assert {name for _, _, name in gave_way(rows)} == over
    left = current(rows, gave_way(rows))
    assert set(left["machine"]) == {machine for machine, *_ in spans}
    assert len(current(rows, set())) == len(rows)


def test_environments_in_turn_are_one_line_with_a_break_and_others_two_dimensions() -> None:
    rows = measured(("a", "old", 0, 4), ("a", "new", 5, 9))
    table = points(rows, commit_order(rows))
    assert breaks(table) == [5]
    assert set(table["host"]) == {0}
    assert set(table["dim:environment"]) == {""}
    both = measured(("a", "old", 0, 9), ("a", "new", 0, 9))
    table = points(both, commit_order(both))
    assert breaks(table) == []
    assert set(table["dim:environment"]) == {"old", "new"}
