"""Unconditional exact tests of two proportions: the worst probability over the rates that are searched.

For a table, an order of all tables ("says at least as much for the variant") and a parameter (difference, or
logarithm of the ratio): sup P(a table that says at least as much), over pairs of rates with that parameter.
The lower bound is where this falls below a level. Which tests these are, and whose, `stats.exact` tells.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

from stats import proportions
from stats.arrays import Codes, Numbers, Real
from stats.proportions import Counts, Table
from stats.references import StudentT

MOST = 5_000  # counts of one arm that are gone through; more take seconds
TIES = 1e-9  # relative: statistics that differ by rounding only are equal

_OUTSIDE = 1e-15  # probability of the counts on one side that are not gone through
_SPACING = 0.25  # of the grid, in standard errors of a rate
_PEAKS, _ROUNDS, _FINER = 4, 2, 9  # of the grid: how many are searched again, how often, at how many rates
_PRECISION = 1e-6  # of a bound, as a share of its distance from the estimate
_MARGIN = 0.125  # of the first bracket around the approximate bound, as a share of the same
_LARGEST_LOG = 700.0  # whose exponential is a double


class Cells(NamedTuple):
    """x of n units of the variant converted, y of m of the baseline."""

    x: int
    n: int
    y: int
    m: int

    @property
    def swapped(self) -> "Cells":
        return Cells(self.y, self.m, self.x, self.n)

    @property
    def complement(self) -> "Cells":
        return Cells(self.m - self.y, self.m, self.n - self.x, self.n)


class Arm(NamedTuple):
    """One arm: the rates that are searched, and the counts that can be seen at them."""

    n: int
    low: float
    high: float
    counts: Numbers
    log_choose: Numbers

    @classmethod
    def of(cls, conversions: int, n: int, gamma: float) -> "Arm | None":
        """None where more counts can be seen than an exact method goes through."""
        low, high = 0.0, 1.0
        if gamma > 0:
            found = proportions.clopper_pearson(conversions, n, gamma / 2)
            low, high = float(found.lower), float(found.upper)
        first = max(0, math.floor(n * low - _reach(n, low))) if low > 0 else 0
        last = min(n, math.ceil(n * high + _reach(n, high))) if high < 1 else n
        if last - first >= MOST:
            return None
        counts = first + np.arange(last - first + 1, dtype=np.float64)
        return cls(n, low, high, counts, log_choose(n, counts))

    def law(self, rates: Numbers) -> Numbers:
        """Binomial probabilities: a row per rate, a column per count."""
        rates = np.clip(rates, 1e-300, 1 - 1e-16)
        seen = np.outer(np.log(rates), self.counts) + np.outer(np.log1p(-rates), self.n - self.counts)
        found: Numbers = np.exp(self.log_choose + seen)
        return found


def _reach(n: int, rate: float) -> float:
    """How far a binomial count strays from its mean but with probability `_OUTSIDE`, by Bernstein's bound."""
    size = -math.log(_OUTSIDE)
    return size / 3 + math.sqrt(size * size / 9 + 2 * size * n * rate * (1 - rate))


def log_choose(n: int, k: Numbers | Codes) -> Numbers:
    """Logarithm of the binomial coefficient; the beta function keeps its digits at any n."""
    found: Numbers = -special.betaln(n - k + 1.0, k + 1.0) - math.log(n + 1)
    return found


def arms(table: Cells, gamma: float) -> tuple[Arm, Arm] | None:
    """Variant and baseline, whose rates both lie in what is searched with probability 1 - gamma."""
    variant, baseline = Arm.of(table.x, table.n, gamma), Arm.of(table.y, table.m, gamma)
    return None if variant is None or baseline is None else (variant, baseline)


class Scale(NamedTuple):
    """What is estimated: the difference, or the logarithm of the ratio; 0 is "no difference" on both.

    On both, the parameter of the arms exchanged is its negative.
    """

    statistic: Callable[[Counts | Table, Real], Real]
    approximate: Callable[[Counts, float], float]  # lower bound at a two-sided level
    estimate: Callable[[float, float], float]  # of two rates
    variant: Callable[[Numbers, float], Numbers]  # the variant's rate, of the baseline's and the parameter
    end: float  # the smallest parameter


def _approximate_difference(counts: Counts, alpha: float) -> float:
    return float(proportions.newcombe(counts, StudentT(), alpha).lower)


def _approximate_log_ratio(counts: Counts, alpha: float) -> float:
    return math.log1p(float(proportions.log_relative(counts, StudentT(), alpha, added=0.5).lower))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


DIFFERENCE = Scale(
    statistic=proportions.score_statistic,
    approximate=_approximate_difference,
    estimate=lambda variant, baseline: variant - baseline,
    variant=lambda rates, at: rates + at,
    end=-1.0,
)
LOG_RATIO = Scale(
    statistic=proportions.score_log_ratio_statistic,
    approximate=_approximate_log_ratio,
    estimate=lambda variant, baseline: _log(variant) - _log(baseline) if variant > 0 else -math.inf,
    variant=lambda rates, at: rates * math.exp(min(at, _LARGEST_LOG)),
    end=-math.inf,
)


class Order(Protocol):
    """Which tables say at least as much for "variant above baseline" as the observed one."""

    def least(self, scale: Scale, at: float) -> Codes:
        """Per count of the baseline, the place of the smallest of the variant's counts that does."""


class ScoreOrder:
    """Tables ordered by the score statistic of the parameter that is tested."""

    def __init__(self, table: Cells, variant: Arm, baseline: Arm) -> None:
        self._observed = Counts(*table)
        self._variant, self._baseline = variant, baseline
        self._guess = np.zeros(len(baseline.counts), dtype=np.int64)

    def least(self, scale: Scale, at: float) -> Codes:
        observed = float(scale.statistic(self._observed, at))
        enough = observed - TIES * max(1.0, abs(observed)) if math.isfinite(observed) else observed
        counts, last = self._variant.counts, len(self._variant.counts) - 1
        n, m = np.array(float(self._variant.n)), np.array(float(self._baseline.n))

        def says(place: Codes, y: Numbers) -> npt.NDArray[np.bool_]:
            x = counts[np.clip(place, 0, last)]
            found = scale.statistic(Table(x, n, y, m), at) >= enough
            return (place > last) | ((place >= 0) & found)

        # Parameters that are tried one after the other have nearly the same tables: look near the last ones.
        y, guess = self._baseline.counts, self._guess
        both = says(np.concatenate([guess, guess - 1]), np.concatenate([y, y]))
        there, below = both[: len(y)], both[len(y) :]
        low = np.where(there, np.where(below, 0, guess), guess + 1)
        high = np.where(there, np.where(below, guess - 1, guess), last + 1)
        step = 1
        while (searched := low < high).any():
            middle = (low + high) // 2
            probe = np.where(there, np.maximum(high - step, middle), np.minimum(low + step - 1, middle))
            found = says(probe, y)
            high = np.where(searched & found, probe, high)
            low = np.where(searched & ~found, probe + 1, low)
            step *= 2
        self._guess = low
        return low


class FisherOrder:
    """Tables ordered by Fisher's one-sided p-value, whatever the parameter; by difference where that is 1."""

    def __init__(self, table: Cells, variant: Arm, baseline: Arm) -> None:
        least: Numbers
        if table.x == 0 or table.y == table.m:
            least = _above_difference(table, baseline.counts)
        elif table.x + table.y <= (table.n + table.m) / 2:
            stairs = _fisher_staircase(table, int(baseline.counts[-1]))
            least = stairs[baseline.counts.astype(np.int64)].astype(np.float64)
        else:
            # By those who did not convert, arms exchanged, the way is short; then read from the other side.
            stairs = _fisher_staircase(table.complement, table.n - int(variant.counts[0]))
            most = np.searchsorted(stairs, table.m - baseline.counts, side="right").astype(np.float64)
            least = table.n + 1 - most
        place = np.clip(least - int(variant.counts[0]), 0, len(variant.counts))
        self._least: Codes = place.astype(np.int64)

    def least(self, scale: Scale, at: float) -> Codes:  # noqa: ARG002 - one order for all parameters
        return self._least


def _above_difference(table: Cells, counts: Numbers) -> Numbers:
    """Every table whose p-value is below 1 (0 < x, y < m), and of the others those of larger difference."""
    observed = table.x / table.n - table.y / table.m
    enough = -counts / table.m >= observed - TIES
    at_end = np.ceil(table.n * (1 + observed) - table.n * TIES)
    return np.where(counts < table.m, np.where(enough, 0, 1), np.maximum(at_end, 0))


def _fisher_staircase(table: Cells, last: int) -> Codes:
    """Per baseline count y up to `last`, the smallest variant count x whose p-value is at most the observed.

    The p-value P(X >= x | x + y) is followed along the stairs: one more conversion adds the chance that it is
    the one that was missing, P(X = x - 1) (n - x + 1) / (n + m - x - y); one step up takes P(X = x) away. All
    terms are positive until then, so nothing cancels but what the step takes.
    """
    n, m = table.n, table.m
    limit = _fisher_p(table) * (1 + TIES)
    stairs: list[int] = []
    x, p, before = 1, 0.0, 1.0  # the step, P(X >= x), P(X = x - 1)
    for total in range(n + m):
        if total - x == len(stairs):
            stairs.append(x)
            if len(stairs) > last:
                break
        y, share = total - x + 1, before / (n + m - total)
        p += share * (n - x + 1)
        if p > limit:
            before = share * (total + 1) * (n - x + 1) / x
            p -= before
            x += 1
        else:
            before = share * (total + 1) * (m - y) / (y + 1)
    return np.array(stairs + [n + 1] * (last + 1 - len(stairs)), dtype=np.int64)


def _fisher_p(table: Cells) -> float:
    """P(X >= x | x + y) if there is no difference."""
    x, n, y, m = table
    k = np.arange(max(0, x + y - m), min(n, x + y) + 1)
    law = special.softmax(log_choose(n, k) + log_choose(m, x + y - k))
    return float(law[x - int(k[0]) :].sum())


class Side(NamedTuple):
    """A one-sided exact test of one table, against "variant above baseline"."""

    table: Cells
    variant: Arm
    baseline: Arm
    order: Order


def tail(side: Side, scale: Scale, at: float) -> float:
    """The supremum of P(a table that says at least as much), over the searched rates of this parameter."""
    variant, baseline = side.variant, side.baseline
    ends = scale.variant(np.array([variant.low, variant.high]), -at)
    low, high = max(baseline.low, float(ends[0])), min(baseline.high, float(ends[1]))
    if low > high:  # all that is searched lies on one side of the parameter: below it nothing is shown
        return 1.0 if ends[1] < baseline.low else 0.0
    least = side.order.least(scale, at)

    def probability(rates: Numbers) -> Numbers:
        law = variant.law(np.clip(scale.variant(rates, at), 0.0, 1.0))
        at_least = np.zeros((len(rates), len(variant.counts) + 1))
        at_least[:, :-1] = np.cumsum(law[:, ::-1], axis=1)[:, ::-1]
        found: Numbers = np.einsum("ij,ij->i", baseline.law(rates), at_least[:, least])
        return found

    return _supremum(probability, low, high, max(variant.n, baseline.n))


def _supremum(probability: Callable[[Numbers], Numbers], low: float, high: float, n: int) -> float:
    """The largest value at rates from low to high, on the scale on which their standard error is constant."""
    first, last = math.asin(math.sqrt(low)), math.asin(math.sqrt(high))
    count = max(9, math.ceil((last - first) * 2 * math.sqrt(n) / _SPACING))
    angles = np.linspace(first, last, count)
    values = probability(np.sin(angles) ** 2)
    beside = np.concatenate([[-math.inf], values, [-math.inf]])
    peaks = np.flatnonzero((values >= beside[:-2]) & (values >= beside[2:]))
    centres = angles[peaks[np.argsort(values[peaks])[-_PEAKS:]]]
    step = np.full(len(centres), (last - first) / (count - 1))
    for _ in range(_ROUNDS):
        around = np.linspace(np.maximum(centres - step, first), np.minimum(centres + step, last), _FINER)
        values = probability(np.sin(around.ravel()) ** 2).reshape(around.shape)
        centres, step = around[values.argmax(axis=0), np.arange(len(centres))], around[1] - around[0]
    return max(_top(column) for column in values.T)


def _top(values: Numbers) -> float:
    """The top of the parabola through the highest of evenly spaced points and its neighbours."""
    place = int(values.argmax())
    if place in (0, len(values) - 1):
        return float(values[place])
    left, top, right = (float(each) for each in values[place - 1 : place + 2])
    bend = left - 2 * top + right
    return top - (left - right) ** 2 / (8 * bend) if bend < 0 else top


def lower_bound(side: Side, scale: Scale, alpha: float, gamma: float) -> float:
    """The parameter below which every one is rejected in favour of "above".

    Sought on that side of 0 which the test of "no difference" leaves, so that the two always agree.
    """
    x, n, y, m = side.table
    estimate = scale.estimate(x / n, y / m)
    if estimate == -math.inf:
        return estimate
    start = scale.approximate(Counts(*side.table), alpha)
    width = estimate - start if start < estimate < math.inf else 1.0

    def excess(at: float) -> float:
        return tail(side, scale, at) + gamma - alpha / 2

    rejected = excess(0.0) <= 0
    floor, ceiling = (0.0, max(estimate, 0.0)) if rejected else (scale.end, min(estimate, 0.0))
    return _crossing(excess, start, width, floor=floor, ceiling=ceiling)


def _crossing(
    excess: Callable[[float], float], guess: float, width: float, *, floor: float, ceiling: float
) -> float:
    """Where the excess becomes positive between floor and ceiling, sought from a guess outwards."""
    from scipy.optimize import brentq

    low, high = (min(max(guess + part * width, floor), ceiling) for part in (-_MARGIN, _MARGIN))
    step = width / 2
    while low > floor and excess(low) > 0:
        low, high, step = max(low - step, floor), low, 2 * step
    while high < ceiling and excess(high) <= 0:
        low, high, step = high, min(high + step, ceiling), 2 * step
    if excess(low) > 0 or excess(high) <= 0:
        return low if excess(low) > 0 else high
    return float(brentq(excess, low, high, xtol=_PRECISION * width))
