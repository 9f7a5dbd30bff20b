"""How many units, how small an effect, how likely to be seen: planning for every kind of metric.

One formula for all. Over N units, D is the distance of the assumed truth from the hypothesis, and the
standard error is s0 / sqrt(N) where the hypothesis holds and s1 / sqrt(N) where the truth does:

    power = Phi((D sqrt(N) - q s0) / s1),    N = ((q s0 + z s1) / D)^2,

with q the critical value and z the normal quantile of the power; for Welch's t the law is noncentral t. What
makes the kinds of metric differ is only the variance of a unit: `measures`. Power is that of a significant
result in the right direction. Everything is elementwise; NaN is "there is none".
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from scipy import special

from stats.arrays import Numbers, Real
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.measures import Measure
from stats.numerics import bisect, positive, quiet
from stats.references import ConfidenceSequence, Sides, StudentT

Scale = Literal["relative", "absolute"]
Method = Literal["z_unpooled", "z_pooled", "z_baseline", "welch_t"]

_DOUBLINGS = 200  # of a bracket: beyond, there is no such number
_LEAST = 2.0  # units of an arm that a variance needs
_ROUNDING = 1e-12  # by which sums of shares may miss 0, 1 and 2
_NORMAL_FROM = 1e8  # degrees of freedom from where on Student's t is normal, to a double's digits


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """How the metric will be tested.

    Args:
        alpha: of the whole family.
        power: to see one effect.
        sides: of the test; a margin is tested in one direction, with two sides at alpha / 2.
        scale: of effects and margin; relative effects are shares of |mean|.
        sign: 1 where the effect to be shown is an increase, -1 for a decrease.
        margin: None: is there an effect? Else: is it better than -margin (non-inferiority)?
        method: None is what the analysis uses, the unpooled z for proportions and Welch's t else.
            `z_pooled`: the variance under the hypothesis is pooled (Fleiss; R's power.prop.test).
            `z_baseline`: it is the control's (Evan Miller's calculator).
        weights: of the arms, the control first; the lightest variant decides.
        comparisons: among how many alpha is split (Bonferroni; the first step of Holm): success metrics times
            variants.
        guardrails: whose power must hold too: beta / (guardrails + 1) each (Schultzberg, Ankargren, Franberg
            2024).
        inflation: what a group-sequential design multiplies the units with.
        tuned_for: anytime-valid instead: units over all arms at which the confidence sequence is tightest.

    Raises:
        StatsError: a setting without meaning.
    """

    alpha: float = 0.05
    power: float = 0.8
    sides: Sides = 2
    scale: Scale = "relative"
    sign: Literal[1, -1] = 1
    margin: float | None = None
    method: Method | None = None
    weights: tuple[float, ...] = (1.0, 1.0)
    comparisons: int = 1
    guardrails: int = 0
    inflation: float = 1.0
    tuned_for: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("power", self.power)):
            if not 0 < value < 1:
                raise StatsError(f"{name} must lie between 0 and 1, both excluded, not {value}")
        if not self.alpha < self.power:
            raise StatsError(f"power must be larger than alpha, not {self.power} with {self.alpha}")
        if len(self.weights) < 2 or not all(math.isfinite(w) and w > 0 for w in self.weights):  # noqa: PLR2004
            raise StatsError(f"a design needs two positive weights or more, not {self.weights}")
        if self.comparisons < 1 or self.guardrails < 0 or not self.inflation >= 1:
            raise StatsError("comparisons must be at least 1, guardrails at least 0, inflation at least 1")
        if self.margin is not None and not (math.isfinite(self.margin) and self.margin >= 0):
            raise StatsError(f"a margin must be finite and not negative, not {self.margin}")
        if self.margin is not None and self.method in {"z_pooled", "z_baseline"}:
            raise StatsError(
                f"{self.method} is a test of no difference; a margin needs z_unpooled or welch_t"
            )
        if self.tuned_for is not None and (self.inflation != 1 or not self.tuned_for > 0):
            raise StatsError(
                "tuned_for must be positive, and is an alternative to a group-sequential inflation"
            )

    @property
    def level(self) -> float:
        """Alpha of one test."""
        return self.alpha / self.comparisons

    @property
    def target(self) -> float:
        """Power of one metric."""
        return 1 - (1 - self.power) / (self.guardrails + 1)

    @property
    def shares(self) -> tuple[float, float]:
        """Of all units: the control's and the lightest variant's."""
        whole = math.fsum(self.weights)
        return self.weights[0] / whole, min(self.weights[1:]) / whole

    def per_arm(self, units: Real) -> tuple[Real, ...]:
        """Units of each arm, the control first."""
        return tuple(units * weight / math.fsum(self.weights) for weight in self.weights)


class _Setting(NamedTuple):
    """One assumed truth, as the formula has it."""

    distance: Real
    null: Real  # standard deviations of the estimate, times the root of all units
    alternative: Real
    variant: Real  # the variant's part of alternative^2, and the control's
    control: Real
    shares: tuple[Real, Real]  # of all units that are independent: the control's, the variant's


@quiet
def power(design: Design, measure: Measure, *, effect: Real, units: Real) -> Real:
    """The probability of a significant result when the effect is `effect` (a lift of 0.1 is +10 %).

    Args:
        design: of the test.
        measure: of the metric.
        effect: on the design's scale, with its sign.
        units: over all arms; NaN where an arm has fewer than two.
    """
    setting = _setting(design, measure, effect)
    return _power(design, _method(design, measure), setting, np.asarray(units, dtype=np.float64))[()]


@quiet
def sample_size(design: Design, measure: Measure, *, effect: Real) -> Real:
    """Units over all arms, not rounded, that show the effect with the design's power.

    NaN where no number does: no effect, one in the wrong direction, or one that makes no proportion.
    """
    return _enough(design, _method(design, measure), _setting(design, measure, effect))[()]


@quiet
def detectable_effect(design: Design, measure: Measure, *, units: Real) -> Real:
    """The smallest effect that so many units show with the design's power, on the design's scale, signed.

    NaN where none does: a proportion can't pass 0 or 1, and a relative effect has noise that grows with it
    (it needs a control whose mean is about three standard errors from 0).
    """
    method, n = _method(design, measure), np.asarray(units, dtype=np.float64)
    start = -(design.margin or 0.0)

    def excess(x: Numbers) -> Numbers:
        setting = _setting(design, measure, design.sign * (start + x))
        return _power(design, method, setting, n) - design.target

    here = _setting(design, measure, design.sign * start)
    step = here.alternative / np.sqrt(n) / positive(_unit(design, measure.mean))
    found = _first(excess, 0.0, step, _limit(design, measure) - start)
    signed: Real = (design.sign * (start + found))[()]
    return signed


def duration(units: Real, *, per_day: Real, window_days: Real = 0.0) -> Real:
    """Whole days until so many units have arrived and the last one's window is over; infinite if none do."""
    arriving = np.ceil(units / positive(per_day))
    return np.where(np.equal(per_day, 0), math.inf, arriving + window_days)[()]


@quiet
def power_now(design: Design, *, distance: Real, std_error: Real, units: Real) -> Real:
    """Power of what has been seen, if the truth lies `distance` from the hypothesis (normal reference).

    Args:
        design: of the test; its weights do not matter, as `std_error` has them.
        distance: between truth and hypothesis, in the unit of `std_error`.
        std_error: of the estimate as of now.
        units: of the two arms together as of now.
    """
    seen = _seen(distance, std_error, units)
    return _power(design, "z_unpooled", seen, np.asarray(units, dtype=np.float64))[()]


@quiet
def remaining_units(design: Design, *, distance: Real, std_error: Real, units: Real) -> Real:
    """Units that both arms together still need: the error shrinks as the root of n / (n + more).

    As GrowthBook's mid-experiment power. 0 where the power is there already; arguments as in `power_now`.
    """
    whole = _enough(design, "z_unpooled", _seen(distance, std_error, units))
    return np.maximum(whole - units, 0.0)[()]


@quiet
def distance_of(design: Design, contrast: Contrast, *, effect: Real) -> tuple[Real, Real]:
    """What `power_now` and `remaining_units` take: an effect's distance from the hypothesis, and the error.

    The error is that of the test itself, variant - factor x baseline, at what has been seen so far.
    """
    size, factor = _unit(design, contrast.baseline), _factor(design, contrast.baseline)
    distance = (design.sign * np.asarray(effect) + (design.margin or 0.0)) * size
    return distance[()], np.sqrt(positive(contrast.variance_against(factor)))[()]


def _method(design: Design, measure: Measure) -> Method:
    named = design.method or ("z_unpooled" if measure.kind == "proportion" else "welch_t")
    if named in {"z_pooled", "z_baseline"} and measure.kind != "proportion":
        raise StatsError(f"{named} is for proportions, not for a {measure.kind}")
    # A sequential boundary is in units of z.
    return "z_unpooled" if named == "welch_t" and design.tuned_for is not None else named


def _unit(design: Design, mean: Real) -> Real:
    """What an effect of 1 is in the metric's unit."""
    return np.abs(mean) if design.scale == "relative" else np.ones_like(mean)


def _factor(design: Design, mean: Real) -> Real:
    """What the control's mean is multiplied with in the hypothesis."""
    if design.margin is None or design.scale == "absolute":
        return 1.0
    return 1 - design.sign * np.sign(mean) * design.margin


def _setting(design: Design, measure: Measure, effect: Real) -> _Setting:
    """The distance and the standard deviations of one assumed effect.

    A relative effect multiplies a unit's value, so the variant's variance is the control's times the square
    of the ratio of their means. An absolute one adds to it.
    """
    mean = np.asarray(measure.mean, dtype=np.float64)
    size, factor = _unit(design, mean), _factor(design, mean)
    moved: Real = mean + np.asarray(effect) * size
    if measure.kind == "proportion":
        moved = np.where(np.abs(moved - 0.5) <= 0.5 + _ROUNDING, np.clip(moved, 0, 1), math.nan)
        changed = moved * (1 - moved)
    else:
        changed = measure.variance * np.square(moved / mean if design.scale == "relative" else 1.0)
    control_share, variant_share = design.shares
    variant = measure.kept * changed / variant_share
    control = measure.kept * positive(measure.variance) / control_share
    alternative = np.sqrt(variant + np.square(factor) * control)
    clusters = np.asarray(measure.cluster_size, dtype=np.float64)
    return _Setting(
        distance=design.sign * np.asarray(effect) * size + (design.margin or 0.0) * size,
        null=_null(design, measure, moved, alternative),
        alternative=alternative,
        variant=variant,
        control=np.square(factor) * control,
        shares=(control_share / clusters, variant_share / clusters),
    )


def _null(design: Design, measure: Measure, moved: Real, alternative: Real) -> Real:
    """The standard deviation that the test itself assumes."""
    control_share, variant_share = design.shares
    if design.method == "z_pooled":
        whole = control_share + variant_share
        rate = (control_share * measure.mean + variant_share * moved) / whole
    elif design.method == "z_baseline":
        rate = np.asarray(measure.mean)
    else:
        return alternative
    return np.sqrt(measure.kept * rate * (1 - rate) * (1 / control_share + 1 / variant_share))


def _seen(distance: Real, std_error: Real, units: Real) -> _Setting:
    """What has been seen so far, as the formula has it; the two arms are all units."""
    deviation = positive(std_error) * np.sqrt(positive(units))
    half = np.square(deviation) / 2
    return _Setting(distance, deviation, deviation, half, half, shares=(0.5, 0.5))


def _enough(design: Design, method: Method, setting: _Setting) -> Numbers:
    """All units that the design's power takes: the formula, or where q depends on N what it leads to."""
    q, z = StudentT().critical(design.level, design.sides), special.ndtri(design.target)
    units = np.square((q * setting.null + z * setting.alternative) / positive(setting.distance))
    units = np.maximum(units, _LEAST / np.minimum(*setting.shares)) * design.inflation
    if method != "welch_t" and design.tuned_for is None:
        return np.asarray(units)
    return _first(lambda n: _power(design, method, setting, n) - design.target, units, units)


def _power(design: Design, method: Method, setting: _Setting, units: Numbers) -> Numbers:
    n = units / design.inflation
    enough = np.greater_equal(n * np.minimum(*setting.shares), _LEAST * (1 - _ROUNDING))
    signal = setting.distance * np.sqrt(n)
    if method == "welch_t":
        found = _t_power(design, setting, n, signal / setting.alternative)
    else:
        q = _critical(design, setting, n)
        found = special.ndtr((signal - q * setting.null) / setting.alternative)
    return np.where(enough, found, math.nan)


def _critical(design: Design, setting: _Setting, n: Real) -> Real:
    if design.tuned_for is None:
        return StudentT().critical(design.level, design.sides)
    pair = setting.shares[0] + setting.shares[1]
    law = ConfidenceSequence(n * pair, tuned_for=design.tuned_for * pair, alpha=design.level)
    return law.critical(design.level, design.sides)


def _t_power(design: Design, setting: _Setting, n: Real, centre: Real) -> Real:
    """Of Welch's t: noncentral t with Satterthwaite's degrees of freedom at the planned variances."""
    a, b = setting.variant, setting.control
    rest = [np.where(n * share > 1, n * share - 1, math.nan) for share in setting.shares]
    df = np.square(a + b) / (np.square(a) / rest[1] + np.square(b) / rest[0])
    q = StudentT(df).critical(design.level, design.sides)
    few = df < _NORMAL_FROM
    student = special.nctdtr(np.where(few, df, 1.0), -centre, -q)
    found: Real = np.where(few, student, special.ndtr(centre - q))
    return found


def _limit(design: Design, measure: Measure) -> Real:
    """The largest effect that can be meant, in the direction of the design."""
    mean = np.asarray(measure.mean, dtype=np.float64)
    if measure.kind == "proportion":
        room = 1 - mean if design.sign > 0 else mean
        return room / mean if design.scale == "relative" else room
    towards_zero = design.scale == "relative" and np.less(design.sign * mean, 0)
    return np.where(towards_zero, 1.0, math.inf)


def _first(excess: Callable[[Numbers], Numbers], low: Real, step: Real, limit: Real = math.inf) -> Numbers:
    """The first place from `low` on where an increasing function is not negative; NaN where none is."""
    low = np.asarray(low, dtype=np.float64)
    high = np.minimum(low + step, limit)
    for _ in range(_DOUBLINGS):
        short = excess(high) < 0
        if not short.any():
            break
        high = np.where(short, np.minimum(low + 2 * (high - low), limit), high)
    found = bisect(excess, np.broadcast_to(low, high.shape), high)
    return np.where(excess(high) >= 0, found, math.nan)
