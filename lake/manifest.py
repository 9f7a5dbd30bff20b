"""Which files were ingested, which are new, and which batch a crash left unfinished: the table `ingested`.

A batch's plan is one Parquet file of `ingested` whose counts are null; when the batch is through, it is replaced
by the same rows with their counts. So every file has one row, and a null count says "not finished".
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
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

    def check_unchanged(self) -> None:
        """Refuse a file that was written to while it was read.

        Raises:
            LakeError: size or time are not those of the plan.
        """
        stat = self.file.path.stat()
        if (stat.st_size, stat.st_mtime_ns) != (self.bytes, self.modified_ns):
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


def pending(lake: Lake, found: Sequence[SourceFile]) -> Planned | None:
    """The batch that was planned and not finished; None when there is none.

    Raises:
        LakeError: one of its files has gone or changed.
    """
    known = [entry for entry in _known(lake) if entry.rows is None]
    if not known:
        return None
    by_name: dict[tuple[str, str, str], SourceFile] = {
        (file.source, file.kind, file.name): file for file in found
    }
    files = []
    for entry in known:
        file = by_name.get((entry.source, entry.kind, entry.path))
        if file is None or not file.path.exists():
            raise LakeError(
                f'{entry.path}: this file of source "{entry.source}" is gone, and its ingestion had begun; '
                "put it and its source back as they were, then run again"
            )
        files.append(_same(file, entry))
    return Planned(known[0].batch, tuple(files), is_recorded=True)


def plan_files(
    lake: Lake, found: Sequence[SourceFile], *, limit_bytes: int, limit_files: int
) -> Iterator[Planned]:
    """The new files, in batches of a bounded size.

    Raises:
        LakeError: a file that was ingested has other content now, or its source another definition.
    """
    entries = _known(lake)
    known: dict[tuple[str, str, str], _Known] = {
        (entry.source, entry.kind, entry.path): entry for entry in entries
    }
    new: list[SourceFile] = []
    for file in found:
        entry = known.get((file.source, file.kind, file.name))
        if entry is None:
            new.append(file)
        else:
            _same(file, entry)
    batch = max((entry.batch for entry in entries), default=0)
    chosen: list[PlannedFile] = []
    size = 0
    for file in new:
        planned = _hashed(file)
        if chosen and (size + planned.bytes > limit_bytes or len(chosen) >= limit_files):
            batch += 1
            yield Planned(batch, tuple(chosen))
            chosen, size = [], 0
        chosen.append(planned)
        size += planned.bytes
    if chosen:
        yield Planned(batch + 1, tuple(chosen))


def record_plan(lake: Lake, plan: Planned, folder: Path) -> None:
    """Commit the batch's manifest."""
    if plan.is_recorded:
        return
    snapshot = delta.load(lake.root, _TABLE)
    new = _write(lake, plan, folder / "plan.parquet", None)
    actions = delta.place(lake.root / _TABLE.name, _TABLE, [new], f"b{plan.batch:08d}-plan")
    delta.commit(snapshot, _TABLE, actions, app=(_PLAN, plan.batch))


def record_counts(
    lake: Lake, plan: Planned, read: Sequence[ReadFile], duplicates: Mapping[int, int], folder: Path
) -> None:
    """Commit the counts in place of the plan: the batch is finished."""
    snapshot = delta.load(lake.root, _TABLE)
    counts = [(item.rows, item.quarantined, duplicates.get(item.number, 0)) for item in read]
    new = _write(lake, plan, folder / "counts.parquet", counts)
    stem = f"b{plan.batch:08d}"
    gone = [file for file in delta.files(snapshot) if file.path.startswith(f"{stem}-plan")]
    actions: list[delta.Action] = [
        *delta.place(lake.root / _TABLE.name, _TABLE, [new], f"{stem}-done"),
        *(delta.removal(_TABLE, file) for file in gone),
    ]
    delta.commit(snapshot, _TABLE, actions, app=(APP, plan.batch))


def _write(
    lake: Lake, plan: Planned, target: Path, counts: Sequence[tuple[int, int, int]] | None
) -> delta.NewFile:
    files = plan.files
    rows, quarantined, duplicates = (
        zip(*counts, strict=True) if counts is not None else ([None] * len(files),) * 3
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
    }
    with duckdb.connect(":memory:") as con:
        new = delta.write_parquet(
            con,
            "SELECT $batch::BIGINT AS batch, unnest($sources) AS source, unnest($kinds) AS kind, "
            "unnest($paths) AS path, unnest($hashes) AS file_hash, unnest($bytes)::BIGINT AS bytes, "
            "unnest($modified)::BIGINT AS modified_ns, unnest($definitions) AS definition, "
            "unnest($rows)::BIGINT AS rows, unnest($quarantined)::BIGINT AS quarantined, "
            "unnest($duplicates)::BIGINT AS duplicates",
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
            f"SELECT {', '.join(fields)} FROM ({lake.relation('ingested')}) ORDER BY batch, source, kind, path"
        ).fetchall()
    return [_Known(*row) for row in rows]


def _hashed(file: SourceFile) -> PlannedFile:
    digest = hashlib.sha256()
    try:
        before = file.path.stat()
        with file.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as reason:
        raise LakeError(f"{file.name}: can't be read ({reason.strerror}); make it a readable file") from None
    planned = PlannedFile(file, digest.hexdigest(), before.st_size, before.st_mtime_ns)
    planned.check_unchanged()
    return planned


def _same(file: SourceFile, entry: _Known) -> PlannedFile:
    """The file as planned, once it is known to have the same content and meaning as then."""
    if file.mapping.definition != entry.definition and file.source != LANDING:
        raise LakeError(
            f"tenbin.toml: sources.{file.source} was changed after {file.name} had been ingested by it; put the "
            "definition back, give the new one another name, or remove lake/ to read everything again"
        )
    stat = file.path.stat()
    if (stat.st_size, stat.st_mtime_ns) != (entry.bytes, entry.modified_ns):
        fresh = _hashed(file)
        if fresh.sha256 != entry.file_hash:
            raise _changed(file.name)
        return fresh
    return PlannedFile(file, entry.file_hash, entry.bytes, entry.modified_ns)


def _changed(name: str) -> LakeError:
    return LakeError(
        f"{name}: the file has changed under its old name; sealed files never change: put new rows into a new "
        "file and this one back as it was"
    )
