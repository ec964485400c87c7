"""Frames of stored results in, findings out; draws and prints nothing.

History (change points), comparison of machines, break-even, latest values. Read `history.survey`
or `comparison` first.
"""
