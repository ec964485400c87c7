"""The settings of an asv project, from asv.conf.json and pyproject.toml."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asv.config import Config
from asv.environment import get_environments
from asv.plugin_manager import plugin_manager  # noqa: F401  # its import registers virtualenv
from asv.util import UserError

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.results.asv.context import find_config

_RECIPE = ("repo_subdir", "build_command", "install_command", "uninstall_command")


@dataclass(frozen=True)
class Project:
    """An asv project.

    Attributes:
        root: the folder of ``asv.conf.json``.
        name: asv's name of the project.
        repository: the git repository that is measured.
        results: asv's results folder.
        benchmarks: the folder that asv reads benchmarks from.
        recipe: the settings that decide how a commit is built and installed, as one text.
        timeout: seconds per benchmark, unless it declares another one.
        environments: asv's names of the environments in its matrix.
        grids: name to the regular expression over asv's benchmark names.
    """

    root: Path
    name: str
    repository: Path
    results: Path
    benchmarks: Path
    recipe: str
    timeout: float
    environments: tuple[str, ...]
    grids: dict[str, str] = field(default_factory=dict)

    def grid(self, name: str) -> str:
        """Return the regular expression of a named grid.

        Raises:
            SparsebenchError: no such grid.
        """
        if name not in self.grids:
            unknown = unknown_name("grid", name, self.grids)
            raise SparsebenchError(f"pyproject.toml, [tool.sparsebench.grids]: {unknown}")
        return self.grids[name]

    def pattern(self, grid: str | None) -> str:
        """Return that of ``grid``, else of ``short``; that of all benchmarks if no grids exist.

        Raises:
            SparsebenchError: no such grid.
        """
        return self.grid(grid or "short") if grid or self.grids else "."


def load_project(start: Path) -> Project:
    """Return the asv project at ``start`` or above.

    Raises:
        SparsebenchError: no asv.conf.json in ``start`` or above, or one that cannot be read, or a
            repository that is not a local folder.
    """
    path = find_config(start)
    if path is None:
        raise SparsebenchError(
            f"{start}: must be in an asv project, but there is no asv.conf.json here or above"
        )
    root = path.parent
    try:
        config: Any = Config.load(str(path))
        environments = [env.name for env in get_environments(config, None, verbose=False)]
    except (UserError, ValueError, RuntimeError) as error:
        raise SparsebenchError(f"{path}: must be a valid asv configuration; {error}") from None
    repository = (root / config.repo).resolve()
    if not repository.is_dir():
        raise SparsebenchError(
            f"{path}: repo must be a local folder to measure, got repo={config.repo!r}"
        )
    results = (root / config.results_dir).resolve()
    grids = _grids(root / "pyproject.toml")
    return Project(
        root=root,
        name=config.project,
        repository=repository,
        results=results,
        benchmarks=(root / config.benchmark_dir).resolve(),
        recipe=repr([getattr(config, name) for name in _RECIPE]),
        timeout=float(config.default_benchmark_timeout),
        environments=tuple(environments),
        grids=grids,
    )


def _grids(path: Path) -> dict[str, str]:
    """Return ``[tool.sparsebench.grids]``; empty if the file or the table is missing."""
    if not path.is_file():
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SparsebenchError(f"{path}: must be valid TOML; {error}") from None
    grids = settings.get("tool", {}).get("sparsebench", {}).get("grids", {})
    return {str(name): str(pattern) for name, pattern in grids.items()}


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern, to be searched in ``name(parameters)`` as asv does.

    Raises:
        SparsebenchError: it is not a regular expression.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise SparsebenchError(
            f"--bench: must be a regular expression, got {pattern!r}: {error}"
        ) from None
