"""`tenbin forget` from the command line: asked for, refused, done; results follow as revisions."""

import json

import pytest
from typer.testing import CliRunner

from tenbin.cli import app
from tests.lake.erasure import GONE, STAY, fill, holding
from tests.lake.support import Shop
from tests.support import tenbin

METRIC = """
[bought]
kind = "conversion"
event = "purchase"
description = "Bought something."
"""
EXPERIMENT = """
key = "対照"
title = "Nothing"
hypothesis = "Nothing changes."
owner = "growth"
unit_type = "user"
control = "A"
population = "assigned"
horizon = "anytime"
start = 2026-01-01
end = 2026-01-06
[[phases]]
from = 2026-01-01T00:00:00Z
weights = { A = 1, B = 1 }
[metrics]
primary = ["bought"]
"""
UNITS = "SELECT sum(n) FROM moments WHERE segment IS NULL AND as_of = (SELECT max(as_of) FROM moments)"


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path / "店")
    fill(made)
    return made


def run(*arguments, code=0, **more):
    done = CliRunner().invoke(app, [str(item) for item in arguments], prog_name="tenbin", **more)
    assert done.exit_code == code, done.output
    return done


def test_the_receipt_names_each_store_and_no_unit(shop):
    ids = shop.root.parent / "ids.txt"
    ids.write_text("".join(f"{unit}\n" for unit in GONE[1:]), encoding="utf-8")
    done = run("forget", shop.root, GONE[0], "--file", ids, "--yes", "--no-run", "--json", code=1)
    found = json.loads(done.stdout)
    assert found["recomputed"] is False
    assert "tenbin run" in found["reason"]
    stores = {store["store"]: store for store in found["receipt"]["stores"]}
    assert stores["landing files"]["rows"] > 0
    assert stores["lake table events"]["files"] > 0
    assert len(found["receipt"]["units"]) == len(GONE)
    assert not any(unit in done.stdout for unit in GONE)
    assert holding(shop.root, GONE[2]) == []
    shown = run("forget", shop.root, GONE[0], "--dry-run").stdout
    assert "lake table unit_keys" in shown


def test_nobody_there_to_be_asked_is_refused(shop):
    done = run("forget", shop.root, GONE[0], code=2)
    assert "say --yes" in done.stderr
    assert holding(shop.root, GONE[0])
    assert "no unit was named" in run("forget", shop.root, "--yes", code=2).stderr


@pytest.mark.slow
def test_what_the_unit_took_part_in_is_computed_again_as_a_revision(shop):
    """In processes of their own: landing to results, the erasure, and the results of those who are left."""
    (shop.root / "metrics").mkdir()
    (shop.root / "metrics" / "all.toml").write_text(METRIC)
    (shop.root / "experiments").mkdir()
    (shop.root / "experiments" / "e.toml").write_text(EXPERIMENT)
    tenbin("run", str(shop.root), "--json")
    [(before,)] = shop.query(UNITS)
    unit = STAY[-1]
    done = json.loads(tenbin("forget", str(shop.root), unit, "--yes", "--json").stdout)
    assert done["recomputed"] is True
    assert shop.query(UNITS) == [(before - 1,)]
    assert shop.query("SELECT max(revision) FROM results") == [(1,)]
    assert holding(shop.root / "lake", unit) == []
