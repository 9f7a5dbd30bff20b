"""Doubts: where a comparison's p-value and interval are not as good as they look, told from its moments.

`python -m benchmarks.calibration` measures how often every method errs, and writes docs/calibration.md; the
thresholds here are from there. A method is off where it errs by more than a fifth of its nominal rate: 6 %
instead of 5 %, or 3 % on one side. Everything is elementwise: arms are `Moments` or a `Stack` of many.

Tails. A difference of means has the variance V = v/n + b/m and the third central moment
k = v^1.5 g/n^2 - b^1.5 h/m^2, with v, b the variances and g, h the skewnesses of a unit. To first order
lambda = k / V^1.5 moves the tails of its t statistic by lambda (2 z^2 + 1) phi(z) / 6, one up and one down
(Hall 1992, "The bootstrap and Edgeworth expansion", section 2.6; Hall and Martin 1988, "On the bootstrap and
two-sample problems"); those of a score statistic by lambda (z^2 - 1) phi(z) / 6, the other way. Arms of one
size and shape cancel each other.

Skewness is not among the moments. A measure that is never negative has at least cv - 1/cv (Cauchy-Schwarz:
E[x^3] E[x] >= E[x^2]^2, equal for two values), cv being its standard deviation over its mean; a gamma law,
such as the exponential, has 2 cv; a lognormal one 3 cv + cv^3. Taken is 2 cv: it tells the simulated worlds
that are off from those that are not. Of a proportion it is known.
"""

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stats import clusters
from stats.arrays import Numbers, Real
from stats.contrasts import A, linearised
from stats.exact import FEW as FEW_CONVERSIONS
from stats.measures import Kind
from stats.moments import Moments
from stats.numerics import quiet

Flags: TypeAlias = bool | npt.NDArray[np.bool_]

_LEAST_UNITS = 2  # that a result needs
FEW_ADJUSTED = 30  # units of an arm per covariate, below which CUPED's interval is too short
FEW_RATIO = 50  # effective units of an arm, below which that of a ratio is
FEW_UNKNOWN = 30  # units of an arm, below which nothing is known of a measure that may be negative
FEW_BEYOND = 30  # values of an arm on the shorter side of a quantile, below which its error is not known
FEW_CR1 = 40  # effective clusters of an arm, below which CR1 is too short
_CR2_CLUSTERS, _CR2_APART = 8, 3  # effective clusters, and how many times as many the other arm has

_SCORE_TESTS = frozenset({"miettinen_nurminen", "z_pooled"})
# Exact, of ranks, by resampling, or with an interval of its own: nothing here is known of them.
_NEVER = frozenset(
    {
        "barnard", "boschloo", "fisher", "newcombe", "agresti_caffo", "log_relative", "beta_posterior",
        "mann_whitney", "brunner_munzel", "permutation", "bootstrap",
    }
)  # fmt: skip

_Z = 1.959963984540054
_DENSITY = math.exp(-_Z * _Z / 2) / math.sqrt(2 * math.pi)
_STUDENTISED = (2 * _Z * _Z + 1) * _DENSITY / 6
_SCORE = (_Z * _Z - 1) * _DENSITY / 6
_QUANTILE = 0.17  # what unequal arms move a quantile's tails by, times the root of the values beyond it
_SHIFT = 0.003  # of a tail of 0.025; off is 0.005, and the skewness is rather underestimated
_NOISE = 40  # standard errors that a baseline is away from 0, below which the linear delta method is lopsided
_APART = 2  # times as many units in one arm as in the other, from which analysis of covariance is off
_SPREAD = 0.5  # cv below which a measure that is never negative need not be skewed
_DRIFT = 2.80  # z at 5 % plus z at 80 % power: of an effect worth planning for
_LARGEST_LIFT = 1.0


def doubts(
    kind: Kind, method: str, variant: Moments, baseline: Moments, *, non_negative: bool = True
) -> tuple[str, ...]:
    """What is doubtful in one comparison, as reason codes.

    - `few_conversions`: z_unpooled with fewer than 30 units with or without a conversion in an arm. It errs
      up to 9.7 % at a nominal 5 %; the method that `exact.choose` names does not.
    - `unequal_arms`: proportions whose tails are moved by more than 0.3 points, since a small arm has few
      conversions: 5.8 % / 0.8 % for z_unpooled with 10 of 1,000 against 10,000 units, still 3.2 % / 1.9 %
      with 100. Also analysis of covariance where one arm has twice the units of the other: its one variance
      is off where an effect changes the spread (7.7 % with 50 against 500 units and a lift of 12 %).
    - `heavy_tail`: means and ratios whose tails are moved so, without an effect or with one that 80 % power
      is planned for: 8.6 % / 0.5 % for an exponential measure with 10 against 100 units, 3.1 % / 2.0 % at
      the difference with 100 each, 2.6 % / 2.7 % with 1,000 each.
    - `small_sample`: ratios with fewer than 50 effective units in an arm, n / (1 + cv^2 of the denominator):
      8.1 % with 10 units, 6.6 % with 30, 5.7 % with 100. Also any measure that may be negative with fewer
      than 30 units: nothing bounds its skewness.
    - `few_clusters`: fewer than 20 effective clusters in an arm for the delta method (7 % with 5 clusters in
      each, 6.2 % with 10, 5.6 % with 30), fewer than 40 for CR1, which takes its degrees of freedom from both
      arms (10 %, 7.2 %, 5.9 %); for CR2 fewer than 8 against three times as many (6.8 % with 5 against 50).
    - `few_units_for_adjustment`: CUPED with fewer than 30 units per covariate in an arm. Its coefficients are
      fitted to the same units: 6.1 % with 10, 5.7 % with 20, 5.0 % with 50; with four covariates 6.8 % with
      30, 5.4 % with 120.
    - `noisy_baseline`: the linear delta method where the baseline's mean is less than 40 standard errors from
      0: 3.9 % / 0.8 % at 10 of them, 3.4 % / 1.6 % at 16. Fieller's interval has 2.5 % on either side.

    Args:
        kind: of the metric.
        method: the contrast's (welch_t, z_unpooled, miettinen_nurminen, delta, cuped, lin, ancova,
            cluster_delta, cluster_cr1, cluster_cr2, post_stratified, …) or the lift's (linear_delta,
            normal_posterior). Exact tests, ranks and resampling raise no doubts.
        variant: what the method compared: the measure (of a ratio or of clusters: numerator or total, then
            denominator or size), then its covariates.
        baseline: the same columns.
        non_negative: whether no unit's measure can be below 0, as of counts and amounts.

    Returns:
        Codes in this order; none where an arm has fewer than two units, as there is no result then.
    """
    if min(variant.n, baseline.n) < _LEAST_UNITS:
        return ()
    found = doubtful(kind, method, variant, baseline, non_negative=non_negative)
    return tuple(code for code, there in found.items() if there)


def quantile_doubts(q: float, n: Real, m: Real) -> tuple[str, ...]:
    """What is doubtful in the comparison of two q-quantiles of n and m independent values.

    `few_beyond_quantile`: an arm has fewer than 30 values on the shorter side of its quantile, whose error is
    then read off too few (the median of 30 values errs 3.8 %, the 99th percentile of 500 0.9 %), or so few
    for arms of unequal size that the tails are moved by more than 0.3 points (4.2 % / 1.0 % for the 90th
    percentile of 100 against 1,000 values, 3.7 % / 1.9 % of 1,000 against 10,000).
    """
    return ("few_beyond_quantile",) if quantile_doubtful(q, n, m) else ()


@quiet
def doubtful(
    kind: Kind, method: str, variant: A, baseline: A, *, non_negative: bool = True
) -> Mapping[str, Flags]:
    """The same for one comparison or many: by code, whether it is so. Arguments as for `doubts`."""
    if method in _NEVER:
        return {}
    if method.startswith("cluster_"):
        return {"few_clusters": _few_clusters(method, variant, baseline)}
    found: dict[str, Flags] = {}
    if kind == "proportion":
        found |= _of_proportions(method, variant, baseline)
    else:
        found["heavy_tail"] = non_negative & _heavy_tail(kind, variant, baseline)
        found["small_sample"] = _small_sample(kind, variant, baseline, non_negative=non_negative)
    if method == "cuped":
        covariates = len(variant.mean) - (2 if kind == "ratio" else 1)
        fewest = np.minimum(variant.n, baseline.n)
        found["few_units_for_adjustment"] = fewest < FEW_ADJUSTED * covariates
    if method == "ancova":
        fewest, most = np.minimum(variant.n, baseline.n), np.maximum(variant.n, baseline.n)
        found["unequal_arms"] = found.get("unequal_arms", False) | (most >= _APART * fewest)
    if method in {"linear_delta", "normal_posterior"}:
        found["noisy_baseline"] = _noise(kind, baseline) < _NOISE
    return found


@quiet
def quantile_doubtful(q: float, n: Real, m: Real) -> Flags:
    """`quantile_doubts` for one comparison or many."""
    beyond = np.rint(np.minimum(n, m) * min(q, 1 - q))
    shift = _QUANTILE * np.sqrt(np.minimum(n, m) / beyond) * np.abs(_unequal(n, m))
    found: Flags = (beyond < FEW_BEYOND) | (shift > _SHIFT)
    return found


def _few_clusters(method: str, variant: A, baseline: A) -> Flags:
    v, b = clusters.effective_clusters(variant), clusters.effective_clusters(baseline)
    fewest, most = np.minimum(v, b), np.maximum(v, b)
    if method != "cluster_cr2":
        few: Flags = np.logical_not(fewest >= (FEW_CR1 if method == "cluster_cr1" else clusters.FEW))
        return few
    found: Flags = (fewest < _CR2_CLUSTERS) & (most >= _CR2_APART * fewest)
    return found


def _of_proportions(method: str, variant: A, baseline: A) -> Mapping[str, Flags]:
    n, m = variant.n, baseline.n
    x, y = n * variant.mean[0], m * baseline.mean[0]
    pooled = (x + y) / (n + m)
    skewness = (1 - 2 * pooled) / np.sqrt(pooled * (1 - pooled))
    score = method in _SCORE_TESTS
    fewest = np.minimum(np.minimum(x, n - x), np.minimum(y, m - y))
    moved = (_SCORE if score else _STUDENTISED) * skewness * _unequal(n, m)
    return {
        "few_conversions": np.logical_not(score) & np.less(np.rint(fewest), FEW_CONVERSIONS),
        "unequal_arms": np.greater(np.abs(moved), _SHIFT),
    }


def _heavy_tail(kind: Kind, variant: A, baseline: A) -> Flags:
    """Whether the tails are moved too far, by an effect of 0 or by the one that is planned for."""
    arms = (variant, baseline)
    spread = _pooled_cv(*arms, column=0)
    error = spread if kind == "mean" else _pooled_cv(*(linearised(arm) for arm in arms), column=0)
    n, m = variant.n, baseline.n
    lift = np.minimum(_DRIFT * error * np.sqrt(1 / n + 1 / m), _LARGEST_LIFT)
    moved = np.maximum(np.abs(_unequal(n, m)), np.abs(_unequal(n, m, 1 + lift)))
    found: Flags = (spread >= _SPREAD) & (_STUDENTISED * 2 * spread * moved > _SHIFT)
    return found


def _noise(kind: Kind, baseline: A) -> Real:
    """How many standard errors the baseline's mean is away from 0."""
    arm = linearised(baseline) if kind == "ratio" else baseline
    found: Real = np.abs(arm.mean[0]) / np.sqrt(arm.cov[0][0] / arm.n)
    return found


def _small_sample(kind: Kind, variant: A, baseline: A, *, non_negative: bool) -> Flags:
    if kind == "ratio":
        v, b = clusters.effective_clusters(variant), clusters.effective_clusters(baseline)
        few: Flags = np.minimum(v, b) < FEW_RATIO
        return few
    unknown: Flags = np.logical_not(non_negative) & np.less(np.minimum(variant.n, baseline.n), FEW_UNKNOWN)
    return unknown


def _pooled_cv(variant: A, baseline: A, *, column: int) -> Numbers:
    """Standard deviation over mean, from both arms: squares weighted by their units."""
    n, m = variant.n, baseline.n
    squares = [arm.cov[column][column] / np.square(arm.mean[column]) for arm in (variant, baseline)]
    found: Numbers = np.sqrt((n * squares[0] + m * squares[1]) / (n + m))
    return found


def _unequal(n: Real, m: Real, scale: Real = 1.0) -> Numbers:
    """Of skewness 1, lambda, where the variant's units are those of the baseline times a factor."""
    variance = np.square(scale) / n + 1 / np.asarray(m)
    found: Numbers = (np.power(scale, 3) / np.square(n) - 1 / np.square(m)) / np.power(variance, 1.5)
    return found
