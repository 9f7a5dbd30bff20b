"""One batch: stage, plan, unit keys, rows, attributes, quarantine, counts; each a commit under its number.

The files are read through first, so that whatever is wrong with one is said before anything is written. A
crash after the plan resumes the same files under the same number; a table that has the number is left alone.
"""

import datetime as dt
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb
from deltalake import DeltaTable

from lake import aggregates, delta, faults
from lake.dedup import IDENTITY, find_losers
from lake.errors import LakeError, meaning
from lake.lake import Lake
from lake.locks import scratch
from lake.manifest import APP, Planned, record_counts, record_plan
from lake.memory import parts_to_order, rows_per_group, threads
from lake.readers import ReadFile, make_stage, stage
from lake.sql import file_literal, identifier
from lake.suppression import load_suppression
from lake.tables import TABLES, Table

# The columns that may hold long texts.
_OBJECTS = {"events": "properties", "exposures": "attributes", "assignments": "attributes"}
_LAST_KEY = (1 << 63) - 1
Progress = Callable[[str, int, int], None]  # what, done, of how many bytes


class Batch:
    """A batch at work: its session, its folder, what it has found."""

    def __init__(self, lake: Lake, plan: Planned, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self.lake, self.plan, self.con, self.folder = lake, plan, con, folder
        # An attempt has names of its own: what a killed one left behind is never taken for anything.
        self.stem = f"b{plan.batch:08d}-{uuid.uuid4().hex[:12]}"
        self.read: list[ReadFile] = []
        self.kept: dict[int, int] = {}  # number of the file → rows of it that the lake has now
        self.days: dict[str, set[dt.date]] = defaultdict(set)  # kind → event days whose rows changed

    @property
    def app(self) -> tuple[str, int]:
        """What marks a table that has this batch."""
        return APP, self.plan.batch

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in IDENTITY if any(file.file.kind == kind for file in self.plan.files))

    @property
    def duplicates(self) -> dict[int, int]:
        """Number of the file → good rows that are in the lake already, or lost to a row of the batch."""
        return {
            file.number: file.rows - file.quarantined - file.suppressed - self.kept.get(file.number, 0)
            for file in self.read
        }


def run(lake: Lake, plan: Planned, progress: Progress | None) -> Batch:
    """Bring the files of a plan into the lake.

    Raises:
        LakeError: a file can't be used as it is, or disk or memory do not suffice.
        CommitFailedError: another writer was faster; plan and read anew.
    """
    with _readable_failures(lake, plan), lake.connect() as con, scratch(lake.root) as folder:
        batch = Batch(lake, plan, con, folder)
        _stage(batch, progress)
        record_plan(lake, plan, batch.stem, folder)
        _write_keys(batch)
        for kind in batch.kinds:
            _write_records(batch, kind)
        _write_attributes(batch)
        _write_given_moments(batch)
        _write_quarantine(batch)
        record_counts(lake, plan, batch.read, duplicates=batch.duplicates, stem=batch.stem, folder=folder)
    return batch


@contextmanager
def _readable_failures(lake: Lake, plan: Planned) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as reason:
        raise LakeError(
            f"{lake.root}: batch {plan.batch} needs more memory than there is, or more disk for what does "
            f"not fit into it ({meaning(reason, lake.root)}); free space on the disk, or raise "
            "workspace.memory_limit in tenbin.toml, then run again: nothing was left half-written"
        ) from reason
    except (duckdb.IOException, OSError) as reason:
        raise LakeError(
            f"{lake.root}: can't be written or read: {meaning(reason, lake.root)}; free space there or make "
            "it writable, then run again: nothing was left half-written"
        ) from reason


def _stage(batch: Batch, progress: Progress | None) -> None:
    """Read every file of the batch into staging tables."""
    con, suppression = batch.con, load_suppression(batch.lake)
    make_stage(con)
    total, done = sum(file.bytes for file in batch.plan.files), 0
    for number, planned in enumerate(batch.plan.files):
        if progress is not None:
            progress("reading", done, total)
        folder = batch.folder / "reading"
        folder.mkdir()
        batch.read.append(stage(con, planned.file, number, folder, suppression))
        shutil.rmtree(folder)
        planned.check_unchanged()
        done += planned.bytes
        faults.reached("file staged")
    if progress is not None:
        progress("reading", done, total)
    # Lists as parameters: registering a frame would import pandas, which takes longer than a small batch.
    con.execute(
        "CREATE TABLE stage_files AS SELECT unnest($numbers) AS file_no, unnest($starts) AS start, "
        "unnest($sources) AS source, unnest($paths) AS path, unnest($hashes) AS file_hash, "
        "unnest($copies) AS is_copy",
        {
            "numbers": [read.number for read in batch.read],
            "starts": [read.start for read in batch.read],
            "sources": [file.file.source for file in batch.plan.files],
            "paths": [file.file.name for file in batch.plan.files],
            "hashes": [file.sha256 for file in batch.plan.files],
            "copies": [file.is_copy for file in batch.plan.files],
        },
    )
    for kind in (*batch.kinds, "units", "moments"):
        con.execute(
            f"CREATE VIEW good_{kind} AS SELECT s.*, s.rowid AS staged_row, "
            "f.source, f.file_hash, s.rowid - f.start + 1 AS file_row "
            f"FROM stage_{kind} AS s JOIN stage_files AS f USING (file_no) "
            "WHERE s.reason IS NULL AND NOT f.is_copy"
        )
    for kind in batch.kinds:
        id_ = identifier(IDENTITY[kind][0])
        con.execute(
            f"CREATE VIEW staged_{kind} AS SELECT * REPLACE "
            f"(coalesce({id_}, file_hash || ':' || file_row) AS {id_}) FROM good_{kind}"
        )


def _write_keys(batch: Batch) -> None:
    """Give every unit that has none the next dense key, in the order of type and id."""
    if not batch.kinds:
        return
    con, table, root = batch.con, TABLES["unit_keys"], batch.lake.root
    snapshot = delta.load(root, table)
    _show(batch, table, snapshot)
    units = " UNION ALL ".join(f"SELECT unit_type, unit_id FROM staged_{kind}" for kind in batch.kinds)
    con.execute(f"CREATE TABLE batch_units AS SELECT DISTINCT unit_type, unit_id FROM ({units})")
    select = (
        "SELECT unit_type, unit_id, (SELECT coalesce(max(unit_key), 0) FROM unit_keys) "
        "+ row_number() OVER (ORDER BY unit_type, unit_id) AS unit_key, $batch::BIGINT AS batch "
        "FROM (SELECT * FROM batch_units ANTI JOIN unit_keys USING (unit_type, unit_id)) ORDER BY unit_key"
    )
    # No number is needed: who has a key gets no other, on this very snapshot.
    _append(batch, table, snapshot, select)
    _show(batch, table, snapshot)
    con.execute(
        "CREATE TABLE batch_keys AS SELECT unit_type, unit_id, unit_key "
        "FROM unit_keys SEMI JOIN batch_units USING (unit_type, unit_id)"
    )


def _show(batch: Batch, table: Table, snapshot: DeltaTable) -> None:
    """Let the session's view say what this snapshot says."""
    rows = delta.relation(batch.lake.root / table.name, delta.columns(snapshot), delta.files(snapshot))
    batch.con.execute(f"CREATE OR REPLACE TEMP VIEW {table.name} AS {rows}")


def _write_records(batch: Batch, kind: str) -> None:
    """De-duplicate, key, order and commit rows of a kind; older rows that lost leave in the same commit."""
    con, table, root = batch.con, TABLES[kind], batch.lake.root
    snapshot = delta.load(root, table)
    near = _near_files(batch, kind, snapshot)
    find_losers(con, kind, batch=batch.plan.batch, dedup_days=_dedup_days(batch))
    _keep_winners(batch, kind)
    batch.days[kind] |= {*_days(con, f"staged_{kind}"), *_days(con, f"losers_{kind}")}
    if delta.is_done(snapshot, batch.app):
        return
    new = _new_files(batch, kind)
    rewritten, removed = _rewritten_files(batch, kind, near)
    if not new and not removed:
        return
    faults.reached(f"{kind}: written")
    actions: list[delta.Action] = [
        *delta.place(root / kind, table, new, batch.stem),
        *delta.place(root / kind, table, rewritten, f"{batch.stem}-again"),
        *(delta.removal(table, file) for file in removed),
    ]
    faults.reached(f"{kind}: placed")
    delta.commit(root, table, snapshot, actions, app=batch.app)


def _near_files(batch: Batch, kind: str, snapshot: DeltaTable) -> dict[str, delta.DataFile]:
    """Make the view lake_KIND of days where rows of the batch may already be; its files by their paths."""
    folder, around = batch.lake.root / kind, range(-_dedup_days(batch), _dedup_days(batch) + 1)
    days = {
        delta.partition_text(day + dt.timedelta(days=shift))
        for day in _days(batch.con, f"staged_{kind}")
        for shift in around
    }
    near = {str(folder / file.path): file for file in delta.files(snapshot) if file.partition in days}
    rows = delta.relation(folder, TABLES[kind].columns, list(near.values()), with_filename=True)
    batch.con.execute(f"CREATE VIEW lake_{kind} AS {rows}")
    return near


def _dedup_days(batch: Batch) -> int:
    return batch.lake.workspace.config.workspace.dedup_days


def _keep_winners(batch: Batch, kind: str) -> None:
    """Make the narrow table kept_KIND of rows that go into the lake, with their unit keys."""
    batch.con.execute(
        f"CREATE TABLE kept_{kind} AS SELECT file_no, staged_row, occurred_on, unit_key "
        f"FROM staged_{kind} JOIN batch_keys USING (unit_type, unit_id) "
        f"ANTI JOIN (SELECT staged_row FROM losers_{kind} WHERE path IS NULL) USING (staged_row)"
    )
    _count_kept(batch, f"kept_{kind}")


def _count_kept(batch: Batch, relation: str) -> None:
    rows = batch.con.execute(f"SELECT file_no, count(*) FROM {relation} GROUP BY file_no").fetchall()
    batch.kept.update(rows)


def _days(con: duckdb.DuckDBPyConnection, relation: str) -> list[dt.date]:
    found = con.execute(f"SELECT DISTINCT occurred_on FROM {relation} ORDER BY 1").fetchall()
    return [day for (day,) in found]


def _new_files(batch: Batch, kind: str) -> list[delta.NewFile]:
    """A file per day or part of a day, each ordered by itself: no second copy of all rows is ever made."""
    table = TABLES[kind]
    names = ("$batch::BIGINT AS batch" if name == "batch" else identifier(name) for name in table.names)
    part = "occurred_on = $day AND unit_key BETWEEN $first AND $last"
    select = (
        f"SELECT {', '.join(names)} FROM staged_{kind} "
        f"JOIN (SELECT staged_row, unit_key FROM kept_{kind} WHERE {part}) USING (staged_row) "
        f"WHERE occurred_on = $day ORDER BY {', '.join(map(identifier, table.order))}"
    )

    def write(numbered: tuple[int, _Part]) -> delta.NewFile | None:
        number, part = numbered
        with batch.con.cursor() as con:
            return delta.write_parquet(
                con,
                select,
                batch.folder / f"{kind}-{number}.parquet",
                params={"day": part.day, "first": part.first, "last": part.last, "batch": batch.plan.batch},
                partition=delta.partition_text(part.day),
                group_rows=rows_per_group(con, part.width),
            )

    # DuckDB writes a file of one row group in one thread, so several are written at a time.
    with ThreadPoolExecutor(threads(batch.con)) as pool:
        written = pool.map(write, enumerate(_parts(batch, kind)))
        return [file for file in written if file is not None]


class _Part(NamedTuple):
    """Rows that make up a file."""

    day: dt.date
    first: int  # unit key
    last: int
    width: float  # mean bytes of the object in a row


def _parts(batch: Batch, kind: str) -> Iterator[_Part]:
    """Every day; one that is too large to be ordered in memory is cut into ranges of unit keys."""
    days = batch.con.execute(
        f"SELECT occurred_on, count(*), avg(strlen({_OBJECTS[kind]})) FROM staged_{kind} "
        "GROUP BY occurred_on ORDER BY occurred_on"
    ).fetchall()
    for day, rows, width in days:
        count = parts_to_order(batch.con, rows, width)
        fractions = [part / count for part in range(1, count)]
        bounds = (
            batch.con.execute(
                f"SELECT DISTINCT unnest(quantile_disc(unit_key, {fractions})) AS bound FROM kept_{kind} "
                "WHERE occurred_on = $day ORDER BY bound",
                {"day": day},
            ).fetchall()
            if fractions
            else []
        )
        firsts = [0, *(bound + 1 for (bound,) in bounds)]
        lasts = [*(bound for (bound,) in bounds), _LAST_KEY]
        yield from (_Part(day, first, last, width) for first, last in zip(firsts, lasts, strict=True))


def _rewritten_files(
    batch: Batch, kind: str, files: Mapping[str, delta.DataFile]
) -> tuple[list[delta.NewFile], list[delta.DataFile]]:
    """The lake's files that hold losers: written again without them, in their order."""
    table, row = TABLES[kind], "source, file_hash, file_row"
    listed, order = (", ".join(map(identifier, names)) for names in (table.names, table.order))
    paths = batch.con.execute(
        f"SELECT DISTINCT path FROM losers_{kind} WHERE path IS NOT NULL ORDER BY 1"
    ).fetchall()

    def write(number: int, path: str) -> delta.NewFile | None:
        rows = f"read_parquet({file_literal(Path(path))}, hive_partitioning = false)"
        return delta.write_parquet(
            batch.con,
            f"SELECT {listed} FROM {rows} "
            f"ANTI JOIN (SELECT {row} FROM losers_{kind} WHERE path = $path) USING ({row}) ORDER BY {order}",
            batch.folder / f"{kind}-again-{number}.parquet",
            params={"path": path},
            partition=files[path].partition,
            group_rows=_group_rows(batch.con, f"avg(strlen({_OBJECTS[kind]})) FROM {rows}"),
        )

    rewritten = (write(number, path) for number, (path,) in enumerate(paths))
    return [file for file in rewritten if file is not None], [files[path] for (path,) in paths]


def _group_rows(con: duckdb.DuckDBPyConnection, width: str) -> int:
    """Rows of a row group; `width` is SQL for the mean length of their long text."""
    return rows_per_group(con, con.execute(f"SELECT {width}").fetchall()[0][0] or 0)


def _write_attributes(batch: Batch) -> None:
    """One row per attribute of every unit; a null says nothing."""
    _count_kept(batch, "good_units")
    _append_once(
        batch,
        TABLES["unit_attributes"],
        "SELECT unit_type, unit_id, entry.key AS attribute, (entry.value ->> '$') AS value, valid_from, "
        "source, file_hash, file_row, $batch::BIGINT AS batch "
        "FROM good_units, json_each(attributes) AS entry WHERE (entry.value ->> '$') IS NOT NULL",
        width="avg(strlen(attributes)) FROM good_units",
    )


def _write_given_moments(batch: Batch) -> None:
    """Every row as it was stated; of several about the same, the reader takes the newest."""
    _count_kept(batch, "good_moments")
    names = ", ".join(f"a.{identifier(column.name)}" for column in aggregates.STATED)
    _append_once(
        batch,
        TABLES["given_moments"],
        f"SELECT {names}, f.source, f.path, g.file_hash, g.file_row, $batch::BIGINT AS batch "
        "FROM good_moments AS g JOIN stage_aggregates AS a USING (staged_row) "
        "JOIN stage_files AS f USING (file_no) "
        "ORDER BY a.experiment, a.iteration, a.as_of, a.metric, a.segment, a.variant",
        width="avg(16 * len(covariances)) FROM stage_aggregates",
    )


def _write_quarantine(batch: Batch) -> None:
    _append_once(
        batch,
        TABLES["quarantine"],
        "SELECT f.source, f.path, f.file_hash, q.line, q.reason, q.raw, $batch::BIGINT AS batch "
        "FROM stage_quarantine AS q JOIN stage_files AS f USING (file_no)",
        width="avg(strlen(raw)) FROM stage_quarantine",
    )


def _append_once(batch: Batch, table: Table, select: str, *, width: str) -> None:
    """Commit the rows of `select`, unless the table has this batch already."""
    snapshot = delta.load(batch.lake.root, table)
    if not delta.is_done(snapshot, batch.app):
        _append(batch, table, snapshot, select, app=batch.app, width=width)


def _append(
    batch: Batch,
    table: Table,
    snapshot: DeltaTable,
    select: str,
    *,
    app: tuple[str, int] | None = None,
    width: str = "0",
) -> None:
    """Commit the rows of `select`, if there are any; the snapshot goes along."""
    new = delta.write_parquet(
        batch.con,
        select,
        batch.folder / f"{table.name}.parquet",
        params={"batch": batch.plan.batch},
        group_rows=_group_rows(batch.con, width),
    )
    if new is not None:
        actions = delta.place(batch.lake.root / table.name, table, [new], batch.stem)
        faults.reached(f"{table.name}: placed")
        delta.commit(batch.lake.root, table, snapshot, actions, app=app)
