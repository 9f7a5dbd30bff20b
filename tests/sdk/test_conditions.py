"""The condition grammar means what its docstring says, case by case, and never raises at evaluation."""

import datetime as dt
import decimal
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenbin_sdk.conditions import OPERATORS, Compare, compile_condition, fields, parse, to_object
from tenbin_sdk.errors import ConditionError


def holds(op, value, found, field="x"):
    return compile_condition(parse({"field": field, "op": op, "value": value}))({"x": found})


@pytest.mark.parametrize(
    ("op", "value", "found", "expected"),
    [
        ("equals", "JP", "JP", True),
        ("equals", "JP", "jp", False),
        ("equals", "zo\u00eb", "zoe\u0308", False),
        ("equals", 1, 1.0, True),
        ("equals", 1, "1", True),
        ("equals", 1, "1.0", True),
        ("equals", 1, "one", False),
        ("equals", 1, " 1", False),
        ("equals", 1, "1\n", False),
        ("equals", "1", 1, False),
        ("equals", 1, True, False),
        ("equals", True, 1, False),
        ("equals", True, True, True),
        ("equals", "true", True, False),
        ("equals", 0.1, decimal.Decimal("0.1"), True),
        ("equals", "JP", None, False),
        ("not_equals", "JP", "US", True),
        ("not_equals", "JP", "JP", False),
        ("not_equals", "JP", 3, True),
        ("not_equals", "JP", None, False),
        ("not_equals", "JP", ["US"], False),
        ("in", ["JP", 7], "JP", True),
        ("in", ["JP", 7], "7", True),
        ("in", ["JP", 7], "US", False),
        ("not_in", ["JP", 7], "US", True),
        ("not_in", ["JP", 7], None, False),
        ("not_in", ["JP", 7], {"a": 1}, False),
        ("contains", "京", "東京都", True),
        ("contains", "京", ["京"], False),
        ("contains", "1", 11, False),
        ("starts_with", "東", "東京", True),
        ("ends_with", "京", "東京", True),
        ("ends_with", "東", "東京", False),
        ("matches", "^a.c$", "abc", True),
        ("matches", "b", "abc", True),
        ("matches", "a.c", "a\nc", False),
        ("matches", "^c", "a\nc", False),
        ("matches", "B", "abc", False),
        ("matches", r"\d+", 12, False),
        ("gt", 10, 11, True),
        ("gt", 10, "11", True),
        ("gt", 10, "11 ", False),
        ("gt", 10, True, False),
        ("gt", 10, float("nan"), False),
        ("gt", 10, float("inf"), False),
        ("gt", 10, 10**400, False),
        ("gte", 10, 10, True),
        ("lt", 10, None, False),
        ("lte", "10", 10, True),
        ("gt", "2026-01-31", "2026-02-01", True),
        ("gte", "2026-01-31", "2026-01-31T00:00:00Z", True),
        ("lt", "2026-01-31T09:00:00+09:00", "2026-01-30T23:59:59.999999Z", True),
        ("lt", "2026-01-31", "2025-02-30", False),
        ("lt", "2026-01-31", "yesterday", False),
        ("lt", "2026-01-31", 5, False),
        ("gt", "2026-01-31", dt.date(2026, 2, 1), True),
        ("is_set", True, "", True),
        ("is_set", True, [], True),
        ("is_set", True, None, False),
        ("is_set", False, None, True),
        ("is_set", True, float("nan"), False),
    ],
)
def test_meaning(op, value, found, expected):
    assert holds(op, value, found) is expected


def test_semver_precedence():
    """The order that Semantic Versioning 2.0.0 prints in section 11, item 4."""
    order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "2.0.0",
        "2.1.0",
        "2.1.1",
    ]
    for (left_at, left), (right_at, right) in itertools.product(enumerate(order), repeat=2):
        assert holds("semver_gt", right, left) is (left_at > right_at)
        assert holds("semver_gte", right, left) is (left_at >= right_at)
        assert holds("semver_lt", right, left) is (left_at < right_at)
        assert holds("semver_lte", right, left) is (left_at <= right_at)
        assert holds("semver_eq", right, left) is (left_at == right_at)
    assert holds("semver_eq", "1.0.0+build", "1.0.0+other")
    assert not holds("semver_gt", "1.0.0", "1.2")
    assert not holds("semver_gt", "1.0.0", "01.2.0")


def test_not_turns_false_into_true_also_where_nothing_could_be_compared():
    condition = parse({"not": {"field": "x", "op": "equals", "value": "JP"}})
    assert compile_condition(condition)({}) is True
    assert holds("not_equals", "JP", None) is False


def test_all_any_and_paths():
    condition = parse(
        {
            "all": [
                {"field": "properties.country", "op": "in", "value": ["JP", "US"]},
                {
                    "any": [
                        {"field": "a.b.c", "op": "is_set"},
                        {"field": "plan", "op": "equals", "value": "無料"},
                    ]
                },
            ]
        }
    )
    test = compile_condition(condition)
    assert test({"properties": {"country": "JP"}, "plan": "無料"})
    assert test({"properties": {"country": "US"}, "a": {"b": {"c": 0}}})
    assert not test({"properties": {"country": "US"}, "a": {"b": 3}})
    assert not test({"properties": "JP", "plan": "無料"})
    assert fields(condition) == {"properties.country", "a.b.c", "plan"}


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ("x", "is str; write"),
        ({}, "field None must be a dotted path"),
        ({"field": "x", "op": "=="}, "op '==' is unknown; allowed are equals, not_equals"),
        ({"field": "x", "op": "equals"}, 'key "value" is missing'),
        ({"field": "x", "op": "equals", "value": None}, "must be text, a finite number"),
        ({"field": "x", "op": "equals", "value": float("nan")}, "must be text, a finite number"),
        ({"field": "x", "op": "in", "value": "JP"}, "must be a list of 1 to"),
        ({"field": "x", "op": "in", "value": []}, "must be a list of 1 to"),
        ({"field": "x", "op": "gt", "value": "soon"}, "must be a number or a date"),
        ({"field": "x", "op": "contains", "value": 3}, "must be text"),
        ({"field": "x", "op": "matches", "value": "("}, "is no RE2 pattern"),
        ({"field": "x", "op": "matches", "value": r"(a)\1"}, "is no RE2 pattern"),
        ({"field": "x", "op": "semver_gt", "value": "1.2"}, "must be a version"),
        ({"field": "x", "op": "is_set", "value": "yes"}, "must be true, false or absent"),
        ({"field": "x..y", "op": "is_set"}, "must be a dotted path"),
        ({"field": "x", "op": "is_set", "vlaue": 1}, 'unknown key "vlaue"'),
        ({"all": [], "any": []}, 'unknown key "all"'),
        ({"all": []}, "all: must be a list of 1 to"),
        ({"any": [{"all": [{"field": "x", "op": "?"}]}]}, r"any\[0\]\.all\[0\]: op"),
    ],
)
def test_wrong_form_is_named(obj, message):
    with pytest.raises(ConditionError, match=message):
        parse(obj)


def test_depth_is_bounded():
    obj = {"field": "x", "op": "is_set"}
    for _ in range(40):
        obj = {"not": obj}
    with pytest.raises(ConditionError, match="nested more than"):
        parse(obj)


scalars = st.one_of(
    st.text(max_size=5), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
anything = st.recursive(
    st.one_of(scalars, st.none(), st.floats(), st.binary(), st.datetimes(), st.decimals()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
values = {
    "in": st.lists(scalars, min_size=1, max_size=3),
    "not_in": st.lists(scalars, min_size=1, max_size=3),
    "equals": scalars,
    "not_equals": scalars,
    "is_set": st.booleans(),
    "matches": st.sampled_from(["a", "^.*$", "[0-9]+"]),
    **dict.fromkeys(("contains", "starts_with", "ends_with"), st.text(max_size=3)),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), st.one_of(st.integers(), st.just("2026-01-31"))),
}
compares = st.sampled_from(OPERATORS).flatmap(
    lambda op: st.builds(
        lambda value: {"field": "x", "op": op, "value": value},
        values.get(op, st.sampled_from(["1.0.0", "2.0.0-rc.1"])),
    )
)
conditions = st.recursive(
    compares,
    lambda inner: st.one_of(
        st.builds(lambda terms: {"all": terms}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda terms: {"any": terms}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda term: {"not": term}, inner),
    ),
    max_leaves=6,
)


@given(conditions, anything)
def test_never_raises_and_survives_the_round_trip(obj, found):
    condition = parse(obj)
    assert parse(to_object(condition)) == condition
    answer = compile_condition(condition)({"x": found})
    assert answer in {True, False}
    assert compile_condition(parse({"not": obj}))({"x": found}) is (not answer)


def test_hostile_attributes_are_false():
    """An attribute object whose access fails must not reach the caller as an error."""

    class Odd(dict):
        def get(self, *_):
            raise RuntimeError("odd")

    assert compile_condition(Compare("x", "equals", "a"))(Odd()) is False
