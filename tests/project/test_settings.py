"""Finding and reading an asv project's settings, and choosing its PyTorch versions."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.project.settings import Project, load_project, with_torch

ROOT = Path(__file__).parents[2]
MINIMAL = '{"version": 1, "project": "x", "repo": ".", "environment_type": "virtualenv"}'


def test_our_own_project_is_found_from_a_folder_inside() -> None:
    project = load_project(ROOT / "benchmarks")
    assert (project.root, project.name, project.repository) == (ROOT, "sparsebench", ROOT)
    assert project.results == ROOT / "results" / "asv"
    assert len(project.environments) == 1
    assert "torch2.13.0" in project.environments[0]
    assert project.grid("short") == r"\.Short(CUDA)?\."


def test_an_unknown_grid_names_the_near_one() -> None:
    with pytest.raises(
        SparsebenchError, match=r"sparsebench\.grids\]: unknown grid 'shrot'; near: short"
    ):
        load_project(ROOT).grid("shrot")


def test_outside_of_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SparsebenchError, match=r"no asv\.conf\.json here or above"):
        load_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"asv\.conf\.json: must be a valid asv configuration"),
        ('{"version": 1, "project": "x"}', r"asv\.conf\.json: must be a valid asv configuration"),
        (
            '{"version": 1, "project": "x", "repo": "."}',
            "must be a valid asv configuration; Environment type must be specified",
        ),
        (
            '{"version": 1, "project": "x", "environment_type": "virtualenv",'
            ' "repo": "https://example.invalid/x.git"}',
            "repo must be a local folder to measure",
        ),
    ],
)
def test_a_bad_configuration_is_reported_by_its_path(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "asv.conf.json").write_text(text)
    with pytest.raises(SparsebenchError, match=message):
        load_project(tmp_path)


def test_a_project_without_grids_has_none(tmp_path: Path) -> None:
    (tmp_path / "asv.conf.json").write_text(MINIMAL)
    project = load_project(tmp_path)
    assert project.grids == {}
    with pytest.raises(SparsebenchError, match="unknown grid 'short'; known: none"):
        project.grid("short")


def test_a_broken_pyproject_is_reported_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "asv.conf.json").write_text(MINIMAL)
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(SparsebenchError, match=r"pyproject\.toml: must be valid TOML"):
        load_project(tmp_path)


def make_project(folder: Path, **settings: Any) -> Project:
    """Return the project of an asv.conf.json with these settings; its default matrix has torch."""
    default = {"matrix": {"req": {"torch": ["2.13.0"], "numpy": ["2.4.6"]}}}
    config = {**json.loads(MINIMAL), **default, **settings}
    (folder / "asv.conf.json").write_text(json.dumps(config))
    return load_project(folder)


def chosen(project: Project) -> Any:
    """Return the configuration that asv is to read."""
    assert project.config is not None
    return json.loads(project.config.read_text())


def test_chosen_versions_replace_that_of_the_matrix_and_keep_its_environment(
    tmp_path: Path,
) -> None:
    pinned = make_project(tmp_path)
    project = with_torch(pinned, ["2.11", "2.13"])
    assert list(project.torch.values()) == ["2.11.0", "2.13.0"]
    older, newer = project.environments
    assert newer == pinned.environments[0]
    assert older == newer.replace("torch2.13.0", "torch2.11.0")
    assert project.specifier(older) == older
    assert chosen(project)["matrix"]["req"] == {"torch": ["2.11.0", "2.13.0"], "numpy": ["2.4.6"]}
    assert pinned.config is None  # asv reads the project's own


def test_the_copy_of_the_configuration_means_the_same_from_its_own_folder(tmp_path: Path) -> None:
    root = tmp_path / "a folder"
    root.mkdir()
    (root / "environment.yml").touch()
    project = make_project(
        root,
        results_dir="results/asv",
        build_command=["python {conf_dir}/build.py {build_dir}"],
        include=[{"python": "3.11", "req": {"torch": "2.0.0"}}],
    )
    copy = with_torch(project, ["2.11"])
    assert copy.config == root / ".asv" / "torch" / "2.11.0" / "asv.conf.json"
    config = chosen(copy)
    folders = {name: config[name] for name in ("repo", "benchmark_dir", "env_dir", "results_dir")}
    assert folders == {
        "repo": str(root),
        "benchmark_dir": str(root / "benchmarks"),
        "env_dir": str(root / "env"),
        "results_dir": str(root / "results" / "asv"),
    }
    assert config["conda_environment_file"] == str(root / "environment.yml")
    assert config["build_command"] == [f"python '{root}'/build.py {{build_dir}}"]
    assert len(copy.environments) == 1  # not that of include
    assert load_project(copy.config.parent).environments == copy.environments


@pytest.mark.parametrize(
    ("choice", "spelled"),
    [
        ("2.11.1", "2.11.1"),
        ("2.11+cpu", "2.11.0+cpu"),
        ("2.12rc1", "2.12.0rc1"),
        ("2.13.0", "2.13"),
        ("2.13", "2.13"),
    ],
)
@pytest.mark.parametrize("matrix", [{"torch": "2.13"}, {"req": {"pip+torch": ["", "2.13"]}}])
def test_a_version_has_three_numbers_or_is_as_in_the_matrix(
    choice: str, spelled: str, matrix: dict[str, Any], tmp_path: Path
) -> None:
    project = with_torch(make_project(tmp_path, matrix=matrix), [choice])
    assert list(project.torch.values()) == [spelled]
    assert f"torch{spelled}" in project.environments[0]


@pytest.mark.parametrize(
    ("choices", "settings", "message"),
    [
        (["abc"], {}, r"--torch: must be a version such as 2\.13, .* got 'abc'"),
        ([""], {}, "--torch: must be a version .* got ''"),
        (["2.13", "2.13.0"], {}, r"--torch: must be different versions, got 2\.13\.0 twice"),
        (["2.13"], {"matrix": {}}, r"asv\.conf\.json: must have torch .* matrix of nothing"),
        (["2.13"], {"matrix": {"req": {"numpy": []}}}, "must have torch .* matrix of numpy"),
        (
            ["2.11", "2.13"],
            {"exclude": [{"req": {"torch": "2.11.0"}}]},
            r"must not exclude versions of --torch, excludes 2\.11\.0",
        ),
        (
            ["./python"],
            {},
            "must be a Python interpreter that has torch installed, got '/.*python'",
        ),
        (["/bin/false"], {}, "must be a Python interpreter that has torch installed"),
    ],
)
def test_versions_that_cannot_be_measured_are_refused(
    choices: list[str], settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    project = make_project(tmp_path, **settings)
    with pytest.raises(SparsebenchError, match=message):
        with_torch(project, choices)


@pytest.mark.parametrize("matrix", [{}, {"env": {"THREADS": ["1"]}}])
def test_the_environment_of_an_interpreter_needs_no_torch_in_the_matrix(
    matrix: dict[str, Any], tmp_path: Path
) -> None:
    project = with_torch(make_project(tmp_path, matrix=matrix), [sys.executable])
    (name,) = project.environments
    assert project.torch == {name: f"{version('torch')} in {sys.executable}"}
    assert project.specifier(name) == f"existing:{sys.executable}"
    assert chosen(project)["branches"] == ["HEAD"]
