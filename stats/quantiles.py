"""Quantiles of single values, whose units may have several: the outer interval and its variance.

Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", section 4: the interval of a
quantile lies between the order statistics that the interval of the share at or below it picks, so its width
gives the variance ((upper - lower) / 2z)^2; with values in clusters that share's variance is that of a ratio
metric (also Yao, Li, Lu 2024, arXiv 2401.14549, algorithm 1).
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import msgspec
import numpy as np
from scipy import special

from stats.arrays import Codes, Numbers
from stats.contrasts import linearised
from stats.errors import StatsError
from stats.moments import Moments


class Quantile(msgspec.Struct, frozen=True):
    """A quantile with the variance of its estimate; `variance` is None when it has none, and `reason` why.

    Reasons: no_units, too_few_units (the interval would lie beyond the values), zero_variance (all values are
    one), collapsed_interval (so many values are equal that both ends of the interval are one value),
    tied_values (so many are equal beside the quantile that it has no error), not_finite, inconsistent (a
    summary whose bounds do not enclose its quantile).
    """

    n: int  # independent clusters (values, when there are none)
    value: float | None
    variance: float | None
    reason: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a warehouse tells of one arm's quantile: it and the outer interval's ends.

    A query that does not know n beforehand takes the interval for the largest `n_star` at or below n, of a
    grid; its width is then that of n_star values.
    """

    n: int  # values
    value: float
    lower: float  # the quantile at share q - z sqrt(q (1 - q) / n_star)
    upper: float
    n_star: int | None = None  # None: the interval is for n
    shares: Moments | None = None  # per cluster: values at or below `value`, values; None: no clusters


def least_values(q: float, *, alpha: float) -> float:
    """The q-quantile's outer interval lies within the values when there are more of them than this.

    z^2 q / (1 - q), or its mirror below the median: 380.3 values for the 99th percentile and 3837.6 for the
    99.9th at alpha 0.05.
    """
    z = _critical(q, alpha)
    return z * z * max(q / (1 - q), (1 - q) / q)


def quantile(values: Numbers, q: float, *, alpha: float, clusters: Codes | None = None) -> Quantile:
    """The q-quantile (linear between order statistics) and its variance.

    Args:
        values: single values, any order.
        q: between 0 and 1, both excluded.
        alpha: two-sided level of the outer interval that the variance is read from.
        clusters: per value, the number of its independent unit (from 0, without large gaps); None: every
            value is independent.

    Raises:
        StatsError: q or alpha outside (0, 1), or clusters of another length than the values.
    """
    (found,) = quantiles(values, (q,), alpha=alpha, clusters=clusters)
    return found


def quantiles(
    values: Numbers, qs: Iterable[float], *, alpha: float, clusters: Codes | None = None
) -> tuple[Quantile, ...]:
    """Several quantiles of the same values, which are sorted once; see `quantile`."""
    qs = tuple(qs)
    for q in qs:
        _critical(q, alpha)
    if clusters is not None and len(clusters) != len(values):
        raise StatsError(f"{len(values)} values need as many cluster numbers, not {len(clusters)}")
    order = np.argsort(values, kind="stable")
    ordered = np.asarray(values, dtype=np.float64)[order]
    group = None if clusters is None else _numbered(clusters)[order]
    n = len(ordered) if group is None else int(group.max(initial=-1)) + 1
    if n == 0:
        return (Quantile(0, None, None, "no_units"),) * len(qs)
    if not np.isfinite(ordered[[0, -1]]).all():  # NaN is sorted to the end
        return (Quantile(n, None, None, "not_finite"),) * len(qs)
    return tuple(_of_values(ordered, group, n, q, alpha) for q in qs)


def summarised(summary: Summary, q: float, *, alpha: float) -> Quantile:
    """The q-quantile and its variance from a warehouse's summary.

    Args:
        summary: of one arm.
        q: between 0 and 1, both excluded.
        alpha: two-sided level that the summary's interval was taken at.

    Variance: ((upper - lower) / 2z)^2 n_star / n; with clusters times the variance of the share at or below
    the quantile as a ratio of sums, over q (1 - q) / n, which it is without clusters.

    Raises:
        StatsError: q or alpha outside (0, 1).
    """
    z, n_star = _critical(q, alpha), summary.n if summary.n_star is None else summary.n_star
    clusters = summary.n if summary.shares is None else summary.shares.n
    reason = _problem(summary, clusters)
    if reason is not None:
        return Quantile(clusters, None, None, reason)
    if clusters < 2 or not least_values(q, alpha=alpha) < n_star <= summary.n:  # noqa: PLR2004
        return Quantile(clusters, summary.value, None, "too_few_units")
    share_variance = q * (1 - q) / summary.n if summary.shares is None else ratio_variance(summary.shares)
    scale = share_variance / (q * (1 - q)) * n_star
    width = summary.upper - summary.lower
    return _with_variance(clusters, summary.value, (width / (2 * z)) ** 2 * scale)


class Place(NamedTuple):
    """Where a quantile lies among n sorted values: between two of them, numbered from 0."""

    below: int
    above: int
    share: float  # of the way from the one to the other

    @classmethod
    def of(cls, n: int, q: float) -> Self:
        """NumPy's `linear` quantile."""
        place = q * (n - 1)
        below = math.floor(place)
        return cls(below, min(below + 1, n - 1), place - below)

    def between(self, below: float, above: float) -> float:
        """The quantile, given both values."""
        return float(below + self.share * (above - below))


def outer_shares(q: float, variance: float, *, alpha: float) -> tuple[float, float] | None:
    """The shares at which the outer interval ends; None where it would lie beyond the values.

    Args:
        q: between 0 and 1, both excluded.
        variance: of the share of values at or below the quantile.
        alpha: two-sided level.
    """
    half = _critical(q, alpha) * math.sqrt(variance)
    return (q - half, q + half) if q - half > 0 and q + half < 1 else None


def of_interval(
    n: int, value: float, width: float, *, largest_tie: float, share_variance: float, q: float, alpha: float
) -> Quantile:
    """A quantile with the variance that the width of its outer interval says.

    Args:
        n: independent clusters.
        value: the quantile.
        width: of the interval between the quantiles at `outer_shares`.
        largest_tie: the largest share of equal values that begin or end within it.
        share_variance: of the share of values at or below the quantile.
        q: which quantile.
        alpha: two-sided level of the interval.

    Where one value holds more of the values than the quantile's share errs by, the distribution has a step
    there and no density: the interval then jumps with the sample, and so does the error that is read off it.
    """
    if width > 0 and largest_tie > math.sqrt(share_variance):
        return Quantile(n, value, None, "tied_values")
    return _with_variance(n, value, (width / (2 * _critical(q, alpha))) ** 2)


def _critical(q: float, alpha: float) -> float:
    if not (0 < q < 1 and 0 < alpha < 1):
        raise StatsError(f"a quantile and its level lie between 0 and 1, both excluded, not {q} and {alpha}")
    return -float(special.ndtri(alpha / 2))


def _numbered(clusters: Codes) -> Codes:
    """The clusters numbered from 0 without gaps, by counting: sorting them would take most of the time."""
    rank: Codes = np.cumsum(np.bincount(clusters) > 0) - 1
    return rank[clusters]


def _of_values(ordered: Numbers, group: Codes | None, n: int, q: float, alpha: float) -> Quantile:
    found = _at(ordered, q)
    if n < 2:  # noqa: PLR2004 - a variance needs two
        return Quantile(n, found, None, "too_few_units")
    if ordered[0] == ordered[-1]:
        return Quantile(n, found, None, "zero_variance")
    variance = _share_variance(ordered, group, found, q)
    ends = outer_shares(q, variance, alpha=alpha)
    if ends is None:
        return Quantile(n, found, None, "too_few_units")
    width = _at(ordered, ends[1]) - _at(ordered, ends[0])
    tie = _largest_tie(ordered, *ends)
    return of_interval(n, found, width, largest_tie=tie, share_variance=variance, q=q, alpha=alpha)


def _largest_tie(ordered: Numbers, low: float, high: float) -> float:
    """The largest share of equal values that begin or end between two quantiles."""
    n = len(ordered)
    inside = np.unique(ordered[math.floor(low * (n - 1)) : math.ceil(high * (n - 1)) + 1])
    counts = np.searchsorted(ordered, inside, "right") - np.searchsorted(ordered, inside, "left")
    return float(counts.max()) / n


def _with_variance(n: int, value: float, variance: float) -> Quantile:
    """Equal values are no sign of precision: without a width there is no variance."""
    return Quantile(n, value, variance) if variance > 0 else Quantile(n, value, None, "collapsed_interval")


def _share_variance(ordered: Numbers, group: Codes | None, found: float, q: float) -> float:
    """Variance of the share of values at or below the quantile."""
    if group is None:
        return q * (1 - q) / len(ordered)
    below = np.bincount(group, weights=ordered <= found)
    return ratio_variance(Moments.from_columns(below, np.bincount(group)))


def ratio_variance(shares: Moments) -> float:
    """Variance of a ratio of sums over clusters: columns are numerator, denominator."""
    return float(linearised(shares).cov[0][0]) / shares.n


def _problem(summary: Summary, clusters: int) -> str | None:
    if summary.n <= 0 or clusters <= 0:
        return "no_units"
    numbers: Sequence[float] = (summary.value, summary.lower, summary.upper)
    if not all(math.isfinite(number) for number in numbers):
        return "not_finite"
    return None if summary.lower <= summary.value <= summary.upper else "inconsistent"


def _at(ordered: Numbers, q: float) -> float:
    place = Place.of(len(ordered), q)
    return place.between(ordered[place.below], ordered[place.above])
