"""Findings as figures: one module per figure; `canvas` has the style and the files."""
