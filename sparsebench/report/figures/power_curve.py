"""The calibration's picture: how large a slow-down must be to be found, by the gate and by asv."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from sparsebench.gate.calibration import Calibration, Tally, Trial
from sparsebench.report.figures import canvas
from sparsebench.report.text.calibration import alarm_text, found_text, headline, ordered

NAME: Final = "gate.power"
SIZE: Final = (6.0, 3.2)  # inches
_RULES: Final = {"gate": ("o", "#0173b2"), "asv": ("s", "#de8f05")}  # marker and colour
_KINDS: Final = {"every case": "-", "one case": ":"}  # what was slowed, and its line


def plot_power(calibration: Calibration, into: Path, formats: Iterable[str]) -> list[Path]:
    """Write share found against injected slow-down as ``gate.power.<format>``; return the paths.

    Raises:
        SparsebenchError: an unknown format, or a file that cannot be written.
    """
    with canvas.style():
        figure = _draw(calibration)
        canvas.surround(figure, "What the gate finds", headline(calibration), _alarms(calibration))
        return canvas.save(figure, into, NAME, describe_power(calibration), formats)


def describe_power(calibration: Calibration) -> str:
    """Return the figure in words, for who cannot see it."""
    found = [
        f"{name} finds {found_text(_tally(trial, name), trial)} of "
        f"{100 * trial.effect:.3g} % slow-downs of {trial.kind}"
        for trial in ordered(calibration)
        if trial.slowed
        for name in _RULES
    ]
    return ". ".join(["Share found against injected slow-down", *found, *_alarms(calibration)])


def _draw(calibration: Calibration) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    trials = [trial for trial in ordered(calibration) if trial.slowed]
    tolerance = calibration.tolerance
    axes.axvspan(0, tolerance, color="0.93", zorder=0, label=f"tolerated: {100 * tolerance:.3g} %")
    for kind in _KINDS:
        chosen = [trial for trial in trials if trial.kind == kind]
        for name in _RULES:
            _draw_curve(axes, name, kind, chosen)
    _scale(axes, trials)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure


def _draw_curve(axes: Axes, name: str, kind: str, trials: Sequence[Trial]) -> None:
    if trials:
        marker, colour = _RULES[name]
        effects = [trial.effect for trial in trials]
        shares = [_tally(trial, name).found / trial.slowed for trial in trials]
        axes.plot(
            effects, shares, marker=marker, color=colour, linestyle=_KINDS[kind],
            markerfacecolor=colour if kind == "every case" else "white",
            label=f"{name}, {kind} slowed", clip_on=False, zorder=3,
        )  # fmt: skip


def _scale(axes: Axes, trials: Sequence[Trial]) -> None:
    effects = sorted({trial.effect for trial in trials})
    axes.set_xlim(0, 1.05 * max(effects, default=1.0))
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_locator(FixedLocator([0.0, *effects]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda share, _place: f"{100 * share:.3g} %"))
    axes.set_xlabel("injected slow-down", fontsize=8)
    axes.set_ylabel("found", fontsize=8)


def _alarms(calibration: Calibration) -> list[str]:
    return [
        f"A/A, runs with a false alarm: gate {alarm_text(trial.gate, trial.runs)}, "
        f"asv {alarm_text(trial.asv, trial.runs)}"
        for trial in calibration.trials
        if trial.kind == "A/A"
    ]


def _tally(trial: Trial, name: str) -> Tally:
    return trial.gate if name == "gate" else trial.asv
