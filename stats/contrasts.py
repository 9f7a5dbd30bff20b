"""What is compared: the estimate of each arm, their variances, their cross-term, and degrees of freedom.

Every estimator ends in a `Contrast`; what follows (tests, intervals, lifts, margins) knows nothing else.
"""

import math
from typing import NamedTuple

import msgspec

from stats.moments import Moments


class Arm(NamedTuple):
    """One arm's estimate, the variance of a unit behind it, and how many independent units there are."""

    estimate: float
    unit_variance: float
    n: int


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """Two estimates with their joint uncertainty. Effects are variant minus baseline."""

    method: str
    variant: float
    baseline: float
    var_variant: float  # of the estimate, not of a unit
    var_baseline: float
    covariance: float = 0.0  # of the two estimates
    df: float = math.inf
    variance_reduction: float | None = None  # share of the difference's variance that a covariate took away

    @property
    def estimate(self) -> float:
        return self.variant - self.baseline

    def variance_against(self, factor: float) -> float:
        """Variance of variant - factor * baseline."""
        return self.var_variant - 2 * factor * self.covariance + factor * factor * self.var_baseline


def difference_of_means(variant: Moments, baseline: Moments) -> Contrast:
    """Welch 1947: unequal variances, Satterthwaite's degrees of freedom. The first column is the measure."""
    return _welch("welch_t", _arm(variant), _arm(baseline))


def difference_of_proportions(variant: Moments, baseline: Moments) -> Contrast:
    """Unpooled z: variance p(1 - p)/n of each arm, normal reference; its interval is Wald's."""
    share, control = variant.mean[0], baseline.mean[0]
    return Contrast(
        method="z_unpooled",
        variant=share,
        baseline=control,
        var_variant=share * (1 - share) / variant.n,
        var_baseline=control * (1 - control) / baseline.n,
    )


def pooled_proportions(variant: Moments, baseline: Moments) -> Contrast:
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


def difference_of_ratios(variant: Moments, baseline: Moments) -> Contrast:
    """Ratio of sums per arm, by the delta method, Welch on the linearised units.

    Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", equation 3: with R =
    mean(y)/mean(x) a unit counts as R + (y - R x)/mean(x). Columns: numerator, denominator. Needs
    denominators that are not 0.
    """
    return _welch("delta", _arm(linearised(variant)), _arm(linearised(baseline)))


def linearised(moments: Moments) -> Moments:
    """Moments of (y, x, covariates …) → moments of (R + (y - R x)/mean(x), covariates …)."""
    top, bottom = moments.mean[:2]
    ratio = top / bottom
    weights = (1 / bottom, -ratio / bottom)
    cov = moments.cov
    pairs = [(i, j) for i in (0, 1) for j in (0, 1)]
    own = sum(weights[i] * weights[j] * cov[i][j] for i, j in pairs)
    cross = [sum(weights[i] * cov[i][k] for i in (0, 1)) for k in range(2, len(cov))]
    rest = [list(line[2:]) for line in cov[2:]]
    rows = [[max(own, 0.0), *cross], *([c, *line] for c, line in zip(cross, rest, strict=True))]
    return Moments(moments.n, (ratio, *moments.mean[2:]), tuple(tuple(row) for row in rows))


def adjusted(variant: Moments, baseline: Moments) -> Contrast | None:
    """CUPED with one covariate: columns are the measure (linearised for a ratio) and the covariate.

    Deng, Xu, Kohavi, Walker 2013, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", section 3. One coefficient per comparison, from covariances within the arms weighted
    by 1/n; both means are re-centred at the pooled mean of the covariate, whose own error they share: the
    cross-term.

    Returns:
        None when the covariate does not vary.
    """
    arms = (variant, baseline)
    n = variant.n + baseline.n
    spread = sum(arm.cov[1][1] / arm.n for arm in arms)
    if spread <= 0:
        return None
    theta = sum(arm.cov[0][1] / arm.n for arm in arms) / spread
    centre = sum(arm.n * arm.mean[1] for arm in arms) / n
    means = [arm.mean[0] - theta * (arm.mean[1] - centre) for arm in arms]
    units = [
        max(arm.cov[0][0] - 2 * theta * arm.cov[0][1] + theta * theta * arm.cov[1][1], 0.0) for arm in arms
    ]
    welch = _welch("cuped", Arm(means[0], units[0], variant.n), Arm(means[1], units[1], baseline.n))
    # The pooled mean's variance, and what it has in common with each arm's residual mean.
    shared = theta * theta * sum(arm.n * arm.cov[1][1] for arm in arms) / (n * n)
    left = [theta * (arm.cov[0][1] - theta * arm.cov[1][1]) / n for arm in arms]
    plain = sum(arm.cov[0][0] / arm.n for arm in arms)
    return msgspec.structs.replace(
        welch,
        var_variant=welch.var_variant + shared + 2 * left[0],
        var_baseline=welch.var_baseline + shared + 2 * left[1],
        covariance=shared + sum(left),
        variance_reduction=1 - (welch.var_variant + welch.var_baseline) / plain if plain > 0 else None,
    )


def of_quantiles(variant: Arm, baseline: Arm) -> Contrast:
    """Two quantiles, each with its variance brought to one independent unit."""
    return _welch("quantile", variant, baseline)


def _arm(moments: Moments) -> Arm:
    return Arm(moments.mean[0], moments.cov[0][0], moments.n)


def _welch(method: str, variant: Arm, baseline: Arm) -> Contrast:
    a, b = variant.unit_variance / variant.n, baseline.unit_variance / baseline.n
    # As shares of the whole, so that squares of tiny or huge variances neither vanish nor overflow.
    whole = a + b
    below = (a / whole) ** 2 / (variant.n - 1) + (b / whole) ** 2 / (baseline.n - 1) if whole > 0 else 0.0
    return Contrast(
        method=method,
        variant=variant.estimate,
        baseline=baseline.estimate,
        var_variant=a,
        var_baseline=b,
        df=1 / below if below > 0 else math.inf,
    )
