"""When many differences are called significant: false discovery rates, and asv's own rule."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from sparsebench.stats.estimate import Floats

ASV_FACTOR: Final = 1.1
ASV_P_THRESHOLD: Final = 0.002


def adjusted(p_values: ArrayLike) -> Floats:
    """Return Benjamini and Hochberg's adjusted p-values, in the order given.

    Rejecting where the adjusted value is at most q keeps the expected share of false rejections
    among all rejections at q. A NaN (nothing was tested) stays NaN and does not count as a test.

    Source: doi:10.1111/j.2517-6161.1995.tb02031.x.

    Example:
        >>> adjusted([0.01, 0.04, float("nan")])
        array([0.02, 0.04,  nan])
    """
    from scipy.stats import false_discovery_control  # half a second to import

    adjusted_values = np.array(p_values, dtype=np.float64).ravel()
    tested = ~np.isnan(adjusted_values)
    adjusted_values[tested] = false_discovery_control(adjusted_values[tested])
    return adjusted_values


def asv_finds_slower(base: ArrayLike, head: ArrayLike) -> bool:
    """Return whether ``asv continuous`` would call ``head`` slower than ``base``.

    It does if the median is more than a factor of 1.1 larger and Mann and Whitney's two-sided
    p-value is below 0.002. Empty samples are not different.

    Source: asv 0.6.6, its command ``compare`` with default settings.

    Example:
        >>> asv_finds_slower([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], [2.0, 2.1, 2.2, 2.3, 2.4, 2.5])
        False
    """
    from scipy.stats import mannwhitneyu  # half a second to import

    before, after = (np.asarray(side, dtype=np.float64).ravel() for side in (base, head))
    if not before.size or not after.size:
        return False
    larger = np.median(after) > ASV_FACTOR * np.median(before)
    return bool(larger and mannwhitneyu(before, after).pvalue < ASV_P_THRESHOLD)
