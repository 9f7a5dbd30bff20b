"""Dual pairs: a test of one comparison and the intervals that invert it, on both scales.

Whatever is behind it (an estimate with its variance, counts, several looks), a pair answers the same
questions, so that rows, corrections, margins and verdicts need not know which it is. p <= alpha exactly when
the interval at alpha leaves 0 out.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from stats import equivalence, exact, inference, proportions
from stats.contrasts import Contrast
from stats.equivalence import Shown
from stats.inference import Interval
from stats.proportions import Counts
from stats.references import Reference, Sides, StudentT

_NOTHING = Shown(math.nan, math.nan, math.nan)
_ANYTHING = Interval(-math.inf, math.inf)


class Pair(Protocol):
    """A test and its intervals; NaN is "not defined"."""

    @property
    def method(self) -> str:
        """Of the row on the absolute scale."""

    @property
    def lift_method(self) -> str:
        """Of the row on the relative scale."""

    @property
    def contrast(self) -> Contrast:
        """The estimates and their variances."""

    def log10_p(self, sides: Sides = 2, *, sign: int = 1) -> float:
        """Of "no difference"; one-sided: against "larger", with `sign` -1 "smaller"."""

    def difference(self, alpha: float, sides: Sides = 2) -> Interval:
        """For variant - baseline; one-sided, each bound is at alpha on its own side, and stands alone."""

    def relative(self, alpha: float, sides: Sides = 2) -> Interval:
        """For (variant - baseline) / |baseline|, likewise."""

    def beyond(self, lift: float, alpha: float, *, sign: int) -> Shown:
        """One-sided at alpha: is the lift above `lift` (`sign` -1: below it)?"""


class Linear(NamedTuple):
    """An estimate with its variance under a reference law that is inverted: the one road of most methods."""

    contrast: Contrast
    reference: Reference
    named: str | None = None  # where the law, not the estimator, is the method

    @property
    def method(self) -> str:
        return self.named or self.contrast.method

    @property
    def lift_method(self) -> str:
        return "cuped_fieller" if self.contrast.method == "cuped" and self.named is None else "fieller"

    def log10_p(self, sides: Sides = 2, *, sign: int = 1) -> float:
        return float(self.reference.log10_p(sign * inference.statistic(self.contrast), sides))

    def difference(self, alpha: float, sides: Sides = 2) -> Interval:
        half = self.reference.critical(alpha, sides) * np.sqrt(self.contrast.variance_against(1.0))
        return Interval(self.contrast.estimate - half, self.contrast.estimate + half)

    def relative(self, alpha: float, sides: Sides = 2) -> Interval:
        return inference.lift_interval(self.contrast, self.reference, alpha, sides=sides)

    def beyond(self, lift: float, alpha: float, *, sign: int) -> Shown:
        return equivalence.beyond_lift(self.contrast, self.reference, lift, alpha, sign)


class Score(NamedTuple):
    """Two proportions by Miettinen and Nurminen's score test and intervals."""

    contrast: Contrast
    counts: Counts
    method: str = "miettinen_nurminen"
    lift_method: str = "miettinen_nurminen"

    def log10_p(self, sides: Sides = 2, *, sign: int = 1) -> float:
        return float(StudentT().log10_p(sign * proportions.score_statistic(self.counts), sides))

    def difference(self, alpha: float, sides: Sides = 2) -> Interval:
        return proportions.miettinen_nurminen_difference(self.counts, StudentT(), alpha, sides=sides)

    def relative(self, alpha: float, sides: Sides = 2) -> Interval:
        return _with_baseline(
            self, proportions.miettinen_nurminen_lift(self.counts, StudentT(), alpha, sides=sides)
        )

    def beyond(self, lift: float, alpha: float, *, sign: int) -> Shown:
        if not 1 + lift > 0:
            return _NOTHING
        z = sign * proportions.score_ratio_statistic(self.counts, 1 + lift)
        return _one_sided(float(StudentT().log10_p(z, 1)), self.relative(alpha, 1), sign)


class Exact(NamedTuple):
    """Two proportions by Barnard's or Boschloo's test and the intervals that invert it."""

    contrast: Contrast
    counts: Counts
    method: exact.Unconditional = "barnard"

    @property
    def lift_method(self) -> str:
        return self.method

    def log10_p(self, sides: Sides = 2, *, sign: int = 1) -> float:
        found = _exact(self.method, self.counts, 0.05)  # the p-value is the same at every level
        one_sided = found.p_greater if sign > 0 else found.p_less
        return math.log10(found.p_value if sides == 2 else one_sided)  # noqa: PLR2004 - two-sided

    def difference(self, alpha: float, sides: Sides = 2) -> Interval:
        return _exact(self.method, self.counts, 2 * alpha / sides).difference

    def relative(self, alpha: float, sides: Sides = 2) -> Interval:
        return _with_baseline(self, _exact(self.method, self.counts, 2 * alpha / sides).lift)

    def beyond(self, lift: float, alpha: float, *, sign: int) -> Shown:
        if not 1 + lift > 0:
            return _NOTHING
        p = exact.beyond_ratio(self.counts, 1 + lift, sign=sign, method=self.method)
        return _one_sided(math.log10(p) if p > 0 else -math.inf, self.relative(alpha, 1), sign)


class Looked(NamedTuple):
    """Several looks under one spending of alpha: the least p-value so far, and what no look has left out.

    A hypothesis is rejected when one of the looks rejects it, so the intervals of the looks intersect: the
    pair stays dual, and what was shown once stays shown (Jennison and Turnbull 1989; Liu and Anderson 2008).
    Looks may disagree: then the lower bound lies above the upper one, and no effect is left between them. The
    estimate is today's.
    """

    contrast: Contrast  # today's
    looks: tuple[Linear, ...]

    @property
    def method(self) -> str:
        return "group_sequential"

    @property
    def lift_method(self) -> str:
        return "fieller"

    def log10_p(self, sides: Sides = 2, *, sign: int = 1) -> float:
        return min(look.log10_p(sides, sign=sign) for look in self.looks)

    def difference(self, alpha: float, sides: Sides = 2) -> Interval:
        return _common([look.difference(alpha, sides) for look in self.looks])

    def relative(self, alpha: float, sides: Sides = 2) -> Interval:
        found = [look.relative(alpha, sides) for look in self.looks]
        bounded = [bounds for bounds in found if not math.isnan(bounds.lower)]
        return _common(bounded) if bounded else Interval(math.nan, math.nan)

    def beyond(self, lift: float, alpha: float, *, sign: int) -> Shown:
        found = [look.beyond(lift, alpha, sign=sign) for look in self.looks]
        known = [shown for shown in found if not math.isnan(shown.log10_p)]
        if not known:
            return _NOTHING
        return Shown(
            min(shown.log10_p for shown in known),
            max(shown.lower for shown in known),
            min(shown.upper for shown in known),
        )


def counted(method: str, contrast: Contrast, counts: Counts) -> Pair:
    """The pair of a method for counts, by its name."""
    if method == "miettinen_nurminen":
        return Score(contrast, counts)
    if method in {"barnard", "boschloo"}:
        return Exact(contrast, counts, "barnard" if method == "barnard" else "boschloo")
    return Linear(contrast, StudentT())


def equivalent(pair: Pair, margin: float, alpha: float) -> Shown:
    """Two one-sided tests at alpha: does the lift lie within -margin and +margin? (Schuirmann 1987)."""
    above = pair.beyond(-margin, alpha, sign=1)
    below = pair.beyond(margin, alpha, sign=-1)
    return Shown(np.maximum(above.log10_p, below.log10_p), above.lower, below.upper)


def _with_baseline(pair: Pair, bounds: Interval) -> Interval:
    """No interval where the baseline has no conversion: nothing bounds a ratio to it from above."""
    return bounds if pair.contrast.baseline > 0 else Interval(math.nan, math.nan)


def _one_sided(log10_p: float, bounds: Interval, sign: int) -> Shown:
    if math.isnan(log10_p) or math.isnan(bounds.lower):
        return _NOTHING
    return Shown(log10_p, bounds.lower if sign > 0 else -math.inf, bounds.upper if sign < 0 else math.inf)


def _common(bounds: list[Interval]) -> Interval:
    """What all intervals hold: nothing where the lower bound lies above the upper one."""
    return Interval(max(one.lower for one in bounds), min(one.upper for one in bounds))


_UNCONDITIONAL: dict[str, Callable[..., exact.Exact]] = {"barnard": exact.barnard, "boschloo": exact.boschloo}


@lru_cache(maxsize=4096)
def _exact(method: exact.Unconditional, counts: Counts, alpha: float) -> exact.Exact:
    return _UNCONDITIONAL[method](counts, alpha=alpha)
