"""Whether the definitions fit the data: events and fields that exist, known metrics, one currency."""

from collections.abc import Mapping, Sequence

import duckdb

from assignments.model import Experiment
from metrics.model import VALUED, Metric, MetricsError, Part, metrics_of
from metrics.sql.conditions import PROPERTIES
from metrics.sql.partials import matches, value_of
from metrics.sql.tree import JSON_KIND, build, column, function, pointer, render
from tenbin_sdk.conditions import fields, parse
from workspace import suggest

_SHOWN_CURRENCIES = 5


def validate(
    con: duckdb.DuckDBPyConnection, metrics: Mapping[str, Metric], experiments: Sequence[Experiment]
) -> None:
    """Check the definitions against each other and against the events that are there.

    Metrics that no experiment uses are not looked at: their events may come later. Without any event yet,
    there is nothing to compare with, and only names of metrics are checked.

    Raises:
        MetricsError: an experiment names an unknown metric; a metric names an event, or a property of it,
            that no row has, or sums up a field without any number; a sum of money without `currency` meets
            several currencies.
    """
    used: dict[str, tuple[Metric, Experiment]] = {}
    for experiment in experiments:
        for name, metric in metrics_of(experiment, metrics).items():
            used.setdefault(name, (metric, experiment))
    known = [
        row[0] for row in con.execute("SELECT DISTINCT event FROM events WHERE event IS NOT NULL").fetchall()
    ]
    if not known:
        return
    for metric, experiment in used.values():
        for part in metric.parts:
            where = f'metric "{metric.name}" (of experiment "{experiment.key}")'
            if part.event not in known:
                raise MetricsError(
                    f'{where}: key "event" is "{part.event}", and no event of that name was ever ingested; '
                    f"{suggest(part.event, known)}"
                )
            _check_fields(con, part, where)
            _check_numbers(con, part, where)
    refuse_mixed_currencies(con, [metric for metric, _ in used.values()])


def refuse_mixed_currencies(con: duckdb.DuckDBPyConnection, metrics: Sequence[Metric]) -> None:
    """Stop before money of different currencies is added up.

    Raises:
        MetricsError: rows of a metric without `currency` state more than one.
    """
    for metric in metrics:
        for part in metric.parts:
            measure = part.partial
            is_money = part.kind == "revenue" or (part.kind in VALUED and measure.value == "value")
            if not is_money or part.currency is not None:
                continue
            query = build(
                "SELECT e.environment, e.currency, COUNT(*) AS n FROM events AS e "
                "WHERE NOT e.currency IS NULL AND $matches GROUP BY e.environment, e.currency "
                "ORDER BY e.environment, n DESC, e.currency",
                matches=matches(measure, "e"),
            )
            found: dict[str, list[str]] = {}
            for environment, currency, _ in con.execute(render(query)).fetchall():
                found.setdefault(environment, []).append(currency)
            for environment, currencies in found.items():
                if len(currencies) > 1:
                    shown = ", ".join(currencies[:_SHOWN_CURRENCIES])
                    raise MetricsError(
                        f'metric "{metric.name}": events "{part.event}" of environment "{environment}" are '
                        f"in {len(currencies)} currencies ({shown}), which can't be added; say which counts, "
                        f'as in currency = "{currencies[0]}"'
                    )


def _check_fields(con: duckdb.DuckDBPyConnection, part: Part, where: str) -> None:
    for field in sorted(_properties(part)):
        path = field.split(".")[1:]
        seen = build(
            "SELECT 1 FROM events AS e WHERE e.event = $event AND NOT $kind IS NULL LIMIT 1",
            event=part.event,
            kind=function(JSON_KIND, column(PROPERTIES, "e"), pointer(path)),
        )
        if con.execute(render(seen)).fetchall():
            continue
        keys = con.execute(
            "SELECT DISTINCT UNNEST(JSON_KEYS(properties)) FROM "
            "(SELECT properties FROM events WHERE event = $1 AND properties IS NOT NULL LIMIT 10000)",
            [part.event],
        ).fetchall()
        known = [f"{PROPERTIES}.{key}" for (key,) in keys]
        raise MetricsError(
            f'{where}: field "{field}" was never seen in an event "{part.event}"; {suggest(field, known)}'
        )


def _check_numbers(con: duckdb.DuckDBPyConnection, part: Part, where: str) -> None:
    """Single values that are none are left out and counted; where all are, the field is the wrong one."""
    if part.kind not in VALUED:
        return
    measure = part.partial
    seen = build(
        "SELECT 1 FROM events AS e WHERE e.event = $event AND NOT $value IS NULL LIMIT 1",
        event=part.event,
        value=value_of(measure, "e"),
    )
    if not con.execute(render(seen)).fetchall():
        raise MetricsError(
            f'{where}: no event "{part.event}" has a number in "{measure.value}", which is to be summed; '
            'name a field with numbers as "value", or count the events with kind = "count"'
        )


def _properties(part: Part) -> set[str]:
    named = set(fields(parse(part.where))) if part.where is not None else set()
    if part.kind in VALUED and part.value is not None:
        named.add(part.value)
    return {field for field in named if field.startswith(f"{PROPERTIES}.")}
