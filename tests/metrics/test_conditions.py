"""Conditions mean the same in SQL as in `tenbin_sdk.conditions`."""

import json

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metrics.model import MetricsError
from metrics.sql.conditions import condition_sql
from metrics.sql.tree import build, render
from tenbin_sdk.conditions import compile_condition, parse

CON = duckdb.connect()
CON.execute("SET TimeZone = 'UTC'; SET threads = 1")

KEYS = ["country", "国", "a.b", 'quo"te', "sl/ash", "til~de", "0", "-", "nested"]
TEXTS = st.one_of(
    st.sampled_from(
        ["", "JP", "jp", "日本", "😀", "true", "1", "1.0", "-0", "007", "1e3", "NaN", "null", "it's",
         'say "hi"', "a\nb", "%", "_", "\\",
         "2026-01-31", "2026-01-31T09:00:00Z", "2026-01-31 09:00",
         "2026-01-31T18:00:00+09:00", "2026-02-30", "0000-01-01", "2026-01-31T09:00:00.123456Z",
         "9999-12-31T23:59:59-14:00", "1.2.3",
         "1.2.3-alpha.1", "1.2.3-alpha.beta", "1.2.3-alpha", "1.2.3-2", "1.2.3-10", "1.2.3+build",
         "1.10.0", "01.2.3"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.from_regex(r"\A-?[0-9]{1,4}(\.[0-9]{1,4})?\Z"),
    st.from_regex(r"\A[0-3]\.[0-3]\.[0-3](-[a-b0-2]{1,2}(\.[a-b0-2]{1,2})?)?\Z"),
    st.from_regex(r"\A202[56]-0[1-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5]0(:[0-5]0)?(Z|[+-]0[0-9]:[0-3]0)?)?\Z"),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 1.5, 1e22, 5e-324, 2**53 + 1, -0.0]),
)
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans())
JSON = st.recursive(
    st.one_of(st.none(), SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6), min_size=1, max_size=12)
FIELDS = st.lists(st.sampled_from([key for key in KEYS if "." not in key]), min_size=1, max_size=2).map(
    lambda parts: "properties." + ".".join(parts)
)
VERSIONS = st.sampled_from(
    ["1.2.3", "1.2.3-alpha.1", "0.0.1", "1.2.3-2", "1.2.3-10.a", "1.10.0", "1.2.3-a+b"]
)
DATES = st.sampled_from(
    ["2026-01-31", "2026-01-31T09:00:00Z", "2026-01-31T18:00:00+09:00", "2026-01-31 09:00", "0001-01-01"]
)
PATTERNS = st.sampled_from(["^J", "a$", "^.$", "a.b", "^b", "[0-9]+", "\\d", "日", "(?i)jp", "^$", "it's"])


def comparisons():
    def one(op, value):
        return st.fixed_dictionaries({"field": FIELDS, "op": st.sampled_from(op), "value": value})

    return st.one_of(
        one(["equals", "not_equals"], SCALARS),
        one(["in", "not_in"], st.lists(SCALARS, min_size=1, max_size=4)),
        one(["contains", "starts_with", "ends_with"], TEXTS),
        one(["matches"], PATTERNS),
        one(["gt", "gte", "lt", "lte"], st.one_of(NUMBERS, DATES)),
        one(["semver_eq", "semver_gt", "semver_gte", "semver_lt", "semver_lte"], VERSIONS),
        one(["is_set"], st.booleans()),
    )


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=4,
)


def in_sql(where, rows):
    """Whether the condition holds for each row, by DuckDB."""
    documents = [json.dumps(row, ensure_ascii=False) for row in rows]
    holds = condition_sql(where).sql("duckdb", identify=True)
    found = CON.execute(
        f"SELECT {holds} FROM (SELECT UNNEST($documents) AS properties, UNNEST($places) AS place) "
        "ORDER BY place",
        {"documents": documents, "places": list(range(len(rows)))},
    ).fetchall()
    return [holds for (holds,) in found]


def in_python(where, rows):
    holds = compile_condition(parse(where))
    return [holds({"properties": row}) for row in rows]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(where=CONDITIONS, rows=ROWS)
@example(
    where={"field": "properties.country", "op": "not_equals", "value": "JP"}, rows=[{}, {"country": None}]
)
@example(
    where={"not": {"field": "properties.country", "op": "equals", "value": "JP"}}, rows=[{}, {"country": []}]
)
@example(where={"field": "properties.nested.0", "op": "is_set", "value": True}, rows=[{"nested": [1]}])
@example(where={"field": "properties.country", "op": "matches", "value": "^.$"}, rows=[{"country": "\n"}])
@example(
    where={"field": "properties.country", "op": "equals", "value": 1},
    rows=[{"country": value} for value in (1, 1.0, "1", "1.0", True)],
)
def test_a_condition_holds_in_sql_exactly_where_it_holds_in_the_sdk(where, rows):
    assert in_sql(where, rows) == in_python(where, rows)


def test_value_and_currency_are_fields_too():
    CON.execute("CREATE OR REPLACE TABLE t AS SELECT CAST(2.5 AS DECIMAL(28, 6)) AS value, 'JPY' AS currency")
    for where, expected in [
        ({"field": "value", "op": "gt", "value": 2}, True),
        ({"field": "value", "op": "equals", "value": "2.5"}, False),
        ({"field": "value", "op": "is_set", "value": False}, False),
        ({"field": "currency", "op": "in", "value": ["JPY", "EUR"]}, True),
    ]:
        query = render(build("SELECT $holds FROM t", holds=condition_sql(where)))
        assert CON.execute(query).fetchall() == [(expected,)]


def test_a_field_that_no_event_has_is_refused_with_the_likely_one():
    with pytest.raises(MetricsError, match=r'"country".*did you mean "properties\.country"'):
        condition_sql({"field": "country", "op": "equals", "value": "JP"})


def test_text_of_a_definition_never_becomes_sql():
    nasty = "x'; DROP TABLE events; --"
    rows = [{"country": nasty}, {"country": "x"}, {nasty: "y"}]
    assert in_sql({"field": "properties.country", "op": "equals", "value": nasty}, rows) == [
        True,
        False,
        False,
    ]
    key = "x'; DROP TABLE events; --"
    assert in_sql({"field": f"properties.{key}", "op": "equals", "value": "y"}, rows) == [False, False, True]
