"""Many questions at once: adjusted p-values over families, and intervals and levels that agree with them.

Two-sided, Holm's procedure has Bonferroni's simultaneous intervals, at level alpha / m; one-sided, those of
Strassburger and Bretz. Benjamini and Hochberg's has intervals for what it selects only. The p-value of a test
that is not defined, NaN, stays so and counts in no family.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from stats.arrays import Numbers
from stats.errors import StatsError

K = TypeVar("K", bound=Hashable)
Procedure = Callable[[Sequence[float]], list[float]]

SUCCESS = frozenset({"primary", "secondary"})
ROLES = SUCCESS | {"guardrail", "quality"}


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: running maximum of (m - rank) x p, at most 1.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the family-wise error under any
    dependence.
    """
    return _adjusted(p_values, lambda m: m - np.arange(float(m)), _running_maximum)


def hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: running minimum, from the largest down, of (m - rank) x p.

    Hochberg 1988, "A sharper Bonferroni procedure for multiple tests of significance": the family-wise error
    where tests are independent or positively dependent.
    """
    return _adjusted(p_values, lambda m: m - np.arange(float(m)), _running_minimum)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: running minimum, from the largest down, of m / rank x p.

    Benjamini and Hochberg 1995, "Controlling the false discovery rate": the expected share of errors among
    rejections, where tests are independent or positively dependent.
    """
    return _adjusted(p_values, lambda m: m / np.arange(1, m + 1), _running_minimum)


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's, times 1 + 1/2 + … + 1/m: under any dependence.

    Benjamini and Yekutieli 2001, "The control of the false discovery rate in multiple testing under
    dependency", theorem 1.3.
    """
    return _adjusted(
        p_values,
        lambda m: m / np.arange(1, m + 1) * math.fsum(1 / rank for rank in range(1, m + 1)),
        _running_minimum,
    )


PROCEDURES: Mapping[str, Procedure] = {
    "holm": holm,
    "hochberg": hochberg,
    "benjamini_hochberg": benjamini_hochberg,
    "benjamini_yekutieli": benjamini_yekutieli,
}


class Adjusted(NamedTuple):
    """A p-value within its family."""

    p_adjusted: float
    family: str  # "success (4)": the name, and how many are in it
    size: int


def by_family(
    p_values: Mapping[K, float], families: Mapping[K, str], procedure: Procedure = holm
) -> dict[K, Adjusted]:
    """Every p-value adjusted within its own family.

    Args:
        p_values: by whatever names a comparison (metric, variant, segment).
        families: the family of each, as stated beforehand; one without an entry belongs to none.
        procedure: how each family is adjusted.
    """
    members: dict[str, list[K]] = {}
    for key in p_values:
        if key in families:
            members.setdefault(families[key], []).append(key)
    found: dict[K, Adjusted] = {}
    for name, keys in members.items():
        size = sum(not math.isnan(p_values[key]) for key in keys)
        adjusted = procedure([p_values[key] for key in keys])
        found |= {key: Adjusted(p, f"{name} ({size})", size) for key, p in zip(keys, adjusted, strict=True)}
    return found


def fcr_alphas(p_values: Sequence[float], q: float) -> list[float]:
    """Levels of intervals for what Benjamini and Hochberg's procedure selects at q; NaN for all else.

    Benjamini and Yekutieli 2005, "False discovery rate-adjusted multiple confidence intervals for selected
    parameters", definition 1: with R of m selected each at 1 - R q / m, the expected share of intervals that
    miss is at most q. They leave out what the tests reject.

    Raises:
        StatsError: q is not between 0 and 1, or a p-value is not one.
    """
    _check_level("q", q)
    selected = [p <= q for p in benjamini_hochberg(p_values)]
    m = sum(not math.isnan(p) for p in p_values)
    return [sum(selected) * q / m if chosen else math.nan for chosen in selected]


def holm_lower_bounds(
    p_values: Sequence[float], alpha: float, bound: Callable[[int, float], float], *, null: float = 0.0
) -> list[float]:
    """Simultaneous one-sided lower bounds that agree with Holm's procedure.

    Strassburger and Bretz 2008, "Compatible simultaneous lower confidence bounds for the Holm procedure and
    other Bonferroni-based closed tests", section 3 (and Guilbaud 2008). What is rejected is larger than the
    null value, which is its bound; what is not is bounded at level alpha / (how many are not). Where all are
    rejected each bound is at alpha / m, or the null value if that is larger.

    Args:
        p_values: one-sided, against "larger than null".
        alpha: of the whole family.
        bound: the lower bound of one hypothesis alone, by its place and a one-sided level; it exceeds the
            null value exactly when the p-value is below the level.
        null: the value that is tested.

    Raises:
        StatsError: alpha is not between 0 and 1, or a p-value is not one.
    """
    _check_level("alpha", alpha)
    adjusted = holm(p_values)
    left = sum(p > alpha for p in adjusted)
    m = sum(not math.isnan(p) for p in adjusted)

    def lower(place: int, p: float) -> float:
        if math.isnan(p):
            return math.nan
        if left == 0:
            return max(null, bound(place, alpha / m))
        return null if p <= alpha else bound(place, alpha / left)

    return [lower(place, p) for place, p in enumerate(adjusted)]


class Levels(msgspec.Struct, frozen=True):
    """What each metric's test may err by so that the decision errs by alpha and beta."""

    alpha: dict[str, float]  # by metric
    beta: float  # of every single test, in the design


def role_levels(roles: Mapping[str, str], *, alpha: float, beta: float, comparisons: int = 1) -> Levels:
    """Levels for "ship if a success metric is better and no guardrail is worse than its margin".

    Schultzberg, Ankargren, Franberg 2024, "Risk-aware product decisions in A/B tests with multiple metrics"
    (arXiv 2402.11609): a false success needs one success metric to err, so alpha is split over these; it also
    needs every guardrail to pass, so guardrails stay at alpha. A missed success needs one metric to fail, so
    beta is split over the guardrails and the success that is planned for. Quality metrics are read at alpha.

    Args:
        roles: by metric: primary, secondary, guardrail or quality.
        alpha: of the decision.
        beta: of the decision.
        comparisons: pairs of variants that each success metric is compared in.

    Raises:
        StatsError: an unknown role, a level that is not between 0 and 1, or no comparison.
    """
    _check_level("alpha", alpha)
    _check_level("beta", beta)
    if unknown := set(roles.values()) - ROLES:
        raise StatsError(f"roles are {', '.join(sorted(ROLES))}; not {', '.join(sorted(unknown))}")
    if comparisons < 1:
        raise StatsError(f"comparisons must be at least 1, not {comparisons}")
    successes = sum(role in SUCCESS for role in roles.values())
    guardrails = sum(role == "guardrail" for role in roles.values())
    return Levels(
        alpha={
            metric: alpha / (successes * comparisons) if role in SUCCESS else alpha
            for metric, role in roles.items()
        },
        beta=beta / max(1, guardrails + (successes > 0)),
    )


def preferred_levels(
    roles: Mapping[str, str], *, alpha: float, share: float, comparisons: int = 1
) -> dict[str, float]:
    """Bonferroni with a preference: primary metrics divide a share of alpha, all others the rest.

    As Statsig has it, and Eppo with one primary metric. Without a metric on one side the other has all.

    Raises:
        StatsError: a level or share that is not between 0 and 1, or no comparison.
    """
    _check_level("alpha", alpha)
    _check_level("share", share)
    if comparisons < 1:
        raise StatsError(f"comparisons must be at least 1, not {comparisons}")
    primaries = sum(role == "primary" for role in roles.values())
    others = len(roles) - primaries
    part = {True: share if others else 1.0, False: 1 - share if primaries else 1.0}
    count = {True: primaries, False: others}
    return {
        metric: part[role == "primary"] * alpha / (count[role == "primary"] * comparisons)
        for metric, role in roles.items()
    }


def _adjusted(
    p_values: Sequence[float], factors: Callable[[int], Numbers], running: Callable[[Numbers], Numbers]
) -> list[float]:
    """p-values in increasing order, times their factors, made monotone, put back where they were."""
    p = np.asarray(p_values, dtype=np.float64)
    if ((p < 0) | (p > 1)).any():
        raise StatsError(f"p-values lie between 0 and 1, unlike {p[(p < 0) | (p > 1)].tolist()}")
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]  # NaN comes last
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(running(p[order] * factors(len(order))), 1.0)
    return [float(each) for each in adjusted]


def _running_maximum(values: Numbers) -> Numbers:
    return np.maximum.accumulate(values)


def _running_minimum(values: Numbers) -> Numbers:
    return np.minimum.accumulate(values[::-1])[::-1]


def _check_level(name: str, level: float) -> None:
    if not 0 < level < 1:
        raise StatsError(f"{name} must lie between 0 and 1, not {level}")
