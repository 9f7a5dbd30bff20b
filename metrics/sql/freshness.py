"""What is current and what must be made again: stored things carry a stamp of what they were made from.

A day of `unit_days` or `unit_values` has a row without a unit: `measure` is the mark of all measures that
were computed, `events` the number of event rows of the day, `value_sum` or `value` the latest batch among
them. An as-of day of `moments` has the hash of the definitions and of what was there up to it. Late rows,
removed rows and changed definitions change a stamp; a new row has a higher batch than any before it.
"""

import datetime as dt
import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from sqlglot import exp

from lake.tables import Column
from metrics.model import METHOD_VERSION, Measure, Values
from metrics.sql.partials import chosen_days, no_first, unit_days, unit_values
from metrics.sql.plan import UnitPlan
from metrics.sql.tree import CHECKSUM, build, column, expression, fill_list, function, literal, union_all

_PREFIX = "stamp@"
_BATCH = {"unit_days": "value_sum", "unit_values": "value"}  # by table of partials, where a stamp has it


def mark_of(measures: Sequence[Measure]) -> str:
    """The name of the stamp of these measures."""
    names = [str(METHOD_VERSION), *sorted(measure.id for measure in measures)]
    return _PREFIX + hashlib.sha256(",".join(names).encode()).hexdigest()[:16]


def stamped_unit_days(measures: Sequence[Measure]) -> exp.Query:
    """The partials of `$days` (see `chosen_days`), and the stamp of each day."""
    stamps = build(
        "SELECT $mark AS measure, CAST(NULL AS VARCHAR) AS unit_type, CAST(NULL AS BIGINT) AS unit_key, "
        "occurred_on, COUNT(*) AS events, CAST(COALESCE(MAX(batch), 0) AS DECIMAL(38, 6)) AS value_sum "
        "FROM events "
        "WHERE $chosen GROUP BY occurred_on",
        chosen=chosen_days(),
        mark=mark_of(measures),
    )
    if any(measure.first for measure in measures):
        stamps = stamps.select(*no_first(), copy=False)
    return unit_days(measures, also=[stamps]) if measures else stamps


def stamped_unit_values(measures: Sequence[Values]) -> exp.Query:
    """The values of `$days` (see `chosen_days`), and the stamp of each day."""
    stamps = build(
        "SELECT $mark AS measure, CAST(NULL AS VARCHAR) AS unit_type, CAST(NULL AS BIGINT) AS unit_key, "
        "occurred_on, CAST(COALESCE(MAX(batch), 0) AS DECIMAL(38, 0)) AS value, "
        "CAST(NULL AS VARCHAR) AS text, COUNT(*) AS events FROM events "
        "WHERE $chosen GROUP BY occurred_on",
        chosen=chosen_days(),
        mark=mark_of(measures),
    )
    return unit_values(measures, also=[stamps])


def stale_days(measures: Sequence[Measure], table: str = "unit_days") -> exp.Select:
    """The days up to `$until` (bound) whose stamp in a table of partials is not that of their events.

    In order, with the number of their events.
    """
    seen = build(
        "SELECT occurred_on, COUNT(*) AS events, COALESCE(MAX(batch), 0) AS batch FROM events "
        "WHERE occurred_on <= $until GROUP BY occurred_on"
    )
    stored = build(
        "SELECT occurred_on, MAX(CASE WHEN measure = $mark THEN events END) AS events, "
        f"MAX(CASE WHEN measure = $mark THEN {_BATCH[table]} END) AS batch FROM {table} "
        "WHERE occurred_on <= $until GROUP BY occurred_on",
        mark=mark_of(measures),
    )
    query = build(
        "SELECT COALESCE(seen.occurred_on, stored.occurred_on) AS day, COALESCE(seen.events, 0) AS events "
        "FROM seen "
        "FULL JOIN stored ON stored.occurred_on = seen.occurred_on "
        "WHERE COALESCE(seen.events <> stored.events OR seen.batch <> stored.batch, TRUE) ORDER BY day"
    )
    return query.with_("seen", as_=seen).with_("stored", as_=stored)


def inputs_by_day(plan: UnitPlan) -> exp.Query:
    """What the experiment's moments are made from: origin, day (NULL: any day), number of rows, state, mark.

    State and mark change with the rows. They are told of the tables that are really read, and not of those
    that these were made from, which may be ahead of them.
    """
    experiment = plan.experiment
    partials = [
        build(
            "SELECT $table AS origin, occurred_on AS day, SUM(events) AS n, "
            f"CAST(MAX({_BATCH[table]}) AS DECIMAL(38, 0)) AS state, MIN(measure) AS mark "
            f"FROM {table} WHERE STARTS_WITH(measure, $prefix) GROUP BY occurred_on",
            table=table,
            prefix=_PREFIX,
        )
        for table in ("unit_days", *(("unit_values",) if plan.listed else ()))
    ]
    whole = (
        "unit_key",
        "unit_id",
        "variant",
        "phase",
        "exposed_at",
        "day_precision",
        "attributes",
        "excluded_by",
    )
    origins = {
        "first_exposures": ("exposed_at", whole),
        "second_variants": ("second_variant_at", ("unit_key",)),
    }
    units = [
        build(
            "SELECT $origin AS origin, CAST($at AS DATE) AS day, COUNT(*) AS n, "
            "SUM(CAST($checksum AS DECIMAL(38, 0))) AS state, CAST(NULL AS VARCHAR) AS mark "
            "FROM first_exposures AS f WHERE f.experiment = $experiment AND f.iteration = $iteration "
            "AND NOT $at IS NULL GROUP BY day",
            origin=origin,
            at=column(at, "f"),
            checksum=function(CHECKSUM, *(column(name, "f") for name in names)),
            experiment=experiment.key,
            iteration=experiment.iteration,
        )
        for origin, (at, names) in origins.items()
    ]
    attributes = build(
        "SELECT 'unit_attributes' AS origin, CAST(NULL AS DATE) AS day, COUNT(*) AS n, "
        "CAST(MAX(batch) AS DECIMAL(38, 0)) AS state, CAST(NULL AS VARCHAR) AS mark "
        "FROM unit_attributes WHERE unit_type = $unit_type AND attribute IN ($attributes)",
        unit_type=experiment.unit_type,
    )
    fill_list(attributes, "attributes", experiment.segments.from_units)
    return union_all([*partials, *units, *([attributes] if experiment.segments.from_units else [])])


def content(table: str, columns: Sequence[Column], experiment: str | None = None) -> exp.Select:
    """How many rows a table has (of one experiment), and a number that changes with what is in them."""
    typed = (expression(f"CAST($name AS {each.type})", name=column(each.name)) for each in columns)
    query = build(
        "SELECT COUNT(*) AS n, SUM(CAST($checksum AS DECIMAL(38, 0))) AS state",
        checksum=function(CHECKSUM, *typed),
    ).from_(exp.to_table(table))
    return query if experiment is None else query.where(column("experiment").eq(literal(experiment)))


def stamps(
    plan: UnitPlan, zone: str, inputs: Iterable[tuple[Any, ...]], days: Iterable[dt.date]
) -> dict[dt.date, str]:
    """The stamp of each as-of day: a hash of the definitions and of all inputs up to it.

    Args:
        plan: the experiment's plan.
        zone: name of the workspace's time zone, in which an experiment starts and ends.
        inputs: rows of `inputs_by_day`.
        days: as-of days.
    """
    made_of = (
        zone,
        plan.experiment.units_fingerprint,
        *(planned.metric.fingerprint for planned in plan.metrics),
        # The error of a quantile is read off an interval at the experiment's level.
        *([plan.experiment.alpha] if plan.quantiles else []),
    )
    digest = hashlib.sha256(repr(made_of).encode())
    waiting = deque(sorted(inputs, key=lambda row: (row[1] or dt.date.min, row[0])))
    found = {}
    for as_of in sorted(days):
        while waiting and (waiting[0][1] or dt.date.min) <= as_of:
            digest.update(repr(waiting.popleft()).encode())
        found[as_of] = digest.hexdigest()[:16]
    return found
