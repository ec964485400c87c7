"""The benchmarks of every area run, on every combination of their parameters that is quick."""

import itertools
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
CASES = [
    pytest.param(cls, case, id=f"{cls.__module__}.{cls.__name__}-{case}")
    for cls in CLASSES
    for case in itertools.product(*cls.params)
]


@pytest.mark.filterwarnings("ignore:Sparse (CSR|BSR) tensor support:UserWarning")
@pytest.mark.parametrize(("cls", "case"), CASES)
def test_it_runs(cls: Any, case: tuple[Any, ...]) -> None:
    instance = cls()
    for name in dir(cls):
        if name.startswith(("time_", "track_")):
            instance.setup(*case)
            getattr(instance, name)(*case)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_has_a_name(cls: Any) -> None:
    assert len(cls.param_names) == len(cls.params)


def test_the_formats_compute_the_same() -> None:
    results = []
    for form in ("dense", "bsr"):
        model, x = formats.ready(form, 0.9, "cpu", formats.torch.float32)
        results.append(model(x))
    formats.torch.testing.assert_close(*results)
