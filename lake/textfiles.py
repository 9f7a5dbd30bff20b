"""Text files a line at a time: unpacked, checked to their end, and their bad rows located.

DuckDB reads files fast and says of a bad row neither line nor reason; those with bad rows are read again.
"""

import csv
import gzip
import json
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO, TypeVar

from lake.errors import LakeError

RAW_CHARS = 2_000
MAX_LINE_BYTES = 16_000_000  # of NDJSON
MAX_CSV_BYTES = 2_000_000  # of a record, though it has several lines; DuckDB takes sixteen times that to read
T = TypeVar("T")

PACKED = (".gz", ".zst")
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 20
# A crafted zstd file grows 30,000-fold, so it is unpacked in small bites.
_ZSTD_CHUNK = 1 << 13
_NOT_TEXT = "the line is not UTF-8 text"
_TOO_LONG = f"the line is longer than {MAX_LINE_BYTES} bytes"


class CsvRecord(NamedTuple):
    """One record of a CSV file after the header."""

    line: int  # where it begins, from 1
    fields: list[str]
    problem: str | None  # why it is none
    raw: str
    last: int  # line where it ends


def plain(path: Path, name: str, scratch: Path) -> Path:
    """The file itself or, when its name says that it is compressed, its content unpacked into `scratch`.

    Unpacking checks lengths and checksums to the last byte.

    Raises:
        LakeError: the file is unreadable, empty, torn or damaged.
    """
    unpack = {".gz": _gzip_chunks, ".zst": _zstd_chunks}.get(path.suffix.lower())
    if unpack is None:
        target, size = path, len(next(_chunks(path, name, _raw_chunks), b""))
    else:
        target, size = scratch / "unpacked", 0
        with target.open("wb") as out:
            for chunk in _chunks(path, name, unpack):
                size += out.write(chunk)
    if size == 0:
        raise LakeError(f"{name}: the file is empty; take it away, or write it anew with its rows")
    return target


def bounded(raw: bytes | str) -> str:
    """At most `RAW_CHARS` characters of a row, whatever bytes it holds."""
    data = raw if isinstance(raw, bytes) else raw[: RAW_CHARS + 1].encode("utf-8", "surrogateescape")
    text = data[: 4 * RAW_CHARS].decode("utf-8", "replace").rstrip("\r\n")
    return text if len(text) <= RAW_CHARS else text[: RAW_CHARS - 1] + "…"


def has_bom(path: Path) -> bool:
    """Whether the file begins with a byte order mark."""
    with path.open("rb") as file:
        return file.read(len(_BOM)) == _BOM


def mend_ndjson(path: Path, target: Path) -> None:
    """Copy the file without its byte order mark, and with `{}` for lines too long to be read."""
    with target.open("wb") as out:
        for _, content in _ndjson_lines(path):
            out.write(content.rstrip(b"\n") + b"\n" if len(content) <= MAX_LINE_BYTES else b"{}\n")


def locate_ndjson(path: Path, bad: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    """(line, reason, raw text) of bad rows, given as (row, reason) in their order.

    Rows count from 1 and are the lines that are not blank. A line that is no JSON object says so instead of
    what its missing fields gave as a reason.
    """
    for (line, content), reason in _pick(_ndjson_lines(path), bad):
        yield line, ndjson_problem(content) or reason, bounded(content)


def ndjson_keys(path: Path) -> frozenset[str]:
    """Every key that some line has."""
    lines = (content for _, content in _ndjson_lines(path) if ndjson_problem(content) is None)
    return frozenset(key for content in lines for key in json.loads(content))


def ndjson_problem(content: bytes) -> str | None:
    """Why a line is no JSON object; None when it is one."""
    if len(content) > MAX_LINE_BYTES:
        return _TOO_LONG
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError:
        return _NOT_TEXT
    except json.JSONDecodeError as reason:
        return f"the line is not valid JSON: {reason.msg} at character {reason.colno}"
    except (ValueError, RecursionError) as reason:
        return f"the line is not valid JSON: {str(reason)[:100]}"
    if not isinstance(value, dict):
        return "the line is not a JSON object"
    return _surrogate_problem(content, value)


def csv_header(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """The delimiter (of , ; tab |, the one that gives most columns) and the names in the header.

    Raises:
        LakeError: the header is not UTF-8 text or no CSV.
    """
    found = {delimiter: _first_record(path, name, delimiter) for delimiter in ",;\t|"}
    delimiter = max(found, key=lambda item: len(found[item]))
    return delimiter, tuple(found[delimiter])


def mend_csv(path: Path, target: Path, delimiter: str, header: Sequence[str]) -> None:
    """Copy the file with empty values in place of every bad record, so that row numbers stay."""
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        for record in _csv_records(path, delimiter, len(header)):
            writer.writerow(record.fields if record.problem is None else [""] * len(header))


def locate_csv(
    path: Path, delimiter: str, width: int, bad: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, str, str]]:
    """(line, reason, raw text) of bad rows, given as (row, reason) in their order; the header is no row."""
    for record, reason in _pick(_csv_records(path, delimiter, width), bad):
        yield record.line, record.problem or reason, record.raw


def ndjson_lines(path: Path, rows: Sequence[int]) -> Iterator[int]:
    """The lines of rows, which count from 1 and are the lines that are not blank; both ascending."""
    for (line, _), _ in _pick(_ndjson_lines(path), ((row, "") for row in rows)):
        yield line


def csv_lines(path: Path, delimiter: str, width: int, rows: Sequence[int]) -> Iterator[int]:
    """All lines of rows, which count from 1 after the header; both ascending."""
    for record, _ in _pick(_csv_records(path, delimiter, width), ((row, "") for row in rows)):
        yield from range(record.line, record.last + 1)


def copy_without(path: Path, target: Path, lines: Iterator[int], *, newline: str) -> None:
    r"""Copy a text byte by byte, without these lines (from 1, ascending).

    Args:
        path: the text.
        target: the copy.
        lines: to be left out.
        newline: what ends a line, as `open` has it: "\n" alone, or "" for a carriage return too.
    """
    gone, line, is_begin = next(lines, None), 1, True
    with (
        path.open(encoding="utf-8", errors="surrogateescape", newline=newline) as text,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
    ):
        while piece := text.readline(_CHUNK):
            if is_begin and gone is not None and gone < line:
                gone = next(lines, None)
            if line != gone:
                out.write(piece)
            is_begin = piece.endswith(("\n", "\r") if newline == "" else "\n")
            line += is_begin


def pack(path: Path, target: Path) -> None:
    """Copy a file, compressed as the name of `target` says; equal content gives equal bytes."""
    kind = target.suffix.lower()
    if kind == ".gz":
        with path.open("rb") as raw, target.open("wb") as out, gzip.GzipFile("", "wb", 6, out, 0) as packed:
            shutil.copyfileobj(raw, packed, _CHUNK)
    elif kind == ".zst":
        from zstandard import ZstdCompressor

        with path.open("rb") as raw, target.open("wb") as out:
            ZstdCompressor(write_checksum=True).copy_stream(raw, out, size=path.stat().st_size)
    else:
        shutil.copyfile(path, target)


def _pick(records: Iterator[T], wanted: Iterator[tuple[int, str]]) -> Iterator[tuple[T, str]]:
    """The records whose number (from 1) is wanted, each with its reason."""
    following = next(wanted, None)
    for row, record in enumerate(records, 1):
        if following is None:
            return
        if row == following[0]:
            yield record, following[1]
            following = next(wanted, None)


def _ndjson_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line, bytes) of every line that is not blank; one that is too long is cut."""
    with path.open("rb") as file:
        line = 0
        while content := file.readline(MAX_LINE_BYTES + 1):
            line += 1
            rest = content
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(_CHUNK)
            if line == 1:
                content = content.removeprefix(_BOM)
            if content.strip():
                yield line, content


class _CsvLines:
    """The lines of a text for `csv.reader`, counted, and kept until the record is through."""

    def __init__(self, text: TextIO) -> None:
        self.text = text
        self.count = 0
        self.begin_record()

    def begin_record(self) -> None:
        self.kept = ""
        self.size = 0

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        line = self.text.readline(MAX_CSV_BYTES + 1)
        if not line:
            raise StopIteration
        self.count += 1
        self.kept = (self.kept + line[: RAW_CHARS + 1])[: RAW_CHARS + 1]
        self.size += len(line.encode("utf-8", "surrogateescape"))
        if self.size <= MAX_CSV_BYTES:
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self.text.readline(MAX_CSV_BYTES)
        raise csv.Error(f"it is longer than {MAX_CSV_BYTES} bytes")


def _open_text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _first_record(path: Path, name: str, delimiter: str) -> list[str]:
    csv.field_size_limit(MAX_CSV_BYTES)
    with _open_text(path) as text:
        try:
            fields = next(csv.reader(_CsvLines(text), delimiter=delimiter), [])
            "".join(fields).encode()
        except UnicodeEncodeError:
            raise LakeError(f"{name}: the header is not UTF-8 text; save the file as UTF-8") from None
        except csv.Error as reason:
            raise LakeError(
                f"{name}: the header is not valid CSV: {reason}; begin the file with a line of column names"
            ) from None
    return fields


def _csv_records(path: Path, delimiter: str, width: int) -> Iterator[CsvRecord]:
    """Every record after the header that is not blank, good or bad."""
    csv.field_size_limit(MAX_CSV_BYTES)
    with _open_text(path) as text:
        lines = _CsvLines(text)
        next(csv.reader(lines, delimiter=delimiter), None)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            line, problem = lines.count + 1, None
            lines.begin_record()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as reason:
                fields, problem = [], f"the line is not valid CSV: {reason}"
            if width == 1:
                fields = fields or [""]  # of a single column, a blank line is an empty value
            if fields or problem:
                said = problem or _csv_problem(fields, width)
                yield CsvRecord(line, fields, said, bounded(lines.kept), lines.count)


def _csv_problem(fields: Sequence[str], width: int) -> str | None:
    if len(fields) != width:
        return f"the line is not valid CSV: {len(fields)} values for {width} columns"
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return _NOT_TEXT
    return None


def _chunks(path: Path, name: str, read: Callable[[BinaryIO], Iterator[bytes]]) -> Iterator[bytes]:
    """What `read` makes of the file.

    Raises:
        LakeError: the file can't be read.
    """
    from zstandard import ZstdError

    try:
        with path.open("rb") as raw:
            yield from read(raw)
    except (OSError, EOFError, zlib.error, ZstdError) as reason:
        raise LakeError(
            f"{name}: can't be read ({reason}); it must be a readable file, whole when it is compressed"
        ) from None


def _raw_chunks(raw: BinaryIO) -> Iterator[bytes]:
    while chunk := raw.read(_CHUNK):
        yield chunk


def _gzip_chunks(raw: BinaryIO) -> Iterator[bytes]:
    with gzip.open(raw) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _zstd_chunks(raw: BinaryIO) -> Iterator[bytes]:
    """Frame by frame: the library's own streams take the end of the file for the end of a torn frame."""
    from zstandard import ZstdDecompressor

    frame = None
    while chunk := raw.read(_ZSTD_CHUNK):
        while chunk:
            if frame is None or frame.eof:
                frame = ZstdDecompressor().decompressobj()
            yield frame.decompress(chunk)
            chunk = frame.unused_data
    if frame is not None and not frame.eof:
        raise EOFError("it ends within a zstd frame")


def _surrogate_problem(content: bytes, value: object) -> str | None:
    """Half a surrogate pair, which Python lets through and no UTF-8 text can hold."""
    if b"\\ud" not in content.lower():
        return None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "the line is not valid JSON: half a surrogate pair in a text"
    return None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
