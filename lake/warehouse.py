"""`warehouse.duckdb`: what people open; a cache of the lake, made anew by every publication.

Small tables are in the file itself, the rest are views over the Parquet files of one snapshot. The file is
built beside the old one and renamed over it, so that a reader meets the old or the new one and never a lock.
"""

import dataclasses
import hashlib
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from lake import delta, faults
from lake.errors import LakeError, first_line
from lake.lake import Lake, open_lake
from lake.locks import lock
from lake.sql import identifier, literal
from lake.tables import TABLES
from workspace import Workspace

# These are copied; of all other tables the file has views.
COPIED = ("registry", "moments", "results", "looks", "findings")
_WAIT_S = 600.0
_CATALOG = "published"


def publish(workspace: Workspace) -> Path:
    """Make `warehouse.duckdb` say what the lake says now; returns its path.

    A file that says so already is left as it is.

    Raises:
        LakeError: the disk is full or can't be written; the old file stays.
    """
    lake = open_lake(workspace)
    target = workspace.warehouse
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    with lock(lake.root / ".publish.lock", wait_s=_WAIT_S, purpose="publishing the warehouse"):
        for left in target.parent.glob(f".{target.name}.*"):
            left.unlink(missing_ok=True)
        contents = _contents(lake)
        if _published(target) == {item.name: (item.version, item.fingerprint) for item in contents}:
            return target
        try:
            with delta.writing(target):
                with duckdb.connect(fresh) as con:
                    _fill(con, contents)
                delta.sync(fresh)
                faults.reached("warehouse: before rename")
                fresh.replace(target)
                delta.sync(target.parent)
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
    return target


def open_readonly(workspace: Workspace) -> duckdb.DuckDBPyConnection:
    """A session in UTC with everything that was last published; it holds no lock on anything.

    The views are made over the published versions of the lake's tables at the workspace's present place, so
    it works after a move too.

    Raises:
        LakeError: nothing was published yet, or the lake's files have gone.
    """
    path = workspace.warehouse
    if not path.is_file():
        raise LakeError(f"{path}: nothing was published yet; `tenbin run {workspace.root}` does it")
    con = duckdb.connect(":memory:")
    try:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"ATTACH {literal(str(path))} AS {_CATALOG} (READ_ONLY)")
        for name in COPIED:
            con.execute(f"CREATE TEMP TABLE {identifier(name)} AS FROM {_CATALOG}.{identifier(name)}")
        versions = con.execute(f"SELECT table_name, version FROM {_CATALOG}.lake_versions").fetchall()
        for name, version in versions:
            if name in COPIED:
                continue
            con.execute(f"CREATE TEMP VIEW {identifier(name)} AS {_relation(workspace.lake, name, version)}")
        con.execute(f"DETACH {_CATALOG}")
    except duckdb.Error as reason:
        con.close()
        raise LakeError(
            f"{path}: can't be opened ({first_line(reason)}); remove it and run "
            f"`tenbin run {workspace.root}`, which publishes it again"
        ) from reason
    except BaseException:
        con.close()
        raise
    return con


def published_versions(workspace: Workspace) -> dict[str, int]:
    """The version of every table of the lake that the published file reads."""
    found = _published(workspace.warehouse) or {}
    return {name: version for name, (version, _) in found.items() if version is not None}


@dataclasses.dataclass(frozen=True)
class _Content:
    """A table of the lake as the file has it."""

    name: str
    version: int | None
    statement: str

    @property
    def fingerprint(self) -> str:
        """Of the statement that makes it, which names every file that it reads."""
        return hashlib.sha256(self.statement.encode()).hexdigest()


def _contents(lake: Lake) -> list[_Content]:
    found = []
    for name in TABLES:
        version = lake.version(name)
        select = _relation(lake.root, name, version)
        statement = (
            f"CREATE TABLE {identifier(name)} AS {select} ORDER BY ALL"
            if name in COPIED
            else f"CREATE VIEW {identifier(name)} AS {select}"
        )
        found.append(_Content(name, version, statement))
    return found


def _published(target: Path) -> dict[str, tuple[int | None, str]] | None:
    """Version and fingerprint of every table in the published file; None when it must be made anew."""
    if not target.is_file():
        return None
    try:
        with duckdb.connect(target, read_only=True) as con:
            rows = con.execute("SELECT table_name, version, fingerprint FROM lake_versions").fetchall()
    except duckdb.Error:
        return None  # broken, locked by another program, or of another version of Tenbin
    return {name: (version, fingerprint) for name, version, fingerprint in rows}


def _fill(con: duckdb.DuckDBPyConnection, contents: Sequence[_Content]) -> None:
    con.execute("SET TimeZone = 'UTC'")
    con.execute("CREATE TABLE lake_versions (table_name VARCHAR, version BIGINT, fingerprint VARCHAR)")
    for content in contents:
        con.execute(content.statement)
        row = [content.name, content.version, content.fingerprint]
        con.execute("INSERT INTO lake_versions VALUES ($1, $2, $3)", row)


def _relation(root: Path, name: str, version: int | None) -> str:
    """SQL that reads one version of a table; None: it was never written."""
    table = TABLES[name]
    if version is None:
        return delta.relation(root / name, table.columns, ())
    snapshot = delta.load_version(root, table, version)
    return delta.relation(root / name, delta.columns(snapshot), delta.files(snapshot))
