"""Numbered footnotes: one number a text, however many cases share it."""

from collections.abc import Iterable
from typing import Final

_SUPERSCRIPT: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Footnotes:
    """The texts that were marked so far, in the order of their numbers."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """The texts' numbers, new ones for texts that had none."""
        return [self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts]

    def mark(self, texts: Iterable[str]) -> str:
        """The texts' numbers as a superscript, "" for no text."""
        return ",".join(superscript(number) for number in self.numbers(texts))

    def listed(self) -> list[tuple[int, str]]:
        """Every number with its text."""
        return [(number, text) for text, number in self._numbers.items()]


def superscript(number: int) -> str:
    """Return the number in raised digits."""
    return str(number).translate(_SUPERSCRIPT)
