"""What an experiment says of a metric for the next one: its control's moments, and how fast units arrived."""

import datetime as dt
import functools

import duckdb
import msgspec

from assignments.model import Experiment
from metrics.evidence import moments_of
from metrics.model import Metric
from stats.moments import Moments


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment's control, as of its latest day."""

    experiment: str
    control: str
    as_of: dt.date
    moments: Moments  # over mature units; columns as `Metric.columns` has them
    daily_units: float | None  # that entered, over all arms; None when the lake holds no first exposure


def past_of(con: duckdb.DuckDBPyConnection, experiment: Experiment, metric: Metric) -> Past | None:
    """The control's moments of a metric in the present iteration; None when the lake has none.

    Moments of an older definition are none. The control alone, because no variant has moved it; phases are
    put together, for their weights don't matter to it.
    """
    rows = con.execute(
        "SELECT as_of, n, means, covariances FROM moments WHERE experiment = $experiment "
        "AND iteration = $iteration AND metric = $metric AND fingerprint = $fingerprint "
        "AND variant = $control AND segment IS NULL QUALIFY as_of = max(as_of) OVER () ORDER BY phase",
        {
            "experiment": experiment.key,
            "iteration": experiment.iteration,
            "metric": metric.name,
            "fingerprint": metric.fingerprint,
            "control": experiment.control,
        },
    ).fetchall()
    if not rows:
        return None
    as_of = rows[0][0]
    return Past(
        experiment=experiment.key,
        control=experiment.control,
        as_of=as_of,
        moments=functools.reduce(Moments.merge, (moments_of(*row[1:]) for row in rows)),
        daily_units=_daily_units(con, experiment, as_of),
    )


def _daily_units(con: duckdb.DuckDBPyConnection, experiment: Experiment, as_of: dt.date) -> float | None:
    """First exposures per day, from the first day with any to the last one by `as_of`."""
    units, first, last = con.execute(
        "SELECT count(*), min(exposed_at::DATE), max(exposed_at::DATE) FROM first_exposures "
        "WHERE experiment = $1 AND iteration = $2 AND exposed_at::DATE <= $3 AND excluded_by IS NULL",
        [experiment.key, experiment.iteration, as_of],
    ).fetchall()[0]
    return units / ((last - first).days + 1) if units else None
