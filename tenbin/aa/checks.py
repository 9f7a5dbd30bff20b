"""What must hold when nothing differs: uniform p-values, false positives as often as promised, a true split.

Each check has a level of its own, `level_of`: 0.001, or less where there are so many that a healthy log would
fail more than one call in a hundred (Bonferroni): of 2,000 simulated calls with three metrics on a healthy
log, 12 ended in "off" (tests/tenbin/test_aa_checks.py).

Outcomes in whole steps (a conversion more or less) make p-values discrete even where the analysis is right:
with a step of s standard errors their distribution lies up to phi(0) s from the uniform one, and the
false-positive rate up to phi(z) s from alpha, phi the normal density (the first term of Esseen's expansion
for lattice variables, 1945, "Fourier analysis of distribution functions"). So much is allowed for.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np
from scipy import special, stats

from stats.arrays import Numbers
from tenbin.aa.log import Flags, LoggedMetric
from tenbin.aa.runs import Analysed, Runs

Verdict = Literal["healthy", "off", "undefined"]

SRM_LEVELS = (0.05, 0.01)
LEAST_SUCCESSES = 100  # below, p-values need only be no smaller than uniform ones
_FALSE_ALARMS = 0.01  # of a whole call, at most
_LEVEL = 0.001  # of one check
_CHECKS = 6  # of a metric and variant: Kolmogorov-Smirnov, both tails and either, two sequential methods
_HEAVY = 0.05  # of a metric's variance, in one unit: worth a word
_DIGITS = 6  # significant, of a number in the answer


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How often something happened, and between which bounds that would be healthy."""

    rate: float
    expected: float
    lower: float
    upper: float

    @property
    def healthy(self) -> bool:
        return self.lower <= self.rate <= self.upper


class Uniformity(msgspec.Struct, frozen=True, kw_only=True):
    """Kolmogorov and Smirnov's test of the p-values against the uniform distribution."""

    distance: float
    allowed: float  # of it, for outcomes in whole steps
    p_value: float
    one_sided: bool  # only p-values that are too small count
    healthy: bool


class MetricHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One metric, one variant against the control, over all runs."""

    metric: str
    kind: str
    variant: int  # 1 is the first beside the control
    successes: int  # units that are not 0; of a conversion, or not 1, whichever are fewer
    undefined: int  # runs without a p-value
    heaviest: float | None  # share of the measure's variance that lies in one unit
    uniformity: Uniformity | None = None
    false_positives: Rate | None = None
    upper_tail: Rate | None = None
    lower_tail: Rate | None = None
    confidence_sequence: Rate | None = None  # at any look
    group_sequential: Rate | None = None
    verdict: Verdict
    reasons: tuple[str, ...] = ()


class SplitHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How often the sample ratio check flags a split that is as planned."""

    level: float
    flagged: Rate


def level_of(metrics: int, variants: int) -> float:
    """The level of each check of a call."""
    return min(_LEVEL, _FALSE_ALARMS / (metrics * variants * _CHECKS + len(SRM_LEVELS)))


def judge_split(runs: Runs, *, units: int, weights: Sequence[float], level: float) -> tuple[SplitHealth, ...]:
    """The sample ratio check at each of `SRM_LEVELS`."""
    smallest = min(weights) / math.fsum(weights)
    step = 1 / math.sqrt(units * smallest * (1 - smallest))
    return tuple(
        SplitHealth(level=alpha, flagged=_rate(runs.srm_p_value <= alpha, alpha, _slack(alpha, step), level))
        for alpha in SRM_LEVELS
    )


def judge_metric(analysed: Analysed, *, weights: Sequence[float], alpha: float, level: float) -> MetricHealth:
    """Every check of one metric and variant."""
    metric = analysed.metric
    known = ~np.isnan(analysed.p_value)
    found = MetricHealth(
        metric=metric.name,
        kind=metric.kind,
        variant=analysed.variant,
        successes=successes(metric),
        undefined=int((~known).sum()),
        heaviest=_heaviest(metric),
        verdict="undefined",
    )
    if not known.any():
        return msgspec.structs.replace(found, reasons=("in no run was there a p-value: nothing varies",))
    step = _step(metric, weights, analysed.variant)
    few = found.successes < LEAST_SUCCESSES
    rejects = analysed.p_value <= alpha
    slack = _slack(alpha, step)
    checked = msgspec.structs.replace(
        found,
        uniformity=_uniformity(analysed.p_value[known], step, level, one_sided=few),
        false_positives=_rate(rejects, alpha, slack, level, upper_only=few),
        upper_tail=_rate(rejects & (analysed.z > 0), alpha / 2, slack / 2, level, upper_only=few),
        lower_tail=_rate(rejects & (analysed.z < 0), alpha / 2, slack / 2, level, upper_only=few),
        confidence_sequence=_rate(analysed.sequence, alpha, slack, level, upper_only=True),
        group_sequential=_rate(analysed.group_sequential, alpha, slack, level, upper_only=True),
    )
    reasons = tuple(_reasons(checked))
    return msgspec.structs.replace(checked, verdict="off" if reasons else "healthy", reasons=reasons)


def successes(metric: LoggedMetric) -> int:
    """Units whose measure is not 0; of a conversion, or not 1, whichever are fewer."""
    measure = metric.columns[0][metric.present]
    some = int(np.count_nonzero(measure))
    return min(some, len(measure) - some) if metric.kind == "proportion" else some


def _rate(happened: Flags, expected: float, slack: float, level: float, *, upper_only: bool = False) -> Rate:
    """The share of runs, and its binomial interval around what is expected."""
    bounds = (0.0 if upper_only else expected - slack, expected + slack)
    lower, upper = _binomial(len(happened), *bounds, level if upper_only else level / 2)
    return Rate(rate=float(happened.mean()), expected=expected, lower=lower, upper=upper)


@lru_cache(maxsize=1024)
def _binomial(runs: int, low: float, high: float, tail: float) -> tuple[float, float]:
    """Shares of runs beyond which lies no more than `tail`, each for its own probability."""
    lower = float(stats.binom.ppf(tail, runs, max(low, 0.0)))
    upper = float(stats.binom.isf(tail, runs, min(high, 1.0)))
    return max(lower, 0.0) / runs, upper / runs


def _uniformity(p_values: Numbers, step: float, level: float, *, one_sided: bool) -> Uniformity:
    """The largest distance between the p-values' distribution and the uniform one, beyond what is allowed."""
    ordered, n = np.sort(p_values), len(p_values)
    above = float(np.max(np.arange(1, n + 1) / n - ordered))  # too many small ones
    below = float(np.max(ordered - np.arange(n) / n))
    distance = above if one_sided else max(above, below)
    allowed = step / math.sqrt(2 * math.pi)
    beyond = max(distance - allowed, 0.0)
    p_value = special.smirnov(n, beyond) if one_sided else stats.kstwo.sf(beyond, n)
    return Uniformity(
        distance=_rounded(distance),
        allowed=_rounded(allowed),
        p_value=_rounded(float(p_value)),
        one_sided=one_sided,
        healthy=bool(p_value > level),
    )


def _slack(alpha: float, step: float) -> float:
    """How far a two-sided false-positive rate may lie from alpha for outcomes in whole steps."""
    z = float(special.ndtri(alpha / 2))
    return step * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _step(metric: LoggedMetric, weights: Sequence[float], variant: int) -> float:
    """How many standard errors the smallest change of a sum is; 0 where sums are as good as dense."""
    if len(metric.columns) > 1:
        return 0.0
    measure = metric.columns[0][metric.present]
    span = _span(measure)
    pair = weights[0] + weights[variant]
    share = weights[variant] / pair
    part = len(measure) * pair / math.fsum(weights)
    spread = math.sqrt(part * share * (1 - share) * float(measure.var()))
    return span / spread if spread > 0 else 0.0


def _span(measure: Numbers) -> float:
    """What all values are whole multiples of; 0 where there is nothing that matters."""
    sizes = np.unique(np.abs(measure[measure != 0]))
    if not len(sizes):
        return 0.0
    if (sizes == np.rint(sizes)).all() and sizes[-1] < 2**53:
        return float(np.gcd.reduce(sizes.astype(np.int64)))
    multiples = sizes / sizes[0]
    return float(sizes[0]) if np.allclose(multiples, np.rint(multiples), rtol=1e-9, atol=0) else 0.0


def _heaviest(metric: LoggedMetric) -> float | None:
    """The largest share of the measure's sum of squares around its mean that one unit has."""
    measure = metric.columns[0][metric.present]
    squares = np.square(measure - measure.mean()) if len(measure) else measure
    total = float(squares.sum())
    return _rounded(float(squares.max()) / total) if total > 0 else None


def _reasons(found: MetricHealth) -> Iterator[str]:
    """What is off, each with its number, and what may be behind it."""
    uniformity = found.uniformity
    if uniformity is not None and not uniformity.healthy:
        what = "smaller than uniform ones" if uniformity.one_sided else "not uniform"
        yield (
            f"p-values are {what}: Kolmogorov-Smirnov distance {uniformity.distance:.3f}, "
            f"p {uniformity.p_value:.2g}"
        )
    named = (
        ("false positives", found.false_positives),
        ("false positives above", found.upper_tail),
        ("false positives below", found.lower_tail),
        ("the confidence sequence, at any look", found.confidence_sequence),
        ("the group-sequential test, at any look", found.group_sequential),
    )
    off = False
    for name, rate in named:
        if rate is not None and not rate.healthy:
            off = True
            yield f"{name}: {rate.rate:.1%}, not {rate.lower:.1%} to {rate.upper:.1%}"
    off = off or (uniformity is not None and not uniformity.healthy)
    if off and found.heaviest is not None and found.heaviest > _HEAVY:
        yield f"one unit has {found.heaviest:.0%} of the metric's variance: cap the metric"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
