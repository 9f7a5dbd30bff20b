"""Sample ratio mismatch: did the variants get the units that their weights make expect?

Pearson's chi-squared (Fabijan et al. 2019, "Diagnosing sample ratio mismatch in online controlled
experiments"); where an expected count is below 5, the exact multinomial test, ordered by probability.
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy import special

from stats.errors import StatsError
from stats.results import Srm

FLAG_BELOW = 0.001
_SMALL = 5  # expected units, below which chi-squared is no good approximation
_MOST_OUTCOMES = 2_000_000  # that the exact test goes through
_TIES = 1e-9  # relative; probabilities that differ by rounding only count as equal


def sample_ratio(counts: Mapping[str, int], weights: Mapping[str, float]) -> Srm:
    """Test the units per variant against the weights.

    Args:
        counts: units by variant; a variant without an entry has none.
        weights: by variant, in any unit; only variants with a positive weight are tested.

    Raises:
        StatsError: a negative or infinite weight, or no positive one.
    """
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()):
        raise StatsError(f"weights must be finite and not negative, not {dict(weights)}")
    arms = {variant: weight for variant, weight in weights.items() if weight > 0}
    if not arms:
        raise StatsError("at least one weight must be positive")
    total = sum(counts.get(variant, 0) for variant in arms)
    share = {variant: weight / math.fsum(arms.values()) for variant, weight in arms.items()}
    observed = {variant: counts.get(variant, 0) for variant in arms}
    expected = {variant: share[variant] * total for variant in arms}
    df = len(arms) - 1
    if total == 0 or df == 0:
        return Srm(observed=observed, expected=expected, chi2=None, df=df, p_value=None, method="chi2",
                   failed=False)  # fmt: skip
    chi2 = math.fsum((observed[v] - expected[v]) ** 2 / expected[v] for v in arms)
    p_value = float(special.gammaincc(df / 2, chi2 / 2))
    method = "chi2"
    if min(expected.values()) < _SMALL and math.comb(total + df, df) <= _MOST_OUTCOMES:
        p_value, method = _exact(list(observed.values()), list(share.values())), "exact"
    return Srm(
        observed=observed,
        expected=expected,
        chi2=chi2,
        df=df,
        p_value=p_value,
        method=method,
        failed=p_value < FLAG_BELOW,
    )


def _exact(observed: list[int], shares: list[float]) -> float:
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
