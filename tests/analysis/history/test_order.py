import pandas as pd
import pytest

from sparsebench.analysis.history import commit_order, since
from sparsebench.errors import SparsebenchError


def commits(*rows: tuple[str, str | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["commit_hash", "commit_date"])
    return frame.assign(commit_date=pd.to_datetime(frame["commit_date"], utc=True))


HISTORY = commits(
    ("cc", "2026-03-01"),
    ("ab1", "2026-01-01"),
    ("ee", None),
    ("ab2", "2026-01-01"),
    ("ab1", "2026-01-01"),
)


def test_commits_come_by_date_then_as_first_seen_and_undated_last() -> None:
    assert commit_order(HISTORY) == ["ab1", "ab2", "cc", "ee"]


@pytest.mark.parametrize(
    ("start", "kept"),
    [("ab2", ["ab2", "cc", "ee"]), ("CC", ["cc", "ee"]), ("2026-02-01", ["cc"])],
)
def test_since_takes_a_hash_or_a_date(start: str, kept: list[str]) -> None:
    assert commit_order(since(HISTORY, start)) == kept


@pytest.mark.parametrize(
    ("start", "line"),
    [
        ("ab", "--since ab: must name one commit, 2 begin with it (ab1, ab2); give more digits"),
        ("yesterday", "--since: unknown date or commit 'yesterday'; known: ab1, ab2, cc, ee"),
    ],
)
def test_since_refuses_what_is_not_one_commit(start: str, line: str) -> None:
    with pytest.raises(SparsebenchError) as error:
        since(HISTORY, start)
    assert str(error.value) == line
