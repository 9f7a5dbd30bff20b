"""Resampling: permutations for a test without a model, the Poisson bootstrap for any function of sums.

Both are seeded: the same data and seed give the same numbers. What chance adds to them is said, or told by
another seed.
"""

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from scipy import special

from stats.arrays import Numbers
from stats.errors import StatsError
from stats.inference import Interval
from stats.references import Sides

Hashes = npt.NDArray[np.uint64]
Statistic = Callable[[Numbers, Numbers], Numbers]

_CELLS = 2**21  # numbers in memory at once
_SHARED = 10  # values per distinct one, from which drawing the distinct ones is faster than shuffling
_SAME = 1e-12  # relative: sums that differ by the order of adding up only are equal
_GOLDEN = 0x9E3779B97F4A7C15


class Permutation(NamedTuple):
    """A permutation test's outcome; NaN where an arm has no value."""

    estimate: float  # difference in means, variant minus baseline
    p_value: float
    std_error: float  # of the p-value, from the number of permutations
    permutations: int


def permutation_test(
    variant: Numbers, baseline: Numbers, *, seed: int, permutations: int = 9_999, sides: Sides = 2
) -> Permutation:
    """Test of "both arms have one distribution" by the difference in means under other assignments.

    With b of m random assignments whose difference is at least as large, p = (b + 1) / (m + 1), which is
    valid, never 0, and off by its standard error: Phipson and Smyth 2010, "Permutation p-values should never
    be zero".

    Args:
        variant: its values.
        baseline: its values.
        seed: of the assignments.
        permutations: how many are drawn.
        sides: one-sided is against "the variant's are larger".

    Raises:
        StatsError: a value is not finite, or no permutation.
    """
    if permutations < 1:
        raise StatsError(f"permutations must be at least 1, not {permutations}")
    variant, baseline = _finite(variant), _finite(baseline)
    n, m = len(variant), len(baseline)
    if n == 0 or m == 0:
        return Permutation(math.nan, math.nan, math.nan, permutations)
    pooled = np.concatenate([variant, baseline])
    centre = float(pooled.mean())
    # The smaller arm's sum around the common mean says as much as the difference in means.
    sign, size = (1, n) if n <= m else (-1, m)
    observed = sign * float((variant if sign > 0 else baseline).sum() - size * centre)
    limit = (abs(observed) if sides == 2 else observed) - _SAME * float(np.abs(pooled - centre).sum())  # noqa: PLR2004
    above = 0
    for sums in _subset_sums(pooled - centre, size, permutations, np.random.default_rng(seed)):
        reached = np.abs(sums) if sides == 2 else sign * sums  # noqa: PLR2004
        above += int((reached >= limit).sum())
    p = (above + 1) / (permutations + 1)
    return Permutation(
        estimate=float(variant.mean() - baseline.mean()),
        p_value=p,
        std_error=math.sqrt(p * (1 - p) / permutations),
        permutations=permutations,
    )


def _subset_sums(values: Numbers, size: int, count: int, rng: np.random.Generator) -> Iterator[Numbers]:
    """Sums of `size` of the values drawn without replacement, `count` in all, in parts that fit in memory."""
    distinct, numbers = np.unique(values, return_counts=True)
    few = len(distinct) * _SHARED <= len(values)
    rows = max(1, _CELLS // (len(distinct) if few else len(values)))
    for start in range(0, count, rows):
        part = min(rows, count - start)
        if few:
            yield rng.multivariate_hypergeometric(numbers, size, size=part, method="marginals") @ distinct
        else:
            shuffled = rng.permuted(np.broadcast_to(values, (part, len(values))), axis=1)
            yield shuffled[:, :size].sum(axis=1)


class Sums(msgspec.Struct, frozen=True):
    """Sums over the rows of one arm, as observed and resampled: all that a bootstrap needs to keep.

    The first is the number of rows, the others are those of the columns. Sums of two sets of rows are added
    up by `merge`, so that data may come in parts.
    """

    observed: Numbers  # (1 + columns,)
    resampled: Numbers  # (replicates, 1 + columns)

    def merge(self, other: "Sums") -> "Sums":
        """Sums of both sets of rows together."""
        if self.resampled.shape != other.resampled.shape:
            raise StatsError(
                f"sums of {self.resampled.shape} and {other.resampled.shape} replicates and columns can't be "
                "merged"
            )
        return Sums(self.observed + other.observed, self.resampled + other.resampled)


class Bootstrap(NamedTuple):
    """An estimate with its bootstrap error and interval; NaN where a replicate is not defined."""

    estimate: float
    std_error: float
    interval: Interval


def poisson_sums(*columns: npt.ArrayLike, replicates: int, rng: np.random.Generator) -> Sums:
    """Every row counts Poisson(1) times in every replicate.

    Hanley and MacGibbon 2006, "Creating non-parametric bootstrap samples using Poisson frequencies". Both
    arms must draw from one generator, one after the other: equal seeds would couple them.

    Args:
        columns: one array per column, a number per row.
        replicates: how many are made.
        rng: where the weights are drawn from.

    Raises:
        StatsError: no column, different lengths, a value that is not finite, or no replicate.
    """
    rows = _rows(columns, replicates)
    return _sums(rows, replicates, lambda part: rng.poisson(1.0, (len(rows[part]), replicates)))


def poisson_sums_by_unit(*columns: npt.ArrayLike, units: Hashes, replicates: int, seed: int) -> Sums:
    """Every unit counts Poisson(1) times in every replicate, by a hash of unit, replicate and seed.

    Chamandy, Muralidharan, Najmi, Naidu 2012, "Estimating uncertainty for massive data streams". All rows of
    a unit have one weight, so that units may have several; and it does not matter in which parts, in which
    order or on which machine rows are added up.

    Args:
        columns: one array per column, a number per row.
        units: per row, a 64-bit hash of its unit.
        replicates: how many are made.
        seed: another one gives other weights.

    Raises:
        StatsError: as `poisson_sums`, or units of another length.
    """
    rows = _rows(columns, replicates)
    units = np.asarray(units, dtype=np.uint64)
    if units.shape != (len(rows),):
        raise StatsError(f"there must be a unit per row: {len(rows)}, not {units.shape}")
    keys = _mixed((np.arange(replicates, dtype=np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))
    keys ^= _mixed(np.array([seed % 2**64], dtype=np.uint64))
    return _sums(rows, replicates, lambda part: _poisson(_mixed(units[part, None] ^ keys)))


def bootstrap(
    statistic: Statistic,
    variant: Sums,
    baseline: Sums,
    *,
    alpha: float,
    kind: Literal["percentile", "basic"] = "percentile",
) -> Bootstrap:
    """Error and interval of a statistic of both arms' sums.

    Davison and Hinkley 1997, "Bootstrap methods and their application", sections 5.2.1 (basic) and 5.3.1
    (percentile), with the quantiles of B replicates at (B + 1) alpha / 2.

    Args:
        statistic: of the sums of the variant and the baseline, elementwise over all but the last axis:
            `sums[..., 0]` is the number of rows, `sums[..., 1]` the sum of the first column.
        variant: its sums.
        baseline: its sums, with as many replicates.
        alpha: two-sided level.
        kind: percentile: quantiles of the replicates; basic: these mirrored at the estimate.

    Raises:
        StatsError: alpha without meaning, different numbers of replicates, or too few for alpha.
    """
    count = len(variant.resampled)
    if not 0 < alpha < 1:
        raise StatsError(f"alpha must lie between 0 and 1, not {alpha}")
    if len(baseline.resampled) != count or (count + 1) * alpha < 2:  # noqa: PLR2004 - one on each side
        raise StatsError(
            f"both arms need as many replicates, at least {math.ceil(2 / alpha) - 1} for alpha {alpha}; not "
            f"{count} and {len(baseline.resampled)}"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(statistic(variant.observed, baseline.observed))
        values = np.asarray(statistic(variant.resampled, baseline.resampled), dtype=np.float64)
    if not (math.isfinite(estimate) and np.isfinite(values).all()):
        return Bootstrap(estimate, math.nan, Interval(math.nan, math.nan))
    low, high = (float(q) for q in np.quantile(values, (alpha / 2, 1 - alpha / 2), method="weibull"))
    if kind == "basic":
        low, high = 2 * estimate - high, 2 * estimate - low
    return Bootstrap(estimate, float(values.std(ddof=1)), Interval(low, high))


def _finite(values: Numbers) -> Numbers:
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise StatsError("resampling needs finite values; leave missing ones out, or count them as 0, before")
    return found


def _rows(columns: tuple[npt.ArrayLike, ...], replicates: int) -> Numbers:
    """The columns side by side, after a column of ones."""
    if replicates < 1:
        raise StatsError(f"replicates must be at least 1, not {replicates}")
    arrays = [_finite(np.asarray(column, dtype=np.float64)) for column in columns]
    if not arrays or any(array.shape != (len(arrays[0]),) for array in arrays):
        raise StatsError("sums need at least one column, and columns of one length")
    return np.column_stack([np.ones(len(arrays[0])), *arrays])


def _sums(rows: Numbers, replicates: int, weights: Callable[[slice], npt.NDArray[np.int64]]) -> Sums:
    resampled = np.zeros((replicates, rows.shape[1]))
    step = max(1, _CELLS // replicates)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        resampled += weights(part).T.astype(np.float64) @ rows[part]
    return Sums(rows.sum(axis=0), resampled)


def _mixed(bits: Hashes) -> Hashes:
    """SplitMix64's finalizer: every bit of the result depends on every bit; Steele, Lea, Flood 2014."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


# Where 64 random bits change from one Poisson(1) count to the next.
_STEPS: Hashes = np.array(
    [min(int(special.pdtr(count, 1.0) * 2.0**64), 2**64 - 1) for count in range(18)], dtype=np.uint64
)


def _poisson(bits: Hashes) -> npt.NDArray[np.int64]:
    """Poisson(1) counts from uniform bits, by inversion."""
    return np.searchsorted(_STEPS, bits.ravel(), side="right").reshape(bits.shape)
