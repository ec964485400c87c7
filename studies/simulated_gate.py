"""The gate's rule on simulated rounds: false alarms, power and rounds used.

Screening decides after each round from ``least`` on: a case whose interval is inside the tolerance
is unchanged, a case whose p-value is at most ``suspect`` goes to confirmation. Confirmation decides
in the same way on fresh rounds only, with p-values adjusted over the suspects. The variance prior
always comes from the screening rounds of all cases.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsebench.stats import Effect, Floats, VariancePrior, adjusted, variance_prior
from tests.simulated_noise import SimulatedMachine


@dataclass(frozen=True)
class Rule:
    """When the gate stops measuring a case.

    Attributes:
        tolerance: of the log effect.
        least: rounds before the first look.
        most: rounds at most, in screening and again in confirmation.
        suspect: level of a suspect's p-value.
        over_all: whether a suspect's p-value is adjusted over all cases.
        confirm: level of the confirmation's p-values, adjusted over the suspects.
    """

    tolerance: float = float(np.log(1.05))
    least: int = 4
    most: int = 10
    suspect: float = 0.05
    over_all: bool = False
    confirm: float = 0.05


@dataclass(frozen=True)
class SimulatedRun:
    """One simulated run: for each case whether it regressed or is unchanged, and its rounds."""

    regressed: NDArray[np.bool_]
    unchanged: NDArray[np.bool_]
    rounds: NDArray[np.int64]


class _Stage:
    """Cases that are measured until each is flagged, inside the tolerance, or out of rounds."""

    def __init__(self, rounds: Floats, log_times: Floats) -> None:
        self.rounds, self.log_times = rounds, log_times
        self.used = np.zeros(log_times.size, dtype=np.int64)
        self.p_values = np.ones(log_times.size)
        self.inside = np.zeros(log_times.size, dtype=bool)
        self.flagged = np.zeros(log_times.size, dtype=bool)

    def add_round(self, first: int) -> None:
        """Measure the open cases once more, or ``first`` times at the beginning."""
        self.used[~(self.inside | self.flagged)] = max(first, self.used.max(initial=0) + 1)

    def look(self, prior: VariancePrior, tolerance: float, level: float, over_all: bool) -> None:
        for i in np.flatnonzero(~(self.inside | self.flagged)):
            effect = prior.effect(self.rounds[i, : self.used[i]], self.log_times[i])
            self.p_values[i] = effect.p_above(tolerance)
            self.inside[i] = _inside(effect, tolerance)
        p_values = adjusted(self.p_values) if over_all else self.p_values
        self.flagged |= ~self.inside & (p_values <= level)

    def prior(self) -> VariancePrior:
        used = [row[:count] for row, count in zip(self.rounds, self.used, strict=True)]
        return variance_prior(used, self.log_times)


def run_gate(machine: SimulatedMachine, effects: Floats, rule: Rule) -> SimulatedRun:
    """Return the gate's verdicts on cases with these true effects."""
    screen = _Stage(machine.rounds(effects, rule.most), machine.log_times)
    for _ in range(rule.least, rule.most + 1):
        screen.add_round(rule.least)
        screen.look(screen.prior(), rule.tolerance, rule.suspect, rule.over_all)
    suspects, prior = screen.flagged, screen.prior()
    fresh = machine.rounds(effects, rule.most)[suspects]
    confirmation = _Stage(fresh, machine.log_times[suspects])
    for _ in range(rule.least, rule.most + 1):
        confirmation.add_round(rule.least)
        confirmation.look(prior, rule.tolerance, rule.confirm, over_all=True)
    regressed, unchanged, rounds = np.zeros_like(suspects), screen.inside.copy(), screen.used.copy()
    regressed[suspects] = confirmation.flagged
    unchanged[suspects] = confirmation.inside
    rounds[suspects] += confirmation.used
    return SimulatedRun(regressed, unchanged, rounds)


def _inside(effect: Effect, tolerance: float) -> bool:
    interval = effect.interval()
    return -tolerance < interval.low and interval.high < tolerance
