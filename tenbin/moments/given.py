"""What the rows state → experiments: their variants and metrics, and the cells of the latest day."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from stats.aggregates import ContradictionError, Measured, measured_of, units_of
from stats.forms import FROM_SQUARES, NO_VARIANCE
from stats.moments import Moments
from stats.plan import Cell
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.units import many
from tenbin.moments.rows import Row, Rows

MAX_VARIANTS = 64


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment as the file states it."""

    experiment: str
    iteration: int
    variants: tuple[str, ...]  # in the order of their rows
    metrics: dict[str, Measured]  # likewise
    as_of: dt.date | None
    cells: tuple[Cell, ...]  # of that day
    rows: int  # of that day
    counts: dict[str, int] | None  # units by variant; None: the file does not say
    warnings: tuple[str, ...]


def experiments_of(rows: Rows) -> Iterator[Given]:
    """Every experiment of the file, in the order of their first rows.

    Raises:
        AnalyzeError: two rows are about the same, or contradict each other.
    """
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows.rows:
        key = (row.stated.experiment or rows.file.path.name, row.stated.iteration)
        found.setdefault(key, []).append(row)
    for (experiment, iteration), own in found.items():
        yield _given(rows, experiment, iteration, own)


def _given(rows: Rows, experiment: str, iteration: int, own: Sequence[Row]) -> Given:
    _check_phase(rows, own)
    _check_twice(rows, own)
    variants = tuple(dict.fromkeys(row.stated.cell.variant for row in own))
    if len(variants) > MAX_VARIANTS:
        raise AnalyzeError(
            f'{rows.where(own[0].number, "variant")}: experiment "{experiment}" has {len(variants):,} '
            f"variants; {MAX_VARIANTS} can be compared"
        )
    days = {row.stated.as_of for row in own}
    if None in days and len(days) > 1:
        row = next(row for row in own if row.stated.as_of is None)
        raise AnalyzeError(
            f"{rows.where(row.number, 'as_of')}: is empty, but other rows of the experiment have a day; "
            "write one in each"
        )
    as_of = max((day for day in days if day is not None), default=None)
    latest = [row for row in own if row.stated.as_of == as_of]
    with _located(rows, own):
        metrics = measured_of([row.stated for row in own])
    with _located(rows, latest):
        counts = units_of([row.stated for row in latest], variants)
    return Given(
        experiment=experiment,
        iteration=iteration,
        variants=variants,
        metrics=metrics,
        as_of=as_of,
        cells=tuple(_cell(row, metrics) for row in latest),
        rows=len(latest),
        counts=counts,
        warnings=tuple(_warnings(latest, days=len(days), counted=counts is not None)),
    )


def _check_phase(rows: Rows, own: Sequence[Row]) -> None:
    for row in own:
        phase, first = row.stated.cell.phase, own[0].stated.cell.phase
        if phase != first:
            raise AnalyzeError(
                f"{rows.where(row.number, 'phase')}: is {phase}, but row {own[0].number:,} of the experiment "
                f"is of phase {first}; phases with different weights are never pooled: give each an "
                "experiment of its own"
            )


def _check_twice(rows: Rows, own: Sequence[Row]) -> None:
    seen: dict[tuple[object, ...], int] = {}
    for row in own:
        cell = row.stated.cell
        first = seen.setdefault((cell.metric, cell.variant, cell.segment, row.stated.as_of), row.number)
        if first != row.number:
            raise AnalyzeError(
                f'{rows.file.row(row.number)}: metric "{cell.metric}" in variant "{cell.variant}"'
                f"{'' if cell.segment is None else f' and segment {cell.segment}'} was stated in row "
                f"{first:,} already; state it once"
            )


@contextmanager
def _located(rows: Rows, own: Sequence[Row]) -> Iterator[None]:
    """Say of two rows that contradict each other where they are."""
    try:
        yield
    except ContradictionError as found:
        row, first = own[found.row].number, own[found.first].number
        raise AnalyzeError(
            f"{rows.file.row(row)}: {found.what} {found.now} here, but {found.was} in row {first:,}; say the "
            "same in all of its rows"
        ) from None


def _cell(row: Row, metrics: Mapping[str, Measured]) -> Cell:
    """The row's cell; that of nobody has as many columns as its metric."""
    cell = row.stated.cell
    if cell.moments.n:
        return cell
    width = metrics[cell.metric].width
    nobody = Moments(0, (0.0,) * width, ((0.0,) * width,) * width)
    return msgspec.structs.replace(cell, moments=nobody)


def _warnings(latest: Sequence[Row], *, days: int, counted: bool) -> Iterator[str]:
    if days > 1:
        yield (
            f"The latest of {days:,} days is analysed. Whoever looked at the others too needs --horizon "
            "anytime or group_sequential."
        )
    if not counted:
        yield (
            "The split was not tested: metrics have different numbers of units, and no column `units` says "
            "how many were randomised."
        )
    for note, said in (
        (NO_VARIANCE, "without a variance: nothing can be compared with it"),
        (FROM_SQUARES, "from sums of squares: the variance has only the digits that those had left"),
    ):
        if count := sum(note in row.stated.notes for row in latest):
            yield f"{many(count, 'row')} {said}."
