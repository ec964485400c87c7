"""Every path gives the golden digests, and a mask that differs is reported."""

from pathlib import Path

import pytest

from sparsebench.pruning.kernels import CPU_PATHS
from tests import golden

LARGE = "shape=4096x4096,level=1,block=1x4,zeros=2"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the table, which replaces the table."""
    path = tmp_path / "golden_digests.tsv"
    path.write_text(golden.TABLE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(golden, "TABLE", path)
    return path


def test_the_table_has_every_mask_of_the_grid() -> None:
    digests = golden.read()
    assert set(digests) == set(golden.golden_masks(golden.GRIDS))
    assert all(len(digest) == golden.DIGITS for digest in digests.values())


@pytest.mark.parametrize("path", CPU_PATHS)
def test_the_seed_grid_has_its_golden_digests(path: str) -> None:
    report = golden.verify(golden.read(), ["short", "long"], "cpu", path)
    assert report == golden.DigestReport(compared=291 * 2 * 4, different=[])


def test_a_large_mask_has_its_golden_digest() -> None:
    mask = golden.GoldenMask(LARGE, "random", "float32")
    assert golden.by_step(mask, "cpu", "torch") == golden.read()[mask]


def test_the_oracle_reproduces_the_table(table: Path) -> None:
    before = table.read_bytes()
    lines = before.splitlines(keepends=True)
    table.write_bytes(lines[0] + b"".join(lines[7:]))
    assert golden.main(["--grid", "short", "--rebuild"]) == 0
    assert table.read_bytes() == before


def test_a_changed_digest_is_reported(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("adc457c8fe1d7daf", "0" * 16, 1), encoding="utf-8")
    assert golden.main(["--grid", "short"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "shape=32x16,level=0.3,block=4x1,zeros=2 random float16: "
        "expected 0000000000000000, got adc457c8fe1d7daf",
        "24 masks on cpu: 1 differ",
    ]


def test_bad_input_is_reported_in_one_line(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden, "is_interpreted", lambda: False)  # other tests may interpret
    assert golden.main(["--device", "cuda", "--implementation", "compiled"]) == 2
    assert golden.main(["--implementation", "triton"]) == 2
    assert golden.main(["--grid", "tiny"]) == 2
    table.write_text("\t".join(golden.COLUMNS) + "\n", encoding="utf-8")
    assert golden.main(["--grid", "short"]) == 2
    table.write_text("case\n", encoding="utf-8")
    assert golden.main(["--grid", "short"]) == 2
    table.unlink()
    assert golden.main(["--grid", "short"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 6
    assert "triton computes on cuda, got --device=cpu" in errors[1]
    assert "--rebuild" in errors[3]
    assert "first line must be" in errors[4]
    assert "No such file" in errors[5]
