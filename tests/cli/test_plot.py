from pathlib import Path

import pandas as pd
import pytest

from sparsebench.cli import main
from tests.synthetic import hashes, history, write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    frame = pd.concat(
        [
            history(commits=4, machines=["laptop", "ci"]),
            history(
                "step.Short.track_digest", commits=4, direction="exact", value=1.0, type="track"
            ),
        ],
        ignore_index=True,
    )
    return write_dataset(frame, tmp_path / "parquet")


def test_every_figure_is_written_and_its_path_printed(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "made" / "figures"
    assert main(["plot", "--dataset", str(dataset), "--into", str(into)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in printed] == [
        "step.Short.time_step.png",
        "step.Short.time_step.svg",
        "step.Short.track_digest.png",
        "step.Short.track_digest.svg",
    ]
    assert sorted(into.iterdir()) == printed
    assert "over 4 commits" in printed[1].read_text()


def test_filters_reach_the_figure(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--benchmark", "time_", "--machine", "ci", "--since", hashes(4)[2][:8]]
    paths = ["--dataset", str(dataset), "--into", str(tmp_path)]
    assert main(["plot", *paths, *arguments, "--format", "svg"]) == 0
    (path,) = capsys.readouterr().out.split()
    svg = Path(path).read_text()
    assert "over 2 commits" in svg
    assert "machine ci" in svg
    assert ">laptop<" not in svg


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--since", "2031-01-01"],
            "{dataset}: no rows match; `sparsebench show` lists what there is",
        ),
        (["--since", "last week"], "--since: unknown date or commit 'last week'; known: "),
        (["--machine", "cj"], "unknown machine 'cj'; near: ci"),
        (["--benchmark", "nothing"], "unknown benchmark 'nothing'; known: step.Short.time_step"),
        (["--format", "gif"], "Invalid value for '--format': 'gif' is not one of 'png', 'svg'."),
        (["--dataset", "nowhere"], "nowhere: no such dataset; `sparsebench ingest` makes one"),
        (
            ["--into", "{dataset}/rows.parquet"],
            "{dataset}/rows.parquet/step.Short.time_step.png: cannot",
        ),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    dataset: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.format(dataset=dataset) for argument in arguments]
    assert main(["plot", "--dataset", str(dataset), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sparsebench: " + line.format(dataset=dataset))
    assert captured.err.count("\n") == 1


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", "--help"]) == 0
    assert "\n    sparsebench plot --machine ci --since" in capsys.readouterr().out
