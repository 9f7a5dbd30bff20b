"""Further methods beside the headline: named alternatives, each with what it has of test and interval.

None of them decides. A method stands wherever it applies to a comparison; what it can't say is NaN.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from stats import bayes, betas, exact, inference, proportions, ranks, resampling
from stats.arrays import Numbers, Real
from stats.comparisons import Comparison, adjusted_contrast, by_clusters
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.inference import Interval
from stats.lifts import RELATIVE
from stats.pairs import Linear, Pair, counted
from stats.plan import Plan
from stats.proportions import Counts
from stats.references import NormalMixture, StudentT, msprt

_NOTHING = Interval(math.nan, math.nan)
_REPLICATES = 1_999
_LEAST_P = 1e-300


class Beside(NamedTuple):
    """One further row; NaN is "not defined"."""

    method: str
    scale: str  # absolute | relative
    estimate: float
    interval: Interval = _NOTHING
    log10_p: float = math.nan
    std_error: float = math.nan
    probability_better: float = math.nan
    expected_loss: float = math.nan


class Asked(NamedTuple):
    """One method of one comparison."""

    method: str
    plan: Plan
    comparison: Comparison  # one that has an estimator
    plain: Contrast  # its unadjusted difference


Rows: TypeAlias = Iterator[Pair | Beside]


def beside(plan: Plan, comparison: Comparison, plain: Contrast) -> Rows:
    """What the plan's further methods say of one comparison, in the order in which they are named.

    Args:
        plan: the experiment's.
        comparison: one that has an estimator.
        plain: its unadjusted difference.

    Yields:
        A dual pair, which has rows on both scales, or a single row.
    """
    for method in dict.fromkeys(plan.settings.methods):
        way = _WAYS[method]
        if way.applies(comparison):
            yield from way.rows(Asked(method, plan, comparison, plain))


def _counts_pair(asked: Asked) -> Rows:
    if (counts := asked.comparison.counts) is not None:
        yield counted(asked.method, asked.plain, counts)


def _fisher(asked: Asked) -> Rows:
    """The test by probability; its interval would be one for the odds ratio."""
    if (counts := asked.comparison.counts) is not None:
        p = exact.fisher(counts, alpha=asked.plan.alpha).p_value
        yield Beside(asked.method, "absolute", float(asked.plain.estimate), log10_p=_log10(p))


_COUNT_INTERVALS: Mapping[str, Callable[[Counts, StudentT, float], Interval]] = {
    "newcombe": proportions.newcombe,
    "agresti_caffo": proportions.agresti_caffo,
}


def _count_interval(asked: Asked) -> Rows:
    """Intervals that no test has as its dual."""
    if (counts := asked.comparison.counts) is not None:
        bounds = _COUNT_INTERVALS[asked.method](counts, StudentT(), asked.plan.alpha)
        yield Beside(asked.method, "absolute", float(asked.plain.estimate), bounds)


def _log_relative(asked: Asked) -> Rows:
    if (counts := asked.comparison.counts) is not None:
        z = float(proportions.log_relative_statistic(counts))
        bounds = proportions.log_relative(counts, StudentT(), asked.plan.alpha)
        yield Beside(asked.method, "relative", _lift(asked.plain), bounds, _log10_p(StudentT(), z))


def _delta_lift(asked: Asked) -> Rows:
    pair, reference = RELATIVE[asked.method], StudentT(asked.plain.df)
    bounds = pair.interval(asked.plain, reference, asked.plan.alpha, 2)
    yield Beside(
        asked.method,
        "relative",
        _lift(asked.plain),
        bounds,
        _log10_p(reference, float(pair.statistic(asked.plain, 0.0))),
    )


def _adjusted(asked: Asked) -> Rows:
    found, _ = adjusted_contrast(asked.method, asked.comparison)
    if found is not None:
        yield Linear(found, StudentT(found.df))


def _clustered(asked: Asked) -> Rows:
    found = by_clusters(asked.method, asked.comparison)
    yield Linear(found, StudentT(found.df))


def _mann_whitney(asked: Asked) -> Rows:
    v, b = _values(asked.comparison)
    yield Beside(
        asked.method, "absolute", float(asked.plain.estimate), log10_p=ranks.mann_whitney(v, b).log10_p
    )


def _brunner_munzel(asked: Asked) -> Rows:
    """The probability that a unit of the variant has the larger value, less 1/2."""
    found = ranks.superiority(*_values(asked.comparison))
    reference = StudentT(found.df)
    if not found.variance_against(1.0) > 0:
        yield Beside(asked.method, "absolute", float(found.estimate))
        return
    bounds = ranks.superiority_interval(found, reference, asked.plan.alpha)
    yield Beside(
        asked.method,
        "absolute",
        float(found.estimate),
        Interval(bounds.lower - 0.5, bounds.upper - 0.5),
        float(inference.log10_p(found, reference)),
        math.sqrt(found.variance_against(1.0)),
    )


def _permutation(asked: Asked) -> Rows:
    found = resampling.permutation_test(*_values(asked.comparison), seed=asked.plan.settings.seed)
    yield Beside(asked.method, "absolute", found.estimate, log10_p=_log10(found.p_value))


def _bootstrap(asked: Asked) -> Rows:
    """Percentile intervals of the difference and of the lift, from the same replicates."""
    if asked.comparison.units is None:
        return
    rng = np.random.default_rng(asked.plan.settings.seed)
    width = asked.comparison.metric.width
    v, b = (
        resampling.poisson_sums(*cell.columns[:width], replicates=_REPLICATES, rng=rng)
        for cell in asked.comparison.units
    )
    below = 0 if width == 1 else 2

    def value(sums: Numbers) -> Numbers:
        found: Numbers = sums[..., 1] / sums[..., below]
        return found

    for scale, statistic in (
        ("absolute", lambda v, b: value(v) - value(b)),
        ("relative", lambda v, b: (value(v) - value(b)) / np.abs(value(b))),
    ):
        found = resampling.bootstrap(statistic, v, b, alpha=asked.plan.alpha)
        yield Beside(asked.method, scale, found.estimate, found.interval, std_error=found.std_error)


def _normal_posterior(asked: Asked) -> Rows:
    """The lift under the stated prior, with the headline's error."""
    head = asked.comparison.estimators[0]
    contrast = head if isinstance(head, Contrast) else asked.plain
    posterior = bayes.lift_posterior(contrast, asked.plan.settings.prior)
    yield _believed(asked, "relative", posterior, float(posterior.mean))


def _beta_posterior(asked: Asked) -> Rows:
    """The difference of two proportions under a uniform prior on each."""
    if (counts := asked.comparison.counts) is not None:
        posterior = betas.beta_posterior(*counts)
        mean = _beta_mean(counts[0], counts[1]) - _beta_mean(counts[2], counts[3])
        yield _believed(asked, "absolute", posterior, mean)


def _beta_mean(successes: Real, units: Real) -> float:
    return float((successes + 1) / (units + 2))


def _believed(asked: Asked, scale: str, posterior: bayes.Posterior, mean: float) -> Beside:
    sign = asked.comparison.metric.sign
    return Beside(
        asked.method,
        scale,
        mean,
        posterior.interval(asked.plan.alpha),
        probability_better=float(bayes.probability_better(posterior, sign=sign)),
        expected_loss=float(bayes.expected_losses(posterior, sign=sign).variant),
    )


def _msprt(asked: Asked) -> Rows:
    if asked.plain.variance_against(1.0) > 0:
        sd = asked.plan.settings.msprt or asked.plan.settings.prior.sd
        yield Linear(asked.plain, mixture(asked.plain, sd), asked.method)


def mixture(contrast: Contrast, sd: float) -> NormalMixture:
    """The mixture law of effects whose lift has the given standard deviation."""
    return msprt(
        float(contrast.variance_against(1.0)), sd * abs(float(contrast.baseline)) or sd, df=contrast.df
    )


def _values(comparison: Comparison) -> tuple[Numbers, Numbers]:
    """The measure of each unit, of both arms."""
    if comparison.units is None:
        raise StatsError(f'the units of metric "{comparison.metric.name}" are not at hand')
    v, b = comparison.units
    return v.columns[0], b.columns[0]


def _lift(contrast: Contrast) -> float:
    return float(inference.lift(contrast))


def _log10_p(reference: StudentT, z: float) -> float:
    return math.nan if math.isnan(z) else float(reference.log10_p(z, 2))


def _log10(p: float) -> float:
    return math.log10(max(p, _LEAST_P)) if p >= 0 else math.nan


def _counts(comparison: Comparison) -> bool:
    return comparison.counts is not None


def _covariates(comparison: Comparison) -> bool:
    return comparison.metric.covariates > 0


def _strata(comparison: Comparison) -> bool:
    return bool(comparison.strata)


def _clusters(comparison: Comparison) -> bool:
    return comparison.metric.clustered


def _clusters_at_hand(comparison: Comparison) -> bool:
    return comparison.metric.clustered and comparison.units is not None


def _units(comparison: Comparison) -> bool:
    return comparison.units is not None


def _values_at_hand(comparison: Comparison) -> bool:
    return comparison.units is not None and comparison.metric.width == 1


def _moments(comparison: Comparison) -> bool:
    return comparison.metric.kind != "quantile"


class _Way(NamedTuple):
    applies: Callable[[Comparison], bool]
    rows: Callable[[Asked], Rows]


_WAYS: Mapping[str, _Way] = {
    "z_unpooled": _Way(_counts, _counts_pair),
    "miettinen_nurminen": _Way(_counts, _counts_pair),
    "barnard": _Way(_counts, _counts_pair),
    "boschloo": _Way(_counts, _counts_pair),
    "fisher": _Way(_counts, _fisher),
    "newcombe": _Way(_counts, _count_interval),
    "agresti_caffo": _Way(_counts, _count_interval),
    "log_relative": _Way(_counts, _log_relative),
    "linear_delta": _Way(_moments, _delta_lift),
    "log_delta": _Way(_moments, _delta_lift),
    "cuped": _Way(_covariates, _adjusted),
    "lin": _Way(_covariates, _adjusted),
    "lin_hc2": _Way(_covariates, _adjusted),
    "lin_hc3": _Way(_covariates, _adjusted),
    "ancova": _Way(_covariates, _adjusted),
    "post_stratified": _Way(_strata, _adjusted),
    "cluster_delta": _Way(_clusters, _clustered),
    "cluster_cr1": _Way(_clusters, _clustered),
    "cluster_cr2": _Way(_clusters_at_hand, _clustered),
    "mann_whitney": _Way(_values_at_hand, _mann_whitney),
    "brunner_munzel": _Way(_values_at_hand, _brunner_munzel),
    "permutation": _Way(_values_at_hand, _permutation),
    "bootstrap": _Way(_units, _bootstrap),
    "normal_posterior": _Way(_moments, _normal_posterior),
    "beta_posterior": _Way(_counts, _beta_posterior),
    "msprt": _Way(_moments, _msprt),
}
