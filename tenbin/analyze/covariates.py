"""What was measured before the experiment, brought to columns without holes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stats.arrays import Numbers
from stats.regression import Sample, complete
from tenbin.analyze.request import MetricSpec


class Before(NamedTuple):
    """The covariates of one metric over the compared units, none missing."""

    columns: tuple[Numbers, ...]  # a ratio's pair first, indicators of missing last
    paired: bool  # whether the first two are numerator and denominator of a ratio
    incomplete: int  # units that miss a covariate which others have
    unknown: tuple[str, ...]  # covariates that no unit has, which are left out


def fill(spec: MetricSpec, values: Sequence[Numbers]) -> Before:
    """Keep every unit: what it misses is filled, and that it misses it is a covariate of its own.

    Args:
        spec: the metric.
        values: a column per covariate of `spec.before`, a number per compared unit of all variants; NaN is
            missing. The two of a ratio are missing together.
    """
    paired = spec.ratio_covariate is not None
    columns = list(values)
    if paired:
        hole = np.isnan(columns[0]) | np.isnan(columns[1])
        columns[:2] = (np.where(hole, np.nan, column) for column in columns[:2])
    missing = [np.isnan(column) for column in columns]
    unknown = [bool(hole.all()) for hole in missing]
    if not any(hole.any() for hole in missing):
        return Before(tuple(columns), paired, 0, ())
    holes = [hole for hole, nowhere in zip(missing, unknown, strict=True) if not nowhere]
    nobody = np.empty(0)
    filled = complete(
        Sample.of(np.zeros(len(columns[0])), *columns), Sample.of(nobody, *(nobody for _ in columns))
    )
    return Before(
        columns=tuple(np.ascontiguousarray(column) for column in filled.variant.x.T),
        paired=paired and not unknown[0],
        incomplete=int(np.any(holes, axis=0).sum()) if holes else 0,
        unknown=tuple(name for name, nowhere in zip(spec.before, unknown, strict=True) if nowhere),
    )
