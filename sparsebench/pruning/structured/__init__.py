"""Structured pruning: row masks, the pruners that choose them, and shrinking the model."""

from sparsebench.pruning.structured.base_structured_sparsifier import BaseStructuredSparsifier
from sparsebench.pruning.structured.fpgm_pruner import FPGMPruner
from sparsebench.pruning.structured.lstm_saliency_pruner import LSTMSaliencyPruner
from sparsebench.pruning.structured.parametrization import BiasHook, FakeStructuredSparsity
from sparsebench.pruning.structured.saliency_pruner import SaliencyPruner

__all__ = [
    "BaseStructuredSparsifier",
    "BiasHook",
    "FPGMPruner",
    "FakeStructuredSparsity",
    "LSTMSaliencyPruner",
    "SaliencyPruner",
]
