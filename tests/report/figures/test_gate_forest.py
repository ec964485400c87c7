import re
from dataclasses import replace
from pathlib import Path

import pytest

from sparsebench.gate.findings import GateResult, Verdict
from sparsebench.report.figures.gate_forest import MOST_ROWS, plot_gate
from sparsebench.report.figures.power_curve import describe_power, plot_power
from sparsebench.stats import Interval
from tests.gate_results import (
    NASTY,
    calibration,
    digest,
    finding,
    one_of_each,
    quiet,
    result,
    timed,
)
from tests.synthetic import LONG


def drawn(into: Path) -> str:
    return (into / "gate.svg").read_text(encoding="utf-8")


def test_changes_are_drawn_and_unchanged_cases_share_a_row(tmp_path: Path) -> None:
    paths = list(plot_gate(one_of_each(), tmp_path, ["png", "svg"]))
    assert [path.name for path in paths] == ["gate.png", "gate.svg"]
    svg = drawn(tmp_path)
    for text in ("+131 %", "+16.4 %", "-46.0 %", "200 unchanged", "tolerated: 5 %"):
        assert f">{text}</text>" in svg
    assert "36 cases without a change to draw: see the table" in svg
    assert "FAIL: 1 changed result, 2 regressed" in svg.partition("</desc>")[0]
    assert svg.index(">+131 %<") < svg.index(">+16.4 %<")


def test_few_cases_have_one_row_each(tmp_path: Path) -> None:
    list(plot_gate(result(*quiet(12)), tmp_path, ["svg"]))
    assert drawn(tmp_path).count(">block ") == 12


def test_a_benchmarks_name_stays_legible_where_short_cases_move_the_axis_into_it(
    tmp_path: Path,
) -> None:
    list(plot_gate(result(*quiet(2)), tmp_path, ["svg"]))
    backed = re.findall(
        r'<g id="text_\d+">\s*<g id="patch_\d+">.*?>([^<]+)</text>', drawn(tmp_path), re.DOTALL
    )
    assert backed == [quiet(2)[0].benchmark]


def test_a_page_has_forty_rows_and_names_its_benchmark(tmp_path: Path) -> None:
    many = [timed(case, Verdict.REGRESSED, 0.2) for case in LONG[: 2 * MOST_ROWS]]
    paths = list(plot_gate(result(*many), tmp_path, ["svg"]))
    assert [path.name for path in paths] == ["gate.svg", "gate-2.svg", "gate-3.svg"]
    svgs = [path.read_text(encoding="utf-8") for path in paths]
    assert [svg.count(">+20.0 %</text>") for svg in svgs] == [39, 39, 2]
    assert all(">step.Long.time_step</text>" in svg for svg in svgs)


def test_hostile_names_and_infinite_numbers_are_drawn(tmp_path: Path) -> None:
    findings = [
        timed("$x$ _^", Verdict.UNDECIDED, 0.1, interval=Interval(-1.0, float("inf"))),
        timed(NASTY, Verdict.REGRESSED, 1e6, half=0.0, benchmark=NASTY),
        timed("n=1", Verdict.IMPROVED, -1.0),
        finding("n=2", Verdict.REGRESSED, change=float("nan")),
    ]
    list(plot_gate(result(*findings, project=NASTY), tmp_path, ["svg"]))
    svg = drawn(tmp_path)
    assert "$x$ _^" in svg
    assert "<script>" not in svg
    assert "2 cases without a change to draw" in svg


@pytest.mark.parametrize(
    "gate", [result(), result(digest("a", Verdict.UNCHANGED, 1.0, 1.0), finding("b", Verdict.NEW))]
)
def test_without_a_change_there_is_no_figure(tmp_path: Path, gate: GateResult) -> None:
    assert list(plot_gate(gate, tmp_path, ["svg"])) == []


def test_the_power_curve_shows_the_share_found_and_the_false_alarms(tmp_path: Path) -> None:
    (path,) = plot_power(calibration(), tmp_path, ["svg"])
    svg = path.read_text(encoding="utf-8")
    assert "gate, every case slowed" in svg
    assert "A/A, runs with a false alarm: gate 1 of 100 (0.0..5.4 %)" in svg
    assert "gate detects 99.4 % of 10 % slow-downs of every case" in describe_power(calibration())


def test_a_calibration_without_slow_downs_is_drawn_too(tmp_path: Path) -> None:
    only = replace(calibration(), trials=calibration().trials[4:5])
    assert len(plot_power(only, tmp_path, ["svg"])) == 1
