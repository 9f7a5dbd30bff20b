"""Experiments into their part of the ruleset that `tenbin_sdk` evaluates."""

import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import msgspec

from assignments.errors import AssignmentsError
from assignments.model import Bucketing, Experiment
from tenbin_sdk import ruleset as rules
from tenbin_sdk.hashing import Range

_UTC = ZoneInfo("UTC")


def compile_ruleset(
    experiments: Iterable[Experiment],
    *,
    version: int,
    environment: str = "production",
    timezone: ZoneInfo = _UTC,
) -> rules.Ruleset:
    """The ruleset of an environment; experiments that Tenbin does not bucket are left out.

    Args:
        experiments: of any environment; others than `environment` are left out.
        version: number of the ruleset.
        environment: whose rules these are.
        timezone: of `start` and `end`; an experiment runs until the end of its last day there.

    Raises:
        AssignmentsError: two experiments of a layer own a shard at the same time, or disagree on the salt
            or size of their layer or holdout.
    """
    mine = [
        (experiment, experiment.bucketing)
        for experiment in sorted(experiments, key=lambda item: item.key)
        if experiment.environment == environment and experiment.bucketing is not None
    ]
    layers: dict[str, rules.Layer] = {}
    holdouts: dict[str, rules.Holdout] = {}
    compiled: dict[str, rules.ExperimentRule] = {}
    for experiment, bucketing in mine:
        layer = rules.Layer(salt=bucketing.layer_salt, total_shards=bucketing.total_shards)
        if layers.setdefault(bucketing.layer, layer) != layer:
            raise AssignmentsError(
                f'experiment "{experiment.key}": layer "{bucketing.layer}" has another salt or number of '
                "shards in another experiment; a layer has one of each"
            )
        if experiment.key in compiled:
            raise AssignmentsError(f'two experiments have the key "{experiment.key}"')
        compiled[experiment.key] = _rule(experiment, bucketing, timezone)
        if bucketing.holdout and bucketing.holdout_salt is not None:
            # A holdout has no name of its own in the file: its salt identifies it.
            holdout = rules.Holdout(
                salt=bucketing.holdout_salt, ranges=bucketing.holdout, total_shards=bucketing.total_shards
            )
            if holdouts.setdefault(bucketing.holdout_salt, holdout) != holdout:
                raise AssignmentsError(
                    f'experiment "{experiment.key}": its holdout has other shards in another experiment '
                    "under the same salt"
                )
    # A paused experiment keeps its shards.
    _check_layers(
        {
            experiment.key: _rule(msgspec.structs.replace(experiment, pauses=()), bucketing, timezone)
            for experiment, bucketing in mine
        }
    )
    return rules.Ruleset(
        version=version, environment=environment, layers=layers, holdouts=holdouts, experiments=compiled
    )


def _rule(experiment: Experiment, bucketing: Bucketing, timezone: ZoneInfo) -> rules.ExperimentRule:
    return rules.ExperimentRule(
        key=experiment.key,
        iteration=experiment.iteration,
        algorithm=bucketing.algorithm,
        layer=bucketing.layer,
        holdouts=(bucketing.holdout_salt,) if bucketing.holdout and bucketing.holdout_salt else (),
        split_salt=bucketing.split_salt,
        total_shards=bucketing.total_shards,
        phases=_phase_rules(experiment),
        ends_at=None
        if experiment.end is None
        else dt.datetime.combine(experiment.end + dt.timedelta(days=1), dt.time(), timezone),
    )


def _phase_rules(experiment: Experiment) -> tuple[rules.PhaseRule, ...]:
    """The phases in order of time; during a pause the one in force has no traffic."""
    starts = [phase.from_ for phase in experiment.phases]
    begins = {pause.from_ for pause in experiment.pauses}
    instants = sorted({*starts, *begins, *(pause.to for pause in experiment.pauses)})
    found = []
    for instant in instants:
        number = sum(start <= instant for start in starts)
        if number == 0:
            continue
        phase = experiment.phases[number - 1]
        is_paused = any(pause.from_ <= instant < pause.to for pause in experiment.pauses)
        found.append(
            rules.PhaseRule(
                starts_at=instant,
                traffic=() if is_paused else phase.slice or (),
                split=tuple((phase.ranges or {}).items()),
                number=number,
            )
        )
    return tuple(found)


def _check_layers(compiled: dict[str, rules.ExperimentRule]) -> None:
    """Every shard of a layer belongs to at most one experiment at any time."""
    by_layer: dict[str, list[rules.ExperimentRule]] = {}
    for rule in compiled.values():
        by_layer.setdefault(rule.layer, []).append(rule)
    for members in by_layer.values():
        for number, one in enumerate(members):
            for other in members[number + 1 :]:
                _check_pair(one, other)


def _check_pair(one: rules.ExperimentRule, other: rules.ExperimentRule) -> None:
    for starts, ends, traffic in _spans(one):
        for others_start, others_end, others_traffic in _spans(other):
            at_once = starts < others_end and others_start < ends
            shared = _overlap(traffic, others_traffic) if at_once else None
            if shared is not None:
                raise AssignmentsError(
                    f'experiments "{one.key}" and "{other.key}" own shard {shared} of layer "{one.layer}" at '
                    "the same time; give them other slices or other layers"
                )


def _spans(
    rule: rules.ExperimentRule,
) -> list[tuple[dt.datetime, dt.datetime, tuple[Range, ...]]]:
    """Each phase's start, end (exclusive) and traffic."""
    last = rule.ends_at or dt.datetime.max.replace(tzinfo=dt.UTC)
    ends = [*(phase.starts_at for phase in rule.phases[1:]), last]
    return [
        (phase.starts_at, min(end, last), phase.traffic) for phase, end in zip(rule.phases, ends, strict=True)
    ]


def _overlap(left: tuple[Range, ...], right: tuple[Range, ...]) -> int | None:
    """The first shard in both, if there is one."""
    shared = (
        max(start, others_start)
        for start, end in left
        for others_start, others_end in right
        if start < others_end and others_start < end
    )
    return min(shared, default=None)
