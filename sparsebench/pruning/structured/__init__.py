"""Structured pruning: mask whole rows of weights, then remove the rows from the model.

A pruner (:mod:`.pruners`) scores the rows and masks the lowest. ``prune()`` then makes the layers
smaller. Its input is the masked model; its output is the same model, which computes the same.

Read :meth:`.BaseStructuredSparsifier.prune` first: its body is the list of the steps.

1. :mod:`.trace` records the model's ``forward`` as a graph of operations.
2. :mod:`.flow` goes through the graph in order and follows each masked row as a channel
   (:mod:`.channels`). :mod:`.rules` says what an operation without weights does to channels,
   :mod:`.layers` what a layer does.
3. :class:`.channels.ChannelTable` decides which channels are removed.
4. Each layer of :mod:`.layers` replaces its weights by smaller ones.

:mod:`.parametrization` and, for an LSTM, :mod:`.gates` apply the masks before that.
"""

from sparsebench.pruning.structured.base_structured_sparsifier import BaseStructuredSparsifier
from sparsebench.pruning.structured.parametrization import BiasHook, FakeStructuredSparsity
from sparsebench.pruning.structured.pruners import FPGMPruner, LSTMSaliencyPruner, SaliencyPruner

__all__ = [
    "BaseStructuredSparsifier",
    "BiasHook",
    "FPGMPruner",
    "FakeStructuredSparsity",
    "LSTMSaliencyPruner",
    "SaliencyPruner",
]
