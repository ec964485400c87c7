"""Schedules of the sparsity level over the epochs of a training."""

from sparsebench.pruning.schedulers.base_scheduler import BaseScheduler
from sparsebench.pruning.schedulers.cubic_scheduler import CubicSL
from sparsebench.pruning.schedulers.lambda_scheduler import LambdaSL

__all__ = ["BaseScheduler", "CubicSL", "LambdaSL"]
