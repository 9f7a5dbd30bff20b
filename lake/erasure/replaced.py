"""What `ingested` says of a landing file that was written again: old content → new content.

The old row stays, marked by what replaced it: so a late copy of the old file is taken for the copy that it
is. It is marked before the files change, and `settle` completes or takes back what a kill left between.
"""

import dataclasses
import hashlib
from pathlib import Path

import duckdb

from lake.erasure.mentions import Mentions
from lake.lake import Lake
from lake.sources import LANDING, SourceFile

_IS_OLD = "source = $source AND kind = $kind AND path = $path"
_IS_NEW = "source = $source AND kind = $kind AND path = $new_path"


@dataclasses.dataclass(frozen=True)
class Content:
    """The new file, as it will be found, and by how much its counts are below the old one's."""

    path: str
    file_hash: str
    bytes: int
    modified_ns: int
    rows: int  # that are gone, as are these of them:
    quarantined: int
    duplicates: int


def record_replaced(
    lake: Lake, con: duckdb.DuckDBPyConnection, file: SourceFile, new: Content | None
) -> None:
    """Commit that `new` takes the file's place; None: nothing of the file is left.

    Args:
        lake: whose table it is.
        con: a session of it.
        file: the old one.
        new: what has its rows.
    """
    params = _key(file) | {"into": new.file_hash if new else ""}
    old = f"SELECT * REPLACE ($into AS replaced_by) FROM ingested WHERE {_IS_OLD}"
    if new is None:
        others = f"SELECT * FROM ingested WHERE NOT ({_IS_OLD})"
        lake.overwrite(con, "ingested", f"{others} UNION ALL BY NAME {old}", params=params)
        return
    others = f"SELECT * FROM ingested WHERE NOT ({_IS_OLD}) AND NOT ({_IS_NEW})"
    fresh = (
        "SELECT * REPLACE ($new_path AS path, $into AS file_hash, $bytes::BIGINT AS bytes, "
        "$modified_ns::BIGINT AS modified_ns, rows - $rows::BIGINT AS rows, "
        "quarantined - $quarantined::BIGINT AS quarantined, duplicates - $duplicates::BIGINT AS duplicates) "
        f"FROM ingested WHERE {_IS_OLD}"
    )
    params |= {
        "new_path": new.path,
        "bytes": new.bytes,
        "modified_ns": new.modified_ns,
        "rows": new.rows,
        "quarantined": new.quarantined,
        "duplicates": new.duplicates,
    }
    select = f"{others} UNION ALL BY NAME {old} UNION ALL BY NAME {fresh}"
    lake.overwrite(con, "ingested", select, params=params)


def is_ingested(con: duckdb.DuckDBPyConnection, file: SourceFile) -> bool:
    """Whether the lake has the file with its present content."""
    known = con.execute(f"SELECT file_hash FROM ingested WHERE {_IS_OLD}", _key(file)).fetchall()
    return known == [(sha256(file.path),)]


def settle(lake: Lake) -> None:
    """Complete the replacements whose new file is in its place; take back those whose new file never came."""
    root = lake.workspace.root
    with lake.connect() as con:
        marked = con.execute(
            "SELECT kind, path, file_hash, replaced_by FROM ingested WHERE source = $1 "
            "AND replaced_by IS NOT NULL",
            [LANDING],
        ).fetchall()
        for kind, path, file_hash, into in marked:
            old = root / path
            if not old.is_file() or sha256(old) != file_hash:
                continue
            new = con.execute(
                "SELECT path FROM ingested WHERE source = $1 AND kind = $2 AND file_hash = $3",
                [LANDING, kind, into],
            ).fetchall()
            if into == "" or any((root / name).is_file() for (name,) in new):
                old.unlink()
            else:
                _take_back(lake, con, kind, path, into)


def conceal_names(lake: Lake, con: duckdb.DuckDBPyConnection, mentions: Mentions) -> None:
    """Take the names of files that are gone out of the table where the name itself names a unit."""
    paths = con.execute("SELECT DISTINCT path FROM ingested").fetchall()
    root = lake.workspace.root
    if named := [path for (path,) in paths if mentions.found_in(path) and not (root / path).exists()]:
        lake.overwrite(
            con,
            "ingested",
            "SELECT * REPLACE (CASE WHEN path IN (SELECT unnest($named)) THEN 'erased/' || file_hash "
            "ELSE path END AS path) FROM ingested",
            params={"named": named},
        )


def sha256(path: Path) -> str:
    """Of the file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _take_back(lake: Lake, con: duckdb.DuckDBPyConnection, kind: str, path: str, into: str) -> None:
    lake.overwrite(
        con,
        "ingested",
        "SELECT * REPLACE (CASE WHEN source = $source AND kind = $kind AND path = $path THEN NULL "
        "ELSE replaced_by END AS replaced_by) FROM ingested "
        "WHERE NOT (source = $source AND kind = $kind AND file_hash = $into)",
        params={"source": LANDING, "kind": kind, "path": path, "into": into},
    )


def _key(file: SourceFile) -> dict[str, object]:
    return {"source": file.source, "kind": file.kind, "path": file.name}
