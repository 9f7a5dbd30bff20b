"""A file of aggregates → what its rows state, each with its number in the file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from stats.aggregates import READ_PAST, REQUIRED, Aggregate, is_known, read_aggregate
from stats.choices import Kind
from stats.stated import CellError
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.files import Input
from tenbin.analyze.table import Source, Table, load, opened
from workspace import suggest

_PAGE = 10_000


class Row(NamedTuple):
    """One row and where it is."""

    number: int  # in the file, from 1, header not counted
    stated: Aggregate


class Rows(NamedTuple):
    """The file."""

    file: Input
    rows: tuple[Row, ...]
    unread: tuple[str, ...]  # columns that mean nothing here

    def where(self, number: int, column: str) -> str:
        """Where a cell is, for messages."""
        return f'{self.file.row(number)}, column "{column}"'


def read_rows(path: Path, kinds: Mapping[str, Kind]) -> Rows:
    """Everything that the file states.

    Args:
        path: CSV, NDJSON or Parquet.
        kinds: of metrics whose kind the command line says.

    Raises:
        AnalyzeError: the file can't be read, or a row states no moments; the sentence names row and column.
    """
    with opened(path) as (con, table):
        columns = _columns(table)
        source = load(con, table, columns)
        rows = tuple(_rows(source, kinds))
    unread = tuple(name for name in table.columns if name not in {*columns, *READ_PAST})
    return Rows(table.file, rows, unread)


def _columns(table: Table) -> tuple[str, ...]:
    known = tuple(name for name in dict.fromkeys(table.columns) if is_known(name))
    for name in known:
        if (count := table.columns.count(name)) > 1:
            raise AnalyzeError(f'{table.path}: there are {count} columns named "{name}"; rename all but one')
    for name in REQUIRED:
        if name not in known:
            raise AnalyzeError(
                f'{table.path}: there is no column "{name}"; aggregates have one ({", ".join(REQUIRED)}); '
                f"{suggest(name, [other for other in table.columns if other not in known] or list(known))}"
            )
    return known


def _rows(source: Source, kinds: Mapping[str, Kind]) -> Iterator[Row]:
    texts = ", ".join(f"nullif(CAST({source.cell(name)} AS VARCHAR), '')" for name in source.columns)
    found = source.con.execute(f"SELECT rowid + 1, {texts} FROM source ORDER BY rowid")
    while page := found.fetchmany(_PAGE):
        for number, *values in page:
            cells = dict(zip(source.columns, values, strict=True))
            try:
                yield Row(number, read_aggregate(_with_kind(cells, kinds)))
            except CellError as wrong:
                raise AnalyzeError(f"{source.table.file.row(number)}, {wrong}") from None


def _with_kind(cells: dict[str, str | None], kinds: Mapping[str, Kind]) -> dict[str, str | None]:
    """The row, with the kind that the command line says of its metric."""
    kind = kinds.get(cells["metric"] or "")
    if kind is None:
        return cells
    stated = cells.get("kind")
    if stated not in {None, kind}:
        raise CellError("kind", f'is "{stated}", but the command line says {kind}; leave one of them out')
    return cells | {"kind": kind}
