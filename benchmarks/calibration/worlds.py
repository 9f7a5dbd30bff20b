"""Worlds whose truth is known: how units come about, drawn for many runs at once as the engine's moments.

An arm of `runs` experiments is a `Stack` whose numbers are arrays of that length. The variant of an A/B test
is that of an A/A test with its measure multiplied, so that one draw serves both.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np
from scipy import special

from stats.arrays import Codes, Numbers
from stats.moments import Stack

Shape: TypeAlias = tuple[int, int]  # runs, units
Columns: TypeAlias = tuple[Numbers, ...]

RICH = 1.0  # standard deviation of a buyer's revenue, as a logarithm
VERY_RICH = 1.5


class World(msgspec.Struct, frozen=True, kw_only=True):
    """One unit's law: the measure (of a ratio: numerator, denominator), then covariates."""

    name: str
    mean: float  # of the measure; of a ratio: the ratio
    cv: float  # standard deviation of the measure (of the linearised unit) over its mean
    skewness: float
    draw: Callable[[np.random.Generator, Shape], Columns]
    non_negative: bool = True  # as far as anyone will see


def moments(*columns: Numbers) -> Stack:
    """Moments of every run: columns are (runs, units)."""
    runs, n = columns[0].shape
    mean = tuple(column.mean(axis=1) for column in columns)
    centred = [column - m[:, None] for column, m in zip(columns, mean, strict=True)]
    cov = tuple(tuple(np.einsum("ru,ru->r", a, b) / (n - 1) for b in centred) for a in centred)
    return Stack(np.full(runs, float(n)), mean, cov)


def scaled(arm: Stack, factor: float) -> Stack:
    """The arm with its first column multiplied."""
    by = [factor, *([1.0] * (len(arm.mean) - 1))]
    cov = tuple(
        tuple(a * b * number for b, number in zip(by, row, strict=True))
        for a, row in zip(by, arm.cov, strict=True)
    )
    return Stack(arm.n, (factor * arm.mean[0], *arm.mean[1:]), cov)


def _lognormal(draw: np.random.Generator, shape: Shape, sigma: float) -> Numbers:
    return np.exp(sigma * draw.standard_normal(shape))


def _lognormal_power(sigma: float, k: int) -> float:
    """E[x^k]."""
    return math.exp(k * k * sigma * sigma / 2)


def _world(name: str, raw: tuple[float, float, float], draw: Callable[..., Columns]) -> World:
    """From the first three moments about 0."""
    mean, square, cube = raw
    variance = square - mean * mean
    third = cube - 3 * mean * square + 2 * mean**3
    return World(
        name=name, mean=mean, cv=math.sqrt(variance) / mean, skewness=third / variance**1.5, draw=draw
    )


def lognormal(sigma: float) -> World:
    """A measure whose logarithm is normal, as revenue of buyers or watch time is."""
    raw = [_lognormal_power(sigma, k) for k in (1, 2, 3)]
    return _world(
        f"lognormal, σ = {sigma:g}",
        (raw[0], raw[1], raw[2]),
        lambda draw, shape: (_lognormal(draw, shape, sigma),),
    )


def zero_inflated(share: float, sigma: float = RICH) -> World:
    """Revenue over everyone: a share buys for a lognormal amount, the others for nothing."""

    def drawn(draw: np.random.Generator, shape: Shape) -> Columns:
        buys = draw.random(shape, dtype=np.float32) < share
        values = np.zeros(shape)
        values[buys] = np.exp(sigma * draw.standard_normal(int(buys.sum())))
        return (values,)

    raw = [share * _lognormal_power(sigma, k) for k in (1, 2, 3)]
    return _world(f"{share:.0%} buy, lognormal σ = {sigma:g}", (raw[0], raw[1], raw[2]), drawn)


def capped(sigma: float, share: float) -> World:
    """The lognormal measure, winsorised at a quantile: partial moments of the law, and the cap's."""
    z = float(special.ndtri(share))
    cap = math.exp(sigma * z)
    raw = [
        _lognormal_power(sigma, k) * float(special.ndtr(z - k * sigma)) + (1 - share) * cap**k
        for k in (1, 2, 3)
    ]
    return _world(
        f"lognormal σ = {sigma:g}, capped at its {100 * share:g} % quantile",
        (raw[0], raw[1], raw[2]),
        lambda draw, shape: (np.minimum(_lognormal(draw, shape, sigma), cap),),
    )


NORMAL = World(
    name="normal, sd/mean = 0.3",
    mean=10.0,
    cv=0.3,
    skewness=0.0,
    draw=lambda draw, shape: (10 + 3 * draw.standard_normal(shape),),
)
NOISY = World(
    name="normal, sd/mean = 2",
    mean=1.0,
    cv=2.0,
    skewness=0.0,
    draw=lambda draw, shape: (1 + 2 * draw.standard_normal(shape),),
    non_negative=False,
)
EXPONENTIAL = World(
    name="exponential",
    mean=1.0,
    cv=1.0,
    skewness=2.0,
    draw=lambda draw, shape: (draw.standard_exponential(shape),),
)
# Negative binomial: a Poisson law whose mean is gamma, shape 0.5; sessions or rounds per player.
_SHAPE, _MEAN = 0.5, 3.0
COUNTS = World(
    name="counts (negative binomial)",
    mean=_MEAN,
    cv=math.sqrt(1 / _MEAN + 1 / _SHAPE),
    skewness=(1 + 2 * _MEAN / _SHAPE) / math.sqrt(_MEAN * (1 + _MEAN / _SHAPE)),
    draw=lambda draw, shape: (
        draw.poisson(draw.standard_gamma(_SHAPE, shape) * (_MEAN / _SHAPE)).astype(np.float64),
    ),
)


def covaried(correlation: float, covariates: int = 1) -> World:
    """A normal measure with covariates from before exposure, independent and of one weight."""
    rest, weight = math.sqrt(1 - correlation**2), correlation / math.sqrt(covariates)

    def drawn(draw: np.random.Generator, shape: Shape) -> Columns:
        x = [draw.standard_normal(shape) for _ in range(covariates)]
        return 10 + 3 * (weight * sum(x) + rest * draw.standard_normal(shape)), *x

    several = "" if covariates == 1 else f", {covariates} covariates"
    return World(name=f"normal, ρ = {correlation:g}{several}", mean=10.0, cv=0.3, skewness=0.0, draw=drawn)


def covaried_lognormal(correlation: float) -> World:
    """Lognormal before and after, the logarithms correlated: revenue and last month's."""
    rest = math.sqrt(1 - correlation**2)
    plain = lognormal(RICH)

    def drawn(draw: np.random.Generator, shape: Shape) -> Columns:
        x = draw.standard_normal(shape)
        y = correlation * x + rest * draw.standard_normal(shape)
        return np.exp(RICH * y), np.exp(RICH * x)

    return msgspec.structs.replace(plain, name=f"{plain.name}, ρ of logarithms = {correlation:g}", draw=drawn)


# A value is lognormal around its unit's own level; a unit has 1 + a geometric number of them, and more where
# the level is high: sessions and what is spent in them.
def sessions(sigma: float) -> World:
    """Numerator and denominator of a ratio: the sum over a unit's sessions, and how many they are.

    Given its level g (gamma, shape 2, mean 1) a unit has 1 + Poisson(3 g) sessions and spends, per session,
    0.5 + 0.5 g times a lognormal of mean 1. The ratio and the linearised unit's moments are integrals over
    g, by Gauss-Laguerre.
    """
    node, weight = special.roots_genlaguerre(40, 1.0)
    level, share = node / 2, weight / weight.sum()
    rate, price = 3 * level, 0.5 + 0.5 * level
    count = 1 + rate
    square = count**2 + rate  # E[n^2 | g]
    noise = math.expm1(sigma * sigma)  # variance of one lognormal of mean 1
    ratio = float(share @ (count * price)) / float(share @ count)
    left = price - ratio
    variance = float(share @ (square * left**2 + count * price**2 * noise)) / float(share @ count) ** 2

    def drawn(draw: np.random.Generator, shape: Shape) -> Columns:
        g = draw.standard_gamma(2.0, shape) / 2
        n = 1 + draw.poisson(3 * g)
        place = np.concatenate([[0], np.cumsum(n.ravel())[:-1]])
        spent = np.add.reduceat(np.exp(sigma * draw.standard_normal(int(n.sum())) - sigma**2 / 2), place)
        return spent.reshape(shape) * (0.5 + 0.5 * g), n.astype(np.float64)

    return World(
        name=f"revenue per session, σ = {sigma:g}",
        mean=ratio,
        cv=math.sqrt(variance) / ratio,
        skewness=math.nan,
        draw=drawn,
    )


class ClusterWorld(msgspec.Struct, frozen=True):
    """Clusters of 1 to 40 units (or all of 20) around a mean of 10, units of variance 9."""

    icc: float
    equal: bool = False

    @property
    def name(self) -> str:
        return f"{'equal' if self.equal else 'uneven'} clusters, ICC = {self.icc:g}"

    mean = 10.0

    def draw(self, draw: np.random.Generator, shape: Shape) -> tuple[Numbers, Numbers, Numbers]:
        """Totals and sizes of clusters, (runs, clusters), and the squares within them, (runs,)."""
        size = np.full(shape, 20.0) if self.equal else draw.integers(1, 41, shape).astype(np.float64)
        common, own = (3 * math.sqrt(part) for part in (self.icc, 1 - self.icc))
        shift = common * draw.standard_normal(shape) + own / np.sqrt(size) * draw.standard_normal(shape)
        within = own**2 * draw.chisquare(size.sum(axis=1) - shape[1])
        return size * (self.mean + shift), size, within


class StrataWorld(msgspec.Struct, frozen=True):
    """Four strata of very different means, known before exposure."""

    name: str = "four strata, means 4 to 16"
    shares: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    means: tuple[float, ...] = (4.0, 8.0, 12.0, 16.0)
    sd: float = 3.0

    @property
    def mean(self) -> float:
        return float(np.dot(self.shares, self.means))

    @property
    def cv(self) -> float:
        """Of a unit's value over all strata."""
        between = np.dot(self.shares, np.square(self.means)) - self.mean**2
        return math.sqrt(between + self.sd**2) / self.mean

    def draw(self, draw: np.random.Generator, shape: Shape) -> tuple[Numbers, Codes]:
        """Values and strata, (runs, units)."""
        stratum = draw.choice(len(self.shares), size=shape, p=self.shares)
        return np.asarray(self.means)[stratum] + self.sd * draw.standard_normal(shape), stratum


def converted(rate: float) -> World:
    """Units that convert or don't."""
    return World(
        name=f"rate {rate:.1%}",
        mean=rate,
        cv=math.sqrt((1 - rate) / rate),
        skewness=(1 - 2 * rate) / math.sqrt(rate * (1 - rate)),
        draw=lambda draw, shape: ((draw.random(shape, dtype=np.float32) < rate).astype(np.float64),),
    )
