"""Which files were ingested, which are new, and which batch a crash left unfinished: the table `ingested`.

A batch's plan is one Parquet file of `ingested` whose counts are null; when the batch is through, it is
replaced by the same rows with their counts. So every file has one row, and a null count says "not finished".
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from lake import delta
from lake.errors import LakeError
from lake.lake import Lake
from lake.readers import ReadFile
from lake.sources import LANDING, SourceFile
from lake.tables import TABLES

APP = "tenbin-ingest"
_PLAN = "tenbin-plan"
_TABLE = TABLES["ingested"]
_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class PlannedFile:
    """A file of a batch, with what was true of it when the batch was planned."""

    file: SourceFile
    sha256: str
    bytes: int
    modified_ns: int
    is_copy: bool = False  # of a file of its source that came before: all its rows are duplicates

    def check_unchanged(self) -> None:
        """Refuse a file that was written to while it was read.

        Raises:
            LakeError: size or time are not those of the plan.
        """
        if _state(self.file) != (self.bytes, self.modified_ns):
            raise _changed(self.file.name)


@dataclasses.dataclass(frozen=True)
class Planned:
    """A batch: its number and its files, in their order."""

    batch: int
    files: tuple[PlannedFile, ...]
    is_recorded: bool = False


@dataclasses.dataclass(frozen=True)
class _Known:
    batch: int
    source: str
    kind: str
    path: str
    file_hash: str
    bytes: int
    modified_ns: int
    definition: str
    rows: int | None


def plans(
    lake: Lake, found: Sequence[SourceFile], *, limit_bytes: int, limit_files: int
) -> Iterator[Planned]:
    """The batch that was planned and not finished, if there is one; then the new files, in bounded batches.

    Args:
        lake: whose table `ingested` says what came before; read again when the first batch is through.
        found: every file of every source.
        limit_bytes: of a batch, unless it is a single file.
        limit_files: of a batch.

    Raises:
        LakeError: a file that was ingested has gone half-way, has other content now, or its source another
            definition.
    """
    if (begun := unfinished(lake, found)) is not None:
        yield begun
    entries = _known(lake)
    batch = max((entry.batch for entry in entries), default=0)
    seen = {(entry.source, entry.kind, entry.file_hash) for entry in entries}
    for files in _batches(_new(entries, found), limit_bytes, limit_files):
        batch += 1
        with ThreadPoolExecutor() as pool:
            hashed = list(pool.map(_hashed, files))
        yield Planned(batch, tuple(_noted(file, seen) for file in hashed))


def pending(lake: Lake, found: Sequence[SourceFile]) -> list[SourceFile]:
    """The files that no finished batch has, told by their names alone: a look that opens none of them."""
    done = {(entry.source, entry.kind, entry.path) for entry in _known(lake) if entry.rows is not None}
    return [file for file in found if (file.source, file.kind, file.name) not in done]


def record_plan(lake: Lake, plan: Planned, stem: str, folder: Path) -> None:
    """Commit the batch's manifest."""
    if plan.is_recorded:
        return
    snapshot = delta.load(lake.root, _TABLE)
    new = _write(lake, plan, folder / "plan.parquet", None)
    actions = delta.place(lake.root / _TABLE.name, _TABLE, [new], f"{stem}-plan")
    delta.commit(lake.root, _TABLE, snapshot, actions, app=(_PLAN, plan.batch))


def record_counts(
    lake: Lake,
    plan: Planned,
    read: Sequence[ReadFile],
    *,
    duplicates: Mapping[int, int],
    stem: str,
    folder: Path,
) -> None:
    """Commit the counts in place of the plan: the batch is finished."""
    snapshot = delta.load(lake.root, _TABLE)
    counts = [(item.rows, item.quarantined, duplicates[item.number], item.suppressed) for item in read]
    new = _write(lake, plan, folder / "counts.parquet", counts)
    gone = [file for file in delta.files(snapshot) if file.path.startswith(f"b{plan.batch:08d}-")]
    actions: list[delta.Action] = [
        *delta.place(lake.root / _TABLE.name, _TABLE, [new], f"{stem}-done"),
        *(delta.removal(_TABLE, file) for file in gone),
    ]
    delta.commit(lake.root, _TABLE, snapshot, actions, app=(APP, plan.batch))


def unfinished(lake: Lake, found: Sequence[SourceFile]) -> Planned | None:
    """The batch that was planned and not finished, if there is one.

    Raises:
        LakeError: one of its files has gone or changed.
    """
    entries = _known(lake)
    begun = [entry for entry in entries if entry.rows is None]
    if not begun:
        return None
    by_name: dict[tuple[str, str, str], SourceFile] = {
        (file.source, file.kind, file.name): file for file in found
    }
    seen = {(entry.source, entry.kind, entry.file_hash) for entry in entries if entry.rows is not None}
    files = []
    for entry in begun:
        file = by_name.get((entry.source, entry.kind, entry.path))
        if file is None:
            raise LakeError(
                f'{entry.path}: this file of source "{entry.source}" is gone, and its ingestion had begun; '
                "put it and its source back as they were, then run again"
            )
        files.append(_noted(_same(file, entry), seen))
    return Planned(begun[0].batch, tuple(files), is_recorded=True)


def _new(entries: Sequence[_Known], found: Sequence[SourceFile]) -> list[SourceFile]:
    """The files that were not ingested yet, after a look at those that were."""
    known = {(entry.source, entry.kind, entry.path): entry for entry in entries}
    new = []
    for file in found:
        entry = known.get((file.source, file.kind, file.name))
        if entry is None:
            new.append(file)
        else:
            _same(file, entry)
    return new


def _batches(files: Sequence[SourceFile], limit_bytes: int, limit_files: int) -> Iterator[list[SourceFile]]:
    chosen: list[SourceFile] = []
    size = 0
    for file in files:
        bytes_, _ = _state(file)
        if chosen and (size + bytes_ > limit_bytes or len(chosen) >= limit_files):
            yield chosen
            chosen, size = [], 0
        chosen.append(file)
        size += bytes_
    if chosen:
        yield chosen


def _noted(planned: PlannedFile, seen: set[tuple[str, str, str]]) -> PlannedFile:
    """The file, marked when its content came before."""
    content = (planned.file.source, planned.file.kind, planned.sha256)
    is_copy = content in seen
    seen.add(content)
    return dataclasses.replace(planned, is_copy=is_copy)


def _write(
    lake: Lake, plan: Planned, target: Path, counts: Sequence[tuple[int, int, int, int]] | None
) -> delta.NewFile:
    files = plan.files
    rows, quarantined, duplicates, suppressed = (
        zip(*counts, strict=True) if counts is not None else ([None] * len(files),) * 4
    )
    columns = {
        "sources": [file.file.source for file in files],
        "kinds": [file.file.kind for file in files],
        "paths": [file.file.name for file in files],
        "hashes": [file.sha256 for file in files],
        "bytes": [file.bytes for file in files],
        "modified": [file.modified_ns for file in files],
        "definitions": [file.file.mapping.definition for file in files],
        "rows": list(rows),
        "quarantined": list(quarantined),
        "duplicates": list(duplicates),
        "suppressed": list(suppressed),
    }
    with duckdb.connect(":memory:") as con:
        new = delta.write_parquet(
            con,
            "SELECT $batch::BIGINT AS batch, unnest($sources) AS source, unnest($kinds) AS kind, "
            "unnest($paths) AS path, unnest($hashes) AS file_hash, unnest($bytes)::BIGINT AS bytes, "
            "unnest($modified)::BIGINT AS modified_ns, unnest($definitions) AS definition, "
            "unnest($rows)::BIGINT AS rows, unnest($quarantined)::BIGINT AS quarantined, "
            "unnest($duplicates)::BIGINT AS duplicates, unnest($suppressed)::BIGINT AS suppressed, "
            "NULL::VARCHAR AS replaced_by",
            target,
            params={"batch": plan.batch, **columns},
        )
    if new is None:
        raise LakeError(f"{lake.root}: a batch without files can't be planned")
    return new


def _known(lake: Lake) -> list[_Known]:
    fields = [field.name for field in dataclasses.fields(_Known)]
    with duckdb.connect(":memory:") as con:
        rows = con.execute(
            f"SELECT {', '.join(fields)} FROM ({lake.relation('ingested')}) "
            "ORDER BY batch, source, kind, path"
        ).fetchall()
    return [_Known(*row) for row in rows]


def _hashed(file: SourceFile) -> PlannedFile:
    digest = hashlib.sha256()
    size, modified_ns = _state(file)
    try:
        with file.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as reason:
        raise _unreadable(file, reason) from None
    planned = PlannedFile(file, digest.hexdigest(), size, modified_ns)
    planned.check_unchanged()
    return planned


def _same(file: SourceFile, entry: _Known) -> PlannedFile:
    """The file as planned, once it is known to have the same content and meaning as then."""
    if file.mapping.definition != entry.definition and file.source != LANDING:
        raise LakeError(
            f"tenbin.toml: sources.{file.source} was changed after {file.name} had been ingested by it; put "
            "the definition back, give the new one another name, or remove lake/ to read everything again"
        )
    if _state(file) == (entry.bytes, entry.modified_ns):
        return PlannedFile(file, entry.file_hash, entry.bytes, entry.modified_ns)
    fresh = _hashed(file)
    if fresh.sha256 != entry.file_hash:
        raise _changed(file.name)
    return fresh


def _state(file: SourceFile) -> tuple[int, int]:
    """Size and time of the last change: while they stay, the content is taken to be the same."""
    try:
        stat = file.path.stat()
    except OSError as reason:
        raise _unreadable(file, reason) from None
    return stat.st_size, stat.st_mtime_ns


def _unreadable(file: SourceFile, reason: OSError) -> LakeError:
    return LakeError(f"{file.name}: can't be read ({reason.strerror}); make it a readable file")


def _changed(name: str) -> LakeError:
    return LakeError(
        f"{name}: the file has changed under its old name; sealed files never change: put new rows into a "
        "new file and this one back as it was"
    )
