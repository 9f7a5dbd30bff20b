"""One road from a contrast to every test and interval: choose a reference law, and invert it.

All tests are of H0: variant = factor x baseline. With factor 1 that is "no difference"; with 1 - margin it is
non-inferiority on the ratio scale; the set of factors that are not rejected is Fieller's interval. So
p-values and intervals on both scales can't contradict each other. Everything is elementwise; NaN is "not
defined".
"""

import math
from typing import NamedTuple

import numpy as np

from stats.arrays import Real
from stats.contrasts import Contrast
from stats.numerics import positive, quiet
from stats.references import Reference, Sides


class Interval(NamedTuple):
    """Bounds; both NaN where there is no interval."""

    lower: Real
    upper: Real


def log10_p(contrast: Contrast, reference: Reference, *, factor: Real = 1.0, sides: Sides = 2) -> Real:
    """Base-10 logarithm of the p-value of "variant = factor x baseline"; one-sided: against "larger"."""
    return reference.log10_p(statistic(contrast, factor), sides)


@quiet
def statistic(contrast: Contrast, factor: Real = 1.0) -> Real:
    """The standardised difference of variant and factor x baseline; NaN where it has no variance."""
    return (contrast.variant - factor * contrast.baseline) / _error(contrast, factor)


@quiet
def difference_interval(contrast: Contrast, reference: Reference, alpha: Real) -> Interval:
    """Two-sided interval for variant - baseline: the differences that the test does not reject."""
    half = reference.critical(alpha) * _error(contrast)
    return Interval(contrast.estimate - half, contrast.estimate + half)


@quiet
def lift_interval(contrast: Contrast, reference: Reference, alpha: Real, *, sides: Sides = 2) -> Interval:
    """Fieller's interval for (variant - baseline) / |baseline|.

    Fieller 1954, "Some problems in interval estimation", with d = variant - baseline and q the critical
    value: the lifts L for which (d - L baseline)^2 <= q^2 Var(d - L baseline), a quadratic in L. It contains
    0 exactly when the test of no difference accepts. One-sided (`sides=1`), each bound is at level alpha on
    its own side.

    Returns:
        NaN where the baseline is not told from 0 at this level: the set is then no interval. NaN as well
        without variance.
    """
    q2 = np.square(reference.critical(alpha, sides))
    base = np.where(np.equal(contrast.baseline, 0), math.nan, contrast.baseline)
    # What is left of the baseline, near -100 %, has the digits that the lift has not: so the quadratic is in
    # ratio - near, with near = 1 or 0; and everything in units of the baseline, whose size then can't matter.
    near = np.where(np.abs(contrast.variant) < np.abs(base) / 2, 0.0, 1.0)
    d = (contrast.variant - near * base) / base
    spread, noise = contrast.variance_against(near) / base / base, contrast.var_baseline / base / base
    shared = contrast.covariance / base / base - near * noise
    a, b, c = 1 - q2 * noise, d - q2 * shared, d * d - q2 * spread
    # b^2 - ac, multiplied out: as a difference of squares it would lose the digits that the width needs.
    inner = spread - 2 * d * shared + d * d * noise
    root = np.sqrt(q2 * np.maximum(inner - q2 * (spread * noise - shared * shared), 0.0))
    # The root that adds up is computed first, the other from the product of both: no digits cancel.
    far = b + np.copysign(root, b)
    bounded = np.greater(a, 0) & np.greater(contrast.variance_against(1.0), 0)
    one = far / np.where(bounded, a, math.nan)
    other = np.where(bounded, c / np.where(far == 0, 1.0, far), math.nan)
    low, high = np.minimum(one, other) + (near - 1), np.maximum(one, other) + (near - 1)
    return Interval(np.where(np.less(base, 0), -high, low)[()], np.where(np.less(base, 0), -low, high)[()])


def lift(contrast: Contrast) -> Real:
    """(variant - baseline) / |baseline|; NaN where the baseline is 0."""
    size = np.abs(contrast.baseline)
    return (contrast.estimate / np.where(size > 0, size, math.nan))[()]


def _error(contrast: Contrast, factor: Real = 1.0) -> Real:
    """Standard error of variant - factor x baseline; NaN where there is none."""
    return np.sqrt(positive(contrast.variance_against(factor)))[()]
