"""A small asv project in a git repository, which asv itself builds and installs."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.conftest import git

CONFIG = {
    "version": 1,
    "project": "tiny",
    "repo": ".",
    "branches": ["HEAD"],
    "environment_type": "virtualenv",
    "launch_method": "forkserver",
    "build_command": [
        "python -m pip wheel --no-deps --no-build-isolation -w {build_cache_dir} {build_dir}"
    ],
    "install_command": [
        "in-dir={env_dir} python -m pip install --no-deps --force-reinstall {wheel_file}"
    ],
    "benchmark_dir": "benchmarks",
    "env_dir": ".asv/env",
    "results_dir": "results/asv",
}
SETUP = "from setuptools import setup; setup(name='tiny', version='1', py_modules=['tiny'])"


def make_project(
    folder: Path, benchmarks: str, grids: Iterable[str], commits: dict[str, str]
) -> None:
    """Make an asv project in ``folder``, with one tagged commit per text of its module ``tiny``.

    Args:
        folder: an empty folder.
        benchmarks: the text of benchmarks/suite.py.
        grids: names of benchmark classes; each is a grid of that name in lower case.
        commits: by tag, the text of ``tiny.py``, oldest first.
    """
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "__init__.py").write_text("")
    (folder / "benchmarks" / "suite.py").write_text(benchmarks)
    (folder / "asv.conf.json").write_text(json.dumps(CONFIG))
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        "[tool.sparsebench.grids]\n" + "".join(f'{g.lower()} = "{g}"\n' for g in grids)
    )
    (folder / "setup.py").write_text(SETUP)
    (folder / ".gitignore").write_text(".asv\nresults\nbuild\n*.egg-info\n__pycache__\n")
    for tag, text in commits.items():
        (folder / "tiny.py").write_text(text)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", tag)
        git(folder, "tag", tag)
