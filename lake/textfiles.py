"""The slow road through a text file: exact line numbers, raw text and reasons, a line at a time.

DuckDB reads files fast and says of a bad row neither line nor reason; only files with bad rows come here.
"""

import csv
import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lake.errors import LakeError

RAW_CHARS = 2_000
MAX_LINE_BYTES = 16_000_000
_BOM = b"\xef\xbb\xbf"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed."""
    name = path.name.lower()
    with path.open("rb") as raw:
        if name.endswith(".gz"):
            with gzip.open(raw) as inner:
                yield cast("BinaryIO", inner)
        elif name.endswith(".zst"):
            import zstandard

            with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                yield cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", stream)))
        else:
            yield raw


def bounded(raw: bytes | str) -> str:
    """At most `RAW_CHARS` characters of a row, whatever bytes it holds."""
    text = raw if isinstance(raw, str) else raw[: 4 * RAW_CHARS].decode("utf-8", "replace")
    text = text.rstrip("\r\n")
    return text if len(text) <= RAW_CHARS else text[: RAW_CHARS - 1] + "…"


def ndjson_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(row, line, bytes) of every line that is not blank; rows and lines count from 1."""
    with opened(path) as file:
        row = 0
        for line, text in enumerate(file, 1):
            content = text.removeprefix(_BOM) if line == 1 else text
            if content.strip():
                row += 1
                yield row, line, content


def ndjson_problem(content: bytes) -> str | None:
    """Why a line is no JSON object; None when it is one."""
    if len(content) > MAX_LINE_BYTES:
        return f"the line is longer than {MAX_LINE_BYTES} bytes"
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError:
        return "the line is not UTF-8 text"
    except json.JSONDecodeError as reason:
        return f"the line is not valid JSON: {reason.msg} at character {reason.colno}"
    except (ValueError, RecursionError) as reason:
        return f"the line is not valid JSON: {str(reason)[:100]}"
    if not isinstance(value, dict):
        return "the line is not a JSON object"
    return _surrogate_problem(content, value)


def mend_ndjson(path: Path, target: Path, *, also_bad: Mapping[int, str]) -> dict[int, str]:
    """Copy the file with every bad line replaced by `{}`, so that row numbers stay.

    Args:
        path: the file.
        target: where the copy goes, plain text.
        also_bad: rows that are known to be bad, with reasons.

    Returns:
        The bad rows with their reasons.
    """
    bad: dict[int, str] = {}
    with target.open("wb") as out:
        for row, _, content in ndjson_lines(path):
            problem = also_bad.get(row) or ndjson_problem(content)
            if problem is None:
                out.write(content if content.endswith(b"\n") else content + b"\n")
            else:
                bad[row] = problem
                out.write(b"{}\n")
    return bad


def locate_ndjson(path: Path, rows: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    """(row, line, raw text) of these rows (ascending)."""
    wanted = iter(rows)
    following = next(wanted, None)
    for row, line, content in ndjson_lines(path):
        if following is None:
            return
        if row == following:
            yield row, line, bounded(content)
            following = next(wanted, None)


def csv_header(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """The delimiter (of , ; tab |, the one that gives most columns) and the names in the first record.

    Raises:
        LakeError: the header is not UTF-8 text, or names a column twice or not at all.
    """
    try:
        with opened(path) as binary, io.TextIOWrapper(binary, "utf-8-sig", newline="") as text:
            first = text.readline(MAX_LINE_BYTES)
    except UnicodeDecodeError:
        raise LakeError(f"{name}: the header is not UTF-8 text; save the file as UTF-8") from None
    found = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in ",;\t|"}
    delimiter = max(found, key=lambda item: len(found[item]))
    names = tuple(found[delimiter])
    if not names or any(not column for column in names) or len(set(names)) != len(names):
        raise LakeError(
            f"{name}: the first line must be a header with a name of its own for every column; found "
            f"{bounded(first)[:200]!r}"
        )
    return delimiter, names


def csv_records(path: Path, delimiter: str) -> Iterator[tuple[int, int, str]]:
    """(record, line, raw text) of every record, the header being the first; the line is where it begins."""
    csv.field_size_limit(MAX_LINE_BYTES)
    with opened(path) as binary, io.TextIOWrapper(binary, "utf-8-sig", "replace", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter)
        record, begins = 0, 1
        for fields in reader:
            line, begins = begins, reader.line_num + 1
            if fields:
                record += 1
                yield record, line, bounded(delimiter.join(fields))


def locate_csv(
    path: Path, rows: Sequence[int], *, delimiter: str, rejected: Mapping[int, str]
) -> Iterator[tuple[int, int, str]]:
    """(row, line, raw text) of these rows (ascending); a rejected record has minus its record number as row.

    Rows count from 1; the header and rejected records are no rows.
    """
    wanted = frozenset(rows)
    row = 0
    for record, line, raw in csv_records(path, delimiter):
        if record in rejected:
            yield -record, line, raw
        elif record > 1:
            row += 1
            if row in wanted:
                yield row, line, raw


def check_readable(path: Path, name: str) -> None:
    """Refuse, in a sentence, what can't be read through to its end.

    Raises:
        LakeError: unreadable, empty, or broken compression.
    """
    try:
        with opened(path) as file:
            if not file.read(1):
                raise LakeError(
                    f"{name}: the file is empty; a file without rows still has a header, take it away"
                )
    except LakeError:
        raise
    except (OSError, EOFError) as reason:
        raise LakeError(
            f"{name}: can't be read ({reason}); it must be a readable file, whole when compressed"
        ) from None
    except Exception as reason:  # zstandard's own error, a class that is imported only where it is used
        if type(reason).__name__ != "ZstdError":
            raise
        raise LakeError(f"{name}: can't be read ({reason}); it must be a whole zstd file") from None


def _surrogate_problem(content: bytes, value: object) -> str | None:
    """Half a surrogate pair, which Python lets through and no UTF-8 text can hold."""
    if b"\\ud" not in content.lower():
        return None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "the line is not valid JSON: half a surrogate pair in a text"
    return None


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
