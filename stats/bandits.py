"""Many arms: which one is best, what is lost by choosing another, and how a bandit splits its traffic."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from stats.arrays import Numbers
from stats.bayes import Normal, update
from stats.contrasts import Arm
from stats.errors import StatsError
from stats.numerics import panels, positive, quiet

LEAST_UNITS = 100  # per arm, before traffic is moved; as in GrowthBook
_FAR = 9.0  # standard deviations beyond which a density is left out: below 1e-17 of its peak
_NODES = 96  # per panel


def arm_posterior(arm: Arm, *, mean: float = 0.0, variance: float = 1e4) -> Normal:
    """Posterior of an arm's own mean under a normal prior, N(0, 1e4) as GrowthBook's bandits have it."""
    return update(mean, math.sqrt(variance), arm.estimate, arm.unit_variance / positive(arm.n))


class Ranking(NamedTuple):
    """Of each arm, on the last axis."""

    best: Numbers  # the probability that its mean is the best one
    second: Numbers  # that exactly one is better
    loss: Numbers  # what is lost on average against the best one by choosing it


@quiet
def rank(arms: Normal, *, sign: int = 1) -> Ranking:
    """Independent normal posteriors of arms against each other, in closed form up to one integral.

    P(best) is the integral of an arm's density times the product of the others' distribution functions; the
    loss that of P(arm <= x) P(another one > x).

    Args:
        arms: means and standard deviations, arms on the last axis.
        sign: -1 where less is better.

    Raises:
        StatsError: fewer than two arms.
    """
    mean, sd = np.broadcast_arrays(sign * np.asarray(arms.mean, dtype=np.float64), positive(arms.sd))
    if mean.ndim == 0 or mean.shape[-1] < 2:  # noqa: PLR2004 - against another one
        raise StatsError("ranking needs at least two arms, on the last axis")
    x, weight = panels(mean - _FAR * sd, mean + _FAR * sd, nodes=_NODES)
    z = (x[..., None] - mean[..., None, :]) / sd[..., None, :]
    cdf, sf, weight = special.ndtr(z), special.ndtr(-z), weight[..., None]
    density = weight * np.exp(-z * z / 2) / (sd[..., None, :] * math.sqrt(2 * math.pi))
    none, one = _others_above(cdf, sf)
    log = special.log_ndtr(z)
    another = -np.expm1(np.minimum(log.sum(axis=-1, keepdims=True) - log, 0.0))
    return Ranking(
        best=(density * none).sum(axis=-2),
        second=(density * one).sum(axis=-2),
        loss=(weight * cdf * another).sum(axis=-2),
    )


def _others_above(cdf: Numbers, sf: Numbers) -> tuple[Numbers, Numbers]:
    """Per arm, the probabilities that none and that exactly one of the others lies above the node."""
    width = cdf.shape[-1]
    before, after = ([(np.ones(cdf.shape[:-1]), np.zeros(cdf.shape[:-1]))] for _ in range(2))
    for place in range(width - 1):
        for sums, arm in ((before, place), (after, width - 1 - place)):
            none, one = sums[-1]
            sums.append((none * cdf[..., arm], one * cdf[..., arm] + none * sf[..., arm]))
    pairs = list(zip(before, reversed(after), strict=True))
    return (
        np.stack([left[0] * right[0] for left, right in pairs], axis=-1),
        np.stack([left[0] * right[1] + left[1] * right[0] for left, right in pairs], axis=-1),
    )


def thompson_weights(shares: Numbers, units: Numbers, *, floor: float = 0.01) -> Numbers:
    """Traffic of each arm (last axis): floor + (1 - arms x floor) x share.

    Args:
        shares: `rank(…).best` for Thompson sampling; (best + second) / 2 for its top-two form (Russo 2016,
            "Simple Bayesian algorithms for best arm identification").
        units: of each arm; where one has fewer than LEAST_UNITS all weights are NaN: keep the present ones.
        floor: the least traffic of an arm.

    Raises:
        StatsError: a floor that is negative or more than an equal share.
    """
    width = shares.shape[-1]
    if not 0 <= floor <= 1 / width:
        raise StatsError(f"the floor of {width} arms must lie between 0 and {1 / width:.3g}, not {floor}")
    enough = (np.asarray(units) >= LEAST_UNITS).all(axis=-1, keepdims=True)
    return np.where(enough, floor + (1 - width * floor) * shares, math.nan)
