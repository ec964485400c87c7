"""A calibration as a table: for a terminal, and in Markdown for the documentation."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sparsebench.analysis.units import counted, human
from sparsebench.gate.calibration import Calibration, Tally, Trial
from sparsebench.report.text.gate_format import one_line, percent, rough_percent
from sparsebench.report.text.gate_markdown import code
from sparsebench.report.text.gate_markdown import table as markdown_table
from sparsebench.stats import proportion

_KINDS: Final = ("A/A", "every case", "one case")
_TITLES: Final = (
    "slowed",
    "by",
    "runs",
    "rule",
    "detected",
    "false alarms",
    "runs with any",
    "time",
)


def calibration_text(calibration: Calibration) -> RenderableType:
    """Return the table for rich to print, two lines per trial: the gate's and asv's."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for title in _TITLES:
        table.add_column(title, justify="left" if title in ("slowed", "rule") else "right")
    for trial in ordered(calibration):
        for line in _lines(trial):
            table.add_row(*map(Text, line))
    notes = [Text(note, style="dim") for note in notes_of(calibration)]
    return Group(Text(headline(calibration), style="bold"), Text(), table, Text(), *notes)


def calibration_markdown(calibration: Calibration) -> str:
    """Return the table as Markdown, for docs/gate.md."""
    rows = [line for trial in ordered(calibration) for line in _lines(trial)]
    table = markdown_table(_TITLES, rows, left=1)
    notes = "<br>\n".join(notes_of(calibration))
    return f"{code(headline(calibration))}\n\n{table}\n\n{notes}\n"


def headline(calibration: Calibration) -> str:
    """Return what was calibrated: project, commit, benchmarks, tolerance, machine, environment."""
    facts = [
        f"{calibration.project} {calibration.commit[:8]}",
        calibration.benchmarks or "all benchmarks",
        f"tolerance {100 * calibration.tolerance:.3g} %",
        calibration.machine,
        calibration.environment,
    ]
    return " · ".join(map(one_line, facts))


def ordered(calibration: Calibration) -> list[Trial]:
    """Return the trials: A/A, every case slowed, one case slowed; each by ascending effect."""
    return sorted(calibration.trials, key=lambda t: (_KINDS.index(t.kind), t.effect))


def alarm_text(tally: Tally, runs: int) -> str:
    """Return "0 of 100 (0..3.6 %)": runs with a false alarm, their share's exact interval."""
    interval = proportion(tally.alarmed_runs, runs).interval
    assert interval, "a trial has runs"
    low, high = (rough_percent(end).removesuffix(" %") for end in (interval.low, interval.high))
    return f"{tally.alarmed_runs:,} of {runs:,} ({low}..{high} %)"


def detected_text(tally: Tally, trial: Trial) -> str:
    """Return the share of slowed cases detected; "100 %" only for all, "0.0 %" only for none."""
    part = tally.found / trial.slowed
    return percent(part if part in (0, 1) else min(max(part, 0.001), 0.999))


def notes_of(calibration: Calibration) -> Iterator[str]:
    """Yield the explanations of the columns, and counts over all runs."""
    yield "detected: share of the slowed cases with verdict REGRESSED"
    yield "false alarms: cases per run with verdict REGRESSED that were not slowed"
    yield "runs with any: runs with a false alarm, and the exact 95 % interval of their proportion"
    yield "asv: its rule (factor 1.1, Mann-Whitney p < 0.002) on the same samples"
    runs = sum(trial.runs for trial in calibration.trials)
    wrong = sum(trial.changed_results for trial in calibration.trials)
    verdicts = sum(trial.slowed + trial.unslowed for trial in calibration.trials)
    undecided = sum(trial.undecided for trial in calibration.trials)
    changed = f"{counted(wrong, 'changed result')}, wrongly" if wrong else "no changed result"
    yield f"in all {runs:,} runs: {changed}; of {verdicts:,} verdicts {undecided:,} undecided"


def _lines(trial: Trial) -> Iterator[list[str]]:
    effect = f"{100 * trial.effect:.3g} %" if trial.effect else ""
    yield [trial.kind, effect, f"{trial.runs:,}", "gate", *_rule(trial.gate, trial), _time(trial)]
    yield ["", "", "", "asv", *_rule(trial.asv, trial), ""]


def _rule(tally: Tally, trial: Trial) -> list[str]:
    detected = detected_text(tally, trial) if trial.slowed else ""
    if not trial.unslowed:
        return [detected, "", ""]
    return [detected, f"{tally.false_alarms / trial.runs:.3g}", alarm_text(tally, trial.runs)]


def _time(trial: Trial) -> str:
    return human(trial.seconds, "seconds")
