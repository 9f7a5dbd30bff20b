"""Does the effect differ between segments? One test of all of them together, and estimates drawn together.

The test is Cochran's Q with weights 1/variance, referred to F as in Welch 1951, "On the comparison of several
mean values: an alternative approach", since segments are small and their variances estimated; with many units
it is the Wald chi-squared test. How much the true effects differ, tau^2, is Paule and Mandel's (1982) or
DerSimonian and Laird's (1986). Each estimate is then drawn to the common one as in Morris 1983, "Parametric
empirical Bayes inference: theory and applications", section 5, whose intervals carry the error of tau^2.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import special

from stats import inference
from stats.arrays import Numbers
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.numerics import bisect, level, number, quiet
from stats.references import StudentT

_LEAST_TO_SHRINK = 4  # segments that Morris's intervals need


class Effects(NamedTuple):
    """One effect per segment, each from units of its own; NaN where a segment has none."""

    estimate: Numbers
    variance: Numbers
    df: Numbers


class Between(NamedTuple):
    """Cochran's Q and Welch's test of "all effects are equal"; NaN with fewer than two."""

    q: float
    df: float
    df_denominator: float  # infinite where variances are known
    p_value: float
    i2: float  # share of the variation that is more than noise (Higgins and Thompson 2002)


class SegmentEffect(msgspec.Struct, frozen=True, kw_only=True):
    """One segment: its own estimate, and the one that it is drawn to; None: not defined."""

    segment: str
    estimate: float | None = None
    std_error: float | None = None
    lower: float | None = None
    upper: float | None = None
    shrunk: float | None = None
    shrunk_lower: float | None = None
    shrunk_upper: float | None = None


class Heterogeneity(msgspec.Struct, frozen=True, kw_only=True):
    """What the segments of one dimension say together; None: not defined."""

    segments: tuple[SegmentEffect, ...]
    overall: float | None  # weighted by 1 / variance
    q: float | None
    df: float | None
    p_value: float | None
    i2: float | None
    tau2: float | None
    left_out: tuple[str, ...]  # segments without an estimate or its error
    finding: str
    warnings: tuple[str, ...]


def stacked(contrasts: Sequence[Contrast]) -> Contrast:
    """The contrasts of several segments as one of arrays."""
    names = ("variant", "baseline", "var_variant", "var_baseline", "covariance", "df")
    columns = {name: np.array([getattr(one, name) for one in contrasts], dtype=np.float64) for name in names}
    return Contrast(method=contrasts[0].method if contrasts else "", **columns)


def differences(segments: Contrast) -> Effects:
    """Effects in the metric's unit; segments along the arrays of the contrast."""
    return _effects(segments.estimate, segments.variance_against(1.0), segments.df)


@quiet
def lifts(segments: Contrast) -> Effects:
    """Relative effects with the delta method's variance; NaN where a baseline is not told from 0 at 5 %."""
    noise = -special.ndtri(0.025) * np.sqrt(segments.var_baseline)
    size = np.where(np.abs(segments.baseline) > noise, np.abs(segments.baseline), math.nan)
    ratio = segments.variant / np.copysign(size, segments.baseline)
    return _effects(inference.lift(segments), segments.variance_against(ratio) / size**2, segments.df)


def _effects(estimate: object, variance: object, df: object) -> Effects:
    e, v, nu = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (estimate, variance, df))
    )
    known = np.isfinite(e) & np.isfinite(v) & (v > 0) & (nu > 0)
    return Effects(*(np.where(known, x, math.nan) for x in (e, v, nu)))


@quiet
def between(effects: Effects) -> Between:
    """Test that the effects of all segments are equal; segments without one are left out."""
    e, v, df = _known(effects)
    k = len(e)
    if k < 2:  # noqa: PLR2004 - a comparison
        return Between(*[math.nan] * 5)
    weight = 1 / v
    share = weight / weight.sum()
    q = float((weight * np.square(e - (share * e).sum())).sum())
    spread = float((np.square(1 - share) / df).sum())
    f = q / (k - 1) / (1 + 2 * (k - 2) / (k * k - 1) * spread)
    below = math.inf if spread == 0 else (k * k - 1) / (3 * spread)
    p_value = special.chdtrc(k - 1, q) if math.isinf(below) else special.fdtrc(k - 1, below, f)
    return Between(q, k - 1.0, below, float(p_value), max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0)


def tau2_paule_mandel(effects: Effects) -> float:
    """The tau^2 at which Q with weights 1 / (variance + tau^2) is what chance makes of it, k - 1."""
    e, v, _ = _known(effects)
    k = len(e)
    if k < 2:  # noqa: PLR2004 - a comparison
        return math.nan

    def excess(tau2: Numbers) -> Numbers:
        weight = 1 / (v + tau2[..., None])
        mean = (weight * e).sum(axis=-1) / weight.sum(axis=-1)
        surplus: Numbers = k - 1 - (weight * np.square(e - mean[..., None])).sum(axis=-1)
        return surplus

    if excess(np.zeros(1))[0] >= 0:
        return 0.0
    highest = np.array([np.square(e - e.mean()).sum() / (k - 1)])
    return float(bisect(excess, np.zeros(1), highest)[0])


def tau2_dersimonian_laird(effects: Effects) -> float:
    """The moment estimator: what Q has too much, over what one unit of tau^2 would add to it."""
    found = between(effects)
    if math.isnan(found.q):
        return math.nan
    weight = 1 / _known(effects).variance
    unit = weight.sum() - np.square(weight).sum() / weight.sum()
    return max(0.0, float((found.q - found.df) / unit))


class Shrunk(NamedTuple):
    """Estimates drawn to the common one, with standard errors; NaN with fewer than four segments."""

    estimate: Numbers
    std_error: Numbers


def shrink(effects: Effects, tau2: float) -> Shrunk:
    """Morris 1983, section 5: with B = (k-3)/(k-1) x variance/(variance + tau^2), mean + (1 - B)(own - mean).

    The error has three parts: the noise that is left, that of the common mean, and that of tau^2.
    """
    found = Shrunk(*(np.full(effects.estimate.shape, math.nan) for _ in range(2)))
    e, v, _ = _known(effects)
    k = len(e)
    if k < _LEAST_TO_SHRINK:
        return found
    weight = 1 / (v + tau2)
    share = weight / weight.sum()
    mean, typical = (share * e).sum(), (share * v).sum()
    pull = (k - 3) / (k - 1) * v * weight
    unsure = 2 / (k - 3) * np.square(pull) * (typical + tau2) * weight
    variance = v * (1 - (1 - share) * pull) + unsure * np.square(e - mean)
    known = np.isfinite(effects.estimate)
    found.estimate[known] = mean + (1 - pull) * (e - mean)
    found.std_error[known] = np.sqrt(variance)
    return found


def compare_segments(
    names: Sequence[str], effects: Effects, *, planned: bool, alpha: float = 0.05
) -> Heterogeneity:
    """All segments of one dimension: own and shrunk estimates, the test of interaction, what to make of it.

    Args:
        names: of the segments, which must not overlap.
        effects: theirs, on one scale.
        planned: whether these segments were named before the data were seen.
        alpha: two-sided, of tests and intervals.

    Raises:
        StatsError: a name too many or too few, or an alpha that is no level.
    """
    level(alpha)
    if len(names) != len(effects.estimate):
        raise StatsError(f"there are {len(names)} names for {len(effects.estimate)} segments")
    found, tau2 = between(effects), tau2_paule_mandel(effects)
    half = StudentT(effects.df).critical(alpha) * np.sqrt(effects.variance)
    shrunk = shrink(effects, tau2)
    wide = -special.ndtri(alpha / 2) * shrunk.std_error
    columns = {
        "estimate": effects.estimate,
        "std_error": np.sqrt(effects.variance),
        "lower": effects.estimate - half,
        "upper": effects.estimate + half,
        "shrunk": shrunk.estimate,
        "shrunk_lower": shrunk.estimate - wide,
        "shrunk_upper": shrunk.estimate + wide,
    }
    segments = tuple(
        SegmentEffect(segment=name, **{key: number(values[place]) for key, values in columns.items()})
        for place, name in enumerate(names)
    )
    return Heterogeneity(
        segments=segments,
        overall=_overall(effects),
        q=number(found.q),
        df=number(found.df),
        p_value=number(found.p_value),
        i2=number(found.i2),
        tau2=number(tau2),
        left_out=tuple(one.segment for one in segments if one.estimate is None),
        finding=_finding(found, alpha),
        warnings=tuple(_warnings(segments, found, planned=planned, alpha=alpha)),
    )


def _known(effects: Effects) -> Effects:
    known = np.isfinite(effects.estimate)
    return Effects(*(values[known] for values in effects))


def _overall(effects: Effects) -> float | None:
    e, v, _ = _known(effects)
    return float((e / v).sum() / (1 / v).sum()) if len(e) else None


def _finding(found: Between, alpha: float) -> str:
    if math.isnan(found.p_value):
        return "There are not two segments with an effect, so nothing can be compared."
    if found.p_value <= alpha:
        return f"The effect differs between segments (test of interaction, p = {found.p_value:.2g})."
    return (
        f"Nothing shows that the effect differs between segments (test of interaction, "
        f"p = {found.p_value:.2g}): read the overall effect."
    )


def _warnings(segments: Sequence[SegmentEffect], found: Between, *, planned: bool, alpha: float) -> list[str]:
    shown = [one for one in segments if one.lower is not None and one.upper is not None]
    beyond = [one.segment for one in shown if (one.lower or 0) > 0 or (one.upper or 0) < 0]
    said = []
    if not planned and len(shown) > 1:
        said.append(
            f"{len(shown)} segments were looked at after the fact: at {alpha:.0%} each, "
            f"{len(shown) * alpha:.1f} of them would look significant if there were no effect at all. What "
            "stands out is a question for the next experiment, not an answer."
        )
    if beyond and len(beyond) < len(shown) and found.p_value > alpha:
        said.append(
            f"{', '.join(beyond)}: significant alone, but that is no difference from the other segments "
            f"(test of interaction, p = {found.p_value:.2g})."
        )
    if len(shown) < len(segments):
        said.append(
            f"{len(segments) - len(shown)} of {len(segments)} segments have no estimate with an error."
        )
    if 1 < len(shown) < _LEAST_TO_SHRINK:
        said.append("With fewer than four segments how much they differ can't be learned: none is shrunk.")
    return said
