"""Group-sequential tests as a reference law, so that everything that is built on a law works with them.

A test that spends alpha by Lan and DeMets has a critical value c_k(alpha) at its k-th look. Inverted for
alpha it gives two p-values:

- the *repeated* p-value of a look, the smallest alpha with |z_k| >= c_k(alpha). It and the repeated
  confidence interval, estimate ± c_k(alpha) standard errors, are a dual pair (Jennison and Turnbull 1989,
  "Interim analyses: the repeated confidence interval approach", JRSS-B 51:305). The law below gives this one.
- the *sequential* p-value, the smallest alpha at which the experiment would have been stopped by now: the
  least of the repeated p-values so far (Liu and Anderson 2008, "On adaptive extensions of group sequential
  trials for clinical investigations", JASA 103:1621; gsDesign's sequentialPValue).

Both need boundaries that fall as alpha grows (Maurer and Bretz 2013, "Multiple testing in group sequential
trials using graphical approaches"), which those of O'Brien and Fleming's spending do up to 0.317 a side; a
p-value above 0.3 a side is given as 1.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev
from scipy import special

from stats.arrays import Numbers, Real
from stats.boundaries import LEAST_GROWTH, grown, spending_boundary
from stats.errors import StatsError
from stats.references import Sides, StudentT
from stats.spending import OBrienFleming, Spending, increments

_LARGEST = 0.3  # one-sided level above which nothing is told apart
_DEGREE = 16
# Ends of the pieces of a curve, as normal quantiles of the one-sided level: from 0.3 down to 1e-197.
_ENDS = (-float(special.ndtri(_LARGEST)), 1.1, 2.0, 3.25, 5.0, 8.5, 15.0, 30.0)
_LN10 = math.log(10)


class GroupSequential:
    """The law of a standardised difference at the latest of the looks that were taken.

    Args:
        n: units at each look so far, the current one last, increasing.
        shares: what part that was of the maximum planned when the look was taken; 1 at the final look, even
            where the plan was not reached or overrun (`spending.increments` tells what a changed plan does).
        spending: how alpha is spent.
        df: degrees of freedom of a t statistic, compared at the level that the boundary has on the normal
            scale (Pocock 1977, "Group sequential methods in the design and analysis of clinical trials").

    Raises:
        StatsError: no look, units that do not grow, a share outside (0, 1], or a look after the final one.
    """

    def __init__(
        self,
        n: Sequence[float],
        shares: Sequence[float],
        *,
        spending: Spending = OBrienFleming(),  # noqa: B008 - frozen
        df: Real = math.inf,
    ) -> None:
        if not n or len(n) != len(shares):
            raise StatsError("a group-sequential test needs units and share of the plan of one look at least")
        if not all(0 < share <= 1 for share in shares) or any(share == 1 for share in shares[:-1]):
            raise StatsError(
                f"shares of the planned units must be above 0 and below 1, and 1 at the final look: {shares}"
            )
        if not n[0] > 0 or not all(grown(earlier, later) for earlier, later in pairwise(n)):
            raise StatsError(f"units must grow by {LEAST_GROWTH:g} at least from look to look, not as {n}")
        self._looks = _Looks(tuple(map(float, n)), tuple(map(float, shares)), spending)
        self.df = df

    def critical(self, alpha: Real, sides: Sides = 2) -> Real:
        level = np.asarray(np.divide(alpha, sides), dtype=np.float64)
        boundary = self._boundary(-special.ndtri(np.minimum(level, _LARGEST)), sides)
        if np.all(np.isinf(self.df)):
            return boundary[()]
        student = StudentT(self.df).critical(special.ndtr(-boundary), 1)
        found: Real = np.where(np.isinf(self.df), boundary, student)[()]
        return found

    def log10_p(self, z: Real, sides: Sides = 2) -> Real:
        size = np.abs(z) if sides == 2 else np.asarray(z)  # noqa: PLR2004 - two-sided
        if not np.all(np.isinf(self.df)):
            tail = StudentT(self.df).log10_p(np.maximum(size, 0.0), 1) * _LN10
            size = np.where(np.isinf(self.df), size, -special.ndtri_exp(tail))
        quantile = self._quantile(np.asarray(size, dtype=np.float64), sides)
        log = np.where(quantile < _ENDS[0], 0.0, math.log(sides) + special.log_ndtr(-quantile))
        found: Real = log[()] / _LN10
        return found

    def _boundary(self, quantile: Numbers, sides: Sides) -> Numbers:
        """Critical values of z for normal quantiles of the one-sided level."""
        pieces = self._pieces(sides, lambda piece: not np.any(quantile > piece.high))
        found = np.where(np.isnan(quantile), math.nan, math.inf)
        place = np.searchsorted([piece.high for piece in pieces[:-1]], quantile)
        for number, piece in enumerate(pieces):
            here = place == number
            found[here] = piece.value(quantile[here])
        return found

    def _quantile(self, z: Numbers, sides: Sides) -> Numbers:
        """The inverse of `_boundary`; -infinity below the critical value of the largest level."""
        pieces = self._pieces(sides, lambda piece: not np.any(z > piece.end))
        found = np.where(np.isnan(z), math.nan, -math.inf)
        place = np.searchsorted([piece.end for piece in pieces[:-1]], z)
        for number, piece in enumerate(pieces):
            here = (place == number) & ((number > 0) | (z >= piece.start))
            found[here] = piece.inverse(z[here])
        return found

    def _pieces(self, sides: Sides, reached: Callable[["_Piece"], bool]) -> list["_Piece"]:
        """The curve of critical values from the largest level on, as far as asked or doubles carry it."""
        pieces: list[_Piece] = []
        for place in range(len(_ENDS) - 1):
            piece = _piece(self._looks, sides, place)
            if piece is None:
                break
            pieces.append(piece)
            if reached(piece):
                break
        return pieces


def sequential_log10_p(repeated: Numbers) -> Numbers:
    """Sequential p-values by look from repeated ones, as base-10 logarithms; looks are on the first axis."""
    found: Numbers = np.minimum.accumulate(np.asarray(repeated, dtype=np.float64), axis=0)
    return found


class _Looks(NamedTuple):
    n: tuple[float, ...]
    shares: tuple[float, ...]
    spending: Spending


class _Piece(NamedTuple):
    """Critical values between two quantiles of the level.

    Beyond the higher one the square of the one is linear in the square of the other, as far tails are.
    """

    low: float
    high: float
    start: float  # critical values there
    end: float
    series: Chebyshev
    slope: Chebyshev

    @classmethod
    def of(cls, low: float, high: float, series: Chebyshev) -> "_Piece":
        return cls(low, high, float(series(low)), float(series(high)), series, series.deriv())

    @property
    def _growth(self) -> float:
        return float(self.end * self.slope(self.high) / self.high)

    def value(self, quantile: Numbers) -> Numbers:
        with np.errstate(over="ignore"):
            far = self._growth * np.maximum(np.square(quantile) - self.high**2, 0.0)
        return np.where(
            quantile > self.high, np.sqrt(self.end**2 + far), self.series(np.minimum(quantile, self.high))
        )

    def inverse(self, z: Numbers) -> Numbers:
        """Newton's method; the curve is nearly straight."""
        nodes = np.linspace(self.low, self.high, _DEGREE)
        found = np.interp(z, self.series(nodes), nodes)
        for _ in range(4):
            found = np.clip(found - (self.series(found) - z) / self.slope(found), self.low, self.high)
        with np.errstate(over="ignore"):
            far = np.maximum(np.square(z) - self.end**2, 0.0) / self._growth
        return np.where(z > self.end, np.sqrt(self.high**2 + far), found)


@lru_cache(maxsize=1024)
def _piece(looks: _Looks, sides: Sides, place: int) -> _Piece | None:
    """One piece of the curve, by interpolation at Chebyshev's points; None where doubles do not reach."""
    low, high = _ENDS[place : place + 2]
    points = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    quantiles = low + (high - low) * (points + 1) / 2
    values = np.array([_critical(looks, sides, quantile) for quantile in quantiles])
    if not np.all(np.isfinite(values)):
        return None
    series = Chebyshev.fit(quantiles, values, _DEGREE, domain=[low, high])
    piece = _Piece.of(low, high, series)
    return piece if np.all(piece.slope(np.linspace(low, high, 8 * _DEGREE)) > 0) else None


def _critical(looks: _Looks, sides: Sides, quantile: float) -> float:
    """The current look's critical value at one level, by the recursion over all looks."""
    steps = increments(looks.spending, float(special.ndtr(-quantile)), looks.n, looks.shares)
    return float(spending_boundary(np.array(looks.n), steps, sides)[-1])
