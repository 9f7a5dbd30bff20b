"""exposures or assignments → `first_exposures`: per experiment, iteration and unit, when its clock started.

The first row in time decides; rows of one instant are ordered by arrival and id, so that the order in which
files came can't change it. When another variant was seen is kept, and judged as of a day.
"""

import datetime as dt
from zoneinfo import ZoneInfo

from sqlglot import exp

from assignments.model import Experiment, Pause
from assignments.phases import weight_phases
from metrics.sql.phases import first_whole_day, moved_phase, phase_of_record
from metrics.sql.tree import alias, build, column, expression

RECORDS = {"exposed": "exposures", "assigned": "assignments"}


def in_enrolment(experiment: Experiment, zone: ZoneInfo) -> exp.Expr:
    """Whether a record lies between `start` and `end`, days of the workspace's time zone, and in no pause.

    What comes after the end (a roll-out, say) neither enrols a unit nor counts as its second variant.
    """
    running = _running(experiment, zone)
    for pause in experiment.pauses:
        running = exp.and_(running, exp.not_(exp.paren(_paused(pause, zone))))
    return running


def _paused(pause: Pause, zone: ZoneInfo) -> exp.Expr:
    """Whether a record lies in a pause; one with only a date where its whole day does."""
    ends = pause.to.astimezone(zone).date()
    return expression(
        "CASE WHEN x.day_precision THEN x.occurred_on >= $first AND x.occurred_on < $ends "
        "ELSE x.exposed_at >= $from AND x.exposed_at < $to END",
        first=first_whole_day(pause.from_, zone),
        ends=ends,
        **{"from": pause.from_, "to": pause.to},
    )


def _running(experiment: Experiment, zone: ZoneInfo) -> exp.Expr:
    opens_at = dt.datetime.combine(experiment.start, dt.time(), zone)
    test = expression(
        "CASE WHEN x.day_precision THEN x.occurred_on >= $start ELSE x.exposed_at >= $opens_at END",
        start=experiment.start,
        opens_at=opens_at,
    )
    if experiment.end is None:
        return test
    closes_at = dt.datetime.combine(experiment.end + dt.timedelta(days=1), dt.time(), zone)
    return expression(
        "CASE WHEN x.day_precision THEN x.occurred_on BETWEEN $start AND $end "
        "ELSE x.exposed_at >= $opens_at AND x.exposed_at < $closes_at END",
        start=experiment.start,
        end=experiment.end,
        opens_at=opens_at,
        closes_at=closes_at,
    )


def records(experiment: Experiment, *, select: str) -> exp.Select:
    """The experiment's records (alias `x`) of its population, before any are left out."""
    return build(
        f"SELECT {select} FROM {RECORDS[experiment.population]} AS x "
        "WHERE x.experiment = $experiment AND x.iteration = $iteration "
        "AND x.environment = $environment AND x.unit_type = $unit_type",
        experiment=experiment.key,
        iteration=experiment.iteration,
        environment=experiment.environment,
        unit_type=experiment.unit_type,
    )


def first_exposures(experiment: Experiment, zone: ZoneInfo) -> exp.Select:
    """One row per unit, in the columns of the lake's `first_exposures`."""
    seen = records(
        experiment,
        select=(
            "x.unit_key, x.unit_id, x.variant, x.exposed_at, x.day_precision, x.ruleset_version, "
            "x.attributes, ROW_NUMBER() OVER first_seen AS place, FIRST_VALUE(x.variant) OVER first_seen "
            "AS first_variant"
        ),
    )
    phases = weight_phases(experiment, zone)
    if len(phases) > 1:
        seen = seen.select(alias(phase_of_record(phases, zone), "phase"), copy=False)
    seen = seen.where("NOT x.variant IS NULL", dialect="duckdb").where(in_enrolment(experiment, zone))
    window = build(
        "SELECT 1 FROM x WINDOW first_seen AS (PARTITION BY x.unit_key ORDER BY x.exposed_at, "
        "x.received_at NULLS LAST, x.exposure_id, x.variant)"
    )
    seen.set("windows", window.args["windows"])
    switched = build(
        "SELECT unit_key, MIN(exposed_at) AS second_variant_at FROM seen WHERE variant <> first_variant "
        "GROUP BY unit_key"
    )
    if len(phases) > 1:
        # Another variant that a change of weights may explain makes no unit a mixed one.
        moves = moved_phase(experiment, phases, column("unit_id"))
        unexplained = "phase < COALESCE($moved, $never)" if moves is not None else "phase = first_phase"
        switched = switched.where(expression(unexplained, moved=moves, never=len(phases) + 1), copy=False)
        first = "FIRST_VALUE($phase) OVER first_seen"
        seen = seen.select(
            alias(expression(first, phase=phase_of_record(phases, zone)), "first_phase"), copy=False
        )
    return (
        build(
            "SELECT $experiment AS experiment, CAST($iteration AS INTEGER) AS iteration, "
            "$unit_type AS unit_type, s.unit_key, s.unit_id, s.variant, CAST($phase AS INTEGER) AS phase, "
            "s.exposed_at, "
            "COALESCE(s.day_precision, FALSE) AS day_precision, w.second_variant_at, s.ruleset_version, "
            "s.attributes FROM seen AS s LEFT JOIN switched AS w ON w.unit_key = s.unit_key WHERE "
            "s.place = 1",
            experiment=experiment.key,
            iteration=experiment.iteration,
            unit_type=experiment.unit_type,
            phase=column("phase", "s") if len(phases) > 1 else 1,
        )
        .with_("seen", as_=seen, materialized=True)
        .with_("switched", as_=switched)
    )


def outside_enrolment(experiment: Experiment, zone: ZoneInfo) -> exp.Select:
    """How many units only have records before `start`, in a pause or after `end`; bound: `$as_of`."""
    inside = exp.func("COALESCE", in_enrolment(experiment, zone), exp.false())
    query = records(experiment, select="x.unit_key").where("x.occurred_on <= $as_of", dialect="duckdb")
    query = query.group_by("x.unit_key", dialect="duckdb").having(
        expression("COUNT(*) FILTER (WHERE $inside) = 0", inside=inside)
    )
    return build("SELECT COUNT(*) FROM outside").with_("outside", as_=query)


def without_variant(experiment: Experiment) -> exp.Select:
    """How many records name no variant; bound: `$as_of`."""
    query = records(experiment, select="COUNT(*)")
    return query.where("x.variant IS NULL AND x.occurred_on <= $as_of", dialect="duckdb")
