"""Tests against a margin: non-inferiority, superiority by more than a margin, and equivalence (TOST).

Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach". On the ratio
scale the margin is a share of the true baseline, not of the observed one: H0 is variant = factor x baseline
(Hauschke, Kieser, Diletti, Burke 1999, "Sample size determination for proving equivalence based on the ratio
of two means for normally distributed data"), and the interval is Fieller's.
Everything is elementwise and takes any contrast and any reference law; p <= alpha exactly when the interval
lies beyond the margin. NaN is "not defined": no variance, or on the ratio scale a baseline that is not told
from 0 at the level asked for.
"""

import math
from typing import NamedTuple

import numpy as np

from stats import inference
from stats.arrays import Real
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.inference import Interval
from stats.numerics import positive, quiet
from stats.references import Reference


class Shown(NamedTuple):
    """A test against a margin and the interval that inverts it; an open side is infinite."""

    log10_p: Real
    lower: Real
    upper: Real


def non_inferior_lift(
    contrast: Contrast, reference: Reference, *, margin: Real, alpha: float, sign: int = 1
) -> Shown:
    """Is the lift better than -margin (`sign` -1: below +margin)? One-sided at alpha.

    Raises:
        StatsError: a margin that is negative or not finite; an alpha that is not between 0 and 0.5.
    """
    check_margin(margin, alpha)
    return beyond_lift(contrast, reference, -sign * np.asarray(margin), alpha, sign)


def superior_lift(
    contrast: Contrast, reference: Reference, *, margin: Real = 0.0, alpha: float, sign: int = 1
) -> Shown:
    """Is the lift better than +margin (`sign` -1: below -margin)? One-sided at alpha.

    Raises:
        StatsError: as for `non_inferior_lift`.
    """
    check_margin(margin, alpha)
    return beyond_lift(contrast, reference, sign * np.asarray(margin), alpha, sign)


def equivalent_lift(
    contrast: Contrast, reference: Reference, *, lower: Real, upper: Real, alpha: float
) -> Shown:
    """Does the lift lie between two margins, as in -0.02 and 0.02? Two one-sided tests at alpha each.

    The interval holds 1 - 2 alpha; the p-value is the larger one.

    Raises:
        StatsError: margins that are not finite or not in order.
    """
    _check_pair(lower, upper, alpha)
    above = beyond_lift(contrast, reference, lower, alpha, 1)
    below = beyond_lift(contrast, reference, upper, alpha, -1)
    return Shown(np.maximum(above.log10_p, below.log10_p), above.lower, below.upper)


def non_inferior_difference(
    contrast: Contrast, reference: Reference, *, margin: Real, alpha: float, sign: int = 1
) -> Shown:
    """Is the difference better than -margin, in the metric's unit? One-sided at alpha.

    Raises:
        StatsError: a margin that is negative or not finite; an alpha that is not between 0 and 0.5.
    """
    check_margin(margin, alpha)
    return _beyond_difference(contrast, reference, -sign * np.asarray(margin), alpha, sign)


def superior_difference(
    contrast: Contrast, reference: Reference, *, margin: Real = 0.0, alpha: float, sign: int = 1
) -> Shown:
    """Is the difference better than +margin, in the metric's unit? One-sided at alpha.

    Raises:
        StatsError: as for `non_inferior_difference`.
    """
    check_margin(margin, alpha)
    return _beyond_difference(contrast, reference, sign * np.asarray(margin), alpha, sign)


def equivalent_difference(
    contrast: Contrast, reference: Reference, *, lower: Real, upper: Real, alpha: float
) -> Shown:
    """Does the difference lie between two margins, in the metric's unit? Two one-sided tests at alpha each.

    The interval holds 1 - 2 alpha; the p-value is the larger one.

    Raises:
        StatsError: margins that are not finite or not in order.
    """
    _check_pair(lower, upper, alpha)
    above = _beyond_difference(contrast, reference, lower, alpha, 1)
    below = _beyond_difference(contrast, reference, upper, alpha, -1)
    return Shown(np.maximum(above.log10_p, below.log10_p), above.lower, below.upper)


@quiet
def beyond_lift(contrast: Contrast, reference: Reference, lift: Real, alpha: float, sign: int) -> Shown:
    """One-sided at alpha: is the lift above the given one (`sign` -1: below it)?"""
    # A lift is over |baseline|: variant = baseline + lift |baseline|.
    factor = 1 + np.copysign(1.0, contrast.baseline) * lift
    error = np.sqrt(positive(contrast.variance_against(factor)))
    z = sign * (contrast.variant - factor * contrast.baseline) / error
    return _shown(z, inference.lift_interval(contrast, reference, alpha, sides=1), reference, sign)


@quiet
def _beyond_difference(
    contrast: Contrast, reference: Reference, difference: Real, alpha: float, sign: int
) -> Shown:
    error = np.sqrt(positive(contrast.variance_against(1.0)))
    half = reference.critical(alpha, 1) * error
    z = sign * (contrast.estimate - difference) / error
    return _shown(z, Interval(contrast.estimate - half, contrast.estimate + half), reference, sign)


def _shown(z: Real, interval: Interval, reference: Reference, sign: int) -> Shown:
    """NaN throughout where there is no statistic or no interval."""
    known = np.isfinite(z) & np.isfinite(interval.lower) & np.isfinite(interval.upper)
    return Shown(
        np.where(known, reference.log10_p(np.where(known, z, 0.0), 1), math.nan)[()],
        np.where(known, interval.lower if sign > 0 else -math.inf, math.nan)[()],
        np.where(known, interval.upper if sign < 0 else math.inf, math.nan)[()],
    )


def check_margin(margin: Real, alpha: float) -> None:
    """Refuse a margin or a one-sided level without meaning.

    Raises:
        StatsError: a margin that is negative or not finite; an alpha that is not between 0 and 0.5.
    """
    if not np.all(np.isfinite(margin) & np.greater_equal(margin, 0)):
        raise StatsError(f"a margin must be finite and not negative, not {margin}")
    _check_level(alpha)


def _check_pair(lower: Real, upper: Real, alpha: float) -> None:
    if not np.all(np.isfinite(lower) & np.isfinite(upper) & np.less(lower, upper)):
        raise StatsError(f"the margins must be finite, the lower one first, not {lower} and {upper}")
    _check_level(alpha)


def _check_level(alpha: float) -> None:
    if not 0 < alpha < 0.5:  # noqa: PLR2004 - beyond, the interval of 1 - 2 alpha is empty
        raise StatsError(f"a one-sided alpha must lie between 0 and 0.5, both excluded, not {alpha}")
