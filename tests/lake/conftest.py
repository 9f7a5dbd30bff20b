"""Workspaces to ingest into, and the lake's content in a form that does not depend on the order of arrival."""

import gzip
import json
from pathlib import Path

import pytest

from lake import open_lake
from workspace import load_workspace


class Shop:
    """A small workspace in a folder whose name has a space and other scripts in it."""

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


def event(number: int, unit: str = "u1", day: int = 1, **more) -> dict:
    """A complete event record."""
    return {
        "event_id": f"id-{number}",
        "event": "purchase",
        "unit_id": unit,
        "occurred_at": f"2026-01-{day:02d}T10:00:00Z",
        **more,
    }


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "wörk space 対照群")
