import pandas as pd
import pytest

from sparsebench.analysis.sides import Sides, choose_sides, with_known_builds
from sparsebench.errors import SparsebenchError
from tests.synthetic import SHORT, history


def rows(**axes: list[str]) -> pd.DataFrame:
    return history(commits=1, axes={"case": SHORT[:1], **axes}, machines=["laptop"])


BOTH = rows(device=["cpu"], implementation=["sparsebench", "torch.ao"], weights=["ones", "random"])


@pytest.mark.parametrize(
    ("names", "by", "sides"),
    [
        (("torch.ao", "sparsebench"), None, Sides("implementation", "torch.ao", "sparsebench")),
        (("random", "ones"), "weights", Sides("weights", "random", "ones")),
        ((), "weights", Sides("weights", "ones", "random")),
    ],
)
def test_the_column_is_found_and_the_order_kept(
    names: tuple[str, ...], by: str | None, sides: Sides
) -> None:
    assert choose_sides(BOTH, names, by) == sides


def test_two_devices_need_no_names() -> None:
    assert choose_sides(rows(device=["cpu", "cuda"]), (), None) == Sides("device", "cpu", "cuda")


INSTEAD = (
    "compare instead: `sparsebench devices --by implementation sparsebench torch.ao`, "
    "`sparsebench devices --by weights ones random`"
)


@pytest.mark.parametrize(
    ("frame", "names", "by", "line"),
    [
        (
            BOTH, (), None,
            "--by device: needs two to compare, the results hold only cpu; "
            f"measure and ingest another, or {INSTEAD}",
        ),
        (
            rows(device=["cpu"]), (), None,
            "--by device: needs two to compare, the results hold only cpu; measure and ingest "
            "another, or run the suite on a second machine: no column has two values yet",
        ),
        (
            BOTH, ("cpu", "cuda"), None,
            "unknown side 'cuda'; near: cpu; others: 2.13.0, 3.11, laptop, ones, random, "
            f"sparsebench, torch.ao; {INSTEAD}",
        ),
        (BOTH, ("ones", "randm"), "weights", "unknown weights 'randm'; near: random; others: ones"),
        (
            BOTH, ("ones", "cpu"), None,
            "devices: both sides must be of one kind, got ones (of weights) and cpu (of device)",
        ),
        (BOTH, ("ones",), None, "devices: must be given two different names, or none, got ones"),
        (BOTH, ("a", "a"), None, "devices: must be given two different names, or none, got a a"),
        (
            rows(device=["cpu", "cuda", "mps"]), (), None,
            "--by device: must name two of cpu, cuda, mps; "
            "for example `sparsebench devices cpu cuda`",
        ),
        (
            rows(device=["a", "b"], weights=["a", "b"]), ("a", "b"), None,
            "a, b: found in device, weights; give --by",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_reported_in_one_line(
    frame: pd.DataFrame, names: tuple[str, ...], by: str | None, line: str
) -> None:
    with pytest.raises(SparsebenchError) as error:
        choose_sides(frame, names, by)
    assert str(error.value) == line


def test_a_version_may_lack_its_build_and_its_last_parts() -> None:
    frame = rows(torch=["2.11.0+cu130", "2.13.0+cpu", "2.13.1"])
    frame["torch"] = ["2.11.0+cu130", "2.13.0+cpu", "2.13.1"]
    expected = Sides("torch", "2.11.0+cu130", "2.13.0+cpu")
    assert choose_sides(frame, ("2.11.0", "2.13.0"), "torch") == expected
    assert choose_sides(frame, ("2.11", "2.13.0"), None) == expected
    with pytest.raises(SparsebenchError, match=r"^2.13: must be one of 2.13.0\+cpu, 2.13.1$"):
        choose_sides(frame, ("2.11", "2.13"), "torch")
    with pytest.raises(SparsebenchError, match=r"unknown torch '2\.1'"):
        choose_sides(frame, ("2.1", "2.13.1"), "torch")


def test_a_declared_version_is_the_recorded_build_of_it_unless_there_are_two() -> None:
    frame = rows(n=["1", "2", "3", "4"])
    frame["torch"] = ["2.13.0", "2.13.0+cpu", "2.11.0", None]
    known = with_known_builds(frame)["torch"]
    assert known.tolist()[:3] == ["2.13.0+cpu", "2.13.0+cpu", "2.11.0"]
    frame["torch"] = ["2.13.0", "2.13.0+cpu", "2.13.0+cu130", None]
    assert with_known_builds(frame)["torch"].tolist()[0] == "2.13.0"
