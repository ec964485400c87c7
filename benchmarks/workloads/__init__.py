"""The grid of cases, seeded weights, the workload of a case, and digests of its mask.

A case in (`grid`), a model with a prepared sparsifier out (`workload`). Read `grid` first.
"""
