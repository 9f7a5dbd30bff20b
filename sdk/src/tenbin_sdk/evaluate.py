"""A decision for one unit: a pure function of ruleset, unit, attributes and now (DESIGN 4.2).

Order: kill switch → overrides → holdout → layer → targeting → traffic → split. (Prerequisites, between the
first two, are a matter of flags.) Nothing here reads a clock, waits or raises.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from tenbin_sdk.conditions import Predicate, compile_condition
from tenbin_sdk.errors import TargetingKeyMissingError
from tenbin_sdk.hashing import in_ranges, shard, unit_text
from tenbin_sdk.ruleset import ExperimentRule, PhaseRule, Ruleset

Reason = Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT", "CACHED", "STALE", "ERROR"]
ErrorCode = Literal[
    "FLAG_NOT_FOUND", "TARGETING_KEY_MISSING", "PARSE_ERROR", "TYPE_MISMATCH", "INVALID_CONTEXT", "GENERAL"
]
Cause = Literal["kill_switch", "override", "not_running", "holdout", "targeting", "traffic", "split"]


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided for a unit, and why.

    `variant` and `value` are None when the code's own default applies. `experiment`, `iteration` and `phase`
    are set only when the unit is really enrolled: that, and nothing else, may be logged as an exposure.
    """

    key: str
    reason: Reason
    value: Any = None
    variant: str | None = None
    cause: Cause | None = None  # the step that decided
    error_code: ErrorCode | None = None
    error_message: str | None = None
    ruleset_version: int
    experiment: str | None = None
    iteration: int | None = None
    phase: int | None = None

    @property
    def in_experiment(self) -> bool:
        return self.experiment is not None


class Evaluator:
    """A ruleset with its conditions compiled once: build one per ruleset version and share it freely."""

    def __init__(self, ruleset: Ruleset) -> None:
        """Compile.

        Raises:
            ConditionError: a condition's form is wrong, in a ruleset that `decode` has not checked.
        """
        self.ruleset = ruleset
        self._targeting = {key: _targeting(rule) for key, rule in ruleset.experiments.items()}

    def assign(
        self, experiment: str, unit: object, attributes: Mapping[str, Any], now: dt.datetime
    ) -> Decision:
        """Decide; see the function `assign`."""
        query = _Query(experiment, unit, attributes, now, lambda _: self._targeting[experiment])
        return _guarded(self.ruleset, query)


def assign(
    ruleset: Ruleset, experiment: str, unit: object, attributes: Mapping[str, Any], now: dt.datetime
) -> Decision:
    """Decide which variant of an experiment a unit gets; never raises.

    Args:
        ruleset: the rules.
        experiment: the key of the experiment.
        unit: the id of the unit: text, or an integer, which is read as decimal text.
        attributes: what targeting reads.
        now: an instant with a time zone.

    Returns:
        The decision. Whatever goes wrong is a decision with reason ERROR, without variant, and not in the
        experiment: a failure is never counted as the control.
    """
    return _guarded(ruleset, _Query(experiment, unit, attributes, now, _targeting))


class _Query(NamedTuple):
    experiment: str
    unit: object
    attributes: Mapping[str, Any]
    now: dt.datetime
    targeting: Callable[[ExperimentRule], Predicate | None]


def _targeting(rule: ExperimentRule) -> Predicate | None:
    return None if rule.targeting is None else compile_condition(rule.targeting)


def _guarded(ruleset: Ruleset, query: _Query) -> Decision:
    try:
        rule = ruleset.experiments.get(query.experiment)
        if rule is None:
            return _error(
                ruleset, query, "FLAG_NOT_FOUND", f'the ruleset has no experiment "{query.experiment}"'
            )
        return _decide(ruleset, rule, query)
    except TargetingKeyMissingError as reason:
        return _error(ruleset, query, "TARGETING_KEY_MISSING", str(reason))
    except Exception as reason:  # noqa: BLE001  (a decision must never take the caller's service down)
        return _error(ruleset, query, "GENERAL", f"{type(reason).__name__}: {reason}")


def _error(ruleset: Ruleset, query: _Query, code: ErrorCode, message: str) -> Decision:
    return Decision(
        key=query.experiment,
        reason="ERROR",
        error_code=code,
        error_message=message,
        ruleset_version=ruleset.version,
    )


def _decide(ruleset: Ruleset, rule: ExperimentRule, query: _Query) -> Decision:
    version = ruleset.version
    if not rule.enabled:
        return Decision(key=rule.key, reason="DISABLED", cause="kill_switch", ruleset_version=version)
    unit = unit_text(query.unit)
    if (variant := rule.overrides.get(unit)) is not None:
        return Decision(
            key=rule.key,
            reason="TARGETING_MATCH",
            cause="override",
            variant=variant,
            value=rule.values.get(variant, variant),
            ruleset_version=version,
        )
    phase = _phase(rule, query.now)
    if phase is None:
        return Decision(key=rule.key, reason="DEFAULT", cause="not_running", ruleset_version=version)
    cause = _left_out(ruleset, rule, phase, unit, query)
    variant = None if cause else _variant(rule, phase, unit)
    if cause is not None or variant is None:
        return Decision(key=rule.key, reason="DEFAULT", cause=cause, ruleset_version=version)
    return Decision(
        key=rule.key,
        reason="SPLIT",
        cause="split",
        variant=variant,
        value=rule.values.get(variant, variant),
        ruleset_version=version,
        experiment=rule.key,
        iteration=rule.iteration,
        phase=phase.number,
    )


def _phase(rule: ExperimentRule, now: dt.datetime) -> PhaseRule | None:
    """The phase in force; None before the first and from `ends_at` on."""
    current = None
    for phase in rule.phases:
        if phase.starts_at <= now:
            current = phase
    return None if rule.ends_at is not None and now >= rule.ends_at else current


def _left_out(
    ruleset: Ruleset, rule: ExperimentRule, phase: PhaseRule, unit: str, query: _Query
) -> Cause | None:
    """The step that keeps the unit out of the experiment, if any does."""
    for name in rule.holdouts:
        holdout = ruleset.holdouts[name]
        if in_ranges(shard(holdout.salt, unit, holdout.total_shards), holdout.ranges):
            return "holdout"
    targeting = query.targeting(rule)
    if targeting is not None and not targeting(query.attributes):
        return "targeting"
    # A layer's shard belongs to one experiment: being in its traffic and not in another's are one question.
    layer = ruleset.layers[rule.layer]
    if not in_ranges(shard(layer.salt, unit, layer.total_shards), phase.traffic):
        return "traffic"
    return None


def _variant(rule: ExperimentRule, phase: PhaseRule, unit: str) -> str | None:
    number = shard(rule.split_salt, unit, rule.total_shards)
    return next((variant for variant, ranges in phase.split if in_ranges(number, ranges)), None)
