"""The file on disk: that it is there, what its name says it is, and its content unpacked.

Compressed text is unpacked to a scratch file first: DuckDB itself takes a `.zst` that was cut off for a whole
one, and does not look at the checksum of a `.gz`. (`lake.textfiles` does the same; importing it would bring
the SQL compiler along, which takes longer than the whole analysis.)
"""

import gzip
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from tenbin.analyze.errors import AnalyzeError
from workspace import suggest

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
_CHUNK = 1 << 20
_ZSTD_CHUNK = 1 << 13  # a crafted file grows 30,000-fold, so it is unpacked in small bites


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A file to analyse."""

    path: Path  # as it was named, for messages
    format: Format
    data: Path  # where its plain content lies

    def row(self, number: int) -> str:
        """Where a row is, for messages; rows count from 1."""
        counted = " (header not counted)" if self.format == "csv" else ""
        return f"{self.path}: row {number:,}{counted}"


def open_input(path: Path, scratch: Path) -> Input:
    """Check the file and unpack it into `scratch` when it is compressed text.

    Raises:
        AnalyzeError: it is not there, a directory, empty, unreadable, of no known format, or badly packed.
    """
    _require_file(path)
    stored = _format(path)
    unpack = _UNPACK.get(path.suffix.lower())
    if unpack is None:
        return Input(path=path, format=stored, data=path.absolute())
    data = scratch / f"data.{stored}"
    _unpack(path, data, unpack)
    if not data.stat().st_size:
        raise AnalyzeError(f"{path}: is empty; it must have a header and at least one row")
    return Input(path=path, format=stored, data=data)


def _require_file(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise AnalyzeError(f"{path!r}: its name is not UTF-8; rename it") from None
    if path.is_dir():
        raise AnalyzeError(f"{path}: is a directory; give one file in it")
    if not path.exists():
        raise AnalyzeError(f"{path}: there is no such file; {_nearby(path)}")
    if not path.is_file():
        raise AnalyzeError(f"{path}: is not a regular file; save the data to a file first")
    try:
        path.open("rb").close()
    except OSError as reason:
        raise AnalyzeError(
            f"{path}: can't be read ({reason.strerror}); make it readable for this user"
        ) from None
    if not path.stat().st_size:
        raise AnalyzeError(f"{path}: is empty; it must have a header and at least one row")


def _nearby(path: Path) -> str:
    """What the file may have been meant to be."""
    try:
        names = [entry.name for entry in os.scandir(path.parent) if _stored(Path(entry.name))]
    except OSError:
        return f"there is no directory {path.parent} either; check the path"
    return suggest(path.name, names) if names else f"{path.parent} holds no file that could be analysed"


def _format(path: Path) -> Format:
    stored = _stored(path)
    if stored is None:
        raise AnalyzeError(
            f"{path}: its name does not say what it is; name it .csv, .tsv, .ndjson, .jsonl or .json "
            "(each also with .gz or .zst), or .parquet"
        )
    return stored


def _stored(path: Path) -> Format | None:
    name = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    stored = _FORMATS.get(name.suffix.lower())
    return None if stored == "parquet" and name is not path else stored


def _unpack(path: Path, data: Path, unpack: Callable[[BinaryIO, BinaryIO], None]) -> None:
    with path.open("rb") as packed, data.open("wb") as plain:
        try:
            unpack(packed, plain)
        except (gzip.BadGzipFile, zlib.error, EOFError) as reason:
            raise AnalyzeError(f"{path}: can't be unpacked ({reason}); {_pack_hint(path)}") from None


def _gunzip(packed: BinaryIO, plain: BinaryIO) -> None:
    with gzip.open(packed) as stream:
        shutil.copyfileobj(stream, plain, _CHUNK)


def _unzstd(packed: BinaryIO, plain: BinaryIO) -> None:
    """Frame by frame, because only the end of a frame tells that nothing is missing."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    try:
        while chunk := packed.read(_ZSTD_CHUNK):
            while chunk:
                if frame.eof:
                    frame = decompressor.decompressobj()
                plain.write(frame.decompress(chunk))
                chunk = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as reason:
        raise zlib.error(str(reason)) from None
    if not frame.eof:
        raise EOFError("Compressed file ended before its last frame was complete")


def _pack_hint(path: Path) -> str:
    kind = "gzip" if path.suffix.lower() == ".gz" else "zstandard"
    return f"it must be a whole {kind} file; get it again, or take {path.suffix} off the name of a plain file"


_UNPACK: dict[str, Callable[[BinaryIO, BinaryIO], None]] = {".gz": _gunzip, ".zst": _unzstd}
