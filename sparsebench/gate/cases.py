"""The cases of the benchmarks at each commit, and which of them are selected."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.project.settings import compile_pattern

MEASURED: Final = ("time", "memory", "peakmemory", "track")  # asv's types that a worker measures
Reply = Mapping[str, Any]


@dataclass(frozen=True)
class BenchmarkCase:
    """A benchmark with one combination of parameters.

    Attributes:
        benchmark: asv's name.
        param_names: the names of its parameters.
        params: their values, in asv's spelling.
        type: asv's: ``time`` (also of ``timeraw_*``), ``memory``, ``peakmemory`` or ``track``.
        unit: of its values.
        timeout: seconds per request.
        cache_key: identifies the ``setup_cache`` that it needs; None without one.
        cache_timeout: seconds for the ``setup_cache``.
        tolerance: relative, of a tracked value; None: it is compared exactly.
        indices: per side that has the case, its index among the benchmark's combinations.
        broken: per side where the module cannot be imported, the error.
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
        """The text that asv's patterns are matched with."""
        return f"{self.benchmark}({', '.join(self.params)})" if self.params else self.benchmark


@dataclass(frozen=True)
class CaseSelection:
    """The selected cases.

    Attributes:
        pattern: searched in a case's name, as asv does.
        device: value of the parameter ``device``; None: any.
        option: the command line option of the selection and its value, for errors.
    """

    pattern: re.Pattern[str]
    device: str | None
    option: tuple[str, str]

    def __contains__(self, case: BenchmarkCase) -> bool:
        """Return whether the name matches and the device is the selected one."""
        axes = zip(case.param_names, case.params, strict=False)
        on_device = self.device is None or ("device", repr(self.device)) in axes
        return on_device and bool(self.pattern.search(case.name))


def selection(
    pattern: str, device: str | None, option: tuple[str, str] | None = None
) -> CaseSelection:
    """Return the selection of cases whose ``name(parameters)`` matches, on ``device`` if given.

    ``option``: see `CaseSelection`; None: ``--bench`` and the pattern.

    Raises:
        SparsebenchError: not a regular expression.
    """
    return CaseSelection(compile_pattern(pattern), device, option or ("--bench", pattern))


def cases(
    discovered: Mapping[str, Reply],
    base_names: Iterable[str],
    timeout: float,
    wanted: CaseSelection,
) -> list[BenchmarkCase]:
    """Return the selected cases of both sides in asv's order, then those that only the base has.

    Args:
        discovered: per side what a worker found in the current benchmarks.
        base_names: names of the benchmarks in the base's own benchmark files.
        timeout: seconds for benchmarks that declare no timeout.
        wanted: the selection.

    Raises:
        SparsebenchError: no case is selected.
    """
    by_name: dict[str, BenchmarkCase] = {}
    for side, reply in discovered.items():
        for benchmark in reply["benchmarks"]:
            for case in _combinations(benchmark, side, timeout):
                by_name.setdefault(case.name, case).indices.update(case.indices)
    _mark_broken(by_name, discovered)
    names = {case.benchmark for case in by_name.values()}
    for name in sorted(set(base_names) - names):  # only the name is known; it is not measured
        by_name[name] = BenchmarkCase(
            name, (), (), "track", "", 0.0, None, 0.0, None, indices={"base": None}
        )
    measurable = [case for case in by_name.values() if case.type in MEASURED]
    chosen = [case for case in measurable if case in wanted]
    if not chosen:
        hint = "".join(f"; {line}" for line in unimportable(discovered)[:1])
        raise SparsebenchError(_no_case_message(measurable, wanted) + hint)
    return chosen


def _no_case_message(cases: Sequence[BenchmarkCase], wanted: CaseSelection) -> str:
    """Return one line on why no case is selected, with similar names."""
    if not cases:
        return "benchmarks: must contain one that can be measured, got none"
    option, text = wanted.option
    axes = [
        dict(zip(case.param_names, case.params, strict=False))
        for case in cases
        if wanted.pattern.search(case.name)
    ]
    if not axes:
        return f"{option}: {unknown_name('case', text, (case.name for case in cases))}"
    devices = sorted({case["device"].strip("'") for case in axes if "device" in case})
    return (
        f"--device: must be one that the matching cases have ({', '.join(devices) or 'none'}), "
        f"got {wanted.device!r}"
    )


def _mark_broken(cases: dict[str, BenchmarkCase], discovered: Mapping[str, Reply]) -> None:
    """Record import errors at the cases of the modules."""
    for side, reply in discovered.items():
        for module, error in reply["broken"].items():
            for case in cases.values():
                if _contains(module, case.benchmark):
                    case.broken[side] = error


def unimportable(discovered: Mapping[str, Reply]) -> list[str]:
    """Return one line per module that no known benchmark is in, since it cannot be imported."""
    names = {str(b["name"]) for reply in discovered.values() for b in reply["benchmarks"]}
    return [
        f"{module or 'the benchmarks'}: does not import at {side}: {error}"
        for side, reply in discovered.items()
        for module, error in reply["broken"].items()
        if not any(_contains(module, name) for name in names)
    ]


def _contains(module: str, benchmark: str) -> bool:
    """Return whether a benchmark is in a module; the package itself, named "", contains all."""
    return not module or benchmark.startswith(module + ".")


def unsupported(discovered: Mapping[str, Reply]) -> list[str]:
    """Return the names of benchmarks of a type that the gate does not measure."""
    entries = [b for reply in discovered.values() for b in reply["benchmarks"]]
    return sorted({str(b["name"]) for b in entries if b["type"] not in MEASURED})


def _combinations(benchmark: Reply, side: str, timeout: float) -> list[BenchmarkCase]:
    combinations: Sequence[tuple[str, ...]] = list(product(*benchmark["params"]))
    own_timeout = benchmark["timeout"] or timeout
    return [
        BenchmarkCase(
            benchmark=benchmark["name"],
            param_names=tuple(benchmark["param_names"]),
            params=params,
            type=benchmark["type"],
            unit=benchmark["unit"],
            timeout=own_timeout,
            cache_key=benchmark["setup_cache_key"],
            cache_timeout=benchmark["setup_cache_timeout"] or own_timeout,
            tolerance=benchmark["tolerance"],
            indices={side: index if params else None},
        )
        for index, params in enumerate(combinations)
    ]
