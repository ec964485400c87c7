"""What a project says about itself, in asv.conf.json and in pyproject.toml."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asv.config import Config
from asv.environment import get_environments
from asv.plugin_manager import plugin_manager  # noqa: F401  # its import registers virtualenv
from asv.util import UserError

from sparsebench.errors import SparsebenchError, unknown_name

_RECIPE = ("repo_subdir", "build_command", "install_command", "uninstall_command")


@dataclass(frozen=True)
class Project:
    """An asv project.

    Attributes:
        root: the folder of ``asv.conf.json``.
        name: as asv has it.
        repository: the git repository that is measured.
        results: asv's results folder.
        benchmarks: the folder that asv reads benchmarks from.
        recipe: the settings that decide what an installed commit looks like, as one text.
        timeout: seconds that a benchmark may take which declares nothing else.
        environments: asv's names of the environments in its matrix.
        grids: named choices of benchmarks, each a regular expression over asv's benchmark names.
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
        """The regular expression of a named grid.

        Raises:
            SparsebenchError: no such grid.
        """
        if name not in self.grids:
            unknown = unknown_name("grid", name, self.grids)
            raise SparsebenchError(f"pyproject.toml, [tool.sparsebench.grids]: {unknown}")
        return self.grids[name]

    def pattern(self, grid: str | None) -> str:
        """The same; of no name in particular ``short``, or everything where none is named.

        Raises:
            SparsebenchError: no such grid.
        """
        return self.grid(grid or "short") if grid or self.grids else "."


def load_project(start: Path) -> Project:
    """The asv project that ``start`` lies in.

    Raises:
        SparsebenchError: no asv.conf.json in ``start`` or above, or one that cannot be read, or a
            repository that is not a local folder.
    """
    root = next((p for p in (start, *start.parents) if (p / "asv.conf.json").is_file()), None)
    if root is None:
        raise SparsebenchError(
            f"{start}: must lie in an asv project, but no asv.conf.json is there or above"
        )
    path = root / "asv.conf.json"
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
    """``[tool.sparsebench.grids]``; none where the file or the table is missing."""
    if not path.is_file():
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SparsebenchError(f"{path}: must be valid TOML; {error}") from None
    grids = settings.get("tool", {}).get("sparsebench", {}).get("grids", {})
    return {str(name): str(pattern) for name, pattern in grids.items()}
