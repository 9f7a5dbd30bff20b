"""Workspaces to ingest into, records to land in them, and processes that ingest."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

from lake import open_lake
from tests.support import ROOT
from workspace import load_workspace

# Each example is an ingestion of its own.
EXAMPLES = 300 if os.environ.get("TENBIN_TEST_FULL") else 10

INGEST = """
import sys
from lake.ingest import ingest
from workspace import UserError, load_workspace
try:
    ingest(load_workspace(sys.argv[1]))
except UserError as reason:
    print(reason, file=sys.stderr)
    sys.exit(2)
"""

# What a table says, whatever the order of arrival: rows without keys, batches and times of this machine.
_RECORD = (
    "environment, unit_type, unit_id, day_precision, received_at, sent_at, source, file_hash, file_row, "
    "occurred_on"
)
_EXPOSURE = f"exposure_id, experiment, iteration, variant, exposed_at, ruleset_version, attributes, {_RECORD}"
CONTENT = {
    "events": f"SELECT event_id, event, occurred_at, value, currency, properties, {_RECORD} FROM events",
    "exposures": f"SELECT {_EXPOSURE} FROM exposures",
    "assignments": f"SELECT {_EXPOSURE} FROM assignments",
    "unit_keys": "SELECT unit_type, unit_id FROM unit_keys",
    "unit_attributes": "SELECT * EXCLUDE batch FROM unit_attributes",
    "given_moments": "SELECT * EXCLUDE batch FROM given_moments",
    "quarantine": "SELECT * EXCLUDE batch FROM quarantine",
    "ingested": "SELECT * EXCLUDE (batch, modified_ns) FROM ingested",
}


class Shop:
    """A small workspace in a folder of its own."""

    def __init__(self, root: Path, toml: str = "") -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.configure(toml)

    def configure(self, toml: str, settings: str = "") -> None:
        text = f'[workspace]\nname = "shop"\n{settings}\n{toml}\n'
        (self.root / "tenbin.toml").write_text(text, encoding="utf-8")

    @property
    def workspace(self):
        return load_workspace(self.root)

    @property
    def lake(self):
        return open_lake(self.workspace)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return path

    def land(self, kind: str, name: str, rows: list[dict]) -> Path:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return self.write(f"landing/{kind}/{name}", text)

    def query(self, sql: str, *params):
        with self.lake.connect() as con:
            return con.execute(sql, list(params)).fetchall()

    def content(self) -> dict[str, list[tuple]]:
        """All tables that ingestion writes, in a form that is equal for equal input."""
        with self.lake.connect() as con:
            return {name: con.execute(f"{sql} ORDER BY ALL").fetchall() for name, sql in CONTENT.items()}


def check_keys(shop: Shop) -> None:
    """Unit keys are dense, one per unit, and every record carries its own."""
    with shop.lake.connect() as con:
        keys = con.execute("SELECT unit_key FROM unit_keys ORDER BY 1").fetchall()
        assert keys == [(n,) for n in range(1, len(keys) + 1)]
        units = con.execute("SELECT count(DISTINCT (unit_type, unit_id)) FROM unit_keys").fetchall()
        assert units == [(len(keys),)]
        for kind in ("events", "exposures", "assignments"):
            wrong = f"SELECT count(*) FROM {kind} ANTI JOIN unit_keys USING (unit_type, unit_id, unit_key)"
            assert con.execute(wrong).fetchall() == [(0,)]


def event(number: int, unit: str = "u1", day: int = 1, **more) -> dict:
    """A complete event record."""
    return {
        "event_id": f"id-{number}",
        "event": "purchase",
        "unit_id": unit,
        "occurred_at": f"2026-01-{day:02d}T10:00:00Z",
        **more,
    }


def start(program: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """A Python process of its own, in a new session, that runs `program`."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code and what it printed, once it has ended."""
    with process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err
