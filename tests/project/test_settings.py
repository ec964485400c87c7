"""Finding and reading an asv project's settings."""

from pathlib import Path

import pytest

from sparsebench.errors import SparsebenchError
from sparsebench.project.settings import load_project

ROOT = Path(__file__).parents[2]
MINIMAL = '{"version": 1, "project": "x", "repo": ".", "environment_type": "virtualenv"}'


def test_our_own_project_is_found_from_a_folder_inside() -> None:
    project = load_project(ROOT / "benchmarks")
    assert (project.root, project.name, project.repository) == (ROOT, "sparsebench", ROOT)
    assert project.results == ROOT / "results" / "asv"
    assert len(project.environments) == 1
    assert "torch2.13.0" in project.environments[0]
    assert project.grid("short") == r"\.Short\."


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
