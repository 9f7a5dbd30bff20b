"""What else an analysis found: is the split sound, were the arms alike, who differs, what carries the result.

Only a broken split and a difference before exposure speak against the data; all else is for the reader. What
would give away significance is found only where significance may be read.
"""

import datetime as dt
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias

import msgspec
import numpy as np

from stats import bandits, bayes, health, heterogeneity, looks, phases, srm
from stats.comparisons import Comparison, plain_contrast
from stats.contrasts import Contrast
from stats.looks import Look, Taken
from stats.pairs import Looked
from stats.plan import DailyCell, MetricPlan, Plan
from stats.readings import Reading
from stats.results import Finding, Outcome

Places = Mapping[str, Mapping[str, Mapping[str, int]]]  # dimension → place → variant → units
PHASE = "phase"

_ABOUT_RESULTS = frozenset(
    {
        "segments", "few_units_decide", "by_day_since_exposure", "practical_equivalence", "best_arm",
        "futility", "interaction", "interactions_left_out",
    }
)  # fmt: skip

Numbers: TypeAlias = dict[str, int | float | str | None]  # what a finding carries

DAY = "day"
_LITTLE = 0.1  # conditional power below which a result by the planned end is unlikely
_SEVERAL = 3  # variants: then they are ranked, and a sentence says which it is about
_HANDFUL = 10


def is_about_results(finding: Finding) -> bool:
    """Whether a finding is about the results, and not about the data behind them."""
    return finding.name.partition(":")[0] in _ABOUT_RESULTS


def split_findings(plan: Plan, places: Places) -> Iterator[Finding]:
    """The sample ratio by day and by segment, and valid at any look."""
    for dimension, counts in places.items():
        if counts:
            yield _split_by(plan, dimension, counts)
    if days := places.get(DAY):
        yield _split_at_any_time(plan, days)


def day_of_phase(day: dt.date, phase: int) -> str:
    """The name of a day's place where the weights changed: a day may be one of two phases."""
    return f"{day.isoformat()} {PHASE} {phase}"


def _weights_of(plan: Plan, dimension: str, place: str) -> Mapping[str, float]:
    """The weights that a place's units were split by.

    Days and phases count units as they were first seen, by the weights in force; segments count those that
    were kept, whose shards have weights of their own.
    """
    if len(plan.phases) < 2:  # noqa: PLR2004 - a change
        return plan.weights
    if dimension in {DAY, PHASE}:
        return plan.weights_of(int(place.rpartition(" ")[2]))
    return plan.weights if plan.kept is None else plan.kept


def _split_by(plan: Plan, dimension: str, counts: Mapping[str, Mapping[str, int]]) -> Finding:
    own = {place: _weights_of(plan, dimension, place) for place in counts}
    found = srm.sample_ratio_by(dimension, counts, plan.weights, own_weights=own)
    numbers: Numbers = {
        f"{place.name}: adjusted p": place.p_adjusted for place in found.places if place.carries
    }
    return Finding(
        name=f"sample_ratio_by:{dimension}",
        status=Outcome.WARNING if found.carriers else Outcome.PASSED,
        message=f"{found.cause[0].upper()}{found.cause[1:]}.",
        numbers={"p_value": found.p_value, "chi2": found.chi2, "df": found.df, **numbers},
    )


def _split_at_any_time(plan: Plan, days: Mapping[str, Mapping[str, int]]) -> Finding:
    """Lindon and Malek's test over the days so far: its level holds however often it is read."""
    if len(plan.phases) > 1:
        steps = [(days[day], int(day.rpartition(" ")[2])) for day in sorted(days)]
        looks = srm.always_valid_over(steps, {one.number: one.weights for one in plan.phases})
    else:
        totals = accumulate(
            (days[day] for day in sorted(days)),
            lambda sums, day: {arm: sums.get(arm, 0) + day.get(arm, 0) for arm in {**sums, **day}},
        )
        looks = srm.always_valid(list(totals), plan.weights)
    p = looks[-1].p_value
    name = "sample_ratio_at_any_time"
    numbers: Numbers = {"p_value": None if math.isnan(p) else p, "days": len(looks)}
    if math.isnan(p):
        return Finding(
            name=name, status=Outcome.NOT_APPLICABLE, message="No unit has been seen yet.", numbers=numbers
        )
    failed = p < srm.FLAG_BELOW
    said = f"a mismatch at some day (p = {p:.2g})" if failed else f"no mismatch on any day (p = {p:.2g})"
    return Finding(
        name=name,
        status=Outcome.FAILED if failed else Outcome.PASSED,
        message=f"Read day by day, the split shows {said}; this test may be read every day.",
        numbers=numbers,
    )


def before_exposure(plan: Plan, comparisons: Sequence[Comparison]) -> Iterator[Finding]:
    """The test with each covariate as the outcome: what was measured before can't be an effect."""
    for comparison in _overall(comparisons):
        if comparison.metric.covariates and not comparison.problem:
            found = [health.pre_exposure_bias(contrast) for contrast in _covariates(comparison)]
            known = [one for one in found if one.p_value is not None]
            if not known:
                continue
            worst = min(known, key=lambda one: one.p_value or 0.0)
            yield Finding(
                name=_named("before_exposure", comparison),
                status=Outcome.FAILED if worst.failed else Outcome.PASSED,
                message=f"{_about(plan, comparison)}: {worst.finding}",
                numbers={"estimate": worst.estimate, "lift": worst.lift, "p_value": worst.p_value},
            )


def _covariates(comparison: Comparison) -> list[Contrast]:
    """Each covariate as the outcome, within phases where there are several."""
    arms = comparison.arms
    return [
        phases.compared_within(arms, functools.partial(health.covariate_difference, column=place))
        if len(arms) > 1
        else health.covariate_difference(*arms[0], place)
        for place in range(1, len(arms[0][0].mean))
    ]


def result_findings(
    plan: Plan,
    comparisons: Sequence[Comparison],
    daily: Mapping[tuple[str, str], DailyCell],
) -> Iterator[Finding]:
    """What reads the outcomes: only where significance may be read."""
    segments = _by_segment(comparisons)
    for comparison in _overall(comparisons):
        yield from _between_segments(plan, comparison, segments.get(_key(comparison), {}))
        yield from _influence(plan, comparison)
        yield from _by_day(plan, comparison, daily)
        yield from _practically_equal(plan, comparison)
    if len(plan.variants) >= _SEVERAL:
        for metric in plan.metrics:
            yield from _best(plan, metric, comparisons)


_Key: TypeAlias = tuple[str, str, str]  # metric, variant, baseline
_Dimensions: TypeAlias = Mapping[str, Sequence[Comparison]]


def _key(comparison: Comparison) -> _Key:
    return comparison.metric.name, comparison.variant, comparison.baseline


def _by_segment(comparisons: Sequence[Comparison]) -> dict[_Key, dict[str, list[Comparison]]]:
    """The comparisons within segments, by whose they are and by dimension; quantiles have no moments."""
    found: dict[_Key, dict[str, list[Comparison]]] = {}
    for one in comparisons:
        if one.segment is not None and one.metric.kind != "quantile":
            dimension = one.segment.partition("=")[0]
            found.setdefault(_key(one), {}).setdefault(dimension, []).append(one)
    return found


def _between_segments(plan: Plan, comparison: Comparison, dimensions: _Dimensions) -> Iterator[Finding]:
    """Does the effect differ between the segments of a dimension?"""
    for dimension, segments in dimensions.items():
        known = [one for one in segments if not one.problem]
        effects = heterogeneity.differences(
            heterogeneity.stacked([plain_contrast(plan, one) for one in known])
        )
        found = heterogeneity.compare_segments(
            [one.segment or "" for one in known],
            effects,
            planned=plan.settings.planned_segments,
            alpha=plan.alpha,
        )
        shrunk = {
            f"{one.segment} {name}": getattr(one, name)
            for one in found.segments
            for name in ("shrunk", "shrunk_lower", "shrunk_upper")
            if one.shrunk is not None
        }
        differs = found.p_value is not None and found.p_value <= plan.alpha
        yield Finding(
            name=_named(f"segments:{dimension}", comparison),
            status=Outcome.WARNING if differs else Outcome.NOTED,
            message=" ".join((f"{_about(plan, comparison, dimension)}: {found.finding}", *found.warnings)),
            numbers={
                "q": found.q, "df": found.df, "p_value": found.p_value, "i2": found.i2, "tau2": found.tau2,
                "overall": found.overall, **shrunk,
            },
        )  # fmt: skip


def _influence(plan: Plan, comparison: Comparison) -> Iterator[Finding]:
    """Do a few units carry the result? A handful is one in a hundred, and ten at most."""
    metric = comparison.metric
    if comparison.units is None or metric.kind != "mean" or metric.clustered or comparison.problem:
        return
    found = health.outlier_influence(
        *(cell.columns[0] for cell in comparison.units),
        top=min(_HANDFUL, max(1, (comparison.n_variant + comparison.n_baseline) // 100)),
        alpha=plan.alpha,
    )
    yield Finding(
        name=_named("few_units_decide", comparison),
        status=Outcome.WARNING if found.failed else Outcome.PASSED,
        message=f"{_about(plan, comparison)}: {found.finding}",
        numbers={
            "variance_share": found.variance_share,
            "estimate_without": found.estimate_without,
            "p_value_without": found.p_value_without,
        },
    )


def _by_day(
    plan: Plan, comparison: Comparison, daily: Mapping[tuple[str, str], DailyCell]
) -> Iterator[Finding]:
    """Does the effect fade, or grow, with days since exposure?"""
    cells = [daily.get((comparison.metric.name, arm)) for arm in (comparison.variant, comparison.baseline)]
    moments = [cell.moments for cell in cells if cell is not None]
    days_followed = {len(arm.mean) for arm in moments}
    if len(moments) < len(cells) or len(days_followed) > 1 or min(days_followed) < 2:  # noqa: PLR2004 - a slope
        return
    found = health.novelty(*moments, alpha=plan.alpha)
    days = {
        f"day {one.day} {name}": getattr(one, name)
        for one in found.days
        for name in ("estimate", "lower", "upper")
    }
    yield Finding(
        name=_named("by_day_since_exposure", comparison),
        status=Outcome.WARNING if found.failed else Outcome.NOTED,
        message=f"{_about(plan, comparison)}: {found.finding}",
        numbers={"slope": found.slope, "std_error": found.std_error, "p_value": found.p_value, **days},
    )


def _practically_equal(plan: Plan, comparison: Comparison) -> Iterator[Finding]:
    """The posterior of the lift below, in and above the region that makes no practical difference."""
    margin = comparison.metric.equivalence
    contrast = next((one for one in comparison.estimators if isinstance(one, Contrast)), None)
    if not margin or contrast is None:
        return
    posterior = bayes.lift_posterior(contrast, plan.settings.prior)
    found = bayes.practical_equivalence(posterior, -margin, margin)
    if math.isnan(float(found.within)):
        return
    yield Finding(
        name=_named("practical_equivalence", comparison),
        status=Outcome.NOTED,
        message=f"{_about(plan, comparison)}: the lift lies within ±{margin:.1%} with probability "
        f"{float(found.within):.1%}, below with {float(found.below):.1%}, above with "
        f"{float(found.above):.1%} "
        f"(prior: normal, mean {plan.settings.prior.mean:g}, sd {plan.settings.prior.sd:g}).",
        numbers={name: float(value) for name, value in found._asdict().items()},
    )


def _best(plan: Plan, metric: MetricPlan, comparisons: Sequence[Comparison]) -> Iterator[Finding]:
    """Which arm is best among many? Flat priors on the arms' own means."""
    arms: dict[str, tuple[float, float]] = {}
    for comparison in _overall(comparisons):
        if comparison.metric == metric and comparison.baseline == plan.control and not comparison.problem:
            plain = plain_contrast(plan, comparison) if metric.kind != "quantile" else None
            if plain is not None:
                arms[plan.control] = (float(plain.baseline), float(plain.var_baseline))
                arms[comparison.variant] = (float(plain.variant), float(plain.var_variant))
    if len(arms) < len(plan.variants) or not all(variance > 0 for _, variance in arms.values()):
        return
    mean, variance = (np.array([arms[name][place] for name in plan.variants]) for place in (0, 1))
    found = bandits.rank(bayes.Normal(mean, np.sqrt(variance)), sign=metric.sign)
    best = dict(zip(plan.variants, (float(p) for p in found.best), strict=True))
    first = max(best, key=lambda name: best[name])
    losses = {f"{name} loss": float(loss) for name, loss in zip(plan.variants, found.loss, strict=True)}
    yield Finding(
        name=f"best_arm:{metric.name}",
        status=Outcome.NOTED,
        message=f"{metric.name}: {first} is the best arm with probability {best[first]:.1%} (flat priors).",
        numbers={**best, **losses},
    )


def futility(
    plan: Plan, readings: Sequence[tuple[Comparison, Reading]], taken: Sequence[Taken]
) -> Iterator[Finding]:
    """How likely is a significant primary metric at the final look, if things go on as they are?

    Conditional power under the present trend (Lan and Wittes 1988, "The B-value: a tool for monitoring
    data"): with z at information t the final z is normal with mean z / sqrt(t) and variance 1 - t. It is held
    against the boundary of a final look that comes next, at the planned units. Not binding: to go on costs no
    error.
    """
    if not taken or taken[-1].look.final:
        return
    t = taken[-1].look.information
    shown = {(one.metric, one.variant, one.baseline): one.z for one in taken[-1].evidence}
    for comparison, reading in readings:
        key = (comparison.metric.name, comparison.variant, comparison.baseline)
        if comparison.metric.role != "primary" or not isinstance(reading.pair, Looked) or key not in shown:
            continue
        final = _final_boundary(plan, comparison.metric, [one.look for one in taken])
        z = comparison.metric.sign * shown[key]
        power = float(bayes.Normal(z / math.sqrt(t), math.sqrt(1 - t)).above(final))
        unlikely = power < _LITTLE
        yield Finding(
            name=_named("futility", comparison),
            status=Outcome.WARNING if unlikely else Outcome.NOTED,
            message=f"{_about(plan, comparison)}: if things go on as they are, an improvement is "
            f"significant at the final look with probability {power:.1%}"
            + ("; to go on is likely in vain." if unlikely else "."),
            numbers={"conditional_power": power, "information": t},
        )


def _final_boundary(plan: Plan, metric: MetricPlan, seen: Sequence[Look]) -> float:
    """The critical value of a final look that comes next, by itself: corrections may ask for more."""
    last = seen[-1]
    n = max(plan.planned_units or 0, math.ceil(last.n / last.information))
    final = msgspec.structs.replace(last, number=last.number + 1, n=n, information=1.0)
    law = looks.law([*seen, final], spending=plan.settings.spending)
    return float(law.critical(plan.alpha, plan.sides(metric)))


def _overall(comparisons: Sequence[Comparison]) -> Iterator[Comparison]:
    return (one for one in comparisons if one.segment is None)


def _named(name: str, comparison: Comparison) -> str:
    return f"{name}:{comparison.metric.name}:{comparison.variant}:{comparison.baseline}"


def _about(plan: Plan, comparison: Comparison, dimension: str | None = None) -> str:
    """What a sentence is about; it names the variants where there are more than two."""
    by = "" if dimension is None else f" by {dimension}"
    pair = f", {comparison.variant} against {comparison.baseline}" if len(plan.variants) >= _SEVERAL else ""
    return f"{comparison.metric.name}{by}{pair}"
