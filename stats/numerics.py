"""What elementwise formulas share: silence about NaN, roots by bisection, integrals by Gauss-Legendre."""

import functools
from collections.abc import Callable

import numpy as np

from stats.arrays import Numbers, Real
from stats.errors import StatsError

_HALVINGS = 100  # a double's last bit, wherever the root lies
_ROUNDING = 1e-12  # share of a variance that is left of rounding where nothing is

# Where a formula has no value it is NaN, and that is all that needs saying.
quiet = np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")


def positive(value: Real) -> Real:
    """The value; NaN where it is not above 0."""
    return np.where(np.greater(value, 0), value, np.nan)


def remainder(variance: Real, of: Real) -> Real:
    """A variance that is what a subtraction has left `of` a larger one.

    0 where that is no more than rounding; NaN where it is below 0 by more: no data have such moments.
    """
    rounding = _ROUNDING * np.abs(of)
    return np.where(variance > rounding, variance, np.where(variance >= -rounding, 0.0, np.nan))[()]


def finite(value: Real) -> Real:
    """The value; NaN where it is infinite."""
    return np.where(np.isfinite(value), value, np.nan)[()]


def number(value: Real) -> float | None:
    """One number for a result; None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def level(alpha: float) -> float:
    """The level, when it lies between 0 and 1.

    Raises:
        StatsError: it does not.
    """
    if not 0 < alpha < 1:
        raise StatsError(f"alpha must lie between 0 and 1, both excluded, not {alpha}")
    return alpha


def bisect(
    excess: Callable[[Numbers], Numbers], low: Numbers, high: Numbers, *, halvings: int = _HALVINGS
) -> Numbers:
    """Where an increasing function crosses 0, elementwise; an end where it does not cross in between."""
    for _ in range(halvings):
        middle = (low + high) / 2
        short = excess(middle) < 0
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return (low + high) / 2


def panels(*edges: Numbers, nodes: int) -> tuple[Numbers, Numbers]:
    """Gauss-Legendre nodes and weights between neighbouring edges, all on the last axis."""
    ordered = np.sort(np.concatenate(np.broadcast_arrays(*edges), axis=-1), axis=-1)
    node, weight = _legendre(nodes)
    middle, half = (ordered[..., 1:] + ordered[..., :-1]) / 2, np.diff(ordered) / 2
    x: Numbers = middle[..., None] + half[..., None] * node
    w: Numbers = half[..., None] * weight
    return x.reshape(*x.shape[:-2], -1), w.reshape(*w.shape[:-2], -1)


@functools.cache
def _legendre(nodes: int) -> tuple[Numbers, Numbers]:
    return np.polynomial.legendre.leggauss(nodes)
