"""What there is to compare: the cases that the benchmarks have at each commit."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.project.patterns import compiled

MEASURED: Final = ("time", "memory", "peakmemory", "track")  # asv's types that a worker can measure
Reply = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One benchmark with one combination of parameters.

    Attributes:
        benchmark: asv's name.
        param_names: the names of its parameters.
        params: their values, as asv spells them.
        type: asv's: ``time`` (``timeraw_*`` as well), ``memory``, ``peakmemory`` or ``track``.
        unit: of its values.
        timeout: seconds that one request about it may take.
        cache_key: names the ``setup_cache`` that it needs; None: none.
        cache_timeout: seconds that this one may take.
        tolerance: of a tracked value, relative; None: it is compared exactly.
        indices: its place among the benchmark's combinations, at each side that has it.
        broken: the sides at which its module cannot be imported, and why.
    """

    benchmark: str
    param_names: tuple[str, ...]
    params: tuple[str, ...]
    type: str
    unit: str
    timeout: float
    cache_key: str | None
    cache_timeout: float
    tolerance: float | None
    indices: dict[str, int | None] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As asv's patterns match it."""
        return f"{self.benchmark}({', '.join(self.params)})" if self.params else self.benchmark


@dataclass(frozen=True)
class Selection:
    """Which of the discovered cases are wanted.

    Attributes:
        pattern: searched in a case's name, as asv does.
        device: the value of its parameter ``device``; None: any.
        asked: the option by which a person chose, and what it was given; for errors.
    """

    pattern: re.Pattern[str]
    device: str | None
    asked: tuple[str, str]

    def __contains__(self, case: Case) -> bool:
        """Whether its name matches, as asv searches, and it is on the device if one is named."""
        axes = zip(case.param_names, case.params, strict=False)
        here = self.device is None or ("device", repr(self.device)) in axes
        return here and bool(self.pattern.search(case.name))


def selection(pattern: str, device: str | None, asked: tuple[str, str] | None = None) -> Selection:
    """Cases whose ``name(parameters)`` matches, with that value of a parameter ``device``.

    ``asked``: see Selection; None: ``--bench``, and the pattern itself.

    Raises:
        SparsebenchError: not a regular expression.
    """
    return Selection(compiled(pattern), device, asked or ("--bench", pattern))


def cases(
    discovered: Mapping[str, Reply], own: Iterable[str], timeout: float, wanted: Selection
) -> list[Case]:
    """The wanted cases of either side, in asv's order, then those of the base's own files.

    Args:
        discovered: side to what a worker found in today's benchmarks.
        own: names of benchmarks that the base has in its own benchmark files.
        timeout: seconds for benchmarks that declare no timeout.
        wanted: which to take.

    Raises:
        SparsebenchError: nothing is wanted.
    """
    found: dict[str, Case] = {}
    for side, reply in discovered.items():
        for benchmark in reply["benchmarks"]:
            for case in _combinations(benchmark, side, timeout):
                found.setdefault(case.name, case).indices.update(case.indices)
    _mark_broken(found, discovered)
    known = {case.benchmark for case in found.values()}
    for name in sorted(set(own) - known):
        found[name] = _without_parameters(name, indices={"base": None})
    measurable = [case for case in found.values() if case.type in MEASURED]
    chosen = [case for case in measurable if case in wanted]
    if not chosen:
        hint = "".join(f"; {line}" for line in unimportable(discovered)[:1])
        raise SparsebenchError(_nothing(measurable, wanted) + hint)
    return chosen


def _nothing(found: Sequence[Case], wanted: Selection) -> str:
    """One line that says why none is wanted, with the names to choose from."""
    if not found:
        return "benchmarks: must hold one that can be measured, got none"
    option, text = wanted.asked
    axes = [
        dict(zip(case.param_names, case.params, strict=False))
        for case in found
        if wanted.pattern.search(case.name)
    ]
    if not axes:
        return f"{option}: {unknown_name('case', text, (case.name for case in found))}"
    devices = sorted({case["device"].strip("'") for case in axes if "device" in case})
    return (
        f"--device: must be one that the matching cases have ({', '.join(devices) or 'none'}), "
        f"got {wanted.device!r}"
    )


def _mark_broken(found: dict[str, Case], discovered: Mapping[str, Reply]) -> None:
    """Say at the cases of a module that it does not import."""
    for side, reply in discovered.items():
        for module, error in reply["broken"].items():
            for case in found.values():
                if _holds(module, case.benchmark):
                    case.broken[side] = error


def _without_parameters(name: str, **known: Any) -> Case:
    """A case of which nothing but the name is known; it is not measured."""
    return Case(name, (), (), "track", "", 0.0, None, 0.0, None, **known)


def unimportable(discovered: Mapping[str, Reply]) -> list[str]:
    """A line for each module of which no benchmark is known, as it imports at neither side."""
    known = {str(b["name"]) for reply in discovered.values() for b in reply["benchmarks"]}
    return [
        f"{module or 'the benchmarks'}: does not import at {side}: {error}"
        for side, reply in discovered.items()
        for module, error in reply["broken"].items()
        if not any(_holds(module, name) for name in known)
    ]


def _holds(module: str, benchmark: str) -> bool:
    """Whether a benchmark is one of a module's; the package itself, whose name is "", has all."""
    return not module or benchmark.startswith(module + ".")


def unsupported(discovered: Mapping[str, Reply]) -> list[str]:
    """The names of benchmarks whose type the gate does not know."""
    entries = [b for reply in discovered.values() for b in reply["benchmarks"]]
    return sorted({str(b["name"]) for b in entries if b["type"] not in MEASURED})


def _combinations(benchmark: Reply, side: str, timeout: float) -> list[Case]:
    combinations: Sequence[tuple[str, ...]] = list(product(*benchmark["params"]))
    own = benchmark["timeout"] or timeout
    return [
        Case(
            benchmark=benchmark["name"],
            param_names=tuple(benchmark["param_names"]),
            params=params,
            type=benchmark["type"],
            unit=benchmark["unit"],
            timeout=own,
            cache_key=benchmark["setup_cache_key"],
            cache_timeout=benchmark["setup_cache_timeout"] or own,
            tolerance=benchmark["tolerance"],
            indices={side: index if params else None},
        )
        for index, params in enumerate(combinations)
    ]
