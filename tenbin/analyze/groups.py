"""Units → what the statistics read of them: per metric, over everyone and by segment, per variant."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from stats.analysis import AnyCell, Cell, QuantileCell, UnitCell
from stats.moments import Moments
from stats.plan import NEEDS_UNITS, Plan
from tenbin.analyze.cells import Codes, Numbers
from tenbin.analyze.request import MetricSpec
from tenbin.analyze.units import QuantileRows, Sample, Units


def cells_of(plan: Plan, metrics: Sequence[MetricSpec], sample: Sample) -> Iterator[AnyCell]:
    """Moments, units and quantile values, for the metrics of the plan in their order."""
    for spec in metrics:
        if spec.kind == "quantile":
            yield from _quantile_cells(spec, sample)
        else:
            yield from _cells(plan, spec, sample)


def counts_of(variant: Codes, sample: Sample) -> dict[str, int]:
    """How many there are of each variant."""
    counts = np.bincount(variant, minlength=len(sample.variants))
    return {name: int(count) for name, count in zip(sample.variants, counts, strict=True)}


def randomised(units: Units) -> Codes:
    """Where in `units` everything that was randomised stands: each unit, or the first one of each group."""
    if units.cluster is None:
        return np.arange(len(units.variant))
    _, first = np.unique(units.cluster, return_index=True)
    return first.astype(np.int64)


def places_of(sample: Sample) -> dict[str, dict[str, dict[str, int]]]:
    """What was randomised by segment, its value and variant; a group is where its first unit is."""
    chosen = randomised(sample.units)
    found = {}
    for name, levels in sample.levels.items():
        counts = np.zeros((len(levels), len(sample.variants)), dtype=np.int64)
        np.add.at(counts, (sample.units.segments[name][chosen], sample.units.variant[chosen]), 1)
        found[name] = {
            level: dict(zip(sample.variants, map(int, row), strict=True))
            for level, row in zip(levels, counts, strict=True)
        }
    return found


def _cells(plan: Plan, spec: MetricSpec, sample: Sample) -> Iterator[Cell | UnitCell]:
    """Moments of every group; the units behind them over everyone, and where a method reads them."""
    asked = {plan.settings.adjustment, *plan.settings.methods}
    everywhere = bool(asked & NEEDS_UNITS) or sample.units.cluster is not None
    columns = independent_columns(spec, sample.units)
    for segment, variant, chosen in _groups(sample, np.arange(len(sample.units.variant))):
        picked = _picked(columns, chosen, sample.units.cluster)
        yield Cell(metric=spec.name, variant=variant, segment=segment, moments=Moments.from_columns(*picked))
        if segment is None or everywhere:
            yield UnitCell(metric=spec.name, variant=variant, segment=segment, columns=tuple(picked))


def independent_columns(spec: MetricSpec, units: Units) -> tuple[Numbers, ...]:
    """Columns whose sums over a group are the group's: a mean's second column counts its units.

    With randomised groups a mean over units is that of group sums over group sizes (Deng, Knoblich, Lu 2018,
    "Applying the delta method in metric analytics", section 3). What a group's sum of residuals goes with is
    its sum of covariates about their mean, so that its size is no part of them; a ratio's pair has its own.
    """
    columns = units.columns[spec.name]
    if units.cluster is None:
        return columns
    width = len(spec.measure)
    raw = width + (2 if spec.name in units.paired else 0)
    size = () if spec.kind == "ratio" else (np.ones(len(units.variant)),)
    centred = (column - column.mean() for column in columns[raw:])
    return (*columns[:width], *size, *columns[width:raw], *centred)


def _picked(columns: Sequence[Numbers], chosen: Codes, cluster: Codes | None) -> list[Numbers]:
    """A number per independent unit."""
    if cluster is None:
        return [column[chosen] for column in columns]
    _, group = np.unique(cluster[chosen], return_inverse=True)
    return [np.bincount(group, weights=column[chosen]).astype(np.float64) for column in columns]


def _quantile_cells(spec: MetricSpec, sample: Sample) -> Iterator[QuantileCell]:
    """The values of every group."""
    rows = sample.quantiles[spec.name]
    independent = _independent(rows, sample.units)
    for segment, variant, chosen in _groups(sample, rows.unit):
        yield QuantileCell(
            metric=spec.name,
            variant=variant,
            segment=segment,
            values=rows.value[chosen],
            clusters=None if independent is None else independent[chosen],
        )


def _independent(rows: QuantileRows, units: Units) -> Codes | None:
    """Per value: its group, else its unit; None when every value is a unit of its own."""
    if units.cluster is not None:
        return units.cluster[rows.unit]
    several = len(rows.unit) and np.bincount(rows.unit).max() > 1
    return rows.unit if several else None


def _groups(sample: Sample, unit: Codes) -> Iterator[tuple[str | None, str, Codes]]:
    """(segment, variant, positions in `unit`) for everyone, then for each value of each segment.

    Args:
        sample: what is compared.
        unit: per element, the unit that it belongs to.
    """
    arms = len(sample.variants)
    for place, chosen in _split(sample.units.variant[unit], arms):
        yield None, sample.variants[place], chosen
    for name, levels in sample.levels.items():
        keys = sample.units.segments[name] * arms + sample.units.variant
        for place, chosen in _split(keys[unit], len(levels) * arms):
            level, variant = divmod(place, arms)
            yield f"{name}={levels[level]}", sample.variants[variant], chosen


def _split(keys: Codes, count: int) -> Iterator[tuple[int, Codes]]:
    """The elements of each key, in their order."""
    order = np.argsort(keys, kind="stable")
    ends = np.searchsorted(keys[order], np.arange(count + 1))
    for place, (start, end) in enumerate(itertools.pairwise(ends)):
        yield place, order[start:end]
