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
from stats.references import Reference, Sides


class Interval(NamedTuple):
    """Bounds; both NaN where there is no interval."""

    lower: Real
    upper: Real


def log10_p(contrast: Contrast, reference: Reference, *, factor: Real = 1.0, sides: Sides = 2) -> Real:
    """Base-10 logarithm of the p-value of "variant = factor x baseline"; one-sided: against "larger".

    Needs a positive variance.
    """
    return reference.log10_p(statistic(contrast, factor), sides)


def statistic(contrast: Contrast, factor: Real = 1.0) -> Real:
    """The standardised difference of variant and factor x baseline."""
    return (contrast.variant - factor * contrast.baseline) / np.sqrt(contrast.variance_against(factor))


def difference_interval(contrast: Contrast, reference: Reference, alpha: Real) -> Interval:
    """Two-sided interval for variant - baseline: the differences that the test does not reject."""
    half = reference.critical(alpha) * np.sqrt(contrast.variance_against(1.0))
    return Interval(contrast.estimate - half, contrast.estimate + half)


def lift_interval(contrast: Contrast, reference: Reference, alpha: Real, *, sides: Sides = 2) -> Interval:
    """Fieller's interval for (variant - baseline) / |baseline|.

    Fieller 1954, "Some problems in interval estimation", with d = variant - baseline and q the critical
    value: the lifts L for which (d - L baseline)^2 <= q^2 Var(d - L baseline), a quadratic in L. It contains
    0 exactly when the test of no difference accepts. One-sided (`sides=1`), each bound is at level alpha on
    its own side.

    Returns:
        NaN where the baseline is not told from 0 at this level: the set is then no interval.
    """
    q2 = np.square(reference.critical(alpha, sides))
    d, base = contrast.estimate, contrast.baseline
    a = base * base - q2 * contrast.var_baseline
    spread, shared = contrast.variance_against(1.0), contrast.covariance - contrast.var_baseline
    b = d * base - q2 * shared
    c = d * d - q2 * spread
    # b^2 - ac, multiplied out: as a difference of squares it would lose the digits that the width needs.
    inner = base * base * spread - 2 * d * base * shared + d * d * contrast.var_baseline
    root = np.sqrt(q2 * np.maximum(inner - q2 * (spread * contrast.var_baseline - shared * shared), 0.0))
    # The root that adds up is computed first, the other from the product of both: no digits cancel.
    far = b + np.copysign(root, b)
    bounded = np.greater(a, 0)
    one = far / np.where(bounded, a, math.nan)
    other = np.where(bounded, c / np.where(far == 0, 1.0, far), math.nan)
    low, high = np.minimum(one, other), np.maximum(one, other)
    return Interval(np.where(np.less(base, 0), -high, low)[()], np.where(np.less(base, 0), -low, high)[()])


def lift(contrast: Contrast) -> Real:
    """(variant - baseline) / |baseline|; NaN where the baseline is 0."""
    size = np.abs(contrast.baseline)
    return (contrast.estimate / np.where(size > 0, size, math.nan))[()]
