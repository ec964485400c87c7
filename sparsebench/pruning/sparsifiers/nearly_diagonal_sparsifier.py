"""NearlyDiagonalSparsifier: keeps a band around the main diagonal."""

from typing import Any

from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.masks.pattern import check_nearliness
from sparsebench.pruning.masks.reference import band_mask
from sparsebench.pruning.sparsifiers.base_sparsifier import BaseSparsifier
from sparsebench.pruning.sparsifiers.groups import settings
from sparsebench.pruning.sparsifiers.parametrization import mask_parametrization
from sparsebench.pruning.state import Config


class NearlyDiagonalSparsifier(BaseSparsifier):
    """Keeps the ``nearliness`` diagonals closest to the main one, and zeroes the rest.

    Args:
        nearliness: odd; 1 keeps the main diagonal alone, 3 one more on either side; 0 or less
            keeps nothing.

    Source: ``torch.ao.pruning.NearlyDiagonalSparsifier``. As upstream, ``step`` and not ``prepare``
    refuses a nearliness that does not fit. Deviates: it does so before any mask changes.
    """

    def __init__(self, nearliness: int = 1) -> None:
        super().__init__(defaults={"nearliness": nearliness})

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError if ``tensor`` has no diagonal, or ``group`` no nearliness."""
        settings(group, "nearliness")
        if tensor.ndim != 2:
            raise ConfigError(
                f"{group['tensor_fqn']}: must be 2-D to have a diagonal, got "
                f"shape={tuple(tensor.shape)}"
            )

    def _check_step(self, group: Config) -> None:
        mask = mask_parametrization(group["module"], group["tensor_name"]).mask
        try:
            check_nearliness(mask.shape, group["nearliness"])
        except ConfigError as error:
            raise ConfigError(f"{group['tensor_fqn']}: {error}") from None

    def update_mask(  # type: ignore[override]  # the group's own keys, spelled out
        self,
        module: nn.Module,
        tensor_name: str,
        nearliness: int,
        **kwargs: Any,
    ) -> None:
        """Write the band into the mask, in place."""
        mask = mask_parametrization(module, tensor_name).mask
        mask.copy_(band_mask(tuple(mask.shape), nearliness, mask.device))
