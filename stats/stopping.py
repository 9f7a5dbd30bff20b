"""What it costs to look: power, sample size and average sample size of a test that may stop early.

In units of the test without looks that has the same alpha and power. Power is the chance of crossing the
upper boundary, when the effect is as planned and positive (as in gsDesign and SAS SEQDESIGN).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from stats.arrays import Numbers
from stats.boundaries import Exits, Region, exit_probabilities, futility_boundary
from stats.errors import StatsError
from stats.references import Sides

_FARTHEST = 40.0  # a drift that every test finds


class Cost(NamedTuple):
    """What a sequential test costs, and what it saves."""

    inflation: float  # largest sample size, over that of the fixed test
    average: float  # sample size expected when the effect is as planned, over that of the fixed test
    average_null: float  # the same when there is no effect
    false_positive_rate: float  # either boundary counts; lower ones only where they are symmetric


class Futility(NamedTuple):
    """A test with lower boundaries for giving up, and the drift at which it has its power."""

    region: Region
    drift: float


def fixed_drift(alpha: float, power: float, sides: Sides = 2) -> float:
    """The mean of z that a test without looks needs: z_{1 - alpha/sides} + z_power.

    Raises:
        StatsError: power that is not above alpha / sides and below 1.
    """
    if not 0 < alpha / sides < power < 1:
        raise StatsError(f"power must be above {alpha / sides:g} and below 1, not {power}")
    return float(special.ndtri(power) - special.ndtri(alpha / sides))


def power_at(region: Region, drift: float) -> float:
    """The chance of crossing the upper boundary when the mean of Z at the last look is `drift`."""
    return float(exit_probabilities(region, drift).upper.sum())


def drift_for(region: Region, power: float) -> float:
    """The mean of Z at the last look with which the upper boundary is crossed with this chance.

    Raises:
        StatsError: power that the test exceeds without an effect, or never reaches.
    """
    from scipy import optimize

    if not power_at(region, 0.0) < power < 1:
        raise StatsError(f"power must be below 1 and above the test's own level, not {power}")
    return float(optimize.brentq(lambda drift: power_at(region, drift) - power, 0.0, _FARTHEST, xtol=1e-12))


def average_share(region: Region, drift: float) -> float:
    """The expected sample size, over that of the last look."""
    times = region.information / region.information[-1]
    stops = np.sum(exit_probabilities(region, drift), axis=0)[:-1]
    return float(stops @ times[:-1] + 1 - stops.sum())


def cost(region: Region, *, alpha: float, power: float, sides: Sides = 2) -> Cost:
    """Inflation, averages and error of a test, against the fixed one with the same alpha and power."""
    drift = drift_for(region, power)
    inflation = (drift / fixed_drift(alpha, power, sides)) ** 2
    null: Exits = exit_probabilities(region)
    return Cost(
        inflation=inflation,
        average=inflation * average_share(region, drift),
        average_null=inflation * average_share(region, 0.0),
        false_positive_rate=float(null.upper.sum() + (null.lower.sum() if sides == 2 else 0.0)),  # noqa: PLR2004
    )


def with_futility(information: Numbers, upper: Numbers, steps: Numbers) -> Futility:
    """Lower boundaries that meet the upper one at the last look, so that the test always decides.

    Args:
        information: at each look.
        upper: the boundary for success, computed without the lower one: nobody is bound to stop for it.
        steps: the chance of giving up a true effect at each look; 1 - power all together.

    Returns:
        The region and the drift for which its power is 1 - sum(steps), lower crossings counted as stops.
    """
    from scipy import optimize

    beta = float(np.sum(steps))

    def region(drift: float) -> Region:
        return Region(information, upper, futility_boundary(information, upper, steps, drift))

    def missing(drift: float) -> float:
        return power_at(region(drift), drift) - (1 - beta)

    lowest = drift_for(Region(information, upper, np.full_like(upper, -math.inf)), 1 - beta)
    drift = float(optimize.brentq(missing, lowest, 2 * lowest + 1, xtol=1e-12))
    return Futility(region(drift), drift)
