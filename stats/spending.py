"""How much of alpha may be spent by when: spending functions of group-sequential tests.

Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials", Biometrika 70:659: alpha(t) grows
from 0 to alpha with the share t of the planned information, so that neither the number of looks nor their
times need be fixed in advance. All are one-sided: a two-sided test spends alpha / 2 on each side.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from scipy import special

from stats.arrays import Numbers, Real
from stats.errors import StatsError

_LARGEST_GAMMA = 40.0  # beyond, all is spent at one end; as in gsDesign


class OBrienFleming(msgspec.Struct, frozen=True, tag="obrien_fleming", forbid_unknown_fields=True):
    """Lan and DeMets' approximation of O'Brien and Fleming: 2 - 2 Phi(z_{alpha/2} / sqrt t).

    Little is spent early: the first looks ask for overwhelming evidence, the last one for hardly more than
    a test without looks.
    """

    def spent(self, alpha: Real, share: Real) -> Real:
        t = np.clip(share, 0.0, 1.0)
        root = np.sqrt(np.where(t > 0, t, 1.0))
        found = np.where(t < 1, 2 * special.ndtr(special.ndtri(np.divide(alpha, 2)) / root), alpha)
        whole: Real = np.where(t > 0, found, 0.0)[()]
        return whole


class Pocock(msgspec.Struct, frozen=True, tag="pocock", forbid_unknown_fields=True):
    """Lan and DeMets' approximation of Pocock: alpha ln(1 + (e - 1) t). Boundaries are nearly constant."""

    def spent(self, alpha: Real, share: Real) -> Real:
        whole: Real = alpha * np.log1p((math.e - 1) * np.clip(share, 0.0, 1.0))
        return whole


class Power(msgspec.Struct, frozen=True, tag="power", forbid_unknown_fields=True):
    """The power family alpha t^rho: Kim and DeMets 1987, Biometrika 74:149."""

    rho: float

    def __post_init__(self) -> None:
        if not 0 < self.rho < math.inf:
            raise StatsError(f"the power of a spending function must be positive, not {self.rho}")

    def spent(self, alpha: Real, share: Real) -> Real:
        whole: Real = alpha * np.clip(share, 0.0, 1.0) ** self.rho
        return whole


class HwangShihDeCani(msgspec.Struct, frozen=True, tag="hwang_shih_decani", forbid_unknown_fields=True):
    """alpha (1 - e^{-gamma t}) / (1 - e^{-gamma}): Hwang, Shih, DeCani 1990, Statistics in Medicine 9:1439.

    With gamma = -4 near O'Brien and Fleming, with 1 near Pocock, with 0 linear.
    """

    gamma: float

    def __post_init__(self) -> None:
        if not abs(self.gamma) <= _LARGEST_GAMMA:
            raise StatsError(
                f"gamma of a Hwang-Shih-DeCani spending function must be between -{_LARGEST_GAMMA:g} and "
                f"{_LARGEST_GAMMA:g}, not {self.gamma}"
            )

    def spent(self, alpha: Real, share: Real) -> Real:
        t = np.clip(share, 0.0, 1.0)
        if self.gamma == 0:
            return alpha * t
        whole: Real = alpha * (np.expm1(-self.gamma * t) / math.expm1(-self.gamma))
        return whole


Spending = OBrienFleming | Pocock | Power | HwangShihDeCani


def increments(spending: Spending, alpha: float, n: Sequence[float], shares: Sequence[float]) -> Numbers:
    """What each look spends, when the plan may have changed between looks.

    While the planned maximum stays as it is, this is what the spending function grows by. After a change, a
    look takes from the alpha that is left the part that the spending function, on the new plan, takes
    between the look before and this one: (alpha(t) - alpha(s)) / (alpha - alpha(s)), s the share of the new
    maximum that the look before had. So nothing is spent twice, and what is spent stays spent.

    Args:
        spending: the spending function.
        alpha: one-sided.
        n: units at each look, increasing.
        shares: of the maximum that was planned when the look was taken; 1 at the final look, which spends
            the rest.
    """
    steps = np.zeros(len(n))
    left, units = alpha, 0.0
    for look, (now, share) in enumerate(zip(n, shares, strict=True)):
        until, since = (float(spending.spent(alpha, t)) for t in (share, share * units / now))
        steps[look] = left * ((until - since) / (alpha - since)) if share < 1 else left
        left -= steps[look]
        units = now
    return steps
