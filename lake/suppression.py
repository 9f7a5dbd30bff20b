"""The suppression list: units that were erased, by keyed hashes, so that late copies of their rows stay out.

Without the key, a file of the workspace's root that is no part of the lake, nobody can tell from the lake who
is on the list. List and key belong together: where one of them is gone, ingestion refuses to go on, because
it would bring back whom it was told to forget.
"""

import dataclasses
import datetime as dt
import hmac
import json
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from lake import delta
from lake.errors import LakeError
from lake.lake import Lake
from lake.sql import identifier, literal
from lake.tables import TABLES
from workspace import Workspace

_TABLE = "suppressed"
_KEY_BYTES = 32
_BLOCK_BYTES = 64  # of SHA-256
_TOKEN = re.compile(r"[^\s,;|\"'{}\[\]()<>=&\\]+")
_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclasses.dataclass(frozen=True)
class Suppression:
    """The units that stay out."""

    key: bytes
    hashes: frozenset[tuple[str, str]]  # unit type, hash

    def condition(self, unit_type: str, unit_id: str) -> str:
        """SQL that is true for units on the list; the arguments are SQL for type and id."""
        listed = ", ".join(f"({literal(kind)}, {literal(hash_)})" for kind, hash_ in sorted(self.hashes))
        return f"({unit_type}, {hash_sql(self.key, unit_type, unit_id)}) IN ({listed})"

    def mentions(self, raw: str) -> bool:
        """Whether the text of a row that is no record names a unit of the list.

        The words of the text, and its texts in JSON, are looked up; an id that is spread over several words
        and stands in no quotes is not found.
        """
        words = {*_TOKEN.findall(raw), *raw.splitlines()}
        for text in _JSON_TEXT.findall(raw):
            with suppress(json.JSONDecodeError):
                words.add(json.loads(text))
        words |= {word.strip(":") for word in words}
        kinds = {kind for kind, _ in self.hashes}
        return any((kind, unit_hash(self.key, kind, word)) in self.hashes for kind in kinds for word in words)


def load_suppression(lake: Lake) -> Suppression | None:
    """The list as it is now; None where nobody was ever erased.

    Raises:
        LakeError: the list or its key is gone.
    """
    path = key_path(lake.workspace)
    with duckdb.connect(":memory:") as con:
        rows = con.execute(f"SELECT unit_type, unit_hash FROM ({lake.relation(_TABLE)})").fetchall()
    if not rows and not path.exists():
        return None
    if not path.exists():
        raise LakeError(
            f"{path}: the key of the suppression list is gone, and {len(rows)} erased units would come back "
            "unseen; put the file back from a copy"
        )
    if not rows and not delta.exists(lake.root, TABLES[_TABLE]):
        raise LakeError(
            f"{lake.root / _TABLE}: the suppression list is gone, and erased units would come back; put the "
            f"folder back from a copy, or remove {path.name} if they may"
        )
    return Suppression(_read_key(path), frozenset(rows)) if rows else None


def suppress_units(lake: Lake, unit_type: str, ids: Sequence[str], *, now: dt.datetime) -> tuple[str, ...]:
    """Put units on the list; those that are there already stay as they are. Returns their hashes."""
    delta.load(lake.root, TABLES[_TABLE])  # before the key: a key without a list means that the list is gone
    key = _make_key(key_path(lake.workspace))
    hashes = tuple(unit_hash(key, unit_type, id_) for id_ in ids)
    with lake.connect() as con:
        lake.append(
            con,
            _TABLE,
            "SELECT $unit_type AS unit_type, unit_hash, $now::TIMESTAMPTZ AS since "
            "FROM (SELECT unnest($hashes) AS unit_hash) "
            f"ANTI JOIN (SELECT unit_hash FROM {_TABLE} WHERE unit_type = $unit_type) USING (unit_hash)",
            params={"unit_type": unit_type, "hashes": list(hashes), "now": now},
        )
    return hashes


def key_path(workspace: Workspace) -> Path:
    """Where the key lies: beside the lake, so that a copy of the lake is not one of the key."""
    return workspace.root / ".suppression.key"


def unit_hash(key: bytes, unit_type: str, unit_id: str) -> str:
    """HMAC-SHA256 of type and id under the key, hex."""
    message = f"{unit_type}\x00{unit_id}".encode("utf-8", "surrogateescape")
    return hmac.digest(key, message, "sha256").hex()


def hash_sql(key: bytes, unit_type: str, unit_id: str) -> str:
    """The same in SQL (RFC 2104); the arguments are SQL for type and id."""
    padded = key.ljust(_BLOCK_BYTES, b"\x00")
    inner, outer = (bytes(byte ^ pad for byte in padded).hex() for pad in (0x36, 0x5C))
    message = f"encode({unit_type}) || unhex('00') || encode({unit_id})"
    return f"sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || {message})))"


def mark_suppressed(
    con: duckdb.DuckDBPyConnection, kind: str, start: int, suppression: Suppression, reason: str
) -> int:
    """Give every staged row from `start` on whose unit is on the list this reason; how many they are."""
    if kind == "moments":
        return 0
    table, unit = identifier(f"stage_{kind}"), "unit_type, unit_id"
    con.execute(
        f"UPDATE {table} SET reason = $reason WHERE rowid >= $start AND ({unit}) IN (SELECT ({unit}) FROM "
        f"(SELECT DISTINCT {unit} FROM {table} WHERE rowid >= $start AND unit_id IS NOT NULL) "
        f"WHERE {suppression.condition('unit_type', 'unit_id')})",
        {"reason": reason, "start": start},
    )
    found: int = con.execute(
        f"SELECT count(*) FROM {table} WHERE rowid >= $start AND reason = $reason",
        {"reason": reason, "start": start},
    ).fetchall()[0][0]
    return found


def _read_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as reason:
        raise LakeError(
            f"{path}: the key of the suppression list can't be read ({reason}); put it back from a copy"
        ) from None
    if len(key) != _KEY_BYTES:
        raise LakeError(f"{path}: the key of the suppression list is cut; put it back from a copy")
    return key


def _make_key(path: Path) -> bytes:
    """The workspace's key, made when there is none; readable by its owner alone."""
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        with delta.writing(path):
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_bytes(_KEY_BYTES).hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(fresh, path)  # never over the key of another process
            fresh.unlink()
            delta.sync(path.parent)
    return _read_key(path)
