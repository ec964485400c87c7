"""Sparsifying what goes into a layer, by masks made from the inputs that were seen."""

from sparsebench.pruning.activation.activation_sparsifier import ActivationSparsifier

__all__ = ["ActivationSparsifier"]
