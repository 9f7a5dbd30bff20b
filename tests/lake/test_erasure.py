"""Erasure: nothing of the units is left in any file, nothing of others is missing, late copies stay out."""

import hmac
import json
import shutil

import duckdb
import pytest

from lake import LakeError
from lake.erasure import units_of
from lake.erasure.mentions import Mentions
from lake.erasure.tables import QUARANTINE, WITHOUT_UNITS, unit_columns
from lake.ingest import ingest
from lake.suppression import hash_sql, key_path, unit_hash
from lake.tables import TABLES
from lake.warehouse import open_readonly
from tests.lake.erasure import EVERYONE, GONE, STAY, erase, fill, holding, said_of_others
from tests.lake.support import Shop, event


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("erasure") / "wörk space")
    fill(shop)
    return shop


@pytest.fixture
def shop(filled, tmp_path):
    shutil.copytree(filled.root, tmp_path / "店")
    return Shop(tmp_path / "店")


def counts(receipt):
    return {store.store: store.rows for store in receipt.stores}


def contents(shop):
    files = (path for path in shop.root.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path: path.read_bytes() for path in files}


def test_every_table_either_has_units_that_erasure_knows_or_is_named_as_having_none():
    """A new table with units is covered by its columns; any other must be looked at by a person."""
    covered = {table.name for table in TABLES.values() if unit_columns(table)} | {QUARANTINE.name}
    assert covered | WITHOUT_UNITS == set(TABLES)
    assert not covered & WITHOUT_UNITS
    for name in WITHOUT_UNITS:
        assert not {"unit_id", "unit_key"} & set(TABLES[name].names)


def test_nothing_is_left_of_the_units_in_any_file(shop):
    for unit in GONE:
        assert holding(shop.root, unit), unit
    receipt = erase(shop)
    for unit in GONE:
        assert holding(shop.root, unit) == [], unit
    assert receipt.unreached == ()
    assert {name for name, rows in counts(receipt).items() if rows} >= {
        "landing files",
        *(f"lake table {table.name}" for table in TABLES.values() if unit_columns(table)),
        "lake table quarantine",
    }


def test_nothing_of_others_is_missing(shop):
    before = {name: said_of_others(shop, name) for name in TABLES if name not in {"ingested", "suppressed"}}
    stays = {unit: len(holding(shop.root / "landing", unit)) for unit in STAY}
    erase(shop)
    for name, rows in before.items():
        now = said_of_others(shop, name)
        if name == "quarantine":
            assert 0 < len(now) < len(rows)
        elif name in {"unit_days", "unit_values"}:
            assert len(now) == len(rows) - len(GONE)
        else:
            assert now == rows, name
    assert {unit: len(holding(shop.root / "landing", unit)) for unit in STAY} == stays
    assert shop.query("SELECT count(*) FROM unit_days WHERE measure = 'stamp@1'") == [(1,)]
    raws = [raw for (raw,) in shop.query("SELECT raw FROM quarantine")]
    assert any("user10" in raw for raw in raws)


def test_the_landing_files_that_are_left_read_as_the_lake_does(shop):
    """Ingested anew in another workspace, they give the rows of those who stay, good and bad."""
    erase(shop)
    anew = Shop(shop.root.parent / "anew")
    shutil.copytree(shop.root / "landing", anew.root / "landing")
    ingest(anew.workspace)
    for name in ("events", "exposures", "assignments", "unit_attributes", "quarantine"):
        assert said_of_others(anew, name) == said_of_others(shop, name), name
    sums = "SELECT kind, sum(rows), sum(quarantined), sum(duplicates) FROM ingested {} GROUP BY 1 ORDER BY 1"
    known = shop.query(sums.format("WHERE replaced_by IS NULL"))
    assert known == anew.query(sums.format(""))


def test_a_second_erasure_and_a_second_ingestion_change_nothing(shop):
    erase(shop)
    before = contents(shop)
    receipt = erase(shop)
    assert receipt.rows == 0
    assert sum(store.files for store in receipt.stores) == 0
    assert ingest(shop.workspace).files == 0
    assert contents(shop) == before


def test_a_dry_run_says_the_same_and_changes_nothing(shop):
    before = contents(shop)
    would = erase(shop, dry_run=True)
    assert contents(shop) == before
    done = counts(erase(shop))
    assert {name: rows for name, rows in counts(would).items() if rows} == {
        name: rows for name, rows in done.items() if rows
    }


def test_late_copies_stay_out_and_are_counted(shop):
    copy = (shop.root / "landing/events/only.ndjson").read_bytes()
    erase(shop)
    shop.write("landing/events/only.ndjson", copy)  # under its old name, which is no news
    shop.write("landing/events/late.ndjson", copy + json.dumps(event(500, "user10")).encode() + b"\n")
    bad = ['{"event_id": "b", "unit_id": "user1", "event"', '{"unit_id": "user1"}', "user1;what"]
    shop.write("landing/events/bad.ndjson", "\n".join([*bad, '{"unit_id": "user10"}', "user10;what"]))
    report = ingest(shop.workspace)
    [events] = report.sources
    assert (events.rows, events.accepted, events.quarantined, events.suppressed) == (7, 1, 2, 4)
    assert "user1" not in {unit for (unit,) in shop.query("SELECT unit_id FROM unit_keys")}
    assert shop.query("SELECT sum(suppressed) FROM ingested WHERE replaced_by IS NULL") == [(4,)]
    assert holding(shop.root / "lake", "user1") == []
    again = counts(erase(shop))
    assert again["landing files"] == 4  # and the copy under the old name is deleted as a whole
    assert holding(shop.root, "user1") == []


def test_the_list_tells_nobody_who_is_on_it(shop):
    receipt = erase(shop)
    listed = shop.query("SELECT unit_type, unit_hash FROM suppressed ORDER BY unit_hash")
    key = bytes.fromhex(key_path(shop.workspace).read_text())
    expected = {hmac.new(key, f"user\0{unit}".encode(), "sha256").hexdigest() for unit in GONE}
    assert listed == [("user", digest) for digest in sorted(expected)]
    assert set(receipt.units) == expected
    assert key_path(shop.workspace).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("unit", EVERYONE)
def test_the_hash_in_sql_is_the_hash(unit):
    key = bytes(range(32))
    with duckdb.connect(":memory:") as con:
        sql = f"SELECT {hash_sql(key, '$type', '$unit')}"
        assert con.execute(sql, {"type": "user", "unit": unit}).fetchall() == [
            (unit_hash(key, "user", unit),)
        ]


def test_without_its_list_or_its_key_nothing_is_ingested(shop):
    erase(shop)
    shop.land("events", "new.ndjson", [event(700, "user10")])
    shutil.move(shop.root / "lake/suppressed", shop.root / "kept")
    with pytest.raises(LakeError, match="the suppression list is gone"):
        ingest(shop.workspace)
    shutil.move(shop.root / "kept", shop.root / "lake/suppressed")
    key_path(shop.workspace).rename(shop.root / "key")
    with pytest.raises(LakeError, match="the key of the suppression list is gone"):
        ingest(shop.workspace)
    (shop.root / "key").rename(key_path(shop.workspace))
    assert ingest(shop.workspace).rows == 1


def test_foreign_and_unreadable_files_are_named_and_not_touched(shop, tmp_path):
    foreign = tmp_path / "orders.csv"
    foreign.write_text("user,at\nuser1,2026-02-01\nuser10,2026-02-01\n")
    shop.configure(
        f'[sources.orders]\nkind = "events"\npath = "{foreign}"\nevent = "order"\n'
        'unit_id = { column = "user" }\noccurred_at = { column = "at" }'
    )
    packed = (shop.root / "landing/assignments/b.csv.gz").read_bytes()
    shop.write("landing/events/torn.ndjson.zst", packed[:50])
    shop.write("landing/events/open.segment", b'{"unit_id": "user1"}')
    shop.write("notes.txt", "asked by user1; not user10")
    (shop.root / "landing/events/link.csv").symlink_to(foreign)
    before = foreign.read_bytes()
    left = {place.place: place.rows for place in erase(shop).unreached}
    assert foreign.read_bytes() == before
    assert left == {
        str(foreign): 1,
        "landing/events/torn.ndjson.zst": None,
        "landing/events/link.csv": None,
        "landing/events/open.segment": None,
        "notes.txt": None,
    }


def test_an_open_notebook_sees_the_published_tables_without_the_units(shop):
    erase(shop)
    with open_readonly(shop.workspace) as con:
        units = {unit for (unit,) in con.execute("SELECT unit_id FROM unit_metrics").fetchall()}
        assert units == set(STAY)


def test_a_unit_of_another_type_is_another_unit(shop):
    receipt = erase(shop, "user1")
    assert receipt.rows > 0
    shop.land("events", "account.ndjson", [event(800, "user1", unit_type="account")])
    assert ingest(shop.workspace).sources[0].accepted == 1


@pytest.mark.parametrize(
    ("ids", "problem"), [((), "no unit"), (("",), "is no unit id"), (("x" * 1001,), "no unit id")]
)
def test_who_is_nobody_is_refused(ids, problem):
    with pytest.raises(LakeError, match=problem):
        units_of(ids, "user")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"unit_id":"user1"}', True),
        ("x,user1\n", True),
        ("user10", False),
        ("user1@example.org", False),
        ("a-user1", False),
        ("unit:user1", True),
    ],
)
def test_only_whole_ids_are_found_in_text(text, found):
    assert Mentions(["user1"]).found_in(text) is found
    assert Mentions(["user1"]).found_in_bytes(text.encode()) is found
