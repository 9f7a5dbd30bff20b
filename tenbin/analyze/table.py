"""A CSV, Parquet or NDJSON file as a DuckDB table of just the columns that are needed.

Columns are known to SQL by number (`c0`, `c1`, …), so a column's name never becomes part of a statement.
Text formats are read as text: what a cell means is decided, and refused with its row, in `tenbin.analyze.cells`.
"""

import codecs
import csv
import glob
import gzip
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import duckdb
import msgspec

from tenbin.analyze.errors import AnalyzeError

Format = Literal["csv", "ndjson", "parquet"]

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSED = (".gz", ".zst")
_DELIMITERS = ",;\t|"
_MAX_HEADER_BYTES = 1 << 20
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER")
_NUMBER = re.compile(rf"({'|'.join(_NUMBERS)}|UBIGINT|UHUGEINT|FLOAT|DOUBLE|DECIMAL\(.*\))")
_TEXTS = ("VARCHAR", "JSON", "UUID")
_SHOWN_MESSAGE = 300


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A readable file: its columns in order, and the type that DuckDB gives each."""

    path: Path
    format: Format
    columns: tuple[str, ...]
    types: tuple[str, ...]
    delimiter: str = ","

    def kind(self, column: str) -> Literal["text", "number", "boolean", "other"]:
        """What a cell of the column is as stored."""
        stored = self.types[self.columns.index(column)]
        if stored in _TEXTS:
            return "text"
        if stored == "BOOLEAN":
            return "boolean"
        return "number" if _NUMBER.fullmatch(stored) else "other"

    def type(self, column: str) -> str:
        """The column's type in DuckDB's words."""
        return self.types[self.columns.index(column)]


def open_table(con: duckdb.DuckDBPyConnection, path: Path) -> Table:
    """Look at the file's header or schema.

    Raises:
        AnalyzeError: it is not there, a directory, empty, unreadable, or of no known format.
    """
    stored = _format(path)
    _require_file(path)
    with _refused(path, stored):
        if stored == "csv":
            columns, delimiter = _header(path)
            return Table(
                path=path,
                format=stored,
                columns=columns,
                types=("VARCHAR",) * len(columns),
                delimiter=delimiter,
            )
        reader = "read_parquet(?)" if stored == "parquet" else "read_json(?, sample_size=-1)"
        found = con.execute(f"DESCRIBE SELECT * FROM {reader}", [_literal_path(path)]).fetchall()
    names = tuple(row[0] for row in found)
    types = tuple(row[1] if stored == "parquet" else "VARCHAR" for row in found)
    if stored == "ndjson" and names == ("json",):
        raise AnalyzeError(
            f'{path}: its lines are not JSON objects; write one object per line, as in {{"user": "1"}}'
        )
    return Table(path=path, format=stored, columns=names, types=types)


def load(con: duckdb.DuckDBPyConnection, table: Table, columns: Sequence[str]) -> int:
    """Make the temporary table `source` with `columns` as `c0`, `c1`, … in the file's order; the rows read.

    Raises:
        AnalyzeError: the file is malformed, or has no rows.
    """
    path = _literal_path(table.path)
    with _refused(table.path, table.format):
        if table.format == "csv":
            places = [table.columns.index(name) for name in columns]
            con.execute(
                f"CREATE OR REPLACE TEMP TABLE source AS SELECT {_select(places)} FROM read_csv(?, "
                "auto_detect=false, header=true, delim=?, quote='\"', escape='\"', columns=?)",
                [path, table.delimiter, {f"f{n}": "VARCHAR" for n in range(len(table.columns))}],
            )
        elif table.format == "ndjson":
            aliases = ", ".join(f"f{place}" for place in range(len(columns)))
            con.execute(
                f"CREATE OR REPLACE TEMP TABLE source AS SELECT {_select(list(range(len(columns))))} "
                f"FROM read_json(?, columns=?) AS file({aliases})",
                [path, dict.fromkeys(columns, "VARCHAR")],
            )
        else:
            aliases = ", ".join(f"f{place}" for place in range(len(table.columns)))
            places = [table.columns.index(name) for name in columns]
            con.execute(
                f"CREATE OR REPLACE TEMP TABLE source AS SELECT {_select(places)} "
                f"FROM read_parquet(?) AS file({aliases})",
                [path],
            )
        rows = int(con.execute("SELECT count(*) FROM source").fetchall()[0][0])
    if rows == 0:
        raise AnalyzeError(f"{table.path}: has columns but no rows; there is nothing to analyse")
    return rows


def _select(places: Sequence[int]) -> str:
    return ", ".join(f"f{place} AS c{number}" for number, place in enumerate(places))


def _format(path: Path) -> Format:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    stored = _FORMATS.get(suffixes[-1]) if suffixes else None
    if stored is None and not path.is_dir():
        raise AnalyzeError(
            f"{path}: its name does not say what it is; allowed are .csv, .tsv, .ndjson, .jsonl, .json "
            "(each also with .gz or .zst) and .parquet"
        )
    return stored or "csv"


def _require_file(path: Path) -> None:
    """The file is there, readable and not empty."""
    if not path.exists():
        near = ", ".join(sorted(_neighbours(path))[:5])
        raise AnalyzeError(f"{path}: there is no such file" + (f"; beside it: {near}" if near else ""))
    if path.is_dir():
        raise AnalyzeError(f"{path}: is a directory; give one file in it")
    if not path.is_file():
        raise AnalyzeError(f"{path}: is not a regular file; save the data to a file first")
    try:
        with path.open("rb"):
            pass
    except OSError as reason:
        raise AnalyzeError(
            f"{path}: can't be read ({reason.strerror}); make it readable for this user"
        ) from None
    if path.stat().st_size == 0:
        raise AnalyzeError(f"{path}: is empty; it must have a header and at least one row")


def _neighbours(path: Path) -> list[str]:
    try:
        return [
            entry.name
            for entry in os.scandir(path.parent)
            if Path(entry.name).suffix.lower() in {*_FORMATS, *_COMPRESSED}
        ]
    except OSError:
        return []


def _literal_path(path: Path) -> str:
    """The path as DuckDB must be told it, so that `*`, `?` and `[` in a name are not a pattern."""
    return glob.escape(str(path))


def _header(path: Path) -> tuple[tuple[str, ...], str]:
    """Column names and delimiter, from the first record."""
    text = codecs.getincrementaldecoder("utf-8-sig")()
    with _open(path) as stream:
        data = stream.read(_MAX_HEADER_BYTES)
    try:
        start = text.decode(data)
    except UnicodeDecodeError as reason:
        raise AnalyzeError(
            f"{path}: is not UTF-8 text (byte {reason.start + 1:,}); save it as UTF-8"
        ) from None
    if "\x00" in start:
        raise AnalyzeError(f"{path}: holds zero bytes, so it is no UTF-8 text file; save it as UTF-8 CSV")
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", start)
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        raise AnalyzeError(f"{path}: is empty; it must have a header and at least one row")
    unquoted = re.sub(r'"[^"]*"', "", lines[0])
    delimiter = max(_DELIMITERS, key=unquoted.count)
    columns = tuple(next(csv.reader(lines, delimiter=delimiter, strict=False)))
    return columns, delimiter


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path) as stream:
            yield stream  # type: ignore[misc]  # GzipFile reads bytes, but is no BinaryIO to mypy
    elif path.suffix.lower() == ".zst":
        import zstandard

        with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


@contextmanager
def _refused(path: Path, stored: Format) -> Iterator[None]:
    """Say a reader's failure as one sentence that names the file."""
    try:
        yield
    except (duckdb.Error, OSError, EOFError, csv.Error) as reason:
        raise AnalyzeError(
            f"{path}: can't be read as {stored.upper()} ({_first_sentence(str(reason))}); "
            "mend the file or its name"
        ) from None
    except Exception as reason:
        if type(reason).__module__.partition(".")[0] != "zstandard":
            raise
        raise AnalyzeError(f"{path}: is not a zstandard file; mend the file or its name") from None


def _first_sentence(message: str) -> str:
    """DuckDB's message without its advice about its own options."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    line = re.search(r"CSV Error on Line: (\d+)", lines[0])
    if line is None:
        return re.sub(r"^[A-Z][\w ]* Error: ", "", lines[0]).rstrip(". ")[:_SHOWN_MESSAGE]
    said = [text for text in lines[1:] if not text.startswith("Original Line:")]
    what = said[0].rstrip(".") if said else "malformed"
    if columns := re.match(r"Expected Number of Columns: (\d+) Found: (\d+)", what):
        what = f"{columns[2]} columns where the header has {columns[1]}"
    return f"line {int(line[1]):,}: {what}"[:_SHOWN_MESSAGE]
