"""The order of commits, and the rows since a date or commit."""

import pandas as pd

from sparsebench.errors import SparsebenchError, unknown_name


def commit_order(frame: pd.DataFrame) -> list[str]:
    """Return the frame's commits, oldest first: by date, then as first seen; undated ones last."""
    commits = frame[["commit_hash", "commit_date"]].drop_duplicates("commit_hash")
    ordered = commits.sort_values("commit_date", kind="stable", na_position="last")
    return [str(commit) for commit in ordered["commit_hash"]]


def short_hash(commit: str) -> str:
    """Return the first eight characters, as asv names its files."""
    return commit[:8]


def since(frame: pd.DataFrame, start: str) -> pd.DataFrame:
    """Return the rows from ``start`` on: a date ("2026-01-31") or the beginning of a commit hash.

    Raises:
        SparsebenchError: neither a date nor the beginning of exactly one stored commit.
    """
    commits = commit_order(frame)
    matches = [commit for commit in commits if commit.startswith(start.lower())]
    if len(matches) == 1:
        return frame[frame["commit_hash"].isin(commits[commits.index(matches[0]) :])]
    if matches:
        near = ", ".join(map(short_hash, matches[:4]))
        raise SparsebenchError(
            f"--since {start}: must name one commit, {len(matches)} begin with it ({near}); "
            "give more digits"
        )
    date = pd.to_datetime(start, format="ISO8601", utc=True, errors="coerce")
    if pd.isna(date):
        hashes = [short_hash(commit) for commit in commits]
        raise SparsebenchError(f"--since: {unknown_name('date or commit', start, hashes)}")
    return frame[frame["commit_date"] >= date]
