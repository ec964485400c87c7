"""Simulated rounds of identical code, with noise like that of real machines."""

from dataclasses import dataclass

import numpy as np

from sparsebench.stats import Floats


@dataclass(frozen=True)
class RoundNoise:
    """How the round effects of identical code scatter; deviations of log(head/base).

    Attributes:
        deviation: of a round at 100 microseconds a call; it falls with the square root of that.
        prior_freedom: how alike the variances of cases of the same time are.
        common: deviation of what all cases of one round (one pair of processes) share.
        disturbed: share of rounds with six times the deviation.
        gross: share of rounds off by up to 80 %.
    """

    deviation: float = 0.012
    prior_freedom: float = 8
    common: float = 0.006
    disturbed: float = 0
    gross: float = 0


# The heavy one puts half of its rounds within .9 % and 95 % within 4.5 %, single ones off by 78 %.
NOISES = {"light": RoundNoise(), "heavy": RoundNoise(disturbed=0.05, gross=0.007)}


@dataclass(frozen=True)
class SimulatedMachine:
    """A set of cases with their times per call, and rounds of them."""

    noise: RoundNoise
    log_times: Floats
    spread: Floats
    rng: np.random.Generator

    def rounds(self, effects: Floats, count: int) -> Floats:
        """Return round effects around the true ``effects``, shape (cases, count)."""
        shape = (effects.size, count)
        scatter = self.spread[:, None] * self.rng.standard_normal(shape)
        scatter *= np.where(self.rng.random(shape) < self.noise.disturbed, 6, 1)
        off = self.rng.random(shape) < self.noise.gross
        scatter += np.where(off, self.rng.uniform(-0.8, 0.8, shape), 0)
        return effects[:, None] + scatter + self.noise.common * self.rng.standard_normal(count)


def machine(noise: RoundNoise, cases: int, rng: np.random.Generator) -> SimulatedMachine:
    """Return ``cases`` of 20 microseconds to a millisecond a call."""
    log_times = rng.uniform(np.log(2e-5), np.log(1e-3), cases)
    spread = noise.deviation * np.exp((np.log(1e-4) - log_times) / 2)
    spread *= np.sqrt(noise.prior_freedom / rng.chisquare(noise.prior_freedom, cases))
    return SimulatedMachine(noise, log_times, spread, rng)
