"""The benchmarks of every area run, on every combination of their parameters that is quick."""

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
    *([breakeven.MatmulHalf] if breakeven.CUDA else []),
]
MEASURED = {
    schedulers.Scheduler: "BaseScheduler.step",
    activation.Hook: "Module._call_impl",
    activation.Step: "ActivationSparsifier.step",
    data.Step: "BaseDataSparsifier.step",
    breakeven.Matmul: "Sequential.forward",
    floor.Copy: "Copy.setup.<locals>.<lambda>",
    **({breakeven.MatmulHalf: "Sequential.forward"} if breakeven.CUDA else {}),
}
CASES = [
    pytest.param(cls, case, id=f"{cls.__module__}.{cls.__name__}-{case}")
    for cls in CLASSES
    for case in itertools.product(*cls.params)
    if not re.search(r"batch=(16|256)|4096", str(case[0]))  # of the same code as smaller ones
]


def watched(call: Callable[..., Any], case: tuple[Any, ...]) -> tuple[Any, set[str]]:
    """What ``call`` gives, and the qualified names of all Python functions it enters."""
    entered = set()
    former = sys.getprofile()
    sys.setprofile(lambda frame, *_: entered.add(frame.f_code.co_qualname))
    try:
        return call(*case), entered
    finally:
        sys.setprofile(former)


@pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support:UserWarning")
@pytest.mark.parametrize(("cls", "case"), CASES)
def test_it_runs_what_it_names(cls: Any, case: tuple[Any, ...]) -> None:
    """A timed call runs the code that is timed, and a tracked number is the same every time."""
    instance = cls()
    names = [name for name in dir(cls) if name.startswith(("time_", "track_"))]
    assert names
    for name in names:
        instance.setup(*case)
        once, entered = watched(getattr(instance, name), case)
        again, _ = watched(getattr(instance, name), case)
        assert once == again
        assert isinstance(once, int) == name.startswith("track_")
        assert MEASURED[cls] in entered


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_has_a_name(cls: Any) -> None:
    assert len(cls.param_names) == len(cls.params)


@pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support:UserWarning")
@pytest.mark.parametrize("block", breakeven.BLOCKS[1:])
def test_the_formats_compute_the_same(block: tuple[int, int]) -> None:
    """And both store the zeros that the level asks for away."""
    results = []
    for form in ("csr", "bsr"):
        case = breakeven.Case(form, 16, 0.9, block)
        model, x = breakeven.ready(case.name, "cpu", "float32")
        stored = model[0].weight.values().numel() / (2048 * 2048)
        assert stored == pytest.approx(0.1, abs=1e-4)
        results.append(model(x))
    breakeven.torch.testing.assert_close(*results)


def test_the_base_of_the_break_even_keeps_its_weight() -> None:
    """Dense stores every weight; masked computes with half of them zeroed."""
    dense, x = breakeven.ready(breakeven.Case("dense", 1).name, "cpu", "float32")
    masked, _ = breakeven.ready(breakeven.Case("masked", 1).name, "cpu", "float32")
    assert (dense[0].weight != 0).double().mean() > 0.999
    assert (masked[0].weight == 0).double().mean() == pytest.approx(0.5, abs=1e-4)
    assert not breakeven.torch.equal(dense(x), masked(x))
