"""`tenbin run` on a workspace whose experiments are declared by aggregates, with no file of their own."""

import json
from pathlib import Path

import pytest

import tenbin as tenbin_package
from tests.support import tenbin

TOML = """
[workspace]
name = "headlines"

[sources.tests]
kind = "moments"
path = "exports/*.csv"
control = "A"
"""
ROWS = """experiment,metric,variant,as_of,n,successes
x,click,B,2026-01-01,1000,140
x,click,A,2026-01-01,1010,80
y,click,A,2026-01-01,1000,100
y,click,B,2026-01-01,990,101
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "headlines"
    (root / "exports").mkdir(parents=True)
    (root / "tenbin.toml").write_text(TOML, encoding="utf-8")
    (root / "exports" / "a.csv").write_text(ROWS, encoding="utf-8")
    return root


def test_they_are_analysed_once_and_stand_in_the_warehouse(workspace):
    first = json.loads(tenbin("run", str(workspace), "--json").stdout)
    assert first["ingested"]["given_moments"] == 4
    assert first["experiments"] == []
    assert {row["experiment"]: row["verdict"] for row in first["declared"]} == {
        "x": "ship", "y": "keep_running",
    }  # fmt: skip
    index = json.loads((workspace / "reports" / "index.json").read_text(encoding="utf-8"))
    assert {(entry["experiment"], entry["verdict"]) for entry in index["experiments"]} == {
        ("x", "ship"), ("y", "keep_running"),
    }  # fmt: skip
    page = workspace / "reports" / "x" / "index.html"
    shown = json.loads((workspace / "reports" / "x" / "result.json").read_text(encoding="utf-8"))
    assert (shown["control"], shown["units"], shown["as_of"]) == ("A", {"A": 1010, "B": 1000}, "2026-01-01")
    query = (
        "SELECT experiment, variant, baseline, estimate FROM results WHERE headline AND scale = 'absolute'"
    )
    with tenbin_package.open(workspace) as con:
        stored = con.execute(f"{query} ORDER BY 1").fetchall()
        assert [row[:3] for row in stored] == [("x", "B", "A"), ("y", "B", "A")]
        assert stored[0][3] == pytest.approx(140 / 1000 - 80 / 1010)
        assert con.execute("SELECT count(*) FROM given_moments").fetchall() == [(4,)]
    page.unlink()
    again = tenbin("run", str(workspace))
    assert not page.exists()  # nothing changed, so nothing was written
    report = json.loads(tenbin("report", str(workspace), "x", "--json").stdout)
    assert (report["verdict"], page.exists()) == ("ship", True)
    unknown = tenbin("report", str(workspace), "xx", check=False)
    assert unknown.returncode == 2
    assert 'there is no experiment "xx"; did you mean "x"?' in " ".join(unknown.stderr.split())
    assert "Declared by aggregates: 2 experiments (1 ship, 1 keep running)" in " ".join(again.stdout.split())
    with tenbin_package.open(workspace) as con:
        assert con.execute(f"{query} ORDER BY 1").fetchall() == stored
