"""From partials and boundary events to unit metrics, in three statements.

- `enrolled`: the experiment's units, the instants and days between which their outcomes count, segments;
- `contributions`: per unit and day, what happened in each slot. Days strictly inside a window come from
  `unit_days`; events are read again only on a unit's first and last day, of which a part counts;
- `unit_metrics_now`: the days up to an as-of day added up, a row per unit that is analysed.

Windows are `[exposed_at, exposed_at + window)`. Where the exposure or the event has only a date, days are
compared: `[exposure day, exposure day + window)` with the window in begun days.
"""

from sqlglot import exp

from metrics.sql.partials import matches, value_of
from metrics.sql.plan import MICRO, Slot, UnitColumn, UnitPlan, days_of
from metrics.sql.tree import (
    JSON_OBJECT,
    JSON_TEXT,
    alias,
    build,
    column,
    expression,
    fill_list,
    function,
    literal,
    pointer,
)

MISSING = "(missing)"
ENROLLED = "enrolled"
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
        "CAST(f.exposed_at AS DATE) + CASE WHEN f.day_precision THEN 0 ELSE 1 END AS counts_from "
        "FROM first_exposures AS f WHERE f.experiment = $experiment AND f.iteration = $iteration",
        experiment=experiment.key,
        iteration=experiment.iteration,
    )
    for window_s in plan.windows:
        query = query.select(*_window_columns(window_s), copy=False)
    for before_s in plan.pre_periods:
        query = query.select(*_before_columns(before_s), copy=False)
    for number, dimension in enumerate(plan.segments):
        if dimension in experiment.segments.from_exposure:
            value = function(JSON_TEXT, column("attributes", "f"), pointer([dimension]))
        else:
            joined = f"attribute_{number}"
            query = query.with_(joined, as_=_attribute(plan, dimension), copy=False)
            on = expression("$a = f.unit_key", a=column("unit_key", joined))
            query = query.join(exp.to_table(joined), on=on, join_type="left", copy=False)
            value = column("value", joined)
        known = expression("COALESCE(NULLIF($value, ''), $missing)", value=value, missing=MISSING)
        query = query.select(alias(known, segment_column(number)), copy=False)
    return query


def contributions(plan: UnitPlan) -> exp.Query:
    """What happened per unit, day and slot, up to the day `$until` (bound).

    Interior and boundary days of a slot never overlap, so their rows stand one below the other.
    """
    return exp.union(_interior(plan), _boundary(plan), distinct=False)


def unit_metrics(plan: UnitPlan) -> exp.Select:
    """A row per unit that is analysed as of `$as_of` (bound); sums of values are in millionths."""
    totals = build(f"SELECT unit_key FROM {CONTRIBUTIONS} WHERE day <= $as_of GROUP BY unit_key")
    query = build(
        f"SELECT u.unit_key, u.unit_id, u.variant, u.phase, u.exposed_at FROM {ENROLLED} AS u "
        "LEFT JOIN totals AS t ON t.unit_key = u.unit_key WHERE u.exposed_on <= $as_of "
        "AND (u.second_on IS NULL OR u.second_on > $as_of) AND u.variant IN ($variants)"
    )
    fill_list(query, "variants", plan.experiment.variants)
    for number in range(len(plan.segments)):
        query = query.select(column(segment_column(number), "u"), copy=False)
    for planned in plan.metrics:
        for unit_column in planned.columns:
            totals = totals.select(alias(_total(unit_column), unit_column.name), copy=False)
            happened = expression("COALESCE($x, 0)", x=column(unit_column.name, "t"))
            query = query.select(alias(happened, unit_column.name), copy=False)
        window_s = planned.metric.window_s
        mature = (
            exp.true()
            if window_s is None
            else expression("$on <= $as_of", on=column(f"mature_on_{window_s}", "u"))
        )
        query = query.select(alias(mature, planned.mature), copy=False)
    return query.with_("totals", as_=totals, copy=False)


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
            "CASE WHEN u.day_precision OR e.day_precision "
            "THEN e.occurred_on < u.exposed_on AND e.occurred_on >= u.exposed_on - $days "
            "ELSE e.occurred_at < u.exposed_at AND e.occurred_at >= $begin END",
            days=days_of(slot.before_s),
            begin=column(f"before_at_{slot.before_s}", "u"),
        )
    if slot.window_s is None:
        return expression(
            "CASE WHEN u.day_precision OR e.day_precision THEN e.occurred_on >= u.exposed_on "
            "ELSE e.occurred_at >= u.exposed_at END"
        )
    return expression(
        "CASE WHEN u.day_precision OR e.day_precision "
        "THEN e.occurred_on >= u.exposed_on AND e.occurred_on < u.exposed_on + $days "
        "ELSE e.occurred_at >= u.exposed_at AND e.occurred_at < $end END",
        days=days_of(slot.window_s),
        end=column(f"ends_at_{slot.window_s}", "u"),
    )


def _segments_json(plan: UnitPlan) -> exp.Expr:
    if not plan.segments:
        return literal("{}")
    pairs: list[exp.Expr] = []
    for number, dimension in enumerate(plan.segments):
        pairs += [literal(dimension), column(segment_column(number))]
    return exp.cast(function(JSON_OBJECT, *pairs), "VARCHAR")


def _window_columns(window_s: int) -> list[exp.Expr]:
    """When a window ends, its last day (the first one after it at day precision), when the unit is mature."""
    exact = expression("f.exposed_at + $length", length=_seconds(window_s))
    ends_on = expression(
        "CASE WHEN f.day_precision THEN CAST(f.exposed_at AS DATE) + $days ELSE CAST($exact AS DATE) END",
        days=days_of(window_s),
        exact=exact,
    )
    # Over by the end of day D: the last microsecond of the window lies on D or before.
    mature_on = expression(
        "CASE WHEN f.day_precision THEN CAST(f.exposed_at AS DATE) + $days ELSE CAST($last AS DATE) END",
        days=days_of(window_s) - 1,
        last=expression("$end - INTERVAL '1' MICROSECOND", end=exact),
    )
    return [
        alias(exact, f"ends_at_{window_s}"),
        alias(ends_on, f"ends_on_{window_s}"),
        alias(mature_on, f"mature_on_{window_s}"),
    ]


def _before_columns(before_s: int) -> list[exp.Expr]:
    """When a period before exposure begins, its first day, and the first day that counts whole."""
    exact = expression("f.exposed_at - $length", length=_seconds(before_s))
    whole = expression(
        "CASE WHEN f.day_precision THEN CAST(f.exposed_at AS DATE) - $days ELSE CAST($exact AS DATE) + 1 END",
        days=days_of(before_s),
        exact=exact,
    )
    return [
        alias(exact, f"before_at_{before_s}"),
        alias(exp.cast(exact, "DATE"), f"before_on_{before_s}"),
        alias(whole, f"before_from_{before_s}"),
    ]


def _seconds(length: int) -> exp.Expr:
    return exp.Interval(this=exp.Literal.string(str(length)), unit=exp.var("SECOND"))


def _attribute(plan: UnitPlan, dimension: str) -> exp.Select:
    """The attribute's value of each unit at its first exposure: one row per unit, whatever was recorded."""
    ranked = build(
        "SELECT f.unit_key, a.value, ROW_NUMBER() OVER (PARTITION BY f.unit_key ORDER BY "
        "a.valid_from DESC NULLS LAST, a.batch DESC NULLS LAST, a.value DESC NULLS LAST) AS place "
        "FROM first_exposures AS f JOIN unit_attributes AS a ON a.unit_id = f.unit_id "
        "WHERE f.experiment = $experiment AND f.iteration = $iteration AND a.unit_type = $unit_type "
        "AND a.attribute = $dimension AND (a.valid_from IS NULL OR a.valid_from <= f.exposed_at)",
        experiment=plan.experiment.key,
        iteration=plan.experiment.iteration,
        unit_type=plan.experiment.unit_type,
        dimension=dimension,
    )
    return build("SELECT unit_key, value FROM ranked WHERE place = 1").with_("ranked", as_=ranked)


def _interior(plan: UnitPlan) -> exp.Select:
    query = build(
        f"SELECT d.unit_key, d.occurred_on AS day FROM unit_days AS d JOIN {ENROLLED} AS u "
        "ON u.unit_key = d.unit_key WHERE d.unit_type = $unit_type AND d.measure IN ($measures) "
        "AND d.occurred_on <= $until GROUP BY d.unit_key, d.occurred_on",
        unit_type=plan.experiment.unit_type,
    )
    fill_list(query, "measures", sorted({plan.stored(slot) for slot in plan.slots}))
    for number, slot in enumerate(plan.slots):
        counts = expression(
            "d.measure = $measure AND $inside", measure=plan.stored(slot), inside=_inside(slot)
        )
        events = expression("SUM(d.events) FILTER (WHERE $counts)", counts=counts)
        query = query.select(alias(exp.cast(events, "BIGINT"), f"events__{number}"), copy=False)
        if slot.measure.value is not None:
            value = expression("SUM(d.value_sum) FILTER (WHERE $counts)", counts=counts)
            query = query.select(alias(exp.cast(value, "DECIMAL(38, 6)"), f"value__{number}"), copy=False)
    return query


def _inside(slot: Slot) -> exp.Expr:
    """Whether the whole day `d` lies in the slot."""
    if slot.before_s is not None:
        begin = column(f"before_from_{slot.before_s}", "u")
        return expression("d.occurred_on < u.exposed_on AND d.occurred_on >= $begin", begin=begin)
    if slot.window_s is None:
        return expression("d.occurred_on >= u.counts_from")
    end = column(f"ends_on_{slot.window_s}", "u")
    return expression("d.occurred_on >= u.counts_from AND d.occurred_on < $end", end=end)


def _boundary(plan: UnitPlan) -> exp.Select:
    days = [column("exposed_on", "u")]
    days += [column(f"ends_on_{window_s}", "u") for window_s in plan.windows]
    days += [column(f"before_on_{before_s}", "u") for before_s in plan.pre_periods]
    query = build(
        f"SELECT e.unit_key, e.occurred_on AS day FROM events AS e JOIN {ENROLLED} AS u "
        "ON u.unit_key = e.unit_key WHERE e.unit_type = $unit_type AND e.environment = $environment "
        "AND e.event IN ($names) AND e.occurred_on <= $until AND NOT u.day_precision AND $on_boundary "
        "GROUP BY e.unit_key, e.occurred_on",
        unit_type=plan.experiment.unit_type,
        environment=plan.experiment.environment,
        on_boundary=column("occurred_on", "e").isin(*days),
    )
    fill_list(query, "names", sorted({measure.event for measure in plan.measures}))
    for number, slot in enumerate(plan.slots):
        counts = exp.and_(matches(slot.measure, "e"), _own_boundary(slot), happened(slot))
        events = expression("COUNT(*) FILTER (WHERE $counts)", counts=counts)
        query = query.select(alias(events, f"events__{number}"), copy=False)
        if slot.measure.value is not None:
            value = expression(
                "SUM($value) FILTER (WHERE $counts)", value=value_of(slot.measure, "e"), counts=counts
            )
            query = query.select(alias(exp.cast(value, "DECIMAL(38, 6)"), f"value__{number}"), copy=False)
    return query


def _own_boundary(slot: Slot) -> exp.Expr:
    """Whether the event's day is one that the slot does not take from `unit_days`."""
    days = [column("exposed_on", "u")]
    if slot.before_s is not None:
        days.append(column(f"before_on_{slot.before_s}", "u"))
    elif slot.window_s is not None:
        days.append(column(f"ends_on_{slot.window_s}", "u"))
    return column("occurred_on", "e").isin(*days)


def _total(unit_column: UnitColumn) -> exp.Expr:
    events, value = column(f"events__{unit_column.slot}"), column(f"value__{unit_column.slot}")
    match unit_column.aggregate:
        case "any":
            return exp.cast(
                expression("MAX(CASE WHEN $events > 0 THEN 1 ELSE 0 END)", events=events), "BIGINT"
            )
        case "events":
            return exp.cast(expression("SUM($events)", events=events), "BIGINT")
        case "active_days":
            return expression("COUNT(*) FILTER (WHERE $events > 0)", events=events)
        case "total":
            whole = expression("SUM($value) * $micro", value=value, micro=literal(MICRO))
            return exp.cast(whole, "INT128")
