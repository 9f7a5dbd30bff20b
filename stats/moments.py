"""Moments: all that lies between data and statistics. n, the mean vector, the covariance matrix of k columns.

Centred from the start (never sum of squares minus square of sum in floating point), and mergeable:
Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from stats.arrays import Numbers
from stats.errors import StatsError


class Moments(msgspec.Struct, frozen=True):
    """Moments of k columns over n units.

    `mean` has k numbers, `cov` k rows of k (divisor n - 1). With fewer units than a moment needs it is 0, and
    whoever reads it looks at `n` first.
    """

    n: int
    mean: tuple[float, ...]
    cov: tuple[tuple[float, ...], ...]

    @classmethod
    def from_columns(cls, *columns: npt.ArrayLike) -> Self:
        """Moments of raw values: one array of n numbers per column.

        Two passes and one thread, so the same values give the same bits.

        Raises:
            StatsError: no columns, different lengths, or a value that is not finite.
        """
        arrays = [np.asarray(column, dtype=np.float64) for column in columns]
        if not arrays or any(array.shape != (len(arrays[0]),) for array in arrays):
            raise StatsError("moments need at least one column, and columns of one length")
        if not all(np.isfinite(array).all() for array in arrays):
            raise StatsError("moments need finite values; leave missing ones out, or count them as 0, before")
        n = len(arrays[0])
        means = [float(array.mean()) if n else 0.0 for array in arrays]
        centred = [array - mean for array, mean in zip(arrays, means, strict=True)]
        # The mean itself is rounded; what is left of it is put back (the corrected two-pass algorithm).
        left = [float(array.sum()) / n if n else 0.0 for array in centred]
        cov = tuple(
            tuple(
                (float((a * b).sum()) - n * left_a * left_b) / (n - 1) if n > 1 else 0.0
                for b, left_b in zip(centred, left, strict=True)
            )
            for a, left_a in zip(centred, left, strict=True)
        )
        return cls(n, tuple(mean + rest for mean, rest in zip(means, left, strict=True)), cov)

    @classmethod
    def from_exact_sums(
        cls, n: int, sums: Sequence[int], products: Sequence[Sequence[int]], scale: int
    ) -> Self:
        """Moments from whole numbers: column i's values are integers divided by `scale`.

        Args:
            n: units.
            sums: per column, the sum of the integers.
            products: per pair of columns, the sum of products of the integers.
            scale: what the integers are divided by, the same for every column.

        Integers are exact, and the one division at the end is rounded correctly: the result does not depend
        on the order in which an engine added up.
        """
        width = range(len(sums))
        if n == 0:
            return cls(0, (0.0,) * len(sums), ((0.0,) * len(sums),) * len(sums))
        below = n * (n - 1) * scale * scale
        return cls(
            n,
            tuple(sums[i] / (n * scale) for i in width),
            tuple(
                tuple((n * products[i][j] - sums[i] * sums[j]) / below if below else 0.0 for j in width)
                for i in width
            ),
        )

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both sets of units together."""
        if len(self.mean) != len(other.mean):
            raise StatsError(f"moments of {len(self.mean)} and {len(other.mean)} columns can't be merged")
        n = self.n + other.n
        if n == 0 or other.n == 0:
            return self
        if self.n == 0:
            return other
        apart = [b - a for a, b in zip(self.mean, other.mean, strict=True)]
        shift = self.n * other.n / n
        width = range(len(apart))
        return Moments(
            n,
            tuple(a + d * other.n / n for a, d in zip(self.mean, apart, strict=True)),
            tuple(
                tuple(
                    (
                        (self.n - 1) * self.cov[i][j]
                        + (other.n - 1) * other.cov[i][j]
                        + apart[i] * apart[j] * shift
                    )
                    / (n - 1)
                    for j in width
                )
                for i in width
            ),
        )


class Stack(NamedTuple):
    """Moments of many arms at once: each number of `Moments` is an array, one element per arm."""

    n: Numbers
    mean: tuple[Numbers, ...]
    cov: tuple[tuple[Numbers, ...], ...]

    @classmethod
    def of(cls, moments: Sequence[Moments]) -> Self:
        """The moments, one after the other; all must have the same number of columns."""
        width = range(len(moments[0].mean))
        return cls(
            np.array([one.n for one in moments], dtype=np.float64),
            tuple(np.array([one.mean[i] for one in moments]) for i in width),
            tuple(tuple(np.array([one.cov[i][j] for one in moments]) for j in width) for i in width),
        )
