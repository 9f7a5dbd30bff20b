"""From partials and boundary events to unit metrics, in three or four statements.

- `enrolled`: the experiment's units, the instants and days between which their outcomes count, segments;
- `each_value`: per unit and day, every value of the slots of which single values are kept;
- `contributions`: per unit and day, what happened in each slot. Days strictly inside a window come from
  `unit_days` (and `unit_values`); events are read again only on a unit's first and last day, of which a part
  counts;
- `unit_metrics_now`: the days up to an as-of day added up, a row per unit that is analysed.

Windows are `[exposed_at, exposed_at + window)`. Where the exposure or the event has only a date, days are
compared: `[exposure day, exposure day + window)` with the window in begun days. An instant's day is then the
one of the workspace's time zone; the days that rows are kept by (`occurred_on`, `exposed_on`) are UTC's.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import cast
from zoneinfo import ZoneInfo

from sqlglot import exp

from assignments.model import Experiment
from assignments.phases import weight_phases
from metrics.model import Values
from metrics.sql.partials import MICRO, matches, value_of, values_of_events
from metrics.sql.phases import moved_on
from metrics.sql.plan import UTC, MetricColumns, Slot, UnitColumn, UnitPlan, UnitTerm, days_of
from metrics.sql.tree import (
    JSON_LABEL,
    JSON_OBJECT,
    MICROSECONDS,
    ZONED,
    alias,
    build,
    column,
    expression,
    fill_list,
    function,
    literal,
    pointer,
    union_all,
)

MISSING = "(missing)"
ENROLLED = "enrolled"
EACH_VALUE = "each_value"
CONTRIBUTIONS = "contributions"
UNITS = "unit_metrics_now"


def segment_column(number: int) -> str:
    """The column that holds the value of the experiment's `number`-th dimension."""
    return f"segment__{number}"  # no metric has "__" in its name


def enrolled(plan: UnitPlan) -> exp.Select:
    """The units of the experiment, from `first_exposures` and `unit_attributes`."""
    experiment = plan.experiment
    query = build(
        "SELECT f.unit_key, f.unit_id, f.variant, f.phase, f.exposed_at, f.day_precision, "
        "CAST(f.exposed_at AS DATE) AS exposed_on, CAST(f.second_variant_at AS DATE) AS second_on, "
        "$begins_at AS begins_at, $begins_on AS begins_on, "
        "LEAST($begins_on, CAST($begins_at AS DATE)) AS counts_from, "
        "GREATEST($begins_on, $whole) AS whole_from "
        "FROM first_exposures AS f WHERE f.experiment = $experiment AND f.iteration = $iteration "
        "AND f.excluded_by IS NULL",
        begins_at=_begins_at(plan),
        begins_on=_begins_on(plan),
        whole=_first_whole_day(_begins_at(plan)),
        experiment=experiment.key,
        iteration=experiment.iteration,
    )
    if (moves := _moved_on(plan)) is not None:
        query = query.select(alias(moves, "moved_on"), copy=False)
    for after_s in plan.delays:
        query = query.select(*_delay_columns(plan, after_s), copy=False)
    for window_s in plan.windows:
        query = query.select(*_window_columns(plan, window_s), copy=False)
    for before_s in plan.pre_periods:
        query = query.select(*_before_columns(plan, before_s), copy=False)
    for number, dimension in enumerate(plan.segments):
        if dimension in experiment.segments.from_exposure:
            value = function(JSON_LABEL, column("attributes", "f"), pointer([dimension]))
        else:
            joined = f"attribute_{number}"
            query = query.with_(joined, as_=attribute_at_exposure(experiment, dimension), copy=False)
            on = expression("$a = f.unit_key", a=column("unit_key", joined))
            query = query.join(exp.to_table(joined), on=on, join_type="left", copy=False)
            value = column("value", joined)
        known = expression("COALESCE(NULLIF($value, ''), $missing)", value=value, missing=MISSING)
        query = query.select(alias(known, segment_column(number)), copy=False)
    return query


def _moved_on(plan: UnitPlan) -> exp.Expr | None:
    """The day on which a change of weights moved the unit's shard, so that no arm has it from then on."""
    zone = ZoneInfo(plan.zone)
    return moved_on(plan.experiment, weight_phases(plan.experiment, zone), column("unit_id", "f"))


def contributions(plan: UnitPlan, *, by_day: bool = True) -> exp.Query:
    """What happened per unit, day and slot, up to the day `$until` (bound).

    Interior and boundary days of a slot never overlap, so their rows stand one below the other. Of a slot
    with single values: how many numbers, or how many texts that the unit did not have on an earlier day.

    Args:
        plan: the experiment's plan.
        by_day: keep days apart, for several as-of days; else a unit's interior days are added up at once, in
            a row of the first of them, which is all that the last as-of day needs.
    """
    added = [_interior(plan, by_day=by_day), _boundary(plan)] if plan.added else []
    return union_all([*added, *(_counted(plan, number) for number in plan.listed)])


def each_value(plan: UnitPlan) -> exp.Query:
    """Every value per unit, day and slot, up to the day `$until` (bound), with the number of its events."""
    return union_all(
        part
        for number, (slot, measure) in plan.listed.items()
        for part in (_interior_values(plan, number, slot), _boundary_values(plan, number, slot, measure))
    )


def unit_metrics(plan: UnitPlan) -> exp.Select:
    """A row per unit that is analysed as of `$as_of` (bound); sums of values are in millionths."""
    totals = build(f"SELECT unit_key FROM {CONTRIBUTIONS} WHERE day <= $as_of GROUP BY unit_key")
    query = build(
        f"SELECT u.unit_key, u.unit_id, u.variant, u.phase, u.exposed_at FROM {ENROLLED} AS u "
        "LEFT JOIN totals AS t ON t.unit_key = u.unit_key WHERE u.exposed_on <= $as_of "
        "AND (u.second_on IS NULL OR u.second_on > $as_of) AND u.variant IN ($variants)"
    )
    fill_list(query, "variants", plan.experiment.variants)
    if _moved_on(plan) is not None:
        query = query.where("u.moved_on IS NULL OR u.moved_on > $as_of", dialect="duckdb", copy=False)
    for number in range(len(plan.segments)):
        query = query.select(column(segment_column(number), "u"), copy=False)
    for planned in plan.metrics:
        for unit_column in planned.columns:
            totals = totals.select(alias(_total(unit_column), unit_column.name), copy=False)
            query = query.select(alias(_happened(planned, unit_column), unit_column.name), copy=False)
        window_s = planned.metric.window_s
        mature = (
            exp.true()
            if window_s is None
            else expression("$on <= $as_of", on=column(f"mature_on_{window_s}", "u"))
        )
        query = query.select(alias(mature, planned.mature), copy=False)
    return query.with_("totals", as_=totals, copy=False)


def _happened(planned: MetricColumns, unit_column: UnitColumn) -> exp.Expr:
    """What the unit did; where it did nothing 0, or NULL where that has no number."""
    total = column(unit_column.name, "t")
    if planned.metric.leaves_out and unit_column is planned.columns[0]:
        return total
    return expression("COALESCE($x, 0)", x=total)


def in_one_statement(plan: UnitPlan, statement: exp.Select) -> exp.Select:
    """A statement over the tables that are made on the way to it, from the lake's tables alone.

    Its `$until` is the day `$as_of`, both bound.
    """
    parts: dict[str, exp.Query] = {
        ENROLLED: enrolled(plan),
        **({EACH_VALUE: each_value(plan)} if plan.listed else {}),
        CONTRIBUTIONS: contributions(plan),
        UNITS: unit_metrics(plan),
    }
    for name, part in reversed(parts.items()):
        statement = with_first(statement, name, part)
    return cast("exp.Select", statement.transform(_as_of))


def with_first(statement: exp.Select, name: str, part: exp.Query) -> exp.Select:
    """The statement with a table that all of its others may read."""
    statement = statement.with_(name, as_=part, copy=False)
    ctes = statement.args["with_"].expressions
    ctes.insert(0, ctes.pop())
    return statement


def _as_of(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Placeholder) and node.name == "until":
        return exp.Placeholder(this="as_of")
    return node


def published(plan: UnitPlan) -> exp.Select:
    """`unit_metrics_now` in the columns of the lake's `unit_metrics`; bound: `$as_of`."""
    query = build(
        "SELECT $experiment AS experiment, CAST($iteration AS INTEGER) AS iteration, "
        "CAST($as_of AS DATE) AS as_of, $unit_type AS unit_type, unit_key, unit_id, variant, phase, "
        f"exposed_at, $segments AS segments FROM {UNITS}",
        experiment=plan.experiment.key,
        iteration=plan.experiment.iteration,
        unit_type=plan.experiment.unit_type,
        segments=_segments_json(plan),
    )
    for planned in plan.metrics:
        for unit_column in planned.columns:
            value = expression(
                "CAST($x AS DOUBLE) / $scale", x=column(unit_column.name), scale=unit_column.scale
            )
            query = query.select(alias(value, unit_column.name), copy=False)
        query = query.select(column(planned.mature), copy=False)
    return query


def published_columns(plan: UnitPlan) -> dict[str, str]:
    """The columns that `published` has beside the declared ones, with their DuckDB types."""
    columns: dict[str, str] = {}
    for planned in plan.metrics:
        columns |= dict.fromkeys((unit_column.name for unit_column in planned.columns), "DOUBLE")
        columns[planned.mature] = "BOOLEAN"
    return columns


def happened(slot: Slot) -> exp.Expr:
    """Whether the event `e` lies in the slot of the unit `u`, whatever the day."""
    if slot.before_s is not None:
        return expression(
            "CASE WHEN e.day_precision "
            "THEN e.occurred_on < u.begins_on AND e.occurred_on >= u.begins_on - $days "
            "ELSE e.occurred_at < u.begins_at AND e.occurred_at >= $begin END",
            days=days_of(slot.before_s),
            begin=column(f"before_at_{slot.before_s}", "u"),
        )
    since_on: exp.Expr = column("begins_on", "u")
    since_at = column("begins_at", "u")
    if slot.after_s:
        since_on = expression("u.begins_on + $days", days=days_of(slot.after_s))
        since_at = column(f"starts_at_{slot.after_s}", "u")
    if slot.window_s is None:
        return expression(
            "CASE WHEN e.day_precision THEN e.occurred_on >= $on ELSE e.occurred_at >= $at END",
            on=since_on,
            at=since_at,
        )
    return expression(
        "CASE WHEN e.day_precision "
        "THEN e.occurred_on >= $on AND e.occurred_on < u.begins_on + $days "
        "ELSE e.occurred_at >= $at AND e.occurred_at < $end END",
        on=since_on,
        at=since_at,
        days=days_of(slot.window_s),
        end=column(f"ends_at_{slot.window_s}", "u"),
    )


def local_day(plan: UnitPlan, instant: exp.Expr) -> exp.Expr:
    """The day of an instant in the workspace's time zone."""
    if plan.zone == UTC:
        return exp.cast(instant, "DATE")
    return exp.cast(exp.AtTimeZone(this=instant, zone=literal(plan.zone)), "DATE")


def _midnight(plan: UnitPlan, day: exp.Expr) -> exp.Expr:
    """The instant at which a day of the workspace's time zone begins."""
    if plan.zone == UTC:
        return exp.cast(day, "TIMESTAMPTZ")
    return function(ZONED, literal(plan.zone), exp.cast(day, "TIMESTAMP"))


def _begins_on(plan: UnitPlan) -> exp.Expr:
    """The day of exposure: the date that was recorded, or the instant's day."""
    if plan.zone == UTC:
        return expression("CAST(f.exposed_at AS DATE)")
    return expression(
        "CASE WHEN f.day_precision THEN CAST(f.exposed_at AS DATE) ELSE $day END",
        day=local_day(plan, column("exposed_at", "f")),
    )


def _begins_at(plan: UnitPlan) -> exp.Expr:
    """The instant of exposure, or the one at which its day begins."""
    if plan.zone == UTC:
        return column("exposed_at", "f")
    return _at(plan, "f.exposed_at", 0)


def _at(plan: UnitPlan, instant: str, days: int, length: exp.Expr | None = None) -> exp.Expr:
    """`instant` for a unit whose exposure is one, else midnight so many days from the exposure's date."""
    day = expression("CAST(f.exposed_at AS DATE)")
    if days:
        day = expression("$day + $days", day=day, days=days)
    places = {} if length is None else {"length": length}
    return expression(
        f"CASE WHEN f.day_precision THEN $midnight ELSE {instant} END",
        midnight=_midnight(plan, day),
        **places,
    )


def _first_whole_day(instant: exp.Expr) -> exp.Expr:
    """The first day that begins at an instant or after it."""
    return expression("CAST($instant - INTERVAL '1' MICROSECOND AS DATE) + 1", instant=instant)


def _segments_json(plan: UnitPlan) -> exp.Expr:
    if not plan.segments:
        return literal("{}")
    pairs: list[exp.Expr] = []
    for number, dimension in enumerate(plan.segments):
        pairs += [literal(dimension), column(segment_column(number))]
    return exp.cast(function(JSON_OBJECT, *pairs), "VARCHAR")


def _window_columns(plan: UnitPlan, window_s: int) -> list[exp.Expr]:
    """When a window ends, the first day from which days are not whole in it, and its last day.

    A unit is mature on the last day: the window is over by its end.
    """
    end = _at(plan, "f.exposed_at + $length", days_of(window_s), _seconds(window_s))
    ends_on = expression("$day + $days", day=_begins_on(plan), days=days_of(window_s))
    whole_until = expression("LEAST($ends_on, CAST($end AS DATE))", ends_on=ends_on, end=end)
    mature_on = expression(
        "GREATEST($ends_on - 1, CAST($end - INTERVAL '1' MICROSECOND AS DATE))", ends_on=ends_on, end=end
    )
    return [
        alias(end, f"ends_at_{window_s}"),
        alias(whole_until, f"whole_until_{window_s}"),
        alias(mature_on, f"mature_on_{window_s}"),
    ]


def _delay_columns(plan: UnitPlan, after_s: int) -> list[exp.Expr]:
    """When a window begins that begins later, its first day, and the first day that counts whole."""
    start = _at(plan, "f.exposed_at + $length", days_of(after_s), _seconds(after_s))
    starts_on = expression("$day + $days", day=_begins_on(plan), days=days_of(after_s))
    first = expression("LEAST($starts_on, CAST($start AS DATE))", starts_on=starts_on, start=start)
    whole = expression("GREATEST($starts_on, $whole)", starts_on=starts_on, whole=_first_whole_day(start))
    return [
        alias(start, f"starts_at_{after_s}"),
        alias(first, f"starts_from_{after_s}"),
        alias(whole, f"starts_whole_{after_s}"),
    ]


def _before_columns(plan: UnitPlan, before_s: int) -> list[exp.Expr]:
    """When a period before exposure begins, its first day, and the first day that counts whole."""
    begin = _at(plan, "f.exposed_at - $length", -days_of(before_s), _seconds(before_s))
    begins_on = expression("$day - $days", day=_begins_on(plan), days=days_of(before_s))
    first = expression("LEAST($begins_on, CAST($begin AS DATE))", begins_on=begins_on, begin=begin)
    whole = expression("GREATEST($begins_on, $whole)", begins_on=begins_on, whole=_first_whole_day(begin))
    return [
        alias(begin, f"before_at_{before_s}"),
        alias(first, f"before_on_{before_s}"),
        alias(whole, f"before_from_{before_s}"),
    ]


def _seconds(length: int) -> exp.Expr:
    return exp.Interval(this=exp.Literal.string(str(length)), unit=exp.var("SECOND"))


def attribute_at_exposure(
    experiment: Experiment, dimension: str, table: str = "first_exposures"
) -> exp.Select:
    """The attribute's value of each unit of `table` at its first exposure: one row per unit."""
    ranked = build(
        "SELECT f.unit_key, a.value, ROW_NUMBER() OVER (PARTITION BY f.unit_key ORDER BY "
        "a.valid_from DESC NULLS LAST, a.batch DESC NULLS LAST, a.value DESC NULLS LAST) AS place "
        f"FROM {table} AS f JOIN unit_attributes AS a ON a.unit_id = f.unit_id "
        "WHERE f.experiment = $experiment AND f.iteration = $iteration AND a.unit_type = $unit_type "
        "AND a.attribute = $dimension AND (a.valid_from IS NULL OR a.valid_from <= f.exposed_at)",
        experiment=experiment.key,
        iteration=experiment.iteration,
        unit_type=experiment.unit_type,
        dimension=dimension,
    )
    # No WITH: for Spark inner ones are brought to the top, where every name may be there once.
    return build("SELECT unit_key, value WHERE place = 1").from_(ranked.subquery("ranked"))


def _interior(plan: UnitPlan, *, by_day: bool) -> exp.Select:
    day, days = ("d.occurred_on", ", d.occurred_on") if by_day else ("MIN(d.occurred_on)", "")
    query = build(
        f"SELECT d.unit_key, {day} AS day FROM unit_days AS d JOIN {ENROLLED} AS u "
        "ON u.unit_key = d.unit_key WHERE d.unit_type = $unit_type AND d.measure IN ($measures) "
        f"AND d.occurred_on <= $until GROUP BY d.unit_key{days}",
        unit_type=plan.experiment.unit_type,
    )
    fill_list(query, "measures", sorted({plan.stored(slot) for slot in plan.added.values()}))
    for number, slot in plan.added.items():
        counts = expression(
            "d.measure = $measure AND $inside", measure=plan.stored(slot), inside=_inside(slot)
        )
        events = expression("SUM(d.events) FILTER (WHERE $counts)", counts=counts)
        query = query.select(alias(exp.cast(events, "BIGINT"), f"events__{number}"), copy=False)
        if slot.measure.value is not None:
            value = expression("SUM(d.value_sum) FILTER (WHERE $counts)", counts=counts)
            query = query.select(alias(exp.cast(value, "DECIMAL(38, 6)"), f"value__{number}"), copy=False)
        if number in _by_days(plan):
            # A measure has one row per unit and day.
            days_in_it = expression("COUNT(*) FILTER (WHERE $counts)", counts=counts)
            query = query.select(alias(days_in_it, f"days__{number}"), copy=False)
        if slot.measure.first:
            earliest = expression("MIN($time) FILTER (WHERE $counts)", time=_time_on(plan), counts=counts)
            query = query.select(alias(exp.cast(earliest, "BIGINT"), f"first__{number}"), copy=False)
    return query.select(*_nothing(plan.listed), copy=False)


def _counted(plan: UnitPlan, counted: int) -> exp.Select:
    """How many values, or new texts, a unit has on a day in the slot; nothing in the others."""
    _, measure = plan.listed[counted]
    if measure.keep == "numbers":
        rows = build(f"SELECT unit_key, day, events FROM {EACH_VALUE} WHERE slot = $slot", slot=counted)
    else:
        rows = build(
            f"SELECT unit_key, MIN(day) AS day, 1 AS events FROM {EACH_VALUE} WHERE slot = $slot "
            "GROUP BY unit_key, text",
            slot=counted,
        )
    query = build("SELECT v.unit_key, v.day FROM v GROUP BY v.unit_key, v.day")
    query.set("from_", exp.From(this=rows.subquery("v")))
    for number, slot in plan.added.items():
        query = query.select(*_nothing([number]), copy=False)
        if slot.measure.value is not None:
            query = query.select(
                alias(exp.cast(exp.null(), "DECIMAL(38, 6)"), f"value__{number}"), copy=False
            )
        if number in _by_days(plan):
            query = query.select(alias(exp.cast(exp.null(), "BIGINT"), f"days__{number}"), copy=False)
        if slot.measure.first:
            query = query.select(alias(exp.cast(exp.null(), "BIGINT"), f"first__{number}"), copy=False)
    for number in plan.listed:
        happened = expression("CAST(SUM(v.events) AS BIGINT)")
        (none,) = _nothing([number])
        query = query.select(alias(happened, f"events__{number}") if number == counted else none, copy=False)
    return query


def _nothing(slots: Iterable[int]) -> list[exp.Expr]:
    return [alias(exp.cast(exp.null(), "BIGINT"), f"events__{number}") for number in slots]


def _interior_values(plan: UnitPlan, number: int, slot: Slot) -> exp.Select:
    return build(
        "SELECT CAST($number AS INTEGER) AS slot, d.unit_key, d.occurred_on AS day, d.value, d.text, "
        f"d.events FROM unit_values AS d JOIN {ENROLLED} AS u ON u.unit_key = d.unit_key "
        "WHERE d.unit_type = $unit_type AND d.measure = $measure AND d.occurred_on <= $until AND $inside",
        number=number,
        unit_type=plan.experiment.unit_type,
        measure=plan.stored(slot),
        inside=_inside(slot),
    )


def _boundary_values(plan: UnitPlan, number: int, slot: Slot, measure: Values) -> exp.Select:
    rows = _boundary_events(plan, [measure.event], _own_boundary(slot)).where(happened(slot), copy=False)
    found = values_of_events(
        rows, measure, {"unit_key": column("unit_key", "e"), "day": column("occurred_on", "e")}
    )
    query = build(
        "SELECT CAST($number AS INTEGER) AS slot, unit_key, day, value, text, events FROM found",
        number=number,
    )
    query.set("from_", exp.From(this=found.subquery("found")))
    return query


def _time_on(plan: UnitPlan) -> exp.Expr:
    """From exposure to the first event of the day `d`, in microseconds; in whole days where one is a date."""
    return expression(
        "LEAST(CASE WHEN d.is_dated THEN $day - $begins_on END, "
        "CASE WHEN u.day_precision THEN $local_day - $begins_on ELSE $at - $begins_at END)",
        day=_micros(column("occurred_on", "d")),
        local_day=_micros(local_day(plan, column("first_at", "d"))),
        at=_micros(column("first_at", "d")),
        begins_on=_micros(column("begins_on", "u")),
        begins_at=_micros(column("begins_at", "u")),
    )


def _time_of(plan: UnitPlan) -> exp.Expr:
    """The same to the event `e`."""
    return expression(
        "CASE WHEN e.day_precision THEN $day - $begins_on WHEN u.day_precision THEN $local_day - $begins_on "
        "ELSE $at - $begins_at END",
        day=_micros(column("occurred_on", "e")),
        local_day=_micros(local_day(plan, column("occurred_at", "e"))),
        at=_micros(column("occurred_at", "e")),
        begins_on=_micros(column("begins_on", "u")),
        begins_at=_micros(column("begins_at", "u")),
    )


def _micros(instant: exp.Expr) -> exp.Expr:
    """Microseconds since 1970; of a day at its midnight in UTC, so that days differ by whole ones."""
    return function(MICROSECONDS, exp.cast(instant, "TIMESTAMPTZ"))


def _by_days(plan: UnitPlan) -> frozenset[int]:
    """The slots of which active days are counted."""
    columns = (column for planned in plan.metrics for column in planned.columns)
    terms = (term for column in columns for term in column.terms)
    return frozenset(term.slot for term in terms if term.aggregate == "active_days")


def _inside(slot: Slot) -> exp.Expr:
    """Whether the whole day `d` lies in the slot."""
    if slot.before_s is not None:
        begin = column(f"before_from_{slot.before_s}", "u")
        return expression("d.occurred_on < u.counts_from AND d.occurred_on >= $begin", begin=begin)
    begin = column(f"starts_whole_{slot.after_s}" if slot.after_s else "whole_from", "u")
    if slot.window_s is None:
        return expression("d.occurred_on >= $begin", begin=begin)
    end = column(f"whole_until_{slot.window_s}", "u")
    return expression("d.occurred_on >= $begin AND d.occurred_on < $end", begin=begin, end=end)


def _boundary(plan: UnitPlan) -> exp.Select:
    slots = plan.added.values()
    query = _boundary_events(
        plan,
        sorted({slot.measure.event for slot in slots}),
        exp.or_(
            _EXPOSURE_DAYS,
            *(_start_days(after_s) for after_s in sorted({slot.after_s for slot in slots if slot.after_s})),
            *map(_end_days, sorted({slot.window_s for slot in slots if slot.window_s is not None})),
            *map(_days_before, sorted({slot.before_s for slot in slots if slot.before_s is not None})),
        ),
    )
    query = query.group_by(column("unit_key", "e"), column("occurred_on", "e"), copy=False)
    for number, slot in plan.added.items():
        counts = exp.and_(matches(slot.measure, "e"), _own_boundary(slot), happened(slot))
        events = expression("COUNT(*) FILTER (WHERE $counts)", counts=counts)
        query = query.select(alias(events, f"events__{number}"), copy=False)
        if slot.measure.value is not None:
            value = expression(
                "SUM($value) FILTER (WHERE $counts)", value=value_of(slot.measure, "e"), counts=counts
            )
            query = query.select(alias(exp.cast(value, "DECIMAL(38, 6)"), f"value__{number}"), copy=False)
        if number in _by_days(plan):
            day = expression("MAX(CASE WHEN $counts THEN 1 ELSE 0 END)", counts=counts)
            query = query.select(alias(exp.cast(day, "BIGINT"), f"days__{number}"), copy=False)
        if slot.measure.first:
            earliest = expression("MIN($time) FILTER (WHERE $counts)", time=_time_of(plan), counts=counts)
            query = query.select(alias(exp.cast(earliest, "BIGINT"), f"first__{number}"), copy=False)
    return query.select(*_nothing(plan.listed), copy=False)


def _boundary_events(plan: UnitPlan, names: Sequence[str], boundaries: exp.Expr) -> exp.Select:
    """The events `e` of units `u` on days of which a part counts."""
    query = build(
        f"SELECT e.unit_key, e.occurred_on AS day FROM events AS e JOIN {ENROLLED} AS u "
        "ON u.unit_key = e.unit_key WHERE e.unit_type = $unit_type AND e.environment = $environment "
        "AND e.event IN ($names) AND e.occurred_on <= $until AND $on_boundary",
        unit_type=plan.experiment.unit_type,
        environment=plan.experiment.environment,
        on_boundary=boundaries,
    )
    if plan.zone == UTC:
        # A date's bounds are then bounds of days, so that its unit needs no event again.
        query = query.where("NOT u.day_precision", dialect="duckdb", copy=False)
    fill_list(query, "names", names)
    return query


def _own_boundary(slot: Slot) -> exp.Expr:
    """Whether the event's day is one of which a part may lie in the slot: it is not in `_inside`."""
    if slot.before_s is not None:
        return exp.or_(_EXPOSURE_DAYS, _days_before(slot.before_s))
    begin = _start_days(slot.after_s) if slot.after_s else _EXPOSURE_DAYS
    return begin if slot.window_s is None else exp.or_(begin, _end_days(slot.window_s))


_EXPOSURE_DAYS = expression("e.occurred_on >= u.counts_from AND e.occurred_on < u.whole_from")


def _start_days(after_s: int) -> exp.Expr:
    return expression(
        "e.occurred_on >= $first AND e.occurred_on < $whole",
        first=column(f"starts_from_{after_s}", "u"),
        whole=column(f"starts_whole_{after_s}", "u"),
    )


def _end_days(window_s: int) -> exp.Expr:
    return expression(
        "e.occurred_on >= $whole_until AND e.occurred_on <= $last",
        whole_until=column(f"whole_until_{window_s}", "u"),
        last=column(f"mature_on_{window_s}", "u"),
    )


def _days_before(before_s: int) -> exp.Expr:
    return expression(
        "e.occurred_on >= $first AND e.occurred_on < $whole",
        first=column(f"before_on_{before_s}", "u"),
        whole=column(f"before_from_{before_s}", "u"),
    )


def _total(unit_column: UnitColumn) -> exp.Expr:
    """The unit's number: its terms added up, each brought to the scale of the column."""
    terms = unit_column.terms
    if len(terms) == 1 and terms[0].factor == 1:
        return _number(terms[0])
    summands = [
        expression("CAST(COALESCE($x, 0) AS INT128) * $factor", x=_number(term), factor=term.factor)
        for term in terms
    ]
    return exp.cast(functools.reduce(lambda x, y: exp.Add(this=x, expression=y), summands), "INT128")


def _number(term: UnitTerm) -> exp.Expr:
    """What a term adds; 0 where an event of the slot `unless` forbids it."""
    total = _added_up(term)
    if term.unless is None:
        return total
    return expression(
        "CASE WHEN COALESCE(SUM($earlier), 0) = 0 THEN $total ELSE 0 END",
        earlier=column(f"events__{term.unless}"),
        total=total,
    )


def _added_up(term: UnitTerm) -> exp.Expr:
    events, value = column(f"events__{term.slot}"), column(f"value__{term.slot}")
    match term.aggregate:
        case "any":
            return exp.cast(
                expression("MAX(CASE WHEN $events > 0 THEN 1 ELSE 0 END)", events=events), "BIGINT"
            )
        case "at_least":
            enough = expression(
                "CASE WHEN SUM($events) >= $least THEN 1 ELSE 0 END",
                events=events,
                least=term.at_least,
            )
            return exp.cast(enough, "BIGINT")
        case "events":
            return exp.cast(expression("SUM($events)", events=events), "BIGINT")
        case "active_days":
            days = expression("SUM($days)", days=column(f"days__{term.slot}"))
            return exp.cast(days, "BIGINT")
        case "first":
            return exp.cast(expression("MIN($first)", first=column(f"first__{term.slot}")), "BIGINT")
        case "total":
            whole = expression("SUM($value) * $micro", value=value, micro=literal(MICRO))
            return exp.cast(whole, "INT128")
