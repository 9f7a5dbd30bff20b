"""events → `unit_days`: per unit, day and measure, how many events matched and what their values sum to.

One pass over a day's events serves every measure of every metric. A measure is stored as `ID@environment`.
"""

from collections.abc import Sequence

from sqlglot import exp

from metrics.model import Measure
from metrics.sql.conditions import condition_sql, number_sql
from metrics.sql.tree import alias, build, column, expression, fill_list, literal, union_all

ENVIRONMENT_MARK = "@"


def stored_name(measure: Measure, environment: str) -> str:
    """How `unit_days` calls a measure in an environment."""
    return f"{measure.id}{ENVIRONMENT_MARK}{environment}"


def matches(measure: Measure, table: str | None = None) -> exp.Expr:
    """Whether an event is one of the measure's: its name, its filter, its currency."""
    tests: list[exp.Expr] = [column("event", table).eq(literal(measure.event))]
    if (condition := condition_sql(measure.where, table)) is not None:
        tests.append(condition)
    if measure.currency is not None:
        # A row that states no currency is taken to be in the metric's.
        tests.append(
            expression(
                "COALESCE($currency = $wanted, TRUE)",
                currency=column("currency", table),
                wanted=measure.currency,
            )
        )
    return exp.and_(*tests)


def value_of(measure: Measure, table: str | None = None) -> exp.Expr:
    """An event's value: DECIMAL, NULL where it has none."""
    return number_sql(measure.value or "value", table)


def chosen_days() -> exp.Expr:
    """Whether an event is of one of `$days`, which lie between `$first` and `$last` (bound).

    The bounds say the same to the reader of files, which skips those that lie outside.
    """
    return expression("occurred_on BETWEEN $first AND $last AND ARRAY_CONTAINS($days, occurred_on)")


def unit_days(measures: Sequence[Measure], also: Sequence[exp.Select] = ()) -> exp.Query:
    """The partials of `$days` (see `chosen_days`), of all measures.

    The wide pass over the events comes first; the long rows that are stored are its non-empty columns, and
    below them those of `also`.
    """
    wide = build(
        "SELECT environment, unit_type, unit_key, occurred_on FROM events "
        "WHERE $chosen AND event IN ($names) "
        "GROUP BY environment, unit_type, unit_key, occurred_on",
        chosen=chosen_days(),
    )
    names = sorted({measure.event for measure in measures})
    fill_list(wide, "names", names)
    long: list[exp.Select] = []
    for number, measure in enumerate(measures):
        events, value = f"events_{number}", f"value_{number}"
        wide = wide.select(
            alias(expression("COUNT(*) FILTER (WHERE $m)", m=matches(measure)), events), copy=False
        )
        total: exp.Expr = literal(None)
        if measure.value is not None:
            wide = wide.select(
                alias(
                    expression("SUM($value) FILTER (WHERE $m)", value=value_of(measure), m=matches(measure)),
                    value,
                ),
                copy=False,
            )
            total = expression("COALESCE($value, 0)", value=column(value))
        stored = expression("$id || environment", id=f"{measure.id}{ENVIRONMENT_MARK}")
        long.append(
            build(
                "SELECT $stored AS measure, unit_type, unit_key, occurred_on, CAST($events AS BIGINT) AS "
                "events, "
                "CAST($total AS DECIMAL(38, 6)) AS value_sum FROM wide WHERE $events > 0",
                stored=stored,
                events=column(events),
                total=total,
            )
        )
    query = union_all([*long, *also])
    return query.with_("wide", as_=wide, copy=False, materialized=True)
