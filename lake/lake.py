"""The lake of a workspace: a DuckDB session with a view per table, and writes that are atomic commits."""

import dataclasses
import datetime as dt
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb

from lake import delta
from lake.delta import NewFile, Written
from lake.errors import LakeError
from lake.locks import scratch
from lake.memory import affordable_threads, threads
from lake.sql import file_literal, identifier, literal
from lake.tables import DELTA_TYPES, TABLES, Column, Table
from workspace import Workspace

_TEMP = "temp_directory"
# DuckDB takes what follows a question mark for options; Delta takes a backslash for a slash, and decodes.
_UNUSABLE = re.compile(r"[?\\\x00-\x1f\ud800-\udfff]|%[0-9A-Fa-f]{2}")
PartitionValue = str | dt.date


@dataclasses.dataclass(frozen=True)
class Lake:
    """The Delta tables under `workspace.lake`."""

    workspace: Workspace

    @property
    def root(self) -> Path:
        return self.workspace.lake

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """An in-memory DuckDB session in UTC with a temporary view of every table as it is now.

        It spills to the lake's disk above the workspace's `memory_limit`.

        Raises:
            LakeError: the lake can't be written or a setting of the workspace is not one of DuckDB's.
        """
        with scratch(self.root) as folder:
            con = duckdb.connect(":memory:")
            try:
                self._configure(con, folder)
                for name in TABLES:
                    self.snapshot(con, name)
                yield con
            finally:
                con.close()

    def snapshot(self, con: duckdb.DuckDBPyConnection, table: str) -> None:
        """Bring one view of the session to the table's latest version."""
        con.execute(f"CREATE OR REPLACE TEMP VIEW {identifier(table)} AS {self.relation(table)}")

    def relation(self, table: str) -> str:
        """SQL that reads the table's latest version."""
        declared = _declared(table)
        if not delta.exists(self.root, declared):
            return delta.relation(self.root / table, declared.columns, ())
        found = delta.load(self.root, declared)
        return delta.relation(self.root / table, delta.columns(found), delta.files(found))

    def paths(self, table: str) -> tuple[Path, ...]:
        """The Parquet files of the table's latest version, for readers that take file names."""
        declared = _declared(table)
        if not delta.exists(self.root, declared):
            return ()
        return tuple(self.root / table / file.path for file in delta.files(delta.load(self.root, declared)))

    def columns(self, table: str) -> tuple[Column, ...]:
        """The table's columns, those that were added included."""
        declared = _declared(table)
        if not delta.exists(self.root, declared):
            return declared.columns
        return delta.columns(delta.load(self.root, declared))

    def version(self, table: str) -> int | None:
        """The table's latest version; None when nothing was ever written."""
        declared = _declared(table)
        return delta.load(self.root, declared).version() if delta.exists(self.root, declared) else None

    def append(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        sql: str,
        *,
        params: Mapping[str, object] | None = None,
    ) -> Written:
        """Add the rows of a SELECT in one commit; the session's view shows them afterwards.

        Args:
            con: a session of `connect`.
            table: its name.
            sql: a SELECT whose columns carry the table's names, in any order; absent ones become null.
            params: values of `$name` in it.

        Raises:
            LakeError: unknown table or column, a full disk.
        """
        declared = _declared(table)
        with self._write(con, declared, sql, params) as new:
            written = delta.append(self.root, declared, new, uuid.uuid4().hex)
        self.snapshot(con, table)
        return written

    def overwrite(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        sql: str,
        *,
        params: Mapping[str, object] | None = None,
        partition: Mapping[str, PartitionValue | Sequence[PartitionValue]] | None = None,
    ) -> Written:
        """Replace one or several partitions (without `partition`: the whole table) in one commit.

        Args:
            con: a session of `connect`.
            table: its name.
            sql: a SELECT as for `append`; it may read the table itself.
            params: values of `$name` in it.
            partition: the partition column and the value or values that are replaced, as in
                `{"experiment": "banner"}`; rows of other partitions in `sql` are an error.

        Raises:
            LakeError: unknown table or column, rows outside the partition, a full disk.
        """
        declared = _declared(table)
        values = _partition_values(declared, partition)
        with self._write(con, declared, sql, params, values) as new:
            return self._replace(con, declared, new, values)

    def scratch(self, con: duckdb.DuckDBPyConnection) -> Path:
        """A new name in the session's scratch folder, on the lake's disk; gone with the session."""
        spill: str = con.execute("SELECT current_setting($1)", [_TEMP]).fetchall()[0][0]
        return Path(spill).parent / uuid.uuid4().hex

    def overwrite_files(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        new: Sequence[NewFile],
        *,
        partition: Mapping[str, PartitionValue | Sequence[PartitionValue]],
    ) -> Written:
        """Replace partitions by Parquet files that another engine wrote, in one commit.

        Args:
            con: a session of `connect`.
            table: its name.
            new: files below a folder of `scratch`, each of one partition, with all columns of `columns`, rows
                in the table's order.
            partition: as for `overwrite`.

        Raises:
            LakeError: unknown table, files outside the partition, a full disk.
        """
        declared = _declared(table)
        return self._replace(con, declared, new, _partition_values(declared, partition))

    def _replace(
        self,
        con: duckdb.DuckDBPyConnection,
        table: Table,
        new: Sequence[NewFile],
        values: Sequence[str] | None,
    ) -> Written:
        strangers = sorted(
            str(file.partition) for file in new if values is not None and file.partition not in values
        )
        if strangers:
            raise LakeError(
                f'table "{table.name}": rows of {table.partition} "{strangers[0]}" were given for the '
                f"replacement of {', '.join(values or ())}; select the rows of those alone"
            )
        written = delta.replace(self.root, table, new, uuid.uuid4().hex, values)
        self.snapshot(con, table.name)
        return written

    def add_columns(self, con: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str]) -> None:
        """Add columns (name → DuckDB type) that the table does not have yet; older rows read null.

        Raises:
            LakeError: a type that the lake does not hold.
        """
        declared = _declared(table)
        for name, kind in columns.items():
            if kind not in DELTA_TYPES:
                raise LakeError(
                    f'table "{table}": column "{name}" can\'t have type {kind}; '
                    f"allowed: {', '.join(DELTA_TYPES)}"
                )
        delta.add_columns(self.root, declared, [Column(*item) for item in columns.items()])
        self.snapshot(con, table)

    def _configure(self, con: duckdb.DuckDBPyConnection, folder: Path) -> None:
        settings = self.workspace.config.workspace
        con.execute("SET GLOBAL TimeZone = 'UTC'")
        con.execute(f"SET {_TEMP} = {literal(str(folder / 'spill'))}")
        con.execute("SET enable_progress_bar = false")
        try:
            con.execute(f"SET memory_limit = {literal(settings.memory_limit)}")
        except duckdb.Error:
            raise LakeError(
                f'{self.workspace.toml}: workspace.memory_limit "{settings.memory_limit}" is not a size; '
                'write a number and a unit, as in "2GB"'
            ) from None
        con.execute(f"SET threads = {int(settings.threads or affordable_threads(con))}")

    @contextmanager
    def _write(
        self,
        con: duckdb.DuckDBPyConnection,
        table: Table,
        sql: str,
        params: Mapping[str, object] | None,
        values: Sequence[str] | None = None,
    ) -> Iterator[list[NewFile]]:
        """Write the rows of `sql` to scratch, a file per partition; `values` are those that are meant."""
        folder, columns = self.scratch(con), self.columns(table.name)
        if table.partition is None or (values is not None and len(values) == 1):
            rows = _typed(con, table, sql, params, columns)
            yield _write_whole(con, table, rows, folder / "all.parquet", params)
            return
        with _materialised(con, table, sql, params, columns) as rows:
            yield _write_parts(con, table, rows, folder)


def open_lake(workspace: Workspace) -> Lake:
    """The lake of a workspace; its tables are made when first written.

    Raises:
        LakeError: the workspace lies in a folder whose name the lake's libraries can't handle.
    """
    if strange := _UNUSABLE.search(str(workspace.lake)):
        raise LakeError(
            f"{workspace.root}: the path of a workspace can't have {strange[0]!r} in it; rename that folder"
        )
    return Lake(workspace)


def _typed(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    sql: str,
    params: Mapping[str, object] | None,
    columns: Sequence[Column],
) -> str:
    """A SELECT of the rows of another, typed and complete."""
    given = {str(row[0]) for row in con.execute(f"DESCRIBE {sql}", dict(params or {})).fetchall()}
    if strange := sorted(given - {column.name for column in columns}):
        raise LakeError(
            f'table "{table.name}" has no column "{strange[0]}"; '
            f"it has {', '.join(column.name for column in columns)}"
        )
    listed = ", ".join(
        f"CAST({identifier(column.name) if column.name in given else 'NULL'} AS {column.type}) "
        f"AS {identifier(column.name)}"
        for column in columns
    )
    return f"SELECT {listed} FROM ({sql})"


@contextmanager
def _materialised(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    sql: str,
    params: Mapping[str, object] | None,
    columns: Sequence[Column],
) -> Iterator[str]:
    """The SELECT's rows, typed and complete, in a table that every cursor sees, so that it is run once."""
    name = identifier(f"written_{uuid.uuid4().hex}")
    try:
        con.execute(
            f"CREATE TABLE memory.{name} AS {_typed(con, table, sql, params, columns)}", dict(params or {})
        )
        yield f"SELECT * FROM memory.{name}"
    finally:
        con.execute(f"DROP TABLE IF EXISTS memory.{name}")


def _write_whole(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    rows: str,
    target: Path,
    params: Mapping[str, object] | None,
) -> list[NewFile]:
    """Write rows to one file as they come, without keeping them; it tells which partition they are of."""
    new = delta.write_parquet(con, f"{rows}{_order(table)}", target, params=params)
    if new is None or table.partition is None:
        return [] if new is None else [new]
    found = con.execute(
        f"SELECT DISTINCT {identifier(table.partition)} FROM read_parquet({file_literal(target)}, "
        "hive_partitioning = false)"
    ).fetchall()
    values = [value for (value,) in found]
    _refuse_null(table, values)
    return [NewFile(new.path, new.rows, delta.partition_text(value)) for value in values]


def _write_parts(con: duckdb.DuckDBPyConnection, table: Table, rows: str, folder: Path) -> list[NewFile]:
    """Write each partition's rows to a file, several at a time: DuckDB writes a row group in one thread."""
    column = identifier(table.partition or "")
    values = [row[0] for row in con.execute(f"SELECT DISTINCT {column} FROM ({rows}) ORDER BY 1").fetchall()]
    _refuse_null(table, values)

    def write(numbered: tuple[int, PartitionValue]) -> NewFile | None:
        number, value = numbered
        with con.cursor() as cursor:
            return delta.write_parquet(
                cursor,
                f"SELECT * FROM ({rows}) WHERE {column} = $value{_order(table)}",
                folder / f"{number}.parquet",
                params={"value": value},
                partition=delta.partition_text(value),
            )

    with ThreadPoolExecutor(threads(con)) as pool:
        return [new for new in pool.map(write, enumerate(values)) if new is not None]


def _order(table: Table) -> str:
    return f" ORDER BY {', '.join(map(identifier, table.order))}" if table.order else ""


def _refuse_null(table: Table, values: Sequence[PartitionValue | None]) -> None:
    if None in values:
        raise LakeError(
            f'table "{table.name}": {table.partition} is null in some rows; '
            "it is what the table is partitioned by"
        )


def _declared(table: str) -> Table:
    if table not in TABLES:
        raise LakeError(f'the lake has no table "{table}"; it has {", ".join(TABLES)}')
    return TABLES[table]


def _partition_values(
    table: Table, partition: Mapping[str, PartitionValue | Sequence[PartitionValue]] | None
) -> list[str] | None:
    if partition is None:
        return None
    if list(partition) != [table.partition]:
        raise LakeError(
            f'table "{table.name}" is partitioned by {table.partition}, not by {", ".join(partition)}'
        )
    value = next(iter(partition.values()))
    if isinstance(value, str | dt.date):
        return [delta.partition_text(value)]
    return [delta.partition_text(item) for item in value]
