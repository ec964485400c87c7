"""The mathematics of masks: tensors in, tensors out; no modules and no state.

`pattern` checks the settings. `reference` computes scores and masks with torch's operators on any
device. `layouts` turns tensors of other dimensions into matrices. `global_level` ranks the blocks
of several tensors together. Read `pattern` first, then `reference`.
"""

from sparsebench.pruning.masks.pattern import BlockShape, Pattern, check_pattern, pattern_of
from sparsebench.pruning.masks.reference import (
    Norm,
    band_mask,
    block_scores,
    element_scores,
    l1,
    l2,
    lowest_blocks,
    lowest_in_blocks,
    pattern_mask,
    sparsity_mask,
)

__all__ = [
    "BlockShape",
    "Norm",
    "Pattern",
    "band_mask",
    "block_scores",
    "check_pattern",
    "element_scores",
    "l1",
    "l2",
    "lowest_blocks",
    "lowest_in_blocks",
    "pattern_mask",
    "pattern_of",
    "sparsity_mask",
]
