"""NearlyDiagonalSparsifier: keeps a band around the main diagonal."""

from typing import Any

from torch import Tensor, nn

from sparsebench.errors import ConfigError
from sparsebench.pruning.base_sparsifier import BaseSparsifier, Config
from sparsebench.pruning.masks import band_mask
from sparsebench.pruning.parametrization import masking_of
from sparsebench.pruning.pattern import check_nearliness


class NearlyDiagonalSparsifier(BaseSparsifier):
    """Keeps the ``nearliness`` diagonals closest to the main one, and zeroes the rest.

    Args:
        nearliness: odd; 1 keeps the main diagonal alone, 3 one more on either side; 0 or less
            keeps nothing.

    Source: ``torch.ao.pruning.NearlyDiagonalSparsifier``. Deviates: a nearliness that does not fit
    is refused by ``prepare``, before any mask is touched.
    """

    def __init__(self, nearliness: int = 1) -> None:
        super().__init__(defaults={"nearliness": nearliness})

    def check_group(self, tensor: Tensor, group: Config) -> None:
        """Raise ConfigError where the band does not fit ``tensor``."""
        try:
            check_nearliness(tensor.shape, group["nearliness"])
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
        mask = masking_of(module, tensor_name).mask
        mask.copy_(band_mask(tuple(mask.shape), nearliness, mask.device))
