"""What is compared: the estimate of each arm, their variances, their cross-term, and degrees of freedom.

Every estimator ends in a `Contrast`; what follows (tests, intervals, lifts, margins) knows nothing else. Arms
are `Moments` of one comparison or a `Stack` of many: formulas are elementwise, and NaN where an arm has too
few units or moments that no data have (a negative variance, a covariance above what its variances allow).
"""

import math
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from stats.arrays import Real
from stats.blocks import Block, Solver, dot, quadratic
from stats.moments import Moments, Stack
from stats.numerics import finite, quiet, remainder

A = TypeVar("A", Moments, Stack)


class Arm(NamedTuple):
    """One arm's estimate, the variance of a unit behind it, and how many independent units there are."""

    estimate: Real
    unit_variance: Real
    n: Real


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """Two estimates with their joint uncertainty. Effects are variant minus baseline."""

    method: str
    variant: Real
    baseline: Real
    var_variant: Real  # of the estimate, not of a unit
    var_baseline: Real
    covariance: Real = 0.0  # of the two estimates
    df: Real = math.inf
    variance_reduction: Real | None = None  # share of the difference's variance that covariates took away

    @property
    def estimate(self) -> Real:
        return self.variant - self.baseline

    def variance_against(self, factor: Real) -> Real:
        """Variance of variant - factor * baseline."""
        return self.var_variant - 2 * factor * self.covariance + factor * factor * self.var_baseline


def difference_of_means(variant: A, baseline: A) -> Contrast:
    """Welch 1947: unequal variances, Satterthwaite's degrees of freedom. The first column is the measure."""
    return _welch("welch_t", _arm(variant), _arm(baseline))


def difference_of_proportions(variant: A, baseline: A) -> Contrast:
    """Unpooled z: variance p(1 - p)/n of each arm, normal reference; its interval is Wald's."""
    share, control, n, m = _shares(variant, baseline)
    return Contrast(
        method="z_unpooled",
        variant=share,
        baseline=control,
        var_variant=share * (1 - share) / n,
        var_baseline=control * (1 - control) / m,
    )


def pooled_proportions(variant: A, baseline: A) -> Contrast:
    """Pooled z: the variance under "no difference", so a test without an interval."""
    share, control, n, m = _shares(variant, baseline)
    pooled = (share * n + control * m) / (n + m)
    return Contrast(
        method="z_pooled",
        variant=share,
        baseline=control,
        var_variant=pooled * (1 - pooled) / n,
        var_baseline=pooled * (1 - pooled) / m,
    )


def _shares(variant: A, baseline: A) -> tuple[Real, Real, Real, Real]:
    """Both shares and both sizes, NaN where there are no units, or where it is no share."""
    found = [_arm(arm).estimate for arm in (variant, baseline)]
    share, control = (np.where(np.abs(each - 0.5) <= 0.5, each, math.nan)[()] for each in found)  # noqa: PLR2004
    return share, control, at_least(1, variant.n), at_least(1, baseline.n)


def difference_of_ratios(variant: A, baseline: A) -> Contrast:
    """Ratio of sums per arm, by the delta method, Welch on the linearised units.

    Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", equation 3: with R =
    mean(y)/mean(x) a unit counts as R + (y - R x)/mean(x). Columns: numerator, denominator. Needs
    denominators that are not 0.
    """
    return _welch("delta", _arm(linearised(variant)), _arm(linearised(baseline)))


def linearised(arm: A, *, pairs: int = 1) -> A:
    """Moments of (y, x, covariates …) → moments of (R + (y - R x)/mean(x), covariates …).

    With `pairs=2` the next two columns are numerator and denominator as well, from before exposure, and
    become one covariate, the ratio before. NaN where a mean
    denominator is 0.
    """
    mean, cov = arm.mean, arm.cov
    for place in range(pairs):
        mean, cov = _linearised(mean, cov, place)
    return type(arm)(arm.n, mean, cov)


@quiet
def _linearised(
    mean: tuple[Any, ...], cov: tuple[tuple[Any, ...], ...], place: int
) -> tuple[tuple[Any, ...], tuple[tuple[Any, ...], ...]]:
    """The columns `place` (numerator) and the next one (denominator) become one."""
    top, bottom = mean[place : place + 2]
    bottom = np.where(np.equal(bottom, 0), math.nan, bottom)[()]
    ratio = finite(top / bottom)
    weights = (1 / bottom, -ratio / bottom)

    def joined(line: tuple[Any, ...], value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a number or a row of them
        return (*line[:place], value, *line[place + 2 :])

    rows = [joined(row, weights[0] * row[place] + weights[1] * row[place + 1]) for row in cov]
    pair = zip(*rows[place : place + 2], strict=True)
    own = [weights[0] * a + weights[1] * b for a, b in pair]
    size = weights[0] ** 2 * cov[place][place] + weights[1] ** 2 * cov[place + 1][place + 1]
    own[place] = remainder(own[place], size)
    return joined(mean, ratio), joined(tuple(rows), tuple(own))


def adjusted(variant: A, baseline: A, *, theta: npt.ArrayLike | None = None) -> Contrast:
    """CUPED: columns are the measure (linearised for a ratio), then the covariates from before exposure.

    Deng, Xu, Kohavi, Walker 2013, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", section 3. One vector of coefficients per comparison, from covariances within the
    arms weighted by 1/n, which make the difference's variance smallest; both means are re-centred at the
    covariates' pooled means, whose own error they share: the cross-term. Covariates that do not vary, or say
    what others said already, get no weight of their own. `variance_reduction` is what was achieved. Where the
    covariates are the measure itself, but for rounding, the difference has no variance.

    Args:
        variant: moments of the measure and p covariates.
        baseline: the same columns.
        theta: p coefficients that are known already, (..., p), say from an earlier experiment.
    """
    arms = (variant, baseline)
    blocks = [Block.of(arm) for arm in arms]
    n = np.add(*(block.n for block in blocks))
    if theta is None:
        solver = Solver.of(np.add(*(block.xx / block.n[..., None, None] for block in blocks)))
        theta = solver.solve(np.add(*(block.yx / block.n[..., None] for block in blocks)))
    theta = np.asarray(theta, dtype=np.float64)
    centre = np.add(*(block.n[..., None] * block.x for block in blocks)) / n[..., None]
    means = [block.y - dot(theta, block.x - centre) for block in blocks]
    explained = [quadratic(theta, block.xx) for block in blocks]
    units = [
        remainder(block.yy - 2 * dot(theta, block.yx) + known, np.abs(block.yy) + known)
        for block, known in zip(blocks, explained, strict=True)
    ]
    welch = _welch("cuped", *(Arm(m, u, arm.n) for m, u, arm in zip(means, units, arms, strict=True)))
    # The pooled means' variance, and what it has in common with each arm's mean residual.
    pooled = np.add(*(block.n[..., None, None] * block.xx for block in blocks))
    shared = quadratic(theta, pooled) / (n * n)
    left = [
        np.where(unit > 0, dot(theta, block.yx) - known, 0.0) / n
        for block, known, unit in zip(blocks, explained, units, strict=True)
    ]
    plain = np.add(*(block.yy / block.n for block in blocks))
    return msgspec.structs.replace(
        welch,
        var_variant=welch.var_variant + shared + 2 * left[0],
        var_baseline=welch.var_baseline + shared + 2 * left[1],
        covariance=shared + left[0] + left[1],
        variance_reduction=reduction(welch.var_variant + welch.var_baseline, plain),
    )


def reduction(remaining: Real, plain: Real) -> Real:
    """The share of a variance that is gone; NaN where there was none."""
    share: Real = (1 - remaining / np.where(np.greater(plain, 0), plain, math.nan))[()]
    return share


def of_quantiles(variant: Arm, baseline: Arm) -> Contrast:
    """Two quantiles, each with its variance brought to one independent unit."""
    return _welch("quantile", variant, baseline)


def _arm(moments: Moments | Stack) -> Arm:
    return Arm(
        np.where(np.less(moments.n, 1), math.nan, finite(moments.mean[0]))[()], moments.cov[0][0], moments.n
    )


def _welch(method: str, variant: Arm, baseline: Arm) -> Contrast:
    n, m = at_least(2, variant.n), at_least(2, baseline.n)
    a, b = at_least(0, variant.unit_variance) / n, at_least(0, baseline.unit_variance) / m
    return Contrast(
        method=method,
        variant=variant.estimate,
        baseline=baseline.estimate,
        var_variant=a,
        var_baseline=b,
        df=satterthwaite((a, n - 1), (b, m - 1)),
    )


def satterthwaite(*parts: tuple[Real, Real]) -> Real:
    """Degrees of freedom of a sum of independent variances, each with degrees of freedom of its own.

    Satterthwaite 1946, "An approximate distribution of estimates of variance components"; infinite where the
    sum is 0 or not defined.
    """
    # As shares of the whole, so that squares of tiny or huge variances neither vanish nor overflow.
    total = sum(variance for variance, _ in parts)
    whole = np.where(np.greater(total, 0), total, math.nan)
    below = sum(np.square(variance / whole) / df for variance, df in parts)
    return np.where(np.greater(below, 0), 1 / np.where(np.greater(below, 0), below, 1.0), math.inf)[()]


def at_least(fewest: int, n: Real) -> Real:
    """The number (of units, say), or NaN where it is too small for what is asked."""
    found: Real = np.where(np.less(n, fewest), math.nan, n)[()]
    return found
