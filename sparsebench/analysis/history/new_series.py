"""New series: cases that are measured in another way from some commit on."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from sparsebench.analysis.history.findings import NewSeries
from sparsebench.analysis.history.machine_tables import MachineTable

_CASE: Final = ["project", "machine", "benchmark", "case"]
_GROUP: Final = ["project", "machine", "benchmark", "commit", "date", "reason"]
_MISSING: Final = "unknown"


def new_series(tables: Sequence[MachineTable]) -> list[NewSeries]:
    """Return the series that replace an earlier series of the same case, newest first.

    Series that overlap in time are measured in parallel and do not replace each other.
    """
    if not tables:
        return []
    spans = pd.concat([_spans(table) for table in tables], ignore_index=True)
    spans = spans.sort_values("begin", kind="stable")
    cases: dict[tuple[Any, ...], list[dict[Hashable, Any]]] = {}
    for span in spans[spans.duplicated(_CASE, keep=False)].to_dict("records"):
        cases.setdefault(tuple(span[name] for name in _CASE), []).append(span)
    starts = [
        {**{name: new[name] for name in _CASE}, "commit": new["commit"], "date": new["begin"],
         "reason": _reason(old, new)}
        for rows in cases.values()
        for old, new in pairwise(rows)
        if new["begin"] > old["end"]
    ]  # fmt: skip
    newest = sorted(_grouped(pd.DataFrame(starts)), key=lambda new: (new.commit, new.reason))
    return sorted(newest, key=lambda new: new.date, reverse=True)


def _grouped(starts: pd.DataFrame) -> Iterator[NewSeries]:
    if starts.empty:
        return
    for values, rows in starts.groupby(_GROUP, sort=False):
        named: dict[str, Any] = dict(zip(_GROUP, values, strict=True))
        yield NewSeries(count=len(rows), **named)


def _spans(table: MachineTable) -> pd.DataFrame:
    """Return one row per series: its properties, and when it was first and last measured."""
    measured = ~np.isnan(table.values)
    first = measured.argmax(axis=1)
    last = measured.shape[1] - 1 - measured[:, ::-1].argmax(axis=1)
    return table.series.assign(
        project=table.project,
        machine=table.machine,
        env_name=table.env_name,
        commit=[table.commits[index] for index in first],
        begin=table.dates.iloc[first].to_numpy(),
        end=table.dates.iloc[last].to_numpy(),
    )


def _reason(old: dict[Any, Any], new: dict[Any, Any]) -> str:
    """Return what differs: "number 1 -> 10, environment a -> b"."""
    before, after = _attributes(old["fingerprint"]), _attributes(new["fingerprint"])
    changed = [
        f"{name} {before.get(name, _MISSING)} -> {after.get(name, _MISSING)}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    if old["env_name"] != new["env_name"]:
        changed.append(f"environment {old['env_name']} -> {new['env_name']}")
    if str(old["benchmark_version"]) != str(new["benchmark_version"]):
        changed.append("the benchmark's code")
    return ", ".join(changed)


def _attributes(fingerprint: object) -> dict[str, str]:
    """Return the parts of a fingerprint like "number=1 repeat=10"; none if it is missing."""
    if not isinstance(fingerprint, str):
        return {}
    pairs = (part.partition("=") for part in fingerprint.split())
    return {name: value for name, _, value in pairs}
