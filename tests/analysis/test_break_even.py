import numpy as np
import pandas as pd
import pytest

from sparsebench.analysis.break_even import (
    ALWAYS,
    NEVER,
    BreakEven,
    as_table,
    break_evens,
    crossing,
    fastest,
    ratio_at,
)
from sparsebench.report.figures import canvas
from sparsebench.report.figures.break_even import (
    describe_break_evens,
    draw_level_map,
    draw_ratio_curves,
)
from tests.synthetic import failed, history

LEVELS = [0.5, 0.8, 0.9, 0.99]


def formats(ratios: dict[str, list[float]], noise: float = 0.01, **columns: object) -> pd.DataFrame:
    """Dense at 1 ms and each format at its ratios to it, a level each, on one batch."""
    cases = {"format=dense,batch=1": 1.0}
    for form, values in ratios.items():
        levels = zip(LEVELS, values, strict=False)
        cases |= {f"format={form},batch=1,level={level}": ratio for level, ratio in levels}
    frame = history(
        "f.Matmul.time_forward", commits=1, axes={"case": list(cases), "device": ["cpu"]},
        noise=noise, samples=30,
    )  # fmt: skip
    draws = np.random.default_rng(3).lognormal(sigma=noise, size=(len(frame), 30)) * 1e-3
    frame["samples"] = list(draws * np.array(list(cases.values()))[:, None])
    frame["value"] = [float(np.median(sample)) for sample in frame["samples"]]
    return frame.assign(**columns)


def test_the_level_is_where_the_line_through_the_ratios_crosses_one() -> None:
    (found,) = break_evens(formats({"csr": [3.0, 1.5, 0.75, 0.1]}))
    assert found.level == pytest.approx(0.8 + 0.1 * 0.5 / 0.75, abs=2e-3)
    assert found.low < found.level < found.high
    assert found.high - found.low < 0.01
    assert found.text.startswith("0.87 (0.86-0.87") or found.text.startswith("0.87 (0.87-0.87")
    assert found.setting == {
        "machine": "workstation", "environment": "virtualenv-py3.11", "batch": "1", "device": "cpu",
    }  # fmt: skip


def test_never_and_always_are_said_so() -> None:
    frame = formats({"never": [4.0, 3.0, 2.0, 1.5], "always": [0.9, 0.5, 0.3, 0.1]})
    always, never = break_evens(frame)
    assert (always.level, always.high, always.text) == (ALWAYS, ALWAYS, "always")
    assert (never.level, never.low, never.text) == (NEVER, NEVER, "never")


def test_a_wide_interval_is_a_wide_range() -> None:
    (found,) = break_evens(formats({"csr": [1.6, 1.05, 0.97, 0.5]}, noise=0.3))
    assert found.high - found.low > 0.03
    (tie,) = break_evens(formats({"csr": [1.0, 1.0, 1.0, 1.0]}, noise=0.3))
    assert (tie.low, tie.high, tie.text) == (ALWAYS, NEVER, "unclear")


def test_faster_in_the_middle_only_is_not_faster_from_there_on() -> None:
    assert crossing(np.array(LEVELS), np.array([2.0, 0.5, 2.0, 0.5])) == pytest.approx(0.96)
    assert crossing(np.array(LEVELS), np.array([2.0, 0.5, 0.5, 2.0])) == NEVER


def test_without_samples_nothing_is_sure() -> None:
    (found,) = break_evens(formats({"csr": [2.0, 1.0, 0.5, 0.1]}, samples=None))
    assert found.level == pytest.approx(0.8, abs=0.01)
    assert (found.low, found.high) == (ALWAYS, NEVER)


def test_rows_without_a_base_or_a_level_are_left_out() -> None:
    frame = formats({"csr": [2.0, 1.0, 0.5, 0.1]})
    dense = frame["case"].str.contains("dense")
    assert break_evens(failed(frame, dense)) == []
    assert break_evens(history("b.time_it", commits=1, axes={"n": ["1"]})) == []
    elsewhere = frame[~dense].assign(machine="other")
    assert len(break_evens(pd.concat([frame, elsewhere], ignore_index=True))) == 1


def test_the_map_says_every_level_and_the_curves_hold_every_ratio() -> None:
    found = break_evens(formats({"csr": [3.0, 1.5, 0.75, 0.1], "slow": [4.0, 3.0, 2.0, 1.5]}))
    with canvas.style():
        texts = [text.get_text() for axes in draw_level_map(found).axes for text in axes.texts]
        (axes,) = draw_ratio_curves(found).axes
    assert [one.text for one in found] == texts
    lines = {line.get_label(): line for line in axes.containers}
    assert set(lines) == {"csr", "slow"}
    assert list(lines["csr"][0].get_ydata()) == pytest.approx([3.0, 1.5, 0.75, 0.1], rel=0.02)
    assert describe_break_evens(found).endswith(
        f"batch 1, cpu, csr {found[0].text}; batch 1, cpu, slow never"
    )
    assert list(as_table(found)["ratio"]) == [*found[0].curve["ratio"], *found[1].curve["ratio"]]


def test_the_fastest_format_at_a_level_is_one_that_is_surely_faster_than_dense() -> None:
    def one(form: str, *points: tuple[float, float, float]) -> BreakEven:
        curve = pd.DataFrame(points, columns=["ratio", "low", "high"]).assign(level=[0.5, 0.9])
        return BreakEven("b", {}, form, "4x4", 0.5, 0.5, 0.5, curve)

    csr = one("csr", (0.9, 0.8, 1.1), (0.5, 0.4, 0.6))
    bsr = one("bsr", (1.2, 1.1, 1.3), (0.3, float("nan"), float("nan")))
    assert fastest([csr, bsr], 0.5) is None  # the interval of csr holds 1
    assert fastest([csr, bsr], 0.9) is csr  # of bsr nothing is sure
    assert fastest([csr], 0.99) is None
    assert ratio_at(csr, 0.9) == 0.5


def test_the_forwards_that_pay_for_a_mask() -> None:
    """Dense takes 1 ms; a mask of 6 ms is paid by 12 forwards that take half, by none of dense."""
    ratios = {"csr,block=1x1": [1.2, 1.0, 0.5, 0.25], "2:4,block=1x4": [0.5]}
    frame = formats(ratios, noise=0.0)
    masks = history(
        "f.Mask.time_step", commits=1, noise=0.0, axes={
            "case": [f"level={level},block=1x1,zeros=all" for level in LEVELS[1:]]
            + ["level=1,block=1x4,zeros=2", "level=0.9,block=4x4,zeros=all"],
            "device": ["cpu"],
        },
    )  # fmt: skip
    masks = masks.assign(value=6e-3)
    other = masks.assign(value=1e-9, machine="another")
    csr, nm = sorted(
        break_evens(pd.concat([frame, other, masks], ignore_index=True)), key=lambda r: r.block
    )
    assert csr.curve["forwards"].tolist()[1:] == [NEVER, 12, 8]
    assert np.isnan(csr.curve["forwards"][0])  # its mask was not measured
    assert nm.curve["forwards"].tolist() == [12]
    assert "forwards" in as_table([csr])
