"""Regression adjustment: each arm's mean at the covariates' pooled mean, by a regression of its own.

Lin 2013, "Agnostic notes on regression adjustments to experimental data: reexamining Freedman's critique":
y ~ 1 + T + (x - mean x) + T (x - mean x). The arms' regressions are separate, so each arm has a mean at the
pooled covariates, and the difference is the coefficient of T. Never less precise than no adjustment, in large
samples, whatever the truth; CUPED (`contrasts.adjusted`) has one slope for both arms instead.

Which errors:

- from **moments** (`lin`): residual variance within the arm, exact for errors of one variance. Moments
  suffice whenever the arm's covariate mean is near the pooled one, as randomisation sees to: what the
  residual variance's dependence on x adds is of the order 1/n^2.
- from **arrays** (`lin_robust`): HC2, unbiased for errors of one variance and robust to others (MacKinnon,
  White 1985), or HC3, nearly a jackknife and on the safe side; with Bell and McCaffrey's degrees of freedom.
  Needed with few units, many covariates or rare indicators, where single units have leverage.

`estimand` is what the interval is for: the "population" that the units come from, which is what Welch's test
without covariates is for as well: then the pooled covariate mean is itself an estimate, whose error the two
arm means share (their covariance) and, with slopes that differ, the difference has (Negi, Wooldridge 2021);
or the "sample" in hand, with the textbook's errors.

Missing covariates: `complete` fills them. Their value need not be known: with the indicator of missing beside
it, any constant gives the same result, so moments of (y, x or 0, 1 if x is missing) are enough for `lin`,
`ancova` and `contrasts.adjusted`.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import msgspec
import numpy as np

from stats.arrays import Numbers, Real
from stats.blocks import Block, Solver, dot, quadratic
from stats.contrasts import A, Contrast, reduction, satterthwaite
from stats.errors import StatsError
from stats.moments import Moments
from stats.numerics import quiet, remainder

Estimand = Literal["population", "sample"]
Errors = Literal["hc2", "hc3"]

_FULL = 1e-10  # 1 - leverage, below which a unit determines its own fit


class Sample(NamedTuple):
    """One arm's units: the measure y, (n,), and p covariates x, (n, p)."""

    y: Numbers
    x: Numbers

    @classmethod
    def of(cls, y: Numbers, *covariates: Numbers) -> Self:
        """From one array per covariate.

        Raises:
            StatsError: arrays of different lengths.
        """
        if any(np.shape(covariate) != np.shape(y) for covariate in covariates):
            raise StatsError("a sample needs one value of every covariate per unit")
        x = np.column_stack([np.empty((len(y), 0)), *covariates])
        return cls(np.asarray(y, dtype=np.float64), x)


class _Fit(NamedTuple):
    """One arm: its mean at the pooled covariates, that mean's own variance, and the slope."""

    mean: Real
    variance: Real
    df: Real
    slope: Numbers


def lin(variant: A, baseline: A, *, estimand: Estimand = "population") -> Contrast:
    """Lin's adjustment from moments: columns are the measure, then the covariates.

    Per arm with p covariates: residual variance s^2 with n - 1 - p degrees of freedom, variance of the mean
    s^2 (1/n + d' Sxx^-1 d/(n - 1)) with d the arm's distance from the pooled covariate mean. NaN where an arm
    has no degrees of freedom left.
    """
    blocks = (Block.of(variant), Block.of(baseline))
    return _contrast("lin", blocks, [_of_moments(block, _centre(blocks)) for block in blocks], estimand)


@quiet
def _of_moments(block: Block, centre: Numbers) -> _Fit:
    solver = Solver.of(block.xx)
    slope, apart = solver.solve(block.yx), block.x - centre
    df = block.n - 1 - solver.rank
    left = remainder(block.yy - dot(slope, block.yx), block.yy) * (block.n - 1)
    residual = left / np.where(df > 0, df, math.nan)
    return _Fit(
        block.y - dot(slope, apart),
        residual * (1 / block.n + solver.product(apart, apart) / (block.n - 1)),
        df,
        slope,
    )


def lin_robust(
    variant: Sample, baseline: Sample, *, errors: Errors = "hc2", estimand: Estimand = "population"
) -> Contrast:
    """Lin's adjustment from arrays, with errors that are robust to unequal variances.

    Raises:
        StatsError: values that are not finite (fill missing covariates by `complete`), or arms that do not
            have the same covariates.
    """
    samples = (variant, baseline)
    if variant.x.shape[1] != baseline.x.shape[1]:
        raise StatsError(
            f"both arms need the same covariates, not {variant.x.shape[1]} and {baseline.x.shape[1]}"
        )
    blocks = [Block.of(Moments.from_columns(sample.y, *sample.x.T)) for sample in samples]
    fits = [
        _of_arrays(sample, block, _centre(blocks), errors)
        for sample, block in zip(samples, blocks, strict=True)
    ]
    return _contrast(f"lin_{errors}", blocks, fits, estimand)


def _of_arrays(sample: Sample, block: Block, centre: Numbers, errors: Errors) -> _Fit:
    """The mean is a weighted sum of the outcomes; so its variance is one of squared residuals."""
    n, solver = block.n, Solver.of(block.xx)
    slope, apart = solver.solve(block.yx), block.x - centre
    z, inverse = (sample.x - block.x) / solver.size, solver.inverse / (n - 1)
    residual = sample.y - block.y - (sample.x - block.x) @ slope
    weight = 1 / n - z @ inverse @ (apart / solver.size)
    free = 1 - 1 / n - np.einsum("ni,ij,nj->n", z, inverse, z)  # 1 - leverage
    # A unit that determines its own fit has no residual to say anything by.
    free = np.where(free > _FULL, free, math.inf)
    share = np.square(weight) / (free if errors == "hc2" else np.square(free))
    variance = float((share * np.square(residual)).sum()) if n - 1 > solver.rank else math.nan
    return _Fit(
        block.y - dot(slope, apart),
        variance,
        _bell_mccaffrey(share, np.where(np.isinf(free), 0.0, free), z, inverse),
        slope,
    )


def _bell_mccaffrey(share: Numbers, free: Numbers, z: Numbers, inverse: Numbers) -> float:
    """Satterthwaite's degrees of freedom of sum(share e^2) over residuals e = (I - H) errors of one variance.

    Bell, McCaffrey 2002; Imbens, Kolesar 2016, "Robust standard errors in small samples". With
    D = diag(share): trace(D (I - H))^2 / trace(D (I - H) D (I - H)), H = 1/n + z inverse z'.
    """
    columns = np.column_stack([np.ones(len(share)), z])
    whole = np.zeros((columns.shape[1],) * 2)
    whole[0, 0], whole[1:, 1:] = 1 / max(len(share), 1), inverse
    inner = whole @ (columns.T * share) @ columns
    spread = float((np.square(share) * (2 * free - 1)).sum() + np.sum(inner * inner.T))
    mean = float((share * free).sum())
    return mean * mean / spread if spread > 0 else math.nan


def ancova(variant: A, baseline: A) -> Contrast:
    """Analysis of covariance from moments: one slope and one residual variance for both arms.

    Fisher 1932, "Statistical methods for research workers": y ~ 1 + T + x with classical errors, t with
    N - 2 - p degrees of freedom. Exact for normal errors of one variance; with arms of unequal size and
    slopes or variances that differ its errors are off, and those of `lin` are not.
    """
    blocks = (Block.of(variant), Block.of(baseline))
    loose = [block.n - 1 for block in blocks]
    within = np.add(*loose)
    pairs = list(zip(loose, blocks, strict=True))
    yy = np.add(*(df * block.yy for df, block in pairs)) / within
    yx = np.add(*(df[..., None] * block.yx for df, block in pairs)) / within[..., None]
    xx = np.add(*(df[..., None, None] * block.xx for df, block in pairs)) / within[..., None, None]
    solver = Solver.of(xx)
    slope, df = solver.solve(yx), within - solver.rank
    residual = remainder(yy - dot(slope, yx), yy) * within / np.where(df > 0, df, math.nan)
    apart = [block.x - _centre(blocks) for block in blocks]
    shared = quadratic(slope, _centre_variance(blocks))
    v, b = (
        residual * (1 / block.n + solver.product(d, d) / within)
        for block, d in zip(blocks, apart, strict=True)
    )
    contrast = Contrast(
        method="ancova",
        variant=blocks[0].y - dot(slope, apart[0]),
        baseline=blocks[1].y - dot(slope, apart[1]),
        var_variant=v + shared,
        var_baseline=b + shared,
        covariance=residual * solver.product(*apart) / within + shared,
        df=np.where(df > 0, df, math.inf)[()],
    )
    return _with_reduction(contrast, blocks)


def _contrast(method: str, blocks: Sequence[Block], fits: Sequence[_Fit], estimand: Estimand) -> Contrast:
    variant, baseline = fits
    centre = _centre_variance(blocks) if estimand == "population" else 0 * _centre_variance(blocks)
    contrast = Contrast(
        method=method,
        variant=variant.mean,
        baseline=baseline.mean,
        var_variant=variant.variance + quadratic(variant.slope, centre),
        var_baseline=baseline.variance + quadratic(baseline.slope, centre),
        covariance=dot(variant.slope, np.einsum("...ij,...j", centre, baseline.slope)),
        df=satterthwaite((variant.variance, variant.df), (baseline.variance, baseline.df)),
    )
    return _with_reduction(contrast, blocks)


def _centre(blocks: Sequence[Block]) -> Numbers:
    """The covariates' means over both arms."""
    n = np.add(*(block.n for block in blocks))
    found: Numbers = np.add(*(block.n[..., None] * block.x for block in blocks)) / n[..., None]
    return found


def _centre_variance(blocks: Sequence[Block]) -> Numbers:
    """The covariance matrix of `_centre`."""
    n = np.add(*(block.n for block in blocks))[..., None, None]
    found: Numbers = np.add(*(block.n[..., None, None] * block.xx for block in blocks)) / (n * n)
    return found


def _with_reduction(contrast: Contrast, blocks: Sequence[Block]) -> Contrast:
    """With what was achieved; without variances where that is everything, but for rounding."""
    plain = np.add(*(block.yy / block.n for block in blocks))
    left = remainder(contrast.variance_against(1.0), plain)
    return msgspec.structs.replace(
        contrast,
        var_variant=np.where(left > 0, contrast.var_variant, math.nan)[()],
        var_baseline=np.where(left > 0, contrast.var_baseline, math.nan)[()],
        variance_reduction=reduction(left, plain),
    )


class Completed(NamedTuple):
    """Both arms without missing covariates, and what was done."""

    variant: Sample
    baseline: Sample
    missing_variant: float  # share of the arm's units that miss a covariate; NaN without units
    missing_baseline: float
    notes: tuple[str, ...]  # covariate_missing | covariate_unknown


def complete(variant: Sample, baseline: Sample) -> Completed:
    """Fill missing covariates, so that no unit is lost: its outcome counts whatever is known of its past.

    A covariate value that is not finite is missing. It gets the covariate's mean over both arms, and beside
    it stands the indicator of missing as one more covariate (one for covariates that are missing together):
    the missingness-indicator method, valid as what is missing was so before exposure (Zhao, Ding 2024, "To
    adjust or not to adjust? Estimating the average treatment effect in randomized experiments with missing
    covariates"). A covariate without any value is left out (`covariate_unknown`); without covariates every
    estimator here is Welch's difference of means.
    """
    x = np.concatenate([variant.x, baseline.x])
    missing = ~np.isfinite(x)
    known = ~missing.all(axis=0)
    x, missing = x[:, known], missing[:, known]
    mean = np.where(missing, 0.0, x).sum(axis=0) / np.maximum((~missing).sum(axis=0), 1)
    indicators = np.unique(missing[:, missing.any(axis=0)], axis=1)
    filled = np.column_stack([np.where(missing, mean, x), indicators])
    notes = {"covariate_missing": bool(missing.any()), "covariate_unknown": not known.all()}
    first, rest = missing[: len(variant.y)].any(axis=1), missing[len(variant.y) :].any(axis=1)
    return Completed(
        Sample(variant.y, filled[: len(variant.y)]),
        Sample(baseline.y, filled[len(variant.y) :]),
        float(first.mean()) if len(first) else math.nan,
        float(rest.mean()) if len(rest) else math.nan,
        tuple(note for note, found in notes.items() if found),
    )
