"""Compiling experiments into one ruleset keeps layers exclusive."""

import datetime as dt
import tomllib
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from msgspec.structs import replace

from assignments import AssignmentsError, Pause, experiment_to_toml, load_experiments, parse_experiment
from assignments.bulk import assign_frame
from assignments.compile import compile_ruleset
from tenbin_sdk.ruleset import decode, encode
from workspace import Config, Workspace
from workspace.config import WorkspaceTable


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


PAUSE = Pause(
    from_=dt.datetime(2026, 1, 28, 9, tzinfo=dt.UTC), to=dt.datetime(2026, 1, 29, 12, tzinfo=dt.UTC)
)


def test_a_pause_is_the_phase_without_traffic_and_the_same_split_afterwards(experiment):
    paused = replace(experiment, pauses=(PAUSE,), bucketing=replace(experiment.bucketing, holdout=()))
    rule = compile_ruleset([paused], version=1).experiments[experiment.key]
    assert [(phase.number, bool(phase.traffic)) for phase in rule.phases] == [
        (1, True), (2, True), (2, False), (2, True),
    ]  # fmt: skip
    assert rule.phases[1].split == rule.phases[3].split
    text = experiment_to_toml(paused)
    assert parse_experiment(tomllib.loads(text), where="f") == paused


def test_a_paused_experiment_keeps_its_shards(experiment):
    during = other(experiment)
    phases = (replace(during.phases[0], from_=PAUSE.from_),)
    during = replace(during, start=PAUSE.from_.date(), end=PAUSE.from_.date(), phases=phases)
    with pytest.raises(AssignmentsError, match="own shard 0"):
        compile_ruleset([replace(experiment, pauses=(PAUSE,)), during], version=1)


def test_files_whose_experiments_share_a_shard_are_refused_with_both_names(experiment, tmp_path):
    folder = tmp_path / "experiments"
    folder.mkdir()
    for each in (experiment, other(experiment)):
        (folder / f"{each.key}.toml").write_text(experiment_to_toml(each), encoding="utf-8")
    workspace = Workspace(tmp_path, Config(workspace=WorkspaceTable(name="test")))
    with pytest.raises(AssignmentsError, match='"banner 対照" and "other" own shard 0 of layer "checkout"'):
        load_experiments(workspace)


def test_a_holdout_is_an_experiment_whose_split_is_the_holdouts_salt(experiment):
    """Every unit that no experiment gets is "held" there, and no other."""
    (phase, *_) = experiment.phases
    everyone = replace(
        phase, slice=((0, 10_000),), weights={"held": 1, "rest": 99},
        ranges={"held": ((0, 100),), "rest": ((100, 10_000),)},
    )  # fmt: skip
    bucketing = replace(
        experiment.bucketing, layer="all", layer_salt="all-salt", split_salt="holdout-salt", holdout=(),
        holdout_salt=None,
    )  # fmt: skip
    holdout = replace(experiment, key="holdout", control="held", phases=(everyone,), bucketing=bucketing)
    units = [f"u{number}" for number in range(20_000)]
    held = assign_frame(holdout, pl.Series(units))["variant"] == "held"
    own = assign_frame(experiment, pl.Series(units))["variant"]
    free = assign_frame(
        replace(experiment, bucketing=replace(experiment.bucketing, holdout=())), pl.Series(units)
    )["variant"]
    assert (own.is_not_null() == (free.is_not_null() & ~held)).all()
    assert 150 < held.sum() < 250
