"""Rows of exact sums (`metrics.sql.moments`) → moments: whole numbers until the last step."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from metrics.sql.moments import LIMB, sum_columns
from metrics.sql.plan import MetricColumns, UnitPlan
from metrics.steps import MomentRow
from stats.moments import Moments


def moment_rows(
    plan: UnitPlan, as_of: dt.date, rows: Sequence[Sequence[Any]], *, limbs: bool = False
) -> list[MomentRow]:
    """The moments of one as-of day, from the rows of `grouped_sums`.

    A variant without a unit has a row with n = 0, so that nobody takes its absence for an error.
    """
    found = [moment for row in rows for moment in _cells(plan, as_of, row, limbs=limbs)]
    present = {(moment.metric, moment.variant) for moment in found if moment.segment is None}
    for planned in plan.metrics:
        nothing: list[int | None] = [0] * len(sum_columns(planned))
        found += [
            _row(plan, planned, (as_of, 1, variant, None), nothing, units=0)
            for variant in plan.experiment.variants
            if (planned.metric.name, variant) not in present
        ]
    found.sort(key=lambda row: (row.metric, row.segment or "", row.phase, row.variant))
    return found


def _cells(plan: UnitPlan, as_of: dt.date, row: Sequence[Any], *, limbs: bool) -> Iterator[MomentRow]:
    phase, variant = row[0], row[1]
    dimensions = len(plan.segments)
    segment = None
    for number, dimension in enumerate(plan.segments):
        value, is_all = row[2 + 2 * number], row[3 + 2 * number]
        if not is_all:
            segment = f"{dimension}={value}"
    place = 2 + 2 * dimensions
    units = row[place]
    place += 1
    for planned in plan.metrics:
        width = len(sum_columns(planned, limbs=limbs))
        numbers = row[place : place + width]
        yield _row(plan, planned, (as_of, phase, variant, segment), numbers, units=units, limbs=limbs)
        place += width


def _row(
    plan: UnitPlan,
    planned: MetricColumns,
    cell: tuple[dt.date, int, str, str | None],
    numbers: Sequence[int | None],
    *,
    units: int,
    limbs: bool = False,
) -> MomentRow:
    as_of, phase, variant, segment = cell
    width = len(planned.columns)
    sums = [0] * width
    products = [[0] * width for _ in range(width)]
    extra: dict[str, int | None] = {"n": 0, "cap": None, "clipped": None, "immature": None}
    weights = {"whole": 1, "high": LIMB**2, "mixed": LIMB, "low": 1}
    for what, number in zip(sum_columns(planned, limbs=limbs), numbers, strict=True):
        match what:
            case ("sum", i):
                sums[int(i)] = number or 0
            case ("product", i, j, part):
                products[int(i)][int(j)] += (number or 0) * weights[part]
            case (name, *_):
                extra[name] = number
    n = extra["n"] or 0
    cap, winsorized = extra["cap"], planned.metric.winsorize is not None
    return MomentRow(
        experiment=plan.experiment.key,
        iteration=plan.experiment.iteration,
        phase=phase,
        variant=variant,
        segment=segment,
        metric=planned.metric.name,
        as_of=as_of,
        n_immature=(extra["immature"] or 0) if planned.metric.leaves_out else units - n,
        columns=planned.metric.columns,
        moments=_moments(planned, n, sums, products),
        cap=cap / planned.columns[0].scale if winsorized and n and cap is not None else None,
        clipped=extra["clipped"] if winsorized else None,
        fingerprint=planned.metric.fingerprint,
    )


def _moments(planned: MetricColumns, n: int, sums: list[int], products: list[list[int]]) -> Moments:
    """Bring every column to one scale, and fill the lower half of the products."""
    scale = max(unit_column.scale for unit_column in planned.columns)
    factors = [scale // unit_column.scale for unit_column in planned.columns]
    width = range(len(factors))
    return Moments.from_exact_sums(
        n,
        tuple(sums[i] * factors[i] for i in width),
        tuple(tuple(products[min(i, j)][max(i, j)] * factors[i] * factors[j] for j in width) for i in width),
        scale,
    )
