"""The settings of an asv project, from asv.conf.json and pyproject.toml."""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asv.config import Config
from asv.environment import get_environments
from asv.plugin_manager import plugin_manager  # noqa: F401  # its import registers virtualenv
from asv.util import UserError
from packaging.version import InvalidVersion, Version

from sparsebench.errors import SparsebenchError, unknown_name
from sparsebench.results.asv.context import find_config

_RECIPE = ("repo_subdir", "build_command", "install_command", "uninstall_command")
_FOLDERS = ("benchmark_dir", "env_dir", "results_dir", "html_dir")
_INSTALLED_TORCH = "from importlib.metadata import version; print(version('torch'))"


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
        environments: asv's names of the environments to measure in, by default of its matrix.
        grids: name to the regular expression over asv's benchmark names.
        config: the configuration that asv reads; None: ``asv.conf.json`` in ``root``.
        existing: name of each environment that asv does not make, to the path of its interpreter.
        torch: name of each environment to its PyTorch version, if `with_torch` chose it.
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
    config: Path | None = None
    existing: dict[str, str] = field(default_factory=dict)
    torch: dict[str, str] = field(default_factory=dict)

    def grid(self, name: str) -> str:
        """Return the regular expression of a named grid.

        Raises:
            SparsebenchError: no such grid.
        """
        if name not in self.grids:
            unknown = unknown_name("grid", name, self.grids)
            raise SparsebenchError(f"pyproject.toml, [tool.sparsebench.grids]: {unknown}")
        return self.grids[name]

    def specifier(self, environment: str) -> str:
        """Return what asv's option ``--environment`` takes for one of ``environments``."""
        python = self.existing.get(environment)
        return f"existing:{python}" if python else environment

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


def with_torch(project: Project, choices: Sequence[str]) -> Project:
    """Return the project with environments of these PyTorch versions instead of its own.

    asv has to read a copy of asv.conf.json, which is written below ``.asv/torch``. Names and
    folders of environments and results stay, so that the series of a version goes on.

    Args:
        project: the project with the environments of its matrix.
        choices: versions, where 2.11 means 2.11.0, and paths of Python interpreters, which contain
            a slash. The environment that an interpreter belongs to is measured as it is.

    Raises:
        SparsebenchError: a bad or repeated choice, an interpreter without torch, a matrix without
            torch, or one that excludes a version.
    """
    path = project.root / "asv.conf.json"
    config: Any = Config.load(str(path))
    requirements = config.matrix.get("req", config.matrix)
    key = next((key for key in ("torch", "pip+torch") if key in requirements), "torch")
    versions = _versions([item for item in choices if "/" not in item], requirements.get(key))
    pythons = [str(Path(item).absolute()) for item in choices if "/" in item]  # keep links
    names = [*versions, *pythons]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise SparsebenchError(f"--torch: must be different versions, got {repeated} twice")
    if versions and key not in requirements:
        raise SparsebenchError(
            f"{path}: must have torch in its matrix for --torch to replace, got a matrix of "
            f"{', '.join(requirements) or 'nothing'}"
        )
    if versions:
        requirements[key] = versions
    copy = project.root / ".asv" / "torch" / "-".join(versions or ["existing"]) / "asv.conf.json"
    _write_copy(config, project, copy)
    matrix = list(get_environments(config, None, verbose=False)) if versions else []
    torch = {environment.name: environment.requirements[key] for environment in matrix}
    if excluded := set(versions) - set(torch.values()):
        raise SparsebenchError(
            f"{path}: must not exclude versions of --torch, excludes {', '.join(sorted(excluded))}"
        )
    existing = {}
    for python in pythons:
        torch_there = _installed_torch(python)
        (environment,) = get_environments(config, [f"existing:{python}"], verbose=False)
        existing[environment.name] = python
        torch[environment.name] = f"{torch_there} in {python}"
    return replace(project, config=copy, environments=tuple(torch), existing=existing, torch=torch)


def _versions(texts: Sequence[str], declared: object) -> list[str]:
    """Return each version as the matrix writes it, or else with at least three numbers."""
    spelled: dict[Version, str] = {}
    for pin in declared if isinstance(declared, list) else [declared]:
        with suppress(InvalidVersion):  # None and "", which mean the newest
            spelled[Version(str(pin))] = str(pin)
    versions = []
    for text in texts:
        try:
            version = Version(text)
        except InvalidVersion:
            raise SparsebenchError(
                "--torch: must be a version such as 2.13, or the path of a Python interpreter with "
                f"a slash, got {text!r}"
            ) from None
        full = ".".join(map(str, (*version.release, 0, 0)[: max(3, len(version.release))]))
        versions.append(spelled.get(version, str(version).replace(version.base_version, full, 1)))
    return versions


def _write_copy(config: Any, project: Project, copy: Path) -> None:
    """Write ``config`` for asv, which changes into the folder of ``copy``: paths are absolute."""
    config.repo = str(project.repository)
    config.branches = ["HEAD"]  # asv measures an existing environment once for each branch
    config.include = []  # environments with versions of their own
    for name in _FOLDERS:
        setattr(config, name, str((project.root / getattr(config, name)).resolve()))
    environment_file = project.root / (config.conda_environment_file or "environment.yml")
    if environment_file.is_file():
        config.conda_environment_file = str(environment_file)
    text = json.dumps({"version": Config.api_version, **vars(config)}, indent=4)
    root = json.dumps(shlex.quote(str(project.root)))[1:-1]
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text.replace("{conf_dir}", root), encoding="utf-8")


def _installed_torch(python: str) -> str:
    """Return the version of torch in the environment of an interpreter."""
    command = [python, "-c", _INSTALLED_TORCH]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        raise SparsebenchError(
            f"--torch: must be a Python interpreter that has torch installed, got {python!r}"
        ) from None


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
