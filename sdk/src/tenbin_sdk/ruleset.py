"""The ruleset: everything an evaluation needs, immutable and numbered, as one JSON document.

What `flags/` and `assignments/` hold is compiled into it; a process keeps one in memory and asks it. All
structs are frozen; a new version is a new document.
"""

import datetime as dt
from typing import Any, Literal

import msgspec

from tenbin_sdk.conditions import Condition, parse, to_object
from tenbin_sdk.errors import ConditionError, RulesetError
from tenbin_sdk.hashing import ALGORITHM, DEFAULT_SHARDS, Range


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A set of shards that its experiments share without overlap; every experiment lives in one."""

    salt: str
    total_shards: int = DEFAULT_SHARDS


class Holdout(msgspec.Struct, frozen=True, omit_defaults=True):
    """Units kept out of every experiment that names it: shards under a salt of its own."""

    salt: str
    ranges: tuple[Range, ...]
    total_shards: int = DEFAULT_SHARDS


class PhaseRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Traffic and split in force from a moment on.

    `traffic` are shards of the layer, `split` the shards of the iteration's own salt by variant.
    """

    starts_at: dt.datetime
    traffic: tuple[Range, ...]
    split: tuple[tuple[str, tuple[Range, ...]], ...]
    number: int = 1


class ExperimentRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One experiment's current iteration."""

    key: str
    iteration: int = 1
    algorithm: Literal["md5-32/v1"] = ALGORITHM
    enabled: bool = True  # false: the kill switch is thrown
    layer: str
    holdouts: tuple[str, ...] = ()
    overrides: dict[str, str] = {}  # unit → variant, for testers; never in the experiment
    targeting: Condition | None = None
    split_salt: str
    total_shards: int = DEFAULT_SHARDS
    phases: tuple[PhaseRule, ...]
    ends_at: dt.datetime | None = None  # exclusive
    values: dict[str, Any] = {}  # variant → the value that code receives; absent: the variant's name


class Ruleset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of the rules of one environment."""

    version: int
    environment: str = "production"
    layers: dict[str, Layer] = {}
    holdouts: dict[str, Holdout] = {}
    experiments: dict[str, ExperimentRule] = {}


def encode(ruleset: Ruleset) -> bytes:
    """The ruleset as JSON; equal rulesets give equal bytes."""
    return msgspec.json.encode(ruleset, order="deterministic")


def decode(data: bytes | str) -> Ruleset:
    """Read a ruleset from JSON and check it; see `check`.

    Raises:
        RulesetError: the document is malformed or contradicts itself.
    """
    try:
        ruleset = msgspec.json.decode(data, type=Ruleset)
    except (msgspec.DecodeError, RecursionError) as reason:
        raise RulesetError(f"the ruleset can't be read: {reason}") from None
    check(ruleset)
    return ruleset


def check(ruleset: Ruleset) -> None:
    """Check the references and the conditions within a ruleset.

    Raises:
        RulesetError: an experiment names an unknown layer or holdout, stands under another's key, or has a
            targeting condition whose form is wrong.
    """
    for key, experiment in ruleset.experiments.items():
        if key != experiment.key:
            raise RulesetError(f'experiment "{experiment.key}" stands under the key "{key}"')
        if experiment.layer not in ruleset.layers:
            raise RulesetError(f'experiment "{key}" names the layer "{experiment.layer}", which is not there')
        for holdout in experiment.holdouts:
            if holdout not in ruleset.holdouts:
                raise RulesetError(f'experiment "{key}" names the holdout "{holdout}", which is not there')
        shards = (experiment.total_shards, ruleset.layers[experiment.layer].total_shards)
        if min(shards) < 1:
            raise RulesetError(f'experiment "{key}" or its layer has no shards; total_shards must be above 0')
        if experiment.targeting is not None:
            _check_condition(experiment.targeting, key)


def _check_condition(condition: Condition, key: str) -> None:
    try:
        parse(to_object(condition))
    except (ConditionError, RecursionError) as reason:
        raise RulesetError(f'experiment "{key}" has a targeting that can\'t be used: {reason}') from None
