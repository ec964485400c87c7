"""Rounds of paired measurement, until all cases are decided or the budget is spent."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from sparsebench.gate.cases import BenchmarkCase
from sparsebench.gate.findings import SIDES
from sparsebench.gate.record import (
    Blocks,
    Control,
    Doubt,
    Ended,
    Failure,
    Journal,
    Skip,
    Values,
)
from sparsebench.gate.verdicts import Task, remaining_tasks
from sparsebench.gate.worker_process import Launch, Pair, Reply
from sparsebench.stats import round_error

BLOCK_SECONDS: Final = 1e-3  # duration of a block, if a call is shorter
LEAST_QUADRUPLES: Final = 4  # of blocks, per case and round
MOST_QUADRUPLES: Final = 16
ENOUGH_PRECISION: Final = 0.004  # standard error within a round; processes differ by more
START_TIMEOUT: Final = 120.0  # seconds for starting Python and importing the benchmarks
LONG_CASE: Final = 2.0  # seconds after which a case gets no further quadruple
SINGLE_PROCESSOR: Final = 1.2  # processors; a call that uses more is not bound to one
PROCESS_LOST: Final = "its process was lost after the case was set up"
LETTERS: Final = {"base": "B", "head": "H"}

OnCase = Callable[[int, int, int], None]  # round, its cases measured so far, all its cases


@dataclass
class Rounds:
    """Measures the cases of a journal's plan.

    Attributes:
        journal: receives each measurement at once.
        launches: how a worker is started, per side.
        folder: an empty one for the run's files.
        slowdowns: for calibration, index of a case to the share by which head's calls are slowed.
        seed: an even number that decides memory layouts and orders.
    """

    journal: Journal
    launches: dict[str, Launch]
    folder: Path
    slowdowns: Mapping[int, float] = field(default_factory=dict)
    seed: int = 0
    _caches: dict[tuple[str, str], Reply] = field(default_factory=dict)

    def run(self, budget: float, on_case: OnCase, pair: Pair | None = None) -> None:
        """Measure until all cases are decided, or for ``budget`` seconds.

        ``pair``: an unused pair of workers for the first round, if there is one.
        """
        start = time.monotonic()
        why: Literal["decided", "budget", "interrupted"] = "interrupted"
        try:
            while why == "interrupted":
                left = remaining_tasks(self.journal.record)
                if not left:
                    why = "decided"
                elif time.monotonic() - start >= budget:
                    why = "budget"
                else:
                    number = self.journal.record.rounds
                    with pair or Pair(self.launches, self.seed + number) as fresh:
                        self._round(fresh, number, left, start + budget, on_case)
                    pair = None
        finally:
            if pair:
                pair.restart()
            self.journal.add(Ended(why, time.monotonic() - start))

    def _round(
        self, pair: Pair, number: int, left: list[Task], deadline: float, on_case: OnCase
    ) -> None:
        """Measure each case once, in another order per round; peak memory before all others.

        It is measured in a fork of the worker, whose own memory grows from case to case.
        """
        cases = self.journal.record.plan.cases
        random.Random(self.seed + number).shuffle(left)  # noqa: S311  # varies what precedes a case
        left.sort(key=lambda task: cases[task.case].type != "peakmemory")
        for done, task in enumerate(left):
            if time.monotonic() >= deadline:
                return
            on_case(number, done, len(left))
            self._case(pair, number, task)

    def _case(self, pair: Pair, number: int, task: Task) -> None:
        case = self.journal.record.plan.cases[task.case]
        ready = self._prepare(pair, case, self.slowdowns.get(task.case, 0.0))
        if not self._stopped(number, task.case, ready):
            if case.type == "time":
                self._time(pair, number, task, ready)
            elif not self._stopped(number, task.case, replies := pair.both("value", case.timeout)):
                values = {side: replies[side]["value"] for side in SIDES}
                self.journal.add(Values(task.case, number, task.phase, **values))
        self._drop(pair, number, task.case, case.timeout)

    def _prepare(self, pair: Pair, case: BenchmarkCase, slowdown: float) -> dict[str, Reply]:
        """Set the case up in both workers, and return their replies."""
        starting = {side: {"name": case.benchmark} for side in SIDES if side not in pair.running}
        loaded = pair.each("load", START_TIMEOUT, starting)
        unready = {side: reply for side, reply in loaded.items() if "failed" in reply}
        requests: dict[str, Reply] = {}
        for side in [side for side in SIDES if side not in unready]:
            folder = self._folder(side, case)
            cache = self._cache(pair, side, case, folder)
            if "failed" in cache:
                unready[side] = {"failed": f"setup_cache: {cache['failed']}"}
            requests[side] = {
                "name": case.benchmark,
                "index": case.indices[side],
                "folder": str(folder),
            }
            if side == "head" and slowdown:
                requests[side]["slowdown"] = slowdown
        requests = {side: request for side, request in requests.items() if side not in unready}
        return {**unready, **pair.each("prepare", case.timeout, requests)}

    def _cache(self, pair: Pair, side: str, case: BenchmarkCase, folder: Path) -> Reply:
        """Run ``setup_cache`` for one side, once per run."""
        if case.cache_key is None:
            return {}
        key = (side, case.cache_key)
        if key not in self._caches:
            request = {"name": case.benchmark, "folder": str(folder)}
            self._caches[key] = pair.each("cache", case.cache_timeout, {side: request})[side]
        return self._caches[key]

    def _folder(self, side: str, case: BenchmarkCase) -> Path:
        """Return the folder in which a benchmark runs, shared by those of one ``setup_cache``."""
        key = sha256((case.cache_key or "").encode()).hexdigest()[:12]
        folder = self.folder / side / (key if case.cache_key else "plain")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _stopped(self, number: int, case: int, replies: dict[str, Reply]) -> bool:
        """Record failures and skips, and return whether there are any."""
        for side, reply in replies.items():
            if "failed" in reply:
                self.journal.add(Failure(case, number, side, reply["failed"]))
            elif "skipped" in reply:
                self.journal.add(Skip(case, side))
        return any("failed" in reply or "skipped" in reply for reply in replies.values())

    def _time(self, pair: Pair, number: int, task: Task, ready: dict[str, Reply]) -> None:
        """Measure equal blocks of both sides alternately until the round is precise enough."""
        timeout = self.journal.record.plan.cases[task.case].timeout
        calls = max(reply["number"] for reply in ready.values())
        wall = max(reply["wall"] / reply["number"] for reply in ready.values()) * calls
        repeat = max(round(BLOCK_SECONDS / wall), 1)
        is_single = max(reply["processors"] for reply in ready.values()) < SINGLE_PROCESSOR
        cpu = self.quietest_processor(pair, timeout) if is_single else None
        if lost := [side for side in SIDES if side not in pair.running]:
            self._stopped(number, task.case, {side: {"failed": PROCESS_LOST} for side in lost})
            return
        order, seconds = "", list[float]()
        start = time.monotonic()
        while not _is_precise_enough(order, seconds, time.monotonic() - start):
            quadruple = _quadruple(pair.order, len(order))
            for side in quadruple:
                reply = pair.sides[side].ask("block", timeout, number=calls, repeat=repeat, cpu=cpu)
                if self._stopped(number, task.case, {side: reply}):
                    return
                seconds.append(reply["seconds"])
            order += "".join(LETTERS[side] for side in quadruple)
        if not _are_durations(seconds):
            wrong = next(second for second in seconds if not _are_durations([second]))
            reply = {"failed": f"its timer measured {wrong:.3g} s"}
            self._stopped(number, task.case, {"base": reply, "head": reply})
            return
        self.journal.add(
            Blocks(task.case, number, task.phase, order, tuple(seconds), calls, repeat)
        )

    def quietest_processor(self, pair: Pair, timeout: float) -> int | None:
        """Return the processor on which the same work takes the least time now.

        Both sides are measured there. Otherwise another program on one core would slow one side
        only, as long as the scheduler keeps it there.
        """
        worker = pair.sides[pair.order[0]]
        seconds: dict[int, float] = {}
        for cpu in pair.processors:
            reply = worker.ask("control", timeout, cpu=cpu)
            if reply.get("lost"):  # another request would start a process without the case
                break
            seconds[cpu] = reply.get("cpu", math.inf)
        return min(seconds, key=seconds.__getitem__, default=None)

    def _drop(self, pair: Pair, number: int, case: int, timeout: float) -> None:
        """Tear the case down in the workers, and measure control blocks."""
        dropped = pair.each("drop", timeout, {side: {} for side in pair.running})
        for reply in dropped.values():
            if "failed" in reply:
                self._doubt(case, f"its teardown fails: {reply['failed']}")
        if any(reply.get("threads") for reply in dropped.values()):
            self._doubt(case, "leaves threads running; its processes were replaced")
            pair.restart()
        if len(pair.running) == len(SIDES):
            replies = {s: pair.sides[s].ask("control", timeout, cpu=None) for s in pair.order}
            for device in ("cpu", "cuda"):
                base, head = (replies[side].get(device) for side in SIDES)
                if base and head:
                    self.journal.add(Control(number, base, head, device))

    def _doubt(self, case: int, text: str) -> None:
        if Doubt(case, text) not in self.journal.record.events:
            self.journal.add(Doubt(case, text))


def _are_durations(seconds: list[float]) -> bool:
    """Return whether all numbers are positive and finite."""
    return all(0 < second < math.inf for second in seconds)


def _quadruple(sides: tuple[str, str], position: int) -> list[str]:
    """Return the sides as A B B A or B A A B, alternately: a steady drift affects both equally."""
    first, second = sides if position % 8 == 0 else sides[::-1]
    return [first, second, second, first]


def _is_precise_enough(order: str, seconds: list[float], wall: float) -> bool:
    """Return whether more blocks of this pair of processes would not improve the result.

    The decision depends on the scatter of the quadruples, not on their mean, so that it does not
    favour a verdict.
    """
    done = len(order) // 4
    if done < LEAST_QUADRUPLES or not _are_durations(seconds):
        return done >= LEAST_QUADRUPLES
    if done >= MOST_QUADRUPLES or wall > LONG_CASE:
        return True
    return round_error(order, seconds) <= ENOUGH_PRECISION
