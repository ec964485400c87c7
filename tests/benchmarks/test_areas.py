"""The benchmarks of every area run, on every combination of their parameters that is quick."""

import itertools
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import activation, data, formats, schedulers

CLASSES = [
    schedulers.Scheduler,
    activation.Hook,
    activation.Step,
    data.Step,
    formats.Compressed,
    *([formats.SemiStructured] if formats.CUDA else []),
]
MEASURED = {
    schedulers.Scheduler: "BaseScheduler.step",
    activation.Hook: "Module._call_impl",
    activation.Step: "ActivationSparsifier.step",
    data.Step: "BaseDataSparsifier.step",
    formats.Compressed: "Sequential.forward",
    **({formats.SemiStructured: "Sequential.forward"} if formats.CUDA else {}),
}
CASES = [
    pytest.param(cls, case, id=f"{cls.__module__}.{cls.__name__}-{case}")
    for cls in CLASSES
    for case in itertools.product(*cls.params)
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


def test_the_formats_compute_the_same() -> None:
    results = []
    for form in ("dense", "bsr"):
        model, x = formats.ready(form, 0.9, "cpu", formats.torch.float32)
        results.append(model(x))
    formats.torch.testing.assert_close(*results)
