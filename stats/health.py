"""Is the result what it looks like? Arms that differed before; a few units that carry it; effects that fade.

Each check is a struct with its numbers and a finding in words; None is "not defined". A failed check says
where to look; only a difference before exposure says, like a broken split, that the data can't be trusted.
"""

import math
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from stats import contrasts, inference
from stats.arrays import Numbers
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.moments import Moments
from stats.numerics import level, number, quiet
from stats.references import StudentT, p_value

Flags = npt.NDArray[np.bool_]

BIAS_BELOW = 0.001  # as for the sample ratio: the check runs for every metric, every day
HEAVY_SHARE = 0.5  # of the variance, carried by a handful of units
_LEAST_UNITS = 2
_CLEAR = 1.959963984540054  # standard errors from 0 that a baseline needs for a lift


class Bias(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the arms differed before the experiment could have done anything."""

    estimate: float | None = None
    lift: float | None = None
    p_value: float | None = None
    log10_p: float | None = None
    failed: bool = False
    finding: str


class Influence(msgspec.Struct, frozen=True, kw_only=True):
    """What the most extreme units contribute."""

    top: int  # units left out
    units: int
    variance_share: float | None = None  # of the difference's variance that they carry
    estimate: float | None = None
    p_value: float | None = None
    estimate_without: float | None = None
    p_value_without: float | None = None
    failed: bool = False
    finding: str


class DayEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The effect on one day since exposure, with its own interval."""

    day: int
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None


class Novelty(msgspec.Struct, frozen=True, kw_only=True):
    """How the effect moves with days since exposure."""

    scale: str  # relative | absolute, where a day's baseline is not told from 0
    days: tuple[DayEffect, ...]
    slope: float | None = None  # per day
    std_error: float | None = None
    p_value: float | None = None
    failed: bool = False
    finding: str


def covariate_difference(variant: Moments, baseline: Moments, column: int) -> Contrast:
    """The covariate in `column` as the outcome."""
    return contrasts.difference_of_means(*(_column(arm, column) for arm in (variant, baseline)))


def _column(arm: Moments, column: int) -> Moments:
    return Moments(arm.n, (arm.mean[column],), ((arm.cov[column][column],),))


@quiet
def pre_exposure_bias(contrast: Contrast, *, below: float = BIAS_BELOW) -> Bias:
    """The test with the covariate as outcome: what was measured before can't be an effect.

    Args:
        contrast: of a covariate (`covariate_difference`, or of a ratio's covariates).
        below: the p-value under which the check fails.

    Raises:
        StatsError: a level that is none.
    """
    level(below)
    variance = contrast.variance_against(1.0)
    if not (np.isfinite(contrast.estimate) and np.isfinite(variance) and variance > 0 and contrast.df > 0):
        return Bias(finding="The covariate does not vary, or has too few units: nothing can be compared.")
    logarithm = float(inference.log10_p(contrast, StudentT(contrast.df)))
    p = float(p_value(logarithm))
    lift = number(inference.lift(contrast))
    by = f"{contrast.estimate:+.3g}" if lift is None else f"{lift:+.1%}"
    failed = p < below
    return Bias(
        estimate=float(contrast.estimate),
        lift=lift,
        p_value=p,
        log10_p=logarithm,
        failed=failed,
        finding=f"The arms differed before exposure already, by {by} (p = {p:.2g}): units were not split at "
        "random, or were counted in one arm and not in the other."
        if failed
        else f"The arms were alike before exposure ({by}, p = {p:.2g}).",
    )


@quiet
def outlier_influence(
    variant: Numbers, baseline: Numbers, *, top: int = 10, alpha: float = 0.05
) -> Influence:
    """The difference of means with and without the `top` units that lie farthest from the pooled median.

    Who is left out does not depend on the arm. It does depend on the outcome, so the second estimate is a
    diagnosis, not a result; a cap (winsorisation) is the remedy.

    Args:
        variant: a value per unit.
        baseline: a value per unit.
        top: how many units of both arms together.
        alpha: two-sided, of the tests.

    Raises:
        StatsError: fewer than one unit to leave out, values that are not finite, or a level that is none.
    """
    level(alpha)
    if top < 1:
        raise StatsError(f"the units to leave out must be at least 1, not {top}")
    arms = [np.asarray(values, dtype=np.float64) for values in (variant, baseline)]
    moments = [Moments.from_columns(values) for values in arms]
    units = sum(arm.n for arm in moments)
    nothing = Influence(top=top, units=units, finding="There are too few units that vary to leave any out.")
    whole = _tested(*moments)
    if whole is None or units <= top:
        return nothing
    kept = _without_extremes(arms, top)
    rest = _tested(*(Moments.from_columns(values[keep]) for values, keep in zip(arms, kept, strict=True)))
    share = _share_of_variance(arms, kept)
    flips = rest is None or (whole.p_value <= alpha) != (rest.p_value <= alpha)
    return Influence(
        top=top,
        units=units,
        variance_share=share,
        estimate=whole.estimate,
        p_value=whole.p_value,
        estimate_without=None if rest is None else rest.estimate,
        p_value_without=None if rest is None else rest.p_value,
        failed=flips or share > HEAVY_SHARE,
        finding=_influence(whole, rest, share, top=top, units=units, flips=flips),
    )


class _Tested(NamedTuple):
    estimate: float
    p_value: float


def _tested(variant: Moments, baseline: Moments) -> _Tested | None:
    """Welch's test; None where there is none."""
    if min(variant.n, baseline.n) < _LEAST_UNITS:
        return None
    contrast = contrasts.difference_of_means(variant, baseline)
    if not contrast.variance_against(1.0) > 0:
        return None
    logarithm = inference.log10_p(contrast, StudentT(contrast.df))
    return _Tested(float(contrast.estimate), float(p_value(logarithm)))


def _without_extremes(arms: list[Numbers], top: int) -> list[Flags]:
    """Per arm, which units stay."""
    together = np.concatenate(arms)
    order = np.argsort(-np.abs(together - np.median(together)), kind="stable")
    keep = np.ones(len(together), dtype=bool)
    keep[order[:top]] = False
    return np.split(keep, [len(arms[0])])


def _share_of_variance(arms: list[Numbers], kept: list[Flags]) -> float:
    """Of the sum over arms of squared deviations / (n (n - 1)), what the units left out make up."""
    parts = [np.square(values - values.mean()) / (len(values) * (len(values) - 1)) for values in arms]
    out = sum(float(part[~keep].sum()) for part, keep in zip(parts, kept, strict=True))
    return out / sum(float(part.sum()) for part in parts)


def _influence(
    whole: _Tested, rest: _Tested | None, share: float, *, top: int, units: int, flips: bool
) -> str:
    carried = f"{_many(top)} of {units:,} {'carries' if top == 1 else 'carry'} {share:.0%} of the variance"
    if rest is None:
        return f"{carried}; without them nothing varies."
    moved = f"the difference is {whole.estimate:.3g} (p = {whole.p_value:.2g}) with them"
    moved += f" and {rest.estimate:.3g} (p = {rest.p_value:.2g}) without"
    if flips:
        return f"The result hangs on a few units: {carried}, and {moved}. A cap would make it steadier."
    if share > HEAVY_SHARE:
        return f"A few units make most of the noise: {carried}, and {moved}. A cap would sharpen the result."
    return f"No handful of units decides: {carried}, and {moved}."


def _many(top: int) -> str:
    return f"{top} unit{'' if top == 1 else 's'}"


@quiet
def novelty(variant: Moments, baseline: Moments, *, alpha: float = 0.05) -> Novelty:
    """Does the effect move with days since exposure? A test of the slope of the daily effects.

    One unit has a value on every day, so daily effects hang together: their slope is a linear combination of
    correlated means, and its variance comes from the whole covariance matrix. Effects are lifts by the delta
    method, since the baseline itself often falls with days since exposure; where a day's baseline is not told
    from 0 they are differences.

    Args:
        variant: a column per day since exposure, in order; only units whose exposure is that long ago.
        baseline: likewise.
        alpha: two-sided.

    Raises:
        StatsError: fewer than two days, days that differ between the arms, or a level that is none.
    """
    level(alpha)
    k = len(variant.mean)
    if k != len(baseline.mean) or k < 2:  # noqa: PLR2004 - a slope
        raise StatsError(
            f"a slope needs the same two days or more in both arms, not {k} and {len(baseline.mean)}"
        )
    if min(variant.n, baseline.n) < _LEAST_UNITS:
        days = tuple(DayEffect(day=day) for day in range(k))
        return Novelty(scale="relative", days=days, finding="There are too few units for a slope.")
    v, b = _Daily.of(variant), _Daily.of(baseline)
    relative = bool((np.abs(b.mean) > _CLEAR * np.sqrt(np.diag(b.cov) / b.n)).all())
    day_effects = _effects_by_day(v, b, relative=relative, alpha=alpha)
    apart = np.arange(k) - (k - 1) / 2
    slope, error, df = _combined(v, b, apart / np.square(apart).sum(), relative=relative)
    found = Novelty(scale="relative" if relative else "absolute", days=day_effects, finding="")
    if not (error > 0 and math.isfinite(error)):
        return msgspec.structs.replace(
            found, finding="Nothing varies over the days: there is no slope to test."
        )
    p = float(p_value(StudentT(df).log10_p(slope / error)))
    return msgspec.structs.replace(
        found,
        slope=slope,
        std_error=error,
        p_value=p,
        failed=p <= alpha,
        finding=_moves(day_effects, slope, p, relative=relative, alpha=alpha),
    )


class _Daily(NamedTuple):
    """One arm's days as arrays."""

    n: int
    mean: Numbers
    cov: Numbers

    @classmethod
    def of(cls, arm: Moments) -> "_Daily":
        return cls(arm.n, np.array(arm.mean), np.array(arm.cov))


class _Estimate(NamedTuple):
    value: float
    std_error: float
    df: float


def _combined(v: _Daily, b: _Daily, weights: Numbers, *, relative: bool) -> _Estimate:
    """The weighted sum of daily effects, by the delta method from each arm's covariance matrix."""
    size = np.abs(b.mean) if relative else np.ones_like(b.mean)
    effects = (v.mean - b.mean) / size
    up = weights / size
    down = -up * (v.mean / b.mean if relative else 1.0)
    parts = [float(g @ arm.cov @ g) / arm.n for g, arm in ((up, v), (down, b))]
    whole = max(sum(parts), 0.0)
    below = (
        sum((part / whole) ** 2 / (arm.n - 1) for part, arm in zip(parts, (v, b), strict=True))
        if whole
        else 0
    )
    return _Estimate(float(weights @ effects), math.sqrt(whole), 1 / below if below else math.inf)


def _effects_by_day(v: _Daily, b: _Daily, *, relative: bool, alpha: float) -> tuple[DayEffect, ...]:
    found = []
    for day, one in enumerate(np.eye(len(v.mean))):
        value, error, df = _combined(v, b, one, relative=relative)
        half = float(StudentT(df).critical(alpha)) * error
        bounded = half > 0
        found.append(
            DayEffect(
                day=day,
                estimate=number(value),
                lower=value - half if bounded else None,
                upper=value + half if bounded else None,
            )
        )
    return tuple(found)


def _moves(days: tuple[DayEffect, ...], slope: float, p: float, *, relative: bool, alpha: float) -> str:
    """In words, along the fitted line."""
    form = "+.1%" if relative else "+.3g"
    mean = math.fsum(day.estimate or 0.0 for day in days) / len(days)
    rise = slope * (len(days) - 1)
    first, last = mean - rise / 2, mean + rise / 2
    path = f"along a line from {first:{form}} on the day of exposure to {last:{form}} on day {days[-1].day}"
    if p > alpha:
        return f"Nothing shows that the effect moves with days since exposure ({path}, p = {p:.2g})."
    moved, lasting = "grows", "larger than"
    if _opposed(days[0], days[-1]):
        moved, lasting = "turns round", "not"
    elif abs(last) < abs(first):
        moved, lasting = "fades", "smaller than"
    return (
        f"The effect {moved} with days since exposure, {path} (p = {p:.2g}): what lasts is {lasting} the "
        "average over these days."
    )


def _opposed(first: DayEffect, last: DayEffect) -> bool:
    """Whether both intervals leave out 0, on opposite sides."""
    if first.lower is None or first.upper is None or last.lower is None or last.upper is None:
        return False
    return first.upper < 0 < last.lower or last.upper < 0 < first.lower
