"""The module that holds a data sparsifier's tensors, under keys that never collide."""

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsebench.pruning.sparsifiers.parametrization import has_mask, masking_of


class Container(nn.Module):
    """Tensors and their masks, by name; the tensors themselves, not copies."""

    def put(self, name: str, tensor: Tensor) -> None:
        """Hold ``tensor``; no tensor of that name may be held."""
        self.register_buffer(key_of(name), tensor)

    def mask_with(self, name: str, parametrization: nn.Module) -> None:
        """Put a mask on a held tensor."""
        parametrize.register_parametrization(self, key_of(name), parametrization)

    def is_masked(self, name: str) -> bool:
        """Whether the tensor of that name has a mask; False where there is none."""
        return has_mask(self, key_of(name))

    def mask(self, name: str) -> Tensor:
        """The mask in force."""
        mask: Tensor = masking_of(self, key_of(name)).mask
        return mask

    def original(self, name: str) -> Tensor:
        """The tensor without its mask."""
        chain: Any = self.parametrizations
        original: Tensor = chain[key_of(name)].original
        return original

    def sparsified(self, name: str) -> Tensor:
        """The tensor with its mask applied, or as it was squashed."""
        tensor: Tensor = getattr(self, key_of(name))
        return tensor

    def squash(self, name: str, leave_parametrized: bool) -> None:
        """Take the mask off, for good or, if not ``leave_parametrized``, without effect."""
        parametrize.remove_parametrizations(self, key_of(name), leave_parametrized)

    def drop(self, name: str) -> None:
        """Forget a tensor, which keeps its own values."""
        if self.is_masked(name):
            self.squash(name, leave_parametrized=False)
        delattr(self, key_of(name))

    def stored(self, name: str, values: dict[str, Tensor]) -> Tensor | None:
        """The tensor of that name in a container's ``state_dict``; None where it is absent."""
        key = key_of(name)
        return values.get(f"parametrizations.{key}.original", values.get(key))


def key_of(name: str) -> str:
    """The attribute under which ``name`` is held: itself, where that can be one.

    Dots, which a module's names must not have, are escaped, so ``a.b`` and ``a_b`` never meet;
    and a name that a module, or torch's dict of parametrizations, has already (``training``,
    ``items``) gets a mark in front.
    """
    key = name.replace("%", "%25").replace(".", "%2E")
    taken = not key or key == "parametrizations" or any(hasattr(m, key) for m in _EMPTY)
    return f"%{key}" if taken else key


_EMPTY = (Container(), nn.ModuleDict())
