"""The working tree's ``sparsebench.recorder``: the measured commit's package may have none."""

import importlib.util
from pathlib import Path
from types import ModuleType


def _load() -> ModuleType:
    path = Path(__file__).parents[1] / "sparsebench" / "recorder.py"
    spec = importlib.util.spec_from_file_location("sparsebench_suite_recorder", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recorder = _load()
