"""Where a sequential test stops: boundaries on the scale of z, and the chances of crossing them.

Over looks with information I_1 < I_2 < … the statistic Z_k has mean drift sqrt(I_k / I_K), variance 1 and
correlations sqrt(I_j / I_k), so X_k = Z_k sqrt(t_k) with t_k = I_k / I_K has independent increments. The
density of the paths that have not stopped is carried from look to look (Armitage, McPherson, Rowe 1969,
"Repeated significance tests on accumulating data", JRSS-A 132:235; Jennison and Turnbull 2000, "Group
sequential methods", chapter 19):

    g_k(x) = integral of g_{k-1}(u) phi((x - u - drift d) / sqrt d) / sqrt d du over (lower, upper),
    d = t_k - t_{k-1}

by Gauss-Legendre panels as short as the narrowest density in the integral, which leaves errors near 1e-13.
Tails are summed as logarithms, so that boundaries are right for chances far below 1e-16 as well.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import special

from stats.arrays import Numbers
from stats.errors import StatsError
from stats.references import Sides

POCOCK = 0.5  # shapes of Wang and Tsiatis
OBRIEN_FLEMING = 0.0
LEAST_GROWTH = 1e-4  # of the information from one look to the next: below, there is nothing new to look at

_ORDER = 16  # nodes of a panel
_PANEL = 4.0  # its length, and
_REACH = 10.0  # how far is integrated, in standard deviations of the narrowest density
_LOST = 34.0  # logarithm of what may be cut off, relative to what is looked for
_CHUNK = 1 << 21  # numbers held at once
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_ORDER)


class Region(NamedTuple):
    """A sequential test: it goes on after a look while lower < Z < upper. One number per look."""

    information: Numbers
    upper: Numbers
    lower: Numbers

    @classmethod
    def of(cls, information: Numbers, boundary: Numbers, sides: Sides = 2) -> "Region":
        """The region of |Z| < boundary, or of Z < boundary alone."""
        lower = -boundary if sides == 2 else np.full_like(boundary, -math.inf)  # noqa: PLR2004
        return cls(information, boundary, lower)


class Exits(NamedTuple):
    """The chances that the test stops at each look, through either boundary."""

    upper: Numbers
    lower: Numbers


class _Paths(NamedTuple):
    """What has not stopped by some time: nodes on the scale of X, and the chance that each stands for."""

    time: float
    at: Numbers
    mass: Numbers

    def mirrored(self) -> "_Paths":
        return _Paths(self.time, -self.at[::-1], self.mass[::-1])


_START = _Paths(0.0, np.zeros(1), np.ones(1))


def grown(earlier: float, later: float) -> bool:
    """Whether there is enough new information for another look."""
    return later >= earlier * (1 + LEAST_GROWTH)


def exit_probabilities(region: Region, drift: float = 0.0) -> Exits:
    """The chances of stopping, look by look.

    Args:
        region: the test.
        drift: the mean of Z at the last look.

    Raises:
        StatsError: information that does not grow, or arrays of different lengths.
    """
    times = _times(region.information)
    if not len(times) == len(region.upper) == len(region.lower):
        raise StatsError("information and boundaries must have one number per look")
    paths, found = _START, np.empty((2, len(times)))
    for k, (time, then) in enumerate(_steps(times)):
        root = math.sqrt(time)
        low, high = region.lower[k] * root, region.upper[k] * root
        found[:, k] = _above(paths, time, high, drift), _above(paths.mirrored(), time, -low, -drift)
        if then is not None:
            paths = _go_on(paths, time, _likely(low, high, time, drift), then, drift)
    return Exits(*found)


def spending_boundary(information: Numbers, steps: Numbers, sides: Sides = 2) -> Numbers:
    """Critical values that spend so much by each look, under no difference.

    Args:
        information: at each look, in any unit.
        steps: what each look spends: the chance, per side, of crossing there and not before. Two-sided
            boundaries are symmetric, and crossing either stops; one-sided ones have no lower boundary.
        sides: 1 or 2.

    Returns:
        On the scale of z; infinite where nothing is spent.

    Raises:
        StatsError: information that does not grow, or steps that are negative or spend more than there is.
    """
    times = _times(information)
    if len(steps) != len(times) or not np.all(steps >= 0) or not np.sum(steps) < 1 / sides:
        raise StatsError(
            f"every look must spend 0 or more, and all together less than {1 / sides:g} per side: {steps}"
        )
    paths, found = _START, np.empty(len(times))
    for k, (time, then) in enumerate(_steps(times)):
        found[k] = _critical(paths, time, steps[k])
        if then is not None:
            reach = -special.ndtri_exp(_log_least(steps[k + 1 :]) - _LOST)
            high, root = min(found[k], reach), math.sqrt(time)
            low = -high if sides == 2 else -reach  # noqa: PLR2004
            paths = _go_on(paths, time, (low * root, high * root), then)
    return found


def futility_boundary(information: Numbers, upper: Numbers, steps: Numbers, drift: float) -> Numbers:
    """Lower critical values at which the effect that was hoped for is given up.

    They spend the chance of missing the effect as `steps` says (Pampallona and Tsiatis 1994; Lan and DeMets'
    spending, for beta). The upper boundary is as it was without them, so the false-positive rate holds when
    nobody follows them: they are not binding.

    Args:
        information: at each look, in any unit.
        upper: the boundary of the test.
        steps: the chance of giving up at each look, when the mean of Z at the last look is `drift`.
        drift: that mean.

    Returns:
        On the scale of z, never above `upper`.
    """
    times = _times(information)
    paths, found = _START, np.empty(len(times))
    for k, (time, then) in enumerate(_steps(times)):
        found[k] = min(-_critical(paths.mirrored(), time, steps[k], -drift), upper[k])
        if then is not None:
            root = math.sqrt(time)
            between = _likely(found[k] * root, upper[k] * root, time, drift)
            paths = _go_on(paths, time, between, then, drift)
    return found


def wang_tsiatis(information: Numbers, alpha: float, shape: float, sides: Sides = 2) -> Numbers:
    """Critical values C t^(shape - 1/2) with the false-positive rate alpha over all looks.

    Wang and Tsiatis 1987, "Approximately optimal one-parameter boundaries for group sequential trials",
    Biometrics 43:193; shape 1/2 is Pocock 1977, shape 0 O'Brien and Fleming 1979. C is the last of them.

    Raises:
        StatsError: information that does not grow, or alpha outside (0, 1).
    """
    from scipy import optimize

    if not 0 < alpha < 1:
        raise StatsError(f"alpha must be between 0 and 1, not {alpha}")
    shapes = _times(information) ** (shape - 0.5)

    def excess(constant: float) -> float:
        exits = exit_probabilities(Region.of(information, constant * shapes, sides))
        return float(np.sum(exits)) - alpha

    alone, all_looks = (-float(special.ndtri(alpha / sides / looks)) for looks in (1, len(shapes)))
    constant = optimize.brentq(excess, alone * 0.999, all_looks * 1.001 / shapes.min(), xtol=1e-13)
    found: Numbers = constant * shapes
    return found


def _times(information: Numbers) -> Numbers:
    """Information as shares of the last look's."""
    found: Numbers = np.asarray(information, dtype=np.float64)
    if not (found.ndim == 1 and len(found) and found[0] > 0 and np.all(np.isfinite(found))):
        raise StatsError(f"information must be positive numbers, one per look, not {information}")
    if not all(grown(earlier, later) for earlier, later in pairwise(found)):
        raise StatsError(
            f"information must grow by {LEAST_GROWTH:g} of itself at least from look to look, not as "
            f"{information}; without more of it there is no look"
        )
    shares: Numbers = found / found[-1]
    return shares


def _steps(times: Numbers) -> Iterator[tuple[float, float | None]]:
    """Each time with the one after it."""
    all_times = [float(time) for time in times]
    return zip(all_times, [*all_times[1:], None], strict=True)


def _likely(low: float, high: float, time: float, drift: float) -> tuple[float, float]:
    """Bounds, brought to where the paths can be."""
    middle, reach = drift * time, _REACH * math.sqrt(time)
    return max(low, middle - reach), min(high, middle + reach)


def _log_least(steps: Numbers) -> float:
    """Logarithm of the smallest chance that is still looked for."""
    return math.log(np.min(steps, where=steps > 0, initial=1.0))


def _above(paths: _Paths, time: float, bound: float, drift: float) -> float:
    """P(X >= bound at a time, without having stopped before)."""
    z, _ = _standardised(paths, time, np.array([bound]), drift)
    return float(paths.mass @ special.ndtr(-z[0]))


def _standardised(paths: _Paths, time: float, to: Numbers, drift: float) -> tuple[Numbers, float]:
    """Steps from every node to every target in standard deviations, and the standard deviation."""
    gap = time - paths.time
    deviation = math.sqrt(gap)
    return (to[:, None] - paths.at - drift * gap) / deviation, deviation


def _critical(paths: _Paths, time: float, chance: float, drift: float = 0.0) -> float:
    """The z at and above which the paths stop with this chance; -infinity where they have no more of it.

    Newton's method on the logarithm, which is concave: it comes down on the root from the right, where the
    boundary of a test without earlier looks lies.
    """
    if chance <= 0:
        return math.inf
    if chance >= paths.mass.sum():
        return -math.inf
    there = paths.mass > 0
    paths = _Paths(paths.time, paths.at[there], paths.mass[there])
    root, log_mass = math.sqrt(time), np.log(paths.mass)
    target = math.log(chance)
    found = drift * root - float(special.ndtri_exp(target))
    for _ in range(200):
        (z,), deviation = _standardised(paths, time, np.array([found * root]), drift)
        log_tail = _log_sum(log_mass + special.log_ndtr(-z))
        log_density = _log_sum(log_mass - z * z / 2) - math.log(2 * math.pi) / 2
        step = (log_tail - target) * deviation / root * math.exp(log_tail - log_density)
        found += step
        if abs(step) <= 1e-13 * max(1.0, abs(found)):
            break
    return found


def _log_sum(logarithms: Numbers) -> float:
    """The logarithm of a sum of exponentials."""
    largest = float(logarithms.max())
    return largest + math.log(float(np.exp(logarithms - largest).sum()))


def _go_on(
    paths: _Paths, time: float, between: tuple[float, float], then: float, drift: float = 0.0
) -> _Paths:
    """The paths between two bounds at a time, on nodes fine enough to be carried on to the time after."""
    low, high = between
    if low >= high:
        return _Paths(time, np.array([low]), np.zeros(1))
    onward = math.sqrt(time * (then - time) / then)
    longest = _PANEL * min(math.sqrt(time - paths.time), onward)
    panels = math.ceil((high - low) / longest)
    length = (high - low) / panels
    at = (low + length * (np.arange(panels)[:, None] + (_NODES + 1) / 2)).ravel()
    return _Paths(time, at, _density(paths, time, at, drift) * np.tile(_WEIGHTS * length / 2, panels))


def _density(paths: _Paths, time: float, at: Numbers, drift: float) -> Numbers:
    """The density at a later time: from each node's neighbourhood only, for bridges are narrow."""
    bridge = _REACH * math.sqrt(paths.time * (time - paths.time) / time)
    middle = np.clip(at * (paths.time / time), paths.at[0], paths.at[-1])
    first = np.searchsorted(paths.at, middle - bridge)
    width = max(1, int((np.searchsorted(paths.at, middle + bridge) - first).max()))
    first = np.minimum(first, len(paths.at) - width)
    deviation = math.sqrt(time - paths.time)
    from_at = (paths.at + drift * (time - paths.time)) / deviation
    found = np.empty(len(at))
    for part in np.array_split(np.arange(len(at)), math.ceil(len(at) * width / _CHUNK)):
        near = first[part, None] + np.arange(width)
        z = at[part, None] / deviation - from_at[near]
        found[part] = np.einsum("ij,ij->i", np.exp(-z * z / 2), paths.mass[near])
    return found / (deviation * math.sqrt(2 * math.pi))
