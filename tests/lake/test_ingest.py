"""Landing → lake: exactly once, one row per id, in any order of arrival, with nothing dropped in silence."""

import datetime as dt
import gzip
import itertools
import json
import os
import random

import duckdb
import pytest
import zstandard

from lake import LakeError, memory
from lake.ingest import ingest
from tests.lake.support import Shop, event


def test_a_landed_event_becomes_a_row_with_all_its_fields(shop):
    row = event(
        1, "zoë", value=12.34, currency="JPY", properties={"国": "日本", "n": 1}, environment="staging"
    )
    shop.land("events", "a.ndjson", [row])
    report = ingest(shop.workspace)
    assert (report.rows, report.files, report.batches) == (1, 1, (1,))
    assert report.days == {"events": (dt.date(2026, 1, 1),)}
    found = shop.query(
        "SELECT environment, event_id, event, unit_type, unit_id, unit_key, value::VARCHAR, currency, "
        "properties, occurred_at, day_precision, batch FROM events"
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
    assert (report.sources, report.batches) == ((), ())
    assert {name: shop.lake.version(name) for name in versions} == versions


def test_only_the_new_file_is_read_and_only_its_days_are_touched(shop):
    shop.land("events", "a.ndjson", [event(n, day=1 + n % 5) for n in range(50)])
    ingest(shop.workspace)
    before = {path: path.read_bytes() for path in shop.lake.paths("events")}
    shop.land("events", "b.ndjson", [event(100, day=3)])
    report = ingest(shop.workspace)
    assert report.days == {"events": (dt.date(2026, 1, 3),)}
    after = set(shop.lake.paths("events"))
    assert before.keys() < after
    assert [path.parent.name for path in after - before.keys()] == ["occurred_on=2026-01-03"]
    assert {path: path.read_bytes() for path in before} == before
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


@pytest.mark.parametrize("apart", range(-5, 6))
@pytest.mark.parametrize("dedup_days", [3, 0])
def test_a_record_is_found_again_on_days_around(shop, apart, dedup_days):
    """The lake has it on day 10; it comes again, received earlier, with a day of its own."""
    shop.configure("", f"dedup_days = {dedup_days}")
    shop.land("events", "a.ndjson", [event(1, day=10, received_at="2026-01-20T00:00:00Z"), event(2, day=10)])
    ingest(shop.workspace)
    shop.land("events", "b.ndjson", [event(1, day=10 + apart, received_at="2026-01-19T00:00:00Z")])
    report = ingest(shop.workspace)
    found = [day for (day,) in shop.query("SELECT day(occurred_on) FROM events WHERE event_id = 'id-1'")]
    assert sorted(found) == sorted({10 + apart} if abs(apart) <= dedup_days else {10, 10 + apart})
    touched = {10, 10 + apart} if abs(apart) <= dedup_days else {10 + apart}
    assert {day.day for day in report.days["events"]} == touched


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_arrival_changes_no_row(shop, tmp_path, seed):
    rng = random.Random(seed)  # noqa: S311
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
    assert other.content()["events"] == shop.content()["events"]
    assert len(shop.content()["events"]) == len({row["event_id"] for row in rows})


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
    rng = random.Random(7)  # noqa: S311
    shop.land("events", "a.ndjson", [event(n, f"u{rng.randrange(500)}", 1 + n % 3) for n in range(5000)])
    ingest(shop.workspace)
    with shop.lake.connect() as con:
        for path in shop.lake.paths("events"):
            keys = con.execute("SELECT unit_key FROM read_parquet($1)", [str(path)]).fetchall()
            assert len(keys) > 1000
            assert keys == sorted(keys)


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
        "SELECT unit_id, value::DOUBLE, properties, day_precision, occurred_on::VARCHAR, file_row "
        "FROM events ORDER BY file_row"
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


FORMS = {
    "csv": "FORMAT csv, HEADER",
    "csv.gz": "FORMAT csv, HEADER, COMPRESSION gzip",
    "csv.zst": "FORMAT csv, HEADER, COMPRESSION zstd",
    "ndjson": "FORMAT json",
    "ndjson.gz": "FORMAT json, COMPRESSION gzip",
    "ndjson.zst": "FORMAT json, COMPRESSION zstd",
    "parquet": "FORMAT parquet",
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_and_compressions_give_the_same_rows(shop, form):
    shop.configure(MAPPED.replace("activity*.csv", f"a.{form}").replace('"row"', '{ column = "id" }'))
    target = shop.root / "data" / f"a.{form}"
    target.parent.mkdir()
    rows = (
        "SELECT 'e' || i AS id, i AS uid, DATE '2026-01-01' + (i % 3)::INTEGER AS dt, 'é' AS device, "
        "i / 4 AS spent FROM range(8) AS r(i)"
    )
    with duckdb.connect() as con:
        con.execute(f"COPY ({rows}) TO '{target}' ({FORMS[form]})")
    ingest(shop.workspace)
    found = shop.query(
        "SELECT unit_id, event_id, value::DOUBLE, properties, occurred_on FROM events ORDER BY 1"
    )
    assert found == [
        (str(i), f"e{i}", i / 4, '{"device":"é"}', dt.date(2026, 1, 1 + i % 3)) for i in range(8)
    ]


def test_files_of_several_gzip_members_or_zstd_frames_are_read_to_their_end(shop):
    parts = [json.dumps(event(n)).encode() + b"\n" for n in range(4)]
    shop.write("landing/events/a.ndjson", b"")  # makes the folder
    folder = shop.root / "landing" / "events"
    (folder / "a.ndjson").unlink()
    (folder / "a.ndjson.gz").write_bytes(gzip.compress(parts[0]) + gzip.compress(parts[1]))
    packed = [zstandard.ZstdCompressor().compress(part) for part in parts[2:]]
    (folder / "b.ndjson.zst").write_bytes(b"".join(packed))
    ingest(shop.workspace)
    assert shop.query("SELECT event_id FROM events ORDER BY 1") == [(f"id-{n}",) for n in range(4)]


def test_a_time_without_zone_is_in_the_workspaces_zone_and_a_bare_date_keeps_its_day(shop):
    toml = MAPPED.replace(', format = "%Y-%m-%d"', "")
    shop.configure(toml, 'timezone = "Asia/Tokyo"')
    times = ["2026-01-02 08:00:00", "2026-01-02", "2026-01-02T08:00:00Z", "2026-01-02T08:00:00+02:00"]
    rows = "".join(f"{number},{time},a,1\n" for number, time in enumerate(times))
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


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("with_bad_line", [False, True], ids=["good", "with a bad line"])
def test_row_numbers_follow_the_file(shop, form, with_bad_line):
    """Rows are staged by several threads; the number of a row must be its place in the file all the same."""
    count = 200_000
    shop.configure(MAPPED.replace("activity*.csv", f"*.{form}").replace('["device"]', "[]"))
    line = {"csv": "u{},2026-01-01,{}\n", "ndjson": '{{"uid":"u{}","dt":"2026-01-01","spent":{}}}\n'}[form]
    header = {"csv": "uid,dt,spent\n", "ndjson": ""}[form]
    for name in ("big 1", "big 2"):
        lines = [line.format(n % 1000, n) for n in range(count)]
        if with_bad_line:
            lines[count // 2] = "no record\n"
        shop.write(f"data/{name}.{form}", header + "".join(lines))
        lines[0] = line.format(0, 0) + "\n"  # another content
    shop.write(f"data/big 2.{form}", header + "".join(lines))
    ingest(shop.workspace)
    found = shop.query(
        "SELECT count(*), count(*) FILTER (value = file_row - 1), count(DISTINCT file_hash) FROM events"
    )
    good = 2 * (count - with_bad_line)
    assert found == [(good, good, 2)]


def test_a_copy_of_a_file_brings_nothing_whenever_it_comes(shop):
    """Its rows are equal in everything by which the winner among duplicates is told."""
    rows = [event(1), event(2), {"event": "no id"}]
    shop.land("events", "a.ndjson", rows)
    shop.land("events", "b.ndjson", rows)
    report = ingest(shop.workspace)
    assert shop.query("SELECT event_id FROM events ORDER BY 1") == [("id-1",), ("id-2",)]
    source = report.sources[0]
    assert (source.rows, source.accepted, source.duplicates, source.quarantined) == (6, 2, 2, 2)
    shop.land("events", "c.ndjson", rows)
    ingest(shop.workspace)
    assert shop.query("SELECT event_id FROM events ORDER BY 1") == [("id-1",), ("id-2",)]
    assert shop.query("SELECT path, rows, quarantined, duplicates FROM ingested ORDER BY 1") == [
        ("landing/events/a.ndjson", 3, 1, 0),
        ("landing/events/b.ndjson", 3, 1, 2),
        ("landing/events/c.ndjson", 3, 1, 2),
    ]


def test_row_ids_are_of_the_content_so_that_a_file_under_another_name_is_no_new_one(shop):
    shop.configure(MAPPED)
    text = "uid,dt,device,spent\n1,2026-01-01,A,1.5\n1,2026-01-01,A,1.5\n"
    shop.write("data/activity1.csv", text)
    ingest(shop.workspace)
    shop.write("data/activity2.csv", text)
    assert ingest(shop.workspace).sources[0].duplicates == 2
    assert shop.query("SELECT count(*), count(DISTINCT event_id) FROM events") == [(2, 2)]


def test_a_file_that_is_read_by_two_sources_is_read_for_each(shop):
    shop.configure(
        MAPPED + MAPPED.replace("sources.purchases", "sources.visits").replace('"purchase"', '"visit"')
    )
    shop.write("data/activity.csv", "uid,dt,device,spent\n1,2026-01-01,A,1.5\n")
    ingest(shop.workspace)
    assert shop.query("SELECT source, event FROM events ORDER BY 1") == [
        ("purchases", "purchase"),
        ("visits", "visit"),
    ]


def test_a_file_is_mapped_by_user_and_by_account(shop):
    """The same rows are events of either, so that experiments may randomise either."""
    by_account = MAPPED.replace("sources.purchases", "sources.of_accounts").replace('"uid"', '"account"')
    shop.configure(f'{MAPPED}unit_type = "user"\n{by_account}unit_type = "account"\n')
    shop.write("data/activity.csv", "uid,account,dt,device,spent\n1,a,2026-01-01,A,1.5\n2,a,2026-01-01,A,2\n")
    ingest(shop.workspace)
    assert shop.query("SELECT unit_type, unit_id, value::DOUBLE FROM events ORDER BY 1, 2, 3") == [
        ("account", "a", 1.5),
        ("account", "a", 2.0),
        ("user", "1", 1.5),
        ("user", "2", 2.0),
    ]


def test_a_day_too_large_to_be_ordered_at_once_becomes_several_ordered_files(shop, monkeypatch):
    monkeypatch.setattr(memory, "_memory", lambda _: 100_000.0)
    rng = random.Random(3)  # noqa: S311
    shop.land("events", "a.ndjson", [event(n, f"u{rng.randrange(300)}") for n in range(2000)])
    ingest(shop.workspace)
    ranges = []
    with shop.lake.connect() as con:
        for path in shop.lake.paths("events"):
            keys = [
                key for (key,) in con.execute("SELECT unit_key FROM read_parquet($1)", [str(path)]).fetchall()
            ]
            assert keys == sorted(keys)
            ranges.append((keys[0], keys[-1]))
    assert len(ranges) > 5
    ranges.sort()
    assert all(last < first for (_, last), (first, _) in itertools.pairwise(ranges))
    assert shop.query("SELECT count(*), count(DISTINCT event_id) FROM events") == [(2000, 2000)]


def test_files_are_taken_in_batches_of_a_bounded_size(shop, monkeypatch):
    monkeypatch.setattr("lake.ingest.BATCH_FILES", 2)
    for number in range(5):
        shop.land("events", f"{number}.ndjson", [event(number), event(99, value=number)])
    report = ingest(shop.workspace)
    assert report.batches == (1, 2, 3)
    assert report.files == 5
    assert shop.query("SELECT count(*), count(DISTINCT event_id) FROM events") == [(6, 6)]
    assert shop.query("SELECT batch, count(*) FROM ingested GROUP BY 1 ORDER BY 1") == [
        (1, 2),
        (2, 2),
        (3, 1),
    ]


@pytest.mark.parametrize(
    "root",
    ["zoë 😀", "a[1]*", "it's", 'a"b', "100% a#b", "$HOME {x}", "~", "-rf", "　全角"],
)
def test_folders_files_sources_and_ids_in_any_script(tmp_path, root):
    name = root.removeprefix("-")
    shop = Shop(tmp_path / root)
    shop.land("events", f"{name} [ab]*.ndjson", [event(1, name, properties={name: name})])
    shop.land("events", f"{name} a.ndjson", [event(2, name)])
    ingest(shop.workspace)
    assert shop.query("SELECT event_id, unit_id, properties FROM events ORDER BY 1") == [
        ("id-1", name, json.dumps({name: name}, ensure_ascii=False).replace(": ", ":")),
        ("id-2", name, "{}"),
    ]
    assert ingest(shop.workspace).batches == ()


def test_a_mapping_in_any_script(shop):
    shop.configure("""
[sources."対照群 zoë"]
kind = "exposures"
path = "データ/対照*.csv"
experiment = { column = "実験" }
variant = { column = "グループ 😀" }
unit_type = "ユーザー"
unit_id = { column = 'i"d' }
exposed_at = { column = "時's" }
attributes = ["端末", "zoë"]
""")
    shop.write(
        "データ/対照群.csv", '実験,グループ 😀,"i""d",時\'s,端末,zoë\n赤い,対照群,佐藤,2026-01-01,電話,ë\n'
    )
    ingest(shop.workspace)
    assert shop.query(
        "SELECT source, experiment, variant, unit_type, unit_id, attributes FROM exposures"
    ) == [("対照群 zoë", "赤い", "対照群", "ユーザー", "佐藤", '{"端末":"電話","zoë":"ë"}')]
