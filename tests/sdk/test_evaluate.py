"""A decision follows the order of DESIGN 4.2, enrols only who is really enrolled, and never raises."""

import datetime as dt
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tenbin_sdk import ruleset as rules
from tenbin_sdk.conditions import Compare, Not, parse
from tenbin_sdk.errors import RulesetError
from tenbin_sdk.evaluate import Evaluator, assign
from tenbin_sdk.hashing import shard

NOW = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
RULE = rules.ExperimentRule(
    key="banner",
    iteration=2,
    layer="page",
    holdouts=("all",),
    overrides={"tester": "B"},
    targeting=parse({"field": "country", "op": "equals", "value": "JP"}),
    split_salt="split",
    phases=(
        rules.PhaseRule(
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            ((0, 1_000),),
            (("A", ((0, 5_000),)), ("B", ((5_000, 10_000),))),
            1,
        ),
        rules.PhaseRule(
            dt.datetime(2026, 1, 20, tzinfo=dt.UTC),
            ((0, 8_000),),
            (("A", ((0, 5_000),)), ("B", ((5_000, 10_000),))),
            2,
        ),
    ),
    ends_at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    values={"B": {"colour": "赤"}},
)
RULESET = rules.Ruleset(
    version=41,
    layers={"page": rules.Layer("layer")},
    holdouts={"all": rules.Holdout("hold", ((0, 500),))},
    experiments={"banner": RULE},
)
JP = {"country": "JP"}
NO_PATTERN = Compare("country", "matches", "(")
UNITS = [f"ユニット-{number}" for number in range(3_000)]


def ruleset(**changes):
    return replace(RULESET, experiments={"banner": replace(RULE, **changes)})


def unit_where(*, held=False, in_first=None, in_traffic=True):
    """A unit whose shards lie as asked."""
    for unit in UNITS:
        slot = shard("layer", unit)
        if (
            (shard("hold", unit) < 500) == held
            and (slot < 8_000) == in_traffic
            and (in_first is None or (slot < 1_000) == in_first)
        ):
            return unit
    raise AssertionError("no such unit")


def test_an_enrolled_unit():
    unit = unit_where()
    decision = assign(RULESET, "banner", unit, JP, NOW)
    expected = "A" if shard("split", unit) < 5_000 else "B"
    assert (decision.variant, decision.reason, decision.in_experiment) == (expected, "SPLIT", True)
    assert (decision.experiment, decision.iteration, decision.phase, decision.ruleset_version) == (
        "banner",
        2,
        2,
        41,
    )


@pytest.mark.parametrize(
    ("changes", "unit", "attributes", "now", "outcome"),
    [
        ({"enabled": False}, "tester", JP, NOW, ("DISABLED", "kill_switch")),
        ({}, "tester", {}, NOW, ("TARGETING_MATCH", "override")),
        ({}, unit_where(held=True), {}, NOW, ("DEFAULT", "holdout")),
        ({}, unit_where(in_traffic=False), {}, NOW, ("DEFAULT", "targeting")),
        ({}, unit_where(in_traffic=False), JP, NOW, ("DEFAULT", "traffic")),
        ({}, unit_where(in_first=False), JP, dt.datetime(2026, 1, 10, tzinfo=dt.UTC), ("DEFAULT", "traffic")),
        ({}, unit_where(), JP, dt.datetime(2025, 12, 31, tzinfo=dt.UTC), ("DEFAULT", "not_running")),
        ({}, unit_where(), JP, dt.datetime(2026, 3, 1, tzinfo=dt.UTC), ("DEFAULT", "not_running")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_the_first_step_that_applies_decides(changes, unit, attributes, now, outcome):
    decision = assign(ruleset(**changes), "banner", unit, attributes, now)
    assert (decision.reason, decision.cause) == outcome
    assert not decision.in_experiment
    assert decision.variant == ("B" if decision.cause == "override" else None)


def test_an_override_gets_the_variants_value():
    assert assign(RULESET, "banner", "tester", {}, NOW).value == {"colour": "赤"}


@pytest.mark.parametrize(
    ("experiment", "unit", "attributes", "now", "code"),
    [
        ("nothing", "u", {}, NOW, "FLAG_NOT_FOUND"),
        (["unhashable"], "u", {}, NOW, "GENERAL"),
        ("banner", None, {}, NOW, "TARGETING_KEY_MISSING"),
        ("banner", "", {}, NOW, "TARGETING_KEY_MISSING"),
        ("banner", 1.5, {}, NOW, "TARGETING_KEY_MISSING"),
        ("banner", "u", {}, dt.datetime(2026, 2, 1), "GENERAL"),  # noqa: DTZ001  (no zone, on purpose)
        ("banner", "u", {}, None, "GENERAL"),
    ],
)
def test_a_failure_is_never_the_control(experiment, unit, attributes, now, code):
    decision = assign(RULESET, experiment, unit, attributes, now)
    assert (decision.reason, decision.error_code) == ("ERROR", code)
    assert decision.variant is None
    assert not decision.in_experiment
    assert decision.error_message
    assert Evaluator(RULESET).assign(experiment, unit, attributes, now) == decision


@pytest.mark.parametrize(
    "changes", [{"layer": "gone"}, {"targeting": NO_PATTERN}], ids=["layer", "targeting"]
)
def test_broken_rules_do_not_raise_either(changes):
    decision = assign(ruleset(**changes), "banner", unit_where(), JP, NOW)
    assert (decision.reason, decision.error_code) == ("ERROR", "GENERAL")


def test_broken_targeting_hides_no_earlier_step():
    assert assign(ruleset(targeting=NO_PATTERN), "banner", "tester", JP, NOW).cause == "override"
    assert assign(ruleset(targeting=NO_PATTERN, enabled=False), "banner", "u", JP, NOW).reason == "DISABLED"


@given(st.one_of(st.text(), st.integers()), st.dictionaries(st.text(), st.text() | st.none() | st.integers()))
def test_evaluator_and_function_agree(unit, attributes):
    attributes["country"] = "JP"
    assert Evaluator(RULESET).assign("banner", unit, attributes, NOW) == assign(
        RULESET, "banner", unit, attributes, NOW
    )


def test_more_traffic_keeps_the_variant():
    """Growing traffic enrols more units and moves none of those already in."""
    before, after = (dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (10, 25))
    evaluator = Evaluator(RULESET)
    pairs = [
        (evaluator.assign("banner", unit, JP, before), evaluator.assign("banner", unit, JP, after))
        for unit in UNITS
    ]
    assert all(late.variant == early.variant for early, late in pairs if early.in_experiment)
    assert (
        sum(late.in_experiment for _, late in pairs) > 5 * sum(early.in_experiment for early, _ in pairs) > 0
    )


def test_the_ruleset_survives_json():
    data = rules.encode(RULESET)
    assert rules.decode(data) == RULESET
    assert rules.encode(rules.decode(data)) == data


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (ruleset(layer="gone"), 'layer "gone", which is not there'),
        (ruleset(holdouts=("gone",)), 'holdout "gone", which is not there'),
        (replace(RULESET, experiments={"other": RULE}), 'stands under the key "other"'),
        (ruleset(total_shards=0), "has no shards"),
        (ruleset(targeting=NO_PATTERN), "targeting that can't be used: condition: '\\(' is no RE2 pattern"),
        (
            ruleset(targeting=functools.reduce(lambda term, _: Not(term), range(50), NO_PATTERN)),
            "nested more",
        ),
    ],
)
def test_a_ruleset_that_contradicts_itself_is_refused(broken, message):
    with pytest.raises(RulesetError, match=message):
        rules.decode(rules.encode(broken))


def test_a_condition_of_any_depth_is_refused_not_a_traceback():
    data = rules.encode(ruleset(targeting=Not(NO_PATTERN)))
    deep = data.replace(b'{"type":"not","term":', b'{"type":"not","term":' * 100_000, 1)
    with pytest.raises(RulesetError, match="can't be read"):
        rules.decode(deep)


def test_a_malformed_ruleset_is_refused():
    with pytest.raises(RulesetError, match="can't be read"):
        rules.decode(b'{"version": "one"}')
