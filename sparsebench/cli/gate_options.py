"""Options of gate, calibrate and bisect on what to measure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any

import click

from sparsebench.gate.cases import CaseSelection, selection
from sparsebench.gate.findings import Side
from sparsebench.gate.request import Request
from sparsebench.project.asv_command import Asv
from sparsebench.project.commits import find_commit, work_tree_commit
from sparsebench.project.installations import environment_name
from sparsebench.project.settings import Project, load_project

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[float]):
    """Seconds, written as 90, 90s, 10m or 1.5h."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds in ``value``."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(value))
        if not match or not float(match[1]):
            self.fail(f"must be a time such as 90s, 10m or 1h, got {value!r}", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


class Share(click.ParamType[float]):
    """A relative change as 0.05 or 5%."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the share in ``value``."""
        match = re.fullmatch(r"(\d*\.?\d+)\s*(%?)", str(value))
        share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
        if not 0 < share < 1:
            self.fail(f"must lie between 0 and 1, as 0.05 or 5%, got {value!r}", param, ctx)
        return share


@dataclass(frozen=True)
class Target:
    """What to measure, where, and with which tolerance and time."""

    project: Project
    asv: Asv
    wanted: CaseSelection
    tolerance: float
    budget: float
    environment: str

    def request(self, base: Side, head: Side) -> Request:
        """Return the request for a gate of two commits."""
        return Request(
            base=base,
            head=head,
            wanted=self.wanted,
            tolerance=self.tolerance,
            budget=self.budget,
            environment=self.environment,
            machine=self.asv.machine_name,
        )

    def commit(self, revision: str, where: str) -> Side:
        """Return the commit that a revision names."""
        commit = find_commit(self.project.repository, revision, where)
        return Side(commit.hash, commit.subject)

    def work_tree(self) -> Side:
        """Return the working tree with its uncommitted changes; HEAD if there are none."""
        commit, changed = work_tree_commit(self.project.repository)
        head = self.commit("HEAD", "HEAD")
        return head if not changed else Side(commit, f"on {head.short}: {head.subject}", changed)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command, which receives a `Target` made of them."""

    def wanted(
        project: Project, device: str | None, bench: str | None, tag: str | None
    ) -> CaseSelection:
        if bench and tag:
            raise click.UsageError("--bench and --tag exclude each other; give one")
        if bench:
            return selection(bench, device)
        pattern = project.pattern(tag)
        return selection(pattern, device, (f"grid {tag or 'short'}", pattern))

    return _with_options(command, (*_SELECTION_OPTIONS, *_MEASURING_OPTIONS), wanted)


def case_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same options for a command about one case, which ``--case`` names."""

    def wanted(_: Project, device: str | None, case: str) -> CaseSelection:
        pattern = f"{case}|{re.escape(case)}" if _is_regex(case) else re.escape(case)
        return selection(pattern, device, ("--case", case))

    return _with_options(command, (_CASE, *_MEASURING_OPTIONS), wanted)


def _with_options(
    command: Callable[..., Any],
    options: Sequence[Callable[..., Any]],
    choose: Callable[..., CaseSelection],
) -> Callable[..., Any]:
    """Return ``command`` with ``options``; ``choose`` makes the selection from its arguments."""
    names = signature(choose).parameters.keys()

    @wraps(command)
    def with_target(
        tolerance: float,
        budget: float,
        device: str | None,
        environment: str | None,
        machine: str | None,
        **others: Any,
    ) -> Any:
        selecting = {name: others.pop(name) for name in names if name in others}
        if others.get("replay"):
            return command(None, **others)
        project = load_project(Path.cwd())
        target = Target(
            project=project,
            asv=Asv(project.root, machine, project.root / ".asv" / "bench.log"),
            wanted=choose(project, device, **selecting),
            tolerance=tolerance,
            budget=budget,
            environment=environment_name(project, environment),
        )
        return command(target, **others)

    for option in reversed(options):
        with_target = option(with_target)
    return with_target


_CASE = click.option(
    "--case",
    metavar="NAME",
    required=True,
    help="name(parameters) as the gate prints them, or a regular expression for them.",
)
_SELECTION_OPTIONS = (
    click.option("--bench", metavar="REGEX", help="Only cases whose name(parameters) match."),
    click.option(
        "--tag",
        metavar="NAME",
        help="A grid named in pyproject.toml.  [default: short, or everything if none is named]",
    ),
)
_MEASURING_OPTIONS = (
    click.option(
        "--tolerance",
        type=Share(),
        default="0.05",
        show_default=True,
        help="The smallest relative change that matters.",
    ),
    click.option(
        "--budget",
        type=Duration(),
        default="10m",
        show_default=True,
        help="Time for measuring; cases that are not decided by then are undecided.",
    ),
    click.option("--device", metavar="NAME", help="Only cases on this device: cpu or cuda."),
    click.option(
        "--environment",
        metavar="NAME",
        help="One of asv's environments.  [default: the first of the matrix]",
    ),
    click.option(
        "--machine",
        metavar="NAME",
        help="Store under this machine name.  [default: this machine's]",
    ),
)


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True
