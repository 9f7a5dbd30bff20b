"""Post-stratification: the difference within strata, weighted by the strata's shares of all units.

Miratrix, Sekhon, Yu 2013, "Adjusting treatment effect estimates by post-stratification in randomized
experiments": with w_k the share of stratum k in both arms together, d = sum_k w_k d_k. Its variance is
sum_k w_k^2 Var_k and, since the shares are an estimate of the population's, that of the multinomial shares
around them: sum_k w_k (d_k - d)^2 / N. Strata must be known before exposure.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from stats import contrasts
from stats.arrays import Numbers
from stats.contrasts import Contrast, reduction, satterthwaite
from stats.errors import StatsError
from stats.moments import Moments
from stats.numerics import remainder

Kind = Literal["proportion", "mean", "ratio"]
Stratum = tuple[Moments, Moments]  # variant, baseline

_LEAST_UNITS = 2  # per arm, that a stratum's variance needs

_PLAIN = {
    "proportion": contrasts.difference_of_proportions,
    "mean": contrasts.difference_of_means,
    "ratio": contrasts.difference_of_ratios,
}


class PostStratified(msgspec.Struct, frozen=True):
    """The difference over strata, and which strata were compared together."""

    contrast: Contrast
    groups: tuple[tuple[int, ...], ...]  # places in the strata as given; more than one: merged
    notes: tuple[str, ...] = ()  # strata_merged | not_stratified


def post_stratified(strata: Sequence[Stratum], *, kind: Kind) -> PostStratified:
    """Compare two arms within strata.

    Strata with fewer than two units in an arm are merged into one, with the smallest other strata added until
    it has two in each; by counts only, so no outcome decides. One stratum that is left is the plain
    difference (`not_stratified`).

    Args:
        strata: variant and baseline of each; columns are the measure, for a ratio numerator and denominator.
        kind: what the columns are; a proportion's variance is p(1 - p).

    Raises:
        StatsError: no strata.
    """
    if not strata:
        raise StatsError("post-stratification needs at least one stratum")
    groups = _merged([(variant.n, baseline.n) for variant, baseline in strata])
    notes = ("strata_merged",) if any(len(group) > 1 for group in groups) else ()
    plain = _PLAIN[kind](*_pooled(strata))
    if len(groups) < 2:  # noqa: PLR2004 - one stratum is none
        return PostStratified(plain, groups, (*notes, "not_stratified"))
    found = _stratified([_pooled([strata[place] for place in group]) for group in groups], kind)
    gone = reduction(found.variance_against(1.0), plain.variance_against(1.0))
    return PostStratified(msgspec.structs.replace(found, variance_reduction=gone), groups, notes)


def _merged(counts: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Places of strata that are compared together; those without units are in no group."""
    small = [place for place, arms in enumerate(counts) if min(arms) < _LEAST_UNITS and any(arms)]
    others = sorted((sum(arms), place) for place, arms in enumerate(counts) if min(arms) >= _LEAST_UNITS)
    while small and others and not _enough([counts[place] for place in small]):
        small.append(others.pop(0)[1])
    groups = [(place,) for _, place in others] + ([tuple(sorted(small))] if small else [])
    return tuple(sorted(groups))


def _enough(counts: Sequence[tuple[int, int]]) -> bool:
    """Whether strata have units enough in both arms, when they are taken together."""
    return all(sum(arm) >= _LEAST_UNITS for arm in zip(*counts, strict=True))


def _pooled(strata: Sequence[Stratum]) -> Stratum:
    variant, baseline = strata[0]
    for more in strata[1:]:
        variant, baseline = variant.merge(more[0]), baseline.merge(more[1])
    return variant, baseline


def _stratified(cells: Sequence[Stratum], kind: Kind) -> Contrast:
    """Both arms' weighted means with their joint covariance matrix; for a ratio, the delta method on it."""
    width = 2 if kind == "ratio" else 1
    n = np.array([[arm.n for arm in cell] for cell in cells], dtype=np.float64)
    share = n.sum(axis=1) / n.sum()
    means = np.array([[arm.mean[:width] for arm in cell] for cell in cells])  # strata, arms, columns
    units = np.array([[_unit(arm, kind) for arm in cell] for cell in cells])  # and columns again
    total = np.einsum("k,kac->ac", share, means)
    apart = means - total
    between = np.einsum("k,kac,kbd->acbd", share, apart, apart) / n.sum()
    within = units * (np.square(share)[:, None] / n)[..., None, None]
    estimates, slopes = _ratios(total) if kind == "ratio" else (total[:, 0], np.ones_like(total))
    joint = np.einsum("ac,acbd,bd->ab", slopes, between, slopes)
    size = np.einsum("ac,kacc,ac->ka", slopes, within, slopes)
    own = np.asarray(remainder(np.einsum("ac,kacd,ad->ka", slopes, within, slopes), size))  # stratum, arm
    variances = own.sum(axis=0) + np.diag(joint)
    df = [(float(part), float(units - 1)) for part, units in zip(own.ravel(), n.ravel(), strict=True)]
    return Contrast(
        method="post_stratified",
        variant=float(estimates[0]),
        baseline=float(estimates[1]),
        var_variant=float(variances[0]),
        var_baseline=float(variances[1]),
        covariance=float(joint[0, 1]),
        df=math.inf if kind == "proportion" else satterthwaite(*df),
    )


def _unit(arm: Moments, kind: Kind) -> Numbers:
    """The covariance matrix of one unit."""
    if kind == "proportion":
        return np.array([[arm.mean[0] * (1 - arm.mean[0])]])
    width = 2 if kind == "ratio" else 1
    return np.array([row[:width] for row in arm.cov[:width]])


def _ratios(total: Numbers) -> tuple[Numbers, Numbers]:
    """Per arm, the ratio of its columns' means and the ratio's derivatives by them."""
    bottom = np.where(total[:, 1] == 0, math.nan, total[:, 1])
    ratio = total[:, 0] / bottom
    return ratio, np.column_stack([1 / bottom, -ratio / bottom])
