"""What a row has wrong never stops the others: it goes to quarantine with file, line, reason, raw text."""

import csv
import io
import json

import polars as pl
import pytest
import tomli_w
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lake import LakeError
from lake.ingest import ingest
from tests.lake.support import EXAMPLES, Shop, event

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
        (
            {"occurred_at": "yesterday"},
            'occurred_at "yesterday" is not a time in ISO 8601, from 1970 to 2199',
        ),
        (
            {"occurred_at": "2026-01-01 10:00:00 Mars/Phobos"},
            'occurred_at "2026-01-01 10:00:00 Mars/Phobos" is not a time in ISO 8601, from 1970 to 2199',
        ),
        (
            {"occurred_at": "0001-01-01"},
            'occurred_at "0001-01-01" is not a time in ISO 8601, from 1970 to 2199',
        ),
        ({"received_at": "soon"}, 'received_at "soon" is not a time in ISO 8601, from 1970 to 2199'),
        ({"value": "a lot"}, 'value "a lot" is not a number of at most 22 digits before the point'),
        ({"value": 10**25}, f'value "{10**25}" is not a number of at most 22 digits before the point'),
        ({"value": "NaN"}, 'value "NaN" is not a number of at most 22 digits before the point'),
        ({"value": 1e300}, 'value "1e+300" is not a number of at most 22 digits before the point'),
        ({"properties": [1]}, "properties is not a JSON object"),
        ({"properties": {"a": float("nan")}}, "the line is not valid JSON: NaN is not JSON"),
        ({"properties": {"a": [1, float("-inf")]}}, "the line is not valid JSON: -Infinity is not JSON"),
        ({"properties": {"a": "x" * 1_000_001}}, "properties is longer than 1000000 characters"),
        ({"currency": "x" * 1001}, "currency is longer than 1000 characters"),
        ({"environment": ""}, "environment is missing"),
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
    assert raw.startswith('{"event_id": ')
    assert len(raw) <= 2000
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


ORDERS = """
[sources.orders]
kind = "events"
path = "o.*"
event = { column = "what" }
unit_id = { column = "user" }
occurred_at = { column = "at" }
"""


def test_broken_csv_lines_are_told_by_line_though_a_record_has_a_line_break(shop):
    shop.configure(ORDERS)
    shop.write(
        "o.csv",
        b'user,at,what\n1,2026-01-01,"a\nb"\n2,2026-01-01\n3,2026-01-01,c,d\n\n4,never,e\r\n5,2026-01-01,f\n'
        b'\xff,2026-01-01,g\n"6"x,2026-01-01,h\n7,2026-01-01,"i\n',
    )
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id, event FROM events ORDER BY 1") == [("1", "a\nb"), ("5", "f")]
    assert shop.query(QUARANTINE) == [
        (4, "the line is not valid CSV: 2 values for 3 columns", "2,2026-01-01"),
        (5, "the line is not valid CSV: 4 values for 3 columns", "3,2026-01-01,c,d"),
        (7, 'at "never" is not a time in ISO 8601, from 1970 to 2199', "4,never,e"),
        (9, "the line is not UTF-8 text", "\ufffd,2026-01-01,g"),
        (10, "the line is not valid CSV: ',' expected after '\"'", '"6"x,2026-01-01,h'),
        (11, "the line is not valid CSV: unexpected end of data", '7,2026-01-01,"i'),
    ]


def test_a_quote_that_never_ends_costs_no_more_than_a_record_may_have(shop):
    shop.configure(ORDERS)
    rows = [f"{n},2026-01-01,e{n}\n" for n in range(200_000)]
    rows[100] = '100,2026-01-01,"e100\n'
    shop.write("o.csv", "user,at,what\n" + "".join(rows))
    report = ingest(shop.workspace)
    assert shop.query("SELECT line FROM quarantine") == [(102,)]
    assert report.sources[0].accepted > 100_000


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_line_ending_and_delimiter_will_do(shop, newline, delimiter):
    shop.configure(ORDERS)
    lines = ["user,at,what", "1,2026-01-01,a", ",2026-01-01,b", '2,2026-01-01,"x""y"']
    shop.write("o.csv", newline.join(lines).replace(",", delimiter) + newline)
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id, event FROM events ORDER BY 1") == [("1", "a"), ("2", 'x"y')]
    assert [(line, reason) for line, reason, _ in shop.query(QUARANTINE)] == [
        (3, "user (the unit id) is missing")
    ]


def test_a_single_column_has_blank_lines_for_rows(shop):
    shop.configure("""
[sources.people]
kind = "units"
path = "o.csv"
unit_id = { column = "user" }
attributes = ["user"]
""")
    shop.write("o.csv", "user\na\n\nb\n")
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id, file_row FROM unit_attributes ORDER BY 1") == [("a", 1), ("b", 3)]
    assert [(line, reason) for line, reason, _ in shop.query(QUARANTINE)] == [
        (3, "user (the unit id) is missing")
    ]


@pytest.mark.parametrize(
    ("name", "size", "limit"), [("o.csv", 3_000_000, 2_000_000), ("o.ndjson", 70_000_000, 16_000_000)]
)
def test_a_line_too_long_for_the_reader_is_one_bad_row(shop, name, size, limit):
    shop.configure(ORDERS)
    lines = {
        "o.csv": ["user,at,what", "1,2026-01-01,a", "2,2026-01-01," + "x" * size, "3,2026-01-01,c"],
        "o.ndjson": [
            '{"user": 1, "at": "2026-01-01", "what": "a"}',
            '{"user": 2, "at": "2026-01-01", "what": "' + "x" * size + '"}',
            '{"user": 3, "at": "2026-01-01", "what": "c"}',
        ],
    }[name]
    shop.write(name, "\n".join(lines))
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id FROM events ORDER BY 1") == [("1",), ("3",)]
    [(line, reason, raw)] = shop.query(QUARANTINE)
    assert line == lines.index(max(lines, key=len)) + 1
    assert f"longer than {limit} bytes" in reason
    assert len(raw) == 2000


def test_bad_rows_of_parquet_are_told_by_row(shop):
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


def test_values_of_parquet_that_are_no_json_are_left_out_and_ids_must_be_ids(shop):
    shop.configure("""
[sources.orders]
kind = "events"
path = "o*.parquet"
event = "order"
unit_id = { column = "user" }
occurred_at = { column = "at" }
properties = ["x", "list"]
""")
    frame = pl.DataFrame(
        {
            "user": [1, 2, 3],
            "at": ["2026-01-01"] * 3,
            "x": [1.5, float("nan"), float("inf")],
            "list": [[1], [], None],
        }
    )
    frame.write_parquet(shop.root / "o1.parquet")
    for number, user in enumerate([[1.5], [True], [["a"]], [{"a": 1}]], 2):
        pl.DataFrame({"user": user, "at": ["2026-01-01"], "x": [0.0], "list": [[0]]}).write_parquet(
            shop.root / f"o{number}.parquet"
        )
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id, properties FROM events ORDER BY 1") == [
        ("1", '{"x":1.5,"list":[1]}'),
        ("2", '{"x":null,"list":[]}'),
        ("3", '{"x":null,"list":null}'),
    ]
    assert [reason for (reason,) in shop.query("SELECT reason FROM quarantine ORDER BY path")] == [
        "user (the unit id) is a number with a fraction; it must be text or a whole number",
        "user (the unit id) is a boolean; it must be text or a whole number",
        "user (the unit id) is an object or a list; it must be text or a whole number",
        "user (the unit id) is an object or a list; it must be text or a whole number",
    ]


def test_numbers_that_must_be_whole_are_not_rounded(shop):
    rows = [
        {
            "exposure_id": str(n),
            "experiment": "x",
            "variant": "A",
            "unit_id": str(n),
            "exposed_at": "2026-01-01",
        }
        | {"iteration": iteration}
        for n, iteration in enumerate([1, 2.0, "3", 1.5, 1e20, "four"])
    ]
    shop.land("exposures", "a.ndjson", rows)
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id, iteration FROM exposures ORDER BY 1") == [("0", 1), ("1", 2), ("2", 3)]
    assert [reason for _, reason, _ in shop.query(QUARANTINE)] == [
        'iteration "1.5" is not a whole number',
        'iteration "1e+20" is not a whole number',
        'iteration "four" is not a whole number',
    ]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("form", [None, "%Y-%m-%d %H:%M:%S"])
def test_no_instant_is_so_far_off_that_the_batch_fails(shop, zone, form):
    """The first of these overflows in DuckDB's zone arithmetic."""
    clock = '{ column = "at" }' if form is None else f'{{ column = "at", format = "{form}" }}'
    shop.configure(ORDERS.replace('{ column = "at" }', clock), f'timezone = "{zone}"')
    times = [
        "290309-12-22 (BC) 00:00:00",
        "294247-01-10 04:00:54",
        "infinity",
        "-infinity",
        "0000-00-00 00:00:00",
    ]
    lines = [f"{n},{time},x\n" for n, time in enumerate([*times, "2026-01-01 12:00:00"])]
    shop.write("o.csv", "user,at,what\n" + "".join(lines))
    ingest(shop.workspace)
    assert shop.query("SELECT unit_id FROM events") == [(str(len(times)),)]
    assert len(shop.query(QUARANTINE)) == len(times)


def test_clocks_of_sender_and_server_may_be_apart_by_as_much_as_there_is(shop):
    shop.land("events", "a.ndjson", [event(1, sent_at="1970-01-01", received_at="2199-12-31")])
    ingest(shop.workspace)
    assert shop.query("SELECT year(occurred_at), year(original_occurred_at) FROM events") == [(2256, 2026)]


def test_a_repeated_key_counts_once_the_first_time(shop):
    line = json.dumps(event(1, value=1))[:-1] + ', "value": 2}'
    shop.write("landing/events/a.ndjson", line + "\n")
    ingest(shop.workspace)
    assert shop.query("SELECT value::INTEGER FROM events") == [(1,)]


def test_attributes_may_be_called_anything(shop):
    attributes = {"": 1, "*": "x", "#": "y", "$.a": True, 'q"': [1], "国": {"a": None}, "gone": None}
    shop.land("units", "a.ndjson", [{"unit_id": "u", "attributes": attributes}])
    ingest(shop.workspace)
    assert dict(shop.query("SELECT attribute, value FROM unit_attributes")) == {
        "": "1",
        "*": "x",
        "#": "y",
        "$.a": "true",
        'q"': "[1]",
        "国": '{"a":null}',
    }


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


@settings(max_examples=EXAMPLES, deadline=None)
@given(units=st.lists(texts, min_size=1, max_size=8), form=st.sampled_from(["ndjson", "csv"]))
def test_any_text_comes_through_unchanged(tmp_path_factory, units, form):
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


GOOD = json.dumps(event(1)).encode()
PIECES = [
    b"{",
    b"}",
    b'"',
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"1",
    b"NaN",
    b"\\",
    b"\\ud800",
    b"\xff",
    b"\0",
    b" ",
    b"\r",
]
junk = st.one_of(st.lists(st.sampled_from([*PIECES, GOOD]), max_size=6).map(b"".join), st.binary(max_size=20))


@settings(max_examples=EXAMPLES, deadline=None)
@given(lines=st.lists(junk, min_size=1, max_size=12), form=st.sampled_from(["ndjson", "csv"]))
def test_every_row_of_any_bytes_is_either_in_the_lake_or_in_quarantine(tmp_path_factory, lines, form):
    shop = Shop(tmp_path_factory.mktemp("junk"))
    shop.configure(ORDERS)
    header = (
        b"user,at,what\nu,2026-01-01,x\n" if form == "csv" else b'{"user":"u","at":"2026-01-01","what":"x"}\n'
    )
    shop.write(f"o.{form}", header + b"\n".join(lines) + b"\n")
    report = ingest(shop.workspace)
    source = report.sources[0]
    assert shop.query("SELECT count(*) FROM events") == [(source.accepted,)]
    quarantined = shop.query("SELECT count(*), count(DISTINCT line), count(reason) FROM quarantine")
    assert quarantined == [(source.quarantined,) * 3]
    assert source.accepted >= 1
    if form == "ndjson":
        full = [line for line in b"\n".join(lines).split(b"\n") if line.strip()]
        assert source.rows == 1 + len(full)


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1, max_size=12)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    columns=st.lists(names, min_size=4, max_size=4, unique_by=str.casefold),
    constant=names,
    source=names,
)
@example(columns=["'", '"', "--", "); DROP TABLE x; --"], constant="' || 1 || '", source="x' OR '1'='1")
def test_names_and_constants_are_never_taken_for_sql(tmp_path_factory, columns, constant, source):
    shop = Shop(tmp_path_factory.mktemp("names"))
    user, at, value, prop = columns
    table = {
        "kind": "events",
        "path": "o.csv",
        "event": constant,
        "unit_id": {"column": user},
        "occurred_at": {"column": at},
        "value": {"column": value},
        "properties": [prop],
    }
    shop.configure(tomli_w.dumps({"sources": {source: table}}))
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(
        [["", *columns], ["", "u", "2026-01-01", "5", constant]]
    )
    shop.write("o.csv", text.getvalue())
    ingest(shop.workspace)
    [(found, event_name, unit, number, properties)] = shop.query(
        "SELECT source, event, unit_id, value::INTEGER, properties FROM events"
    )
    assert (found, event_name, unit, number) == (source, constant, "u", 5)
    assert json.loads(properties) == {prop: constant}
