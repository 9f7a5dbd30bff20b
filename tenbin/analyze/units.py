"""Rows → one row per unit (DESIGN 4.9): who is compared, who is left out, and each unit's number per metric.

All sums run in the file's order on one thread, so the same file gives the same bits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tenbin.analyze.cells import Cells, Codes, Numbers, Rows
from tenbin.analyze.covariates import Before, fill
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.files import Input
from tenbin.analyze.request import MetricSpec

Flags = npt.NDArray[np.bool_]


class Units(NamedTuple):
    """The compared units; one element per unit, in the order of their first rows."""

    variant: Codes
    segments: dict[str, Codes]
    cluster: Codes | None
    columns: dict[str, tuple[Numbers, ...]]  # metric → numerator, then denominator, then covariates
    paired: frozenset[str]  # metrics whose first two covariates are numerator and denominator before


class Tally(NamedTuple):
    """What became of the rows."""

    rows: int
    units: int  # compared
    mixed_variant: int  # units left out because they were seen in two variants
    null_variant: int  # rows without a variant
    warnings: tuple[str, ...]


class QuantileRows(NamedTuple):
    """The single values of a quantile metric; one element per row that has one."""

    value: Numbers
    unit: Codes  # index into Units
    left_out: int  # units without any value


class Sample(NamedTuple):
    """What is compared: the units, their variants and segments by name, and what was left out."""

    variants: tuple[str, ...]  # control first
    levels: dict[str, tuple[str, ...]]  # segment → its values
    units: Units
    quantiles: dict[str, QuantileRows]
    tally: Tally


class _Grid(NamedTuple):
    """How rows make up units; units are numbered by first appearance."""

    file: Input
    row: Codes  # per row: its number in the file
    unit: Codes  # per row: its unit
    first: Codes  # per unit: the index of its first row

    @property
    def units(self) -> int:
        return len(self.first)


def bring_to_units(cells: Cells, metrics: Sequence[MetricSpec]) -> Sample:
    """One row per unit.

    Raises:
        AnalyzeError: a covariate differs within a unit, a unit is in two clusters, or no unit is left.
    """
    rows, path = cells.rows, cells.file.path
    if not len(rows.row):
        raise AnalyzeError(f"{path}: no row has both a unit and a variant; there is nothing to compare")
    grid = _grid(cells.file, rows)
    mixed = _differs(rows.variant, grid)
    left_out = mixed
    if rows.cluster is not None:
        left_out = mixed | _in_broken_groups(rows.cluster, rows.variant, grid)
        _require_one_group(rows.cluster, left_out, grid)
    kept = np.flatnonzero(~left_out)
    if not len(kept):
        raise AnalyzeError(
            f"{path}: every unit was seen in several variants, so there is nothing to compare; check --unit, "
            "--cluster and --variant"
        )
    quantiles = {
        spec.name: _quantile_rows(rows.values[spec.column], kept, grid)
        for spec in metrics
        if spec.kind == "quantile"
    }
    summed = [spec for spec in metrics if spec.kind != "quantile"]
    before = {
        spec.name: fill(spec, [_constant(rows.values[name], name, grid)[kept] for name in spec.before])
        for spec in summed
    }
    units = Units(
        variant=rows.variant[grid.first][kept],
        segments={name: values[grid.first][kept] for name, values in rows.segments.items()},
        cluster=None if rows.cluster is None else rows.cluster[grid.first][kept],
        columns={
            spec.name: (*_measured(rows, spec, kept, grid), *before[spec.name].columns) for spec in summed
        },
        paired=frozenset(name for name, found in before.items() if found.paired),
    )
    warnings = (
        *_left_out_notes(cells, mixed, left_out),
        *_segment_notes(rows, kept, grid),
        *_missing_notes(rows, summed, kept, grid),
        *_before_notes(before),
        *_quantile_notes(quantiles),
    )
    tally = Tally(cells.total, len(kept), int(left_out.sum()), cells.without_variant, warnings)
    return Sample(cells.variants, cells.levels, units, quantiles, tally)


def _grid(file: Input, rows: Rows) -> _Grid:
    last = int(rows.unit.max()) + 1
    first_by_code = np.full(last, -1, dtype=np.int64)
    first_by_code[rows.unit[::-1]] = np.arange(len(rows.unit) - 1, -1, -1)
    first = np.sort(first_by_code[first_by_code >= 0])
    number = np.empty(last, dtype=np.int64)
    number[rows.unit[first]] = np.arange(len(first))
    return _Grid(file, rows.row, number[rows.unit], first)


def _differs(values: Codes, grid: _Grid) -> Flags:
    """Units with a row whose value is not that of their first row."""
    found = np.zeros(grid.units, dtype=np.bool_)
    found[grid.unit[values != values[grid.first][grid.unit]]] = True
    return found


def _in_broken_groups(cluster: Codes, variant: Codes, grid: _Grid) -> Flags:
    """Units with a row in a group whose rows are of several variants."""
    arm = np.full(int(cluster.max()) + 1, -1, dtype=np.int64)
    arm[cluster] = variant
    broken = np.zeros(len(arm), dtype=np.bool_)
    broken[cluster[variant != arm[cluster]]] = True
    found = np.zeros(grid.units, dtype=np.bool_)
    found[grid.unit[broken[cluster]]] = True
    return found


def _require_one_group(cluster: Codes, left_out: Flags, grid: _Grid) -> None:
    """Refuse a compared unit whose rows are in two groups.

    Raises:
        AnalyzeError: there is one.
    """
    other = np.flatnonzero((cluster != cluster[grid.first][grid.unit]) & ~left_out[grid.unit])
    if len(other):
        at = other[0]
        raise AnalyzeError(
            f"{grid.file.row(grid.row[at])}: its unit was in another group in row "
            f"{grid.row[grid.first[grid.unit[at]]]:,}; with --cluster a unit belongs to one group"
        )


def _measured(rows: Rows, spec: MetricSpec, kept: Codes, grid: _Grid) -> tuple[Numbers, ...]:
    """The unit's numbers for one metric: numerator, then denominator."""
    numbers = [_sum(rows.values[name], grid)[kept] for name in spec.measure]
    if spec.kind == "conversion":
        numbers[0] = (numbers[0] > 0).astype(np.float64)
    return tuple(numbers)


def _sum(values: Numbers, grid: _Grid) -> Numbers:
    """Sum per unit; missing counts as nothing."""
    present = np.nan_to_num(values, nan=0.0)
    if grid.units == len(values):
        return present
    return np.asarray(np.bincount(grid.unit, weights=present, minlength=grid.units), dtype=np.float64)


def _constant(values: Numbers, column: str, grid: _Grid) -> Numbers:
    """The one value that all rows of a unit carry; NaN when they carry none.

    Raises:
        AnalyzeError: two rows of a unit carry different values.
    """
    there = np.flatnonzero(~np.isnan(values))
    found = np.full(grid.units, np.nan)
    found[grid.unit[there[::-1]]] = values[there[::-1]]  # the first row is written last
    other = there[values[there] != found[grid.unit[there]]]
    if len(other):
        at = other[0]
        raise AnalyzeError(
            f'{grid.file.row(grid.row[at])}, column "{column}": {values[at]:g}, but an earlier row of its '
            f"unit has {found[grid.unit[at]]:g}; a covariate is one number per unit"
        )
    return found


def _quantile_rows(values: Numbers, kept: Codes, grid: _Grid) -> QuantileRows:
    """The values of the compared units, and how many of these have none."""
    position = np.full(grid.units, -1, dtype=np.int64)
    position[kept] = np.arange(len(kept))
    unit = position[grid.unit]
    there = (unit >= 0) & ~np.isnan(values)
    with_value = np.bincount(unit[there], minlength=len(kept)) > 0
    return QuantileRows(values[there], unit[there], int((~with_value).sum()))


def _left_out_notes(cells: Cells, mixed: Flags, left_out: Flags) -> Iterator[str]:
    if strayed := int((left_out & ~mixed).sum()):
        yield (
            f"{many(strayed, 'unit')} in groups of several variants left out: a group has one variant when "
            "groups are randomised."
        )
    if cells.without_unit:
        yield f"{many(cells.without_unit, 'row')} without a unit left out."


def _segment_notes(rows: Rows, kept: Codes, grid: _Grid) -> Iterator[str]:
    for name, values in rows.segments.items():
        if changed := int(_differs(values, grid)[kept].sum()):
            units = many(changed, "unit")
            yield f'{units} with several values of segment "{name}": the first row\'s counts.'


def _missing_notes(rows: Rows, metrics: Sequence[MetricSpec], kept: Codes, grid: _Grid) -> Iterator[str]:
    """A sentence per column in which compared units have no value at all."""
    for name in dict.fromkeys(name for spec in metrics for name in spec.measure):
        present = np.bincount(grid.unit, weights=~np.isnan(rows.values[name]), minlength=grid.units)
        if absent := int((present[kept] == 0).sum()):
            yield f'{many(absent, "unit")} without a value in column "{name}" counted as 0.'


def _before_notes(before: Mapping[str, Before]) -> Iterator[str]:
    for metric, found in before.items():
        for name in found.unknown:
            yield f'{metric}: no unit has a value of covariate "{name}", so it is left out.'
        if found.incomplete:
            yield (
                f"{metric}: {many(found.incomplete, 'unit')} without a covariate kept: that it is missing is "
                "a covariate too."
            )


def _quantile_notes(quantiles: Mapping[str, QuantileRows]) -> Iterator[str]:
    for name, found in quantiles.items():
        if found.left_out:
            yield (
                f"{name}: {many(found.left_out, 'unit')} without a value left out; this conditions on "
                "behaviour after assignment, so the units that remain may not be alike."
            )


def many(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
