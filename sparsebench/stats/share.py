"""The share of tries that had an outcome, with an exact interval."""

from scipy.stats import beta

from sparsebench.stats.estimate import CONFIDENCE_LEVEL, Estimate, Interval


def share(count: int, tries: int, confidence_level: float = CONFIDENCE_LEVEL) -> Estimate:
    """Return ``count / tries`` with the interval that covers the true share at least so often.

    The tries must be independent; the interval holds for any share, none and all included: of 0 in
    100 it is 0 to 0.036. No tries give NaN and a warning.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    if not tries:
        return Estimate(float("nan"), None, 0, ("no tries",))
    outside = (1 - confidence_level) / 2
    low = beta.ppf(outside, count, tries - count + 1) if count else 0.0
    high = beta.isf(outside, count + 1, tries - count) if count < tries else 1.0
    return Estimate(count / tries, Interval(float(low), float(high)), tries)
