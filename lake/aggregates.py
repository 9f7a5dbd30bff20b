"""Staged texts of aggregates → what they state, or why the row goes to quarantine.

What a row may say is decided by `stats.aggregates`, row by row: the same for a source and for `tenbin analyze
--moments`.
"""

from collections.abc import Iterator, Sequence

import duckdb

from lake.sources import RecordMap
from lake.sql import identifier
from lake.tables import TABLES, Column
from stats.aggregates import Aggregate, Measured, read_aggregate
from stats.stated import CellError, Cells

STATED: tuple[Column, ...] = tuple(
    column
    for column in TABLES["given_moments"].columns
    if column.name not in {"source", "path", "file_hash", "file_row", "batch"}
)
_PAGE = 20_000


def make_stage(con: duckdb.DuckDBPyConnection) -> None:
    """An empty staging table of what rows state, by the number of the staged row."""
    listed = ", ".join(f"{identifier(column.name)} {column.type}" for column in STATED)
    con.execute(f"CREATE TABLE stage_aggregates (staged_row BIGINT, {listed})")


def read_stated(con: duckdb.DuckDBPyConnection, mapping: RecordMap, start: int) -> None:
    """Read the staged rows from `start` on: those that state moments, and a reason for the others."""
    names = ", ".join(map(identifier, mapping.fields))
    found = con.cursor().execute(
        f"SELECT rowid, {names} FROM stage_moments WHERE rowid >= $start ORDER BY rowid", {"start": start}
    )
    while page := found.fetchmany(_PAGE):
        good, bad = [], []
        for rowid, *texts in page:
            try:
                aggregate = _read(dict(zip(mapping.fields, texts, strict=True)))
                good.append((rowid, *_values(aggregate)))
            except CellError as wrong:
                field = mapping.fields.get(wrong.column)
                bad.append((rowid, f"{(field.column if field else None) or wrong.column}: {wrong.problem}"))
        _store(con, good)
        _refuse(con, bad)


def _read(cells: Cells) -> Aggregate:
    """The row, which must say whose it is and of which day."""
    for name in ("experiment", "as_of"):
        if cells.get(name) is None:
            raise CellError(name, "is empty; every row needs it")
    return read_aggregate(cells)


def _values(stated: Aggregate) -> Iterator[object]:
    """In the order of `STATED`."""
    cell, measured = stated.cell, stated.measured
    own = {
        "experiment": stated.experiment,
        "iteration": stated.iteration,
        "as_of": stated.as_of,
        "units": stated.units,
        "n": cell.moments.n,
        "means": list(cell.moments.mean),
        "covariances": [x for row in cell.moments.cov for x in row],
    }
    for column in STATED:
        if column.name in own:
            yield own[column.name]
        else:
            holder = measured if column.name in Measured.__struct_fields__ else cell
            yield getattr(holder, column.name)


def _store(con: duckdb.DuckDBPyConnection, rows: Sequence[tuple[object, ...]]) -> None:
    if not rows:
        return
    # Lists as parameters: registering a frame would import pandas, which takes longer than a small batch.
    columns = [Column("staged_row", "BIGINT"), *STATED]
    listed = ", ".join(f"unnest(CAST($c{place} AS {column.type}[]))" for place, column in enumerate(columns))
    values = {f"c{place}": list(column) for place, column in enumerate(zip(*rows, strict=True))}
    con.execute(f"INSERT INTO stage_aggregates SELECT {listed}", values)


def _refuse(con: duckdb.DuckDBPyConnection, rows: Sequence[tuple[int, str]]) -> None:
    if rows:
        con.execute(
            "UPDATE stage_moments SET reason = r.reason FROM "
            "(SELECT unnest($rows) AS bad, unnest($reasons) AS reason) AS r "
            "WHERE stage_moments.rowid = r.bad",
            {"rows": [row for row, _ in rows], "reasons": [reason for _, reason in rows]},
        )
