"""Delta tables by the recipe of DESIGN 4.4: DuckDB writes Parquet, deltalake makes it visible in one commit.

Written files first lie in a scratch folder and are moved into the table just before the commit, under paths
of plain ASCII (the library percent-encodes everything else, and not every reader decodes it). Readers take
exactly the files of one snapshot.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
from deltalake import CommitProperties, DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import ArrayType, PrimitiveType
from deltalake.transaction import AddAction, RemoveAction, Transaction

from lake import faults
from lake.errors import LakeError, first_line, meaning
from lake.sql import file_list, identifier, literal
from lake.tables import DELTA_TYPES, TABLES, Column, Table

_DUCKDB_TYPES = {delta: duck for duck, delta in DELTA_TYPES.items()}
_ATTEMPTS = 50

Action = AddAction | RemoveAction


@dataclasses.dataclass(frozen=True)
class DataFile:
    """One Parquet file of a snapshot."""

    path: str  # relative to the table's folder
    rows: int
    bytes: int
    partition: str | None  # text of the partition column's value


@dataclasses.dataclass(frozen=True)
class NewFile:
    """A Parquet file in scratch, not visible yet."""

    path: Path
    rows: int
    partition: str | None


@dataclasses.dataclass(frozen=True)
class Written:
    """What a write did."""

    rows: int
    version: int
    files: tuple[str, ...] = ()  # added, relative to the table's folder


def load(root: Path, table: Table) -> DeltaTable:
    """The table in `root`/name at its latest version; made, empty, when it is not there yet.

    Raises:
        LakeError: the folder can't be written or is not a Delta table.
    """
    folder = root / table.name
    if not exists(root, table):
        with writing(folder):
            _make(folder, table)
    try:
        return DeltaTable(folder)
    except DeltaError as reason:
        raise LakeError(
            f"{folder}: the lake's table can't be read ({first_line(reason)}); put the folder back as it "
            "was, or remove lake/ to have it made anew"
        ) from reason


def load_version(root: Path, table: Table, version: int) -> DeltaTable:
    """The table as it was; never made.

    Raises:
        LakeError: it is not there, or not in this version.
    """
    try:
        return DeltaTable(root / table.name, version=version)
    except DeltaError as reason:
        raise LakeError(
            f"{root / table.name}: version {version} of the table can't be read ({first_line(reason)}); "
            "put the folder back, or run the pipelines again, which publishes what is there"
        ) from reason


def exists(root: Path, table: Table) -> bool:
    """Whether the table was ever made; a kill may have left a folder without a first commit."""
    return DeltaTable.is_deltatable(root / table.name)


def columns(delta: DeltaTable) -> tuple[Column, ...]:
    """The snapshot's columns with DuckDB types."""
    return tuple(Column(field.name, _duckdb_type(field)) for field in delta.schema().fields)


def files(delta: DeltaTable) -> tuple[DataFile, ...]:
    """The snapshot's files, ordered by path."""
    actions = delta.get_add_actions(flatten=True)
    partitions = [name for name in actions.column_names if name.startswith("partition.")]
    names = ("path", "num_records", "size_bytes", *partitions)
    columns = (actions.column(name).to_pylist() for name in names)
    found = (
        DataFile(unquote(path), rows or 0, size, partition_text(value[0]) if value else None)
        for path, rows, size, *value in zip(*columns, strict=True)
    )
    return tuple(sorted(found, key=lambda file: file.path))


def relation(
    folder: Path, names: Sequence[Column], data: Sequence[DataFile], *, with_filename: bool = False
) -> str:
    """SQL that reads just these files; typed and without rows when there are none."""
    wanted = [*names, Column("filename", "VARCHAR")] if with_filename else names
    if not data:
        empty = ", ".join(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}" for column in wanted)
        return f"SELECT {empty} WHERE false"
    listed = ", ".join(identifier(column.name) for column in wanted)
    extra = ", filename = true" if with_filename else ""
    paths = file_list(folder / file.path for file in data)
    files = f"read_parquet({paths}, union_by_name = true, hive_partitioning = false{extra})"
    declared = TABLES[folder.name].names if folder.name in TABLES else ()
    if added := [column for column in names if column.name not in declared]:
        # No file needs to have an added column yet.
        typed = ", ".join(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}" for column in added)
        files = f"(SELECT * FROM {files} UNION ALL BY NAME SELECT {typed} WHERE false)"
    return f"SELECT {listed} FROM {files}"


def write_parquet(
    con: duckdb.DuckDBPyConnection,
    select: str,
    target: Path,
    *,
    params: Mapping[str, object] | None = None,
    partition: str | None = None,
    group_rows: int = 122_880,
) -> NewFile | None:
    """Write the rows of `select` to one file, in their order; None when there are none.

    Args:
        con: a session.
        select: the rows.
        target: the file.
        params: values of `$name` in the SELECT.
        partition: text of the partition column's value, if the table has one.
        group_rows: of a row group, which is held in memory until it is written.

    Raises:
        LakeError: the disk is full or can't be written; nothing is left of the file.
    """
    options = f"FORMAT parquet, ROW_GROUP_SIZE {int(group_rows)}"
    statement = f"COPY ({select}) TO {literal(str(target))} ({options})"
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            rows: int = con.execute(statement, dict(params or {})).fetchall()[0][0]
            sync(target)
    except LakeError:
        target.unlink(missing_ok=True)
        raise
    if rows == 0:
        target.unlink()
        return None
    return NewFile(target, rows, partition)


def place(
    folder: Path, table: Table, new: Sequence[NewFile], stem: str, *, data_change: bool = True
) -> list[AddAction]:
    """Move files from scratch into the table's folder, where no reader sees them before the commit.

    Args:
        folder: of the table.
        table: its declaration.
        new: the files.
        stem: what their names begin with; never used before, so that nothing is ever overwritten.
        data_change: whether their rows are news to those who follow the table.
    """
    with writing(folder):
        actions = [
            _move(folder, table, file, f"{stem}-{number:04d}", data_change=data_change)
            for number, file in enumerate(new)
        ]
        for moved_into in {(folder / action.path).parent for action in actions} | {folder}:
            sync(moved_into)
    return actions


def _move(folder: Path, table: Table, file: NewFile, name: str, *, data_change: bool) -> AddAction:
    relative = f"{_partition_folder(table, file.partition)}{name}.parquet"
    target = folder / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    file.path.replace(target)
    return AddAction(
        path=relative,
        size=target.stat().st_size,
        partition_values={table.partition: file.partition} if table.partition else {},
        modification_time=int(time.time() * 1000),
        data_change=data_change,
        # No minima and maxima: those of ids and texts would only swell the log.
        stats=json.dumps({"numRecords": file.rows}),
    )


def removal(table: Table, file: DataFile, *, data_change: bool = True) -> RemoveAction:
    """What takes a file out of the next version; the file itself stays for readers of older ones."""
    return RemoveAction(
        path=file.path,
        data_change=data_change,
        deletion_timestamp=int(time.time() * 1000),
        size=file.bytes,
        partition_values={table.partition: file.partition} if table.partition else {},
    )


def commit(
    root: Path,
    table: Table,
    delta: DeltaTable,
    actions: Sequence[Action],
    *,
    app: tuple[str, int] | None = None,
) -> int:
    """One atomic commit of additions and removals on this very snapshot; the new version.

    Args:
        root: of the lake.
        table: its declaration.
        delta: the snapshot that the actions were worked out from.
        actions: what to add and remove.
        app: an application and its running number; a number that was committed already is an error.

    Raises:
        CommitFailedError: another writer has committed meanwhile: work the actions out anew.
        LakeError: the log can't be written.
    """
    if app is not None and is_done(delta, app):
        raise CommitFailedError(f"{table.name}: {app[0]} number {app[1]} was committed before")
    transactions = [] if app is None else [Transaction(*app)]
    faults.reached(f"{table.name}: before commit")
    before, log = delta.version(), root / table.name / "_delta_log"
    with writing(log):
        delta.create_write_transaction(
            list(actions),
            mode="append",
            schema=delta.schema(),
            partition_by=[table.partition] if table.partition else None,
            commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=0),
        )
        delta.update_incremental()
        # What is committed later, in whichever table, must not outlive this on a disk that lost its power.
        for version in range(before + 1, delta.version() + 1):
            sync(log / f"{version:020d}.json")
        sync(log)
    faults.reached(f"{table.name}: after commit")
    return delta.version()


def is_done(delta: DeltaTable, app: tuple[str, int]) -> bool:
    """Whether the application has committed this number, or a later one, to the table."""
    done = delta.transaction_version(app[0])
    return done is not None and done >= app[1]


def replace(
    root: Path, table: Table, new: Sequence[NewFile], stem: str, partitions: Sequence[str] | None
) -> Written:
    """Make `new` the only files of these partitions (of the whole table: None), in one commit.

    Another process may be committing to other partitions; then the removals are worked out again.
    """
    folder = root / table.name
    delta = load(root, table)
    added = place(folder, table, new, stem) if new else []
    for _ in range(_ATTEMPTS):
        gone = [file for file in files(delta) if partitions is None or file.partition in partitions]
        if not gone and not added:
            return Written(0, delta.version())
        try:
            version = commit(root, table, delta, [*(removal(table, file) for file in gone), *added])
        except CommitFailedError:
            delta = load(root, table)
            continue
        return Written(sum(file.rows for file in new), version, tuple(action.path for action in added))
    raise LakeError(
        f"{folder}: {_ATTEMPTS} attempts to commit met other writers; run again when they are done"
    )


def append(root: Path, table: Table, new: Sequence[NewFile], stem: str) -> Written:
    """Add files in one commit."""
    return replace(root, table, new, stem, ())


def add_columns(root: Path, table: Table, wanted: Sequence[Column]) -> None:
    """Add the columns that the table does not have yet."""
    delta = load(root, table)
    known = {column.name for column in columns(delta)}
    fields = [_field(column) for column in wanted if column.name not in known]
    if fields:
        with writing(root / table.name):
            delta.alter.add_columns(fields)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say in a sentence that `target` can't be written, whichever library finds out.

    Raises:
        LakeError: the disk is full or can't be written.
    """
    try:
        yield
    except CommitFailedError:
        raise
    except (duckdb.IOException, OSError, DeltaError) as reason:
        raise LakeError(
            f"{target}: can't be written: {meaning(reason, target.parent)}; free space there or make it "
            "writable, then run again: nothing was left half-written"
        ) from reason


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def partition_text(value: object) -> str:
    """How Delta writes a partition value."""
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _make(folder: Path, table: Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    DeltaTable.create(
        folder,
        Schema([_field(column) for column in table.columns]),
        mode="ignore",
        partition_by=[table.partition] if table.partition else None,
        name=table.name,
    )
    for path in (folder / "_delta_log", folder, folder.parent):
        sync(path)
    faults.reached(f"{table.name}: made")


def _partition_folder(table: Table, value: str | None) -> str:
    if table.partition is None or value is None:
        return ""
    if table.partition == "occurred_on":
        return f"occurred_on={value}/"
    # A key in any script becomes a folder of plain letters; its value is in the log and in the file.
    return hashlib.sha256(value.encode()).hexdigest()[:16] + "/"


def _field(column: Column) -> Field:
    kind = DELTA_TYPES[column.type]
    if kind.endswith("[]"):
        return Field(column.name, ArrayType(PrimitiveType(kind.removesuffix("[]")), contains_null=True))
    return Field(column.name, PrimitiveType(kind))


def _duckdb_type(field: Field) -> str:
    kind: Any = field.type
    if isinstance(kind, ArrayType):
        return _DUCKDB_TYPES[f"{kind.element_type.type}[]"]
    return _DUCKDB_TYPES[kind.type]
