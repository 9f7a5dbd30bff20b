"""Which phase a record is of, and when a change of weights moved a unit's shard."""

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from sqlglot import exp

from assignments.model import Experiment
from assignments.phases import Ranges, WeightPhase, moved
from assignments.sql import moved_phase_sql
from metrics.sql.tree import expression, literal


def phase_of_record(phases: Sequence[WeightPhase], zone: ZoneInfo) -> exp.Expr:
    """The number of the phase of a record (alias `x`).

    By its ruleset's version where the record and the phase have one, for a process may act on an older
    ruleset than the clock says; else by time. A record with only a date is of the phase in which its day
    began.
    """
    number = exp.Case()
    for phase in reversed(phases[1:]):
        begun = expression(
            "CASE WHEN x.day_precision THEN x.occurred_on >= $day ELSE x.exposed_at >= $instant END",
            day=first_whole_day(phase.from_, zone),
            instant=phase.from_,
        )
        if phase.since_version is not None:
            begun = expression(
                "CASE WHEN x.ruleset_version IS NULL THEN $begun ELSE x.ruleset_version >= $version END",
                begun=begun,
                version=phase.since_version,
            )
        number = number.when(begun, literal(phase.number))
    return number.else_(literal(phases[0].number))


def moved_phase(experiment: Experiment, phases: Sequence[WeightPhase], unit: exp.Expr) -> exp.Expr | None:
    """The phase that first took a unit's shard to another variant, NULL when none did; None: not known."""
    moves = _moves(experiment, phases)
    if moves is None:
        return None
    return moved_phase_sql(experiment, unit, moves) if moves else exp.null()


def moved_on(experiment: Experiment, phases: Sequence[WeightPhase], unit: exp.Expr) -> exp.Expr | None:
    """The day (UTC) from whose end on a unit is left out, because its shard was moved on it; NULL: never.

    None where no shard is known to have moved.
    """
    moves = _moves(experiment, phases)
    if not moves:
        return None
    days = exp.Case(this=moved_phase_sql(experiment, unit, moves))
    for phase in phases:
        if phase.number in moves:
            days = days.when(literal(phase.number), literal(phase.from_.astimezone(dt.UTC).date()))
    return days


def _moves(experiment: Experiment, phases: Sequence[WeightPhase]) -> dict[int, Ranges] | None:
    if experiment.bucketing is None or any(phase.ranges is None for phase in phases):
        return None
    return moved(phases, experiment.bucketing.total_shards)


def first_whole_day(instant: dt.datetime, zone: ZoneInfo) -> dt.date:
    """The first day of the workspace's time zone that begins at an instant or after it."""
    local = instant.astimezone(zone)
    return local.date() if local.time() == dt.time() else local.date() + dt.timedelta(days=1)
