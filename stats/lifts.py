"""Relative lifts by the delta method: named alternatives to Fieller's interval, each with its own dual test.

Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", on percent changes. The test of
Fieller's pair is that of the difference itself; these have tests of their own, so a linear or logarithmic
interval is only ever shown beside the p-value of the same pair. A lift is (variant - baseline) / |baseline|;
every test is of H0: lift = a given one, and an interval holds the lifts that its test does not reject.
Elementwise; NaN is "not defined".
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from stats import inference
from stats.arrays import Real
from stats.contrasts import Contrast
from stats.inference import Interval
from stats.references import Reference, Sides

_LARGEST = 700.0  # logarithm of a ratio, beyond which there is no double for it: no interval


class Pair(NamedTuple):
    """A test of a lift and the interval that inverts it.

    `statistic(contrast, lift)` is standardised, large for lifts above the given one, and read by a reference
    law's `log10_p`; `interval(contrast, reference, alpha, sides)` has two bounds, each at level alpha on its
    own side when `sides` is 1.
    """

    statistic: Callable[[Contrast, Real], Real]
    interval: Callable[[Contrast, Reference, Real, Sides], Interval]


def linear_error(contrast: Contrast) -> Real:
    """Standard error of the lift; with m, b the means and R = m/b: sqrt(Var(m - R b)) / |b|."""
    baseline = _nonzero(contrast.baseline)
    return _root(contrast.variance_against(contrast.variant / baseline)) / np.abs(baseline)


def linear_statistic(contrast: Contrast, lift: Real = 0.0) -> Real:
    """The linear delta method's z of H0: the lift is `lift`. Lopsided where the baseline is noisy."""
    return (inference.lift(contrast) - lift) / linear_error(contrast)


def linear_interval(contrast: Contrast, reference: Reference, alpha: Real, sides: Sides = 2) -> Interval:
    """The lift -+ critical value x its error: symmetric, as GrowthBook, Eppo and PostHog report it."""
    half = reference.critical(alpha, sides) * linear_error(contrast)
    return Interval(inference.lift(contrast) - half, inference.lift(contrast) + half)


def log_error(contrast: Contrast) -> Real:
    """Standard error of ln(m/b): sqrt(Var(m)/m^2 - 2 Cov/(m b) + Var(b)/b^2); NaN unless m/b > 0."""
    ratio = contrast.variant / _nonzero(contrast.baseline)
    ratio = np.where(ratio > 0, ratio, math.nan)
    return (_root(contrast.variance_against(ratio)) / np.abs(ratio * contrast.baseline))[()]


def log_statistic(contrast: Contrast, lift: Real = 0.0) -> Real:
    """The logarithmic delta method's z of H0: the lift is `lift`, which is above -1 (below 1 for losses).

    Signed as the lift is: for a negative baseline a smaller ratio is a larger lift.
    """
    sign = np.sign(contrast.baseline)
    inside = 1 + sign * np.asarray(lift)
    log = np.log(np.where(inside > 0, inside, math.nan))
    return (sign * (_log_ratio(contrast) - log) / log_error(contrast))[()]


def log_interval(contrast: Contrast, reference: Reference, alpha: Real, sides: Sides = 2) -> Interval:
    """(variant / baseline) x exp(-+ critical value x error) - 1, as tea-tasting reports it."""
    half = reference.critical(alpha, sides) * log_error(contrast)
    centre = _log_ratio(contrast)
    half = np.where(np.abs(centre) + half < _LARGEST, half, math.nan)
    low, high = np.expm1(centre - half), np.expm1(centre + half)
    loss = np.less(contrast.baseline, 0)
    return Interval(np.where(loss, -high, low)[()], np.where(loss, -low, high)[()])


def fieller_statistic(contrast: Contrast, lift: Real = 0.0) -> Real:
    """The z of H0: the lift is `lift`, as the test of variant = factor x baseline, signed as the lift is."""
    return inference.statistic(contrast, 1 + np.sign(contrast.baseline) * lift)


def _fieller_interval(contrast: Contrast, reference: Reference, alpha: Real, sides: Sides = 2) -> Interval:
    return inference.lift_interval(contrast, reference, alpha, sides=sides)


RELATIVE: Mapping[str, Pair] = {
    "fieller": Pair(fieller_statistic, _fieller_interval),  # the default: dual to the absolute test
    "linear_delta": Pair(linear_statistic, linear_interval),
    "log_delta": Pair(log_statistic, log_interval),
}


def _log_ratio(contrast: Contrast) -> Real:
    """ln(variant / baseline); NaN unless it is positive."""
    baseline = _nonzero(contrast.baseline)
    lift = contrast.estimate / baseline
    # Near 1 the difference has the digits, far from it the ratio.
    near = np.abs(lift) < 0.5  # noqa: PLR2004
    ratio = np.where(near, 1.0, contrast.variant / baseline)
    log = np.log(np.where(ratio > 0, ratio, math.nan))
    return np.where(near, np.log1p(np.where(near, lift, 0.0)), log)[()]


def _nonzero(value: Real) -> Real:
    return np.where(np.equal(value, 0), math.nan, value)[()]


def _root(variance: Real) -> Real:
    """A standard error; NaN where there is no variance, so that nothing can be tested."""
    return np.sqrt(np.where(np.greater(variance, 0), variance, math.nan))[()]
