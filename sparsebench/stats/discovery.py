"""Many tests at once: the share of false discoveries among what is called found."""

import numpy as np
from numpy.typing import ArrayLike

from sparsebench.stats.estimate import Floats


def adjusted(p_values: ArrayLike) -> Floats:
    """Return Benjamini and Hochberg's adjusted p-values, in the order given.

    Calling found what is at most q keeps the expected share of false ones among them at q. A NaN
    (nothing was tested) stays NaN and does not count as a test.

    Source: doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import false_discovery_control  # half a second to import

    given = np.array(p_values, dtype=np.float64).ravel()
    tested = ~np.isnan(given)
    given[tested] = false_discovery_control(given[tested])
    return given
