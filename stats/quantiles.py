"""Quantiles of single values, whose units may have several: the outer interval and its variance.

Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", section 4: the interval of a
quantile lies between the order statistics that the interval of the share at or below it picks; with values in
clusters that share's variance is that of a ratio metric.
"""

import math

import msgspec
import numpy as np
from scipy import special

from stats.arrays import Codes, Numbers
from stats.moments import Moments


class Quantile(msgspec.Struct, frozen=True):
    """A quantile with the variance of its estimate; `variance` is None when there are too few values."""

    n: int  # independent clusters (values, when there are none)
    value: float | None
    variance: float | None
    reason: str | None = None


def quantile(values: Numbers, q: float, *, alpha: float, clusters: Codes | None = None) -> Quantile:
    """The q-quantile (linear between order statistics) and its variance.

    Args:
        values: single values, any order.
        q: between 0 and 1, both excluded.
        alpha: two-sided level of the outer interval that the variance is read from.
        clusters: per value, the number of its independent unit (from 0, without large gaps); None: every
            value is independent.
    """
    n = len(values) if clusters is None else int(np.count_nonzero(np.bincount(clusters)))
    if n == 0:
        return Quantile(0, None, None, "no_units")
    ordered = np.sort(values)
    found = _at(ordered, q)
    if n < 2:  # noqa: PLR2004 - a variance needs two
        return Quantile(n, found, None, "too_few_units")
    z = -float(special.ndtri(alpha / 2))
    error = math.sqrt(_share_variance(values, found, q, clusters))
    low, high = q - z * error, q + z * error
    if low <= 0 or high >= 1:
        return Quantile(n, found, None, "too_few_units")
    width = _at(ordered, high) - _at(ordered, low)
    if width == 0:
        return Quantile(n, found, None, "zero_variance")
    return Quantile(n, found, (width / (2 * z)) ** 2)


def _share_variance(values: Numbers, found: float, q: float, clusters: Codes | None) -> float:
    """Variance of the share of values at or below the quantile."""
    if clusters is None:
        return q * (1 - q) / len(values)
    size = np.bincount(clusters)
    below = np.bincount(clusters, weights=values <= found)
    # Columns: values at or below, values; the ratio of their sums by the delta method.
    moments = Moments.from_columns(below[size > 0], size[size > 0])
    share = moments.mean[0] / moments.mean[1]
    residual = moments.cov[0][0] - 2 * share * moments.cov[0][1] + share * share * moments.cov[1][1]
    return max(residual, 0.0) / (moments.mean[1] ** 2 * moments.n)


def _at(ordered: Numbers, q: float) -> float:
    """NumPy's `linear` quantile of sorted values."""
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
