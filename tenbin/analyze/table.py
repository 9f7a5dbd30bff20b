"""A CSV, Parquet or NDJSON file as a DuckDB table of just the columns that are needed.

Columns are known to SQL by number (`c0`, `c1`, …), so a column's name never becomes part of a statement.
Text formats are read as text: what a cell means is decided, and refused with its row, in `cells`.
"""

import codecs
import csv
import glob
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import msgspec

from tenbin.analyze.broken import NOT_UTF8, refuse_json_lines, refused
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.files import Input, open_input

_DELIMITERS = ",;\t|"
_MAX_HEADER_BYTES = 1 << 20
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(.*\)")
_TEXTS = ("VARCHAR", "JSON", "UUID")


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A readable file: its columns in order, and the type that DuckDB gives each."""

    file: Input
    columns: tuple[str, ...]
    types: tuple[str, ...]
    delimiter: str = ","  # of CSV
    skip: int = 0  # blank lines before a CSV's header

    @property
    def path(self) -> Path:
        """The file as it was named, for messages."""
        return self.file.path

    def kind(self, column: str) -> Literal["text", "number", "boolean", "other"]:
        """What a cell of the column is as stored."""
        stored = self.type(column)
        if stored in _TEXTS:
            return "text"
        if stored == "BOOLEAN":
            return "boolean"
        return "number" if _NUMBER.fullmatch(stored) else "other"

    def type(self, column: str) -> str:
        """The column's type in DuckDB's words."""
        return self.types[self.columns.index(column)]


class Source(NamedTuple):
    """The temporary table `source`: the columns of a file that are needed, as `c0`, `c1`, … in its order."""

    con: duckdb.DuckDBPyConnection
    table: Table
    columns: tuple[str, ...]
    rows: int

    def cell(self, column: str) -> str:
        """The SQL name of a column."""
        return f"c{self.columns.index(column)}"


@contextmanager
def opened(path: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, Table]]:
    """A file and the connection that reads it; what is unpacked or spilled meanwhile is gone afterwards.

    Raises:
        AnalyzeError: the file can't be read, is not what its name says, or has neither header nor rows.
    """
    with tempfile.TemporaryDirectory(prefix="tenbin-") as scratch, duckdb.connect() as con:
        con.execute("SET temp_directory = ?", [scratch])
        con.execute("SET enable_progress_bar = false")
        con.execute("SET TimeZone = 'UTC'")
        yield con, _open_table(con, open_input(path, Path(scratch)))


def _open_table(con: duckdb.DuckDBPyConnection, file: Input) -> Table:
    """Look at the file's header or schema; the objects of NDJSON come into the temporary table `objects`."""
    if file.format == "csv":
        return _csv_table(file)
    with refused(file):
        return _json_table(con, file) if file.format == "ndjson" else _parquet_table(con, file)


def load(con: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> Source:
    """Bring `columns` into the temporary table `source`.

    Raises:
        AnalyzeError: the file is malformed, or has no rows.
    """
    with refused(table.file):
        if table.file.format == "csv":
            _load_csv(con, table, columns)
        elif table.file.format == "ndjson":
            _load_json(con, columns)
        else:
            _load_parquet(con, table, columns)
    rows = int(con.execute("SELECT count(*) FROM source").fetchall()[0][0])
    if not rows:
        raise AnalyzeError(f"{table.path}: has columns but no rows; there is nothing to analyse")
    return Source(con, table, tuple(columns), rows)


def _csv_table(file: Input) -> Table:
    """Column names, delimiter and leading blank lines, from the first record."""
    with file.data.open("rb") as stream:
        data = stream.read(_MAX_HEADER_BYTES)
    try:
        start = codecs.getincrementaldecoder("utf-8-sig")().decode(data)
    except UnicodeDecodeError as reason:
        line = data.count(b"\n", 0, reason.start) + 1
        raise AnalyzeError(f"{file.path}: line {line:,}: {NOT_UTF8}") from None
    if "\x00" in start:
        raise AnalyzeError(f"{file.path}: holds zero bytes, so it is {NOT_UTF8.removeprefix('is ')}")
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", start)
    skip = next((number for number, line in enumerate(lines) if line.strip()), None)
    if skip is None:
        raise AnalyzeError(f"{file.path}: is empty; it must have a header and at least one row")
    unquoted = re.sub(r'"[^"]*"', "", lines[skip])
    delimiter = max(_DELIMITERS, key=unquoted.count)
    columns = tuple(next(csv.reader(lines[skip:], delimiter=delimiter, strict=False)))
    return Table(
        file=file, columns=columns, types=("VARCHAR",) * len(columns), delimiter=delimiter, skip=skip
    )


def _json_table(con: duckdb.DuckDBPyConnection, file: Input) -> Table:
    """The keys of all objects, which DuckDB's own columns would fold by case."""
    con.execute("CREATE TEMP TABLE objects AS SELECT json FROM read_json_objects(?)", [_literal(file)])
    refuse_json_lines(con, file)
    found = con.execute("SELECT DISTINCT unnest(json_keys(json)) AS key FROM objects ORDER BY key").fetchall()
    names = tuple(str(row[0]) for row in found)
    return Table(file=file, columns=names, types=("VARCHAR",) * len(names))


def _parquet_table(con: duckdb.DuckDBPyConnection, file: Input) -> Table:
    found = con.execute(
        "DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning=false)", [_literal(file)]
    ).fetchall()
    return Table(file=file, columns=tuple(row[0] for row in found), types=tuple(str(row[1]) for row in found))


def _load_csv(con: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> None:
    con.execute(
        f"CREATE TEMP TABLE source AS SELECT {_select(table, columns)} FROM read_csv(?, auto_detect=false, "
        f"header=true, skip=?, delim=?, quote='\"', escape='\"', columns=?)",
        [
            _literal(table.file),
            table.skip,
            table.delimiter,
            {f"f{place}": "VARCHAR" for place in range(len(table.columns))},
        ],
    )


def _load_json(con: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
    selected = ", ".join(f"json_extract_string(json, ?) AS c{number}" for number in range(len(columns)))
    con.execute(
        f"CREATE TEMP TABLE source AS SELECT {selected} FROM objects",
        [_pointer(name) for name in columns],
    )
    con.execute("DROP TABLE objects")


def _load_parquet(con: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> None:
    aliases = ", ".join(f"f{place}" for place in range(len(table.columns)))
    con.execute(
        f"CREATE TEMP TABLE source AS SELECT {_select(table, columns)} "
        f"FROM read_parquet(?, hive_partitioning=false) AS file({aliases})",
        [_literal(table.file)],
    )


def _select(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f"f{table.columns.index(name)} AS c{number}" for number, name in enumerate(columns))


def _pointer(key: str) -> str:
    """The key of an object as a JSON pointer (RFC 6901)."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _literal(file: Input) -> str:
    """The path as DuckDB must be told it, so that `*`, `?` and `[` in a name are not a pattern."""
    return glob.escape(str(file.data))
