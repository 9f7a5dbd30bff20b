"""Files → staged rows: one typed pass by DuckDB; a file with a bad line goes once more by the slow road.

A staged row has the columns of its kind, the number of its file, and `reason` when it is no record.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb

from lake import textfiles
from lake.errors import LakeError
from lake.expressions import STAGED, record_select
from lake.sources import LANDING, SourceFile
from lake.sql import identifier, literal
from workspace import suggest

_CHUNK = 20_000


@dataclasses.dataclass(frozen=True)
class ReadFile:
    """What reading one file gave."""

    number: int  # of the file within the batch
    start: int  # staging row before its first one
    rows: int  # records in it, good and bad
    quarantined: int


def make_stage(con: duckdb.DuckDBPyConnection) -> None:
    """Empty staging tables, one per kind, and one for quarantined rows."""
    for kind, columns in STAGED.items():
        listed = ", ".join(f"{identifier(name)} {type_}" for name, type_ in columns)
        con.execute(f"CREATE OR REPLACE TEMP TABLE stage_{kind} (file_no INTEGER, reason VARCHAR, {listed})")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE stage_quarantine "
        "(file_no INTEGER, line BIGINT, reason VARCHAR, raw VARCHAR)"
    )


def stage(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, scratch: Path) -> ReadFile:
    """Append the rows of one file to its kind's staging table, in the order of the file.

    Raises:
        LakeError: the file can't be read, or lacks a column that its source names.
    """
    textfiles.check_readable(file.path, file.name)
    first = _count(con, file)
    try:
        read = _READERS[file.format](con, file, number, scratch)
    except duckdb.IOException as reason:
        raise LakeError(
            f"{file.name}: can't be read ({_first_line(reason)}); it must be whole and readable, and the "
            "lake's disk needs free space for the work"
        ) from reason
    except duckdb.InvalidInputException as reason:
        raise LakeError(
            f"{file.name}: can't be read ({_first_line(reason)}); mend or remove the file"
        ) from reason
    bad, rejected = read
    rows = _count(con, file) - first + rejected
    return ReadFile(number, first, rows, bad)


def _ndjson(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, scratch: Path) -> tuple[int, int]:
    types = dict.fromkeys(file.mapping.columns, "JSON")
    first = _count(con, file)
    known: dict[int, str] = {}
    try:
        _insert(con, file, number, types, _read_json(file.path, types))
    except (duckdb.InvalidInputException, duckdb.ConversionException):
        mended = scratch / f"mended-{number}.ndjson"
        known = textfiles.mend_ndjson(file.path, mended, also_bad={})
        _insert(con, file, number, types, _read_json(mended, types))
        mended.unlink()
        _overrule(con, file, first, known)
    bad = _bad_rows(con, file, first)
    _check_columns_seen(con, file, first, bad)
    _quarantine(
        con,
        number,
        ((line, bad[row], raw) for row, line, raw in textfiles.locate_ndjson(file.path, list(bad))),
    )
    return len(bad), 0


def _csv(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, scratch: Path) -> tuple[int, int]:
    del scratch
    delimiter, header = textfiles.csv_header(file.path, file.name)
    _check_header(file, header)
    types = dict.fromkeys(header, "VARCHAR")
    listed = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    common = (
        f"{literal(str(file.path))}, auto_detect = false, header = true, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{listed}}}, max_line_size = {textfiles.MAX_LINE_BYTES}"
    )
    first = _count(con, file)
    rejected: dict[int, str] = {}
    try:
        _insert(con, file, number, types, f"read_csv({common})")
    except (duckdb.InvalidInputException, duckdb.ConversionException):
        tables = "rejects_table = 'csv_rejects', rejects_scan = 'csv_scans'"
        con.execute("DROP TABLE IF EXISTS csv_rejects; DROP TABLE IF EXISTS csv_scans")
        _insert(con, file, number, types, f"read_csv({common}, store_rejects = true, {tables})")
        rejected = {
            record: f"the line is not valid CSV: {str(message).splitlines()[0]}"
            for record, message in con.execute(
                "SELECT line, first(error_message ORDER BY column_idx) FROM csv_rejects GROUP BY line"
            ).fetchall()
        }
    bad = _bad_rows(con, file, first)
    if bad or rejected:
        found = textfiles.locate_csv(file.path, list(bad), delimiter=delimiter, rejected=rejected)
        _quarantine(
            con, number, ((line, bad[row] if row > 0 else rejected[-row], raw) for row, line, raw in found)
        )
    return len(bad) + len(rejected), len(rejected)


def _parquet(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, scratch: Path) -> tuple[int, int]:
    del scratch
    relation = f"read_parquet({literal(str(file.path))}, hive_partitioning = false)"
    described = con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    _check_header(file, tuple(types))
    first = _count(con, file)
    _insert(con, file, number, types, relation)
    bad = _bad_rows(con, file, first)
    if bad:
        raws = con.execute(
            f"SELECT file_row_number + 1, left(CAST(to_json(r) AS VARCHAR), {textfiles.RAW_CHARS}) FROM "
            f"read_parquet({literal(str(file.path))}, hive_partitioning = false, file_row_number = true) AS r "
            "WHERE file_row_number + 1 IN (SELECT unnest($rows)) ORDER BY 1",
            {"rows": list(bad)},
        ).fetchall()
        _quarantine(con, number, ((row, bad[row], raw) for row, raw in raws))
    return len(bad), 0


_READERS = {"ndjson": _ndjson, "csv": _csv, "parquet": _parquet}


def _read_json(path: Path, types: Mapping[str, str]) -> str:
    # One column of type JSON alone would be given the whole line, so `records` is said.
    listed = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return (
        f"read_json({literal(str(path))}, columns = {{{listed}}}, format = 'newline_delimited', records = true, "
        f"maximum_object_size = {textfiles.MAX_LINE_BYTES})"
    )


def _insert(
    con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, types: Mapping[str, str], relation: str
) -> None:
    select = record_select(file.mapping, dict(types), relation)
    names = ", ".join(identifier(name) for name, _ in STAGED[file.kind])
    con.execute(
        f"INSERT INTO stage_{file.kind} (file_no, reason, {names}) "
        f"SELECT {int(number)}, reason, {names} FROM ({select})"
    )


def _count(con: duckdb.DuckDBPyConnection, file: SourceFile) -> int:
    count: int = con.execute(f"SELECT count(*) FROM stage_{file.kind}").fetchall()[0][0]
    return count


def _bad_rows(con: duckdb.DuckDBPyConnection, file: SourceFile, first: int) -> dict[int, str]:
    """Row number in the file → reason, ascending."""
    return dict(
        con.execute(
            f"SELECT rowid - $first + 1, reason FROM stage_{file.kind} "
            "WHERE rowid >= $first AND reason IS NOT NULL ORDER BY rowid",
            {"first": first},
        ).fetchall()
    )


def _overrule(con: duckdb.DuckDBPyConnection, file: SourceFile, first: int, known: Mapping[int, str]) -> None:
    """Give the rows that stand for bad lines the reason that the slow road found."""
    if not known:
        return
    con.execute(
        f"UPDATE stage_{file.kind} SET reason = k.reason "
        "FROM (SELECT unnest($rows) AS row, unnest($reasons) AS reason) AS k "
        f"WHERE stage_{file.kind}.rowid = k.row + $first - 1",
        {"rows": list(known), "reasons": list(known.values()), "first": first},
    )


def _quarantine(con: duckdb.DuckDBPyConnection, number: int, found: Iterator[tuple[int, str, str]]) -> None:
    chunk: list[tuple[int, str, str]] = []

    def flush() -> None:
        if not chunk:
            return
        lines, reasons, raws = map(list, zip(*chunk, strict=True))
        con.execute(
            "INSERT INTO stage_quarantine SELECT $number, unnest($lines), unnest($reasons), unnest($raws)",
            {"number": number, "lines": lines, "reasons": reasons, "raws": raws},
        )
        chunk.clear()

    for item in found:
        chunk.append(item)
        if len(chunk) >= _CHUNK:
            flush()
    flush()


def _check_header(file: SourceFile, header: tuple[str, ...]) -> None:
    for column in file.mapping.required_columns:
        if column not in header:
            where = "" if file.source == LANDING else f" that sources.{file.source} in tenbin.toml names"
            raise LakeError(
                f'{file.name}: there is no column "{column}"{where}; {suggest(column, list(header))}'
            )


def _check_columns_seen(
    con: duckdb.DuckDBPyConnection, file: SourceFile, first: int, bad: Mapping[int, str]
) -> None:
    """A key that a mapping needs and that no line of a foreign file has was renamed or misspelt."""
    rows = _count(con, file) - first
    if file.source == LANDING or not rows or len(bad) < rows:
        return
    seen: set[str] = set()
    for _, _, content in textfiles.ndjson_lines(file.path):
        if textfiles.ndjson_problem(content) is None:
            seen |= json.loads(content).keys()
    needed = [field.column for field in file.mapping.fields.values() if field.required and field.column]
    for column in needed:
        if seen and column not in seen:
            raise LakeError(
                f'{file.name}: there is no key "{column}" that sources.{file.source} in tenbin.toml names; '
                f"{suggest(column, sorted(seen))}"
            )


def _first_line(reason: BaseException) -> str:
    return (str(reason).strip().splitlines() or ["unknown reason"])[0][:300]
