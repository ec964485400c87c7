"""Which package may import which, and what must stay light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sparsebench"

# package: the packages of sparsebench it may import, and the third-party ones
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "pruning": (set(), {"torch", "numpy", "numba", "llvmlite", "triton"}),
    "results": (set(), {"pyarrow", "pandas", "numpy", "packaging"}),
    "stats": (set(), {"numpy", "scipy", "ruptures"}),  # ruptures: its change point search
    "project": ({"results"}, {"asv", "packaging"}),
    "analysis": ({"project", "results", "stats"}, {"numpy", "pandas"}),
    "gate": ({"project", "results", "stats"}, {"numpy", "asv_runner", "pyarrow"}),
    "report": (
        {"analysis", "gate", "project", "results", "stats"},
        {"numpy", "pandas", "pyarrow", "matplotlib", "seaborn", "rich", "jinja2"},
    ),
    "cli": (
        {"results", "stats", "project", "analysis", "gate", "report"},
        {"click", "rich", "pandas", "numpy", "pyarrow"},
    ),
}
PUBLIC = {"sparsebench.pruning.kernels.only", "sparsebench.pruning.kernels.CPU_PATHS"}
BENCHMARKS = ({"pruning"}, {"torch", "numpy", "benchmarks"})


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(path: Path, package: str, own_packages: set[str], packages: set[str]) -> list[str]:
    own = {package, "errors", "__version__"}
    if package not in ("", "pruning"):
        own |= {"files", "executor", "recorder"}  # what the tools share
    wrong = []
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "sparsebench":
            if rest and rest.split(".")[0] not in own | own_packages:
                wrong.append(name)
        elif first not in packages and first not in sys.stdlib_module_names:
            wrong.append(name)
    return wrong


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def test_every_package_is_listed() -> None:
    own_packages = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert own_packages == set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_package_imports_only_what_it_may(package: str) -> None:
    own_packages, packages = ALLOWED[package]
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in sources(PACKAGE / package)
        if (found := violations(path, package, own_packages, packages))
    }
    assert wrong == {}


def test_benchmarks_import_the_public_names_only() -> None:
    own_packages, packages = BENCHMARKS
    for path in sources(ROOT / "benchmarks"):
        assert violations(path, "", own_packages, packages) == [], path
        deep = [
            n for n in imports(path) if n.startswith("sparsebench.pruning.") and n.count(".") > 2
        ]
        assert set(deep) <= PUBLIC, path


def test_the_gates_worker_depends_on_asv_runner_alone() -> None:
    """It runs in the measured project's environment, where nothing else of ours is."""
    worker = PACKAGE / "gate" / "worker.py"
    assert not [name for name in imports(worker) if name.startswith("sparsebench")]
    assert violations(worker, "", set(), {"asv_runner"}) == []
    others = [path for path in sources(PACKAGE / "gate") if path != worker]
    assert not [p for p in others if any(n.startswith("asv_runner") for n in imports(p))]


def private_imports(path: Path) -> list[str]:
    """Names of sparsebench with a leading underscore that a module imports from another one."""
    return [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sparsebench")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


def test_no_private_name_is_imported(tmp_path: Path) -> None:
    folders = ("sparsebench", "benchmarks", "studies", "tests")
    paths = [path for folder in folders for path in sources(ROOT / folder)]
    assert {str(p): names for p in paths if (names := private_imports(p))} == {}
    bad = tmp_path / "bad.py"
    bad.write_text("from sparsebench.stats.rounds import _logs, round_error\n")
    assert private_imports(bad) == ["sparsebench.stats.rounds._logs"]


def test_a_forbidden_import_is_found(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import torch\nfrom sparsebench.report import units\nimport json\n")
    found = violations(path, "results", set(), {"pyarrow"})
    assert found == ["torch", "sparsebench.report", "sparsebench.report.units"]


def test_nothing_of_torch_ao_is_imported_with_the_package() -> None:
    code = "import sparsebench.pruning, sys; print([m for m in sys.modules if 'torch.ao' in m])"
    with_torch = "import torch, sys; print([m for m in sys.modules if 'torch.ao' in m])"
    assert run(code) == run(with_torch)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["shwo"]])
def test_the_command_line_is_light_until_a_verb_is_called(arguments: list[str]) -> None:
    code = (
        "import sys; from sparsebench.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pyarrow', 'asv'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    assert run(code).splitlines()[-1] == "heavy: []"


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
