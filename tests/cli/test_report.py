import html
import re
import shlex
from pathlib import Path

import pytest

from sparsebench.cli import main
from sparsebench.project.commits import web_address
from tests.synthetic import hashes, history, write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(history(commits=3), tmp_path / "parquet")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the folder of the history cache to a temporary one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def report(dataset: Path, *arguments: str) -> int:
    into = str(dataset.parent / "site")
    return main(["report", "--dataset", str(dataset), "--into", into, *arguments])


def test_the_site_is_written_and_its_first_page_printed(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(dataset, "--commit-url", "https://example.org/c/") == 0
    out, err = capsys.readouterr()
    index = dataset.parent / "site" / "index.html"
    assert out == f"{index}\n"
    assert err == "4 pages, 1 picture drawn, 0 reused\n"
    page = (dataset.parent / "site" / "benchmarks" / "step.Short.time_step.html").read_text()
    assert f'<a href="https://example.org/c/{hashes(3)[2]}">{hashes(3)[2][:8]}</a>' in page
    assert f"sparsebench plot --dataset {dataset} --benchmark" in page


def test_since_limits_the_pages_to_later_commits(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(dataset) == 0
    assert report(dataset, "--since", hashes(3)[1]) == 0
    assert "1 picture drawn, 0 reused" in capsys.readouterr().err.splitlines()[-1]
    page = (dataset.parent / "site" / "benchmarks" / "step.Short.time_step.html").read_text()
    assert "2 commits" in page


def test_the_commands_in_the_pages_work_as_printed(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert report(dataset) == 0
    monkeypatch.chdir(tmp_path)
    pages = (dataset.parent / "site").rglob("*.html")
    printed = {
        html.unescape(command)
        for page in pages
        for command in re.findall(r'class="command"><code>(.*?)</code>', page.read_text())
    }
    verbs = [shlex.split(command) for command in sorted(printed)]
    assert {arguments[:2][-1] for arguments in verbs} >= {"plot", "show"}
    for program, *arguments in verbs:
        assert program == "sparsebench"
        assert main(arguments) == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--commit-url", "javascript:alert(1)//"],
            "--commit-url: must begin with https:// or http:// and hold no blanks, got "
            "'javascript:alert(1)//'",
        ),
        (["--benchmark", "nothing"], "unknown benchmark 'nothing'"),
        (["--since", "2030-01-01"], "no rows match; `sparsebench show` lists what there is"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    dataset: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(dataset, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1
    assert not (dataset.parent / "site").exists()


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("git@github.com:owner/repo.git", "https://github.com/owner/repo/commit/"),
        ("https://user:token@example.org/o/r.git", "https://example.org/o/r/commit/"),
        ("ssh://git@example.org:2222/o/r", "https://example.org/o/r/commit/"),
        ("https://github.com/o/r", "https://github.com/o/r/commit/"),
        ("/srv/git/repo.git", None),
        ("../repo", None),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_a_remote_becomes_a_web_address_without_credentials(
    remote: str, address: str | None
) -> None:
    assert web_address(remote) == address
