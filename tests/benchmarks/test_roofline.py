"""The parts of the roofline, on small tensors."""

import numpy as np
import pytest

from benchmarks.roofline import llm, seed
from benchmarks.roofline.clock import interleaved_medians
from benchmarks.roofline.llm import peak_bytes
from benchmarks.workloads.grid import SHORT

MEBI = 1 << 20


def test_calls_are_measured_alternately() -> None:
    order: list[str] = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = interleaved_medians(calls, rounds=3)
    turns = "".join(order).replace("aa", "a")
    assert set(times) == {"a", "b"}
    while "aa" in turns or "bb" in turns:
        turns = turns.replace("aa", "a").replace("bb", "b")
    assert turns.endswith("ababab")


def test_the_peak_includes_memory_released_during_the_call() -> None:
    def call() -> None:
        np.ones(16 * MEBI, np.uint8)

    peak = peak_bytes(call)
    if peak is None:
        pytest.skip("no /proc/self/clear_refs here")
    assert 15 * MEBI < peak < 18 * MEBI


def test_the_llm_table_fits_80_columns() -> None:
    results = list(llm.measure([(512, 512)], ["float32", "bfloat16"], [1], rounds=1, upstream=1))
    assert len(results) == 16
    text = llm.render(results)
    assert max(map(len, text.splitlines())) <= 80
    assert "512x512 1 1x8:4" in text


def test_the_seed_table_has_the_slowest_first() -> None:
    pairs = [(SHORT[0], 1e-6, 8e-6), (SHORT[1], 1e-6, 2e-6)]
    lines = seed.render(pairs, slowest=1).splitlines()
    assert lines[1].split()[-1] == "2.00x"
    assert lines[-2].startswith("2 cases: geometric mean 4.00x, lowest 2.00x")
    assert lines[-1] == "1 below 3x, 0 below 1x"
    assert max(map(len, lines)) <= 80
