import io
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from sparsebench.gate.findings import DEFAULT_FAIL_ON, Finding, GateResult, Verdict
from sparsebench.report.text.calibration import calibration_text
from sparsebench.report.text.gate_format import LONGEST_TEXT, one_line, outcome, percent, values
from sparsebench.report.text.gate_markdown import markdown
from sparsebench.report.text.gate_sections import sections, summaries
from sparsebench.report.text.gate_table import gate_text
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

GOLDEN = Path(__file__).parent / "golden"


def printed(renderable: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gate.txt", printed(gate_text(one_of_each()))),
        ("gate-wide.txt", printed(gate_text(one_of_each()), 120)),
        ("gate.md", markdown(one_of_each())),
        ("calibration.txt", printed(calibration_text(calibration()))),
    ],
)
def test_the_output_is_equal_to_the_golden_file(name: str, text: str) -> None:
    golden = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    assert "\n".join(unified_diff(golden, text.splitlines(), name, "printed", lineterm="")) == ""


def test_unchanged_cases_are_counted_with_their_mde_and_listed_by_all() -> None:
    findings = [replace(f, detectable=0.01 * (1 + index % 3)) for index, f in enumerate(quiet(300))]
    short, long = (
        printed(gate_text(result(*findings), complete=complete)) for complete in (False, True)
    )
    assert "300 of 300      2.0 % 3.0 %" in short
    assert "UNCHANGED" not in short
    assert long.count("UNCHANGED") == 300


def test_notes_on_unchanged_cases_are_counted() -> None:
    one, *rest = quiet(24)
    gate = result(replace(one, notes=("bimodal",)), *rest)
    short, long = (printed(gate_text(gate, complete=complete)) for complete in (False, True))
    assert "24 of 24, 1 doubtful" in short
    assert "bimodal" not in short
    assert "UNCHANGED ¹" in long
    assert "24 of 24, 1 doubtful" in markdown(gate)


def test_six_hundred_regressions_are_all_listed_worst_first() -> None:
    findings = [timed(f"n={n}", Verdict.REGRESSED, n / 1000) for n in range(100, 700)]
    text = printed(gate_text(result(*findings)), 100)
    assert text.count("REGRESSED") == 600
    assert text.index("+69.9 %") < text.index("+30.0 %") < text.index("+10.0 %")
    assert text.endswith("FAIL: 600 regressed\n")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_no_text_is_lost(width: int) -> None:
    long = timed("q" * 150, Verdict.REGRESSED, 0.2, unit="requests per second and connection")
    text = printed(gate_text(result(long, *one_of_each().findings)), width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("q") > 150
    assert "…" not in text


def test_names_are_printed_in_one_line_without_terminal_codes() -> None:
    bad = Finding(NASTY, ("k|y", NASTY), (NASTY, "\ud800"), "time", NASTY, Verdict.FAILED, base=3)
    text = printed(gate_text(result(bad, machine=NASTY, notes=(NASTY,))), 200)
    assert "\x1b" not in text
    assert "\ud800" not in text
    assert "a|b`c<script>*_[x](y) @someone #1 $x$ \N{REPLACEMENT CHARACTER}[31m" in text


def test_a_shortened_text_has_the_number_of_omitted_characters() -> None:
    assert one_line("a\n b\tc") == "a b c"
    assert one_line("x" * (LONGEST_TEXT + 7)).endswith("x... (7 characters more in the JSON)")


def test_footnotes_are_numbered_in_reading_order_and_shared() -> None:
    one, two = (timed(case, Verdict.REGRESSED, 0.2, notes=("drift",)) for case in LONG[:2])
    alone = timed(LONG[2], Verdict.REGRESSED, 0.3, notes=("noisy", "drift"))
    text = printed(gate_text(result(one, two, alone)), 120)
    assert text.count("REGRESSED ²\n") == 2
    assert text.count("REGRESSED ¹,²\n") == 1
    assert "¹ noisy\n² drift\n" in text


def test_parameters_that_all_cases_share_are_printed_above_them_once() -> None:
    (section,) = sections(quiet(24))
    assert section.shared["device"] == "cpu"
    assert section.shared["shape"] == "128x128"
    assert section.dims == ["block", "zeros"]


def test_cases_with_equal_texts_have_asvs_spelling() -> None:
    names = ("a", "b")
    findings = [
        finding(param_names=names, params=p) for p in (("'x=1'", "'x=2'"), ("'x=3'", "'x=2'"))
    ]
    assert [row.label for row in sections(findings)[0].rows] == [
        "case='x=1', 'x=2'",
        "case='x=3', 'x=2'",
    ]


def test_a_sign_is_printed_only_if_the_interval_excludes_zero() -> None:
    unsure = timed(LONG[0], Verdict.UNCHANGED, 0.01, half=0.02)
    sure = timed(LONG[1], Verdict.UNCHANGED, 0.01, half=0.002)
    unknown = finding(LONG[2], Verdict.UNDECIDED, base=1.0, head=2.0)
    (section,) = sections([unsure, sure, unknown])
    shown = {row.finding: row.numbers["change"] for row in section.rows}
    assert shown == {unsure: "~", sure: "+1.0 %", unknown: "~"}


def test_the_values_of_a_changed_result_look_different() -> None:
    assert values(digest("a", Verdict.CHANGED_RESULT, 2.0**47, 2.0**47 + 1)) == (
        "800000000000",
        "800000000001",
    )
    sparsity = finding(verdict=Verdict.CHANGED_RESULT, unit="unit", base=0.1484375, head=0.148438)
    assert values(sparsity) == ("0.1484375", "0.148438")
    assert values(finding(base=float("nan"), head=None)) == ("nan", "-")


def test_geometric_means_cover_times_only_and_the_last_line_all_benchmarks() -> None:
    one = timed("n=1", Verdict.REGRESSED, 1.0)
    two = timed("n=1", Verdict.IMPROVED, -0.5, benchmark="b.time_it")
    memory = timed("n=1", Verdict.REGRESSED, 9.0, benchmark="b.mem_it", type="memory", unit="bytes")
    *_, last = lines = summaries([one, two, memory])
    assert [line.name for line in lines][-1] == "all times"
    assert last.mean is not None
    assert last.mean.value == pytest.approx(1.0)
    assert lines[2].mean is None


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        (result(), "NOTHING MEASURED: no case was selected"),
        (result(skipped=3), "NOTHING MEASURED: all cases were skipped"),
        (
            result(finding(verdict=Verdict.FAILED, on_both=True)),
            "NOTHING MEASURED: 1 failed at both commits",
        ),
        (result(*quiet(3)), "PASS: 3 unchanged"),
        (
            result(*quiet(2), finding(verdict=Verdict.UNDECIDED)),
            "UNDECIDED: 1 undecided; besides: 2 unchanged",
        ),
        (
            result(*quiet(2), *[digest(c, Verdict.CHANGED_RESULT, 1.0, 2.0) for c in LONG[:2]]),
            "FAIL: 2 changed results; besides: 2 unchanged",
        ),
    ],
)
def test_the_last_line_is_the_outcome(gate: GateResult, text: str) -> None:
    assert printed(gate_text(gate)).rstrip().splitlines()[-1] == text
    assert str(outcome(gate)) == text


def test_fail_on_selects_the_verdicts_that_fail() -> None:
    gate = result(*quiet(1), finding(verdict=Verdict.GONE), finding(verdict=Verdict.UNDECIDED))
    assert str(outcome(gate, {Verdict.GONE})) == "FAIL: 1 gone; besides: 1 undecided, 1 unchanged"
    assert str(outcome(gate, set())) == "PASS: 1 undecided, 1 gone, 1 unchanged"
    assert outcome(gate, DEFAULT_FAIL_ON).code == 3


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0214, "2.1 %"), (-0.0001, "0.0 %"), (0.99949, "99.9 %"), (0.9996, "100 %")],
)
def test_shares_are_printed_in_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_an_unbounded_interval_is_printed() -> None:
    wide = timed("n=1", Verdict.UNDECIDED, 0.1, interval=Interval(-0.99, float("inf")))
    assert "-99..+inf" in printed(gate_text(result(wide)), 120)


def test_a_benchmark_on_one_side_only_is_not_called_exact() -> None:
    """A benchmark on one side only has no type, and nothing was compared."""
    gone = Finding("old.time_it", (), (), "track", "", Verdict.GONE)
    same = Finding("old.track_it", (), (), "track", "", Verdict.UNCHANGED, 1.0, 1.0, 0.0)
    assert [line.exact for line in summaries([gone, same])] == [False, True]
