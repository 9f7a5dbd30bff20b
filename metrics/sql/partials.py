"""events → partials per unit and day, which every experiment shares. A measure is stored as `ID@environment`.

- `unit_days`: how many events matched and what their values sum to. One pass over a day's events serves every
  such measure of every metric;
- `unit_values`: each value, with the number of its events, where a sum would not do.
"""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from metrics.model import Measure, Values
from metrics.sql.conditions import condition_sql, number_sql, text_sql
from metrics.sql.tree import alias, build, column, expression, fill_list, literal, union_all

ENVIRONMENT_MARK = "@"
MICRO = 1_000_000  # values are DECIMAL(., 6): in millionths they are whole numbers


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
    has_first = any(measure.first for measure in measures)
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
        if measure.first:
            wide = wide.select(*_first_of_day(measure, number), copy=False)
        stored = expression("$id || environment", id=f"{measure.id}{ENVIRONMENT_MARK}")
        row = build(
            "SELECT $stored AS measure, unit_type, unit_key, occurred_on, CAST($events AS BIGINT) AS "
            "events, "
            "CAST($total AS DECIMAL(38, 6)) AS value_sum FROM wide WHERE $events > 0",
            stored=stored,
            events=column(events),
            total=total,
        )
        if has_first:
            firsts = _first_columns(number) if measure.first else no_first()
            row = row.select(*firsts, copy=False)
        long.append(row)
    query = union_all([*long, *also])
    return query.with_("wide", as_=wide, copy=False, materialized=True)


# The columns of `unit_days` that only some measures need: the first instant of the day at which an event
# happened, and whether one of the day has only a date.
FIRST_COLUMNS = {"first_at": "TIMESTAMPTZ", "is_dated": "BOOLEAN"}


def no_first() -> list[exp.Expr]:
    """Those columns in a row that does not have them."""
    return [alias(exp.cast(exp.null(), kind), name) for name, kind in FIRST_COLUMNS.items()]


def _first_of_day(measure: Measure, number: int) -> list[exp.Expr]:
    at = expression(
        "MIN(CASE WHEN day_precision THEN NULL ELSE occurred_at END) FILTER (WHERE $m)", m=matches(measure)
    )
    dated = expression("MAX(CASE WHEN day_precision THEN 1 ELSE 0 END) FILTER (WHERE $m)", m=matches(measure))
    return [alias(at, f"first_{number}"), alias(dated, f"dated_{number}")]


def _first_columns(number: int) -> list[exp.Expr]:
    is_dated = expression("$dated = 1", dated=column(f"dated_{number}"))
    return [alias(column(f"first_{number}"), "first_at"), alias(is_dated, "is_dated")]


def unit_values(measures: Sequence[Values], also: Sequence[exp.Select] = ()) -> exp.Query:
    """Every value of `$days` (see `chosen_days`); below them the rows of `also`."""
    keys = ("environment", "unit_type", "unit_key", "occurred_on")
    return union_all([*(_stored_values(measure, keys) for measure in measures), *also])


def _stored_values(measure: Values, keys: Sequence[str]) -> exp.Select:
    rows = build("SELECT * FROM events AS e WHERE $chosen", chosen=chosen_days())
    found = values_of_events(rows, measure, {key: column(key, "e") for key in keys})
    stored = expression("$id || environment", id=f"{measure.id}{ENVIRONMENT_MARK}")
    query = build("SELECT $stored AS measure FROM found", stored=stored)
    query = query.select(*(column(key) for key in (*keys[1:], "value", "text", "events")), copy=False)
    query.set("from_", exp.From(this=found.subquery("found")))
    return query


def values_of_events(rows: exp.Select, measure: Values, keys: Mapping[str, exp.Expr]) -> exp.Select:
    """The measure's values among events, each with the number of events that have it.

    Args:
        rows: a query that reads events as `e`; what it selects is replaced.
        measure: which values.
        keys: by name, what the events are grouped by.
    """
    number: exp.Expr = exp.cast(exp.null(), "DECIMAL(38, 0)")
    text: exp.Expr = exp.cast(exp.null(), "VARCHAR")
    if measure.keep == "numbers":
        whole = expression("$value * $micro", value=value_of(measure, "e"), micro=literal(MICRO))
        number = exp.cast(whole, "DECIMAL(38, 0)")
    else:
        text = text_sql(measure.value or "value", "e")
    each = rows.select(
        *(alias(key, name) for name, key in keys.items()),
        alias(number, "number"),
        alias(text, "text"),
        append=False,
        copy=False,
    ).where(matches(measure, "e"), copy=False)
    query = build(
        "SELECT $value AS value, text, COUNT(*) AS events FROM e WHERE NOT (number IS NULL AND text IS NULL) "
        "GROUP BY number",
        value=_bucket(column("number"), measure.digits),
    )
    names = [column(name) for name in keys]
    query = query.select(*names, copy=False)
    query.set("from_", exp.From(this=each.subquery("e")))
    query.set("group", exp.Group(expressions=[*names, exp.column("value"), exp.column("text")]))
    return query


def _bucket(number: exp.Expr, digits: int | None) -> exp.Expr:
    """A whole number rounded to its first digits, half away from zero; every step is one of whole numbers."""
    if digits is None:
        return number
    # 1 and a zero for each digit that goes.
    width = expression(
        "CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS($n) AS VARCHAR)) - $digits, 0) + 1 AS INTEGER), '0') "
        "AS DECIMAL(38, 0))",
        n=number,
        digits=digits,
    )
    return expression(
        "CAST($n - $n % $width + CASE WHEN ($n % $width) * 2 >= $width THEN $width "
        "WHEN ($n % $width) * 2 <= 0 - $width THEN 0 - $width ELSE 0 END AS DECIMAL(38, 0))",
        n=number,
        width=width,
    )
