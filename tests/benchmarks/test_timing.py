"""Device times on a simulated device, whose times are known, and on a GPU where there is one."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from benchmarks.workloads import grid, timing, workload

LAUNCH, FLUSH, KERNEL = 5.0, 60.0, 20.0  # us: host's share of a launch, and the device's work
CYCLES_PER_US = 2000.0


class Simulated:
    """A stream that works off what a host queues; ``now`` is the host's clock, ``end`` its own."""

    def __init__(self) -> None:
        self.now = self.end = 0.0
        self.capturing: list[float] | None = None
        self.cold = False

    def launch(self, work: float) -> None:
        if self.capturing is not None:
            self.capturing.append(work)
            return
        self.now += LAUNCH
        self.end = max(self.end, self.now) + work

    def synchronize(self) -> None:
        if self.capturing is not None:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.now = max(self.now, self.end)


class Event:
    stream: ClassVar[Simulated]

    def __init__(self, **_: bool) -> None:
        self.time = 0.0

    def record(self) -> None:
        self.time = max(self.stream.end, self.stream.now)

    def query(self) -> bool:
        return self.time <= self.stream.now

    def synchronize(self) -> None:
        self.stream.synchronize()

    def elapsed_time(self, end: "Event") -> float:
        return (end.time - self.time) / 1e3


class Graph:
    def __init__(self, stream: Simulated) -> None:
        self.stream = stream
        self.kernels: list[float] = []

    def replay(self) -> None:
        self.stream.launch(sum(self.kernels))


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """A simulated CUDA device in place of torch's."""
    stream = Simulated()
    monkeypatch.setattr(Event, "stream", stream, raising=False)

    class Capture:
        def __init__(self, graph: Graph) -> None:
            self.graph = graph

        def __enter__(self) -> None:
            stream.capturing = []

        def __exit__(self, *_: object) -> None:
            self.graph.kernels, stream.capturing = stream.capturing or [], None

    class NoStream:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...
        def wait_stream(self, _: object) -> None: ...

    fake = SimpleNamespace(
        Event=Event,
        CUDAGraph=lambda: Graph(stream),
        Stream=NoStream,
        current_stream=NoStream,
        stream=lambda own: own,
        graph=Capture,
        synchronize=stream.synchronize,
        _sleep=lambda cycles: stream.launch(cycles / CYCLES_PER_US),
    )
    monkeypatch.setattr(torch, "cuda", fake)
    monkeypatch.setattr(timing, "_flush", lambda: stream.launch(FLUSH))
    return stream


def kernels(stream: Simulated, *work: float, host: float = 0.0) -> Callable[[], None]:
    def call() -> None:
        for each in work:
            stream.launch(each)
            stream.now += host

    return call


@pytest.mark.parametrize("method", ["graph", "events"])
@pytest.mark.parametrize("cold", [True, False])
def test_gaps_between_launches_are_not_device_time(
    stream: Simulated, method: str, cold: bool
) -> None:
    """An eager call of seven short kernels waits for the host between any two."""
    timer = timing.DeviceTimer(kernels(stream, *[2.0] * 7, host=30.0), method)
    times = timer.times(cold=cold)
    assert timer.method == method
    assert times == pytest.approx([14e-6] * timing.DEVICE_SAMPLES)


def test_a_call_that_cannot_be_captured_is_measured_by_events(stream: Simulated) -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1
        if stream.capturing is not None:
            raise RuntimeError("not permitted")
        stream.launch(KERNEL)

    timer = timing.DeviceTimer(call)
    assert timer.method == "events"
    assert timer.times(cold=True) == pytest.approx([20e-6] * timing.DEVICE_SAMPLES)
    with pytest.raises(RuntimeError, match="not permitted"):
        timing.DeviceTimer(call, "graph")


def test_a_call_that_waits_for_the_device_has_no_device_time(stream: Simulated) -> None:
    def call() -> None:
        stream.launch(KERNEL)
        stream.synchronize()

    timer = timing.DeviceTimer(call)
    assert timer.method == "events"
    with pytest.raises(timing.HostWaitsError, match="waits for the device"):
        timer.times(cold=True)


def test_wall_time_has_the_launches_and_the_work() -> None:
    import time

    times = timing.wall_times(lambda: time.sleep(0.002), "cpu")
    assert timing.LEAST <= len(times) <= timing.MOST
    assert min(times) >= 0.002
    assert len(timing.wall_times(lambda: None, "cpu")) == timing.MOST


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("case", [grid.LONG[-1], grid.LLM[0], grid.NM[0]], ids=str)
def test_replay_and_events_behind_a_blocking_kernel_agree(case: grid.MaskCase) -> None:
    step = workload.build(case, "cuda").step
    medians: dict[str, Any] = {}
    for method in ("graph", "events"):
        times = sorted(timing.DeviceTimer(step, method).times(cold=True))
        medians[method] = times[len(times) // 2]
    # Replay launches kernels some microseconds faster than a queue of single launches.
    assert medians["graph"] == pytest.approx(medians["events"], rel=0.1, abs=10e-6)
