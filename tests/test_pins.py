"""One constraints file: whatever is pinned elsewhere is pinned alike."""

import re
import tomllib
from pathlib import Path

import json5
import pytest

ROOT = Path(__file__).parents[1]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)
ASV = json5.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("package", "versions"), ASV["matrix"]["req"].items())
def test_asv_environments_hold_the_pinned_versions(package: str, versions: list[str]) -> None:
    assert versions == [PINS[package]]


def test_every_dependency_is_pinned() -> None:
    declared = PROJECT["project"]["dependencies"]
    declared += PROJECT["project"]["optional-dependencies"]["dev"]
    names = [re.split(r"[<>=!~ ;\[]", line)[0] for line in declared]
    assert [name for name in names if name not in PINS] == []


def test_torch_is_the_version_that_was_measured() -> None:
    assert PINS["torch"] == "2.13.0"
