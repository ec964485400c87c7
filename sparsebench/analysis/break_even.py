"""Break-even: the sparsity level from which a sparse format is faster than the dense weight.

For benchmarks with the parameters ``format`` and ``level``, one format of which is "dense"; dense
has no level and is the base of all ratios. A class called Mask that times the masks of these
patterns (parameters ``level``, ``block`` and ``zeros``) gives the number of forwards that pay for a
mask.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from sparsebench.analysis.dimensions import dimensions, labels, natural_ranks, varying
from sparsebench.stats import Floats, ratio_of_medians

FORMAT: Final = "format"
LEVEL: Final = "level"
BLOCK: Final = "block"
ZEROS: Final = "zeros"
DENSE: Final = "dense"
ALWAYS: Final = float("-inf")
NEVER: Final = float("inf")


@dataclass(frozen=True)
class BreakEven:
    """One format and block shape against dense, all other parameters equal.

    Attributes:
        benchmark: asv's name.
        setting: all other parameters and the machine: {"batch": "16", "device": "cpu", ...}.
        format: its name, such as "csr".
        block: "16x16"; "" if the format has none.
        level: from which the format is faster; `ALWAYS` (at least from the lowest measured level),
            or `NEVER` (not at the highest measured level).
        low: lower end of the level's interval.
        high: upper end of the level's interval.
        curve: the measured points, columns level, ratio (format / dense), low, high, forwards;
            sorted by level. ``forwards`` is the number of forwards from which mask and forwards
            together take less time than dense ones; inf: never; NaN: no mask's time is known.
    """

    benchmark: str
    setting: dict[str, str]
    format: str
    block: str
    level: float
    low: float
    high: float
    curve: pd.DataFrame

    @property
    def name(self) -> str:
        """The format with its block: "bsr 4x4"."""
        return f"{self.format} {self.block}".strip()

    @property
    def text(self) -> str:
        """For example "0.87 (0.85-0.9)", "never", "always" (at all measured levels), "unclear"."""
        if self.low == ALWAYS and self.high == NEVER:
            return "unclear"
        if self.level == NEVER:
            return "never" if self.low == NEVER else f"never ({self.low:.2g} at best)"
        if self.level == ALWAYS:
            return "always" if self.high == ALWAYS else f"always ({self.high:.2g} at worst)"
        low = "<" if self.low == ALWAYS else f"{self.low:.2g}"
        high = "never" if self.high == NEVER else f"{self.high:.2g}"
        return f"{self.level:.2g} ({low}-{high})"


def break_evens(frame: pd.DataFrame) -> list[BreakEven]:
    """Return one result per benchmark, setting, format and block, in natural order.

    Args:
        frame: the newest row of each case, in the columns of the dataset's schema. Rows without a
            value, and formats in a setting without a dense value, are left out.

    The level is where the line through the measured ratios last crosses 1; its interval is where
    the lines through the ends of their 95 % intervals do. These are intervals of single points, and
    do not cover variation between processes (see `ratio_of_medians`). If a point has no interval
    (fewer than five samples per side), the result's interval is from always to never.
    """
    measured = frame[frame["status"] == "ok"]
    masks = {str(name): _mask_times(rows) for name, rows in measured.groupby("project")}
    return [
        result
        for (project, benchmark), rows in measured.groupby(["project", "benchmark"], sort=True)
        for result in _of_benchmark(str(benchmark), rows, masks[str(project)])
    ]


def crossing(levels: Floats, ratios: Floats) -> float:
    """Return the level from which ``ratios`` stay below 1, interpolated linearly.

    Args:
        levels: ascending.
        ratios: of the same length; NaN counts as above 1.
    """
    above = np.flatnonzero(~(ratios < 1))
    if not above.size:
        return ALWAYS
    last = int(above[-1])
    if last == len(ratios) - 1:
        return NEVER
    if np.isnan(ratios[last]):
        return float(levels[last + 1])
    share = (ratios[last] - 1) / (ratios[last] - ratios[last + 1])
    return float(levels[last] + share * (levels[last + 1] - levels[last]))


@dataclass(frozen=True)
class _MaskTime:
    """Seconds of computing a mask.

    Attributes:
        kind: "time" for wall times, else the method: device times are a kind of their own.
        setting: its parameters but level, block and zeros.
    """

    kind: str
    setting: dict[str, str]
    block: str
    sparsity: float
    seconds: float


def _mask_times(rows: pd.DataFrame) -> list[_MaskTime]:
    """Return the times of benchmarks in classes that are called Mask, or MaskCUDA."""
    in_class = rows["benchmark"].str.contains(r"(?:^|\.)Mask(?:CUDA)?\.\w+$")
    rows = rows[in_class & rows["unit"].eq("seconds")]
    dims = dimensions(rows)
    if not {LEVEL, BLOCK, ZEROS} <= set(dims):
        return []
    names = [str(name) for name in dims if name not in (LEVEL, BLOCK, ZEROS)]
    times = []
    for (_, row), name, seconds in zip(
        dims.iterrows(), rows["benchmark"], rows["value"], strict=True
    ):
        try:
            sides = [int(side) for side in str(row[BLOCK]).split("x")]
            size = math.prod(sides)
            zeros = size if row[ZEROS] in ("all", "None") else int(row[ZEROS])
            sparsity = float(row[LEVEL]) * zeros / size
        except ValueError:  # another project's parameters
            continue
        setting = {key: str(row[key]) for key in names if row[key]}
        times.append(_MaskTime(_kind(name), setting, str(row[BLOCK]), sparsity, float(seconds)))
    return times


def _kind(benchmark: str) -> str:
    method = benchmark.rpartition(".")[2]
    return "time" if method.startswith("time") else method


def _forwards(
    curve: pd.DataFrame,
    setting: dict[str, str],
    block: str,
    dense: float,
    masks: Sequence[_MaskTime],
) -> list[float]:
    """Return for each point the number of forwards that pay for its mask."""
    forwards = []
    for level, ratio in zip(curve[LEVEL], curve["ratio"], strict=True):
        mask = next(
            (
                mask.seconds
                for mask in masks
                if mask.block == block
                and math.isclose(mask.sparsity, level)
                and all(setting.get(name) == value for name, value in mask.setting.items())
            ),
            math.nan,
        )
        saved = dense * (1 - ratio)
        forwards.append(
            math.nan if mask != mask else NEVER if saved <= 0 else math.ceil(mask / saved)
        )
    return forwards


def as_table(found: list[BreakEven]) -> pd.DataFrame:
    """Return a row per measured point: setting, format, block, and the columns of the curve."""
    parts = []
    for result in found:
        own = {
            "benchmark": result.benchmark,
            **result.setting,
            FORMAT: result.format,
            BLOCK: result.block,
        }
        parts.append(pd.concat([pd.DataFrame([own] * len(result.curve)), result.curve], axis=1))
    return pd.concat(parts, ignore_index=True)


def fastest(found: list[BreakEven], level: float) -> BreakEven | None:
    """Return the format with the lowest ratio at a measured ``level``.

    Only formats whose interval is below 1 count; None if there is none.
    """
    faster = {
        float(point["ratio"].iloc[0]): result
        for result in found
        if len(point := result.curve[result.curve[LEVEL] == level]) and point["high"].iloc[0] < 1
    }
    return faster[min(faster)] if faster else None


def ratio_at(result: BreakEven, level: float) -> float:
    """Return the format's ratio to dense at a measured ``level``."""
    return float(result.curve.loc[result.curve[LEVEL] == level, "ratio"].iloc[0])


def _of_benchmark(
    benchmark: str, rows: pd.DataFrame, masks: Sequence[_MaskTime]
) -> Iterator[BreakEven]:
    dims = dimensions(rows)
    if not {FORMAT, LEVEL} <= set(dims) or DENSE not in set(dims[FORMAT]):
        return
    numeric = pd.to_numeric(dims[LEVEL].replace("", "0"), errors="coerce").notna()
    rows, dims = rows[numeric], dims[numeric]
    if BLOCK not in dims:
        dims[BLOCK] = ""
    names = [str(name) for name in dims if name not in (FORMAT, LEVEL, BLOCK)]
    setting = labels(dims, names)
    dense = (
        rows[dims[FORMAT] == DENSE].assign(setting=setting).drop_duplicates("setting", keep="last")
    )
    base = _samples(dense).set_axis(dense["setting"])
    order = natural_ranks(dims, [*names, FORMAT, BLOCK]).sort_values([*names, FORMAT, BLOCK]).index
    ordered = dims.loc[order]
    sparse = ordered[(ordered[FORMAT] != DENSE) & setting.loc[order].isin(base.index)]
    for _, points in sparse.groupby([*names, FORMAT, BLOCK], sort=False):
        first = points.iloc[0]
        dense_samples = base[str(setting.loc[points.index].iloc[0])]
        curve = _curve(rows.loc[points.index], points[LEVEL], dense_samples)
        where = {str(name): str(first[name]) for name in names if first[name]}
        block = str(first[BLOCK])
        seconds = float(np.median(dense_samples))
        own = [mask for mask in masks if mask.kind == _kind(benchmark)]
        curve = curve.assign(forwards=_forwards(curve, where, block, seconds, own))
        yield _break_even(benchmark, where, str(first[FORMAT]), block, curve)


def _curve(rows: pd.DataFrame, levels: pd.Series, dense: Floats) -> pd.DataFrame:
    """Return the ratio to dense at each level; a format without levels has one point, at 0."""
    ratios = [ratio_of_medians(samples, dense) for samples in _samples(rows)]
    missing = (float("nan"), float("nan"))
    ends = [(r.interval.low, r.interval.high) if r.interval else missing for r in ratios]
    return pd.DataFrame(
        {
            LEVEL: pd.to_numeric(levels.replace("", "0")).to_numpy(dtype=float),
            "ratio": [ratio.value for ratio in ratios],
            "low": [low for low, _ in ends],
            "high": [high for _, high in ends],
        }
    ).sort_values(LEVEL, ignore_index=True)


def _samples(rows: pd.DataFrame) -> pd.Series:
    """Return each row's samples; its value as the only one if it has no samples."""
    pairs = zip(rows["samples"], rows["value"], strict=True)
    samples = [samples if np.ndim(samples) else np.array([value]) for samples, value in pairs]
    return pd.Series(samples, index=rows.index, dtype=object)


def _break_even(
    benchmark: str, setting: dict[str, str], form: str, block: str, curve: pd.DataFrame
) -> BreakEven:
    levels = curve[LEVEL].to_numpy(dtype=float)
    low, middle, high = (
        crossing(levels, curve[name].to_numpy(dtype=float)) for name in ("low", "ratio", "high")
    )
    low = ALWAYS if curve["low"].isna().any() else low
    return BreakEven(benchmark, setting, form, block, middle, low, high, curve)


def varying_settings(found: list[BreakEven]) -> dict[str, list[str]]:
    """Return the parameters of ``setting`` with several values, and these in natural order."""
    return varying(pd.DataFrame([result.setting for result in found]).fillna(""))
