"""Power curve of a calibration: the share of injected slow-downs that the gate and asv detect."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from sparsebench.gate.calibration import Calibration, Tally, Trial
from sparsebench.report.figures import canvas
from sparsebench.report.text.calibration import alarm_text, detected_text, headline, ordered

NAME: Final = "gate.power"
SIZE: Final = (6.0, 3.2)  # inches
_RULES: Final = {"gate": ("o", "#0173b2"), "asv": ("s", "#de8f05")}  # marker and colour
_KINDS: Final = {"every case": "-", "one case": ":"}  # what was slowed, and its line style


def plot_power(calibration: Calibration, into: Path, formats: Iterable[str]) -> list[Path]:
    """Write the power curve as ``gate.power.<format>`` and return the paths.

    Raises:
        SparsebenchError: an unknown format, or a file that cannot be written.
    """
    with canvas.style():
        figure = _draw(calibration)
        canvas.surround(figure, "Detected slow-downs", headline(calibration), _alarms(calibration))
        return canvas.save(figure, into, NAME, describe_power(calibration), formats)


def describe_power(calibration: Calibration) -> str:
    """Return a description for readers who cannot see the figure."""
    facts = [
        f"{rule} detects {detected_text(_tally(trial, rule), trial)} of "
        f"{100 * trial.effect:.3g} % slow-downs of {trial.kind}"
        for trial in ordered(calibration)
        if trial.slowed
        for rule in _RULES
    ]
    return ". ".join(["Share detected against injected slow-down", *facts, *_alarms(calibration)])


def _draw(calibration: Calibration) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    trials = [trial for trial in ordered(calibration) if trial.slowed]
    tolerance = calibration.tolerance
    axes.axvspan(0, tolerance, color="0.93", zorder=0, label=f"tolerated: {100 * tolerance:.3g} %")
    for (kind, line), (rule, (marker, colour)) in product(_KINDS.items(), _RULES.items()):
        if own := [trial for trial in trials if trial.kind == kind]:
            shares = [_tally(trial, rule).found / trial.slowed for trial in own]
            axes.plot(
                [trial.effect for trial in own], shares, marker=marker, color=colour,
                linestyle=line, markerfacecolor=colour if kind == "every case" else "white",
                label=f"{rule}, {kind} slowed", clip_on=False, zorder=3,
            )  # fmt: skip
    effects = sorted({trial.effect for trial in trials})
    axes.set_xlim(0, 1.05 * max(effects, default=1.0))
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator([0.0, *effects]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda share, _position: f"{100 * share:.3g} %"))
    axes.set_xlabel("injected slow-down", fontsize=8)
    axes.set_ylabel("share detected", fontsize=8)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure


def _alarms(calibration: Calibration) -> list[str]:
    return [
        f"A/A, runs with a false alarm: gate {alarm_text(trial.gate, trial.runs)}, "
        f"asv {alarm_text(trial.asv, trial.runs)}"
        for trial in calibration.trials
        if trial.kind == "A/A"
    ]


def _tally(trial: Trial, rule: str) -> Tally:
    return trial.gate if rule == "gate" else trial.asv
