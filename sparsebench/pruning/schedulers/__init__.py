"""Schedulers: set the sparsity level of a sparsifier's groups over the epochs of training.

A prepared sparsifier in, a new `sparsity_level` per group and epoch. Read `base_scheduler` first.
"""

from sparsebench.pruning.schedulers.base_scheduler import BaseScheduler
from sparsebench.pruning.schedulers.cubic_scheduler import CubicSL
from sparsebench.pruning.schedulers.lambda_scheduler import LambdaSL

__all__ = ["BaseScheduler", "CubicSL", "LambdaSL"]
