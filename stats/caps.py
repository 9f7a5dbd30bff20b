"""Winsorisation: values above a cap count as the cap, which is found once per metric, blind to the variants.

The cap is an order statistic of all variants' values together, the smallest value that at least the given
share of them does not exceed (Hyndman, Fan 1996, definition 1; SQL's `quantile_disc`), so it is a value that
was seen and every engine finds the same one. A cap per variant would itself depend on the treatment.
"""

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Literal

import msgspec
import numpy as np

from stats.arrays import Numbers
from stats.errors import StatsError

Over = Literal["all", "nonzero"]


class Winsorised(msgspec.Struct, frozen=True):
    """Capped values by variant, and how many of them the cap changed."""

    cap: float
    values: dict[str, Numbers]
    clipped: dict[str, int]

    def clipped_share(self, variant: str) -> float:
        """The share of the variant's units whose value was capped; NaN where it has none."""
        n = len(self.values[variant])
        return self.clipped[variant] / n if n else math.nan


def pooled_cap(arms: Iterable[Numbers], share: float, *, over: Over = "all") -> float:
    """The cap that lies at a quantile of the arms' values together; NaN where there is no value.

    Args:
        arms: per variant, one value per matured unit.
        share: the quantile as it is written, above 0 and at most 1: 0.07 of 100 values is the 7th, although
            the nearest double is a little more than 0.07.
        over: of all values, or of those that are not 0, as for revenue that most units don't have.

    Raises:
        StatsError: a share outside (0, 1], or a value that is not finite.
    """
    if not 0 < share <= 1:
        raise StatsError(f"a cap lies at a quantile above 0 and at most 1, not {share}")
    values = np.concatenate([np.empty(0), *arms])
    if not np.isfinite(values).all():
        raise StatsError("caps need finite values; leave missing ones out, or count them as 0, before")
    if over == "nonzero":
        values = values[values != 0]
    if not len(values):
        return math.nan
    rank = math.ceil(Fraction(repr(float(share))) * len(values))
    return float(np.partition(values, rank - 1)[rank - 1])


def winsorised(arms: Mapping[str, Numbers], cap: float) -> Winsorised:
    """Values above the cap become the cap, whether `pooled_cap` found it or it is an absolute one.

    Raises:
        StatsError: a cap that is not a number.
    """
    if math.isnan(cap):
        raise StatsError("a cap must be a number; without values there is none")
    return Winsorised(
        cap,
        {variant: np.minimum(values, cap) for variant, values in arms.items()},
        {variant: int(np.count_nonzero(values > cap)) for variant, values in arms.items()},
    )
