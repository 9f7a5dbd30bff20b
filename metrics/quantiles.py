"""The quantiles of an as-of day: order statistics and shares in SQL, the error they say in `stats.quantiles`.

What leaves the engine is a few whole numbers per cell, however many values there are; the same of every one.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from metrics.engines.runner import Runner, Statement
from metrics.sql import quantiles
from metrics.sql.partials import MICRO
from metrics.sql.plan import UnitPlan
from metrics.sql.quantiles import CELL, EVERYONE, HISTOGRAM, QUANTILE_VALUES, Cell
from metrics.steps import MomentRow
from stats.moments import Moments
from stats.quantiles import Place, Quantile, of_interval, outer_shares, ratio_variance

_KEYS = len(CELL)


def with_quantiles(
    runner: Runner, plan: UnitPlan, as_of: dt.date, rows: Sequence[MomentRow], crowded: Sequence[int] = ()
) -> list[MomentRow]:
    """The moments of a day, those of its quantiles filled in.

    Args:
        runner: keeps the unit metrics of the day.
        plan: the experiment's plan.
        as_of: the day.
        rows: the day's moments; those of a quantile count its mature units.
        crowded: as in `metrics.sql.moments.grouped_sums`.
    """
    if not plan.quantiles:
        return list(rows)
    values = quantiles.quantile_values(plan, crowded=crowded)
    runner.keep(QUANTILE_VALUES, Statement(values), {"as_of": as_of})
    runner.keep(HISTOGRAM, Statement(quantiles.histogram(plan)))
    found = _quantiles(runner, plan)
    number = {planned.metric.name: place for place, planned in plan.quantiles.items()}
    return [
        _filled(row, found.get(_cell(plan, number[row.metric], row))) if row.metric in number else row
        for row in rows
    ]


def _cell(plan: UnitPlan, metric: int, row: MomentRow) -> Cell:
    dimension, level = EVERYONE, ""
    if row.segment is not None:
        name, _, level = row.segment.partition("=")
        dimension = plan.segments.index(name)
    return (metric, row.phase, row.variant, dimension, level)


def _filled(row: MomentRow, found: Quantile | None) -> MomentRow:
    mature = row.moments.n
    if found is None or found.value is None:
        nothing = Moments(0, (0.0,), ((0.0,),))
        return msgspec.structs.replace(row, moments=nothing, n_without=mature, reason="no_units")
    spread = 0.0 if found.variance is None else found.variance * found.n
    moments = Moments(found.n, (found.value,), ((spread,),))
    return msgspec.structs.replace(row, moments=moments, n_without=mature - found.n, reason=found.reason)


def _quantiles(runner: Runner, plan: UnitPlan) -> dict[Cell, Quantile]:
    """By cell; cells without a value have none."""
    extent = _by_cell(runner.rows(Statement(quantiles.extent())))
    if not extent:
        return {}
    places = {cell: Place.of(int(n), _q(plan, cell)) for cell, (n, _, _) in extent.items()}
    estimates, thresholds = _estimates(runner, places)
    shares = {
        cell: Moments.from_exact_sums(int(n), (int(b), int(v)), ((int(bb), int(bv)), (int(bv), int(vv))), 1)
        for cell, (n, b, v, bb, bv, vv) in _by_cell(
            runner.rows(Statement(quantiles.shares(plan, thresholds)))
        ).items()
    }
    # Where no unit of a metric has a second value, its values are independent.
    clustered = {cell[0] for cell, moments in shares.items() if extent[cell][0] > moments.n}
    variances = {
        cell: ratio_variance(shares[cell]) if cell[0] in clustered else _independent(plan, cell, int(n))
        for cell, (n, _, _) in extent.items()
    }
    known, ends = {}, {}
    for cell, (_, smallest, largest) in extent.items():
        units = shares[cell].n
        between = outer_shares(_q(plan, cell), variances[cell], alpha=plan.experiment.alpha)
        if units < 2:  # noqa: PLR2004 - a variance needs two
            known[cell] = Quantile(units, estimates[cell], None, "too_few_units")
        elif smallest == largest:
            known[cell] = Quantile(units, estimates[cell], None, "zero_variance")
        elif between is None:
            known[cell] = Quantile(units, estimates[cell], None, "too_few_units")
        else:
            n = int(extent[cell][0])
            ends[cell] = (Place.of(n, between[0]), Place.of(n, between[1]))
    for cell, (width, tie) in _intervals(runner, ends).items():
        known[cell] = of_interval(
            shares[cell].n,
            estimates[cell],
            width,
            largest_tie=tie / int(extent[cell][0]),
            share_variance=variances[cell],
            q=_q(plan, cell),
            alpha=plan.experiment.alpha,
        )
    return known


def _estimates(runner: Runner, places: Mapping[Cell, Place]) -> tuple[dict[Cell, float], dict[Cell, int]]:
    """The quantile by cell, and the largest value at or below it."""
    at = _values_at(runner, {cell: (place.below, place.above) for cell, place in places.items()})
    estimates, thresholds = {}, {}
    for cell, place in places.items():
        below, above = at[cell, place.below], at[cell, place.above]
        estimates[cell] = place.between(below / MICRO, above / MICRO)
        thresholds[cell] = above if estimates[cell] >= above / MICRO else below
    return estimates, thresholds


def _intervals(runner: Runner, ends: Mapping[Cell, tuple[Place, Place]]) -> dict[Cell, tuple[float, int]]:
    """By cell: the width of the outer interval, and how many events share its most frequent value."""
    if not ends:
        return {}
    at = _values_at(
        runner, {cell: (low.below, low.above, high.below, high.above) for cell, (low, high) in ends.items()}
    )
    reach, widths = {}, {}
    for cell, (low, high) in ends.items():
        lower = low.between(at[cell, low.below] / MICRO, at[cell, low.above] / MICRO)
        upper = high.between(at[cell, high.below] / MICRO, at[cell, high.above] / MICRO)
        widths[cell] = upper - lower
        last = high.above if high.share > 0 else high.below
        reach[cell] = (at[cell, low.below], at[cell, last])
    ties = _by_cell(runner.rows(Statement(quantiles.largest_ties(reach))))
    return {cell: (widths[cell], int(ties[cell][0])) for cell in ends}


def _values_at(runner: Runner, asked: Mapping[Cell, Sequence[int]]) -> dict[tuple[Cell, int], int]:
    rows = _by_cell_and_place(runner.rows(Statement(quantiles.values_at(asked))))
    return {key: int(value) for key, value in rows.items()}


def _by_cell(rows: Sequence[Sequence[Any]]) -> dict[Cell, tuple[Any, ...]]:
    return {_key(row): tuple(row[_KEYS:]) for row in rows}


def _by_cell_and_place(rows: Sequence[Sequence[Any]]) -> dict[tuple[Cell, int], Any]:
    return {(_key(row), int(row[_KEYS])): row[_KEYS + 1] for row in rows}


def _key(row: Sequence[Any]) -> Cell:
    metric, phase, variant, dimension, level = row[:_KEYS]
    return (int(metric), int(phase), variant, int(dimension), level)


def _q(plan: UnitPlan, cell: Cell) -> float:
    return plan.metrics[cell[0]].metric.quantile or 0.5


def _independent(plan: UnitPlan, cell: Cell, n: int) -> float:
    q = _q(plan, cell)
    return q * (1 - q) / n
