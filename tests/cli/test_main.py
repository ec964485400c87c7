"""Help, unknown verbs, errors and exit codes of all verbs."""

import errno
import subprocess
import sys
import warnings

import click
import pytest

from sparsebench import cli
from sparsebench.errors import SparsebenchWarning


def test_help_lists_every_verb_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown for verb in cli.VERBS)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_shows_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"sparsebench {verb}") + shown.count(f"scripts/{verb}") >= 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["shwo"], "sparsebench: unknown verb 'shwo'; near: show"),
        (["show", "--lmit", "3"], "sparsebench: No such option '--lmit'."),
        (["show", "--limit", "x"], "Invalid value for '--limit'"),
        (["bench", "--grid", "short", "--bench", "x"], "--grid and --bench exclude each other"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "sparsebench: interrupted; what was stored is kept"),
        (OSError(errno.ENOSPC, "No space left on device", "x.parquet"), 2, "x.parquet: No space"),
        (OSError("odd"), 2, "sparsebench: odd"),
    ],
)
def test_an_error_of_a_verb_is_one_line(
    raised: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(**kwargs: object) -> None:
        raise raised

    monkeypatch.setattr(cli.command, "main", fails)
    assert cli.main([]) == code
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_a_programming_error_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.command, "main", fails)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_the_exit_code_of_a_verb_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.command, "main", lambda **kwargs: 3)
    assert cli.main([]) == 3
    assert isinstance(cli.command, click.Group)


def test_a_closed_pipe_ends_the_command_without_an_error() -> None:
    command = f"{sys.executable} -m sparsebench --help | true; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() in {"0", "141"}  # 0: all was written before the pipe closed
    assert ran.stderr == ""


def test_a_sparsebench_warning_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warns(**kwargs: object) -> None:
        warnings.warn("one file is damaged", SparsebenchWarning, stacklevel=1)

    monkeypatch.setattr(cli.command, "main", warns)
    assert cli.main([]) == 0
    assert capsys.readouterr().err == "sparsebench: one file is damaged\n"
