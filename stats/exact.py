"""Two proportions from counts too small for an approximation: Barnard's, Boschloo's and Fisher's tests.

Barnard's and Boschloo's tests are unconditional: p = sup P(a table that says at least as much), over the
rates that are possible under the hypothesis. These lie in a rectangle that holds the true rates with
probability 1 - gamma, and gamma is added to p: Berger and Boos 1994, "P values maximized over a confidence
set for the nuisance parameter"; gamma = 1e-6 is StatXact's choice, gamma = 0 searches all rates, as SciPy and
SAS do.

What "says more" differs. Barnard's test orders the tables by the score statistic of the hypothesis, so that
its inversion (Chan and Zhang 1999, "Test-based exact confidence intervals for the difference of two binomial
proportions") is the exact counterpart of Miettinen and Nurminen's intervals, for difference and ratio alike.
Boschloo's orders them by Fisher's one-sided p-value, which knows "no difference" only. Its inversion keeps
the order for every other difference, as Fay and Hunsberger 2021, "Practical valid inferences for the
two-sample binomial problem", do; that is valid, but up to twice as wide, and wider yet for ratios. Fisher's
test conditions on the number of conversions, which leaves the odds ratio: its inversion is an interval for
that.

Two-sided, a p-value is twice the smaller one-sided one, and an interval takes alpha / 2 from each side. So
both always agree, and every rejection has a direction.

Errors: the supremum is searched on a grid of a quarter of a rate's standard error, then around its four
highest peaks, to 1e-7 of its value; what lies outside of the counts that are gone through has a
probability below 1e-14. Bounds are found to a millionth of their distance from the estimate.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from stats.arrays import Numbers
from stats.errors import StatsError
from stats.inference import Interval
from stats.proportions import Counts
from stats.unconditional import (
    DIFFERENCE,
    LOG_RATIO,
    MOST,
    TIES,
    Arm,
    Cells,
    FisherOrder,
    Order,
    ScoreOrder,
    Side,
    arms,
    log_choose,
    lower_bound,
    tail,
)

GAMMA = 1e-6
FEW = 30  # conversions, or units without one, below which Wald's interval is left for the score interval
TOO_FEW = 5  # expected under "no difference", below which that is left for the exact one

Method = Literal["z_unpooled", "miettinen_nurminen", "barnard"]
Unconditional = Literal["barnard", "boschloo"]
OrderOf = Callable[[Cells, Arm, Arm], Order]

_NOT_DEFINED = Interval(math.nan, math.nan)


class Exact(NamedTuple):
    """An exact test with the intervals that invert it; NaN is "not defined"."""

    method: str
    p_value: float  # two-sided
    p_greater: float  # one-sided, against "variant above baseline"
    p_less: float
    difference: Interval
    lift: Interval  # from -1 to infinity; see `miettinen_nurminen_lift`


class Fisher(NamedTuple):
    """Fisher's test, with the interval for the odds ratio that inverts its doubled p-value."""

    p_value: float  # two-sided by probability, as R and SciPy have it; no interval is its dual
    p_doubled: float  # twice the smaller one-sided p-value
    p_greater: float
    p_less: float
    odds_ratio: Interval


class Choice(NamedTuple):
    """The method that counts are large enough for, and why."""

    method: Method
    reason: str


def choose(counts: Counts) -> Choice:
    """Which method to compare two proportions by.

    By full enumeration at a level of 5 %, 2.5 % on each side, with arms of 1:1 to 1:75: where every arm
    expects 30 conversions and as many units without, the unpooled z rejects at most 6 % of true hypotheses.
    With fewer it reaches 36 %, the score test 5.7 %. Of the score test's rejections at most 3.5 % are on one
    side where 5 or more are expected, but up to 5.3 % with fewer: twice what the direction of a result may
    be wrong by. Of the exact tests Barnard's has shorter intervals, and more power unless arms are unequal.
    A small arm against one of millions, too many for an exact test, is left to the score test.

    Raises:
        StatsError: an arm without units, conversions below 0 or above its units, or parts of a unit.
    """
    x, n, y, m = (float(each) for each in counts)
    if _table(counts) is None:
        raise StatsError(
            f"conversions must be whole and lie between 0 and at least one unit in each arm, not {counts}"
        )
    fewest, pooled = min(x, n - x, y, m - y), (x + y) / (n + m)
    expected = min(n, m) * min(pooled, 1 - pooled)
    if fewest >= FEW:
        return Choice("z_unpooled", f"every arm has at least {FEW} units with and without a conversion")
    if expected >= TOO_FEW:
        seen = f"{fewest:.0f} {'conversions' if fewest in (x, y) else 'units without a conversion'}"
        return Choice(
            "miettinen_nurminen",
            f"an arm has {seen}, fewer than {FEW}: the score test keeps its level, the unpooled z does not",
        )
    seen = f"{expected:.2g} {'conversions' if 2 * pooled <= 1 else 'units without a conversion'}"
    if arms(Cells(int(x), int(n), int(y), int(m)), GAMMA) is None:
        return Choice(
            "miettinen_nurminen",
            f"an arm would have {seen} if nothing differed, but the other has too many for an exact test: "
            "the score test keeps its level, though not on each side",
        )
    return Choice(
        "barnard",
        f"an arm would have {seen} if nothing differed, fewer than {TOO_FEW}: only an exact test keeps its "
        "level on both sides",
    )


def barnard(counts: Counts, *, alpha: float = 0.05, gamma: float = GAMMA) -> Exact:
    """Barnard's test on the pooled z, and the intervals that invert the exact score test.

    Args:
        counts: of one comparison.
        alpha: two-sided level of the intervals.
        gamma: probability that the searched rates may miss the true ones, per side; 0 searches all.

    Returns:
        NaN where the counts mean nothing, or an arm has too many to go through (5,000).

    Raises:
        StatsError: alpha or gamma without meaning.
    """
    return _exact("barnard", counts, alpha, gamma, ScoreOrder)


def boschloo(counts: Counts, *, alpha: float = 0.05, gamma: float = GAMMA) -> Exact:
    """Boschloo's test, and the intervals that invert it; arguments and errors as for `barnard`."""
    return _exact("boschloo", counts, alpha, gamma, FisherOrder)


def beyond_ratio(
    counts: Counts, ratio: float, *, sign: int, method: Unconditional = "barnard", gamma: float = GAMMA
) -> float:
    """One-sided p-value of "variant = ratio x baseline", against a larger one (`sign` -1: a smaller one).

    The test that the method's interval for the lift inverts; NaN as for `barnard`.

    Raises:
        StatsError: a ratio that is not positive, or a gamma without meaning.
    """
    _check(0.5, gamma)
    if not 0 < ratio < math.inf:
        raise StatsError(f"a ratio must be positive, not {ratio}")
    table = _table(counts)
    pair = None if table is None else arms(table, gamma)
    if table is None or pair is None:
        return math.nan
    ordered: OrderOf = ScoreOrder if method == "barnard" else FisherOrder
    if sign < 0:
        table, pair = table.swapped, pair[::-1]
    side = Side(table, *pair, ordered(table, *pair))
    return min(1.0, tail(side, LOG_RATIO, sign * math.log(ratio)) + gamma)


def fisher(counts: Counts, *, alpha: float = 0.05) -> Fisher:
    """Fisher's exact test, and the exact conditional interval for the odds ratio (Cornfield 1956).

    Raises:
        StatsError: alpha without meaning.
    """
    _check(alpha, 0.0)
    table = _table(counts)
    if table is None or _size(table) > MOST:
        return Fisher(math.nan, math.nan, math.nan, math.nan, _NOT_DEFINED)
    x, n, y, m = table if table.x + table.y <= (table.n + table.m) / 2 else table.complement
    k = np.arange(max(0, x + y - m), min(n, x + y) + 1)
    weights = log_choose(n, k) + log_choose(m, x + y - k)
    law = special.softmax(weights)
    at = x - int(k[0])
    greater, less = float(law[at:].sum()), float(law[: at + 1].sum())
    return Fisher(
        p_value=min(1.0, float(law[law <= law[at] * (1 + TIES)].sum())),
        p_doubled=min(1.0, 2 * min(greater, less)),
        p_greater=min(1.0, greater),
        p_less=min(1.0, less),
        odds_ratio=Interval(
            math.exp(_odds_bound(weights, at, alpha / 2)),
            math.exp(-_odds_bound(weights[::-1], len(k) - 1 - at, alpha / 2)),
        ),
    )


def _odds_bound(weights: Numbers, at: int, level: float) -> float:
    """The logarithm of the odds ratio under which the tail from `at` on has probability `level`."""
    from scipy.optimize import brentq

    if at == 0:
        return -math.inf
    steps = np.arange(len(weights)) - at

    def excess(log_odds: float) -> float:
        return float(special.softmax(weights + log_odds * steps)[at:].sum()) - level

    low, high = -1.0, 1.0
    while excess(low) > 0:
        low *= 2
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, low, high, xtol=1e-12))


def _exact(method: str, counts: Counts, alpha: float, gamma: float, order: OrderOf) -> Exact:
    _check(alpha, gamma)
    table = _table(counts)
    pair = None if table is None else arms(table, gamma)
    if table is None or pair is None:
        return Exact(method, math.nan, math.nan, math.nan, _NOT_DEFINED, _NOT_DEFINED)
    variant, baseline = pair
    above = Side(table, variant, baseline, order(table, variant, baseline))
    below = Side(table.swapped, baseline, variant, order(table.swapped, baseline, variant))
    greater, less = (min(1.0, tail(side, DIFFERENCE, 0.0) + gamma) for side in (above, below))
    low, high = (lower_bound(side, DIFFERENCE, alpha, gamma) for side in (above, below))
    log_low, log_high = (lower_bound(side, LOG_RATIO, alpha, gamma) for side in (above, below))
    return Exact(
        method=method,
        p_value=min(1.0, 2 * min(greater, less)),
        p_greater=greater,
        p_less=less,
        difference=Interval(low, -high),
        lift=Interval(math.expm1(log_low), math.expm1(-log_high)),
    )


def _table(counts: Counts) -> Cells | None:
    x, n, y, m = (float(each) for each in counts)
    good = 0 <= x <= n and 0 <= y <= m and 1 <= n < math.inf and 1 <= m < math.inf
    good = good and all(each.is_integer() for each in (x, n, y, m))
    return Cells(int(x), int(n), int(y), int(m)) if good else None


def _size(table: Cells) -> int:
    """How many values a conditional law goes through."""
    converted = table.x + table.y
    return min(table.n, table.m, converted, table.n + table.m - converted)


def _check(alpha: float, gamma: float) -> None:
    if not 0 < alpha < 1:
        raise StatsError(f"alpha must lie between 0 and 1, not {alpha}")
    if not 0 <= gamma < alpha / 2:
        raise StatsError(f"gamma must lie between 0 and alpha / 2, not {gamma}")
