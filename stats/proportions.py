"""Two proportions from their counts: the score test, its dual intervals, and intervals of other names.

The score test standardises the difference by its variance under the hypothesis that is tested, so that it
keeps its level with far fewer conversions than the unpooled z. Inverted, it gives the intervals of Miettinen
and Nurminen 1985, "Comparative analysis of two rates", for the difference and for the ratio. At "no
difference" both are one test, so p-value and both intervals agree. Everything is elementwise; NaN is "not
defined": an arm without units, conversions below 0 or above n, numbers that are not finite.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import special

from stats.arrays import Numbers, Real
from stats.inference import Interval
from stats.moments import Moments, Stack
from stats.references import Reference, Sides

_TINY_RATE = 1e-3  # below, cosines lose the digits of a rate: three roots lie close together
_POLISH = 4  # Newton's steps, from three digits to all of them
_LAST_DIGITS = 1e-15
_DOUBLINGS = 1_100  # of a bracket's width: more than there are powers of 2 among doubles

Beyond = Callable[["Table", Numbers, Numbers], Numbers]


class Counts(NamedTuple):
    """Conversions and units of two arms: numbers, or arrays with an element per comparison."""

    variant: Real
    n_variant: Real
    baseline: Real
    n_baseline: Real

    @classmethod
    def of(cls, variant: Moments | Stack, baseline: Moments | Stack) -> Self:
        """The counts behind the moments of a 0/1 measure, which is their first column."""
        conversions = (np.rint(arm.mean[0] * arm.n) for arm in (variant, baseline))
        return cls(next(conversions), variant.n, next(conversions), baseline.n)

    @property
    def swapped(self) -> "Counts":
        """The arms exchanged: differences change their sign, ratios turn over."""
        return Counts(self.baseline, self.n_baseline, self.variant, self.n_variant)


class Table(NamedTuple):
    """Counts that mean something, or NaN, as arrays of one shape: x of n units of the variant, y of m."""

    x: Numbers
    n: Numbers
    y: Numbers
    m: Numbers

    @classmethod
    def of(cls, counts: "Counts | Table") -> "Table":
        """Checked once: a table stays what it is."""
        if isinstance(counts, Table):
            return counts
        x, n, y, m = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in counts))
        with np.errstate(invalid="ignore"):
            good = np.isfinite(n) & np.isfinite(m) & (n >= 1) & (m >= 1)
            good &= (x >= 0) & (x <= n) & (y >= 0) & (y <= m)
        return cls(*(np.where(good, each, math.nan) for each in (x, n, y, m)))

    @property
    def swapped(self) -> "Table":
        return Table(self.y, self.m, self.x, self.n)

    @property
    def complement(self) -> "Table":
        """Units that did not convert, arms exchanged: the difference stays what it was."""
        return Table(self.m - self.y, self.m, self.n - self.x, self.n)

    def where(self, condition: npt.NDArray[np.bool_], other: "Table") -> "Table":
        """This table where the condition holds, the other one elsewhere."""
        return Table(*(np.where(condition, a, b) for a, b in zip(self, other, strict=True)))


class _Null(NamedTuple):
    """How far the estimate is from a hypothesis about two rates, and the variance of that under it."""

    distance: Numbers
    variance: Numbers


def score_statistic(counts: Counts | Table, difference: Real = 0.0) -> Real:
    """Standard score of "variant - baseline = difference"; Miettinen and Nurminen 1985, section 3.

    At 0 it is the pooled z times sqrt((N - 1) / N); 0 where no one converted, or everyone, as nothing speaks
    for a difference. Infinite where the data contradict the hypothesis outright.
    """
    return _standardised(_difference_null(Table.of(counts), np.asarray(difference, dtype=np.float64)))


def score_ratio_statistic(counts: Counts | Table, ratio: Real = 1.0) -> Real:
    """Standard score of "variant = ratio x baseline"; at 1 it equals `score_statistic` at 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return score_log_ratio_statistic(counts, np.log(ratio))


def score_log_ratio_statistic(counts: Counts | Table, log_ratio: Real = 0.0) -> Real:
    """`score_ratio_statistic` of a ratio's logarithm, which keeps the digits of small lifts."""
    with np.errstate(invalid="ignore"):
        return _standardised(_ratio_null(Table.of(counts), np.asarray(log_ratio, dtype=np.float64)))


def miettinen_nurminen_difference(
    counts: Counts, reference: Reference, alpha: Real, *, sides: Sides = 2
) -> Interval:
    """The differences that the score test does not reject, within [-1, 1].

    One-sided (`sides=1`), each bound is at level alpha on its own side.
    """
    found = _interval(_lower_difference, counts, reference.critical(alpha, sides))
    return Interval(found.lower[()], found.upper[()])


def miettinen_nurminen_lift(
    counts: Counts, reference: Reference, alpha: Real, *, sides: Sides = 2
) -> Interval:
    """The lifts (ratio - 1) that the score test does not reject.

    Returns:
        The lower bound is -1 where the variant has no conversion, and the upper one infinite where the
        baseline has none: the data do not say more.
    """
    found = _interval(_lower_log_ratio, counts, reference.critical(alpha, sides))
    return Interval(np.expm1(found.lower)[()], np.expm1(found.upper)[()])


def wilson(conversions: Real, n: Real, reference: Reference, alpha: Real) -> Interval:
    """Interval of one rate, the dual of its score test; Wilson 1927, "Probable inference"."""
    arm = Table.of(Counts(conversions, n, conversions, n))
    q2 = np.square(reference.critical(alpha))
    centre, half = arm.x + q2 / 2, np.sqrt(q2 * (arm.x * (arm.n - arm.x) / arm.n + q2 / 4))
    return Interval(
        np.where(arm.x == 0, 0.0, (centre - half) / (arm.n + q2))[()],
        np.where(arm.x == arm.n, 1.0, (centre + half) / (arm.n + q2))[()],
    )


def clopper_pearson(conversions: Real, n: Real, alpha: Real) -> Interval:
    """Exact interval of one rate, alpha / 2 on each side; Clopper and Pearson 1934."""
    arm, tail = Table.of(Counts(conversions, n, conversions, n)), np.divide(alpha, 2)
    left = arm.n - arm.x
    lower = special.betaincinv(np.where(arm.x == 0, 1.0, arm.x), left + 1, tail)
    upper = special.betainccinv(arm.x + 1, np.where(left == 0, 1.0, left), tail)
    return Interval(np.where(arm.x == 0, 0.0, lower)[()], np.where(left == 0, 1.0, upper)[()])


def newcombe(counts: Counts, reference: Reference, alpha: Real) -> Interval:
    """Interval for the difference from the arms' Wilson intervals; no test has it as its dual.

    Newcombe 1998, "Interval estimation for the difference between independent proportions: comparison of
    eleven methods", method 10.
    """
    table = Table.of(counts)
    variant, baseline = table.x / table.n, table.y / table.m
    v, b = wilson(table.x, table.n, reference, alpha), wilson(table.y, table.m, reference, alpha)
    estimate = variant - baseline
    return Interval(
        (estimate - np.hypot(variant - v.lower, b.upper - baseline))[()],
        (estimate + np.hypot(v.upper - variant, baseline - b.lower))[()],
    )


def agresti_caffo(counts: Counts, reference: Reference, alpha: Real) -> Interval:
    """Wald's interval for the difference after one more unit of each kind in each arm.

    Agresti and Caffo 2000, "Simple and effective confidence intervals for proportions and differences of
    proportions result from adding two successes and two failures".
    """
    table = Table.of(counts)
    n, m = table.n + 2, table.m + 2
    variant, baseline = (table.x + 1) / n, (table.y + 1) / m
    half = reference.critical(alpha) * np.sqrt(variant * (1 - variant) / n + baseline * (1 - baseline) / m)
    return Interval((variant - baseline - half)[()], (variant - baseline + half)[()])


def log_relative_statistic(counts: Counts, *, added: float = 0.0) -> Real:
    """The logarithm of the ratio over its standard error; NaN where it has none."""
    estimate, error = _log_ratio(Table.of(counts), added)
    return np.where(error > 0, estimate / np.where(error > 0, error, 1.0), math.nan)[()]


def log_relative(counts: Counts, reference: Reference, alpha: Real, *, added: float = 0.0) -> Interval:
    """Interval for the lift, symmetric on the logarithm of the ratio: the dual of `log_relative_statistic`.

    Katz, Baptista, Azen, Pike 1978, "Obtaining confidence intervals for the risk ratio in cohort studies".
    Undefined without a conversion in each arm; with `added=0.5` conversions and units in each (Walter 1975,
    "The distribution of Levin's measure of attributable risk") it is defined there too, if wide.
    """
    estimate, error = _log_ratio(Table.of(counts), added)
    half = reference.critical(alpha) * error
    return Interval(np.expm1(estimate - half)[()], np.expm1(estimate + half)[()])


def _log_ratio(table: Table, added: float) -> tuple[Numbers, Numbers]:
    """Logarithm of the ratio and its standard error, after adding to every count."""
    x, n, y, m = (each + added for each in table)
    some = (x > 0) & (y > 0)
    x, y = np.where(some, x, math.nan), np.where(some, y, math.nan)
    return np.log(x / n) - np.log(y / m), np.sqrt((1 / x - 1 / n) + (1 / y - 1 / m))


def _standardised(null: _Null) -> Real:
    """Distance in standard errors; without variance nothing (0) or everything (infinity) is said."""
    some = null.variance > 0
    outright = np.where(null.distance == 0, 0.0, np.copysign(math.inf, null.distance))
    found = np.where(some, null.distance / np.sqrt(np.where(some, null.variance, 1.0)), outright)
    return np.where(np.isnan(null.distance), math.nan, found)[()]


def _difference_null(table: Table, difference: Numbers) -> _Null:
    """The most likely rates with this difference: a cubic, solved by cosines and polished by Newton's steps.

    Turned so that the baseline's rate is the smaller one and the rarer outcome is what counts: then no digit
    is lost at 10^12 units with a handful of conversions.
    """
    common = table.x + table.y > (table.n + table.m) / 2
    turned = table.complement.where(common, table) if common.any() else table
    down, size = difference < 0, np.abs(difference)
    x, n, y, m = turned.swapped.where(down, turned) if down.any() else turned
    total, converted = n + m, x + y
    a, b = total, (n + 2 * m) * size - total - converted
    c, d = (m * size - total - 2 * y) * size + converted, y * size * (1 - size)
    low = _middle_root(a, b, c, d)
    if (tiny := low < _TINY_RATE).any():
        low = np.where(tiny, _small_root(b, c, d), low)
    for _ in range(_POLISH):
        slope = (3 * a * low + 2 * b) * low + c
        step = (((a * low + b) * low + c) * low + d) / np.where(slope == 0, math.inf, slope)
        low = np.minimum(np.maximum(low - step, 0.0), 1 - size)
        if not (np.abs(step) > _LAST_DIGITS * low).any():
            break
    high = low + size
    variance = high * np.maximum(1 - high, 0.0) / n + low * (1 - low) / m
    distance = x / n - y / m - size
    return _Null(np.where(down, -distance, distance), variance * total / (total - 1))


def _middle_root(a: Numbers, b: Numbers, c: Numbers, d: Numbers) -> Numbers:
    """The middle one of a cubic's three real roots; Miettinen and Nurminen 1985, appendix I."""
    third = b / (3 * a)
    v = third**3 - third * c / (2 * a) + d / (2 * a)
    size = np.copysign(np.sqrt(np.maximum(third**2 - c / (3 * a), 0.0)), v)
    ratio = np.where(size == 0, 0.0, v / np.where(size == 0, 1.0, size) ** 3)
    found: Numbers = 2 * size * np.cos((math.pi + np.arccos(np.clip(ratio, -1.0, 1.0))) / 3) - third
    return found


def _small_root(b: Numbers, c: Numbers, d: Numbers) -> Numbers:
    """The root above 0 of what is left of the cubic where the cube of a small rate counts as nothing."""
    root = np.sqrt(np.maximum(c * c - 4 * b * d, 0.0))
    above = np.where(b < 0, (c + root) / np.where(b < 0, -2 * b, 1.0), 0.0)
    found: Numbers = np.where(c > 0, above, 2 * d / np.where(root > c, root - c, 1.0))
    return found


def _ratio_null(table: Table, log_ratio: Numbers) -> _Null:
    """The most likely rates with this ratio: a quadratic, for the rates and for what is left of 1."""
    x, n, y, m = table
    ratio, total = np.exp(log_ratio), n + m
    linear = n * ratio + x + m + y * ratio
    root = np.sqrt(np.maximum(linear * linear - 4 * total * ratio * (x + y), 0.0))
    baseline = 2 * (x + y) / (linear + root)
    variant = np.minimum(ratio * baseline, 1.0)
    left_variant, left_baseline = _left_of_one(table.swapped, -log_ratio), _left_of_one(table, log_ratio)
    variance = variant * left_variant / n + ratio * ratio * baseline * left_baseline / m
    # The difference of two rates close to 1 has more digits as one of what is left of 1.
    left = ratio * ((m - y) / m) - (n - x) / n - np.expm1(log_ratio)
    distance = np.where(x + y > total / 2, left, x / n - ratio * (y / m))
    return _Null(distance, variance * total / (total - 1))


def _left_of_one(table: Table, log_ratio: Numbers) -> Numbers:
    """1 - the most likely baseline rate, as the root of a quadratic of its own."""
    x, n, y, m = table
    ratio, lift = np.exp(log_ratio), np.expm1(log_ratio)
    linear = (n + m) * lift + (n - x) + ratio * (m - y)
    square, constant = 2 * (n + m) * ratio, 2 * (m - y) * lift
    root = np.sqrt(np.maximum(linear * linear - square * constant, 0.0))
    turned = constant / np.where(linear < root, linear - root, -1.0)
    return np.clip(np.where(linear >= 0, (linear + root) / square, turned), 0.0, 1.0)


class _Bounds(NamedTuple):
    """An interval, always of arrays."""

    lower: Numbers
    upper: Numbers


def _interval(lower: Callable[[Table, Numbers], Numbers], counts: Counts, critical: Real) -> _Bounds:
    """The lower bound, and the upper one as the lower bound of the arms exchanged."""
    table = Table.of(counts)
    shape = np.broadcast_shapes(table.x.shape, np.shape(critical))
    flat = Table(*(np.broadcast_to(each, shape).ravel() for each in table))
    q = np.broadcast_to(np.asarray(critical, dtype=np.float64), shape).ravel()
    # Both at once: a search costs the same for one number and for many.
    both = Table(*(np.concatenate(pair) for pair in zip(flat, flat.swapped, strict=True)))
    low, high = np.split(lower(both, np.concatenate([q, q])), 2)
    return _Bounds(low.reshape(shape), -high.reshape(shape))


def _lower_difference(table: Table, critical: Numbers) -> Numbers:
    """The smallest difference whose score is at most the critical value."""
    estimate = table.x / table.n - table.y / table.m
    variance = _difference_null(table, estimate).variance
    step = critical * np.sqrt(variance) + critical**2 / np.minimum(table.n, table.m)
    start = np.maximum(estimate - np.where(variance > 0, 0.0, _nudge(table, critical)), -1.0)
    return _outward(_beyond_difference, table, critical, start, step, end=-1.0)


def _lower_log_ratio(table: Table, critical: Numbers) -> Numbers:
    """The smallest logarithm of a ratio whose score is at most the critical value."""
    none = table.x == 0
    some = Table(*(np.where(none, math.nan, each) for each in table))
    x, n, y, m = some
    baseline = np.maximum(y, 0.5)
    step = critical * np.sqrt(1 / x + 1 / baseline)
    start = np.log(x / n) - np.log(baseline / m)
    start = start - np.where((x == n) & (y == m), _nudge(some, critical), 0.0)
    # Without conversions in the baseline no ratio is too large: start where the score accepts.
    for _ in range(_DOUBLINGS):
        away = (y == 0) & (_beyond_ratio(some, critical, start) > 0)
        if not away.any():
            break
        start = np.where(away, start + step, start)
    found = _outward(_beyond_ratio, some, critical, start, step, end=-math.inf)
    return np.where(none, -math.inf, found)


def _beyond_difference(table: Table, critical: Numbers, difference: Numbers) -> Numbers:
    """Positive where the score exceeds the critical value, without dividing by a variance."""
    null = _difference_null(table, difference)
    return null.distance - critical * np.sqrt(null.variance)


def _beyond_ratio(table: Table, critical: Numbers, log_ratio: Numbers) -> Numbers:
    null = _ratio_null(table, log_ratio)
    return null.distance - critical * np.sqrt(null.variance)


def _nudge(table: Table, critical: Numbers) -> Numbers:
    """A step off an estimate without variance: distance and variance are both 0 there, so it is no bound."""
    q2 = critical**2
    found: Numbers = q2 / (8 * (np.maximum(table.n, table.m) + q2))
    return found


def _outward(
    beyond: Beyond, table: Table, critical: Numbers, start: Numbers, step: Numbers, *, end: float
) -> Numbers:
    """Where `beyond` becomes positive below `start`; `end` where it nowhere does."""
    from scipy.optimize import elementwise

    inner, outer = start, np.maximum(start - step, end)
    for _ in range(_DOUBLINGS):
        short = (beyond(table, critical, outer) <= 0) & (outer > end)
        if not short.any():
            break
        inner, step = np.where(short, outer, inner), np.where(short, 2 * step, step)
        outer = np.where(short, np.maximum(outer - step, end), outer)
    found = elementwise.find_root(
        lambda at, *rest: beyond(Table(*rest[:4]), rest[4], at), (outer, inner), args=(*table, critical)
    )
    reached = beyond(table, critical, outer) > 0
    return np.where(np.isnan(start), math.nan, np.where(reached, found.x, end))
