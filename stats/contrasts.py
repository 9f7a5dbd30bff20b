"""What is compared: the estimate of each arm, their variances, their cross-term, and degrees of freedom.

Every estimator ends in a `Contrast`; what follows (tests, intervals, lifts, margins) knows nothing else. Arms
are `Moments` of one comparison or a `Stack` of many: formulas are elementwise.
"""

import math
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from stats.arrays import Numbers, Real
from stats.moments import Moments, Stack

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
    share, control = variant.mean[0], baseline.mean[0]
    return Contrast(
        method="z_unpooled",
        variant=share,
        baseline=control,
        var_variant=share * (1 - share) / variant.n,
        var_baseline=control * (1 - control) / baseline.n,
    )


def pooled_proportions(variant: A, baseline: A) -> Contrast:
    """Pooled z: the variance under "no difference", so a test without an interval."""
    share, control = variant.mean[0], baseline.mean[0]
    pooled = (share * variant.n + control * baseline.n) / (variant.n + baseline.n)
    return Contrast(
        method="z_pooled",
        variant=share,
        baseline=control,
        var_variant=pooled * (1 - pooled) / variant.n,
        var_baseline=pooled * (1 - pooled) / baseline.n,
    )


def difference_of_ratios(variant: A, baseline: A) -> Contrast:
    """Ratio of sums per arm, by the delta method, Welch on the linearised units.

    Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", equation 3: with R =
    mean(y)/mean(x) a unit counts as R + (y - R x)/mean(x). Columns: numerator, denominator. Needs
    denominators that are not 0.
    """
    return _welch("delta", _arm(linearised(variant)), _arm(linearised(baseline)))


def linearised(arm: A) -> A:
    """Moments of (y, x, covariates …) → moments of (R + (y - R x)/mean(x), covariates …)."""
    return type(arm)(arm.n, *_linearised(arm.mean, arm.cov))


def _linearised(mean: tuple[Any, ...], cov: tuple[tuple[Any, ...], ...]) -> tuple[Any, Any]:
    top, bottom = mean[:2]
    ratio = top / bottom
    weights = (1 / bottom, -ratio / bottom)
    own = sum(weights[i] * weights[j] * cov[i][j] for i in (0, 1) for j in (0, 1))
    cross = [weights[0] * cov[0][k] + weights[1] * cov[1][k] for k in range(2, len(cov))]
    rows = [(np.maximum(own, 0.0), *cross)]
    rows += [(c, *line[2:]) for c, line in zip(cross, cov[2:], strict=True)]
    return (ratio, *mean[2:]), tuple(rows)


def adjusted(variant: A, baseline: A) -> Contrast:
    """CUPED: columns are the measure (linearised for a ratio), then the covariates from before exposure.

    Deng, Xu, Kohavi, Walker 2013, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", section 3. One vector of coefficients per comparison, from covariances within the
    arms weighted by 1/n; both means are re-centred at the covariates' pooled means, whose own error they
    share: the cross-term. Covariates that do not vary, or say what others said already, get no weight of
    their own.
    """
    arms = (variant, baseline)
    blocks = [_Block.of(arm) for arm in arms]
    n = np.add(variant.n, baseline.n)
    theta = _coefficients(
        np.add(*(block.xx / block.n[..., None, None] for block in blocks)),
        np.add(*(block.yx / block.n[..., None] for block in blocks)),
    )
    centre = np.add(*(block.n[..., None] * block.x for block in blocks)) / n[..., None]
    means = [block.y - _dot(theta, block.x - centre) for block in blocks]
    units = [
        np.maximum(block.yy - 2 * _dot(theta, block.yx) + _quadratic(theta, block.xx), 0.0)
        for block in blocks
    ]
    welch = _welch("cuped", *(Arm(m, u, arm.n) for m, u, arm in zip(means, units, arms, strict=True)))
    # The pooled means' variance, and what it has in common with each arm's mean residual.
    pooled = np.add(*(block.n[..., None, None] * block.xx for block in blocks))
    shared = _quadratic(theta, pooled) / (n * n)
    left = [_dot(theta, block.yx - np.einsum("...ij,...j", block.xx, theta)) / n for block in blocks]
    plain = np.add(*(block.yy / block.n for block in blocks))
    remaining = (welch.var_variant + welch.var_baseline) / np.where(plain > 0, plain, math.nan)
    return msgspec.structs.replace(
        welch,
        var_variant=welch.var_variant + shared + 2 * left[0],
        var_baseline=welch.var_baseline + shared + 2 * left[1],
        covariance=shared + left[0] + left[1],
        variance_reduction=(1 - remaining)[()],
    )


class _Block(NamedTuple):
    """One arm's moments as arrays: measure y and covariates x on the last axes."""

    n: Numbers
    y: Numbers
    x: Numbers
    yy: Numbers
    yx: Numbers
    xx: Numbers

    @classmethod
    def of(cls, arm: Moments | Stack) -> "_Block":
        mean = np.moveaxis(np.array(arm.mean), 0, -1)
        cov = np.moveaxis(np.array(arm.cov), (0, 1), (-2, -1))
        return cls(
            np.asarray(arm.n, dtype=np.float64),
            mean[..., 0],
            mean[..., 1:],
            cov[..., 0, 0],
            cov[..., 0, 1:],
            cov[..., 1:, 1:],
        )


def _coefficients(xx: Numbers, yx: Numbers) -> Numbers:
    """Least squares on the scale of correlations, so that units of the covariates do not matter."""
    size = np.sqrt(np.einsum("...ii->...i", xx))
    size = np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(xx / (size[..., :, None] * size[..., None, :]), rcond=1e-10, hermitian=True)
    found: Numbers = np.einsum("...ij,...j", inverse, yx / size) / size
    return found


def _dot(a: Numbers, b: Numbers) -> Numbers:
    found: Numbers = np.einsum("...i,...i", a, b)
    return found


def _quadratic(a: Numbers, matrix: Numbers) -> Numbers:
    found: Numbers = np.einsum("...i,...ij,...j", a, matrix, a)
    return found


def of_quantiles(variant: Arm, baseline: Arm) -> Contrast:
    """Two quantiles, each with its variance brought to one independent unit."""
    return _welch("quantile", variant, baseline)


def _arm(moments: Moments | Stack) -> Arm:
    return Arm(moments.mean[0], moments.cov[0][0], moments.n)


def _welch(method: str, variant: Arm, baseline: Arm) -> Contrast:
    a, b = variant.unit_variance / variant.n, baseline.unit_variance / baseline.n
    # As shares of the whole, so that squares of tiny or huge variances neither vanish nor overflow.
    whole = np.where(np.greater(a + b, 0), a + b, math.nan)
    below = (a / whole) ** 2 / (variant.n - 1) + (b / whole) ** 2 / (baseline.n - 1)
    return Contrast(
        method=method,
        variant=variant.estimate,
        baseline=baseline.estimate,
        var_variant=a,
        var_baseline=b,
        df=np.where(below > 0, 1 / np.where(below > 0, below, 1.0), math.inf)[()],
    )
