"""How surprising is a statistic: reference laws, each with a p-value and the critical value that inverts it.

p_value(z) <= alpha exactly when z >= critical(alpha), so a test and its interval never contradict each other.
Everything is elementwise: one statistic or an array of them.
"""

import math
from typing import Literal, Protocol

import numpy as np
from scipy import special

from stats.arrays import Real

Sides = Literal[1, 2]

_TINY = 1e-290  # below, a tail is computed as a logarithm
_LN10 = math.log(10)


class Reference(Protocol):
    """The law of a standardised difference when there is none."""

    def critical(self, alpha: Real, sides: Sides = 2) -> Real:
        """The value at and above which (in absolute value for two sides) a test at level alpha rejects."""

    def log10_p(self, z: Real, sides: Sides = 2) -> Real:
        """Base-10 logarithm of the p-value; one-sided: of large z."""


def p_value(log10_p: Real) -> Real:
    """The p-value; 0 where it is smaller than any double, its logarithm beside it is not."""
    return np.power(10.0, log10_p)


class StudentT:
    """Student's t; with infinite degrees of freedom the normal law."""

    def __init__(self, df: Real = math.inf) -> None:
        self.df = df

    def critical(self, alpha: Real, sides: Sides = 2) -> Real:
        tail = np.divide(alpha, sides)
        # stdtrit takes no infinite degrees of freedom; any finite number stands in where it is not used.
        student = special.stdtrit(np.where(np.isinf(self.df), 1.0, self.df), tail)
        found: Real = -np.where(np.isinf(self.df), special.ndtri(tail), student)[()]
        return found

    def log10_p(self, z: Real, sides: Sides = 2) -> Real:
        at = -np.abs(z) if sides == 2 else np.negative(z)  # noqa: PLR2004 - two-sided
        return (math.log(sides) + self._log_tail(at)) / _LN10

    def _log_tail(self, at: Real) -> Real:
        """The logarithm of P(T <= at), from the tail itself: 1 - cdf is 0 below 1e-16."""
        at, df = np.broadcast_arrays(np.asarray(at, dtype=np.float64), self.df)
        normal = np.isinf(df)
        tail = special.stdtr(np.where(normal, 1.0, df), at)
        small = ~normal & (tail <= _TINY)
        found = np.where(normal, special.log_ndtr(at), np.log(np.where(tail > 0, tail, 1.0)))
        if small.any():
            found[small] = [
                _log_t_tail(float(x), float(d)) for x, d in zip(at[small], df[small], strict=True)
            ]
        whole: Real = found[()]
        return whole


class ConfidenceSequence:
    """Valid at every look: asymptotic confidence sequences with a normal mixture.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform central limit theory and asymptotic
    confidence sequences", theorem 2.2 and (one-sided) appendix; the boundary is tightest near `tuned_for`
    units.

    Args:
        n: units of both arms.
        tuned_for: units at which the boundary is tightest.
        alpha: the experiment's level, for which it is tuned; other levels may be asked for afterwards.
    """

    def __init__(self, n: Real, *, tuned_for: Real, alpha: float) -> None:
        log = -2 * math.log(alpha)
        rho2 = np.divide(log + math.log(log + 1), tuned_for)
        self._spread = n * rho2 + 1

    def critical(self, alpha: Real, sides: Sides = 2) -> Real:
        spread, root = self._spread, np.sqrt(self._spread)
        log = np.log(root / alpha) if sides == 2 else np.log1p(root / (2 * alpha))  # noqa: PLR2004
        found: Real = np.sqrt(2 * spread / (spread - 1) * log)
        return found

    def log10_p(self, z: Real, sides: Sides = 2) -> Real:
        root = np.log(self._spread) / 2
        gain = z * z * (self._spread - 1) / (2 * self._spread)
        if sides == 2:  # noqa: PLR2004 - two-sided
            return np.minimum(0.0, root - gain) / _LN10
        # p solves gain = ln(1 + root / (2 p)); nothing speaks for a difference in the other direction.
        positive = np.where(np.greater(z, 0) & (gain > 0), gain, 1.0)
        log = root - math.log(2) - positive - np.log(-np.expm1(-positive))
        return np.where(np.greater(z, 0) & (gain > 0), np.minimum(0.0, log), 0.0)[()] / _LN10


def _log_t_tail(at: float, df: float) -> float:
    """The logarithm of P(T <= at) far out, by the continued fraction of the incomplete beta function.

    With x = df / (df + t^2) the tail is I_x(df/2, 1/2) / 2; DLMF 8.17.22, evaluated by Lentz's method.
    """
    a, b, x = df / 2, 0.5, df / (df + at * at)
    front = -a * math.log1p(at * at / df) + b * math.log(at * at / (df + at * at)) - math.log(a)
    front -= float(special.betaln(a, b))
    tiny, value, c, d = 1e-300, 1.0, 1.0, 0.0
    for step in range(1, 10_000):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        value *= c * d
        if abs(c * d - 1) < 1e-15:  # noqa: PLR2004 - a double's last bits
            break
    return front - math.log(value) - math.log(2)
