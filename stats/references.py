"""How surprising is a statistic: reference laws, each with a p-value and the critical value that inverts it.

p_value(z) <= alpha exactly when z >= critical(alpha), so a test and its interval never contradict each other.
Everything is elementwise: one statistic or an array of them.
"""

import math
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from scipy import special

from stats.arrays import Real
from stats.errors import StatsError

Sides = Literal[1, 2]

_TINY = 1e-290  # below, a tail is computed as a logarithm
_NEAR_NORMAL = (
    1e-4  # t^2 / df, below which the continued fraction loses digits and the expansion has them all
)
_LN10 = math.log(10)


class Reference(Protocol):
    """The law of a standardised difference when there is none.

    NaN where the statistic, the level or the law itself is not defined.
    """

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
        found = np.where(normal, special.log_ndtr(at), np.log(np.where(small, 1.0, tail)))
        if small.any():
            found[small] = [
                _log_t_tail(float(x), float(d)) for x, d in zip(at[small], df[small], strict=True)
            ]
        whole: Real = found[()]
        return whole


def approximate_rho2(alpha: float, tuned_for: Real) -> Real:
    """Precision of the mixture that is about best after so many units (Waudby-Smith and others 2024)."""
    log = -2 * math.log(alpha)
    return np.divide(log + math.log(log + 1), tuned_for)


def exact_rho2(alpha: float, tuned_for: Real) -> Real:
    """The same, exactly: (-W_{-1}(-alpha^2 / e) - 1) / units (Howard and others 2021, on tuning)."""
    return np.divide(-float(special.lambertw(-alpha * alpha / math.e, -1).real) - 1, tuned_for)


class NormalMixture:
    """Valid at every look: the likelihood ratio of normally distributed effects against no effect.

    Robbins 1970, "Statistical methods related to the law of the iterated logarithm". With prior variance
    tau^2 of the effect and variance V of its estimate, the two-sided ratio is sqrt(V / (V + tau^2))
    exp(z^2 tau^2 / (2 (V + tau^2))), and p = 1 / ratio. Finite degrees of freedom are those of a t statistic
    (Lindon, Ham, Tingley, Bojinov 2022, "Anytime-valid linear models", arXiv 2210.08589: the mixture is over
    effects in standard deviations). One-sided: Waudby-Smith and others 2024, (134).

    Args:
        ratio: tau^2 / V, not negative.
        df: degrees of freedom.
    """

    def __init__(self, ratio: Real, df: Real = math.inf) -> None:
        ratio = np.where(np.less(ratio, 0), math.nan, ratio)[()]
        self._root = np.log1p(ratio) / 2  # logarithm of sqrt((V + tau^2) / V)
        with np.errstate(divide="ignore"):
            self._share = 1 / (1 + np.divide(1.0, ratio))  # tau^2 / (V + tau^2)
        self.df = df

    def log_ratio(self, z: Real) -> Real:
        """Natural logarithm of the likelihood ratio, two-sided."""
        return self._gain(z) - self._root

    def critical(self, alpha: Real, sides: Sides = 2) -> Real:
        if sides == 2:  # noqa: PLR2004
            return self._at_gain(self._root - np.log(alpha))
        return self._at_gain(np.log1p(np.exp(self._root) / np.multiply(2, alpha)))

    def log10_p(self, z: Real, sides: Sides = 2) -> Real:
        gain = self._gain(z)
        if sides == 2:  # noqa: PLR2004 - two-sided
            return np.minimum(0.0, self._root - gain) / _LN10
        # p solves gain = ln(1 + root / (2 p)); nothing speaks for a difference in the other direction.
        speaks = np.greater(z, 0) & (gain > 0)
        positive = np.where(speaks, gain, 1.0)
        log = self._root - math.log(2) - positive - np.log(-np.expm1(-positive))
        found = np.where(speaks, np.minimum(0.0, log), np.where(np.isnan(gain), math.nan, 0.0))
        whole: Real = found[()] / _LN10
        return whole

    def _gain(self, z: Real) -> Real:
        """What z adds to the logarithm of the ratio."""
        finite = np.where(np.isinf(self.df), 1.0, self.df)
        with np.errstate(divide="ignore", over="ignore"):
            square = np.square(z)
            student = -(finite + 1) / 2 * np.log1p(-self._share / (1 + finite / square))
        found: Real = np.where(np.isinf(self.df), self._share * square / 2, student)[()]
        return found

    def _at_gain(self, gain: Real) -> Real:
        """The z that adds so much; infinite where none does."""
        finite = np.where(np.isinf(self.df), 1.0, self.df)
        with np.errstate(divide="ignore"):
            left = np.expm1(-2 * gain / (finite + 1))
            reached = left + self._share
            student = np.where(reached <= 0, math.inf, -finite * left / np.where(reached > 0, reached, 1.0))
            square = np.where(np.isinf(self.df), np.divide(2 * gain, self._share), student)
        found: Real = np.sqrt(square)[()]
        return found


class ConfidenceSequence(NormalMixture):
    """Valid at every look: asymptotic confidence sequences with a normal mixture.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform central limit theory and asymptotic
    confidence sequences", theorem 2.2 and (one-sided) appendix; the boundary is tightest near `tuned_for`
    units.

    Args:
        n: units of both arms.
        tuned_for: units at which the boundary is tightest.
        alpha: the experiment's level, for which it is tuned; other levels may be asked for afterwards.
        df: degrees of freedom of the statistic.
        rho2: how it is tuned: `approximate_rho2` or `exact_rho2`.
    """

    def __init__(
        self,
        n: Real,
        *,
        tuned_for: Real,
        alpha: float,
        df: Real = math.inf,
        rho2: Callable[[float, Real], Real] = approximate_rho2,
    ) -> None:
        super().__init__(n * rho2(alpha, tuned_for), df)


def msprt(variance: Real, tau: float, *, df: Real = math.inf) -> NormalMixture:
    """The mixture sequential probability ratio test with a normal prior of standard deviation tau.

    Johari, Koomen, Pekelis, Walsh 2022, "Always valid inference: continuous monitoring of A/B tests",
    Operations Research 70:1806. Its p-value is the least one so far: `sequential.sequential_log10_p`.

    Args:
        variance: of the estimated effect, at this look.
        tau: on the effect's own scale.
        df: degrees of freedom of the statistic.

    Raises:
        StatsError: tau that is not positive.
    """
    if not 0 < tau < math.inf:
        raise StatsError(f"tau of a mixture must be positive, not {tau}")
    with np.errstate(over="ignore"):
        return NormalMixture(np.divide(tau, np.sqrt(variance)) ** 2, df)


def _log_t_tail(at: float, df: float) -> float:
    """The logarithm of P(T <= at) far out, by the continued fraction of the incomplete beta function.

    With x = df / (df + t^2) the tail is I_x(df/2, 1/2) / 2; DLMF 8.17.22, evaluated by Lentz's method.
    """
    root = -at / math.sqrt(df)
    if math.isinf(root):
        return -math.inf
    if root * root < _NEAR_NORMAL:
        return float(special.log_ndtr(-_normal_quantile(root, df)))
    whole = math.hypot(1, root)  # its square is 1 + t^2 / df, and x the inverse of that
    a, b, x = df / 2, 0.5, whole**-2
    front = -df * math.log(whole) + math.log(root / whole) - math.log(a) - float(special.betaln(a, b))
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


def _normal_quantile(root: float, df: float) -> float:
    """The normal quantile with the tail of t = root x sqrt(df), for t^2 far below df.

    Hill 1970, "Algorithm 395: Student's t-distribution", Communications of the ACM 13:617.
    """
    a = df - 0.5
    b, square = 48 * a * a, a * math.log1p(root * root)
    top = ((-0.4 * square - 3.3) * square - 24) * square - 85.5
    return ((top / (0.8 * square * square + 100 + b) + square + 3) / b + 1) * math.sqrt(square)
