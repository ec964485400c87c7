"""Sparsifying the inputs of layers, by masks computed from earlier inputs.

A model and the caller's functions in, hooks on the layers out. Read `activation_sparsifier` first.
"""

from sparsebench.pruning.activation.activation_sparsifier import ActivationSparsifier

__all__ = ["ActivationSparsifier"]
