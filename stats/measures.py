"""What a plan must know of a metric: its mean and the variance of a unit, given or read off the past.

A proportion has p (1 - p), a mean its variance, a ratio that of its linearised units. Covariates take away
rho^2 of it (Deng, Xu, Kohavi, Walker 2013); clusters multiply it by 1 + (k - 1) ICC, Kish's design effect.
"""

import math
from typing import Literal

import msgspec
import numpy as np

from stats.arrays import Real
from stats.contrasts import linearised
from stats.errors import StatsError
from stats.moments import Moments

Kind = Literal["proportion", "mean", "ratio"]
_LEAST = 2  # units that a variance needs


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric looks like in the control.

    `variance` is that of one unit; `correlation` that of a unit's value with its covariates. With a
    `cluster_size` above 1 whole clusters of that many units are randomised, whose intraclass correlation is
    `icc`.
    """

    kind: Kind
    mean: Real
    variance: Real
    correlation: Real = 0.0
    cluster_size: Real = 1.0
    icc: Real = 0.0

    @property
    def kept(self) -> Real:
        """What covariates and clusters make of a unit's variance, as a factor."""
        rest = np.where(np.less(np.abs(self.correlation), 1), 1 - np.square(self.correlation), math.nan)
        design_effect = 1 + (np.asarray(self.cluster_size) - 1) * self.icc
        return rest * np.where(np.greater_equal(design_effect, 1), design_effect, math.nan)


def proportion(rate: Real, *, correlation: Real = 0.0, cluster_size: Real = 1.0, icc: Real = 0.0) -> Measure:
    """A share of units; NaN throughout where the rate does not lie between 0 and 1."""
    inside = np.where(np.greater(rate, 0) & np.less(rate, 1), rate, math.nan)[()]
    return Measure(
        kind="proportion",
        mean=inside,
        variance=inside * (1 - inside),
        correlation=correlation,
        cluster_size=cluster_size,
        icc=icc,
    )


def measure_of(past: Moments, kind: Kind) -> Measure:
    """What the past says of a metric.

    Args:
        past: moments over units like those that will be randomised: the measure (of a ratio: numerator and
            denominator), then its covariates, if any. Where clusters will be randomised, of clusters.
        kind: of the metric.

    Raises:
        StatsError: too few units, no variation, a denominator of 0, or no proportion: nothing to plan from.
    """
    _check_past(past, kind)
    unit = linearised(past) if kind == "ratio" else past
    variance = unit.mean[0] * (1 - unit.mean[0]) if kind == "proportion" else unit.cov[0][0]
    if not variance > 0:
        raise StatsError(
            f"nothing varies in the past of this metric (mean {unit.mean[0]:g}): no plan follows"
        )
    return Measure(kind=kind, mean=unit.mean[0], variance=variance, correlation=_correlation(unit))


def _check_past(past: Moments, kind: Kind) -> None:
    if past.n < _LEAST:
        raise StatsError(f"the past of this metric has {past.n} units; a plan needs at least 2")
    if not all(math.isfinite(x) for x in (*past.mean, *(c for row in past.cov for c in row))):
        raise StatsError("the past of this metric has a number that is not finite")
    if kind == "ratio" and past.mean[1] == 0:
        raise StatsError("the denominators of this ratio sum to 0 in the past: no plan follows")
    if kind == "proportion" and not 0 <= past.mean[0] <= 1:
        raise StatsError(f"a proportion lies between 0 and 1, not at {past.mean[0]:g}")


def _correlation(unit: Moments) -> float:
    """Multiple correlation of the first column with all others."""
    cov = np.array(unit.cov)
    if len(cov) == 1 or not cov[0, 0] > 0:
        return 0.0
    explained = cov[0, 1:] @ np.linalg.pinv(cov[1:, 1:], rcond=1e-10, hermitian=True) @ cov[1:, 0]
    return math.sqrt(min(max(float(explained / cov[0, 0]), 0.0), 1 - 1e-12))
