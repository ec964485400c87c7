"""Print how often the gate's statistics err on simulated rounds."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, product

import numpy as np

from sparsebench.stats import Floats
from studies.gate_candidates import CANDIDATES, criteria
from studies.simulated_gate import Rule, run_gate
from tests.simulated_noise import NOISES, RoundNoise, machine

CASES = 291
RULES = {
    "recommended": Rule(),
    "8 rounds at most": Rule(most=8),
    "3 rounds at least": Rule(least=3),
    "5 rounds at least": Rule(least=5),
    "suspects adjusted over all": Rule(over_all=True),
    "confirmed at .02": Rule(confirm=0.02),
}


def one_slower(slowdown: float) -> Floats:
    """Return the log effects of a run in which one case of all is slower."""
    return np.log1p(slowdown * (np.arange(CASES) == CASES // 2))


# name: true log effects, tolerance
TRUTHS = {
    "same code": (np.zeros(CASES), 0.05),
    "one +10 %": (one_slower(0.10), 0.05),
    "all +10 %": (np.full(CASES, np.log(1.10)), 0.05),
    "all +20 %": (np.full(CASES, np.log(1.20)), 0.05),
    "all +5 %, tolerance 2 %": (np.full(CASES, np.log(1.05)), 0.02),
}


def candidate_rows(runs: int, seed: int) -> Iterator[str]:
    yield f"One stage, {runs} runs of {CASES} cases\n"
    yield "| noise | rounds | judged by | coverage | +10 % | +5 % | one +10 % | false |"
    yield "|---|---|---|---|---|---|---|---|"
    for noise, count, name in product(NOISES, (4, 5, 6), CANDIDATES):
        yield row(noise, count, name, *criteria(CANDIDATES[name], NOISES[noise], count, runs, seed))


def rule_rows(runs: int, seed: int) -> Iterator[str]:
    yield f"\nThe whole rule, {runs} runs of {CASES} cases\n"
    yield "| noise | rule | truth | false a run | found | missed | open | rounds |"
    yield "|---|---|---|---|---|---|---|---|"
    for noise, rule, truth in product(NOISES, RULES, TRUTHS):
        yield row(noise, rule, truth, *verdicts(NOISES[noise], RULES[rule], truth, runs, seed))


def row(*cells: object) -> str:
    texts = (f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return f"| {' | '.join(texts)} |"


def verdicts(noise: RoundNoise, rule: Rule, truth: str, runs: int, seed: int) -> list[float]:
    """Return false REGRESSED a run; of slower cases found and called unchanged; open; rounds."""
    effects, tolerance = TRUTHS[truth]
    slower = effects > 0
    rows = []
    for run in range(runs):
        cases = machine(noise, CASES, np.random.default_rng((seed, run)))
        outcome = run_gate(cases, effects, replace(rule, tolerance=np.log1p(tolerance)))
        rows.append(
            (
                (outcome.regressed & ~slower).sum(),
                outcome.regressed[slower].mean() if slower.any() else np.nan,
                outcome.unchanged[slower].mean() if slower.any() else np.nan,
                (~outcome.regressed & ~outcome.unchanged).mean(),
                outcome.rounds.mean(),
            )
        )
    return [float(share) for share in np.mean(rows, axis=0)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m studies.gate_simulation")
    parser.add_argument("--runs", type=int, default=40, help="of each row (default 40)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    both = (candidate_rows, rule_rows)
    for line in chain.from_iterable(rows(arguments.runs, arguments.seed) for rows in both):
        sys.stdout.write(line + "\n")
