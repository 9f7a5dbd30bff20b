"""Which days of `unit_days` are current: each carries a stamp of what it was made from.

A stamp is a row without a unit: `measure` is the mark of all measures that were computed, `events` the number
of event rows of the day, `value_sum` the latest batch among them. Late rows, removed rows and new measures
change it.
"""

import hashlib
from collections.abc import Sequence

from sqlglot import exp

from metrics.model import METHOD_VERSION, Measure
from metrics.sql.partials import unit_days
from metrics.sql.tree import build

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
