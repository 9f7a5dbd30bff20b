"""One experiment as of one day: cells in, result rows, sample ratio and decision out."""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from stats import inference
from stats.arrays import Real
from stats.comparisons import FEW, Comparison, compare
from stats.contrasts import Contrast
from stats.decision import decide
from stats.equivalence import non_inferior_lift
from stats.errors import StatsError
from stats.inference import Interval
from stats.multiplicity import holm
from stats.plan import Cell, Horizon, MetricPlan, Plan, QuantileCell
from stats.references import ConfidenceSequence, Reference, StudentT, p_value
from stats.results import Decision, Result, Srm, Status
from stats.srm import sample_ratio

__all__ = ["Analysis", "Cell", "MetricPlan", "Plan", "QuantileCell", "analyse"]

SUCCESS = frozenset({"primary", "secondary"})
TUNED_FOR = 5_000  # units, where no number is planned; as in GrowthBook
_DIGITS = 12  # significant, that a result carries


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What the statistics say of one experiment as of one day."""

    results: tuple[Result, ...]
    srm: Srm
    decision: Decision
    warnings: tuple[str, ...] = ()


class _Correction(msgspec.Struct, frozen=True):
    """Holm over the success metrics, for one headline row."""

    p_adjusted: float
    alpha: float  # of the simultaneous interval
    family: str


class _Reading(msgspec.Struct, frozen=True):
    """A contrast under a reference law, as rows will show it."""

    contrast: Contrast
    reference: Reference
    horizon: Horizon
    headline: bool


def analyse(
    plan: Plan,
    cells: Iterable[Cell | QuantileCell],
    *,
    counts: Mapping[str, int],
    as_of: dt.date | None,
    ended: bool,
    provisional: bool = False,
    failed_checks: Sequence[str] = (),
) -> Analysis:
    """Compare the variants by every metric, and decide.

    Args:
        plan: the experiment.
        cells: its data, one cell per metric, variant and segment; an absent cell is one without units.
        counts: units by variant, as they were first seen, for the sample ratio.
        as_of: the day that the cells are cut at; None for data without days.
        ended: whether the planned end is reached, from which on a fixed horizon may be read.
        provisional: whether late rows may still change the cells.
        failed_checks: what is wrong with the data, a sentence each; the verdict is then `investigate`.

    Raises:
        StatsError: the plan or the cells contradict themselves; never for numbers that are not defined.
    """
    if plan.horizon == "group_sequential":
        raise StatsError('horizon "group_sequential" is not there yet; use "anytime" or "fixed"')
    comparisons = compare(plan, cells)
    readings = [tuple(_readings(plan, comparison)) for comparison in comparisons]
    corrections = _corrections(plan, comparisons, readings, ended=ended)
    base = Result(
        experiment=plan.experiment, iteration=plan.iteration, metric="", role="", variant="", baseline="",
        method="", scale="", horizon="", headline=False, n_variant=0, n_baseline=0,
        as_of=as_of, population=plan.population, alpha=plan.alpha, provisional=provisional,
    )  # fmt: skip
    results = tuple(
        _rounded(row)
        for place, comparison in enumerate(comparisons)
        for row in _rows(plan, comparison, readings[place], corrections.get(place), base, ended=ended)
    )
    srm = sample_ratio(counts, plan.weights)
    return Analysis(
        results=results,
        srm=srm,
        decision=decide(plan, results, srm, ended=ended, failed_checks=failed_checks),
        warnings=tuple(_warnings(comparisons)),
    )


def _readings(plan: Plan, comparison: Comparison) -> Iterator[_Reading]:
    """The headline first; a fixed reading is always there, marked as not the headline where it is not."""
    for place, contrast in enumerate(comparison.contrasts):
        if place == 0 and plan.horizon == "anytime":
            pair = plan.weights[comparison.variant] + plan.weights[comparison.baseline]
            share = pair / math.fsum(plan.weights.values())
            sequence = ConfidenceSequence(
                comparison.n_variant + comparison.n_baseline,
                tuned_for=plan.planned_units * share if plan.planned_units else TUNED_FOR,
                alpha=plan.alpha,
            )
            yield _Reading(contrast, sequence, "anytime", headline=True)
        headline = place == 0 and plan.horizon == "fixed"
        yield _Reading(contrast, StudentT(contrast.df), "fixed", headline=headline)


def _corrections(
    plan: Plan,
    comparisons: Sequence[Comparison],
    readings: Sequence[Sequence[_Reading]],
    *,
    ended: bool,
) -> dict[int, _Correction]:
    """Holm over the primary and secondary metrics and all pairs; without guardrails and segments."""
    family: dict[int, float] = {}
    for place, (comparison, found) in enumerate(zip(comparisons, readings, strict=True)):
        if comparison.metric.role in SUCCESS and comparison.segment is None:
            # What can't be tested (yet) keeps its place: the family is that of the plan, not of the day.
            family[place] = 1.0
            if found and not _withheld(found[0].horizon, ended=ended):
                logarithm = inference.log10_p(found[0].contrast, found[0].reference)
                family[place] = float(p_value(logarithm))
    adjusted = holm(list(family.values()))
    m = len(family)
    return {
        place: _Correction(p, plan.alpha / m, f"success ({m})")
        for place, p in zip(family, adjusted, strict=True)
        if readings[place]
    }


def _withheld(horizon: Horizon, *, ended: bool) -> bool:
    return horizon == "fixed" and not ended


def _rows(
    plan: Plan,
    comparison: Comparison,
    readings: Sequence[_Reading],
    correction: _Correction | None,
    base: Result,
    *,
    ended: bool,
) -> Iterator[Result]:
    metric = comparison.metric
    base = msgspec.structs.replace(
        base,
        metric=metric.name,
        role=metric.role,
        fingerprint=metric.fingerprint,
        **{
            name: getattr(comparison, name)
            for name in (
                "segment", "variant", "baseline", "n_variant", "n_baseline", "n_immature", "mean_variant",
                "mean_baseline", "cap", "clipped_variant", "clipped_baseline",
            )
        },
    )  # fmt: skip
    if not readings:
        yield from _undefined(plan, comparison, base)
        return
    for reading in readings:
        row = msgspec.structs.replace(
            base,
            horizon=reading.horizon,
            headline=reading.headline,
            variance_reduction=reading.contrast.variance_reduction,
            status=Status.WITHHELD if _withheld(reading.horizon, ended=ended) else Status.OK,
            reasons=comparison.notes,
        )
        yield from _both_scales(row, reading, correction if reading.headline else None)
        if reading.headline and metric.margin is not None:
            yield _non_inferiority(row, reading, metric)
    if comparison.test_only is not None:
        yield _pooled_test(base, comparison.test_only, comparison.notes, ended=ended)


def _undefined(plan: Plan, comparison: Comparison, base: Result) -> Iterator[Result]:
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
    method = {"proportion": "z_unpooled", "mean": "welch_t", "ratio": "delta", "quantile": "quantile"}
    yield msgspec.structs.replace(
        row,
        method=method[comparison.metric.kind],
        scale="absolute",
        estimate=None if both is None else both[0] - both[1],
    )
    yield msgspec.structs.replace(
        row,
        method="fieller",
        scale="relative",
        estimate=None if both is None or not both[1] else (both[0] - both[1]) / abs(both[1]),
    )


def _both_scales(row: Result, reading: _Reading, correction: _Correction | None) -> Iterator[Result]:
    """The absolute row and its relative twin: one test, two intervals."""
    contrast, reference = reading.contrast, reading.reference
    anytime = reading.horizon == "anytime"
    absolute = msgspec.structs.replace(
        row,
        scale="absolute",
        method="confidence_sequence" if anytime else contrast.method,
        estimate=contrast.estimate,
    )
    share = _number(inference.lift(contrast))
    relative = msgspec.structs.replace(
        row,
        scale="relative",
        method="cuped_fieller" if contrast.method == "cuped" and not anytime else "fieller",
        estimate=share,
        reasons=(*row.reasons, *(("negative_baseline",) if contrast.baseline < 0 else ())),
    )
    if row.status is Status.WITHHELD:
        for held in (absolute, relative):
            yield msgspec.structs.replace(held, reasons=("before_planned_end", *held.reasons))
        return
    logarithm = float(inference.log10_p(contrast, reference))
    tested: dict[str, float | str] = {"p_value": float(p_value(logarithm)), "log10_p": logarithm}
    plain = inference.difference_interval(contrast, reference, row.alpha)
    simultaneous = None
    if correction is not None:
        tested |= {"p_adjusted": correction.p_adjusted, "family": correction.family}
        simultaneous = inference.difference_interval(contrast, reference, correction.alpha)
    yield msgspec.structs.replace(
        absolute,
        std_error=math.sqrt(contrast.variance_against(1.0)),
        **tested,
        **_bounds(plain, simultaneous),
    )
    fieller = inference.lift_interval(contrast, reference, row.alpha)
    if correction is not None:
        simultaneous = inference.lift_interval(contrast, reference, correction.alpha)
    if math.isnan(fieller.lower):
        relative = msgspec.structs.replace(
            relative,
            status=Status.UNDEFINED if share is None else Status.UNBOUNDED,
            reasons=("baseline_not_positive",),
        )
    yield msgspec.structs.replace(relative, **tested, **_bounds(fieller, simultaneous))


def _bounds(plain: Interval, simultaneous: Interval | None) -> dict[str, float | None]:
    found = {"lower": _number(plain.lower), "upper": _number(plain.upper)}
    if simultaneous is not None:
        found |= {
            "lower_adjusted": _number(simultaneous.lower),
            "upper_adjusted": _number(simultaneous.upper),
        }
    return found


def _number(value: Real) -> float | None:
    """A row's number; None where the arithmetic says "not defined"."""
    return None if math.isnan(value) else float(value)


def _non_inferiority(row: Result, reading: _Reading, metric: MetricPlan) -> Result:
    """One-sided at alpha / 2: is the lift better than the margin allows? Against margin x the true baseline.

    Unlike margin x the observed baseline, which is anti-conservative where more is worse.
    """
    contrast, sign = reading.contrast, metric.sign
    found = msgspec.structs.replace(
        row,
        method="non_inferiority",
        scale="relative",
        alternative="greater" if sign > 0 else "less",
        headline=False,
        alpha=row.alpha / 2,
        estimate=_number(inference.lift(contrast)),
    )
    if row.status is Status.WITHHELD:
        return msgspec.structs.replace(found, reasons=("before_planned_end", *row.reasons))
    shown = non_inferior_lift(
        contrast, reading.reference, margin=metric.margin or 0.0, alpha=found.alpha, sign=sign
    )
    if math.isnan(shown.log10_p):
        return msgspec.structs.replace(found, status=Status.UNBOUNDED, reasons=("baseline_not_positive",))
    return msgspec.structs.replace(
        found,
        p_value=float(p_value(shown.log10_p)),
        log10_p=float(shown.log10_p),
        lower=float(shown.lower) if sign > 0 else None,
        upper=float(shown.upper) if sign < 0 else None,
    )


def _pooled_test(base: Result, contrast: Contrast, notes: tuple[str, ...], *, ended: bool) -> Result:
    """The pooled z: a test without an interval."""
    row = msgspec.structs.replace(
        base, method=contrast.method, scale="absolute", horizon="fixed", estimate=contrast.estimate
    )
    if not ended:
        return msgspec.structs.replace(row, status=Status.WITHHELD, reasons=("before_planned_end", *notes))
    logarithm = inference.log10_p(contrast, StudentT())
    return msgspec.structs.replace(
        row,
        std_error=math.sqrt(contrast.variance_against(1.0)),
        p_value=p_value(logarithm),
        log10_p=logarithm,
        reasons=notes,
    )


def _rounded(row: Result) -> Result:
    """12 significant digits: what is left of an engine's order of summation lies behind them."""
    return msgspec.structs.replace(
        row,
        **{
            name: float(f"{value:.{_DIGITS}g}")
            for name in Result.__struct_fields__
            if isinstance(value := getattr(row, name), float)
        },
    )


def _warnings(comparisons: Sequence[Comparison]) -> Iterator[str]:
    few = dict.fromkeys(
        c.metric.name for c in comparisons if c.segment is None and "few_conversions" in c.notes
    )
    for name in few:
        yield (
            f"{name}: a variant has fewer than {FEW} units with or without a conversion, so the normal "
            "approximation behind interval and p-value is doubtful."
        )
    constant = dict.fromkeys(
        c.metric.name for c in comparisons if c.segment is None and "covariate_constant" in c.notes
    )
    for name in constant:
        yield f"{name}: the covariate does not vary, so nothing could be adjusted."
    if any(comparison.segment is not None for comparison in comparisons):
        yield "Segments are for exploration: their p-values are not corrected for how many there are."
