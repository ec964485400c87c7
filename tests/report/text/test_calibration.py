from sparsebench.gate.calibration import Tally, Trial
from sparsebench.report.text.calibration import calibration_markdown, detected_text, ordered
from tests.gate_results import calibration


def test_trials_are_ordered_by_kind_and_effect() -> None:
    listed = [(trial.kind, trial.effect) for trial in ordered(calibration())]
    assert listed == [
        ("A/A", 0.0),
        *(("every case", effect) for effect in (0.03, 0.05, 0.1, 0.2)),
        ("one case", 0.1),
    ]


def test_only_all_is_100_percent_and_only_none_is_0_percent() -> None:
    def text(count: int) -> str:
        trial = Trial(0.1, 10, 10_000, 0, Tally(count), Tally())
        return detected_text(trial.gate, trial)

    assert [text(count) for count in (0, 1, 9_999, 10_000)] == [
        "0.0 %",
        "0.1 %",
        "99.9 %",
        "100 %",
    ]


def test_the_markdown_has_two_lines_per_trial_and_exact_intervals() -> None:
    lines = calibration_markdown(calibration()).splitlines()
    assert lines[0].startswith("`sparsebench 2744ec7f")
    assert "| A/A |  | 100 | gate |  | 0.01 | 1 of 100 (0.0..5.4 %) | 18.3 s |" in lines
    assert sum(line.startswith("|") for line in lines) == 2 + 2 * len(calibration().trials)
    assert any("no changed result; of 7,264 verdicts 24 undecided" in line for line in lines)
