"""Rounds of paired measurement, until everything is decided or the budget is spent."""

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from sparsebench.gate.cases import Case
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
from sparsebench.gate.verdicts import Todo, todo
from sparsebench.gate.worker_process import SIDES, Launch, Pair, Reply
from sparsebench.stats import round_error

BLOCK: Final = 1e-3  # seconds of a block, where a call takes less
LEAST: Final = 4  # quadruples of blocks, a case and round
MOST: Final = 16
PRECISE: Final = 0.004  # standard error within a round; processes differ by more
START: Final = 120.0  # seconds for starting Python and importing the benchmarks
LONG: Final = 2.0  # seconds: a case that has taken longer takes no further quadruple
SINGLE: Final = 1.2  # processors; a call that keeps more busy is not kept on one
LOST: Final = "its process was lost while it held the case"
LETTERS: Final = {"base": "B", "head": "H"}

Tell = Callable[[int, int, int], None]  # round, cases measured in it, cases in it


@dataclass
class Rounds:
    """Measures the cases of a journal's plan.

    Attributes:
        journal: what is measured goes there at once.
        launches: how a worker is started, for each side.
        folder: an empty one, for the run's files.
        slowdowns: for calibration, a case's index to the share by which head's calls of it are
            made slower.
        seed: an even number; another one spreads memory layouts and orders in another way.
    """

    journal: Journal
    launches: dict[str, Launch]
    folder: Path
    slowdowns: Mapping[int, float] = field(default_factory=dict)
    seed: int = 0
    _caches: dict[tuple[str, str], Reply] = field(default_factory=dict)

    def run(self, budget: float, tell: Tell, pair: Pair | None = None) -> None:
        """Measure until nothing is left to decide, or for ``budget`` seconds.

        ``pair``: a fresh one to begin with, where there is one already.
        """
        start = time.monotonic()
        why: Literal["decided", "budget", "interrupted"] = "interrupted"
        try:
            while why == "interrupted":
                left = todo(self.journal.record)
                if not left:
                    why = "decided"
                elif time.monotonic() - start >= budget:
                    why = "budget"
                else:
                    number = self.journal.record.rounds
                    with pair or Pair(self.launches, self.seed + number) as fresh:
                        self._round(fresh, number, left, start + budget, tell)
                    pair = None
        finally:
            if pair:
                pair.restart()
            self.journal.add(Ended(why, time.monotonic() - start))

    def _round(
        self, pair: Pair, number: int, left: list[Todo], deadline: float, tell: Tell
    ) -> None:
        """Each case once, in an order of this round's own; a peak memory before all others.

        It is taken in a fork of the worker, whose own memory grows from case to case.
        """
        cases = self.journal.record.plan.cases
        random.Random(self.seed + number).shuffle(left)  # noqa: S311  # spreads what precedes a case
        left.sort(key=lambda one: cases[one.case].type != "peakmemory")
        for done, one in enumerate(left):
            if time.monotonic() >= deadline:
                return
            tell(number, done, len(left))
            self._case(pair, number, one)

    def _case(self, pair: Pair, number: int, one: Todo) -> None:
        case = self.journal.record.plan.cases[one.case]
        ready = self._prepare(pair, case, self.slowdowns.get(one.case, 0.0))
        if not self._stopped(number, one.case, ready):
            if case.type == "time":
                self._time(pair, number, one, ready)
            else:
                self._value(pair, number, one, case.timeout)
        self._drop(pair, number, one.case, case.timeout)

    def _prepare(self, pair: Pair, case: Case, slowdown: float) -> dict[str, Reply]:
        """Both workers hold the case ready, or say why not."""
        fresh = {side: {"name": case.benchmark} for side in SIDES if side not in pair.running}
        loaded = pair.each("load", START, fresh)
        unready = {side: reply for side, reply in loaded.items() if "failed" in reply}
        requests: dict[str, Reply] = {}
        for side in [side for side in SIDES if side not in unready]:
            folder = self._folder(side, case)
            made = self._cache(pair, side, case, folder)
            if "failed" in made:
                unready[side] = {"failed": f"setup_cache: {made['failed']}"}
            requests[side] = {
                "name": case.benchmark,
                "index": case.indices[side],
                "folder": str(folder),
            }
            if side == "head" and slowdown:
                requests[side]["slowdown"] = slowdown
        ask = {side: request for side, request in requests.items() if side not in unready}
        return {**unready, **pair.each("prepare", case.timeout, ask)}

    def _cache(self, pair: Pair, side: str, case: Case, folder: Path) -> Reply:
        """Run ``setup_cache`` for one side, once in a run."""
        if case.cache_key is None:
            return {}
        key = (side, case.cache_key)
        if key not in self._caches:
            request = {"name": case.benchmark, "folder": str(folder)}
            self._caches[key] = pair.each("cache", case.cache_timeout, {side: request})[side]
        return self._caches[key]

    def _folder(self, side: str, case: Case) -> Path:
        """Where a benchmark runs: with others of the same ``setup_cache``, whose files it finds."""
        key = sha256((case.cache_key or "").encode()).hexdigest()[:12]
        folder = self.folder / side / (key if case.cache_key else "plain")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _stopped(self, number: int, case: int, replies: dict[str, Reply]) -> bool:
        """Whether a side failed or skips; that is kept."""
        for side, reply in replies.items():
            if "failed" in reply:
                self.journal.add(Failure(case, number, side, reply["failed"]))
            elif "skipped" in reply:
                self.journal.add(Skip(case, side))
        return any("failed" in reply or "skipped" in reply for reply in replies.values())

    def _time(self, pair: Pair, number: int, one: Todo, ready: dict[str, Reply]) -> None:
        """Blocks of both sides in turns, until the disturbances within this round average out."""
        timeout = self.journal.record.plan.cases[one.case].timeout
        block = _block(ready)
        block["cpu"] = self._quietest(pair, timeout) if block["single"] else None
        del block["single"]
        if lost := [side for side in SIDES if side not in pair.running]:
            self._stopped(number, one.case, {side: {"failed": LOST} for side in lost})
            return
        order, seconds = "", list[float]()
        wall = time.monotonic()
        while not _enough(order, seconds, time.monotonic() - wall):
            quadruple = _quadruple(pair.order, len(order))
            for side in quadruple:
                reply = pair.sides[side].ask("block", timeout, **block)
                if self._stopped(number, one.case, {side: reply}):
                    return
                seconds.append(reply["seconds"])
            order += "".join(LETTERS[side] for side in quadruple)
        if not _times(seconds):
            wrong = next(second for second in seconds if not _times([second]))
            reply = {"failed": f"its timer measured {wrong:.3g} s"}
            self._stopped(number, one.case, {"base": reply, "head": reply})
            return
        calls, repeat = block["number"], block["repeat"]
        self.journal.add(Blocks(one.case, number, one.phase, order, tuple(seconds), calls, repeat))

    def _quietest(self, pair: Pair, timeout: float) -> int | None:
        """The processor on which the same work takes the least time now.

        Both sides measure there: were each left to itself, a neighbour on one core would slow one
        side only, for as long as the scheduler keeps it there.
        """
        worker = pair.sides[pair.order[0]]
        seconds: dict[int, float] = {}
        for cpu in pair.processors:
            reply = worker.ask("control", timeout, cpu=cpu)
            if reply.get("lost"):  # one more request would start a process without the case
                break
            seconds[cpu] = reply.get("seconds", math.inf)
        return min(seconds, key=seconds.__getitem__, default=None)

    def _value(self, pair: Pair, number: int, one: Todo, timeout: float) -> None:
        replies = pair.both("value", timeout)
        if not self._stopped(number, one.case, replies):
            taken = {side: replies[side]["value"] for side in SIDES}
            self.journal.add(Values(one.case, number, one.phase, **taken))

    def _drop(self, pair: Pair, number: int, case: int, timeout: float) -> None:
        """Let the workers forget the case, and look at the machine's speed."""
        dropped = pair.each("drop", timeout, {side: {} for side in pair.running})
        for reply in dropped.values():
            if "failed" in reply:
                self._doubt(case, f"its teardown fails: {reply['failed']}")
        if any(reply.get("threads") for reply in dropped.values()):
            self._doubt(case, "leaves threads running; its processes were replaced")
            pair.restart()
        if len(pair.running) == len(SIDES):
            asked = [pair.sides[side].ask("control", timeout, cpu=None) for side in pair.order]
            if all("seconds" in reply for reply in asked):
                seconds = [reply["seconds"] for reply in asked]
                self.journal.add(Control(number, **dict(zip(pair.order, seconds, strict=True))))

    def _doubt(self, case: int, text: str) -> None:
        if Doubt(case, text) not in self.journal.record.events:
            self.journal.add(Doubt(case, text))


def _block(ready: dict[str, Reply]) -> dict[str, Any]:
    """What a block of this case is: the same work for both sides."""
    number = max(reply["number"] for reply in ready.values())
    wall = max(reply["wall"] / reply["number"] for reply in ready.values()) * number
    single = max(reply["processors"] for reply in ready.values()) < SINGLE
    return {"number": number, "repeat": max(round(BLOCK / wall), 1), "single": single}


def _times(seconds: list[float]) -> bool:
    """Whether these can be durations."""
    return all(0 < second < math.inf for second in seconds)


def _quadruple(sides: tuple[str, str], place: int) -> list[str]:
    """A B B A, then B A A B: what drifts steadily hits both sides alike."""
    first, second = sides if place % 8 == 0 else sides[::-1]
    return [first, second, second, first]


def _enough(order: str, seconds: list[float], wall: float) -> bool:
    """Whether this round says as much about the case as one pair of processes can.

    It looks at how the quadruples scatter, never at what they say, so it favours no verdict.
    """
    done = len(order) // 4
    if done < LEAST or not _times(seconds):
        return done >= LEAST
    return done >= MOST or wall > LONG or round_error(order, seconds) <= PRECISE
