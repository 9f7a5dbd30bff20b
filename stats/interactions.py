"""Two experiments on the same units: were they assigned apart, and does one change the effect of the other?

Assignment is independent when the cross table of both experiments' variants is the product of its margins:
Pearson's chi-squared. An effect that depends on the other experiment is a difference in differences over the
2 x 2 cells of both: (m_11 - m_01) - (m_10 - m_00), each cell with a variance of its own, on the scale of the
metric. Two effects that multiply interact on that scale, though not on a relative one.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from scipy import special

from stats import contrasts
from stats.choices import Kind
from stats.contrasts import Contrast, satterthwaite
from stats.moments import Moments

_LEAST_EXPECTED = 5  # units of a cell, below which chi-squared is no good approximation
_LEAST_UNITS = 2  # of a cell

_WAYS: Mapping[str, Callable[[Moments, Moments], Contrast]] = {
    "proportion": contrasts.difference_of_proportions,
    "mean": contrasts.difference_of_means,
    "ratio": contrasts.difference_of_ratios,
}


class Independence(msgspec.Struct, frozen=True, kw_only=True):
    """Pearson's test of a cross table; None: not defined, or too few units for it."""

    units: int
    chi2: float | None = None
    df: int = 0
    p_value: float | None = None


def independence(table: Sequence[Sequence[int]]) -> Independence:
    """Whether the rows' variants and the columns' variants were assigned independently.

    Rows and columns without a unit are left out; with fewer than 5 expected units in a cell it is not tested.
    """
    counts = np.array(table, dtype=np.float64)
    if counts.size:
        counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n, df = int(counts.sum()), (counts.shape[0] - 1) * (counts.shape[-1] - 1) if counts.size else 0
    if df < 1:
        return Independence(units=n)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    if expected.min() < _LEAST_EXPECTED:
        return Independence(units=n)
    chi2 = float((np.square(counts - expected) / expected).sum())
    return Independence(units=n, chi2=chi2, df=df, p_value=float(special.gammaincc(df / 2, chi2 / 2)))


def difference_in_differences(
    with_other: tuple[Moments, Moments], without_other: tuple[Moments, Moments], *, kind: Kind
) -> Contrast | None:
    """The effect (variant, baseline) among units with the other experiment's treatment, and without it.

    Args:
        with_other: both arms among units in the other experiment's variant.
        without_other: both arms among units in its control.
        kind: what the columns are: proportion, mean, or ratio (numerator, denominator).

    Returns:
        A contrast of the two effects, of independent units; None with fewer than two units in a cell.
    """
    if min(arm.n for arm in (*with_other, *without_other)) < _LEAST_UNITS:
        return None
    on, off = _WAYS[kind](*with_other), _WAYS[kind](*without_other)
    variances = [float(effect.variance_against(1.0)) for effect in (on, off)]
    parts = [(variance, float(effect.df)) for variance, effect in zip(variances, (on, off), strict=True)]
    return Contrast(
        method="difference_in_differences",
        variant=float(on.estimate),
        baseline=float(off.estimate),
        var_variant=variances[0],
        var_baseline=variances[1],
        df=math.inf if math.isinf(parts[0][1]) and math.isinf(parts[1][1]) else float(satterthwaite(*parts)),
    )
