"""Two proportions under beta priors: their posterior difference, exact for any counts.

Successes are binomial, so the posterior of a proportion is beta(prior + successes, prior + failures). What is
asked of the difference is one integral over the variant's proportion, by Gauss-Legendre and never by drawing.
It runs over logits, where beta densities are smooth and log-concave, in panels that end where a density does.
"""

import math
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import special

from stats.arrays import Numbers, Real
from stats.bayes import Losses
from stats.errors import StatsError
from stats.inference import Interval
from stats.numerics import level, panels, quiet

_NODES = 256  # per panel: logits of small counts have long tails
_DROP = 37.0  # a density is left out where it is below e^-37 (1e-16) of its peak
_WIDEST = 200.0  # in logits, from a density's peak to where it is left out at the latest
_STEPS = 60  # at most, to the end of a window; about 20 at 10^12 units
_NEAR = 0.01  # of a window's half, as near to its end as it needs to be
_CLOSE = 1e-15


class BetaPrior(msgspec.Struct, frozen=True):
    """A beta prior on a proportion: successes and failures seen before; (1, 1) is uniform.

    Raises:
        StatsError: parameters below 0.5 (Jeffreys' prior, the flattest that is integrated) or not finite.
    """

    successes: float = 1.0
    failures: float = 1.0

    def __post_init__(self) -> None:
        both = (self.successes, self.failures)
        if not all(math.isfinite(one) and one >= 0.5 for one in both):  # noqa: PLR2004 - Jeffreys
            raise StatsError(f"a beta prior needs two finite parameters of at least 0.5, not {both}")


UNIFORM = BetaPrior()


class TwoBetas(NamedTuple):
    """Posterior of two proportions; the effect is variant - baseline.

    The parameters of the two beta laws: successes and failures, plus those of the prior. Integrals run over
    logits, where beta densities are smooth and log-concave, in panels that end where a density does.
    """

    variant_successes: Real
    variant_failures: Real
    baseline_successes: Real
    baseline_failures: Real

    @quiet
    def below(self, value: Real) -> Real:
        """P(variant - baseline <= value), from its own tail."""
        return _Pair.of(self).below(value)[()]

    @quiet
    def above(self, value: Real) -> Real:
        """P(variant - baseline > value), from its own tail."""
        return _Pair.of(self).above(value)[()]

    @quiet
    def interval(self, alpha: float) -> Interval:
        """The central credible interval; iterative, one pair after the other."""
        tail = level(alpha) / 2
        shape = np.broadcast(*self).shape
        pairs = [TwoBetas(*one) for one in np.array(np.broadcast_arrays(*self)).reshape(4, -1).T]
        bounds = np.array([_bounds(pair, tail) for pair in pairs]).reshape(*shape, 2)
        return Interval(bounds[..., 0][()], bounds[..., 1][()])

    @quiet
    def losses(self) -> Losses:
        """The integrals over p of P(variant <= p < baseline) and of P(baseline <= p < variant)."""
        pair = _Pair.of(self)
        v, b = pair.v, pair.b
        x, weight = panels(pair.v_window, pair.b_window, nodes=_NODES)
        weight = weight * special.expit(x) * special.expit(-x)
        variant, baseline = (weight * v.below(x) * b.above(x)), (weight * b.below(x) * v.above(x))
        return Losses(variant.sum(axis=-1)[()], baseline.sum(axis=-1)[()])


def beta_posterior(
    variant_successes: Real,
    variant_units: Real,
    baseline_successes: Real,
    baseline_units: Real,
    prior: BetaPrior = UNIFORM,
) -> TwoBetas:
    """Two proportions under one beta prior each; NaN where successes do not lie between 0 and the units."""
    found: list[Real] = []
    for successes, units in ((variant_successes, variant_units), (baseline_successes, baseline_units)):
        ok = np.greater_equal(successes, 0) & np.less_equal(successes, units) & np.isfinite(units)
        hits = np.where(ok, successes, math.nan)
        found += [(hits + prior.successes)[()], (units - hits + prior.failures)[()]]
    return TwoBetas(*found)


def _bounds(betas: TwoBetas, tail: float) -> tuple[float, float]:
    """Where the tails of one pair hold `tail` each."""
    from scipy.optimize import brentq

    if not all(math.isfinite(one) for one in betas):
        return math.nan, math.nan
    pair = _Pair.of(betas)
    lower = brentq(lambda d: float(pair.below(d)) - tail, -1, 1, xtol=_CLOSE, rtol=_CLOSE)
    upper = brentq(lambda d: tail - float(pair.above(d)), -1, 1, xtol=_CLOSE, rtol=_CLOSE)
    return lower, upper


class _Pair(NamedTuple):
    """The two laws with their windows; arrays have a last axis for the nodes."""

    v: "_Beta"
    b: "_Beta"
    v_window: Numbers
    b_window: Numbers

    @classmethod
    def of(cls, betas: TwoBetas) -> "_Pair":
        parameters = np.array(np.broadcast_arrays(*betas), dtype=np.float64)[..., None]
        v, b = _Beta(*parameters[:2]), _Beta(*parameters[2:])
        return cls(v, b, v.window(), b.window())

    def below(self, value: Real) -> Numbers:
        at, density = self._at(value)
        found: Numbers = np.minimum((density * self.b.above(at)).sum(axis=-1), 1.0)
        return found

    def above(self, value: Real) -> Numbers:
        at, density = self._at(value)
        found: Numbers = np.minimum((density * self.b.below(at)).sum(axis=-1), 1.0)
        return found

    def _at(self, value: Real) -> tuple[Numbers, Numbers]:
        """Nodes: the logit of p - value, and the probability of p under the variant."""
        shift = np.asarray(value, dtype=np.float64)[..., None]
        edges = np.clip(_shifted(self.b_window, -shift), -_WIDEST, _WIDEST)
        x, weight = panels(self.v_window, edges, nodes=_NODES)
        density = weight * np.exp(self.v.log_density(x))
        return _shifted(x, shift), density / density.sum(axis=-1, keepdims=True)


class _Beta(NamedTuple):
    """A beta law on the scale of logits."""

    a: Numbers
    b: Numbers

    def log_density(self, x: Numbers) -> Numbers:
        """Of the logit, 0 at its peak log(a/b); written so that no large numbers are subtracted."""
        a, b, apart = self.a, self.b, x - np.log(self.a / self.b)
        whole = a + b
        rare = a * apart - whole * np.log1p(a / whole * np.expm1(apart))
        frequent = -b * apart - whole * np.log1p(b / whole * np.expm1(-apart))
        return np.where(a < b, rare, frequent)

    def below(self, x: Numbers) -> Numbers:
        return _by_side(x, special.betainc, special.betaincc, self)

    def above(self, x: Numbers) -> Numbers:
        return _by_side(x, special.betaincc, special.betainc, self)

    def window(self) -> Numbers:
        """The two logits between which the density is not negligible, on the last axis.

        Newton's steps from outside: as the log-density is concave they never go too far, and where they are
        left off the window is a little wide.
        """
        peak = np.log(self.a / self.b)
        ends: Numbers = peak + np.array([-_WIDEST, _WIDEST])
        for _ in range(_STEPS):
            slope = self.a - (self.a + self.b) * special.expit(ends)
            step = (self.log_density(ends) + _DROP) / slope
            ends = ends - step
            if not (np.abs(step) > _NEAR * np.abs(ends - peak)).any():
                break
        return ends


def _by_side(x: Numbers, left: np.ufunc, right: np.ufunc, law: _Beta) -> Numbers:
    """A tail at logits: from p below the middle, from 1 - p above it; each is slow where it is not needed."""
    found = np.full(np.broadcast_shapes(x.shape, law.a.shape), math.nan)
    left(law.a, law.b, special.expit(x), out=found, where=x < 0)
    right(law.b, law.a, special.expit(-x), out=found, where=x >= 0)
    return found


def _shifted(x: Numbers, shift: Numbers) -> Numbers:
    """logit(p - shift) where p = expit(x), from the smaller of p and 1 - p; infinite outside (0, 1)."""
    low = special.logit(np.clip(special.expit(x) - shift, 0.0, 1.0))
    high = -special.logit(np.clip(special.expit(-x) + shift, 0.0, 1.0))
    return np.where(shift == 0, x, np.where(np.isfinite(low) & (low < 0), low, high))
