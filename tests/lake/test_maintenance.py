"""Small files are written together, replaced files and orphans go after a while, and no row changes."""

import datetime as dt
import os
import time

import pytest

from lake import compaction, delta, faults
from lake.ingest import ingest
from lake.maintenance import maintain
from lake.tables import TABLES
from lake.warehouse import open_readonly, publish
from tests.lake.support import check_keys, event

DAY_S = 86_400


@pytest.fixture
def lots(shop):
    """A day in as many small files as there were batches, and another day in two."""
    for batch in range(compaction.MANY):
        rows = [event(10 * batch + n, f"u{(7 * batch + n) % 11}", 1) for n in range(5)]
        if batch < 2:
            rows.append(event(900 + batch, "u1", 2))
        shop.land("events", f"{batch}.ndjson", rows)
        ingest(shop.workspace)
    return shop


def on_disk(shop, table):
    return {str(path.relative_to(shop.root)) for path in (shop.root / "lake" / table).rglob("*.parquet")}


def in_use(shop, table):
    return {str(path.relative_to(shop.root)) for path in shop.lake.paths(table)}


def test_many_small_files_of_a_day_become_one_in_order(lots):
    before, changes = lots.content(), lots.lake.version("events")
    assert len(in_use(lots, "events")) == compaction.MANY + 2
    report = maintain(lots.workspace)
    assert report.compacted == {"events": compaction.MANY, "ingested": compaction.MANY}
    assert len(in_use(lots, "events")) == 3
    assert lots.content() == before
    check_keys(lots)
    [merged] = [path for path in in_use(lots, "events") if "compacted" in path]
    with lots.lake.connect() as con:
        keys = con.read_parquet(str(lots.root / merged), file_row_number=True).order("file_row_number")
        found = [(row[0], row[1]) for row in keys.project("unit_key, occurred_at").fetchall()]
    assert found == sorted(found)
    assert lots.lake.version("events") == changes + 1
    log = lots.root / "lake" / "events" / "_delta_log" / f"{changes + 1:020d}.json"
    assert '"dataChange":false' in log.read_text()
    assert '"dataChange":true' not in log.read_text()
    assert maintain(lots.workspace).compacted == {}


def test_a_compaction_that_is_killed_changes_nothing(lots, monkeypatch):
    before = lots.content()

    class KilledError(Exception):
        pass

    def kill(step):
        if step == "events: before commit":
            raise KilledError

    monkeypatch.setattr(faults, "reached", kill)
    with pytest.raises(KilledError):
        maintain(lots.workspace)
    monkeypatch.undo()
    assert lots.content() == before
    assert maintain(lots.workspace).compacted["events"] == compaction.MANY
    assert lots.content() == before


def test_replaced_files_and_orphans_stay_for_the_retention_and_go_then(lots):
    maintain(lots.workspace)
    replaced = on_disk(lots, "events") - in_use(lots, "events")
    assert len(replaced) == compaction.MANY
    orphan, fresh = (
        lots.root / "lake/events/occurred_on=2026-01-01" / name for name in ("a.parquet", "b.parquet")
    )
    for path in (orphan, fresh):
        path.write_bytes(b"left by a kill")
    before = time.time() - 8 * DAY_S
    os.utime(orphan, (before, before))
    assert maintain(lots.workspace).vacuumed == 1
    assert (orphan.exists(), fresh.exists()) == (False, True)
    assert replaced <= on_disk(lots, "events")
    lots.configure("", settings='retention = "0s"')
    time_passed = maintain(lots.workspace)
    assert time_passed.vacuumed > compaction.MANY
    assert on_disk(lots, "events") == in_use(lots, "events")
    assert lots.query("SELECT count(*) FROM events") == [(5 * compaction.MANY + 2,)]


def test_what_the_published_warehouse_reads_stays_however_old(lots):
    publish(lots.workspace)
    lots.configure("", settings='retention = "0s"')
    maintain(lots.workspace)
    with open_readonly(lots.workspace) as con:
        assert con.execute("SELECT count(*) FROM events").fetchall() == [(5 * compaction.MANY + 2,)]


def test_a_lot_is_no_larger_than_what_can_be_ordered_in_memory(lots, monkeypatch):
    monkeypatch.setattr(compaction, "parts_to_order", lambda _con, rows, _width: -(-rows // 10))
    before = lots.content()
    maintain(lots.workspace)
    with lots.lake.connect():
        snapshot = delta.load(lots.lake.root, TABLES["events"])
        assert [file.rows for file in delta.files(snapshot) if "compacted" in file.path] == [10] * 4
    assert lots.content() == before


def test_records_that_come_again_later_than_duplicates_are_looked_for_are_counted(shop):
    shop.land("events", "a.ndjson", [event(1, day=1), event(2, day=1), event(2, day=3)])
    shop.land("events", "b.ndjson", [event(1, day=20), event(1, "u9", day=20, unit_type="account")])
    ingest(shop.workspace)
    assert maintain(shop.workspace).late_duplicates == {"events": 1, "exposures": 0, "assignments": 0}


def test_a_lake_without_anything_needs_nothing(shop):
    report = maintain(shop.workspace)
    assert (report.compacted, report.vacuumed) == ({}, 0)
    assert dt.timedelta(seconds=shop.workspace.retention_s) == dt.timedelta(days=7)
