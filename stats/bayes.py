"""Bayesian readings: the posterior of an effect under a stated prior, and what to make of it.

A normal prior on the relative lift, with the estimate's own error as likelihood (as GrowthBook's gbstats;
Deng 2015, "Objective Bayesian two sample hypothesis testing for online controlled experiments"). `betas` has
the exact posterior of two proportions; both answer the same questions. Everything is elementwise; NaN is "not
defined". A prior is no protection against peeking.
"""

import math
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from scipy import special

from stats import inference
from stats.arrays import Real
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.inference import Interval
from stats.numerics import level, positive, quiet

_MILLS_BY_SERIES = 1e3  # from where on 1 - t M(t) is taken from its asymptotic series


class Prior(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A normal prior on the relative lift (0.1 = +10 %); with an infinite `sd` it is flat.

    Raises:
        StatsError: a mean that is not finite, or an sd that is not positive.
    """

    mean: float = 0.0
    sd: float = 0.3

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean) or not self.sd > 0:
            raise StatsError(
                f"a prior needs a finite mean and a positive sd (infinite: flat), not {self.mean}, {self.sd}"
            )


DEFAULT = Prior()
FLAT = Prior(0.0, math.inf)


class Losses(NamedTuple):
    """What is lost on average by choosing an arm where the other one is better."""

    variant: Real
    baseline: Real


class Rope(NamedTuple):
    """Probabilities that the effect lies below, in and above the region of practical equivalence."""

    below: Real
    within: Real
    above: Real


class Posterior(Protocol):
    """What is believed of an effect, variant minus baseline."""

    def below(self, value: Real) -> Real:
        """The probability that the effect is at most `value`."""

    def above(self, value: Real) -> Real:
        """The probability that the effect is larger than `value`."""

    def interval(self, alpha: float) -> Interval:
        """The central credible interval that holds 1 - alpha."""

    def losses(self) -> Losses:
        """Expected losses where more is better."""


class Normal(NamedTuple):
    """A normal posterior of an effect, or of an arm's mean."""

    mean: Real
    sd: Real

    @quiet
    def below(self, value: Real) -> Real:
        """The probability of at most `value`, from its own tail."""
        found: Real = special.ndtr(np.subtract(value, self.mean) / positive(self.sd))
        return found

    @quiet
    def above(self, value: Real) -> Real:
        """The probability of more than `value`, from its own tail."""
        found: Real = special.ndtr(np.subtract(self.mean, value) / positive(self.sd))
        return found

    def interval(self, alpha: float) -> Interval:
        """The central credible interval: mean -+ z sd."""
        half = -special.ndtri(level(alpha) / 2) * self.sd
        return Interval(self.mean - half, self.mean + half)

    @quiet
    def losses(self) -> Losses:
        """E[max(-effect, 0)] and E[max(effect, 0)]: s phi(t) - |m| Phi(-t) with t = |m|/s, and |m| more.

        The first is s phi(t) (1 - t M(t)) with Mills' ratio M, so that small losses keep their digits.
        """
        sd = positive(self.sd)
        t = np.abs(self.mean) / sd
        smaller = sd * np.exp(-t * t / 2) / math.sqrt(2 * math.pi) * _beyond_mills(t)
        return Losses(smaller + np.maximum(-self.mean, 0.0), smaller + np.maximum(self.mean, 0.0))


def _beyond_mills(t: Real) -> Real:
    """1 - t M(t), where M(t) = Phi(-t)/phi(t)."""
    near = np.minimum(t, _MILLS_BY_SERIES)
    far = 1 / np.square(np.maximum(t, _MILLS_BY_SERIES))
    by_ratio = 1 - near * math.sqrt(math.pi / 2) * special.erfcx(near / math.sqrt(2))
    return np.where(np.less(t, _MILLS_BY_SERIES), by_ratio, far * (1 - 3 * far))[()]


@quiet
def lift_posterior(contrast: Contrast, prior: Prior = DEFAULT) -> Normal:
    """Posterior of the relative lift, (variant - baseline) / |baseline|.

    The likelihood is normal with the delta method's variance, Var(variant - R baseline) / baseline^2 at the
    observed ratio R. NaN where the baseline is not told from 0 at 5 %: Fieller's set is then unbounded, and
    no normal law stands for the lift.
    """
    size = _told_from_zero(contrast)
    ratio = contrast.variant / np.copysign(size, contrast.baseline)
    return update(prior.mean, prior.sd, inference.lift(contrast), contrast.variance_against(ratio) / size**2)


@quiet
def difference_posterior(contrast: Contrast, prior: Prior = DEFAULT) -> Normal:
    """Posterior of variant - baseline, the prior on the lift rescaled by |baseline|.

    With the flat prior the probability of "not better" is the one-sided normal p-value. With another one NaN
    where the baseline is not told from 0 at 5 %: the prior has no scale then.
    """
    size = 1.0 if math.isinf(prior.sd) else _told_from_zero(contrast)
    return update(
        prior.mean * size, prior.sd * size, contrast.estimate, np.asarray(contrast.variance_against(1.0))
    )


def probability_better(posterior: Posterior, *, sign: int = 1) -> Real:
    """That the variant is better than the baseline; `sign` -1 where less is better."""
    return posterior.above(0.0) if sign > 0 else posterior.below(0.0)


def expected_losses(posterior: Posterior, *, sign: int = 1) -> Losses:
    """On average lost by choosing an arm, in the effect's unit; `sign` -1 where less is better."""
    more = posterior.losses()
    return more if sign > 0 else Losses(variant=more.baseline, baseline=more.variant)


def practical_equivalence(posterior: Posterior, lower: float, upper: float) -> Rope:
    """Shares of the posterior below, in and above a region that makes no practical difference.

    Kruschke 2018, "Rejecting or accepting parameter values in Bayesian estimation".

    Raises:
        StatsError: a region without width.
    """
    if not lower < upper:
        raise StatsError(f"a region of practical equivalence needs lower < upper, not {lower} and {upper}")
    below, above = posterior.below(lower), posterior.above(upper)
    return Rope(below, np.maximum(1 - below - above, 0.0), above)


@quiet
def update(prior_mean: Real, prior_sd: Real, estimate: Real, variance: Real) -> Normal:
    """Normal times normal, by the weight of the prior; nothing is known of an estimate without variance."""
    known = np.greater(variance, 0) & np.isfinite(variance) & np.isfinite(estimate)
    variance = np.where(known, variance, math.nan)
    against = variance / np.square(prior_sd)
    weight = against / (1 + against)
    mean = np.asarray(estimate) + weight * np.subtract(prior_mean, estimate)
    return Normal(mean[()], np.sqrt(variance / (1 + against))[()])


def _told_from_zero(contrast: Contrast) -> Real:
    """|baseline|; NaN where it is not significant at 5 %."""
    size, error = np.abs(contrast.baseline), np.sqrt(contrast.var_baseline)
    return np.where(size > -special.ndtri(0.025) * error, size, math.nan)
