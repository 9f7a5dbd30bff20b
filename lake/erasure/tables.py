"""Rows of the lake: taken out of the files that hold them, one commit per table.

Which tables hold rows of units is told by their columns, so that a new table is covered by itself.
"""

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lake import delta, faults
from lake.erasure.mentions import Mentions
from lake.erasure.model import Removed, Units
from lake.errors import LakeError
from lake.files import group_rows
from lake.lake import Lake
from lake.sql import identifier
from lake.tables import TABLES, Table

_ATTEMPTS = 5
_PAGE = 20_000
# Aggregates, definitions, the list of files: no row of theirs is about a single unit.
WITHOUT_UNITS = frozenset(
    {"ingested", "suppressed", "moments", "given_moments", "results", "looks", "registry", "findings"}
)
# Rows that are no records: whom they are about is found in their text.
QUARANTINE = TABLES["quarantine"]


def unit_columns(table: Table) -> tuple[str, ...]:
    """The columns that say whose a row is; none in a table without units."""
    named = [name for name in ("unit_id", "unit_key") if name in table.names]
    return ("unit_type", named[0]) if named and "unit_type" in table.names else ()


def unit_tables() -> tuple[Table, ...]:
    """Every table with rows of units; the dictionary of keys, by which others' rows are found, comes last."""
    found = [table for table in TABLES.values() if unit_columns(table)]
    return tuple(sorted(found, key=lambda table: table.name == "unit_keys"))


@dataclasses.dataclass(frozen=True)
class LakeRows:
    """The rows of units in the lake's tables."""

    lake: Lake

    def forget(self, units: Units, *, dry_run: bool) -> Iterator[Removed]:
        """Commit every table that has rows of the units without them."""
        with self.lake.connect() as con:
            con.execute(
                "CREATE TEMP TABLE forgotten AS SELECT unit_type, unit_id, unit_key FROM "
                "(SELECT $unit_type AS unit_type, unnest($ids) AS unit_id) "
                "LEFT JOIN unit_keys USING (unit_type, unit_id)",
                {"unit_type": units.unit_type, "ids": list(units.ids)},
            )
            _find_texts(con, self.lake.relation(QUARANTINE.name), Mentions(units.ids))
            texts = _Removal(self.lake, con, QUARANTINE, "mentioning", ("source", "file_hash", "line"))
            yield texts.run(dry_run=dry_run)
            for table in unit_tables():
                removal = _Removal(self.lake, con, table, "forgotten", unit_columns(table))
                yield removal.run(dry_run=dry_run)


@dataclasses.dataclass(frozen=True)
class _Removal:
    """The rows of one table whose key columns are those of a row of the temporary table `named`."""

    lake: Lake
    con: duckdb.DuckDBPyConnection
    table: Table
    named: str
    key: Sequence[str]

    def run(self, *, dry_run: bool) -> Removed:
        hits = self._remove(dry_run=dry_run) if delta.exists(self.lake.root, self.table) else {}
        return Removed(store=f"lake table {self.table.name}", rows=sum(hits.values()), files=len(hits))

    def _remove(self, *, dry_run: bool) -> dict[str, int]:
        """How many such rows each file had; they are gone, unless it is a dry run."""
        for _ in range(_ATTEMPTS):
            snapshot = delta.load(self.lake.root, self.table)
            hits = self._hits(snapshot)
            # Where no lock reaches another writer, it may be faster: then anew, from what it wrote on.
            with suppress(CommitFailedError):
                if hits and not dry_run:
                    self._commit_without(snapshot, hits)
                return hits
        raise LakeError(
            f"{self.lake.root}: another writer keeps changing the lake; run again when it has finished"
        )

    @property
    def _folder(self) -> Path:
        return self.lake.root / self.table.name

    @property
    def _using(self) -> str:
        return f"{self.named} USING ({', '.join(map(identifier, self.key))})"

    def _hits(self, snapshot: DeltaTable) -> dict[str, int]:
        """How many such rows each file has that has any."""
        rows = delta.relation(
            self._folder, delta.columns(snapshot), delta.files(snapshot), with_filename=True
        )
        return dict(
            self.con.execute(
                f"SELECT filename, count(*) FROM ({rows}) SEMI JOIN {self._using} GROUP BY filename"
            ).fetchall()
        )

    def _commit_without(self, snapshot: DeltaTable, hits: dict[str, int]) -> None:
        """Write these files again without the rows, and let them take their place."""
        hit = [file for file in delta.files(snapshot) if str(self._folder / file.path) in hits]
        scratch = self.lake.scratch(self.con)
        written = [
            self._write(snapshot, file, scratch / f"{number}.parquet") for number, file in enumerate(hit)
        ]
        new = [file for file in written if file is not None]
        faults.reached(f"erasure: {self.table.name} written")
        actions: list[delta.Action] = [
            *delta.place(self._folder, self.table, new, f"erased-{uuid.uuid4().hex[:12]}"),
            *(delta.removal(self.table, file) for file in hit),
        ]
        delta.commit(self.lake.root, self.table, snapshot, actions)

    def _write(self, snapshot: DeltaTable, file: delta.DataFile, target: Path) -> delta.NewFile | None:
        rows = delta.relation(self._folder, delta.columns(snapshot), [file])
        order = ", ".join(map(identifier, self.table.order))
        return delta.write_parquet(
            self.con,
            f"SELECT * FROM ({rows}) ANTI JOIN {self._using}" + (f" ORDER BY {order}" if order else ""),
            target,
            partition=file.partition,
            group_rows=group_rows(self.con, self.table, self._folder / file.path),
        )


def _find_texts(con: duckdb.DuckDBPyConnection, rows: str, mentions: Mentions) -> None:
    """Make the table `mentioning` of quarantined rows whose text, reason or file name names a unit."""
    con.execute("CREATE TEMP TABLE mentioning (source VARCHAR, file_hash VARCHAR, line BIGINT)")
    # A cursor sees no temporary view, and the session's own result would end with the first insertion.
    reader = con.cursor()
    reader.execute(f"SELECT source, file_hash, line, concat_ws(chr(10), path, reason, raw) FROM ({rows})")
    while page := reader.fetchmany(_PAGE):
        found = [row[:3] for row in page if mentions.found_in(row[3])]
        if found:
            columns = [list(column) for column in zip(*found, strict=True)]
            con.execute("INSERT INTO mentioning SELECT unnest($1), unnest($2), unnest($3)", columns)
