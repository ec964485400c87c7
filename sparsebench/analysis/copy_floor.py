"""Times relative to their floor: the time of copying the same weight on the same device."""

from dataclasses import dataclass
from typing import Final

import pandas as pd

from sparsebench.analysis.sides import Sides
from sparsebench.analysis.units import human
from sparsebench.stats import Estimate, geometric_mean

COPY: Final = "time_copy"  # the method of the benchmark that measures the floor
_KEY: Final = ["project", "machine", "env_name", "shape", "device", "dtype"]


@dataclass(frozen=True)
class FloorRatio:
    """Geometric mean of time / copy time over the cases of one benchmark on one side."""

    benchmark: str
    side: str
    ratio: Estimate

    @property
    def text(self) -> str:
        """For example "step.Long.time_step on cuda: 41x the time of copying the weight"."""
        ratio = human(self.ratio.value, "ratio")
        return f"{self.benchmark} on {self.side}: {ratio} the time of copying the weight"


def floor_ratios(frame: pd.DataFrame, sides: Sides) -> list[FloorRatio]:
    """Return the ratio per timed benchmark and side; none where no copy was timed.

    Args:
        frame: the newest row of each case. A case and a copy belong together when project, machine,
            environment, shape, device and dtype are equal.
        sides: what is compared; rows on neither side are left out.
    """
    timed = frame[(frame["status"] == "ok") & (frame["unit"] == "seconds") & (frame["value"] > 0)]
    timed = timed[timed["shape"].notna()]
    is_copy = timed["benchmark"].str.endswith(f".{COPY}")
    copies = timed[is_copy].drop_duplicates(_KEY)[[*_KEY, "value"]]
    measured = timed[~is_copy & timed[sides.by].isin([sides.a, sides.b])]
    measured = measured.assign(side=measured[sides.by])
    pairs = measured.merge(copies, on=_KEY, suffixes=("", "_copy"))
    ratios = pairs["value"] / pairs["value_copy"]
    return [
        FloorRatio(str(benchmark), str(side), geometric_mean(rows))
        for (benchmark, side), rows in ratios.groupby([pairs["benchmark"], pairs["side"]])
    ]
