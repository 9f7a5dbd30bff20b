"""One road from a contrast to every test and interval: choose a reference law, and invert it.

All tests are of H0: variant = factor x baseline. With factor 1 that is "no difference"; with 1 - margin it is
non-inferiority on the ratio scale; the set of factors that are not rejected is Fieller's interval. So
p-values and intervals on both scales can't contradict each other.
"""

import math

import msgspec

from stats.contrasts import Contrast
from stats.references import Reference, Sides


class Interval(msgspec.Struct, frozen=True):
    """Bounds; None on a side that has none."""

    lower: float | None
    upper: float | None


def log10_p(contrast: Contrast, reference: Reference, *, factor: float = 1.0, sides: Sides = 2) -> float:
    """Base-10 logarithm of the p-value of "variant = factor x baseline"; one-sided: against "larger".

    Needs a positive variance.
    """
    return reference.log10_p(statistic(contrast, factor), sides)


def statistic(contrast: Contrast, factor: float = 1.0) -> float:
    """The standardised difference of variant and factor x baseline."""
    return (contrast.variant - factor * contrast.baseline) / math.sqrt(contrast.variance_against(factor))


def difference_interval(contrast: Contrast, reference: Reference, alpha: float) -> Interval:
    """Two-sided interval for variant - baseline: the differences that the test does not reject."""
    half = reference.critical(alpha) * math.sqrt(contrast.variance_against(1.0))
    return Interval(contrast.estimate - half, contrast.estimate + half)


def lift_interval(
    contrast: Contrast, reference: Reference, alpha: float, *, sides: Sides = 2
) -> Interval | None:
    """Fieller's interval for (variant - baseline) / |baseline|.

    Fieller 1954, "Some problems in interval estimation", with d = variant - baseline and q the critical
    value: the lifts L for which (d - L baseline)^2 <= q^2 Var(d - L baseline), a quadratic in L. It contains
    0 exactly when the test of no difference accepts. One-sided (`sides=1`), each bound is at level alpha on
    its own side.

    Returns:
        None when the baseline is not told from 0 at this level: the set is then no interval.
    """
    q2 = reference.critical(alpha, sides) ** 2
    d, base = contrast.estimate, contrast.baseline
    a = base * base - q2 * contrast.var_baseline
    if not a > 0:
        return None
    spread, shared = contrast.variance_against(1.0), contrast.covariance - contrast.var_baseline
    b = d * base - q2 * shared
    c = d * d - q2 * spread
    # b^2 - ac, multiplied out: as a difference of squares it would lose the digits that the width needs.
    inner = base * base * spread - 2 * d * base * shared + d * d * contrast.var_baseline
    root = math.sqrt(q2 * max(inner - q2 * (spread * contrast.var_baseline - shared * shared), 0.0))
    # The root that adds up is computed first, the other from the product of both: no digits cancel.
    far = b + math.copysign(root, b)
    low, high = sorted((far / a, c / far if far else 0.0))
    return Interval(-high, -low) if base < 0 else Interval(low, high)


def lift(contrast: Contrast) -> float | None:
    """(variant - baseline) / |baseline|; None when the baseline is 0."""
    return contrast.estimate / abs(contrast.baseline) if contrast.baseline else None
