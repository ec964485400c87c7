"""Why a whole machine may have moved: what is recorded of it and changed there."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import pandas as pd

from sparsebench.analysis.history.findings import Shift
from sparsebench.analysis.history.machines import MACHINE

HARDWARE: Final = ["arch", "os", "cpu", "num_cpu", "ram", "gpu", "cuda", "driver", "python"]
REASON_COLUMNS: Final = [*MACHINE, "commit_hash", *HARDWARE]


def explained(shifts: Iterable[Shift], rows: pd.DataFrame) -> list[Shift]:
    """Return the shifts with their reason: "cpu old -> new", "" where nothing known changed.

    Args:
        shifts: of `survey`.
        rows: at least those of the shifts' commits, in the dataset's `REASON_COLUMNS`.
    """
    first = rows.drop_duplicates([*MACHINE, "commit_hash"]).set_index([*MACHINE, "commit_hash"])
    known = first[HARDWARE].to_dict("index")
    return [replace(shift, reason=_reason(shift, known)) for shift in shifts]


def _reason(shift: Shift, known: Mapping[Hashable, Mapping[Any, Any]]) -> str:
    where = (shift.project, shift.machine, shift.env_name)
    before, after = (known[*where, commit] for commit in (shift.after_commit, shift.commit))
    changed = [name for name in HARDWARE if _text(before[name]) != _text(after[name])]
    return ", ".join(f"{n} {_text(before[n]) or '-'} -> {_text(after[n]) or '-'}" for n in changed)


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
