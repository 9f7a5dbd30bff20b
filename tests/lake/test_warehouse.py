"""`warehouse.duckdb`: published by a rename, so that readers elsewhere never wait and never see a half."""

import shutil
import subprocess

import duckdb
import pytest

from lake import LakeError
from lake.ingest import ingest
from lake.locks import lock
from lake.tables import TABLES
from lake.warehouse import COPIED, open_readonly, publish
from tests.lake.support import Shop, event, finish, start

# Reads a published warehouse over and over until it is told to stop; every look must be whole.
READER = """
import sys
from lake.warehouse import open_readonly
from workspace import load_workspace
workspace, looks = load_workspace(sys.argv[1]), 0
print("reading", flush=True)
while not (workspace.root / "stop").exists():
    with open_readonly(workspace) as con:
        [(rows, low, high)] = con.execute("SELECT count(*), min(look), max(look) FROM looks").fetchall()
        assert rows == 100 and low == high, (rows, low, high)
        con.execute("SELECT count(*) FROM events").fetchall()
    looks += 1
print(looks)
"""
PUBLISHER = """
import sys
from lake.warehouse import publish
from workspace import load_workspace
publish(load_workspace(sys.argv[1]))
"""


def write_looks(shop: Shop, number: int) -> None:
    with shop.lake.connect() as con:
        shop.lake.overwrite(
            con,
            "looks",
            "SELECT 'e' || i AS experiment, 1 AS iteration, $n AS look FROM range(100) AS r(i)",
            params={"n": number},
        )


def everything(shop: Shop) -> dict[str, list[tuple]]:
    with open_readonly(shop.workspace) as con:
        return {name: con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES}


@pytest.fixture
def full(shop):
    shop.land("events", "a.ndjson", [event(n, f"u{n % 3}", 1 + n % 4) for n in range(20)])
    ingest(shop.workspace)
    write_looks(shop, 1)
    publish(shop.workspace)
    return shop


def test_what_is_published_is_what_the_lake_says(full):
    with full.lake.connect() as con:
        lake = {name: con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES}
    assert everything(full) == lake
    assert len(lake["events"]) == 20
    assert len(lake["looks"]) == 100


def test_any_duckdb_reads_the_file_by_itself(full):
    with duckdb.connect(full.workspace.warehouse, read_only=True) as con:
        assert con.execute("SELECT count(*) FROM events").fetchall() == [(20,)]
        kinds = dict(con.execute("SELECT table_name, table_type FROM information_schema.tables").fetchall())
    assert {name for name, kind in kinds.items() if kind == "BASE TABLE"} == {*COPIED, "lake_versions"}


def test_deleted_and_published_again_it_is_the_same(full):
    before = everything(full)
    full.workspace.warehouse.unlink()
    publish(full.workspace)
    assert everything(full) == before
    assert [path.name for path in full.root.iterdir() if "warehouse" in path.name] == ["warehouse.duckdb"]


def test_it_stays_as_published_while_the_lake_goes_on(full):
    before = everything(full)
    full.land("events", "b.ndjson", [event(100)])
    ingest(full.workspace)
    write_looks(full, 2)
    assert everything(full) == before
    publish(full.workspace)
    assert everything(full) != before


def test_it_opens_after_a_move_and_where_nothing_can_be_written(full, tmp_path):
    before = everything(full)
    moved = Shop(tmp_path / "moved")
    shutil.rmtree(moved.root)
    full.root.rename(moved.root)
    subprocess.run(["chmod", "-R", "a-w", str(moved.root)], check=True)
    try:
        files = sorted(path for path in moved.root.rglob("*"))
        with open_readonly(moved.workspace) as con:
            assert {name: con.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in TABLES} == before
        assert sorted(path for path in moved.root.rglob("*")) == files
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(moved.root)], check=True)


def test_readers_in_another_process_go_on_while_it_is_published(full):
    readers = [start(READER, full.root) for _ in range(2)]
    for reader in readers:
        assert reader.stdout.readline() == "reading\n"
    for number in range(2, 12):
        write_looks(full, number)
        publish(full.workspace)
    (full.root / "stop").touch()
    for reader in readers:
        code, out, err = finish(reader)
        assert code == 0, err
        assert int(out) > 0


def test_publishers_take_turns(full, monkeypatch):
    """The lock is held from the copy to the rename; another command or scheduler waits for its turn."""
    monkeypatch.setattr("lake.warehouse._WAIT_S", 0.1)
    write_looks(full, 2)
    before = full.workspace.warehouse.read_bytes()
    with (
        lock(full.root / "lake" / ".publish.lock", wait_s=0, purpose="publishing"),
        pytest.raises(LakeError, match="another process is publishing the warehouse; run again"),
    ):
        publish(full.workspace)
    assert full.workspace.warehouse.read_bytes() == before
    publishers = [start(PUBLISHER, full.root) for _ in range(3)]
    assert [finish(publisher)[0] for publisher in publishers] == [0, 0, 0]
    assert everything(full)["looks"][0][2] == 2


def test_a_publisher_that_was_killed_leaves_the_old_file_and_no_other_after_the_next(full):
    before = everything(full)
    write_looks(full, 2)
    code, _, _ = finish(start(PUBLISHER, full.root, TENBIN_FAULT="warehouse: before rename"))
    assert code == 137
    assert everything(full) == before
    publish(full.workspace)
    assert everything(full) != before
    assert [path.name for path in full.root.iterdir() if "warehouse" in path.name] == ["warehouse.duckdb"]


def test_nothing_published_and_a_broken_file_are_one_sentence(full):
    full.workspace.warehouse.write_bytes(b"no database" * 1000)
    with pytest.raises(
        LakeError, match=r"warehouse.duckdb: can't be opened .*; remove it and run `tenbin run"
    ):
        open_readonly(full.workspace)
    full.workspace.warehouse.unlink()
    with pytest.raises(LakeError, match=r"warehouse.duckdb: nothing was published yet; `tenbin run"):
        open_readonly(full.workspace)


def test_a_lake_that_went_away_is_one_sentence_and_is_not_made_anew(full):
    (full.root / "lake").rename(full.root / "elsewhere")
    with pytest.raises(LakeError, match=r"lake/events: version 1 of the table can't be read"):
        open_readonly(full.workspace)
    assert not (full.root / "lake").exists()
