"""Which law a comparison is read under: the horizon decides, and says when nothing may be read yet."""

import math
from collections.abc import Sequence

import msgspec

from stats import looks
from stats.beside import mixture
from stats.choices import Horizon
from stats.comparisons import Comparison, Counted, Estimator
from stats.contrasts import Contrast
from stats.looks import Taken
from stats.pairs import Linear, Looked, Pair, counted
from stats.plan import Plan
from stats.references import ConfidenceSequence, Reference, StudentT

TUNED_FOR = 5_000  # units, where no number is planned; as in GrowthBook


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One estimator under one horizon, as rows will show it."""

    contrast: Contrast  # the estimates
    estimator: str  # the method behind them, whatever law they are read under
    pair: Pair | None = None  # None: it may not be read
    horizon: Horizon
    headline: bool
    withheld: str | None = None  # why it may not be read yet
    information: float | None = None  # share of the planned units at the last look
    notes: tuple[str, ...] = ()  # how it was read, where that is not the plain way


def readings(
    plan: Plan, comparison: Comparison, taken: Sequence[Taken], *, ended: bool
) -> tuple[Reading, ...]:
    """The headline first; a fixed reading is always there, marked as not the headline where it is not."""
    found: list[Reading] = []
    for place, estimator in enumerate(comparison.estimators):
        if place == 0 and _is_sequential(plan, comparison):
            found.append(_sequential(plan, comparison, estimator, taken))
        found.append(_fixed(plan, estimator, headline=not found, ended=ended))
    return tuple(found)


def _is_sequential(plan: Plan, comparison: Comparison) -> bool:
    """Segments have no looks of their own, and are read at the end then."""
    if plan.horizon == "group_sequential":
        return comparison.segment is None
    return plan.horizon == "anytime"


def _fixed(plan: Plan, estimator: Estimator, *, headline: bool, ended: bool) -> Reading:
    pair: Pair
    notes: tuple[str, ...] = ()
    if isinstance(estimator, Counted):
        pair = counted(estimator.method, estimator.contrast, estimator.counts)
        if plan.settings.proportions == "auto":
            notes = ("score_for_few",) if estimator.method == "miettinen_nurminen" else ("exact_for_few",)
    else:
        pair = Linear(estimator, StudentT(estimator.df))
    return Reading(
        contrast=pair.contrast,
        estimator=estimator.method,
        pair=pair,
        horizon="fixed",
        headline=headline,
        withheld=None if ended else "before_planned_end",
        notes=notes,
    )


def _sequential(plan: Plan, comparison: Comparison, estimator: Estimator, taken: Sequence[Taken]) -> Reading:
    """Counts that are too small have no sequential law, and to change the method between looks is peeking."""
    reading = Reading(
        contrast=estimator.contrast if isinstance(estimator, Counted) else estimator,
        estimator=estimator.method,
        horizon=plan.horizon,
        headline=True,
        withheld="too_few",
    )
    if plan.horizon == "group_sequential":
        return _looked(plan, comparison, reading, taken)
    if comparison.too_few or isinstance(estimator, Counted):
        return reading
    pair = Linear(estimator, _anytime(plan, comparison, estimator), _anytime_method(plan))
    return msgspec.structs.replace(reading, pair=pair, withheld=None)


def _anytime_method(plan: Plan) -> str:
    return "confidence_sequence" if plan.settings.msprt is None else "msprt"


def _anytime(plan: Plan, comparison: Comparison, contrast: Contrast) -> Reference:
    if plan.settings.msprt is not None:
        return mixture(contrast, plan.settings.msprt)
    pair = plan.weights[comparison.variant] + plan.weights[comparison.baseline]
    share = pair / math.fsum(plan.weights.values())
    return ConfidenceSequence(
        comparison.n_variant + comparison.n_baseline,
        tuned_for=plan.planned_units * share if plan.planned_units else TUNED_FOR,
        alpha=plan.alpha,
        df=contrast.df,
    )


def _looked(plan: Plan, comparison: Comparison, reading: Reading, taken: Sequence[Taken]) -> Reading:
    """What the looks so far have shown; the estimate is today's."""
    if not taken:
        return msgspec.structs.replace(reading, withheld="before_first_look")
    key = (comparison.metric.name, comparison.variant, comparison.baseline)
    steps = []
    for number, one in enumerate(taken, 1):
        for evidence in one.evidence:
            if (evidence.metric, evidence.variant, evidence.baseline) == key:
                so_far = [earlier.look for earlier in taken[:number]]
                law = looks.law(so_far, spending=plan.settings.spending, df=evidence.contrast.df)
                steps.append(Linear(evidence.contrast, law))
    information = taken[-1].look.information
    if not steps:
        why = "too_few" if comparison.too_few else "before_first_look"
        return msgspec.structs.replace(reading, withheld=why, information=information)
    pair = Looked(reading.contrast, tuple(steps))
    return msgspec.structs.replace(reading, pair=pair, withheld=None, information=information)
