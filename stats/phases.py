"""Phases with different weights: compared within each, never pooled, and put together afterwards.

Where the weights of the arms change while behaviour changes too, pooled arms hold units of different times in
different shares, and differ without any effect (Simpson's paradox). So the arms are compared within each
phase and the differences weighted by the phases' shares of all units, whatever arm they are in: a phase is a
stratum known before the outcome, and this is post-stratification (`strata`; Miratrix, Sekhon, Yu 2013). With
w_k the share of phase k and m_k an arm's estimate in it, an arm's estimate is m = sum_k w_k m_k. Two such
estimates a, b (of the arms, or of one arm with itself) have the covariance

    sum_k w_k^2 Cov_k(a, b) + sum_k w_k (a_k - a) (b_k - b) / N,

the second term because the units' shares are those of a sample of N. All ends in one `Contrast`, so that
both scales, margins and sequential bounds follow on the one road.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from stats.arrays import Numbers
from stats.contrasts import Contrast, satterthwaite
from stats.errors import StatsError
from stats.moments import Moments
from stats.numerics import remainder

Arms: TypeAlias = tuple[Moments, Moments]  # variant, baseline


def compared_within(phases: Sequence[Arms], compare: Callable[[Moments, Moments], Contrast]) -> Contrast:
    """One contrast per phase, put together by their units.

    Args:
        phases: both arms of each phase, with two units in each at least.
        compare: the contrast of two arms.
    """
    return combined([compare(*arms) for arms in phases], units_of(phases))


def units_of(phases: Sequence[Arms]) -> list[int]:
    """Units of both arms together, phase by phase."""
    return [variant.n + baseline.n for variant, baseline in phases]


def combined(parts: Sequence[Contrast], units: Sequence[int]) -> Contrast:
    """The contrasts of several phases as one.

    Args:
        parts: one contrast per phase, each of units of its own.
        units: of both arms, by phase.

    Returns:
        With Satterthwaite's degrees of freedom; `variance_reduction` is left to who knows what it is against.

    Raises:
        StatsError: no phase, or another number of sizes.
    """
    if not parts or len(parts) != len(units):
        raise StatsError(f"{len(parts)} phases need as many numbers of units, not {len(units)}")
    n = float(sum(units))
    share = np.array(units, dtype=np.float64) / n
    means = np.array([[part.variant, part.baseline] for part in parts])
    within = np.array(
        [[[p.var_variant, p.covariance], [p.covariance, p.var_baseline]] for p in parts], dtype=np.float64
    )
    whole = share @ means
    apart = means - whole
    joint = np.einsum("k,kab->ab", share**2, within) + np.einsum("k,ka,kb->ab", share, apart, apart) / n
    df = [
        (float(w * w * part.variance_against(1.0)), float(part.df))
        for w, part in zip(share, parts, strict=True)
    ]
    return Contrast(
        method=parts[0].method,
        variant=float(whole[0]),
        baseline=float(whole[1]),
        var_variant=float(joint[0, 0]),
        var_baseline=float(joint[1, 1]),
        covariance=float(joint[0, 1]),
        df=math.inf if all(math.isinf(each) for _, each in df) else float(satterthwaite(*df)),
    )


class Scale(msgspec.Struct, frozen=True):
    """How an arm's columns (numerator, denominator, …) become one measure: the same in all of its phases.

    With R the ratio of the arm's weighted means over all phases and X that of its denominators, a unit counts
    as R + (y - R x) / X (Deng, Knoblich, Lu 2018). So the weighted mean of the phases is R itself, and not a
    mean of the phases' ratios.
    """

    slopes: tuple[tuple[float, ...], ...]  # new columns, old columns
    offsets: tuple[float, ...]

    @classmethod
    def of(cls, means: Numbers, *, pairs: int) -> "Scale":
        """For an arm's weighted means over all phases; the first `pairs` pairs of columns become one each."""
        width = len(means) - pairs
        slopes, offsets = np.zeros((width, len(means))), np.zeros(width)
        for place in range(pairs):
            top, bottom = means[2 * place : 2 * place + 2]
            bottom = bottom or math.nan
            ratio = top / bottom
            slopes[place, 2 * place : 2 * place + 2] = 1 / bottom, -ratio / bottom
            offsets[place] = ratio
        for place in range(pairs, width):
            slopes[place, place + pairs] = 1.0
        return cls(tuple(map(tuple, slopes.tolist())), tuple(offsets.tolist()))

    def apply(self, arm: Moments) -> Moments:
        """The arm's moments in one phase, or in a stratum of it, on this scale."""
        slopes, cov = np.array(self.slopes), np.array(arm.cov)
        found = slopes @ cov @ slopes.T
        size = np.square(slopes) @ np.diag(cov)
        own = np.asarray(remainder(np.diag(found), size))
        found[np.diag_indices(len(own))] = own
        mean = slopes @ np.array(arm.mean) + np.array(self.offsets)
        return Moments(arm.n, tuple(map(float, mean)), tuple(tuple(map(float, row)) for row in found))


def scales(phases: Sequence[Arms], *, pairs: int) -> tuple[Scale, Scale]:
    """The scale of each arm over all phases; see `Scale`."""
    share = np.array(units_of(phases), dtype=np.float64)
    share /= share.sum()
    variant, baseline = (
        Scale.of(share @ np.array([arms[side].mean for arms in phases]), pairs=pairs) for side in (0, 1)
    )
    return variant, baseline
