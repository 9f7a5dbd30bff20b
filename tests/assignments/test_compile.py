"""Compiling experiments into one ruleset keeps layers exclusive."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from assignments import AssignmentsError, parse_experiment
from assignments.compile import compile_ruleset
from tenbin_sdk.ruleset import decode, encode


@pytest.fixture
def experiment(definition):
    return parse_experiment(definition, where="test")


def other(experiment, **bucketing):
    changed = replace(experiment.bucketing, split_salt="other-salt", **bucketing)
    return replace(experiment, key="other", bucketing=changed)


def test_the_ruleset_is_whole(experiment):
    ruleset = compile_ruleset([experiment], version=9, timezone=ZoneInfo("Asia/Tokyo"))
    rule = ruleset.experiments[experiment.key]
    assert decode(encode(ruleset)) == ruleset
    assert rule.ends_at == dt.datetime(2026, 2, 6, 15, tzinfo=dt.UTC), (
        "the last day ends at midnight in Tokyo"
    )
    assert [phase.number for phase in rule.phases] == [1, 2]


def test_two_experiments_on_one_shard_at_one_time(experiment):
    with pytest.raises(AssignmentsError, match='own shard 0 of layer "checkout" at the same time'):
        compile_ruleset([experiment, other(experiment)], version=1)


def test_one_after_the_other_is_allowed(experiment):
    later = other(experiment)
    phases = (replace(later.phases[0], from_=dt.datetime(2026, 2, 7, tzinfo=dt.UTC)),)
    later = replace(later, start=dt.date(2026, 2, 7), end=None, phases=phases)
    assert len(compile_ruleset([experiment, later], version=1).experiments) == 2


def test_another_layer_is_allowed(experiment):
    free = other(experiment, layer="search", layer_salt="search-salt")
    assert set(compile_ruleset([experiment, free], version=1).layers) == {"checkout", "search"}


@pytest.mark.parametrize(
    ("bucketing", "message"),
    [
        ({"layer_salt": "x"}, 'layer "checkout" has another salt'),
        ({"layer": "search", "layer_salt": "x", "holdout": ((0, 9),)}, "holdout has other shards"),
    ],
)
def test_what_is_shared_must_be_the_same(experiment, bucketing, message):
    with pytest.raises(AssignmentsError, match=message):
        compile_ruleset([experiment, other(experiment, **bucketing)], version=1)


def test_other_environments_are_left_out(experiment):
    assert compile_ruleset([experiment], version=1, environment="staging").experiments == {}
