"""Landing → lake, exactly once: plan, unit keys, rows, counts; each step is one commit under the batch's number.

A batch first reads its files through (whatever is wrong with a file is said before anything is written), then
commits the plan: which files, with which content. A crash after that resumes the same files under the same
number, and every table that has the number already is left alone.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import msgspec
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lake import delta, faults
from lake.dedup import IDENTITY, find_losers
from lake.errors import LakeError
from lake.lake import Lake, open_lake
from lake.locks import lock, scratch
from lake.manifest import APP, Planned, pending, plan_files, record_counts, record_plan
from lake.readers import ReadFile, make_stage, stage
from lake.sources import landing_files
from lake.sql import identifier, text_list
from lake.tables import TABLES
from workspace import Workspace

BATCH_BYTES = 1 << 30
BATCH_FILES = 2_000
_WAIT_S = 600.0
_RESTARTS = 3
Progress = Callable[[str, int, int], None]  # what, done, of how many bytes


class SourceCount(msgspec.Struct, frozen=True, kw_only=True):
    """What one source brought in one run."""

    source: str
    kind: str
    files: int
    rows: int  # in its files
    accepted: int
    duplicates: int
    quarantined: int


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of ingestion did; nothing new gives no sources and no batches."""

    sources: tuple[SourceCount, ...] = ()
    days: dict[str, tuple[dt.date, ...]] = {}  # kind → event days whose rows changed
    batches: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def files(self) -> int:
        return sum(source.files for source in self.sources)

    def markdown(self) -> str:
        """The counts as a Markdown table."""
        lines = [
            "| source | kind | files | rows | accepted | duplicates | quarantined |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {s.source.replace('|', chr(92) + '|')} | {s.kind} | {s.files} | {s.rows} | {s.accepted} "
            f"| {s.duplicates} | {s.quarantined} |"
            for s in self.sources
        ]
        return "\n".join(lines if self.sources else ["Nothing new."])


def ingest(workspace: Workspace, progress: Progress | None = None) -> IngestReport:
    """Bring every new file of every source into the lake; a second run changes nothing.

    Args:
        workspace: its sources and lake.
        progress: called with a word, bytes done and bytes in all.

    Raises:
        LakeError: a file or a source can't be used as it is, the disk is full, or another process ingests.
    """
    lake = open_lake(workspace)
    with lock(lake.root / ".ingest.lock", wait_s=_WAIT_S, purpose="ingesting into this workspace"):
        found = landing_files(workspace)
        done: list[_Batch] = []
        if (unfinished := pending(lake, found)) is not None:
            done.append(_run(lake, unfinished, progress))
        for plan in plan_files(lake, found, limit_bytes=BATCH_BYTES, limit_files=BATCH_FILES):
            done.append(_run(lake, plan, progress))
    return _report(done)


class _Batch:
    """One batch at work: its session, its staged files, what it found."""

    def __init__(self, lake: Lake, plan: Planned, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.lake, self.plan, self.con, self.folder = lake, plan, con, folder
        self.read: list[ReadFile] = []
        self.duplicates: dict[int, int] = defaultdict(int)
        self.days: dict[str, set[dt.date]] = defaultdict(set)

    @property
    def stem(self) -> str:
        return f"b{self.plan.batch:08d}"

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in IDENTITY if any(file.file.kind == kind for file in self.plan.files))


def _run(lake: Lake, plan: Planned, progress: Progress | None) -> _Batch:
    """One batch, begun anew when another writer was faster."""
    for _ in range(_RESTARTS):
        try:
            return _attempt(lake, plan, progress)
        except CommitFailedError:
            continue
        except duckdb.OutOfMemoryException as reason:
            raise LakeError(
                f"{lake.root}: batch {plan.batch} needs more memory or spill space than there is "
                f"({str(reason).splitlines()[0][:200]}); raise workspace.memory_limit in tenbin.toml or free disk space"
            ) from reason
        except duckdb.IOException as reason:
            raise LakeError(
                f"{lake.root}: the disk can't be written or read ({str(reason).splitlines()[0][:300]}); "
                "free space there, then run again: nothing was left half-written"
            ) from reason
    raise LakeError(f"{lake.root}: another writer kept changing the lake; run again when it has finished")


def _attempt(lake: Lake, plan: Planned, progress: Progress | None) -> _Batch:
    with lake.connect() as con, scratch(lake.root) as folder:
        batch = _Batch(lake, plan, con, folder)
        _stage(batch, progress)
        record_plan(lake, plan, folder)
        _write_keys(batch)
        for kind in batch.kinds:
            _write_records(batch, kind)
        _write_attributes(batch)
        _write_quarantine(batch)
        _count_duplicates(batch)
        record_counts(lake, plan, batch.read, batch.duplicates, folder)
    return batch


def _stage(batch: _Batch, progress: Progress | None) -> None:
    """Read every file of the batch into temporary tables."""
    con = batch.con
    make_stage(con)
    total, done = sum(file.bytes for file in batch.plan.files), 0
    for number, planned in enumerate(batch.plan.files):
        if progress is not None:
            progress("reading", done, total)
        batch.read.append(stage(con, planned.file, number, batch.folder))
        planned.check_unchanged()
        done += planned.bytes
        faults.reached("file staged")
    if progress is not None:
        progress("reading", done, total)
    columns = "file_no INTEGER, start BIGINT, source VARCHAR, path VARCHAR, file_hash VARCHAR"
    con.execute(f"CREATE OR REPLACE TEMP TABLE stage_files ({columns})")
    # Lists as parameters: registering a frame would import pandas, which takes longer than a small batch.
    con.execute(
        "INSERT INTO stage_files "
        "SELECT unnest($numbers), unnest($starts), unnest($sources), unnest($paths), unnest($hashes)",
        {
            "numbers": [read.number for read in batch.read],
            "starts": [read.start for read in batch.read],
            "sources": [file.file.source for file in batch.plan.files],
            "paths": [file.file.name for file in batch.plan.files],
            "hashes": [file.sha256 for file in batch.plan.files],
        },
    )
    for kind in batch.kinds:
        id_ = identifier(IDENTITY[kind][0])
        con.execute(
            f"CREATE OR REPLACE TEMP VIEW staged_{kind} AS SELECT * REPLACE "
            f"(coalesce({id_}, file_hash || ':' || file_row) AS {id_}) FROM ("
            f"SELECT s.*, f.source, f.file_hash, s.rowid - f.start + 1 AS file_row "
            f"FROM stage_{kind} AS s JOIN stage_files AS f USING (file_no) WHERE s.reason IS NULL)"
        )


def _write_keys(batch: _Batch) -> None:
    """Give every unit that has none the next dense key, in the order of type and id."""
    if not batch.kinds:
        return
    con, table = batch.con, TABLES["unit_keys"]
    units = " UNION ".join(f"SELECT DISTINCT unit_type, unit_id FROM staged_{kind}" for kind in batch.kinds)
    con.execute(f"CREATE OR REPLACE TEMP TABLE batch_units AS {units}")
    snapshot = delta.load(batch.lake.root, table)
    if not _is_done(snapshot, batch):
        _write_new_keys(batch, snapshot)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE batch_keys AS SELECT unit_type, unit_id, unit_key "
        "FROM unit_keys SEMI JOIN batch_units USING (unit_type, unit_id)"
    )


def _write_new_keys(batch: _Batch, snapshot: DeltaTable) -> None:
    con, table = batch.con, TABLES["unit_keys"]
    select = (
        "SELECT unit_type, unit_id, (SELECT coalesce(max(unit_key), 0) FROM unit_keys) "
        "+ row_number() OVER (ORDER BY unit_type, unit_id) AS unit_key, $batch::BIGINT AS batch "
        "FROM (SELECT * FROM batch_units ANTI JOIN unit_keys USING (unit_type, unit_id)) ORDER BY unit_key"
    )
    new = delta.write_parquet(con, select, batch.folder / "keys.parquet", params={"batch": batch.plan.batch})
    if new is not None:
        actions = delta.place(batch.lake.root / table.name, table, [new], batch.stem)
        delta.commit(snapshot, table, actions, app=(APP, batch.plan.batch))
        batch.lake.snapshot(con, "unit_keys")


def _write_records(batch: _Batch, kind: str) -> None:
    """De-duplicate, key, order and commit the rows of one kind; older rows that lost leave in the same commit."""
    con, table, lake = batch.con, TABLES[kind], batch.lake
    snapshot = delta.load(lake.root, table)
    files = {str(lake.root / kind / file.path): file for file in delta.files(snapshot)}
    lake_rows = delta.relation(
        lake.root / kind, delta.columns(snapshot), list(files.values()), with_filename=True
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW lake_{kind} AS {lake_rows}")
    days_kept = lake.workspace.config.workspace.dedup_days
    find_losers(con, kind, batch=batch.plan.batch, dedup_days=days_kept)
    _touch(batch, kind)
    if _is_done(snapshot, batch):
        return
    new = _new_files(batch, kind)
    rewritten, removed = _rewritten_files(batch, kind, files)
    if not new and not removed:
        return
    faults.reached(f"{kind}: written")
    actions: list[delta.Action] = [
        *delta.place(lake.root / kind, table, new, batch.stem),
        *delta.place(lake.root / kind, table, rewritten, f"{batch.stem}r"),
        *(delta.removal(table, file) for file in removed),
    ]
    faults.reached(f"{kind}: placed")
    delta.commit(snapshot, table, actions, app=(APP, batch.plan.batch))


def _new_files(batch: _Batch, kind: str) -> list[delta.NewFile]:
    """A file per day. Keys join and rows are ordered day by day: no second copy of all rows is ever made."""
    con, (id_, _, at) = batch.con, IDENTITY[kind]
    names = TABLES[kind].names
    listed = ", ".join("$batch::BIGINT AS batch" if name == "batch" else identifier(name) for name in names)
    select = (
        f"SELECT {listed} FROM staged_{kind} JOIN batch_keys USING (unit_type, unit_id) "
        f"ANTI JOIN (SELECT source, file_hash, file_row FROM losers_{kind} WHERE path IS NULL) "
        "USING (source, file_hash, file_row) WHERE occurred_on = $day "
        f"ORDER BY unit_key, {identifier(at)}, {identifier(id_)}"
    )
    days = con.execute(f"SELECT DISTINCT occurred_on FROM staged_{kind} ORDER BY 1").fetchall()
    written = (
        delta.write_parquet(
            con,
            select,
            batch.folder / f"{kind}-{day}.parquet",
            params={"day": day, "batch": batch.plan.batch},
            partition=day.isoformat(),
        )
        for (day,) in days
    )
    return [file for file in written if file is not None]


def _rewritten_files(
    batch: _Batch, kind: str, files: dict[str, delta.DataFile]
) -> tuple[list[delta.NewFile], list[delta.DataFile]]:
    """The lake's files that hold losers: written again without them, in their order."""
    con, table = batch.con, TABLES[kind]
    paths = [
        row[0]
        for row in con.execute(
            f"SELECT DISTINCT path FROM losers_{kind} WHERE path IS NOT NULL ORDER BY 1"
        ).fetchall()
    ]
    listed = ", ".join(map(identifier, table.names))
    order = ", ".join(map(identifier, (*table.order, IDENTITY[kind][0])))
    rewritten = []
    for number, path in enumerate(paths):
        file = delta.write_parquet(
            con,
            f"SELECT {listed} FROM read_parquet({text_list([path])}, hive_partitioning = false) "
            f"ANTI JOIN (SELECT source, file_hash, file_row FROM losers_{kind} WHERE path = $path) "
            f"USING (source, file_hash, file_row) ORDER BY {order}",
            batch.folder / f"{kind}-again-{number}.parquet",
            params={"path": path},
            partition=files[path].partition,
        )
        if file is not None:
            rewritten.append(file)
    return rewritten, [files[path] for path in paths]


def _touch(batch: _Batch, kind: str) -> None:
    rows = batch.con.execute(
        f"SELECT occurred_on FROM staged_{kind} "
        f"UNION SELECT occurred_on FROM losers_{kind} WHERE path IS NOT NULL"
    ).fetchall()
    batch.days[kind] |= {row[0] for row in rows}


def _write_attributes(batch: _Batch) -> None:
    """One row per attribute of every unit; a null says nothing."""
    select = (
        "SELECT unit_type, unit_id, key AS attribute, json_extract_string(attributes, '$.\"' || "
        "replace(replace(key, chr(92), chr(92) || chr(92)), '\"', chr(92) || '\"') || '\"') AS value, valid_from, "
        "source, file_hash, file_row, $batch::BIGINT AS batch FROM ("
        "SELECT s.*, f.source, f.file_hash, s.rowid - f.start + 1 AS file_row, unnest(json_keys(attributes)) AS key "
        "FROM stage_units AS s JOIN stage_files AS f USING (file_no) WHERE s.reason IS NULL) "
        "WHERE value IS NOT NULL ORDER BY unit_type, unit_id, attribute, valid_from, file_hash, file_row"
    )
    _write_plain(batch, "unit_attributes", select)


def _write_quarantine(batch: _Batch) -> None:
    select = (
        "SELECT f.source, f.path, f.file_hash, q.line, q.reason, q.raw, $batch::BIGINT AS batch "
        "FROM stage_quarantine AS q JOIN stage_files AS f USING (file_no) ORDER BY f.source, f.path, q.line"
    )
    _write_plain(batch, "quarantine", select)


def _write_plain(batch: _Batch, name: str, select: str) -> None:
    table = TABLES[name]
    snapshot = delta.load(batch.lake.root, table)
    if _is_done(snapshot, batch):
        return
    params = {"batch": batch.plan.batch}
    new = delta.write_parquet(batch.con, select, batch.folder / f"{name}.parquet", params=params)
    if new is not None:
        actions = delta.place(batch.lake.root / name, table, [new], batch.stem)
        delta.commit(snapshot, table, actions, app=(APP, batch.plan.batch))


def _count_duplicates(batch: _Batch) -> None:
    """Rows of each file that are good and yet not in the lake, as the losers of this batch say."""
    for kind in batch.kinds:
        rows = batch.con.execute(
            f"SELECT f.file_no, count(*) FROM losers_{kind} AS l JOIN stage_files AS f "
            "ON l.source = f.source AND l.file_hash = f.file_hash WHERE l.path IS NULL GROUP BY ALL"
        ).fetchall()
        for number, count in rows:
            batch.duplicates[number] += count


def _is_done(snapshot: DeltaTable, batch: _Batch) -> bool:
    done = snapshot.transaction_version(APP)
    return done is not None and done >= batch.plan.batch


def _report(batches: Sequence[_Batch]) -> IngestReport:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    days: dict[str, set[dt.date]] = defaultdict(set)
    warnings = []
    for batch in batches:
        for planned, read in zip(batch.plan.files, batch.read, strict=True):
            entry = counts[planned.file.source, planned.file.kind]
            duplicates = batch.duplicates[read.number]
            for index, value in enumerate((1, read.rows, duplicates, read.quarantined)):
                entry[index] += value
            if read.rows and read.quarantined == read.rows:
                warnings.append(
                    f"{planned.file.name}: all of its {read.rows} rows went to quarantine; see the lake's "
                    "table quarantine for the reasons"
                )
        for kind, touched in batch.days.items():
            days[kind] |= touched
    return IngestReport(
        sources=tuple(
            SourceCount(
                source=source,
                kind=kind,
                files=files,
                rows=rows,
                accepted=rows - duplicates - quarantined,
                duplicates=duplicates,
                quarantined=quarantined,
            )
            for (source, kind), (files, rows, duplicates, quarantined) in sorted(counts.items())
        ),
        days={kind: tuple(sorted(touched)) for kind, touched in sorted(days.items()) if touched},
        batches=tuple(batch.plan.batch for batch in batches),
        warnings=tuple(warnings),
    )
