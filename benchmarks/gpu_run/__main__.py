"""The command ``scripts/gpu``: run the parts, and leave one folder for `sparsebench ingest`.

It is run as a file, since the package ``benchmarks`` imports what wheels may have to bring first.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NoReturn

ROOT: Final = Path(__file__).parents[2]
DIFFERS, BAD_INPUT, INTERRUPTED = 1, 2, 130

_OPTIONAL: Final = {
    "numba": "the CPU's masks are computed by torch's operators, more slowly",
    "triton": "CUDA's masks are computed by torch's operators, more slowly",
    "pynvml": "(nvidia-ml-py) clocks, power and throttling are not recorded",
}
_EPILOG: Final = """
Exit codes: 0 nothing is wrong (what was left out is listed), 1 a mask differs from its golden
digest or a part failed, 2 bad input, 130 interrupted.
"""


class BadInputError(Exception):
    """Bad input; the text is one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(message.removeprefix("argument "))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        options = _parser().parse_args(argv)
        _check_names(options)
        with tempfile.TemporaryDirectory(prefix="sparsebench-wheels-") as folder:
            _use_wheels(options.wheels, Path(folder))
            return _run(options)
    except BadInputError as error:
        print(f"gpu: {error}", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        print(f"gpu: {error.filename}: {error.strerror}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as end:  # --help
        return int(end.code or 0)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scripts/gpu",
        description="Verify digests, measure the suite on a GPU and on the CPU beside it, and run "
        "the gate on equal code, with the Python at hand and without a network.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add(
        "--minutes",
        type=float,
        default=8.0,
        metavar="N",
        help="default: 8; the most important first",
    )
    add("--device", default="cuda", metavar="NAME", help="cuda (default), or cpu to try it")
    add("--wheels", type=Path, metavar="DIR", help="folder of wheels that this Python lacks")
    add("--into", type=Path, metavar="DIR", help="new folder; default: results/gpu/TIME")
    add("--commit", metavar="HASH", help="default: git's HEAD, or a hash of the code without git")
    add(
        "--machine",
        metavar="NAME",
        default=platform.node() or "machine",
        help="default: the host's",
    )
    return parser


def _check_names(options: argparse.Namespace) -> None:
    """Raise BadInputError for what can be seen to be wrong at once."""
    if not 0 < options.minutes < 1e5:
        raise BadInputError(f"--minutes: must be positive, got {options.minutes:g}")
    if options.device not in ("cuda", "cpu"):
        raise BadInputError(
            f"--device: must be cuda or cpu, got {options.device!r}; it does not run there"
        )
    if options.commit and not re.fullmatch("[0-9a-f]{8,40}", options.commit):
        raise BadInputError(f"--commit: must be 8 to 40 hexadecimal digits, got {options.commit!r}")
    if not re.fullmatch(r"\w[\w.@ -]*", options.machine):
        raise BadInputError(
            f"--machine: must be letters, digits, '.', '-', '_', got {options.machine!r}"
        )
    if options.wheels and not sorted(options.wheels.glob("*.whl")):
        raise BadInputError(f"--wheels: must be a folder with *.whl in it, got {options.wheels}")
    if options.into and options.into.exists() and any(options.into.iterdir()):
        raise BadInputError(f"--into: must be a new or an empty folder, got {options.into}")


def _use_wheels(wheels: Path | None, folder: Path) -> None:
    """Unpack the wheels into ``folder``, for this process and those that it starts."""
    if wheels:
        paths = [str(path) for path in sorted(wheels.glob("*.whl"))]
        install = ["install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *install, *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["pip printed nothing"]
            raise BadInputError(f"--wheels: cannot be unpacked; {lines[-1]}")
        sys.path.insert(0, str(folder))
    lacking = [name for name in ("torch", "numpy") if find_spec(name) is None]
    if lacking:
        raise BadInputError(f"{sys.executable}: must import {' and '.join(lacking)}; see --wheels")
    paths = [str(folder)] if wheels else []
    sys.path.insert(0, str(ROOT))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, str(ROOT), *([before] if before else [])])


def _run(options: argparse.Namespace) -> int:
    """Run all parts, print how each ended, and return the exit code."""
    from benchmarks.gpu_run.parts import Outcome, parts, run_all
    from benchmarks.workloads import devices

    try:
        devices.check(options.device)
    except ValueError as error:
        raise BadInputError(f"--device: {error}") from None
    signal.signal(signal.SIGTERM, _interrupt)
    commit, note = _commit(options.commit)
    into = (
        options.into or ROOT / "results" / "gpu" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    ).absolute()
    variables = _prepare(into, options.machine, commit)
    start, outcomes = time.monotonic(), list[Outcome]()
    _say(into, f"commit {commit[:8]}{note}, machine {options.machine}, into {into}")
    for package, consequence in _OPTIONAL.items():
        if find_spec(package) is None and (package == "numba" or options.device == "cuda"):
            _say(into, f"note: without {package} {consequence}; see --wheels")
    todo = parts(options.device)
    try:
        for outcome in run_all(todo, options.minutes * 60, into, variables):
            outcomes.append(outcome)
            took = f"{outcome.seconds:4.0f} s" if outcome.seconds else "      "
            _say(into, f"{outcome.state:8} {took}  {outcome.part.name}: {outcome.text}")
    except KeyboardInterrupt:
        for part in todo[len(outcomes) :]:
            _say(into, f"left out         {part.name}: interrupted")
        raise
    finally:
        seconds = time.monotonic() - start
        files = (into / "results").glob("*/*.jsonl")
        has_cases = any('"kind": "case"' in path.read_text() for path in files)
        hint = f"to store it: sparsebench ingest {into}" if has_cases else "no case was measured"
        _say(into, f"{seconds / 60:.1f} minutes; {hint}")
    return DIFFERS if any(o.state in ("differs", "failed") for o in outcomes) else 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _commit(given: str | None) -> tuple[str, str]:
    """Return the commit that rows are stored under, and a note on it."""
    if given:
        return given, ""
    git = ["git", "-C", str(ROOT)]
    try:
        head = _output([*git, "rev-parse", "HEAD"])
        changed = _output([*git, "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.CalledProcessError):
        return _tree_hash(), " (no git here: a hash of the code; see --commit)"
    return head, " with uncommitted changes" if changed else ""


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _tree_hash() -> str:
    """Return a hash of the suite's and the library's code, as long as a commit's."""
    digest = hashlib.sha1(usedforsecurity=False)
    for folder in ("benchmarks", "sparsebench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _prepare(into: Path, machine: str, commit: str) -> dict[str, str]:
    """Make the folder as asv's results are laid out; return the variables that asv would set."""
    import torch

    from benchmarks._recorder import recorder

    name = f"python{platform.python_version()}-torch{torch.__version__}"
    variables = {
        "ASV_CONF_DIR": str(into),
        "ASV_COMMIT": commit,
        "ASV_ENV_NAME": name,
        recorder.MACHINE: machine,
        recorder.RUN: f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-gpu",
    }
    folder = into / "results" / machine
    folder.mkdir(parents=True, exist_ok=True)
    config = {"version": 1, "project": "sparsebench", "repo": "."}
    (into / "asv.conf.json").write_text(json.dumps(config) + "\n")
    os.environ.update(variables)
    facts = recorder.environment_facts() | {"commit_date": _commit_date(commit)}
    (folder / "machine.json").write_text(json.dumps(_machine(machine, facts)) + "\n")
    recorder.append(folder / recorder.file_name(commit, name), facts)
    for variable in variables:
        del os.environ[variable]
    return variables


def _commit_date(commit: str) -> int:
    """Return ms since 1970; that of now if git does not know the commit."""
    try:
        return int(_output(["git", "-C", str(ROOT), "show", "-s", "--format=%ct", commit])) * 1000
    except (OSError, ValueError, subprocess.CalledProcessError):
        return time.time_ns() // 1_000_000


def _machine(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what asv's machine.json says."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    known = {key: facts[key] or "" for key in ("arch", "cpu", "os")}
    own = {"machine": name, "num_cpu": str(os.cpu_count()), "ram": str(memory)}
    return {**known, **own, "version": 1}


def _say(into: Path, text: str) -> None:
    print(text, flush=True)
    with (into / "report.txt").open("a", encoding="utf-8") as file:
        print(text, file=file)


if __name__ == "__main__":
    sys.exit(main())
