"""Moments as arrays, the measure apart from its covariates, and least squares on them.

The arithmetic that CUPED and regression adjustment share; everything is elementwise over comparisons.
"""

from typing import NamedTuple, Self

import numpy as np

from stats.arrays import Numbers
from stats.moments import Moments, Stack
from stats.numerics import finite

_COLLINEAR = 1e-10  # share of the largest eigenvalue of a correlation matrix that counts as nothing
_ROUNDING = 1e-15  # standard deviation over mean that is left of rounding where a covariate is constant


class Block(NamedTuple):
    """One arm's moments: measure y and p covariates x, which lie on the last axes.

    Shapes with comparisons `...`: n, y, yy (...), x, yx (..., p), xx (..., p, p). Covariances have the
    divisor n - 1; all are NaN where the arm has fewer units than they need, or a variance is negative. A
    covariate that is constant but for rounding has covariances of 0.
    """

    n: Numbers
    y: Numbers
    x: Numbers
    yy: Numbers
    yx: Numbers
    xx: Numbers

    @classmethod
    def of(cls, arm: Moments | Stack) -> Self:
        n = np.asarray(arm.n, dtype=np.float64)
        n = np.where(n > 0, n, np.nan)
        mean = np.asarray(finite(np.moveaxis(np.array(arm.mean), 0, -1) + 0 * n[..., None]))
        cov = np.moveaxis(np.array(arm.cov), (0, 1), (-2, -1))
        possible = (n > 1) & ~(np.einsum("...ii->...i", cov) < 0).any(axis=-1)
        cov = np.where(possible[..., None, None], cov, np.nan)
        x, xx = mean[..., 1:], cov[..., 1:, 1:]
        varies = ~(np.einsum("...ii->...i", xx) <= np.square(_ROUNDING * x))
        xx = np.where(varies[..., :, None] & varies[..., None, :], xx, 0.0)
        return cls(n, mean[..., 0], x, cov[..., 0, 0], np.where(varies, cov[..., 0, 1:], 0.0), xx)


class Solver(NamedTuple):
    """A covariance matrix of covariates, inverted on the scale of correlations.

    So the covariates' units do not matter. Covariates that do not vary, or say what others said already, get
    no weight of their own and do not count in `rank`.
    """

    inverse: Numbers  # (..., p, p), of the scaled matrix
    size: Numbers  # (..., p), the scale of each covariate
    rank: Numbers  # (...), how many covariates say something of their own

    @classmethod
    def of(cls, xx: Numbers) -> Self:
        """The solver of xx, (..., p, p); NaN where it is not finite, or no covariance matrix."""
        known = np.asarray(np.isfinite(xx).all(axis=(-2, -1)))
        size = np.sqrt(np.maximum(np.einsum("...ii->...i", xx), 0.0))
        size = np.where(size > 0, size, 1.0)
        scaled = np.where(known[..., None, None], xx / (size[..., :, None] * size[..., None, :]), 0.0)
        values, vectors = np.linalg.eigh(scaled)
        nothing = _COLLINEAR * np.maximum(values.max(axis=-1, keepdims=True, initial=0.0), _COLLINEAR)
        counts, known = values > nothing, known & ~(values < -nothing).any(axis=-1)
        inverse = (vectors * np.where(counts, 1 / np.where(counts, values, 1.0), 0.0)[..., None, :]) @ (
            np.swapaxes(vectors, -1, -2)
        )
        return cls(
            np.where(known[..., None, None], inverse, np.nan),
            size,
            np.where(known, counts.sum(axis=-1), np.nan),
        )

    def solve(self, yx: Numbers) -> Numbers:
        """Coefficients (..., p) of the regression with covariances yx (..., p)."""
        found: Numbers = np.einsum("...ij,...j", self.inverse, yx / self.size) / self.size
        return found

    def product(self, one: Numbers, other: Numbers) -> Numbers:
        """Mahalanobis' inner product (...) of two differences (..., p) of covariates' means."""
        found: Numbers = np.einsum("...i,...ij,...j", one / self.size, self.inverse, other / self.size)
        return found


def dot(a: Numbers, b: Numbers) -> Numbers:
    """Inner product over the last axis."""
    found: Numbers = np.einsum("...i,...i", a, b)
    return found


def quadratic(a: Numbers, matrix: Numbers) -> Numbers:
    """The quadratic form a' matrix a over the last axes."""
    found: Numbers = np.einsum("...i,...ij,...j", a, matrix, a)
    return found
