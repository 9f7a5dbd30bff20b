"""Ranks: which arm's units tend to have the larger values, whatever the values' scale.

The Mann-Whitney test is of "both arms have one distribution"; its variance holds under that only, and so it
has no interval: a test of its own, as the pooled z is. The probability of superiority, P(variant > baseline)
+ P(equal) / 2, has an interval that is the dual of Brunner and Munzel's test of "it is 1/2", with a variance
estimated from the placements (as DeLong, DeLong, Clarke-Pearson 1988 do for the area under a ROC curve).
"""

import math
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from stats import contrasts, inference
from stats.arrays import Numbers, Real
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.inference import Interval
from stats.moments import Moments
from stats.references import Reference, Sides, StudentT, p_value

_EXACT_UNITS, _EXACT_PAIRS = 8, 10_000  # up to which the exact law of U is used, as in SciPy, and is fast


class MannWhitney(NamedTuple):
    """The test's outcome; NaN where an arm has no value."""

    u: float  # pairs in which the variant's value is the larger one; a tie counts half
    p_value: float
    log10_p: float
    method: Literal["exact", "normal"]


def mann_whitney(variant: Numbers, baseline: Numbers, *, sides: Sides = 2) -> MannWhitney:
    """Mann and Whitney 1947, "On a test of whether one of two random variables is stochastically larger".

    Exact where an arm has at most 8 values and none are tied; else by the normal law, with the variance
    corrected for ties (Lehmann 1975, "Nonparametrics", section 1.4) and a continuity correction of 1/2.

    Args:
        variant: its values, any order.
        baseline: its values.
        sides: one-sided is against "the variant's are larger".

    Raises:
        StatsError: a value is not a number.
    """
    variant, baseline = _ordered(variant), _ordered(baseline)
    n, m = len(variant), len(baseline)
    if n == 0 or m == 0:
        return MannWhitney(math.nan, math.nan, math.nan, "normal")
    u = float(_placements(variant, baseline).sum())
    ties = _ties(variant, baseline)
    if min(n, m) <= _EXACT_UNITS and n * m <= _EXACT_PAIRS and len(ties) == 0:
        from scipy.stats import mannwhitneyu

        alternative = "two-sided" if sides == 2 else "greater"  # noqa: PLR2004
        p = float(mannwhitneyu(variant, baseline, alternative=alternative, method="exact").pvalue)
        return MannWhitney(u, p, math.log10(p), "exact")
    total = n + m
    variance = n * m / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    if not variance > 0:
        return MannWhitney(u, 1.0, 0.0, "normal")  # all values are one: nothing speaks for a difference
    apart = abs(u - n * m / 2) if sides == 2 else u - n * m / 2  # noqa: PLR2004
    tail = StudentT().log10_p((apart - 0.5) / math.sqrt(variance), 1)
    logarithm = min(0.0, float(tail) + math.log10(sides))
    return MannWhitney(u, float(p_value(logarithm)), logarithm, "normal")


def superiority(variant: Numbers, baseline: Numbers) -> Contrast:
    """The probability that a unit of the variant has the larger value, against 1/2, where nothing differs.

    Brunner and Munzel 2000, "The nonparametric Behrens-Fisher problem": the placement of a value is the share
    of the other arm below it, ties counting half; the estimate is the variant's mean placement, its variance
    that of both arms' placements, its degrees of freedom Satterthwaite's. As a contrast its lift is 2 P - 1,
    Cliff's delta. Without variance (no overlap, or a single value in an arm) nothing is known of its error.

    Raises:
        StatsError: a value is not a number, or an arm has none.
    """
    variant, baseline = _ordered(variant), _ordered(baseline)
    if len(variant) == 0 or len(baseline) == 0:
        raise StatsError("the probability of superiority needs a value in each arm")
    welch = contrasts.difference_of_means(
        Moments.from_columns(_placements(variant, baseline) / len(baseline)),
        Moments.from_columns(_placements(baseline, variant) / len(variant)),
    )
    return msgspec.structs.replace(
        welch,
        method="brunner_munzel",
        baseline=0.5,
        var_variant=welch.variance_against(1.0),
        var_baseline=0.0,
    )


def superiority_interval(contrast: Contrast, reference: Reference, alpha: Real) -> Interval:
    """Interval for the probability itself, within [0, 1]: the probabilities that are not rejected."""
    found = inference.difference_interval(contrast, reference, alpha)
    return Interval(np.clip(found.lower + 0.5, 0.0, 1.0)[()], np.clip(found.upper + 0.5, 0.0, 1.0)[()])


def _ordered(values: Numbers) -> Numbers:
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if len(ordered) and math.isnan(ordered[-1]):
        raise StatsError("ranks need values that can be ordered; leave missing ones out before")
    return ordered


def _placements(ordered: Numbers, other: Numbers) -> Numbers:
    """Per value the number of the other arm's values below it, a tie counting half."""
    below, above = (np.searchsorted(other, ordered, side=side) for side in ("left", "right"))
    found: Numbers = (below + above) / 2
    return found


def _ties(variant: Numbers, baseline: Numbers) -> Numbers:
    """How many values are equal, for each value that occurs more than once."""
    _, sizes = np.unique(np.concatenate([variant, baseline]), return_counts=True)
    found: Numbers = sizes[sizes > 1].astype(np.float64)
    return found
