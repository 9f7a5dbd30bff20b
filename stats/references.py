"""How surprising is a statistic: reference laws, each with a p-value and the critical value that inverts it.

p_value(z) <= alpha exactly when z >= critical(alpha); a test and its interval therefore never contradict each
other.
"""

import math
from typing import Literal, Protocol

from scipy import special

Sides = Literal[1, 2]

_TINY = 1e-290  # below, a tail is computed as a logarithm
_LN10 = math.log(10)


class Reference(Protocol):
    """The law of a standardised difference when there is none."""

    def critical(self, alpha: float, sides: Sides = 2) -> float:
        """The value at and above which (in absolute value for two sides) a test at level alpha rejects."""

    def log10_p(self, z: float, sides: Sides = 2) -> float:
        """Base-10 logarithm of the p-value; one-sided: of large z."""


def p_value(log10_p: float) -> float:
    """The p-value; 0 where it is smaller than any double, its logarithm beside it is not."""
    return math.pow(10.0, log10_p)


class StudentT:
    """Student's t; with infinite degrees of freedom the normal law."""

    def __init__(self, df: float = math.inf) -> None:
        self.df = df

    def critical(self, alpha: float, sides: Sides = 2) -> float:
        tail = alpha / sides
        if math.isinf(self.df):
            return -float(special.ndtri(tail))
        return -float(special.stdtrit(self.df, tail))

    def log10_p(self, z: float, sides: Sides = 2) -> float:
        at = -abs(z) if sides == 2 else -z  # noqa: PLR2004 - two-sided
        return (math.log(sides) + self._log_tail(at)) / _LN10

    def _log_tail(self, at: float) -> float:
        """Ln P(T <= at), from the tail itself: 1 - cdf is 0 below 1e-16."""
        if math.isinf(self.df):
            return float(special.log_ndtr(at))
        tail = float(special.stdtr(self.df, at))
        return math.log(tail) if tail > _TINY else _log_t_tail(at, self.df)


class ConfidenceSequence:
    """Valid at every look: asymptotic confidence sequences with a normal mixture.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform central limit theory and asymptotic
    confidence sequences", theorem 2.2 and (one-sided) appendix; the boundary is tightest near `tuned_for`
    units.
    """

    def __init__(self, n: int, *, tuned_for: float, alpha: float) -> None:
        """Args:
        n: units of both arms.
        tuned_for: units at which the boundary is tightest.
        alpha: the experiment's level, for which it is tuned; other levels may be asked for afterwards.
        """  # noqa: D205 - arguments only
        log = -2 * math.log(alpha)
        rho2 = (log + math.log(log + 1)) / tuned_for
        self._spread = n * rho2 + 1

    def critical(self, alpha: float, sides: Sides = 2) -> float:
        if self._spread <= 1:
            return math.inf
        root = math.sqrt(self._spread)
        log = math.log(root / alpha) if sides == 2 else math.log1p(root / (2 * alpha))  # noqa: PLR2004
        return math.sqrt(2 * self._spread / (self._spread - 1) * log)

    def log10_p(self, z: float, sides: Sides = 2) -> float:
        root = math.log(self._spread) / 2
        gain = z * z * (self._spread - 1) / (2 * self._spread)
        if sides == 2:  # noqa: PLR2004 - two-sided
            return min(0.0, root - gain) / _LN10
        if z <= 0 or gain == 0:
            return 0.0
        # p solves gain = ln(1 + root / (2 p)).
        return min(0.0, root - math.log(2) - gain - math.log(-math.expm1(-gain))) / _LN10


def _log_t_tail(at: float, df: float) -> float:
    """Ln P(T <= at) far out, by the continued fraction of the incomplete beta function.

    With x = df / (df + t^2) the tail is I_x(df/2, 1/2) / 2; DLMF 8.17.22, evaluated by Lentz's method.
    """
    a, b, x = df / 2, 0.5, df / (df + at * at)
    front = (
        -a * math.log1p(at * at / df)
        + b * math.log(at * at / (df + at * at))
        - math.log(a)
        - float(special.betaln(a, b))
    )
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
