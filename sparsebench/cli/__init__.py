"""The command line: one module per verb, imported only when that verb is called.

Exit codes: 0 done, 1 regression or changed result, 2 bad input or nothing measured, 3 undecided,
130 interrupted.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TextIO

import click

from sparsebench import __version__
from sparsebench.errors import SparsebenchError, SparsebenchWarning, unknown_name

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # the shell's code for a process that SIGPIPE ended

VERBS = {
    "bench": "Run asv over commits, store the results, draw them, print a summary.",
    "gate": "Compare two commits by paired measurement, for CI.",
    "calibrate": "Measure the gate's error rates on this machine.",
    "bisect": "Find the commit that caused a regression, by paired gates.",
    "ingest": "Read asv results into the Parquet dataset.",
    "compact": "Merge the dataset's small files.",
    "export": "Write the dataset as CSV, JSON lines or asv result files.",
    "show": "Print a filtered table of the dataset.",
    "plot": "Draw regression plots: value against commit.",
    "history": "List regressions and improvements over commits.",
    "devices": "Compare two devices, machines, implementations or torch versions.",
    "report": "Render a static site of the results.",
}


class _Verbs(click.Group):
    """A group that imports ``sparsebench.cli.<verb>`` when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command = import_module(f"sparsebench.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise SparsebenchError(unknown_name("verb", args[0], VERBS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sparsebench")
def command() -> None:
    """Measure, store, compare and show benchmark results of sparsity masks or any asv project.

    Only bench, gate, calibrate and bisect measure; the other verbs work on stored results.
    `sparsebench VERB --help` shows examples. Exit codes: 0 done, 1 regression or changed result, 2
    bad input or nothing measured, 3 undecided, 130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; errors and warnings are lines on stderr."""
    try:
        with _warnings_as_lines():
            code = command.main(args=argv, prog_name="sparsebench", standalone_mode=False)
            sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        return _print_error(error.format_message(), prefix="")
    except click.ClickException as error:
        return _print_error(error.format_message())
    except SparsebenchError as error:
        return _print_error(str(error))
    except (BrokenPipeError, SystemExit):
        # `sparsebench show | head` closes the pipe. click turns the error into SystemExit(1), the
        # only one that it raises here, and 1 would mean a regression.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _print_error(f"{where}{error.strerror or error}")
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted; what was stored is kept, the same command continues")
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print sparsebench's warnings as one line each, and all others as Python does."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", SparsebenchWarning)
        default = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, SparsebenchWarning):
                _print_error(str(message))
            else:
                default(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _print_error(message: str, prefix: str = "sparsebench: ") -> int:
    print(f"{prefix}{message}", file=sys.stderr)
    return EXIT_BAD_INPUT
