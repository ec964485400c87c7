"""Experiments behind documented figures: simulations, comparisons of methods, measurements.

`python -m studies.NAME --help` says what each one prints; the packages of sparsebench need none.
"""
