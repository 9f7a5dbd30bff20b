"""Files → staged rows: one pass by DuckDB; the bad rows of a text file are then located by `textfiles`.

A staged row has the columns of its kind, the number of its file, and `reason` when it is no record.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import duckdb

from lake import aggregates, textfiles
from lake.errors import LakeError, meaning
from lake.expressions import STAGED, record_select
from lake.sources import LANDING, SourceFile
from lake.sql import file_literal, identifier, literal
from lake.suppression import Suppression, mark_suppressed
from workspace import suggest

SUPPRESSED = "the unit was erased"
_PAGE = 20_000

# Rows that are bad, as (row, reason) in their order → where they are, as (line, reason, raw text).
Located = Iterator[tuple[int, str, str]]
Locate = Callable[[Iterator[tuple[int, str]]], Located]


@dataclasses.dataclass(frozen=True)
class ReadFile:
    """What reading one file gave."""

    number: int  # of the file within the batch
    start: int  # staging row before its first one
    rows: int  # records in it, good and bad
    quarantined: int
    suppressed: int  # of erased units


def make_stage(con: duckdb.DuckDBPyConnection) -> None:
    """Empty staging tables, one per kind, and one for quarantined rows."""
    for kind, columns in STAGED.items():
        listed = ", ".join(f"{identifier(name)} {type_}" for name, type_ in columns)
        con.execute(f"CREATE TABLE stage_{kind} (file_no INTEGER, reason VARCHAR, {listed})")
    aggregates.make_stage(con)
    con.execute("CREATE TABLE stage_quarantine (file_no INTEGER, line BIGINT, reason VARCHAR, raw VARCHAR)")


def drop_stage(con: duckdb.DuckDBPyConnection) -> None:
    """Take the staging tables away again."""
    for name in (*STAGED, "aggregates", "quarantine"):
        con.execute(f"DROP TABLE stage_{name}")


def stage(
    con: duckdb.DuckDBPyConnection,
    file: SourceFile,
    number: int,
    scratch: Path,
    suppression: Suppression | None = None,
) -> ReadFile:
    """Append the rows of one file to its kind's staging table, in the order of the file.

    Args:
        con: a session with staging tables.
        file: to be read.
        number: of the file within the batch.
        scratch: an empty folder for what is needed meanwhile.
        suppression: erased units, whose rows get the reason `SUPPRESSED` and do not go to quarantine.

    Raises:
        LakeError: the file can't be read, or lacks a column that its source names.
    """
    start = _count(con, f"SELECT count(*) FROM stage_{file.kind}")
    try:
        locate = _READERS[file.format](con, file, number, scratch)
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.ConversionException) as reason:
        raise LakeError(
            f"{file.name}: can't be read: {meaning(reason, scratch)}; mend or remove the file, or free space "
            "on the lake's disk if that is the reason"
        ) from reason
    if file.kind == "moments":
        aggregates.read_stated(con, file.mapping, start)
    rows = _count(con, f"SELECT count(*) FROM stage_{file.kind}") - start
    suppressed = 0
    if suppression is not None:
        suppressed = mark_suppressed(con, file.kind, start, suppression, SUPPRESSED)
    bad = _count(con, f"SELECT count(reason) FROM stage_{file.kind} WHERE rowid >= $1", start) - suppressed
    if bad:
        hidden = _quarantine(con, number, locate(_bad_rows(con, file.kind, start)), suppression)
        bad, suppressed = bad - hidden, suppressed + hidden
    return ReadFile(number, start, rows, bad, suppressed)


def _ndjson(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, scratch: Path) -> Locate:
    path = textfiles.plain(file.path, file.name, scratch)
    types = _json_types(file)
    if textfiles.has_bom(path) or not _is_inserted(con, file, number, types, _read_json(path, types)):
        mended = scratch / "mended"
        textfiles.mend_ndjson(path, mended)
        _insert(con, file, number, types, _read_json(mended, types))
    _check_keys(con, file, number, path)
    return lambda bad: textfiles.locate_ndjson(path, bad)


def _csv(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, scratch: Path) -> Locate:
    path = textfiles.plain(file.path, file.name, scratch)
    delimiter, header = textfiles.csv_header(path, file.name)
    _check_header(file, header)
    # Only columns that are asked for keep their name; what others are called is of no interest.
    names = [name if name in file.mapping.columns else f"{n} unread" for n, name in enumerate(header)]
    types = dict.fromkeys(names, "VARCHAR")
    if not _is_inserted(con, file, number, types, _read_csv(path, types, delimiter)):
        mended = scratch / "mended"
        textfiles.mend_csv(path, mended, delimiter, header)
        _insert(con, file, number, types, _read_csv(mended, types, delimiter))
    return lambda bad: textfiles.locate_csv(path, delimiter, len(header), bad)


def _parquet(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, scratch: Path) -> Locate:
    path = textfiles.plain(file.path, file.name, scratch)
    relation = f"read_parquet({file_literal(path)}, hive_partitioning = false, file_row_number = true)"
    described = con.execute(f"DESCRIBE SELECT * EXCLUDE file_row_number FROM {relation}").fetchall()
    types = {str(row[0]): str(row[1]) for row in described}
    _check_header(file, tuple(types))
    _insert(con, file, number, types, relation)
    return lambda bad: _locate_parquet(con, relation, bad)


_READERS = {"ndjson": _ndjson, "csv": _csv, "parquet": _parquet}


def _json_types(file: SourceFile) -> dict[str, str]:
    """The unit id and the object must be told from a text of the same look; of all else the text will do."""
    if file.kind == "moments":
        return dict.fromkeys(file.mapping.columns, "VARCHAR")
    kept = {file.mapping.fields["unit_id"].column}
    if file.mapping.object_columns is None:
        kept.add(file.mapping.fields[file.mapping.object_field].column)
    else:
        kept |= set(file.mapping.object_columns)
    return {name: "JSON" if name in kept else "VARCHAR" for name in file.mapping.columns}


def _read_json(path: Path, types: Mapping[str, str]) -> str:
    # One column of type JSON alone would be given the whole line, so `records` is said. A bad line becomes a
    # row of nulls (`ignore_errors`), which has no unit id and so gets a reason; of a repeated key the first
    # value counts.
    listed = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return (
        f"read_json({file_literal(path)}, columns = {{{listed}}}, format = 'newline_delimited', "
        "records = true, ignore_errors = true, compression = 'none', "
        f"maximum_object_size = {textfiles.MAX_LINE_BYTES})"
    )


def _read_csv(path: Path, types: Mapping[str, str], delimiter: str) -> str:
    listed = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return (
        f"read_csv({file_literal(path)}, auto_detect = false, header = true, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{listed}}}, compression = 'none', "
        f"max_line_size = {textfiles.MAX_CSV_BYTES})"
    )


def _is_inserted(
    con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, types: Mapping[str, str], relation: str
) -> bool:
    try:
        _insert(con, file, number, types, relation)
    except (duckdb.InvalidInputException, duckdb.ConversionException):
        return False
    return True


def _insert(
    con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, types: Mapping[str, str], relation: str
) -> None:
    select = record_select(file.mapping, dict(types), relation)
    names = ", ".join(identifier(name) for name, _ in STAGED[file.kind])
    con.execute(
        f"INSERT INTO stage_{file.kind} (file_no, reason, {names}) "
        f"SELECT {int(number)}, reason, {names} FROM ({select})"
    )


def _count(con: duckdb.DuckDBPyConnection, sql: str, *params: int) -> int:
    count: int = con.execute(sql, list(params)).fetchall()[0][0]
    return count


def _bad_rows(con: duckdb.DuckDBPyConnection, kind: str, start: int) -> Iterator[tuple[int, str]]:
    """(row number in the file, reason), ascending; a page at a time, however many they are."""
    last = start - 1
    while page := con.execute(
        f"SELECT rowid, reason FROM stage_{kind} WHERE rowid > $last AND reason <> '{SUPPRESSED}' "
        f"ORDER BY rowid LIMIT {_PAGE}",
        {"last": last},
    ).fetchall():
        yield from ((rowid - start + 1, reason) for rowid, reason in page)
        last = page[-1][0]


def _locate_parquet(con: duckdb.DuckDBPyConnection, relation: str, bad: Iterator[tuple[int, str]]) -> Located:
    while page := dict(islice(bad, _PAGE)):
        raws = con.execute(
            f"SELECT file_row_number + 1, left(CAST(to_json(r) AS VARCHAR), {textfiles.RAW_CHARS}) FROM "
            f"(SELECT * FROM {relation}) AS r WHERE file_row_number + 1 IN (SELECT unnest($rows)) ORDER BY 1",
            {"rows": list(page)},
        ).fetchall()
        yield from ((row, page[row], raw) for row, raw in raws)


def _quarantine(
    con: duckdb.DuckDBPyConnection, number: int, found: Located, suppression: Suppression | None
) -> int:
    """Keep bad rows, but for those whose text names an erased unit; how many these are."""
    hidden = 0
    while page := list(islice(found, _PAGE)):
        kept = [row for row in page if suppression is None or not suppression.mentions(row[2])]
        hidden += len(page) - len(kept)
        if not kept:
            continue
        lines, reasons, raws = map(list, zip(*kept, strict=True))
        con.execute(
            "INSERT INTO stage_quarantine SELECT $number, unnest($lines), unnest($reasons), unnest($raws)",
            {"number": number, "lines": lines, "reasons": reasons, "raws": raws},
        )
    return hidden


def _check_header(file: SourceFile, header: Sequence[str]) -> None:
    """Every column that is needed is there, and once.

    Raises:
        LakeError: it is not.
    """
    for column in file.mapping.required_columns:
        if column not in header:
            where = "" if file.source == LANDING else f" that sources.{file.source} in tenbin.toml names"
            raise LakeError(
                f'{file.name}: there is no column "{column}"{where}; {suggest(column, list(header))}'
            )
    for column in file.mapping.columns:
        if (times := header.count(column)) > 1:
            raise LakeError(
                f'{file.name}: {times} columns are called "{column}"; give each a name of its own'
            )


def _check_keys(con: duckdb.DuckDBPyConnection, file: SourceFile, number: int, path: Path) -> None:
    """A key that a mapping needs and that no line of a foreign file has was renamed or misspelt.

    Raises:
        LakeError: there is such a key.
    """
    rows, bad = con.execute(
        f"SELECT count(*), count(reason) FROM stage_{file.kind} WHERE file_no = $1", [number]
    ).fetchall()[0]
    if file.source == LANDING or bad < rows or rows == 0:
        return
    seen = textfiles.ndjson_keys(path)
    for field in file.mapping.fields.values():
        if seen and field.required and field.column and field.column not in seen:
            raise LakeError(
                f'{file.name}: there is no key "{field.column}" that sources.{file.source} in tenbin.toml '
                f"names; {suggest(field.column, sorted(seen))}"
            )
