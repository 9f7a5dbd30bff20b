"""`tenbin power`: how many units, how small an effect, or how likely; from numbers or from a metric's past.

What is missing is what is asked: with an effect and no units the answer is a size, with units and no effect
the smallest effect that they show, with both the power.
"""

import math
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from stats.arrays import Real
from stats.boundaries import Region, spending_boundary
from stats.measures import Kind, Measure, measure_of, proportion
from stats.moments import Moments
from stats.planning import Design, Method, Scale, detectable_effect, duration, power, sample_size
from stats.spending import OBrienFleming, increments
from stats.stopping import cost
from workspace import UserError, check_alpha

Question = Literal["sample_size", "detectable_effect", "power"]
Horizon = Literal["fixed", "anytime", "group_sequential"]

_AROUND = (0.5, 0.75, 1.0, 1.5, 2.0)  # of the effect or the units asked about
_LEAST = 2  # units of an arm, for a variance
_DIGITS = 12  # significant, of a number in the answer
_ROUNDING = 1e-9  # by which a number of units may miss a whole one
_LOOKS = 5  # when nobody says how many
_MOST_LOOKS = 365
_LEAST_OF = {
    "units": 0,
    "days": 0,
    "daily_units": 0,
    "window_days": 0,
    "margin": 0,
    "metrics": 1,
    "guardrails": 0,
    "cluster_size": 1,
}
_NUMBERS = (*_LEAST_OF, "lift", "difference")
_SETTLED = 1e-9  # relative change from which on a size counts as found
_ROUNDS = 100  # in which it is, by far


class PowerError(UserError):
    """The options of `tenbin power` ask for nothing, or for two things at once."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace knows of a metric: its moments over units, and how many units arrive in a day.

    The columns of the moments are the measure (of a ratio: numerator, denominator), then its covariates.
    """

    metric: str
    kind: Kind
    moments: Moments
    daily_units: float | None = None
    window_days: float = 0.0  # after a unit's exposure, in which the metric is measured
    decrease: bool = False  # less is better
    source: str | None = None  # where this was seen, for people


class PowerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call. Effects and margin are fractions (0.02 = +2 %), effects signed."""

    rate: float | None = None  # of a conversion in the control; else mean and sd
    mean: float | None = None
    sd: float | None = None  # between units
    correlation: float = 0.0  # with a covariate from before (CUPED); 0: what the past has
    cluster_size: float = 1.0
    icc: float = 0.0
    lift: float | None = None
    difference: float | None = None  # in the metric's unit; of a rate in shares (0.01 = one point)
    units: float | None = None  # over all arms
    days: float | None = None
    daily_units: float | None = None  # that enter the experiment, over all arms
    window_days: float | None = None  # of the metric, after a unit's exposure; None: as in the past, or 0
    alpha: float = 0.05
    power: float = 0.8
    one_sided: bool = False
    decrease: bool = False  # less is better
    margin: float | None = None  # non-inferiority: the worsening that is acceptable, on the effect's scale
    weights: tuple[float, ...] = (1.0, 1.0)  # of the arms, control first
    metrics: int = 1  # success metrics, among which alpha is split
    guardrails: int = 0
    horizon: Horizon = "fixed"
    looks: int | None = None  # of a group-sequential horizon, equally spaced; None: 5
    method: Method | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """So many units show such an effect with such power; None: not known, or there is none."""

    units: int  # over all arms, whole ones in every arm
    per_arm: tuple[int, ...]  # control first
    days: float | None = None
    lift: float | None = None
    difference: float | None = None
    power: float | None = None


class PowerAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, what the answer is (None: there is none), and on what it rests."""

    question: Question
    sentence: str
    answer: Point | None = None
    around: tuple[Point, ...] = ()  # for smaller and larger effects or numbers of units
    mean: float
    sd: float
    correlation: float
    method: str
    alpha_per_test: float
    assumptions: tuple[str, ...]


class _Case(NamedTuple):
    """A request in terms of the statistics."""

    request: PowerRequest
    measure: Measure
    design: Design
    effect: float | None
    units: float | None
    daily_units: float | None
    window_days: float
    source: str | None


def plan(request: PowerRequest, history: History | None = None) -> PowerAnswer:
    """Answer the request; with a history its metric and arrivals are those of the past.

    Raises:
        PowerError: nothing or too much is asked, or the metric is not described.
        StatsError: a setting without meaning, or a past that gives no plan.
    """
    _check(request)
    case = _case(request, history)
    if case.units is None:
        return _sample_size(case, case.effect or 0.0)
    if case.effect is None:
        return _detectable_effect(case, case.units)
    return _power(case, case.effect, case.units)


def _check(request: PowerRequest) -> None:
    """Refuse numbers that mean nothing, by the name of their option."""
    check_alpha(request.alpha, where="--alpha", error=PowerError)
    for name in _NUMBERS:
        value = getattr(request, name)
        if value is None or (math.isfinite(value) and (name not in _LEAST_OF or value >= _LEAST_OF[name])):
            continue
        least = f", at least {_LEAST_OF[name]}" if name in _LEAST_OF else ""
        raise PowerError(f"--{name.replace('_', '-')} {value:g} must be a finite number{least}")
    if request.daily_units == 0:
        raise PowerError("--daily-units 0 would never end; give how many units enter in a day")
    if not abs(request.correlation) < 1:
        raise PowerError(
            f"--correlation {request.correlation:g} must lie between -1 and 1, both excluded, as in 0.5"
        )
    _check_clusters(request)
    _check_looks(request)


def _check_clusters(request: PowerRequest) -> None:
    if not 0 <= request.icc <= 1:
        raise PowerError(f"--icc {request.icc:g} must lie between 0 and 1, as in 0.05")
    if request.icc and request.cluster_size == 1:
        raise PowerError(f"--icc {request.icc:g} needs --cluster-size, how many units are in a group")


def _check_looks(request: PowerRequest) -> None:
    if request.looks is None:
        return
    if not 1 <= request.looks <= _MOST_LOOKS:
        raise PowerError(f"--looks {request.looks} must lie between 1 and {_MOST_LOOKS}")
    if request.horizon != "group_sequential":
        raise PowerError(f"--looks {request.looks} needs --horizon group_sequential")


def _case(request: PowerRequest, history: History | None) -> _Case:
    if request.lift is not None and request.difference is not None:
        raise PowerError("an effect is a --lift or a --difference, not both")
    scale: Scale = "relative" if request.difference is None else "absolute"
    effect = request.lift if request.difference is None else request.difference
    daily_units, window_days = _arrivals(request, history)
    units = _units(request, daily_units, window_days)
    if effect is None and units is None:
        if request.margin is None:
            raise PowerError(
                "say what effect is worth showing (--lift or --difference), or how many units there are "
                "(--units, or --days with --daily-units)"
            )
        effect = 0.0
    if history is not None:
        request = msgspec.structs.replace(request, decrease=request.decrease or history.decrease)
    measure = _measure(request, history)
    return _Case(
        request=request,
        measure=measure,
        design=_at_horizon(request, _design(request, scale, effect), measure, effect, units),
        effect=effect,
        units=units,
        daily_units=daily_units,
        window_days=window_days,
        source=None if history is None else history.source,
    )


def _arrivals(request: PowerRequest, history: History | None) -> tuple[float | None, float]:
    """Units that enter in a day, and the days that each is measured for; what is stated outranks the past."""
    daily_units, window_days = request.daily_units, request.window_days
    if history is not None:
        daily_units = history.daily_units if daily_units is None else daily_units
        window_days = history.window_days if window_days is None else window_days
    return daily_units, window_days or 0.0


def _units(request: PowerRequest, daily_units: float | None, window_days: float) -> float | None:
    if request.days is None:
        return request.units
    if request.units is not None:
        raise PowerError("the units are --units, or those of --days with --daily-units, not both")
    if daily_units is None:
        raise PowerError(f"--days {request.days:g} needs --daily-units, how many units enter in a day")
    if not request.days > window_days:
        raise PowerError(
            f"--days {request.days:g} is not longer than the window of {window_days:g} days, so no unit "
            "would be mature; give more days"
        )
    return daily_units * (request.days - window_days)


def _measure(request: PowerRequest, history: History | None) -> Measure:
    ways = (
        request.rate is not None,
        request.mean is not None or request.sd is not None,
        history is not None,
    )
    if sum(ways) != 1:
        raise PowerError(
            "describe the metric in one way: --rate of a conversion, --mean and --sd of anything else, or a "
            "workspace and the name of a metric in it"
        )
    clusters = {"cluster_size": request.cluster_size, "icc": request.icc}
    if history is not None:
        seen = measure_of(history.moments, history.kind)
        given = request.correlation or seen.correlation
        return msgspec.structs.replace(seen, correlation=given, **clusters)
    if request.rate is not None:
        if not 0 < request.rate < 1:
            raise PowerError(f"--rate {request.rate:g} must lie between 0 and 1, both excluded, as in 0.05")
        return proportion(request.rate, correlation=request.correlation, **clusters)
    if request.mean is None or request.sd is None:
        raise PowerError("a mean needs both --mean and --sd, the standard deviation between units")
    if not (math.isfinite(request.mean) and request.sd > 0 and math.isfinite(request.sd)):
        raise PowerError(
            f"--mean {request.mean:g} must be finite and --sd {request.sd:g} a finite number above 0"
        )
    return Measure(
        kind="mean", mean=request.mean, variance=request.sd**2, correlation=request.correlation, **clusters
    )


def _design(request: PowerRequest, scale: Scale, effect: float | None) -> Design:
    falls = request.decrease
    if request.margin is None and effect:  # a difference may be looked for in either direction
        falls = effect < 0
    return Design(
        alpha=request.alpha,
        power=request.power,
        sides=1 if request.one_sided else 2,
        scale=scale,
        sign=-1 if falls else 1,
        margin=request.margin,
        method=request.method,
        weights=request.weights,
        comparisons=request.metrics * (len(request.weights) - 1),
        guardrails=request.guardrails,
    )


def _at_horizon(
    request: PowerRequest, design: Design, measure: Measure, effect: float | None, units: float | None
) -> Design:
    """The design, when the experiment will be looked at more than once."""
    if request.horizon == "group_sequential":
        return msgspec.structs.replace(design, inflation=_inflation(design, request.looks or _LOOKS))
    if request.horizon == "anytime":
        planned = _planned(design, measure, effect or 0.0) if units is None else units
        return msgspec.structs.replace(design, tuned_for=planned)
    return design


def _inflation(design: Design, looks: int) -> float:
    """What equally spaced looks multiply the units with, spending as O'Brien and Fleming would."""
    times = np.arange(1, looks + 1) / looks
    steps = increments(OBrienFleming(), design.level / design.sides, times.tolist(), times.tolist())
    region = Region.of(times, spending_boundary(times, steps, design.sides), design.sides)
    return max(1.0, cost(region, alpha=design.level, power=design.target, sides=design.sides).inflation)


def _planned(design: Design, measure: Measure, effect: float) -> float | None:
    """The units that an anytime-valid test asks for when it is tuned for just as many; None: there are none.

    From the fixed test's units on: near its best the boundary hardly changes with what it is tuned for.
    """
    planned = float(sample_size(design, measure, effect=effect))
    for _ in range(_ROUNDS):
        if not math.isfinite(planned):
            return None
        tuned = msgspec.structs.replace(design, tuned_for=planned)
        before, planned = planned, float(sample_size(tuned, measure, effect=effect))
        if abs(planned - before) <= _SETTLED * before:
            break
    return planned


def _sample_size(case: _Case, effect: float) -> PowerAnswer:
    def size(of: float) -> Point | None:
        units = sample_size(case.design, case.measure, effect=of)
        return _point(case, float(units), of, case.request.power) if math.isfinite(units) else None

    found = size(effect)
    if found is None:
        return _answer(case, "sample_size", _why_no_size(case, effect))
    around = [size(effect * share) for share in _AROUND] if effect else []
    return _answer(
        case,
        "sample_size",
        f"{_units_in(found)} show {_effect(case, effect)} with {case.request.power:.0%} power.",
        found,
        tuple(point for point in around if point is not None),
    )


def _detectable_effect(case: _Case, units: float) -> PowerAnswer:
    def shown(by: float) -> Point:
        effect = _number(detectable_effect(case.design, case.measure, units=by))
        return _point(case, by, effect, case.request.power)

    found = shown(units)
    effect = found.lift if case.design.scale == "relative" else found.difference
    if effect is None:
        return _answer(case, "detectable_effect", _why_no_effect(case, found))
    return _answer(
        case,
        "detectable_effect",
        f"{_units_in(found)} show {_effect(case, effect)} or more with {case.request.power:.0%} power.",
        found,
        tuple(shown(units * share) for share in _AROUND),
    )


def _power(case: _Case, effect: float, units: float) -> PowerAnswer:
    def likely(of: float) -> Point:
        return _point(case, units, of, _number(power(case.design, case.measure, effect=of, units=units)))

    found = likely(effect)
    if found.power is None:
        return _answer(case, "power", _why_no_power(case, effect, found))
    return _answer(
        case,
        "power",
        f"{_units_in(found)} show {_effect(case, effect)} with {found.power:.1%} power.",
        found,
        tuple(likely(effect * share) for share in _AROUND) if effect else (),
    )


def _point(case: _Case, units: float, effect: float | None, power_: float | None) -> Point:
    arms = [float(arm) for arm in case.design.per_arm(units)]
    if case.units is None:  # what is needed is rounded up, what is there down
        per_arm = tuple(math.ceil(arm * (1 - _ROUNDING)) for arm in arms)
    else:
        per_arm = tuple(math.floor(arm * (1 + _ROUNDING)) for arm in arms)
    total, size = sum(per_arm), abs(float(case.measure.mean))
    days = None
    if case.daily_units is not None:
        days = _number(duration(total, per_day=case.daily_units, window_days=case.window_days))
    relative = case.design.scale == "relative"
    return Point(
        units=total,
        per_arm=per_arm,
        days=days,
        lift=_number(effect if relative or effect is None else (effect / size if size else None)),
        difference=_number(effect if not relative or effect is None else effect * size),
        power=_number(power_),
    )


def _answer(
    case: _Case,
    question: Question,
    sentence: str,
    answer: Point | None = None,
    around: tuple[Point, ...] = (),
) -> PowerAnswer:
    measure, design = case.measure, case.design
    return PowerAnswer(
        question=question,
        sentence=sentence,
        answer=answer,
        around=around,
        mean=float(measure.mean),
        sd=math.sqrt(float(measure.variance)),
        correlation=float(measure.correlation),
        method=design.method or ("z_unpooled" if measure.kind == "proportion" else "welch_t"),
        alpha_per_test=_level(design),
        assumptions=tuple(_assumptions(case)),
    )


def _number(value: Real | None) -> float | None:
    """12 significant digits, as results have them; None where there is none."""
    return float(f"{value:.{_DIGITS}g}") if value is not None and math.isfinite(value) else None


def _units_in(point: Point) -> str:
    days = "" if point.days is None else f" ({point.days:,.0f} days)"
    return f"{point.units:,} units{days}"


def _effect(case: _Case, effect: float) -> str:
    lift = case.design.scale == "relative"
    said = f"a lift of {100 * effect:+.4g}%" if lift else f"a difference of {effect:+.4g}"
    if case.design.margin is None:
        return said
    margin = f"{100 * case.design.margin:.4g}%" if lift else f"{case.design.margin:.4g}"
    return f"non-inferiority within {margin} at {said if effect else 'no true effect'}"


def _why_no_size(case: _Case, effect: float) -> str:
    if case.design.margin is not None and case.design.sign * effect <= -case.design.margin:
        return "The assumed effect lies at or beyond the margin, so there is no non-inferiority to show."
    if effect == 0:
        return "An effect of 0 is no effect to show; name the smallest one that would matter."
    return f"A rate of {float(case.measure.mean):.4g} can't move by {effect:+.4g} ({case.design.scale})."


def _why_no_power(case: _Case, effect: float, point: Point) -> str:
    few = min(point.per_arm) < _LEAST
    return f"{point.units:,} units are too few for a test." if few else _why_no_size(case, effect)


def _why_no_effect(case: _Case, point: Point) -> str:
    why = "the rate would have to pass 0 or 1"
    if case.measure.kind != "proportion":
        why = "the control's own mean is not told from 0"
    if min(point.per_arm) < _LEAST:
        why = "an arm has fewer than two"
    return f"{point.units:,} units show no effect of any size with {case.request.power:.0%} power: {why}."


def _assumptions(case: _Case) -> list[str]:
    """What the answer rests on, a phrase each."""
    design, measure = case.design, case.measure
    said = [_test(case)]
    if case.source is not None:
        said.append(f"mean, noise and arrivals of {case.source}")
    if design.guardrails:
        said.append(f"power {design.target:.4g} for each metric (guardrails: {design.guardrails})")
    if len(set(design.weights)) > 1:
        weights = " : ".join(f"{weight:g}" for weight in design.weights)
        said.append(f"arms weighted {weights}; the lightest variant decides")
    if rho := float(measure.correlation):
        said.append(f"a covariate with correlation {rho:.3g} takes away {rho * rho:.0%} of the variance")
    if float(measure.cluster_size) > 1:
        said.append(f"clusters of {float(measure.cluster_size):g} units with ICC {float(measure.icc):g}")
    if design.inflation > 1:
        said.append(
            f"group-sequential, {case.request.looks or _LOOKS} looks: at most {design.inflation:.4g} times "
            "the units of a fixed test"
        )
    if design.tuned_for is not None:
        said.append(
            f"anytime-valid, tightest at {design.tuned_for:,.0f} units (planned_units): the power of the "
            "last look alone, to which earlier looks add"
        )
    if measure.kind != "proportion":
        noise = "grows with the effect" if design.scale == "relative" else "stays as it is"
        said.append(f"a unit's noise {noise} in the variant")
    return said


def _level(design: Design) -> float:
    """Of one test; a margin is tested on one side of two."""
    return design.level / design.sides if design.margin is not None else design.level


def _test(case: _Case) -> str:
    design = case.design
    one_sided = case.request.one_sided or design.margin is not None
    sides = "one-sided" if one_sided else "two-sided"
    split = (
        f", alpha {design.alpha:g} over {design.comparisons} comparisons" if design.comparisons > 1 else ""
    )
    return f"{sides} test at {_level(design):.4g}{split}"


def to_json(found: PowerAnswer) -> str:
    """The answer as indented JSON text; the same request gives the same text."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
