"""Readings → result rows: both scales of every pair, tests against margins, and what stands beside them."""

import math
from collections.abc import Iterator

import msgspec

from stats import bayes, betas, equivalence, inference
from stats.beside import Beside
from stats.comparisons import Comparison
from stats.contrasts import Contrast, pooled_proportions
from stats.corrections import Correction, one_sided
from stats.equivalence import Shown
from stats.inference import Interval
from stats.pairs import Exact, Pair, Score, equivalent
from stats.plan import MetricPlan, Plan
from stats.readings import Reading
from stats.references import StudentT, p_value
from stats.results import Finding, Result, Status

_DIGITS = 12  # significant, that a result carries

_METHODS = {"proportion": "z_unpooled", "mean": "welch_t", "ratio": "delta", "quantile": "quantile"}
_ALTERNATIVES = {1: "greater", -1: "less"}


def base_row(comparison: Comparison, base: Result) -> Result:
    """What all rows of a comparison have in common."""
    return msgspec.structs.replace(
        base,
        metric=comparison.metric.name,
        role=comparison.metric.role,
        fingerprint=comparison.metric.fingerprint,
        **{
            name: getattr(comparison, name)
            for name in (
                "segment", "variant", "baseline", "n_variant", "n_baseline", "n_immature", "mean_variant",
                "mean_baseline", "cap", "clipped_variant", "clipped_baseline",
            )
        },
    )  # fmt: skip


def undefined_rows(plan: Plan, comparison: Comparison, base: Result) -> Iterator[Result]:
    """The rows that would be there, with the reason why they are not."""
    variant, baseline = comparison.mean_variant, comparison.mean_baseline
    both = None if variant is None or baseline is None else (variant, baseline)
    row = msgspec.structs.replace(
        base,
        horizon=plan.horizon,
        headline=True,
        status=Status.UNDEFINED,
        reasons=(comparison.problem or "no_units",),
    )
    metric = comparison.metric
    yield msgspec.structs.replace(
        row,
        method="cluster_delta" if metric.clustered else _METHODS[metric.kind],
        scale="absolute",
        estimate=None if both is None else both[0] - both[1],
    )
    yield msgspec.structs.replace(
        row,
        method="fieller",
        scale="relative",
        estimate=None if both is None or not both[1] else (both[0] - both[1]) / abs(both[1]),
    )


def reading_rows(
    plan: Plan, metric: MetricPlan, reading: Reading, correction: Correction | None, base: Result
) -> Iterator[Result]:
    """A reading's rows: absolute, relative, and for the headline the tests against its margins."""
    row = msgspec.structs.replace(
        base,
        horizon=reading.horizon,
        headline=reading.headline,
        information=reading.information,
        variance_reduction=_optional(reading.contrast.variance_reduction),
        reasons=(*reading.notes, *base.reasons),
    )
    if reading.pair is None or reading.withheld is not None:
        yield from _withheld_rows(metric, reading, row)
        return
    if math.isnan(reading.pair.log10_p()):
        yield from _without_test(reading.pair, row)
        return
    yield from _pair_rows(plan, metric, reading.pair, correction, row)
    if reading.headline and metric.margin is not None:
        yield _non_inferiority(plan, metric, reading.pair, row)
    if reading.headline and metric.equivalence:
        yield _equivalence(plan, metric, reading.pair, row)


def _withheld_rows(metric: MetricPlan, reading: Reading, row: Result) -> Iterator[Result]:
    """Estimates stay; what tells a difference from chance does not."""
    held = msgspec.structs.replace(
        row, status=Status.WITHHELD, reasons=(reading.withheld or "too_few", *row.reasons)
    )
    share = _number(inference.lift(reading.contrast))
    sequential = {"anytime": "confidence_sequence", "group_sequential": "group_sequential"}
    pair = reading.pair
    absolute = pair.method if pair else sequential.get(reading.horizon, reading.contrast.method)
    relative = pair.lift_method if pair else "fieller"
    yield msgspec.structs.replace(
        held, scale="absolute", method=absolute, estimate=float(reading.contrast.estimate)
    )
    yield msgspec.structs.replace(
        held,
        scale="relative",
        method=relative,
        estimate=share,
        reasons=(*held.reasons, *_sign_note(reading.contrast)),
    )
    for name, wanted in (("non_inferiority", metric.margin), ("equivalence", metric.equivalence)):
        if reading.headline and wanted is not None:
            yield msgspec.structs.replace(
                held, method=name, scale="relative", headline=False, estimate=share,
                alternative=_ALTERNATIVES[metric.sign] if name == "non_inferiority" else "two-sided",
            )  # fmt: skip


def _pair_rows(
    plan: Plan, metric: MetricPlan, pair: Pair, correction: Correction | None, row: Result
) -> Iterator[Result]:
    """The absolute row and its relative twin: one test, two intervals."""
    sides, contrast = plan.sides(metric), pair.contrast
    logarithm = float(pair.log10_p(sides, sign=metric.sign))
    tested: dict[str, float | str] = {"p_value": float(p_value(logarithm)), "log10_p": logarithm}
    if sides == 1:
        tested["alternative"] = _ALTERNATIVES[metric.sign]
    if correction is not None:
        tested |= {"p_adjusted": correction.p_adjusted, "family": correction.family}

    def bounds(found: Interval, simultaneous: Interval | None) -> dict[str, float | None]:
        return _bounds(found if sides == 2 else one_sided(found, metric.sign), simultaneous)  # noqa: PLR2004

    difference, fieller = (way(row.alpha, sides) for way in (pair.difference, pair.relative))
    yield msgspec.structs.replace(
        row,
        scale="absolute",
        reasons=(*(_disagreement(difference) if sides == 2 else ()), *row.reasons),  # noqa: PLR2004
        method=pair.method,
        estimate=float(contrast.estimate),
        std_error=_number(contrast.variance_against(1.0) ** 0.5) or None,
        **tested,
        **bounds(difference, correction.difference if correction else None),
        **_believed(pair, metric, None),
    )
    share = _number(inference.lift(contrast))
    relative = msgspec.structs.replace(
        row,
        scale="relative",
        method=pair.lift_method,
        estimate=share,
        reasons=(
            *(_disagreement(fieller) if sides == 2 else ()),  # noqa: PLR2004
            *row.reasons,
            *_sign_note(contrast),
        ),
    )
    if math.isnan(fieller.lower):
        relative = msgspec.structs.replace(
            relative,
            status=Status.UNDEFINED if share is None else Status.UNBOUNDED,
            reasons=("baseline_not_positive", *relative.reasons),
        )
    yield msgspec.structs.replace(
        relative,
        **tested,
        **bounds(fieller, correction.relative if correction else None),
        **_believed(pair, metric, plan.settings.prior),
    )


def _without_test(pair: Pair, row: Result) -> Iterator[Result]:
    """A method that has no value for these data: no variance, or arms too large to go through."""
    row = msgspec.structs.replace(row, status=Status.UNDEFINED, reasons=("not_defined", *row.reasons))
    yield msgspec.structs.replace(
        row, scale="absolute", method=pair.method, estimate=_number(pair.contrast.estimate)
    )
    yield msgspec.structs.replace(
        row, scale="relative", method=pair.lift_method, estimate=_number(inference.lift(pair.contrast))
    )


def _believed(pair: Pair, metric: MetricPlan, prior: bayes.Prior | None) -> dict[str, float | None]:
    """Probability and loss under the prior on the lift; without one, under a flat prior on the difference."""
    posterior: bayes.Posterior
    if isinstance(pair, Score | Exact):
        if prior is not None:
            return {}
        posterior = betas.beta_posterior(*pair.counts)
    elif prior is None:
        posterior = bayes.difference_posterior(pair.contrast, bayes.FLAT)
    else:
        posterior = bayes.lift_posterior(pair.contrast, prior)
    return {
        "probability_better": _number(bayes.probability_better(posterior, sign=metric.sign)),
        "expected_loss": _number(bayes.expected_losses(posterior, sign=metric.sign).variant),
    }


def _non_inferiority(plan: Plan, metric: MetricPlan, pair: Pair, row: Result) -> Result:
    """One-sided: is the lift better than the margin allows? Against margin x the true baseline.

    Unlike margin x the observed baseline, which is anti-conservative where more is worse.
    """
    margin, alpha = metric.margin or 0.0, plan.margin_alpha
    equivalence.check_margin(margin, alpha)
    found = msgspec.structs.replace(row, method="non_inferiority", alternative=_ALTERNATIVES[metric.sign])
    return _against_margin(found, pair, pair.beyond(-metric.sign * margin, alpha, sign=metric.sign), alpha)


def _equivalence(plan: Plan, metric: MetricPlan, pair: Pair, row: Result) -> Result:
    """Two one-sided tests: does the lift lie within the region that makes no practical difference?"""
    margin, alpha = metric.equivalence or 0.0, plan.margin_alpha
    found = msgspec.structs.replace(row, method="equivalence")
    return _against_margin(found, pair, equivalent(pair, margin, alpha), alpha)


def _against_margin(row: Result, pair: Pair, shown: Shown, alpha: float) -> Result:
    row = msgspec.structs.replace(
        row,
        scale="relative",
        headline=False,
        alpha=alpha,
        estimate=_number(inference.lift(pair.contrast)),
    )
    if math.isnan(shown.log10_p):
        reasons = ("baseline_not_positive", *row.reasons)
        return msgspec.structs.replace(row, status=Status.UNBOUNDED, reasons=reasons)
    lower, upper = _shown(shown)
    return msgspec.structs.replace(
        row,
        p_value=float(p_value(shown.log10_p)),
        log10_p=float(shown.log10_p),
        lower=lower,
        upper=upper,
        reasons=(*_disagreement(shown), *row.reasons),
    )


def beside_rows(
    plan: Plan, metric: MetricPlan, found: Pair | Beside, base: Result, *, ended: bool
) -> Iterator[Result]:
    """The rows of a further method: fixed, and never the headline."""
    row = msgspec.structs.replace(base, horizon="fixed", headline=False)
    if not isinstance(found, Beside):
        contrast = found.contrast
        reading = Reading(
            contrast=contrast,
            estimator=found.method,
            pair=found,
            horizon="fixed",
            headline=False,
            withheld=None if ended else "before_planned_end",
        )
        yield from reading_rows(plan, metric, reading, None, row)
        return
    row = msgspec.structs.replace(
        row, method=found.method, scale=found.scale, estimate=_number(found.estimate)
    )
    if not ended:
        reasons = ("before_planned_end", *row.reasons)
        yield msgspec.structs.replace(row, status=Status.WITHHELD, reasons=reasons)
        return
    shown = (found.interval.lower, found.log10_p, found.probability_better)
    known = not all(math.isnan(number) for number in shown)
    yield msgspec.structs.replace(
        row,
        status=Status.OK if known else Status.UNDEFINED,
        reasons=row.reasons if known else ("not_defined", *row.reasons),
        std_error=_number(found.std_error),
        p_value=_number(p_value(found.log10_p)),
        log10_p=_number(found.log10_p),
        probability_better=_number(found.probability_better),
        expected_loss=_number(found.expected_loss),
        **_bounds(found.interval, None),
    )


def pooled_rows(comparison: Comparison, base: Result, *, ended: bool) -> Iterator[Result]:
    """The pooled z: a test without an interval."""
    if comparison.metric.kind != "proportion" or comparison.metric.clustered or comparison.phases:
        return
    contrast = pooled_proportions(*comparison.moments)
    row = msgspec.structs.replace(
        base,
        method=contrast.method,
        scale="absolute",
        horizon="fixed",
        headline=False,
        estimate=float(contrast.estimate),
    )
    if not contrast.variance_against(1.0) > 0:
        return
    if not ended:
        reasons = ("before_planned_end", *row.reasons)
        yield msgspec.structs.replace(row, status=Status.WITHHELD, reasons=reasons)
        return
    logarithm = float(inference.log10_p(contrast, StudentT()))
    yield msgspec.structs.replace(
        row,
        std_error=math.sqrt(contrast.variance_against(1.0)),
        p_value=float(p_value(logarithm)),
        log10_p=logarithm,
    )


def rounded(row: Result) -> Result:
    """12 significant digits: what is left of an engine's order of summation lies behind them."""
    return msgspec.structs.replace(
        row,
        **{
            name: float(f"{value:.{_DIGITS}g}")
            for name in Result.__struct_fields__
            if isinstance(value := getattr(row, name), float)
        },
    )


def rounded_finding(finding: Finding) -> Finding:
    """The same for a finding's numbers."""
    numbers = {
        name: float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
        for name, value in finding.numbers.items()
    }
    return msgspec.structs.replace(finding, numbers=numbers)


def _sign_note(contrast: Contrast) -> tuple[str, ...]:
    return ("negative_baseline",) if contrast.baseline < 0 else ()


def _bounds(plain: Interval, simultaneous: Interval | None) -> dict[str, float | None]:
    lower, upper = _shown(plain)
    found = {"lower": lower, "upper": upper}
    if simultaneous is not None:
        lower, upper = _shown(simultaneous)
        found |= {"lower_adjusted": lower, "upper_adjusted": upper}
    return found


def _shown(bounds: Interval | Shown) -> tuple[float | None, float | None]:
    """Bounds as a row has them.

    Where looks have nothing in common, what they agree on is left: the side of 0, if it is one.
    """
    lower, upper = bounds.lower, bounds.upper
    if lower > upper:
        lower, upper = (upper, math.inf) if upper > 0 else (-math.inf, lower if lower < 0 else math.inf)
    return _number(lower), _number(upper)


def _disagreement(bounds: Interval | Shown) -> tuple[str, ...]:
    """Of looks that together leave no effect possible: it was another one at each of them."""
    return ("looks_disagree",) if bounds.lower > bounds.upper else ()


def _optional(value: object) -> float | None:
    return None if value is None else _number(value)


def _number(value: object) -> float | None:
    """A row's number; None where the arithmetic says "not defined", and on the open side of an interval."""
    number = float(value)  # type: ignore[arg-type]  # a float, or NumPy's
    return number if math.isfinite(number) else None
