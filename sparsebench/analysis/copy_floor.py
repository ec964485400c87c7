"""How far a time lies from the floor: what merely copying the same weights takes there."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from sparsebench.analysis.sides import Sides
from sparsebench.analysis.units import human
from sparsebench.stats import Estimate, geometric_mean

COPY: Final = "time_copy"  # the method of the benchmark that measures the floor
_PLACE: Final = ["project", "machine", "env_name", "shape", "device", "dtype"]


@dataclass(frozen=True)
class Distance:
    """One benchmark on one side: the geometric mean of time / copy time over its cases."""

    benchmark: str
    side: str
    ratio: Estimate

    @property
    def text(self) -> str:
        """For example "step.Long.time_step on cuda: 41x the time of copying the weight"."""
        ratio = human(self.ratio.value, "ratio")
        return f"{self.benchmark} on {self.side}: {ratio} the time of copying the weight"


def distances(frame: pd.DataFrame, sides: Sides) -> list[Distance]:
    """Return the distance of each timed benchmark on both sides; none where no copy was timed.

    Args:
        frame: the newest row of each case. A case and a copy belong together when project, machine,
            environment, shape, device and dtype are equal.
        sides: what is compared; rows on neither side are left out.
    """
    timed = frame[(frame["status"] == "ok") & (frame["unit"] == "seconds") & (frame["value"] > 0)]
    timed = timed[timed["shape"].notna()]
    is_copy = timed["benchmark"].str.endswith(f".{COPY}")
    copies = timed[is_copy].drop_duplicates(_PLACE)[[*_PLACE, "value"]]
    ours = timed[~is_copy & timed[sides.by].isin([sides.a, sides.b])]
    ours = ours.assign(side=ours[sides.by])
    pairs = ours.merge(copies, on=_PLACE, suffixes=("", "_copy"))
    ratios = pairs["value"] / pairs["value_copy"]
    return [
        Distance(str(benchmark), str(side), geometric_mean(rows))
        for (benchmark, side), rows in ratios.groupby([pairs["benchmark"], pairs["side"]])
    ]
