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


def test_what_asv_installs_beside_is_the_pinned_version() -> None:
    (command,) = (line for line in ASV["install_command"] if "nvidia-ml-py" in line)
    assert command.endswith(f" nvidia-ml-py=={PINS['nvidia-ml-py']}")


def test_every_dependency_is_pinned() -> None:
    declared = PROJECT["project"]["dependencies"]
    extras = PROJECT["project"]["optional-dependencies"]
    declared += [*extras["dev"], "nvidia-ml-py"]  # triton is the one of torch's wheel
    names = [re.split(r"[<>=!~ ;\[]", line)[0] for line in declared]
    assert [name for name in names if name not in PINS] == []


def test_torch_is_the_version_that_was_measured() -> None:
    assert PINS["torch"] == "2.13.0"
