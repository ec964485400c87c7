"""What every page of one site knows: whose results these are, and which pages there are."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from sparsebench.report.site.commits import CommitLinks


@dataclass(frozen=True)
class About:
    """One site.

    Attributes:
        title: the projects' names.
        dataset: as the command line named it, for the commands beside the figures.
        links: where commits can be seen.
        menu: path and title of the pages that every page links to.
        version: of sparsebench.
    """

    title: str
    dataset: str
    links: CommitLinks
    menu: tuple[tuple[str, str], ...]
    version: str

    def command(self, verb: str, benchmarks: Iterable[str], *options: str) -> str:
        """Return the command line that makes a figure, ready to paste into a shell."""
        names = sorted(re.escape(name) for name in set(benchmarks))
        either = names[0] if len(names) == 1 else f"({'|'.join(names)})"
        chosen = ["--dataset", self.dataset, "--benchmark", f"^{either}$"]
        return shlex.join(["sparsebench", verb, *chosen, *options])

    def plain_command(self, verb: str, *arguments: str) -> str:
        """Return a command line over all benchmarks of the dataset."""
        return shlex.join(["sparsebench", verb, *arguments, "--dataset", self.dataset])
