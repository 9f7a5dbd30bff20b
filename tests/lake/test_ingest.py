"""Landing → lake: exactly once, one row per id, in any order of arrival, with nothing dropped in silence."""

import datetime as dt
import itertools
import json
import os
import random

import pytest
from tests.lake.support import event

from lake import LakeError
from lake.ingest import ingest

CONTENT = (
    "SELECT environment, event_id, event, unit_type, unit_id, occurred_at, day_precision, value, properties, "
    "source, file_hash, file_row, occurred_on FROM events ORDER BY ALL"
)


def test_a_landed_event_becomes_a_row_with_all_its_fields(shop):
    row = event(
        1, "zoë", value=12.34, currency="JPY", properties={"国": "日本", "n": 1}, environment="staging"
    )
    shop.land("events", "a.ndjson", [row])
    report = ingest(shop.workspace)
    assert (report.rows, report.files, report.batches) == (1, 1, (1,))
    assert report.days == {"events": (dt.date(2026, 1, 1),)}
    found = shop.query(
        "SELECT environment, event_id, event, unit_type, unit_id, unit_key, value::VARCHAR, currency, properties, "
        "occurred_at, day_precision, batch FROM events"
    )
    at = dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)
    properties = '{"国":"日本","n":1}'
    assert found == [
        ("staging", "id-1", "purchase", "user", "zoë", 1, "12.340000", "JPY", properties, at, False, 1)
    ]


def test_a_second_run_changes_nothing(shop):
    shop.land("events", "a.ndjson", [event(1), event(2)])
    ingest(shop.workspace)
    versions = {name: shop.lake.version(name) for name in ("events", "ingested", "unit_keys")}
    report = ingest(shop.workspace)
    assert report.sources == () and report.batches == ()
    assert {name: shop.lake.version(name) for name in versions} == versions


def test_only_the_new_file_is_read_and_only_its_days_are_touched(shop):
    shop.land("events", "a.ndjson", [event(n, day=1 + n % 5) for n in range(50)])
    ingest(shop.workspace)
    before = {path for path in shop.lake.paths("events")}
    shop.land("events", "b.ndjson", [event(100, day=3)])
    report = ingest(shop.workspace)
    assert report.days == {"events": (dt.date(2026, 1, 3),)}
    after = set(shop.lake.paths("events"))
    assert before < after
    assert [path.parent.name for path in after - before] == ["occurred_on=2026-01-03"]
    assert shop.query("SELECT count(*) FROM events") == [(51,)]


def test_duplicates_within_a_file_keep_the_earliest_received(shop):
    rows = [
        event(1, value=1, sent_at="2026-01-01T10:00:09Z", received_at="2026-01-01T10:00:09Z"),
        event(1, value=2, sent_at="2026-01-01T10:00:05Z", received_at="2026-01-01T10:00:05Z"),
        event(1, value=3, sent_at="2026-01-01T10:00:07Z", received_at="2026-01-01T10:00:07Z"),
    ]
    shop.land("events", "a.ndjson", rows)
    report = ingest(shop.workspace)
    assert shop.query("SELECT value::INTEGER, file_row FROM events") == [(2, 2)]
    assert (report.sources[0].duplicates, report.sources[0].accepted) == (2, 1)
    assert shop.query("SELECT rows, quarantined, duplicates FROM ingested") == [(3, 0, 2)]


def test_an_older_loser_is_taken_out_of_the_lake_by_rewriting_its_file_alone(shop):
    late = event(1, value=9, received_at="2026-01-01T12:00:00Z")
    shop.land("events", "a.ndjson", [late, event(2), event(3, day=2)])
    ingest(shop.workspace)
    before = set(shop.lake.paths("events"))
    shop.land("events", "b.ndjson", [event(1, value=7, received_at="2026-01-01T11:00:00Z")])
    ingest(shop.workspace)
    assert shop.query("SELECT event_id, value::INTEGER FROM events ORDER BY 1") == [
        ("id-1", 7),
        ("id-2", None),
        ("id-3", None),
    ]
    assert len(before & set(shop.lake.paths("events"))) == 1  # the file of day 2 is the same


def test_the_same_id_is_another_record_beyond_dedup_days_or_under_another_name(shop):
    rows = [event(1, day=1), event(1, day=5), event(1, day=1, event="view")]
    shop.land("events", "a.ndjson", rows)
    ingest(shop.workspace)
    assert shop.query("SELECT count(*) FROM events") == [(3,)]


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_arrival_changes_no_row(shop, tmp_path, seed):
    rng = random.Random(seed)
    rows = [
        event(rng.randrange(60), f"u{rng.randrange(9)}", rng.randrange(1, 4), value=n) for n in range(200)
    ]
    # Days of one id may differ by at most two: all of them are one record.
    files = {f"{n}.ndjson": rows[n * 40 : (n + 1) * 40] for n in range(5)}
    for name, content in files.items():
        shop.land("events", name, content)
    ingest(shop.workspace)
    other = type(shop)(tmp_path / "other")
    for name in rng.sample(sorted(files), len(files)):
        other.land("events", name, files[name])
        ingest(other.workspace)
    assert other.query(CONTENT) == shop.query(CONTENT)
    assert len(shop.query(CONTENT)) == len({row["event_id"] for row in rows})


def test_unit_keys_are_dense_and_shared_by_all_kinds(shop):
    shop.land("events", "a.ndjson", [event(n, f"u{n % 7}") for n in range(20)])
    exposure = {"exposure_id": "x", "experiment": "対照", "variant": "😀", "exposed_at": "2026-01-01"}
    shop.land(
        "exposures",
        "a.ndjson",
        [exposure | {"unit_id": "u3"}, exposure | {"exposure_id": "y", "unit_id": "new"}],
    )
    ingest(shop.workspace)
    keys = shop.query("SELECT unit_key FROM unit_keys ORDER BY 1")
    assert keys == [(n,) for n in range(1, 9)]
    joined = shop.query("SELECT count(*) FROM events JOIN unit_keys USING (unit_type, unit_id, unit_key)")
    assert joined == [(20,)]
    assert shop.query(
        "SELECT variant, experiment, day_precision, iteration FROM exposures WHERE unit_id = 'u3'"
    ) == [("😀", "対照", True, 1)]


def test_rows_are_ordered_by_unit_key_within_each_file(shop):
    rng = random.Random(7)
    shop.land("events", "a.ndjson", [event(n, f"u{rng.randrange(500)}", 1 + n % 3) for n in range(5000)])
    ingest(shop.workspace)
    with shop.lake.connect() as con:
        for path in shop.lake.paths("events"):
            keys = con.execute("SELECT unit_key FROM read_parquet($1)", [str(path)]).fetchall()
            assert len(keys) > 1000 and keys == sorted(keys)


def test_units_become_attributes_in_long_form(shop):
    rows = [
        {"unit_id": "u1", "attributes": {"country": "JP", 'a.b"c\\': "x", "age": 30, "gone": None}},
        {"unit_id": 7, "attributes": {"country": "DE"}, "valid_from": "2026-01-05T00:00:00Z"},
    ]
    shop.land("units", "a.ndjson", rows)
    ingest(shop.workspace)
    found = shop.query("SELECT unit_id, attribute, value, valid_from FROM unit_attributes ORDER BY 1, 2")
    moment = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    assert found == [
        ("7", "country", "DE", moment),
        ("u1", 'a.b"c\\', "x", None),
        ("u1", "age", "30", None),
        ("u1", "country", "JP", None),
    ]


def test_clocks_that_differ_by_more_than_a_minute_shift_the_event_and_keep_the_original(shop):
    early = {"sent_at": "2026-01-01T10:00:00Z", "received_at": "2026-01-01T10:00:59Z"}
    wrong = {"sent_at": "2026-01-01T10:00:00Z", "received_at": "2026-01-02T10:00:01Z"}
    shop.land("events", "a.ndjson", [event(1, **early), event(2, **wrong)])
    ingest(shop.workspace)
    first = dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC)
    assert shop.query(
        "SELECT event_id, occurred_at, original_occurred_at, occurred_on FROM events ORDER BY 1"
    ) == [
        ("id-1", first, None, dt.date(2026, 1, 1)),
        ("id-2", first + dt.timedelta(days=1, seconds=1), first, dt.date(2026, 1, 2)),
    ]


MAPPED = """
[sources.purchases]
kind = "events"
path = "data/activity*.csv"
event = "purchase"
unit_id = { column = "uid" }
occurred_at = { column = "dt", format = "%Y-%m-%d" }
event_id = "row"
value = { column = "spent" }
properties = ["device"]
"""


def test_a_foreign_csv_with_a_bom_is_used_as_it_is(shop):
    shop.configure(MAPPED)
    text = "uid,dt,device,spent\n1,2026-01-01,A,1.5\n1,2026-01-01,A,1.5\n対,2026-01-02,,2\n"
    shop.write("data/activity 1.csv", b"\xef\xbb\xbf" + text.encode())
    report = ingest(shop.workspace)
    assert report.sources[0].source == "purchases"
    found = shop.query(
        "SELECT unit_id, value::DOUBLE, properties, day_precision, occurred_on::VARCHAR, file_row FROM events "
        "ORDER BY file_row"
    )
    assert found == [
        ("1", 1.5, '{"device":"A"}', True, "2026-01-01", 1),
        ("1", 1.5, '{"device":"A"}', True, "2026-01-01", 2),
        ("対", 2.0, '{"device":null}', True, "2026-01-02", 3),
    ]


def test_content_ids_make_equal_rows_one(shop):
    shop.configure(MAPPED.replace('"row"', '"content"'))
    shop.write(
        "data/activity.csv",
        "uid,dt,device,spent\n1,2026-01-01,A,1.5\n1,2026-01-01,A,1.5\n1,2026-01-01,B,1.5\n",
    )
    assert ingest(shop.workspace).sources[0].duplicates == 1


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_all_forms_and_compressions_give_the_same_rows(shop, form, suffix):
    if form == "parquet" and suffix:
        pytest.skip("a Parquet file is compressed inside")
    shop.configure(MAPPED.replace("activity*.csv", f"a.{form}{suffix}").replace('"row"', '{ column = "id" }'))
    import duckdb

    target = shop.root / "data" / f"a.{form}{suffix}"
    target.parent.mkdir()
    kind = {"csv": "csv, HEADER", "ndjson": "json", "parquet": "parquet"}[form]
    options = {"": "", ".gz": ", COMPRESSION gzip", ".zst": ", COMPRESSION zstd"}[suffix]
    with duckdb.connect() as con:
        con.execute(
            "COPY (SELECT 'e' || i AS id, i AS uid, DATE '2026-01-01' + (i % 3)::INTEGER AS dt, 'é' AS device, "
            f"i / 4 AS spent FROM range(8) r(i)) TO '{target}' (FORMAT {kind}{options})"
        )
    ingest(shop.workspace)
    found = shop.query(
        "SELECT unit_id, event_id, value::DOUBLE, properties, occurred_on FROM events ORDER BY 1"
    )
    assert found == [
        (str(i), f"e{i}", i / 4, '{"device":"é"}', dt.date(2026, 1, 1 + i % 3)) for i in range(8)
    ]


def test_a_time_without_zone_is_in_the_workspaces_zone_and_a_bare_date_keeps_its_day(shop):
    toml = MAPPED.replace(', format = "%Y-%m-%d"', "")
    shop.configure(toml, 'timezone = "Asia/Tokyo"')
    rows = "1,2026-01-02 08:00:00,a,1\n2,2026-01-02,a,1\n3,2026-01-02T08:00:00Z,a,1\n4,2026-01-02T08:00:00+02:00,a,1\n"
    shop.write("data/activity.csv", "uid,dt,device,spent\n" + rows)
    ingest(shop.workspace)
    found = shop.query("SELECT occurred_at::VARCHAR, occurred_on::VARCHAR FROM events ORDER BY unit_id")
    assert found == [
        ("2026-01-01 23:00:00+00", "2026-01-01"),
        ("2026-01-02 00:00:00+00", "2026-01-02"),
        ("2026-01-02 08:00:00+00", "2026-01-02"),
        ("2026-01-02 06:00:00+00", "2026-01-02"),
    ]


def test_a_changed_definition_is_refused(shop):
    shop.configure(MAPPED)
    shop.write("data/activity.csv", "uid,dt,device,spent\n1,2026-01-01,A,1.5\n")
    ingest(shop.workspace)
    shop.configure(MAPPED.replace('"purchase"', '"order"'))
    with pytest.raises(LakeError, match=r"sources.purchases was changed after data.activity.csv"):
        ingest(shop.workspace)


def test_a_touched_file_is_the_same_and_a_changed_one_is_refused(shop):
    path = shop.land("events", "a.ndjson", [event(1)])
    ingest(shop.workspace)
    os.utime(path, (1, 1))
    assert ingest(shop.workspace).batches == ()
    path.write_text(json.dumps(event(2)) + "\n")
    with pytest.raises(LakeError, match=r"landing.events.a.ndjson: the file has changed under its old name"):
        ingest(shop.workspace)
    assert shop.query("SELECT event_id FROM events") == [("id-1",)]


def test_row_numbers_follow_the_file_in_every_form(shop):
    """Rows are staged by several threads; the number of a row must be its place in the file all the same."""
    count = 300_000
    shop.configure(MAPPED.replace("activity*.csv", "big.*").replace('["device"]', '["n"]'))
    lines = (f"u{n % 1000},2026-01-01,{n},{n}\n" for n in itertools.count())
    shop.write("data/big.csv", "uid,dt,n,spent\n" + "".join(itertools.islice(lines, count)))
    ingest(shop.workspace)
    assert shop.query("SELECT count(*), count(*) FILTER (value = file_row - 1) FROM events") == [
        (count, count)
    ]
