"""Multiplicity over the rows of a plan: which questions belong together, and what that does to each of them.

Families are those of the plan, not of the day: what can't be tested yet keeps its place. Success metrics
(primary and secondary) with all pairs of variants are one family, or one per role; the segments of one metric
and dimension are one each. Guardrails are in none: every one of them must hold, so none takes from another
(Schultzberg, Ankargren, Franberg 2024).
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from stats.inference import Interval
from stats.multiplicity import PROCEDURES, SUCCESS, Adjusted, by_family, fcr_alphas, holm_lower_bounds
from stats.pairs import Pair
from stats.plan import MetricPlan, Plan
from stats.references import p_value

_NOT_DEFINED = Interval(math.nan, math.nan)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One headline: whose, and how it is answered."""

    metric: MetricPlan
    segment: str | None
    pair: Pair | None  # None: it can't be tested (yet)


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What a headline row says within its family; intervals are NaN where the procedure has none."""

    p_adjusted: float
    family: str
    difference: Interval
    relative: Interval


def corrected(plan: Plan, questions: Sequence[Question]) -> dict[int, Correction]:
    """The correction of each question that is in a family and can be tested, by its place."""
    families = {
        place: name
        for place, question in enumerate(questions)
        if (name := _family(plan, question)) is not None
    }
    questions = [_answerable(question) for question in questions]
    p_values = {place: _p(plan, questions[place]) for place in families}
    procedure = PROCEDURES.get(plan.settings.correction, list)
    adjusted = by_family(p_values, families, procedure)
    found: dict[int, Correction] = {}
    for name in dict.fromkeys(families.values()):
        members = [place for place, family in families.items() if family == name]
        found |= _intervals(plan, {place: questions[place] for place in members}, p_values, adjusted)
    return found


def _family(plan: Plan, question: Question) -> str | None:
    metric, segment = question.metric, question.segment
    if segment is not None:
        return f"{metric.name} by {segment.partition('=')[0]}"
    if metric.role not in SUCCESS:
        return None
    return "success" if plan.settings.families == "success" else metric.role


def _answerable(question: Question) -> Question:
    """A test without a value for these data keeps its place in the family, like one that must wait."""
    known = question.pair is not None and not math.isnan(question.pair.log10_p())
    return question if known else msgspec.structs.replace(question, pair=None)


def _p(plan: Plan, question: Question) -> float:
    if question.pair is None:
        return 1.0
    metric = question.metric
    return float(p_value(question.pair.log10_p(plan.sides(metric), sign=metric.sign)))


def _intervals(
    plan: Plan,
    members: Mapping[int, Question],
    p_values: Mapping[int, float],
    adjusted: Mapping[int, Adjusted],
) -> dict[int, Correction]:
    """Simultaneous intervals of one family, on both scales."""
    levels = _levels(plan, [p_values[place] for place in members])
    bounds = [
        _stepwise(plan, members, p_values, relative=relative)
        if _is_stepwise(plan, members)
        else [
            _interval(plan, question, alpha, relative=relative)
            for question, alpha in zip(members.values(), levels, strict=True)
        ]
        for relative in (False, True)
    ]
    return {
        place: Correction(
            p_adjusted=adjusted[place].p_adjusted,
            family=adjusted[place].family if plan.settings.correction != "none" else "none",
            difference=difference,
            relative=relative,
        )
        for place, difference, relative in zip(members, *bounds, strict=True)
        if members[place].pair is not None
    }


def _levels(plan: Plan, p_values: Sequence[float]) -> list[float]:
    """The level of each simultaneous interval: Bonferroni's, or that of what the procedure selected."""
    correction, m = plan.settings.correction, len(p_values)
    if correction == "none":
        return [plan.alpha] * m
    if correction == "benjamini_hochberg":
        return fcr_alphas(p_values, plan.alpha)
    if correction == "benjamini_yekutieli":
        # The procedure is Benjamini and Hochberg's at a smaller level, and so are its intervals.
        return fcr_alphas(p_values, plan.alpha / math.fsum(1 / rank for rank in range(1, m + 1)))
    return [plan.alpha / m] * m


def _interval(plan: Plan, question: Question, alpha: float, *, relative: bool) -> Interval:
    if question.pair is None or math.isnan(alpha):
        return _NOT_DEFINED
    sides = plan.sides(question.metric)
    found = (question.pair.relative if relative else question.pair.difference)(alpha, sides)
    return found if sides == 2 else one_sided(found, question.metric.sign)  # noqa: PLR2004 - two-sided


def one_sided(bounds: Interval, sign: int) -> Interval:
    """Of two one-sided bounds the one that an improvement is shown by; the other side is open."""
    if math.isnan(bounds.lower):
        return bounds
    return Interval(bounds.lower, math.inf) if sign > 0 else Interval(-math.inf, bounds.upper)


def _is_stepwise(plan: Plan, members: Mapping[int, Question]) -> bool:
    one = all(plan.sides(question.metric) == 1 for question in members.values())
    return one and plan.settings.correction == "holm"


def _stepwise(
    plan: Plan, members: Mapping[int, Question], p_values: Mapping[int, float], *, relative: bool
) -> list[Interval]:
    """Strassburger and Bretz's bounds, which agree with one-sided Holm."""
    questions = list(members.values())

    def bound(place: int, alpha: float) -> float:
        found = _interval(plan, questions[place], alpha, relative=relative)
        return float(found.lower if questions[place].metric.sign > 0 else -found.upper)

    lower = holm_lower_bounds([p_values[place] for place in members], plan.alpha, bound)
    return [
        _NOT_DEFINED
        if question.pair is None or math.isnan(least)
        else Interval(least, math.inf)
        if question.metric.sign > 0
        else Interval(-math.inf, -least)
        for question, least in zip(questions, lower, strict=True)
    ]
