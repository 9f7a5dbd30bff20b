"""What is current and what must be made again: stored things carry a stamp of what they were made from.

A day of `unit_days` has a row without a unit: `measure` is the mark of all measures that were computed,
`events` the number of event rows of the day, `value_sum` the latest batch among them. An as-of day of
`moments` has the hash of the definitions and of number and latest batch of all rows up to it. Late rows,
removed rows and changed definitions change a stamp; a new row has a higher batch than any before it.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence

from sqlglot import exp

from metrics.model import METHOD_VERSION, Measure
from metrics.sql.exposures import records
from metrics.sql.partials import unit_days
from metrics.sql.plan import UnitPlan
from metrics.sql.tree import build, fill_list, union_all

_PREFIX = "stamp@"


def mark_of(measures: Sequence[Measure]) -> str:
    """The name of the stamp of these measures."""
    names = [str(METHOD_VERSION), *sorted(measure.id for measure in measures)]
    return _PREFIX + hashlib.sha256(",".join(names).encode()).hexdigest()[:16]


def stamped_unit_days(measures: Sequence[Measure]) -> exp.Query:
    """The partials of the days between `$first` and `$last` (bound), and the stamp of each day."""
    stamps = build(
        "SELECT $mark AS measure, CAST(NULL AS VARCHAR) AS unit_type, CAST(NULL AS BIGINT) AS unit_key, "
        "occurred_on, COUNT(*) AS events, CAST(COALESCE(MAX(batch), 0) AS DECIMAL(38, 6)) AS value_sum "
        "FROM events "
        "WHERE occurred_on BETWEEN $first AND $last GROUP BY occurred_on",
        mark=mark_of(measures),
    )
    return unit_days(measures, also=[stamps]) if measures else stamps


def stale_days(measures: Sequence[Measure]) -> exp.Select:
    """The days up to `$until` (bound) whose stamp is not that of their events, in order."""
    seen = build(
        "SELECT occurred_on, COUNT(*) AS events, COALESCE(MAX(batch), 0) AS batch FROM events "
        "WHERE occurred_on <= $until GROUP BY occurred_on"
    )
    stored = build(
        "SELECT occurred_on, MAX(CASE WHEN measure = $mark THEN events END) AS events, "
        "MAX(CASE WHEN measure = $mark THEN value_sum END) AS batch FROM unit_days "
        "WHERE occurred_on <= $until GROUP BY occurred_on",
        mark=mark_of(measures),
    )
    query = build(
        "SELECT COALESCE(seen.occurred_on, stored.occurred_on) AS day FROM seen "
        "FULL JOIN stored ON stored.occurred_on = seen.occurred_on "
        "WHERE COALESCE(seen.events <> stored.events OR seen.batch <> stored.batch, TRUE) ORDER BY day"
    )
    return query.with_("seen", as_=seen).with_("stored", as_=stored)


def inputs_by_day(plan: UnitPlan) -> exp.Query:
    """Table, day (NULL: all days), number and latest batch of the rows that the experiment's moments read."""
    experiment = plan.experiment
    partials = build(
        "SELECT 'unit_days' AS origin, occurred_on AS day, SUM(events) AS n, MAX(value_sum) AS batch "
        "FROM unit_days WHERE STARTS_WITH(measure, $prefix) GROUP BY occurred_on",
        prefix=_PREFIX,
    )
    seen = records(
        experiment, select="'exposures' AS origin, x.occurred_on AS day, COUNT(*) AS n, MAX(x.batch) AS batch"
    ).group_by("x.occurred_on", dialect="duckdb")
    attributes = build(
        "SELECT 'unit_attributes' AS origin, CAST(NULL AS DATE) AS day, COUNT(*) AS n, MAX(batch) AS batch "
        "FROM unit_attributes WHERE unit_type = $unit_type AND attribute IN ($attributes)",
        unit_type=experiment.unit_type,
    )
    fill_list(attributes, "attributes", experiment.segments.from_units)
    return union_all([partials, seen, *([attributes] if experiment.segments.from_units else [])])


def stamps(
    plan: UnitPlan,
    zone: str,
    inputs: Sequence[tuple[str, dt.date | None, int, int | None]],
    days: Iterable[dt.date],
) -> dict[dt.date, str]:
    """The stamp of each as-of day, from the rows of `inputs_by_day`.

    Args:
        plan: the experiment's plan.
        zone: name of the workspace's time zone, in which an experiment starts and ends.
        inputs: rows of `inputs_by_day`.
        days: as-of days.
    """
    experiment = plan.experiment
    fixed = [zone, experiment.fingerprint, *(planned.metric.fingerprint for planned in plan.metrics)]
    found = {}
    for as_of in days:
        seen: dict[str, tuple[int, int]] = {}
        for origin, day, count, batch in inputs:
            if day is None or day <= as_of:
                n, latest = seen.get(origin, (0, 0))
                seen[origin] = (n + count, max(latest, int(batch or 0)))
        text = repr([*fixed, sorted(seen.items())])
        found[as_of] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found
