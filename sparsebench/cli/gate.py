"""``sparsebench gate``: has a commit made anything slower, or changed a result?"""

from pathlib import Path

import click
from rich.console import Console

from sparsebench.gate.cases import selection
from sparsebench.gate.findings import Side
from sparsebench.gate.result import result
from sparsebench.gate.running import Progress, Request, run
from sparsebench.project.asv_command import Asv
from sparsebench.project.commits import one
from sparsebench.project.installations import environment_name
from sparsebench.project.settings import load_project
from sparsebench.project.work_tree import work_tree_commit


@click.command(name="gate")
@click.argument("base")
@click.argument("head", required=False)
@click.option("--bench", default=None)
@click.option("--tolerance", type=float, default=0.05)
@click.option("--budget", type=float, default=600)
@click.option("--device", default=None)
@click.option("--slowdown", type=float, default=0)
def command(
    base: str,
    head: str | None,
    bench: str | None,
    tolerance: float,
    budget: float,
    device: str | None,
    slowdown: float,
) -> int:
    project = load_project(Path.cwd())
    asv = Asv(project.root, None, project.root / ".asv" / "bench.log")
    b = one(project.repository, base, "BASE")
    if head:
        h = one(project.repository, head, "HEAD")
        hs = Side(h.hash, h.subject)
    else:
        hash, changed = work_tree_commit(project.repository)
        hs = Side(hash, "working tree", changed)
    console = Console(stderr=True)
    request = Request(
        Side(b.hash, b.subject),
        hs,
        selection(bench or ".", device),
        tolerance,
        budget,
        environment_name(project, None),
        asv.machine_name,
        slowdown,
    )
    last = [-1]

    def tell(round: int, done: int, of: int) -> None:
        if round != last[0]:
            last[0] = round
            console.print(f"round {round}: {of} cases")

    with asv.alone():
        record = run(project, request, Progress(console.print, tell))
    res = result(record)
    from collections import Counter

    print(Counter(f.verdict for f in res.findings), res.notes, res.seconds, record.rounds)
    for f in res.findings:
        if f.verdict != "UNCHANGED":
            print(
                f.name,
                f.verdict,
                f.base,
                f.head,
                f.change,
                f.interval,
                f.detectable,
                f.rounds,
                f.notes,
            )
    import numpy as np

    print(
        "mde",
        np.quantile([f.detectable for f in res.findings if f.detectable], [0, 0.5, 0.9, 1])
        if any(f.detectable for f in res.findings)
        else None,
    )
    return res.exit_code()
