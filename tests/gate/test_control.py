"""What the control blocks say about the machine, in words that fit either direction."""

import pytest

from sparsebench.gate.control import doubts
from sparsebench.gate.record import Control


def controls(*pairs: tuple[float, float]) -> list[Control]:
    return [Control(number, base, head) for number, (base, head) in enumerate(pairs)]


def test_an_even_machine_has_no_notes() -> None:
    assert doubts(controls(*[(1.0, 1.0)] * 8)) == []


@pytest.mark.parametrize(("head", "words"), [(1.04, "4.0% slower"), (0.96, "4.0% faster")])
def test_unequal_sides_are_reported(head: float, words: str) -> None:
    (note,) = doubts(controls(*[(1.0, head)] * 8))
    assert note.startswith(f"the same work was {words} in head's processes than in base's; ")


@pytest.mark.parametrize(
    ("first", "last", "words"), [(1.0, 1.2, "20% slower"), (1.2, 1.0, "17% faster")]
)
def test_a_drift_is_reported(first: float, last: float, words: str) -> None:
    notes = doubts(controls(*[(first, first)] * 4, *[(last, last)] * 4))
    assert f"the machine became {words} from the first to the last quarter" in notes
