"""Findings as figures: one module per figure.

A module computes its figure's data and draws them. `canvas` has the style, the axes and the files
that all share; `layout` decides what becomes a panel or a colour. Read `break_even` first.
"""

from typing import Final

FORMATS: Final = ("png", "svg")  # of the files
