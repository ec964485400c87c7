"""Putting other modules in the place of a model's."""

from collections.abc import Mapping

from torch import nn


def replace_modules(model: nn.Module, replacements: Mapping[int, nn.Module]) -> None:
    """Replace, in place and under every name, the descendants whose ``id`` is a key."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():  # named_children leaves second names out
            if id(child) in replacements:
                setattr(parent, name, replacements[id(child)])
