from pathlib import Path

import pandas as pd
import pytest

from sparsebench.cli import main
from tests.synthetic import (
    LONG,
    SHORT,
    commit_place,
    failed,
    hashes,
    history,
    slowed,
    write_dataset,
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two commits; torch.ao takes twice as long, and at the newest commit three times."""
    cases = [case for case in LONG if "128x128" in case]
    axes = {"case": cases, "device": ["cpu"], "implementation": ["sparsebench"]}
    ours = history("step.Long.time_step", commits=2, axes=axes)
    theirs = history(
        "reference.Long.time_step", commits=2, axes=axes | {"implementation": ["torch.ao"]}
    )
    theirs = slowed(theirs, commit_place(theirs) == 0, 2.0)
    theirs = slowed(theirs, commit_place(theirs) == 1, 3.0)
    return write_dataset(pd.concat([ours, theirs], ignore_index=True), tmp_path / "parquet")


def devices(dataset: Path, *arguments: str) -> int:
    into = str(dataset.parent / "figures")
    return main(["devices", "--dataset", str(dataset), "--into", into, *arguments])


def printed_text(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the printed text in one line."""
    return " ".join(capsys.readouterr().out.split())


def test_two_implementations_are_compared_at_their_newest_commit(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert devices(dataset, "sparsebench", "torch.ao") == 0
    out = capsys.readouterr().out
    assert "Long.time_step: B (torch.ao) against A (sparsebench): slower in all 144 cases;" in out
    assert "geometric mean of 144 cases: 3x" in out
    paths = [Path(line) for line in out.splitlines()[-2:]]
    assert [path.name for path in paths] == [
        "sparsebench-torch.ao.Long.time_step.png",
        "sparsebench-torch.ao.Long.time_step.svg",
    ]
    assert all(path.exists() for path in paths)


def test_a_commit_can_be_chosen(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oldest = hashes(2)[0][:10]
    assert devices(dataset, "--by", "implementation", "--commit", oldest, "--format", "svg") == 0
    assert "slower in all 144 cases; geometric mean 2x slower" in printed_text(capsys)


def test_a_later_skip_does_not_hide_a_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = history("b.time_it", commits=2, axes={"n": ["1"], "device": ["cpu", "cuda"]})
    cuda = frame["params"].map(lambda params: params[1] == "'cuda'")
    frame = failed(frame, cuda & (commit_place(frame) == 1), "skipped")
    assert devices(write_dataset(frame, tmp_path / "parquet")) == 0
    out = capsys.readouterr().out
    assert "device: A = cpu, B = cuda" in out
    old, new = (commit[:8] for commit in hashes(2))
    assert f"1 pair with another commit: {new} against {old}" in out


def test_torch_versions_in_two_environments_of_one_machine_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = []
    for version, centre in (("2.11.0", 1e-3), ("2.13.0", 3e-3)):
        columns = {"torch": version, "env_name": f"py3.11-torch{version}"}
        digests = {"type": "track", "unit": None, "direction": "exact"}
        frames.append(history("step.Short.time_step", commits=1, centre=centre, **columns))
        frames.append(history("step.Short.track_digest", commits=1, **columns, **digests))
    frames[-1].loc[0, "value"] += 1
    dataset = write_dataset(pd.concat(frames, ignore_index=True), tmp_path / "parquet")
    assert devices(dataset, "--by", "torch") == 0
    out = printed_text(capsys)
    assert "torch: A = 2.11.0, B = 2.13.0" in out
    assert "time_step: B (2.13.0) against A (2.11.0): slower in all 3 cases" in out
    assert "geometric mean 3x slower" in out
    assert "track_digest: the same on both sides in 2 of 3 cases" in out


def test_two_gpus_are_compared_by_what_was_measured_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = {"case": SHORT, "device": ["cpu", "cuda"], "implementation": ["sparsebench"]}
    frames = [
        history(commits=1, axes=axes, machines=[machine], centre=centre, gpu=gpu)
        for machine, gpu, centre in (("one", "NVIDIA L4", 4e-3), ("two", "NVIDIA H100", 1e-3))
    ]
    frames[0].loc[frames[0]["device"] == "cuda", "throttle"] = "thermal, hardware"
    frames[1]["throttle"] = ""
    dataset = write_dataset(pd.concat(frames, ignore_index=True), tmp_path / "parquet")
    assert devices(dataset, "--by", "gpu", "NVIDIA H100", "NVIDIA L4") == 0
    out = printed_text(capsys)
    assert "3 values measured while the GPU was slowed down (thermal, hardware)" in out
    assert "time_step: B (NVIDIA L4) against A (NVIDIA H100): slower in all 3 cases" in out


def test_declared_and_recorded_versions_are_the_same_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = history(commits=2, env_name="py-torch2.13.0")
    newer["torch"] = newer["commit_hash"].map(
        dict(zip(hashes(2), ["2.13.0", "2.13.0+cpu"], strict=True))
    )
    frames = [history(commits=1, torch="2.11.0", env_name="py-torch2.11.0"), newer]
    dataset = write_dataset(pd.concat(frames, ignore_index=True), tmp_path / "parquet")
    assert devices(dataset, "--by", "torch") == 0
    assert "torch: A = 2.11.0, B = 2.13.0+cpu" in capsys.readouterr().out


def test_a_grid_too_small_for_a_heat_map_is_reported_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = history(axes={"case": SHORT, "device": ["cpu", "cuda"]})
    assert devices(write_dataset(frame, tmp_path / "parquet")) == 0
    captured = capsys.readouterr()
    assert captured.err == (
        "no heat map for step.Short.time_step: its 3 cases would be spread over 18 cells\n"
    )
    assert "heat map" not in captured.out
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            [],
            "--by device: needs two to compare, the results hold only cpu; measure and ingest "
            "another, or compare instead: "
            "`sparsebench devices --by implementation sparsebench torch.ao`",
        ),
        (
            ["cpu", "cuda"],
            "unknown side 'cuda'; near: cpu",
        ),
        (["sparsebench"], "devices: must be given two different names, or none, got sparsebench"),
        (["--commit", "zz"], "unknown commit 'zz'; known: "),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    dataset: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert devices(dataset, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sparsebench: " + line)
    assert captured.err.count("\n") == 1


def test_an_unknown_side_is_answered_with_a_possible_command(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert devices(dataset, "cpu", "cuda") == 2
    instead = "compare instead: `sparsebench devices --by implementation sparsebench torch.ao`\n"
    assert capsys.readouterr().err.endswith(instead)


def test_sides_that_share_no_case_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = ({"n": [n], "device": [device]} for n, device in (("1", "cpu"), ("2", "cuda")))
    frame = pd.concat([history("b.time_it", axes=axes) for axes in (one, two)], ignore_index=True)
    assert devices(write_dataset(frame, tmp_path / "parquet")) == 2
    assert "cpu, cuda: no case has a value on both sides; " in capsys.readouterr().err
