"""What one row has wrong never stops the others: it goes to quarantine with file, line, reason and raw text."""

import json

import pytest
from tests.lake.support import event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake import LakeError
from lake.ingest import ingest

QUARANTINE = "SELECT line, reason, raw FROM quarantine ORDER BY line"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"unit_id": None}, "unit_id (the unit id) is missing"),
        ({"unit_id": ""}, "unit_id (the unit id) is empty"),
        ({"unit_id": True}, "unit_id (the unit id) is a boolean; it must be text or a whole number"),
        (
            {"unit_id": 1.5},
            "unit_id (the unit id) is a number with a fraction; it must be text or a whole number",
        ),
        (
            {"unit_id": {"a": 1}},
            "unit_id (the unit id) is an object or a list; it must be text or a whole number",
        ),
        ({"unit_id": "x" * 1001}, "unit_id (the unit id) is longer than 1000 characters"),
        ({"event": None}, "event is missing"),
        ({"event_id": None}, "event_id is missing"),
        ({"occurred_at": None}, "occurred_at is missing"),
        ({"occurred_at": "yesterday"}, 'occurred_at "yesterday" is not a time in ISO 8601, from 1970 to 2199'),
        (
            {"occurred_at": "2026-01-01 10:00:00 Mars/Phobos"},
            'occurred_at "2026-01-01 10:00:00 Mars/Phobos" is not a time in ISO 8601, from 1970 to 2199',
        ),
        ({"occurred_at": "0001-01-01"}, 'occurred_at "0001-01-01" is not a time in ISO 8601, from 1970 to 2199'),
        ({"received_at": "soon"}, 'received_at "soon" is not a time in ISO 8601, from 1970 to 2199'),
        ({"value": "a lot"}, 'value "a lot" is not a number of at most 22 digits before the point'),
        ({"value": 10**25}, f'value "{10**25}" is not a number of at most 22 digits before the point'),
        ({"properties": [1]}, "properties is not a JSON object"),
        ({"properties": "x"}, "properties is not a JSON object"),
    ],
    ids=str,
)
def test_a_bad_value_names_itself(shop, change, reason):
    shop.land("events", "a.ndjson", [event(1), event(2) | change, event(3)])
    report = ingest(shop.workspace)
    assert shop.query("SELECT event_id FROM events ORDER BY 1") == [("id-1",), ("id-3",)]
    [(line, found, raw)] = shop.query(QUARANTINE)
    assert (line, found) == (2, reason)
    assert raw.startswith('{"event_id": ') and len(raw) <= 2000
    assert (report.sources[0].accepted, report.sources[0].quarantined) == (2, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"event_id": "x", ', "the line is not valid JSON: Expecting property name"),
        (b"[1, 2]", "the line is not a JSON object"),
        (b'"text"', "the line is not a JSON object"),
        (b'{"event": "\xff"}', "the line is not UTF-8 text"),
        (b'{"event": "\\ud800"}', "the line is not valid JSON: half a surrogate pair"),
        (b'{"value": NaN}', "the line is not valid JSON: NaN is not JSON"),
        (b"[" * 100_000, "the line is not valid JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_line_that_is_no_record_is_told_by_its_line(shop, line, reason):
    good = [json.dumps(event(n)).encode() for n in range(3)]
    content = b"\n".join([b"\xef\xbb\xbf" + good[0], b"", b"  ", line, good[1], good[2]]) + b"\n"
    shop.write("landing/events/a.ndjson", content)
    ingest(shop.workspace)
    assert shop.query("SELECT event_id, file_row FROM events ORDER BY 1") == [
        ("id-0", 1),
        ("id-1", 3),
        ("id-2", 4),
    ]
    [(number, found, raw)] = shop.query(QUARANTINE)
    assert number == 4
    assert found.startswith(reason)
    assert len(raw) <= 2000


def test_a_wrong_type_in_row_70001_is_one_row_of_quarantine(shop):
    shop.configure("""
[sources.orders]
kind = "events"
path = "orders.csv.gz"
event = "order"
unit_id = { column = "user" }
occurred_at = { column = "at" }
value = { column = "amount" }
""")
    rows = [f"u{n},2026-01-01T00:00:00Z,{n}\n" for n in range(1, 70_101)]
    rows[70_000] = "u70001,2026-01-01T00:00:00Z,n/a\n"
    shop.write("orders.csv.gz", "user,at,amount\n" + "".join(rows))
    report = ingest(shop.workspace)
    assert shop.query(QUARANTINE) == [
        (
            70_002,
            'amount "n/a" is not a number of at most 22 digits before the point',
            "u70001,2026-01-01T00:00:00Z,n/a",
        )
    ]
    assert report.sources[0].accepted == 70_099


def test_broken_csv_lines_are_told_by_line_though_a_record_has_a_line_break(shop):
    shop.configure("""
[sources.orders]
kind = "events"
path = "o.csv"
event = { column = "what" }
unit_id = { column = "user" }
occurred_at = { column = "at" }
""")
    shop.write(
        "o.csv",
        'user,at,what\n1,2026-01-01,"a\nb"\n2,2026-01-01\n3,2026-01-01,c,d\n4,never,e\n5,2026-01-01,f\n',
    )
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id, event FROM events ORDER BY 1") == [("1", "a\nb"), ("5", "f")]
    found = shop.query(QUARANTINE)
    assert [line for line, _, _ in found] == [4, 5, 6]
    assert found[0][1].startswith("the line is not valid CSV") and found[1][1].startswith(
        "the line is not valid CSV"
    )
    assert found[2][1] == 'at "never" is not a time in ISO 8601, from 1970 to 2199'


def test_bad_rows_of_parquet_are_told_by_row(shop):
    import polars as pl

    shop.configure("""
[sources.orders]
kind = "events"
path = "o.parquet"
event = "order"
unit_id = { column = "user" }
occurred_at = { column = "at" }
""")
    pl.DataFrame({"user": ["a", None, "", "b"], "at": ["2026-01-01"] * 4}).write_parquet(
        shop.root / "o.parquet"
    )
    ingest(shop.workspace)
    assert [(line, reason) for line, reason, _ in shop.query(QUARANTINE)] == [
        (2, "user (the unit id) is missing"),
        (3, "user (the unit id) is empty"),
    ]


def test_a_file_of_nothing_but_malformed_rows_is_quarantined_with_a_warning(shop):
    shop.write("landing/events/a.ndjson", "x\ny\n")
    report = ingest(shop.workspace)
    assert report.sources[0].quarantined == 2
    assert report.warnings[0].startswith("landing/events/a.ndjson: all of its 2 rows went to quarantine")
    assert ingest(shop.workspace).batches == ()


def test_a_key_that_no_line_has_was_renamed(shop):
    shop.configure("""
[sources.orders]
kind = "events"
path = "o.ndjson"
event = "order"
unit_id = { column = "user_id" }
occurred_at = { column = "at" }
""")
    shop.write("o.ndjson", '{"userid": 1, "at": "2026-01-01"}\n')
    with pytest.raises(LakeError, match=r'o.ndjson: there is no key "user_id".*did you mean "userid"'):
        ingest(shop.workspace)


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=st.lists(texts, min_size=1, max_size=8), form=st.sampled_from(["ndjson", "csv"]))
def test_any_text_comes_through_unchanged(tmp_path_factory, units, form):
    import csv
    import io

    from tests.lake.support import Shop

    shop = Shop(tmp_path_factory.mktemp("any"))
    rows = [event(n, unit, properties={unit: unit}) for n, unit in enumerate(units)]
    if form == "ndjson":
        shop.land("events", "a.ndjson", rows)
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writeheader()
        writer.writerows([row | {"properties": json.dumps(row["properties"])} for row in rows])
        shop.write("landing/events/a.csv", text.getvalue())
    report = ingest(shop.workspace)
    found = shop.query("SELECT event_id, unit_id, properties FROM events ORDER BY file_row")
    assert [(id_, unit, json.loads(properties)) for id_, unit, properties in found] == [
        (f"id-{n}", unit, {unit: unit}) for n, unit in enumerate(units)
    ]
    assert report.sources[0].quarantined == 0
