"""The benchmarks of every area run, on all parameter combinations that are fast."""

import itertools
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import activation, breakeven, data, floor, schedulers

CLASSES = [
    schedulers.Scheduler,
    activation.Hook,
    activation.Step,
    data.Step,
    breakeven.Matmul,
    floor.Copy,
    breakeven.Mask,
]
MEASURED = {
    schedulers.Scheduler: "BaseScheduler.step",
    activation.Hook: "Module._call_impl",
    activation.Step: "ActivationSparsifier.step",
    data.Step: "BaseDataSparsifier.step",
    breakeven.Matmul: "Sequential.forward",
    floor.Copy: "Copy.setup.<locals>.<lambda>",
    breakeven.Mask: "WeightNormSparsifier.step",
}
CASES = [
    pytest.param(cls, case, id=f"{cls.__module__}.{cls.__name__}-{case}")
    for cls in CLASSES
    for case in itertools.product(*cls.params)
    if not re.search(r"batch=(16|256)|4096", str(case[0]))  # they run the same code as smaller ones
]


def run_profiled(call: Callable[..., Any], case: tuple[Any, ...]) -> tuple[Any, set[str]]:
    """Return the result of ``call``, and the qualified names of all Python functions it enters."""
    entered = set()
    previous = sys.getprofile()
    sys.setprofile(lambda frame, *_: entered.add(frame.f_code.co_qualname))
    try:
        return call(*case), entered
    finally:
        sys.setprofile(previous)


@pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support:UserWarning")
@pytest.mark.parametrize(("cls", "case"), CASES)
def test_benchmark_runs_the_code_it_names(cls: Any, case: tuple[Any, ...]) -> None:
    """A timed call runs the code in MEASURED, and a tracked number is reproducible."""
    instance = cls()
    names = [name for name in dir(cls) if name.startswith(("time_", "track_"))]
    assert names
    for name in names:
        instance.setup(*case)
        first, entered = run_profiled(getattr(instance, name), case)
        second, _ = run_profiled(getattr(instance, name), case)
        assert first == second
        assert isinstance(first, int) == name.startswith("track_")
        assert MEASURED[cls] in entered


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_has_a_name(cls: Any) -> None:
    assert len(cls.param_names) == len(cls.params)


@pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support:UserWarning")
@pytest.mark.parametrize("block", breakeven.BLOCKS[1:])
def test_csr_and_bsr_compute_the_same(block: tuple[int, int]) -> None:
    """Both store only the entries that the level keeps."""
    results = []
    for form in ("csr", "bsr"):
        case = breakeven.FormatCase(form, 16, 0.9, block)
        model, x = breakeven.ready(case.name, "cpu", "float32")
        stored = model[0].weight.values().numel() / (2048 * 2048)
        assert stored == pytest.approx(0.1, abs=1e-4)
        results.append(model(x))
    breakeven.torch.testing.assert_close(*results)


def test_dense_keeps_all_weights_and_masked_half_of_them() -> None:
    """The two reference formats of the break-even benchmarks."""
    dense, x = breakeven.ready(breakeven.FormatCase("dense", 1).name, "cpu", "float32")
    masked, _ = breakeven.ready(breakeven.FormatCase("masked", 1).name, "cpu", "float32")
    assert (dense[0].weight != 0).double().mean() > 0.999
    assert (masked[0].weight == 0).double().mean() == pytest.approx(0.5, abs=1e-4)
    assert not breakeven.torch.equal(dense(x), masked(x))
