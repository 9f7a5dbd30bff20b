"""What must hold of an experiment beyond the types of its fields; each break is one clear sentence."""

import datetime as dt
import itertools
import unicodedata
from collections.abc import Iterable

from assignments.errors import AssignmentsError
from assignments.model import Bucketing, Experiment, Phase
from assignments.phases import same_shares
from stats.errors import StatsError
from stats.plan import NEEDS_UNITS, check_settings
from tenbin_sdk.hashing import MAX_SHARDS, Range
from workspace import check_alpha, check_weights, seconds, suggest

_MAX_NAME = 200  # characters; keys become folder names, partition keys and SQL literals
_MAX_VARIANTS = 100
_MAX_PHASES = 1_000
_DAY_S = 86_400
_FIRST_YEAR, _LAST_YEAR = 1970, 2199  # of the instants that the lake takes
_LARGEST = {"planned_units": 10**12, "iteration": 2**31 - 1}  # an iteration is an int32 in the lake


def validate(experiment: Experiment, *, where: str) -> None:
    """Check one experiment; `where` names the file in the message.

    Raises:
        AssignmentsError: the first thing found that does not hold.
    """
    _names(experiment, where)
    _plan(experiment, where)
    _phases(experiment, where)
    _pauses(experiment, where)
    _metrics(experiment, where)
    _analysis(experiment, where)
    if experiment.bucketing is not None:
        _bucketing(experiment.bucketing, where)
    for number, phase in enumerate(experiment.phases):
        _shards(phase, experiment.bucketing, f"{where}: phases[{number}]")


def _names(experiment: Experiment, where: str) -> None:
    for key in ("key", "control", "unit_type", "environment"):
        _name(getattr(experiment, key), f'{where}: key "{key}"')
    if "..." in experiment.key:
        raise AssignmentsError(
            f'{where}: key "key" is "{experiment.key}"; "..." stands between the two ends of a range of '
            "partitions, so no key may hold it"
        )
    for key in ("from_exposure", "from_units"):
        names: tuple[str, ...] = getattr(experiment.segments, key)
        for name in names:
            _name(name, f'{where}: key "segments.{key}"')
            if "=" in name:
                raise AssignmentsError(
                    f'{where}: key "segments.{key}": "{name}" holds "=", which stands between a segment and '
                    "its value; name the attribute without it"
                )
        _unique(names, f'{where}: key "segments.{key}"')
    if twice := set(experiment.segments.from_exposure) & set(experiment.segments.from_units):
        raise AssignmentsError(
            f'{where}: segment "{min(twice)}" is in segments.from_exposure and in segments.from_units; '
            "name it in one of them"
        )


def _name(text: str, where: str) -> None:
    if not text.strip() or text != text.strip():
        raise AssignmentsError(f"{where}: {text!r} must not be empty nor begin or end with a space")
    if len(text) > _MAX_NAME:
        raise AssignmentsError(f"{where}: has {len(text)} characters; at most {_MAX_NAME} are allowed")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise AssignmentsError(f"{where}: {text!r} holds a control character; use printable text")


def _unique(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise AssignmentsError(f'{where}: "{name}" is named twice; name it once')
        seen.add(name)


def _plan(experiment: Experiment, where: str) -> None:
    if experiment.horizon != "anytime" and experiment.end is None:
        raise AssignmentsError(
            f'{where}: key "end" is missing; horizon "{experiment.horizon}" needs the last day, as in '
            'end = 2026-02-06, or use horizon = "anytime"'
        )
    for key in ("start", "end"):
        day: dt.date | None = getattr(experiment, key)
        if day is not None:
            _year(day, f'{where}: key "{key}"')
    if experiment.end is not None and experiment.end < experiment.start:
        raise AssignmentsError(
            f'{where}: key "end": {experiment.end} lies before start = {experiment.start}; '
            "give a last day on or after the first"
        )
    check_alpha(experiment.alpha, where=f'{where}: key "alpha"', error=AssignmentsError)
    _cadence(experiment, where)
    for key, largest in _LARGEST.items():
        number: int | None = getattr(experiment, key)
        if number is not None and not 1 <= number <= largest:
            raise AssignmentsError(f'{where}: key "{key}": {number} must lie between 1 and {largest}')


def _cadence(experiment: Experiment, where: str) -> None:
    at = f'{where}: key "cadence"'
    length_s = seconds(experiment.cadence, where=at, error=AssignmentsError)
    if length_s <= 0:
        raise AssignmentsError(f'{at}: "{experiment.cadence}" must be longer than nothing')
    if experiment.horizon != "group_sequential":
        return
    if length_s % _DAY_S:
        raise AssignmentsError(
            f'{at}: "{experiment.cadence}" is not a number of days; looks of horizon "group_sequential" '
            'are whole days apart, as in cadence = "7d"'
        )
    if experiment.planned_units is None:
        raise AssignmentsError(
            f'{where}: key "planned_units" is missing; horizon "group_sequential" needs the units of '
            'all variants at which it will end (`tenbin power` says how many), or use horizon = "anytime"'
        )


def _year(day: dt.date, where: str) -> None:
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise AssignmentsError(
            f"{where}: {day} is out of range; years from {_FIRST_YEAR} to {_LAST_YEAR} are allowed"
        )


def _phases(experiment: Experiment, where: str) -> None:
    phases = experiment.phases
    if not 1 <= len(phases) <= _MAX_PHASES:
        raise AssignmentsError(
            f"{where}: has {len(phases)} [[phases]] tables; write at least one (at most {_MAX_PHASES}) with "
            '"from" and "weights"'
        )
    for number, phase in enumerate(phases):
        at = f"{where}: phases[{number}]"
        _weights(phase, at)
        if experiment.control not in phase.weights:
            raise AssignmentsError(
                f'{at}.weights: control "{experiment.control}" is not among the variants; '
                f"{suggest(experiment.control, list(phase.weights))}"
            )
        _year(phase.from_, f"{at}.from")
        if phase.from_.tzinfo is None:
            raise AssignmentsError(
                f"{at}.from: {phase.from_} has no time zone; write an instant such as 2026-01-25T00:00:00Z"
            )
    for number, (before, after) in enumerate(itertools.pairwise(phases), start=1):
        at = f"{where}: phases[{number}]"
        if after.from_ <= before.from_:
            raise AssignmentsError(
                f"{at}.from: {after.from_} is not after {before.from_} of the phase before it"
            )
        if same_shares(before.weights, after.weights) and before.ranges != after.ranges:
            raise AssignmentsError(
                f"{at}.ranges: shards move between variants although the weights stay; "
                "keep the ranges of the phase before, or start a new iteration"
            )
        versions = (before.since_version, after.since_version)
        if versions[0] is not None and versions[1] is not None and versions[1] <= versions[0]:
            raise AssignmentsError(
                f"{at}.since_version: {versions[1]} is not above {versions[0]} of the phase before; a "
                "phase begins with a ruleset of its own"
            )


def _pauses(experiment: Experiment, where: str) -> None:
    last: dt.datetime | None = None
    for number, pause in enumerate(experiment.pauses):
        at = f"{where}: pauses[{number}]"
        if pause.from_.tzinfo is None or pause.to.tzinfo is None:
            raise AssignmentsError(f"{at}: has no time zone; write instants such as 2026-01-28T09:00:00Z")
        for instant in (pause.from_, pause.to):
            _year(instant, at)
        if pause.to <= pause.from_:
            raise AssignmentsError(f"{at}: ends at {pause.to}, not after its begin at {pause.from_}")
        if last is not None and pause.from_ < last:
            raise AssignmentsError(f"{at}: begins at {pause.from_}, before the pause before it is over")
        last = pause.to


def _weights(phase: Phase, at: str) -> None:
    if not 2 <= len(phase.weights) <= _MAX_VARIANTS:  # noqa: PLR2004  (a comparison has two sides)
        raise AssignmentsError(
            f"{at}.weights: has {len(phase.weights)} variants; give from 2 to {_MAX_VARIANTS}, "
            "as in { A = 1, B = 1 }"
        )
    for variant in phase.weights:
        _name(variant, f"{at}.weights")
    check_weights(phase.weights, where=f"{at}.weights", error=AssignmentsError)


def _metrics(experiment: Experiment, where: str) -> None:
    metrics = experiment.metrics
    if not metrics.primary:
        raise AssignmentsError(
            f'{where}: key "metrics.primary" is empty; name at least one metric that decides'
        )
    for name in metrics.names:
        _name(name, f"{where}: [metrics]")
    _unique(metrics.names, f"{where}: [metrics]")
    for guardrail in metrics.guardrail:
        margin = guardrail.margin
        if margin is not None and not 0 < margin < 1:
            raise AssignmentsError(
                f'{where}: metrics.guardrail "{guardrail.metric}": margin {margin!r} must lie between 0 '
                "and 1, both excluded; 0.02 is two per cent of the control's mean"
            )


def _analysis(experiment: Experiment, where: str) -> None:
    at, settings = f"{where}: [analysis]", experiment.analysis
    try:
        check_settings(settings, experiment.horizon)
    except StatsError as reason:
        raise AssignmentsError(f"{at}: {reason}") from None
    if settings.adjustment in NEEDS_UNITS:
        raise AssignmentsError(
            f'{at}: adjustment "{settings.adjustment}" reads single units, which are kept for the latest day '
            'only; write adjustment = "lin" and methods = ["' + settings.adjustment + '"]'
        )
    _unique(settings.methods, f'{at}: key "methods"')
    segments = [*experiment.segments.from_exposure, *experiment.segments.from_units]
    if settings.strata is not None and settings.strata not in segments:
        raise AssignmentsError(
            f'{at}: strata "{settings.strata}" is none of the segments that [segments] names; '
            f"{suggest(settings.strata, segments)}"
        )


def _bucketing(bucketing: Bucketing, where: str) -> None:
    at = f"{where}: [bucketing]"
    if not 1 <= bucketing.total_shards <= MAX_SHARDS:
        raise AssignmentsError(
            f"{at}: total_shards = {bucketing.total_shards} must lie between 1 and {MAX_SHARDS}"
        )
    salts = [bucketing.layer_salt, bucketing.split_salt]
    if bucketing.holdout_salt is not None:
        salts.append(bucketing.holdout_salt)
    _name(bucketing.layer, f'{at}: key "layer"')
    for salt in salts:
        _name(salt, f"{at}: salt")
    if len(set(salts)) < len(salts):
        raise AssignmentsError(
            f"{at}: two of layer_salt, split_salt and holdout_salt are equal; the layer's shards would "
            "decide the variant: give each its own"
        )
    if bucketing.holdout and bucketing.holdout_salt is None:
        raise AssignmentsError(f'{at}: key "holdout_salt" is missing; "holdout" needs it')
    _ranges(bucketing.holdout, bucketing.total_shards, f"{at}.holdout")


def _shards(phase: Phase, bucketing: Bucketing | None, at: str) -> None:
    if bucketing is None:
        if phase.slice is not None or phase.ranges is not None:
            raise AssignmentsError(
                f"{at}: has slice or ranges, but the file has no [bucketing] table that gives them a salt"
            )
        return
    if phase.ranges is None or phase.slice is None:
        raise AssignmentsError(f'{at}: with [bucketing], a phase needs both "slice" and "ranges"')
    if phase.ranges.keys() != phase.weights.keys():
        raise AssignmentsError(
            f"{at}.ranges: names the variants {', '.join(phase.ranges) or 'none'}; "
            f"the weights name {', '.join(phase.weights)}"
        )
    _ranges(phase.slice, bucketing.total_shards, f"{at}.slice")
    split = [part for ranges in phase.ranges.values() for part in ranges]
    _ranges(split, bucketing.total_shards, f"{at}.ranges")
    if _count(split) != bucketing.total_shards:
        raise AssignmentsError(
            f"{at}.ranges: leave shards to no variant; together they must cover 0 to {bucketing.total_shards}"
        )
    whole = sum(phase.weights.values())
    for variant, ranges in phase.ranges.items():
        quota = phase.weights[variant] / whole * bucketing.total_shards
        if abs(_count(ranges) - quota) > 1:
            raise AssignmentsError(
                f'{at}.ranges: "{variant}" owns {_count(ranges)} of {bucketing.total_shards} shards, but its '
                f"weight asks for {quota:.0f}; the split must carry out the weights"
            )


def _count(ranges: Iterable[Range]) -> int:
    return sum(end - start for start, end in ranges)


def _ranges(ranges: Iterable[Range], total_shards: int, at: str) -> None:
    last = 0
    for start, end in sorted(ranges):
        if not 0 <= start < end <= total_shards:
            raise AssignmentsError(
                f"{at}: [{start}, {end}] is no range of shards; 0 <= start < end <= {total_shards}"
            )
        if start < last:
            raise AssignmentsError(f"{at}: [{start}, {end}] overlaps the range before it")
        last = end
