"""Compare other tools' rules with the gate's on the samples that calibrations kept."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from scipy.stats import mannwhitneyu

from sparsebench.gate.measurements import CaseMeasurements, measurements_by_case
from sparsebench.gate.record import Record, parse
from sparsebench.gate.verdicts import judge
from sparsebench.stats import asv_finds_slower

Rule = Callable[[list[float], list[float]], bool]


def benchstat(base: list[float], head: list[float]) -> bool:
    """golang.org/x/perf's default: Mann and Whitney's p below 0.05, a case at a time."""
    slower = np.median(head) > np.median(base)
    return bool(slower and mannwhitneyu(base, head).pvalue < 0.05)


def first_round(rule: Rule) -> Callable[[CaseMeasurements], bool]:
    """The rule on one process a side, which is what most benchmark runs are."""

    def said(got: CaseMeasurements) -> bool:
        one = CaseMeasurements(blocks=got.blocks[:1])
        return rule(one.seconds("base"), one.seconds("head"))

    return said


def all_rounds(rule: Rule) -> Callable[[CaseMeasurements], bool]:
    """The rule on the blocks of all rounds, pooled."""
    return lambda got: rule(got.seconds("base"), got.seconds("head"))


RULES: dict[str, Callable[[CaseMeasurements], bool]] = {
    "asv, all rounds pooled": all_rounds(asv_finds_slower),
    "asv, one process a side": first_round(asv_finds_slower),
    "benchstat, all rounds pooled": all_rounds(benchstat),
    "benchstat, one process a side": first_round(benchstat),
}


def flagged(record: Record) -> dict[str, list[bool]]:
    """What each rule calls slower, of the timed cases that were measured."""
    measurements = measurements_by_case(len(record.plan.cases), record.events)
    timed = [i for i, got in enumerate(measurements) if got.blocks]
    findings = judge(record)
    said = {name: [rule(measurements[i]) for i in timed] for name, rule in RULES.items()}
    return {"gate": [findings[i].verdict == "REGRESSED" for i in timed], **said}


@click.command()
@click.argument("journals", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
def main(journals: tuple[Path, ...]) -> None:
    """How many cases each rule calls slower, over the runs in JOURNALS.

    Give the journals of one experiment, such as .asv/gate/calibration/0-*.jsonl for the A/A runs.
    """
    runs: defaultdict[str, list[list[bool]]] = defaultdict(list)
    for path in journals:
        record = parse(str(path), path.read_text(encoding="utf-8").splitlines())
        for name, said in flagged(record).items():
            runs[name].append(said)
    click.echo(f"{'rule':32} {'flagged':>8} {'a run':>7} {'runs with any':>15}")
    for name, verdicts in runs.items():
        share = np.mean([flag for run in verdicts for flag in run])
        a_run = np.mean([sum(run) for run in verdicts])
        any_ = f"{sum(any(run) for run in verdicts)} of {len(verdicts)}"
        click.echo(f"{name:32} {share:>8.2%} {a_run:>7.2f} {any_:>15}")


if __name__ == "__main__":
    main()
