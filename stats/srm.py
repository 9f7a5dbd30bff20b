"""Sample ratio mismatch: did the variants get the units that their weights make expect, and if not, where?

Pearson's chi-squared (Fabijan et al. 2019, "Diagnosing sample ratio mismatch in online controlled
experiments"); where an expected count is below 5, the exact multinomial test, ordered by probability. For
looks as often as one likes: a Bayes factor, whose inverse is a p-value at all looks at once (Lindon and Malek
2022, "Anytime-valid inference for multinomial count data").
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy import special

from stats.arrays import Numbers, Real
from stats.errors import StatsError
from stats.multiplicity import holm
from stats.references import p_value as p_of
from stats.results import Srm

FLAG_BELOW = 0.001
CONCENTRATION = (
    10_000.0  # of the prior, in units: about how many a mismatch must show in; as Optimizely's ssrm
)
_SMALL = 5  # expected units, below which chi-squared is no good approximation
_MOST_OUTCOMES = 2_000_000  # that the exact test goes through
_TIES = 1e-9  # relative; probabilities that differ by rounding only count as equal
_TINY = 1e-290  # below, a tail is computed as a logarithm
_LAST_DIGITS = 1e-15
_STIRLING_FROM = 16.0  # where three terms of Stirling's series have all digits

# Of aggregates that do not say how many units were randomised.
NOT_TESTED = Srm(observed={}, expected={}, chi2=None, df=0, p_value=None, method="none", failed=False)


def sample_ratio(counts: Mapping[str, int], weights: Mapping[str, float]) -> Srm:
    """Test the units per variant against the weights.

    `method` is `chi2`; `exact` where an expected count is below 5; `mixed` where outcomes are too many to go
    through: then arms that expect fewer than 5 and all others are tested among themselves and, exactly, one
    group against the other, and the smallest p-value counts as often as there are tests.

    Args:
        counts: units by variant; a variant without an entry has none.
        weights: by variant, in any unit; only variants with a positive weight are tested.

    Raises:
        StatsError: a negative or infinite weight, no positive one, or a negative count.
    """
    share = _shares(weights)
    observed = {variant: _count(counts, variant) for variant in share}
    total, df = sum(observed.values()), len(share) - 1
    expected = {variant: share[variant] * total for variant in share}
    if total == 0 or df == 0:
        return Srm(observed=observed, expected=expected, chi2=None, df=df, p_value=None, method="chi2",
                   failed=False)  # fmt: skip
    seen, shares = list(observed.values()), list(share.values())
    p_value, method = _p_value(seen, shares)
    return Srm(
        observed=observed,
        expected=expected,
        chi2=_chi2(seen, shares),
        df=df,
        p_value=p_value,
        method=method,
        failed=p_value < FLAG_BELOW,
    )


def sample_ratio_over(
    counts: Mapping[int, Mapping[str, int]], weights: Mapping[int, Mapping[str, float]]
) -> Srm:
    """The sample ratio over phases, each tested against the weights that were in force.

    Phases are independent, so their chi-squared statistics and degrees of freedom add up. One with an
    expected count below 5 does not enter the sum and is tested exactly; then the smallest p-value counts as
    often as there are tests, and `method` is `mixed`.

    Args:
        counts: by phase, units by variant, as they were first seen; before any are left out.
        weights: by phase.

    Raises:
        StatsError: as `sample_ratio`.
    """
    found = [sample_ratio(units, weights[phase]) for phase, units in counts.items() if any(units.values())]
    if len(found) < 2:  # noqa: PLR2004 - a sum
        return found[0] if found else sample_ratio({}, weights[max(weights)])
    variants = dict.fromkeys(variant for one in found for variant in one.observed)
    large = [one for one in found if one.method == "chi2" and one.chi2 is not None]
    chi2, df = math.fsum(one.chi2 or 0.0 for one in large), sum(one.df for one in large)
    tests = [float(special.gammaincc(df / 2, chi2 / 2))] if df else []
    tests += [one.p_value for one in found if one not in large and one.p_value is not None]
    p_value = min(1.0, len(tests) * min(tests)) if tests else None
    return Srm(
        observed={variant: sum(one.observed.get(variant, 0) for one in found) for variant in variants},
        expected={
            variant: math.fsum(one.expected.get(variant, 0.0) for one in found) for variant in variants
        },
        chi2=chi2 if large else None,
        df=df,
        p_value=p_value,
        method="chi2" if len(large) == len(found) else "mixed",
        failed=p_value is not None and p_value < FLAG_BELOW,
    )


def chi2_log10_p(chi2: Real, df: Real) -> Real:
    """Base-10 logarithm of P(chi-squared >= chi2), also where that is smaller than any double."""
    chi2, df = np.broadcast_arrays(np.asarray(chi2, dtype=np.float64), np.asarray(df, dtype=np.float64))
    tail = special.gammaincc(df / 2, chi2 / 2)
    tiny = tail <= _TINY
    found = np.array(np.log(np.where(tiny, 1.0, tail)))
    if tiny.any():
        pairs = zip(df[tiny], chi2[tiny], strict=True)
        found[tiny] = [_log_gamma_tail(float(a) / 2, float(x) / 2) for a, x in pairs]
    logarithm: Real = (found / math.log(10))[()]
    return logarithm


class Look(NamedTuple):
    """The always-valid test after one look; NaN before there is a unit."""

    log_bayes_factor: float  # for a mismatch, natural logarithm
    p_value: float  # the smallest so far: P(ever below alpha) <= alpha when there is no mismatch
    log10_p: float


def always_valid(
    counts: Sequence[Mapping[str, int]], weights: Mapping[str, float], *, concentration: float = CONCENTRATION
) -> tuple[Look, ...]:
    """Test the units per variant at every look, as often as one likes.

    Lindon and Malek 2022, section 3: the likelihood of the counts under a Dirichlet prior around the weights,
    over their likelihood under the weights themselves; p = 1 / the largest ratio so far.

    Args:
        counts: units by variant up to each look, so that none ever falls.
        weights: by variant, in any unit; only variants with a positive weight are tested.
        concentration: how closely the prior keeps to the weights, in units; larger finds smaller mismatches,
            but later.

    Raises:
        StatsError: weights as for `sample_ratio`, a count that is negative or falls, or no concentration.
    """
    if not 0 < concentration < math.inf:
        raise StatsError(f"the prior's concentration must be positive, not {concentration}")
    share = _shares(weights)
    seen = np.array([[_count(look, variant) for variant in share] for look in counts], dtype=np.float64)
    if not len(seen):
        return ()
    if (np.diff(seen, axis=0) < 0).any():
        raise StatsError("counts are of all units up to each look, so that none can fall")
    logs = _log_bayes_factors(seen, np.array(list(share.values())), concentration)
    # Before the first unit nothing is known; the factor is 1 there, so that it changes no later p-value.
    smallest = np.minimum.accumulate(np.minimum(-logs, 0.0)) / math.log(10)
    empty = seen.sum(axis=1) == 0
    return tuple(
        Look(math.nan, math.nan, math.nan) if none else Look(float(log), float(p_of(p)), float(p))
        for none, log, p in zip(empty, logs, smallest, strict=True)
    )


def always_valid_over(
    steps: Sequence[tuple[Mapping[str, int], int]], weights: Mapping[int, Mapping[str, float]]
) -> tuple[Look, ...]:
    """The same over phases with different weights: a look after every step.

    Given its phase, each unit's variant is independent of all others, so the phases' factors multiply: their
    product is again a martingale when there is no mismatch.

    Args:
        steps: units by variant that were new, and their phase, in order of time.
        weights: by phase.

    Raises:
        StatsError: as `always_valid`.
    """
    logs: list[float] = []
    totals: dict[int, Mapping[str, int]] = {}
    factors: dict[int, float] = {}
    for units, phase in steps:
        before = totals.get(phase, {})
        totals[phase] = {
            name: before.get(name, 0) + units.get(name, 0) for name in dict.fromkeys([*before, *units])
        }
        look = always_valid([totals[phase]], weights[phase])[0]
        factors[phase] = 0.0 if math.isnan(look.log_bayes_factor) else look.log_bayes_factor
        logs.append(math.fsum(factors.values()))
    smallest = np.minimum.accumulate(np.minimum(-np.array(logs), 0.0)) / math.log(10)
    return tuple(Look(log, float(p_of(p)), float(p)) for log, p in zip(logs, smallest, strict=True))


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One day or segment, and its part in a mismatch."""

    name: str
    srm: Srm
    log10_p: float | None
    p_adjusted: float | None  # Holm, over all places
    share: float | None  # of the chi-squared summed over places
    carries: bool  # whether it is a mismatch of its own: adjusted p below the flag level


class Breakdown(msgspec.Struct, frozen=True, kw_only=True):
    """A sample ratio by day, segment or phase: where a mismatch comes from."""

    places: tuple[Place, ...]
    chi2: float  # summed over the places that are large enough for it, as are the degrees of freedom
    df: int
    p_value: float | None
    log10_p: float | None
    overall: Srm  # all places together
    rest: Srm  # without those that carry a mismatch
    cause: str  # in words

    @property
    def carriers(self) -> tuple[str, ...]:
        """The places that carry a mismatch, the largest share first."""
        found = [place for place in self.places if place.carries]
        return tuple(place.name for place in sorted(found, key=lambda place: -(place.share or 0.0)))


def sample_ratio_by(
    dimension: str,
    counts: Mapping[str, Mapping[str, int]],
    weights: Mapping[str, float],
    *,
    own_weights: Mapping[str, Mapping[str, float]] | None = None,
) -> Breakdown:
    """Test the sample ratio place by place, and say which places carry a mismatch.

    Places are independent, so their chi-squared statistics and degrees of freedom add up; that is also how
    phases with different weights are tested together. Places that expect fewer than 5 units in an arm are
    tested exactly, and do not add to that sum.

    Args:
        dimension: what the places are: "day", "device", "phase".
        counts: by place, units by variant.
        weights: by variant, for every place without its own.
        own_weights: by place.

    Raises:
        StatsError: as `sample_ratio`.
    """
    in_force = {name: (own_weights or {}).get(name, weights) for name in counts}
    found = {name: sample_ratio(counts[name], in_force[name]) for name in counts}
    large = [(srm.chi2, srm.df) for srm in found.values() if srm.chi2 is not None and srm.method == "chi2"]
    chi2, df = math.fsum(each for each, _ in large), sum(each for _, each in large)
    whole = math.fsum(srm.chi2 or 0.0 for srm in found.values())
    adjusted = holm([math.nan if srm.p_value is None else srm.p_value for srm in found.values()])
    places = tuple(
        Place(
            name=name,
            srm=srm,
            log10_p=_log10_p(srm),
            p_adjusted=None if math.isnan(p) else p,
            share=None if srm.chi2 is None else (srm.chi2 / whole if whole > 0 else 0.0),
            carries=p < FLAG_BELOW,
        )
        for (name, srm), p in zip(found.items(), adjusted, strict=True)
    )
    overall = _together([place.srm for place in places], weights)
    rest = _together([place.srm for place in places if not place.carries], weights)
    return Breakdown(
        places=places,
        chi2=chi2,
        df=df,
        p_value=float(special.gammaincc(df / 2, chi2 / 2)) if df else None,
        log10_p=float(chi2_log10_p(chi2, df)) if df else None,
        overall=overall,
        rest=rest,
        cause=_cause(dimension, places, overall, rest),
    )


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """The part of all units that each variant with a positive weight should get."""
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()):
        raise StatsError(f"weights must be finite and not negative, not {dict(weights)}")
    arms = {variant: weight for variant, weight in weights.items() if weight > 0}
    if not arms:
        raise StatsError("at least one weight must be positive")
    total = math.fsum(arms.values())
    return {variant: weight / total for variant, weight in arms.items()}


def _count(counts: Mapping[str, int], variant: str) -> int:
    count = counts.get(variant, 0)
    if not count >= 0 or math.isinf(count):
        raise StatsError(f'variant "{variant}" can\'t have {count} units')
    return count


def _chi2(observed: Sequence[int], shares: Sequence[float]) -> float:
    total = sum(observed)
    return math.fsum((o - s * total) ** 2 / (s * total) for o, s in zip(observed, shares, strict=True))


def _p_value(observed: Sequence[int], shares: Sequence[float]) -> tuple[float, str]:
    """The p-value of at least one unit in at least two arms, and how it was found."""
    total, df = sum(observed), len(shares) - 1
    few = [share * total < _SMALL for share in shares]
    if not any(few):
        return float(special.gammaincc(df / 2, _chi2(observed, shares) / 2)), "chi2"
    if df == 1:
        from scipy.stats import binomtest

        return float(binomtest(observed[0], total, shares[0]).pvalue), "exact"
    if math.comb(total + df, df) <= _MOST_OUTCOMES:
        return _exact(observed, shares), "exact"
    if all(few):
        return float(special.gammaincc(df / 2, _chi2(observed, shares) / 2)), "chi2"
    return _mixed(observed, shares, few), "mixed"


def _log10_p(srm: Srm) -> float | None:
    if srm.chi2 is None or srm.p_value is None:
        return None
    return float(chi2_log10_p(srm.chi2, srm.df)) if srm.method == "chi2" else math.log10(srm.p_value)


def _mixed(observed: Sequence[int], shares: Sequence[float], few: Sequence[bool]) -> float:
    """Arms of few units, all other arms, and one group against the other: three tests, the smallest p."""
    groups = [[i for i, small in enumerate(few) if small == which] for which in (True, False)]
    units = [sum(observed[i] for i in group) for group in groups]
    parts = [math.fsum(shares[i] for i in group) for group in groups]
    tests = [_p_value(units, parts)[0]]
    tests += [
        _p_value([observed[i] for i in group], [shares[i] / part for i in group])[0]
        for group, part, seen in zip(groups, parts, units, strict=True)
        if len(group) > 1 and seen > 0
    ]
    return min(1.0, len(tests) * min(tests))


def _exact(observed: Sequence[int], shares: Sequence[float]) -> float:
    """Probability of all outcomes that are no more probable than the observed one."""
    total = sum(observed)
    outcomes = np.zeros((1, 0), dtype=np.int64)
    left = np.array([total])
    for _ in shares[:-1]:  # every way to fill one more arm from what is left
        repeats = left + 1
        starts = np.repeat(np.cumsum(repeats) - repeats, repeats)
        chosen = np.arange(repeats.sum()) - starts
        outcomes = np.column_stack([np.repeat(outcomes, repeats, axis=0), chosen])
        left = np.repeat(left, repeats) - chosen
    outcomes = np.column_stack([outcomes, left])
    log = special.gammaln(total + 1) + (
        special.xlogy(outcomes, np.array(shares)) - special.gammaln(outcomes + 1)
    ).sum(axis=1)
    seen = special.gammaln(total + 1) + float(
        (special.xlogy(observed, shares) - special.gammaln(np.array(observed) + 1)).sum()
    )
    return min(1.0, math.fsum(np.exp(log[log <= seen + _TIES])))


def _log_gamma_tail(a: float, x: float) -> float:
    """The logarithm of Q(a, x) far out, by the continued fraction DLMF 8.9.2, with Lentz's method."""
    below = x + 1 - a
    c, d = 1e300, 1 / below
    value = d
    for step in range(1, 10_000):
        term = -step * (step - a)
        below += 2
        d = 1 / (term * d + below)
        c = below + term / c
        value *= c * d
        if abs(c * d - 1) < _LAST_DIGITS:
            break
    return a * math.log(x) - x - math.lgamma(a) + math.log(value)


def _log_bayes_factors(seen: Numbers, shares: Numbers, concentration: float) -> Numbers:
    """Logarithm of the Dirichlet-multinomial over the multinomial probability, per row of counts.

    Gamma functions of 10^12 units have four digits after the point at best, so they are written by Stirling's
    formula, where what is large cancels: with x = a + n, X their sum and u = x / (X share) - 1,
    X sum share ((1 + u) log(1 + u) - u) is left, and terms of the size of log X.
    """
    prior = concentration * shares
    x, whole = prior + seen, concentration + seen.sum(axis=1)
    u = (seen - seen.sum(axis=1, keepdims=True) * shares) / (whole[:, None] * shares)
    # x is never 0, so u is above -1.
    far = whole * (shares * ((1 + u) * np.log1p(u) - u)).sum(axis=1)
    near = np.log1p(u).sum(axis=1) / 2 + (len(shares) - 1) / 2 * np.log(whole / (2 * math.pi))
    known = special.gammaln(concentration) + ((prior - 0.5) * np.log(shares) - special.gammaln(prior)).sum()
    found: Numbers = far - near + known + _stirling_rest(x).sum(axis=1) - _stirling_rest(whole)
    return found


def _stirling_rest(x: Numbers) -> Numbers:
    """What log Gamma(x) has beyond (x - 1/2) log x - x + log(2 pi) / 2."""
    large = np.maximum(x, _STIRLING_FROM)
    series = 1 / (12 * large) - 1 / (360 * large**3) + 1 / (1260 * large**5)
    small = np.minimum(x, _STIRLING_FROM)
    direct = special.gammaln(small) - (small - 0.5) * np.log(small) + small - math.log(2 * math.pi) / 2
    return np.where(x >= _STIRLING_FROM, series, direct)


def _together(parts: Sequence[Srm], weights: Mapping[str, float]) -> Srm:
    """All units of several places, against the sum of what each expects."""
    variants = dict.fromkeys([*weights, *(variant for part in parts for variant in part.observed)])
    counts = {variant: sum(part.observed.get(variant, 0) for part in parts) for variant in variants}
    expected = {variant: math.fsum(part.expected.get(variant, 0.0) for part in parts) for variant in variants}
    return sample_ratio(counts, expected if any(expected.values()) else weights)


def _cause(dimension: str, places: Sequence[Place], overall: Srm, rest: Srm) -> str:
    carriers = sorted((place for place in places if place.carries), key=lambda place: -(place.share or 0.0))
    if not carriers:
        if overall.failed:
            return (
                f"the mismatch is spread over every {dimension}, and none stands apart: look for it where "
                "all units are assigned or counted"
            )
        return f"no {dimension} has a mismatch"
    named = "; ".join(_said(dimension, place) for place in carriers)
    if rest.p_value is None:
        return f"{named}; there are no other units"
    left = "has a mismatch too" if rest.failed else "is split as planned"
    return f"{named}; everything else {left} (p = {rest.p_value:.2g})"


def _said(dimension: str, place: Place) -> str:
    srm = place.srm
    off = max(srm.observed, key=lambda variant: _surprise(srm, variant))
    return (
        f"{dimension} {place.name} carries {place.share or 0.0:.0%} of chi-squared: {off} has "
        f"{srm.observed[off]:,} of {sum(srm.observed.values()):,} units, {srm.expected[off]:,.0f} expected"
    )


def _surprise(srm: Srm, variant: str) -> float:
    return (srm.observed[variant] - srm.expected[variant]) ** 2 / srm.expected[variant]
