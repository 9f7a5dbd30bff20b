"""Whether the definitions fit the data: events and fields that exist, known metrics, one currency per sum."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import duckdb
import msgspec

from assignments.model import Experiment
from metrics.engines.runner import Runner, Statement
from metrics.model import NUMERIC, Metric, MetricsError, Part, metrics_of
from metrics.sql import health
from metrics.sql.conditions import PROPERTIES
from metrics.sql.partials import value_of
from metrics.sql.plan import UnitPlan
from metrics.sql.tree import JSON_KIND, build, column, function, pointer, render
from tenbin_sdk.conditions import fields, parse
from workspace import suggest

_SHOWN_CURRENCIES = 5


class Fault(msgspec.Struct, frozen=True):
    """What a part asks for that no event has, and what to do about it."""

    message: str
    remedy: str


def validate(
    con: duckdb.DuckDBPyConnection, metrics: Mapping[str, Metric], experiments: Sequence[Experiment]
) -> None:
    """Check the definitions against each other and against the events that are there.

    Metrics that no experiment uses are not looked at: their events may come later. Without any event yet,
    there is nothing to compare with, and only names of metrics are checked.

    Raises:
        MetricsError: an experiment names an unknown metric, or looks at one whose units are never mature; a
            metric names an event, or a property of it, that no row has, or sums up a field without any
            number.
    """
    used: dict[str, tuple[Metric, Experiment]] = {}
    for experiment in experiments:
        for name, metric in metrics_of(experiment, metrics).items():
            used.setdefault(name, (metric, experiment))
        refuse_open_windows(metrics, experiment)
    known = known_events(con)
    if not known:
        return
    for metric, experiment in used.values():
        for part in metric.measured:
            for fault in faults(con, part, known):
                raise MetricsError(
                    f'metric "{metric.name}" (of experiment "{experiment.key}"): {fault.message}; '
                    f"{fault.remedy}"
                )


def known_events(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The names of all events that were ingested."""
    rows = con.execute("SELECT DISTINCT event FROM events WHERE event IS NOT NULL ORDER BY event").fetchall()
    return [name for (name,) in rows]


def faults(con: duckdb.DuckDBPyConnection, part: Part, known: list[str]) -> Iterator[Fault]:
    """What a part names that is not there: its event; else its fields, and a number to sum up.

    Args:
        con: a connection with the events.
        part: of a metric.
        known: `known_events`.
    """
    if part.event not in known:
        yield Fault(
            f'key "event" is "{part.event}", and no event of that name was ever ingested',
            suggest(part.event, known),
        )
        return
    yield from _unknown_fields(con, part)
    yield from _no_numbers(con, part)


def refuse_mixed_currencies(runner: Runner, plan: UnitPlan, until: dt.date) -> None:
    """Stop before an experiment's money of different currencies is added up.

    Only rows of its own units and windows concern it; the table of its enrolled units must be there.

    Raises:
        MetricsError: rows of a metric without `currency` state more than one.
    """
    for planned in plan.metrics:
        for part in planned.metric.measured:
            measure = part.partial
            if not is_money(part) or part.currency is not None:
                continue
            query = health.currencies(plan, [slot for slot in plan.slots if slot.measure == measure])
            found = [currency for currency, _ in runner.rows(Statement(query), {"until": until})]
            if len(found) > 1:
                shown = ", ".join(found[:_SHOWN_CURRENCIES])
                raise MetricsError(
                    f'metric "{planned.metric.name}" (of experiment "{plan.experiment.key}"): events '
                    f'"{part.event}" are in {len(found)} currencies ({shown}), '
                    f'which can\'t be added; say which counts, as in currency = "{found[0]}", and the others '
                    "are left out and counted"
                )


def is_money(part: Part) -> bool:
    """Whether a part adds up amounts that may be in a currency."""
    return part.kind == "revenue" or (part.kind in NUMERIC and part.partial.value == "value")


def refuse_open_windows(metrics: Mapping[str, Metric], experiment: Experiment) -> None:
    """Units of an open window are never mature, so the information of a look could not be told.

    Raises:
        MetricsError: a primary metric that is looked at has one.
    """
    for name in experiment.metrics.primary:
        if experiment.horizon == "group_sequential" and metrics[name].window_s is None:
            raise MetricsError(
                f'metric "{name}" (of experiment "{experiment.key}"): key "window" is missing; a primary '
                'metric of horizon "group_sequential" needs one, as in window = "7d", or use horizon "fixed" '
                'or "anytime"'
            )


def _unknown_fields(con: duckdb.DuckDBPyConnection, part: Part) -> Iterator[Fault]:
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
        yield Fault(f'field "{field}" was never seen in an event "{part.event}"', suggest(field, known))


def _no_numbers(con: duckdb.DuckDBPyConnection, part: Part) -> Iterator[Fault]:
    """Single values that are none are left out and counted; where all are, the field is the wrong one."""
    if part.kind not in NUMERIC:
        return
    measure = part.partial
    seen = build(
        "SELECT 1 FROM events AS e WHERE e.event = $event AND NOT $value IS NULL LIMIT 1",
        event=part.event,
        value=value_of(measure, "e"),
    )
    if not con.execute(render(seen)).fetchall():
        yield Fault(
            f'no event "{part.event}" has a number in "{measure.value}", which is needed',
            'name a field with numbers as "value", or count the events with kind = "count"',
        )


def _properties(part: Part) -> set[str]:
    named = set(fields(parse(part.where))) if part.where is not None else set()
    if part.value is not None:
        named.add(part.value)
    return {field for field in named if field.startswith(f"{PROPERTIES}.")}
