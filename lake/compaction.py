"""Many small files of a day (of a table without days: of the table) → few, each in the table's order.

Late rows come as small files of their own. Our own rewrite keeps the order within a file, on which queries
rely; the library's joins files as they are.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lake import delta, faults
from lake.files import group_rows, long_text_bytes
from lake.lake import Lake
from lake.memory import parts_to_order
from lake.sql import identifier
from lake.tables import Table

SMALL_BYTES = 32 << 20
MANY = 8  # small files of one partition


def compact(lake: Lake, con: duckdb.DuckDBPyConnection, table: Table) -> int:
    """Write the small files of every partition that has many of them together; how many were replaced.

    One commit per partition, whose rows are the same before and after.

    Args:
        lake: whose table it is.
        con: a session of it.
        table: any but one that is written to without the ingestion lock and the evidence lock.

    Raises:
        LakeError: the disk is full or can't be written.
    """
    if not delta.exists(lake.root, table):
        return 0
    small: dict[str | None, list[delta.DataFile]] = defaultdict(list)
    for file in delta.files(delta.load(lake.root, table)):
        if file.bytes < SMALL_BYTES:
            small[file.partition].append(file)
    replaced = 0
    for files in small.values():
        # Where no lock reaches another writer, it may be faster: then it is for the next time.
        with suppress(CommitFailedError):
            if len(files) >= MANY:
                replaced += _compact_partition(lake, con, table, files)
    lake.snapshot(con, table.name)
    return replaced


def _compact_partition(
    lake: Lake, con: duckdb.DuckDBPyConnection, table: Table, files: Sequence[delta.DataFile]
) -> int:
    snapshot, folder = delta.load(lake.root, table), lake.scratch(con)
    new: list[delta.NewFile] = []
    gone: list[delta.DataFile] = []
    for number, lot in enumerate(_lots(lake, con, table, files)):
        written = delta.write_parquet(
            con,
            _ordered(lake, table, snapshot, lot),
            folder / f"{number}.parquet",
            partition=lot[0].partition,
            group_rows=group_rows(con, table, lake.root / table.name / lot[0].path),
        )
        new += [written] if written is not None else []
        gone += lot
    if not new:
        return 0
    faults.reached(f"{table.name}: compacted")
    stem = f"compacted-{uuid.uuid4().hex[:12]}"
    actions: list[delta.Action] = [
        *delta.place(lake.root / table.name, table, new, stem, data_change=False),
        *(delta.removal(table, file, data_change=False) for file in gone),
    ]
    delta.commit(lake.root, table, snapshot, actions)
    return len(gone)


def _lots(
    lake: Lake, con: duckdb.DuckDBPyConnection, table: Table, files: Sequence[delta.DataFile]
) -> Iterator[list[delta.DataFile]]:
    """Files, the smallest first, in lots of at least two that can be ordered in memory."""
    lot: list[delta.DataFile] = []
    width = 0.0
    for file in sorted(files, key=lambda file: (file.bytes, file.path)):
        width = max(width, long_text_bytes(con, table, lake.root / table.name / file.path))
        if lot and parts_to_order(con, sum(item.rows for item in (*lot, file)), width) > 1:
            if len(lot) > 1:
                yield lot
            lot = []
        lot.append(file)
    if len(lot) > 1:
        yield lot


def _ordered(lake: Lake, table: Table, snapshot: DeltaTable, lot: Sequence[delta.DataFile]) -> str:
    rows = delta.relation(lake.root / table.name, delta.columns(snapshot), lot)
    order = ", ".join(map(identifier, table.order))
    return f"{rows} ORDER BY {order}" if order else rows
