from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from sparsebench.errors import SparsebenchError
from sparsebench.report.figures import canvas


def ticks(values: list[float], unit: str | None) -> list[str]:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(range(len(values)), values)
    canvas.value_axis(axes, values, unit)
    figure.canvas.draw()
    low, high = axes.get_ylim()
    return [
        label.get_text()
        for label in axes.get_yticklabels()
        if low <= label.get_position()[1] <= high
    ]


@pytest.mark.parametrize(
    ("values", "unit", "printed"),
    [
        ([0.9e-3, 1.1e-3], "seconds", ["0.8 ms", "0.9 ms", "1 ms", "1.1 ms", "1.2 ms"]),
        ([1e-3, 5e-3], "seconds", ["0 ms", "2 ms", "4 ms"]),
        ([2**20, 3 * 2**20], "bytes", ["0 MiB", "1 MiB", "2 MiB", "3 MiB"]),
        (
            [1e-5, 1e-3],
            "seconds",
            ["10 µs", "20 µs", "50 µs", "100 µs", "200 µs", "500 µs", "1 ms"],
        ),
        ([1.0, 1.6], "ratio", ["1x", "1.2x", "1.4x", "1.6x"]),
    ],
)
def test_ticks_are_round_numbers_in_one_readable_unit(
    values: list[float], unit: str, printed: list[str]
) -> None:
    assert ticks(values, unit) == printed


def test_noise_of_one_percent_does_not_fill_an_axis() -> None:
    axes = Figure().add_subplot()
    canvas.value_axis(axes, [0.995, 1.005], "seconds")
    assert axes.get_ylim() == pytest.approx((0.8, 1.2))


def test_file_names_are_safe_and_all_different() -> None:
    names = canvas.safe_names(["step.Long.time_step", "../../x y", "A.b", "a.B", "x" * 300, ".."])
    assert names["step.Long.time_step"] == "step.Long.time_step"
    assert len({name.lower() for name in names.values()}) == 6
    for name in names.values():
        assert Path(name).name == name
        assert len(name) < 140
        assert not name.startswith(".")


def test_the_same_figure_gives_the_same_bytes_with_text_as_text(tmp_path: Path) -> None:
    files = []
    for folder in ("one", "two"):
        with canvas.style():
            figure = Figure(layout="constrained")
            figure.add_subplot().plot([1, 2], label="curve")
            canvas.surround(figure, "name", "about · it", ["a note"])
            files.append(
                canvas.save(figure, tmp_path / folder, "f", "1 < 2 & so on", ["png", "svg"])
            )
    assert [path.name for path in files[0]] == ["f.png", "f.svg"]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    svg = files[0][1].read_text()
    assert "<title>f</title>\n <desc>1 &lt; 2 &amp; so on</desc>" in svg
    assert ">about · it</text>" in svg
    assert "dc:date" not in svg
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["f.png", "f.svg"]


def test_style_restores_the_callers_settings() -> None:
    before = {name: mpl.rcParams[name] for name in mpl.rcParams}
    with canvas.style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert {name: mpl.rcParams[name] for name in mpl.rcParams} == before


def test_an_unknown_format_is_refused_with_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(SparsebenchError, match=r"--format: unknown format 'gif'; known: png, svg"):
        canvas.save(Figure(), tmp_path, "f", "", ["gif"])


def test_on_a_full_disk_the_error_names_the_file_and_the_old_one_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.png").write_text("old")

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        SparsebenchError, match=r"f\.png: cannot be written: No space left on device"
    ):
        canvas.save(Figure(), tmp_path, "f", "", ["png"])
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]
    assert (tmp_path / "f.png").read_text() == "old"
