"""What is wrong with a file that a reader refuses, as one sentence with its line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import duckdb
import msgspec

from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.files import Input

NOT_UTF8 = "is not UTF-8 text; save it as UTF-8"

_NAMES = {"csv": "CSV", "ndjson": "NDJSON", "parquet": "Parquet"}
_BOM = b"\xef\xbb\xbf"
_SHOWN = 200


@contextmanager
def refused(file: Input) -> Iterator[None]:
    """Turn what DuckDB raises about the file into a sentence for its owner."""
    try:
        yield
    except duckdb.Error as reason:
        message = str(reason)
        if file.format == "csv":
            raise _csv_error(file, message) from None
        if file.format == "ndjson":
            raise _json_error(file, message) from None
        raise AnalyzeError(
            f"{file.path}: is not a whole Parquet file ({_first_line(file, message)}); write it again, or "
            "give it the ending of what it is"
        ) from None


def refuse_json_lines(con: duckdb.DuckDBPyConnection, file: Input) -> None:
    """Refuse the first element of `objects` that is no object, or says a key twice.

    Raises:
        AnalyzeError: there is one.
    """
    bad = con.execute(
        "SELECT rowid + 1, json_type(json) = 'OBJECT' FROM objects WHERE json_type(json) <> 'OBJECT' "
        "OR len(json_keys(json)) <> len(list_distinct(json_keys(json))) ORDER BY rowid LIMIT 1"
    ).fetchall()
    if not bad:
        return
    row, is_object = bad[0]
    what = "has a key twice; name each key once" if is_object else 'is no JSON object; write {"user": "1", …}'
    raise AnalyzeError(f"{file.row(row)}: {what}")


def _csv_error(file: Input, message: str) -> AnalyzeError:
    at = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"{file.path}: line {int(at[1]):,}: " if at else f"{file.path}: "
    if columns := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return AnalyzeError(
            f"{where}has {_many(int(columns[2]), 'cell')} where the header has {columns[1]}; write one cell "
            "per column, with quotes around a cell that holds the delimiter"
        )
    if "unterminated quote" in message:
        return AnalyzeError(
            f"{where}a quoted cell does not end where the next delimiter is; close the quotes, and double "
            "those inside a cell"
        )
    if "Invalid unicode" in message:
        return AnalyzeError(f"{where}{NOT_UTF8}")
    if "invalid state" in message:
        return AnalyzeError(
            f"{where}has line ends of several kinds or stray quotes; save it again as CSV with one kind"
        )
    return AnalyzeError(f"{where}is not valid CSV ({_first_line(file, message)}); mend the line")


def _json_error(file: Input, message: str) -> AnalyzeError:
    """The line is looked for here, because DuckDB counts from where its thread began to read."""
    with file.data.open("rb") as stream:
        found = _bad_json_line(stream)
    if found is None:
        return AnalyzeError(
            f"{file.path}: is not valid NDJSON ({_first_line(file, message)}); write one object per line"
        )
    line, problem = found
    return AnalyzeError(f"{file.path}: line {line:,}: {problem}")


def _bad_json_line(stream: BinaryIO) -> tuple[int, str] | None:
    decoder = msgspec.json.Decoder()
    for number, line in enumerate(stream, 1):
        text = line.removeprefix(_BOM).strip()
        if number == 1 and text.startswith(b"["):
            return None  # one array over many lines
        try:
            text.decode()
            if text:
                decoder.decode(text)
        except UnicodeDecodeError:
            return number, NOT_UTF8
        except msgspec.DecodeError as reason:
            return number, f"is not valid JSON ({reason}); write one whole object per line"
    return None


def _first_line(file: Input, message: str) -> str:
    """DuckDB's message without its class, its path and its advice about its own options."""
    line = next((line.strip() for line in message.splitlines() if line.strip()), "no reason was given")
    line = re.sub(r"^[A-Z][\w ]* Error: ", "", line).replace(str(file.data), file.path.name)
    return line.rstrip(". ")[:_SHOWN]


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
