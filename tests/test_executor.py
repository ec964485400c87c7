import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path

import pytest

from sparsebench.errors import ConfigError
from sparsebench.executor import ProcessExecutor, WorkerKilledError, available_cores, run_all


def process_id(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def kill_first_process(marker: Path, result: int) -> int:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def kill_process() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def raise_config_error() -> int:
    raise ConfigError("level: must lie in [0, 1], got level=2")


def return_lambda() -> object:
    return lambda: None


def set_marker() -> None:
    os.environ["EXECUTOR_TEST"] = "set"


def get_marker() -> str | None:
    return os.environ.get("EXECUTOR_TEST")


def print_text() -> int:
    sys.stdout.write("in between\n")
    return 3


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    ended: list[int] = []
    results = run_all([partial(pow, 3, n) for n in range(20)], workers, ended.append)
    assert results == [3**n for n in range(20)]
    assert sorted(ended) == list(range(20))


def test_tasks_run_in_other_processes_which_are_reused() -> None:
    processes = set(run_all([partial(process_id, n) for n in range(6)], 2))
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_killed_process_costs_only_its_task(tmp_path: Path) -> None:
    tasks = [
        partial(kill_first_process, tmp_path / "marker", 7),
        partial(pow, 2, 5),
        partial(pow, 2, 6),
    ]
    assert run_all(tasks, 2) == [7, 32, 64]


def test_a_task_that_is_killed_twice_fails_alone() -> None:
    with ProcessExecutor(2) as executor:
        futures = [executor.submit(kill_process), executor.submit(pow, 2, 5)]
        with pytest.raises(WorkerKilledError, match="killed twice at the same task"):
            futures[0].result()
        assert futures[1].result() == 32
        assert executor.submit(pow, 2, 6).result() == 64


def test_an_error_of_a_task_is_raised_with_its_traceback() -> None:
    with pytest.raises(ConfigError, match="got level=2") as caught:
        run_all([raise_config_error, raise_config_error], 2)
    assert "in raise_config_error" in "".join(caught.value.__notes__)


def test_a_result_that_cannot_be_pickled_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="cannot be pickled"):
        run_all([return_lambda, return_lambda], 2)


def test_the_initializer_runs_in_each_process_and_not_here() -> None:
    assert run_all([get_marker, get_marker], 2, initializer=set_marker) == ["set", "set"]
    assert get_marker() is None


def test_what_a_task_prints_is_not_taken_for_its_result(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_all([print_text, print_text], 2) == [3, 3]
    assert capfd.readouterr().out == ""


def test_an_error_ends_the_processes_at_once() -> None:
    executor = ProcessExecutor(2)
    future = executor.submit(time.sleep, 3600)
    while not future.running():
        assert not future.done()
        time.sleep(0.01)
    executor.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert isinstance(future.exception(), CancelledError | WorkerKilledError)


ORPHANS = """
import sys
from functools import partial
from pathlib import Path
from sparsebench.executor import run_all
from tests.test_executor import wait_for_file
run_all([partial(wait_for_file, Path(sys.argv[1]), n) for n in range(2)], 2)
"""


def wait_for_file(folder: Path, number: int) -> None:
    (folder / f"started-{number}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)


def test_workers_of_a_killed_process_end_without_a_message(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ORPHANS, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        while len(list(tmp_path.iterdir())) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        (tmp_path / "go").touch()
        assert process.stderr is not None
        assert process.stderr.read() == b""  # ends when the last worker has ended


def test_cores_are_those_that_this_process_may_use() -> None:
    cores = available_cores()
    assert 1 <= cores <= (os.cpu_count() or 1)
    if sys.platform == "linux":
        assert cores == len(os.sched_getaffinity(0))


def test_modules_of_the_current_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("secrets", "traceback", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    assert run_all([partial(pow, 2, 3), partial(pow, 2, 4)], 2) == [8, 16]
