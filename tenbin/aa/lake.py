"""A workspace's experiment as a log: the unit metrics of its latest day, whatever variant units were in."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

import duckdb
import numpy as np

from assignments import load_experiments
from assignments.model import Experiment
from lake import open_lake
from lake.sql import identifier
from metrics import load_metrics
from metrics.analysis import plan_of
from metrics.model import Metric
from metrics.sql.plan import UTC, MetricColumns, plan_units
from stats.measures import Kind
from tenbin.aa.log import AaError, Log, LoggedMetric, require_enough
from tenbin.history import measuring
from workspace import Workspace


@dataclasses.dataclass(frozen=True)
class _Day:
    """One experiment's latest day in the lake."""

    experiment: Experiment
    as_of: dt.date
    metrics: frozenset[str]  # whose numbers are as they are defined now
    units: int


def read_lake(workspace: Workspace, names: Sequence[str], key: str | None = None) -> Log:
    """The units of an experiment; without `key` of the one with the latest day, then most units.

    Args:
        workspace: where it is.
        names: of its metrics; none: all of them.
        key: of the experiment.

    Raises:
        UserError: there is no such metric or experiment, or it has not been run.
    """
    metrics, experiments = load_metrics(workspace), load_experiments(workspace)
    asked = measuring(workspace, experiments, metrics, names, key, error=AaError)
    with open_lake(workspace).connect() as con:
        days = [day for each in asked.values() if (day := _latest(con, each, metrics)) is not None]
        days = [day for day in days if set(names or day.experiment.metrics.names) <= day.metrics]
        if not days:
            raise AaError(
                f"{workspace.root}: the lake has no unit metrics of {', '.join(asked) or 'an experiment'} as "
                f"they are defined now; `tenbin run {workspace.root}` computes them"
            )
        day = max(days, key=lambda each: (each.as_of, each.units))
        chosen = names or day.experiment.metrics.names
        return require_enough(read_day(con, day.experiment, day.as_of, metrics, chosen))


def _latest(
    con: duckdb.DuckDBPyConnection, experiment: Experiment, metrics: Mapping[str, Metric]
) -> _Day | None:
    as_of, units = con.execute(
        "SELECT max(as_of), count(*) FROM unit_metrics WHERE experiment = $1 AND iteration = $2",
        [experiment.key, experiment.iteration],
    ).fetchall()[0]
    if as_of is None:
        return None
    return _Day(experiment, as_of, frozenset(_caps(con, experiment, as_of, metrics)), units)


def _caps(
    con: duckdb.DuckDBPyConnection, experiment: Experiment, as_of: dt.date, metrics: Mapping[str, Metric]
) -> dict[str, float | None]:
    """Each metric's cap, of those whose moments are as they are defined now."""
    rows = con.execute(
        "SELECT metric, fingerprint, max(cap) FROM moments WHERE experiment = $1 AND iteration = $2 "
        "AND as_of = $3 AND segment IS NULL GROUP BY ALL",
        [experiment.key, experiment.iteration, as_of],
    ).fetchall()
    return {name: cap for name, stamp, cap in rows if name in metrics and metrics[name].fingerprint == stamp}


def read_day(
    con: duckdb.DuckDBPyConnection,
    experiment: Experiment,
    as_of: dt.date,
    metrics: Mapping[str, Metric],
    names: Sequence[str],
) -> Log:
    """The units of one day; their metrics are defined as they were when they were computed."""
    # The time zone of the plan decides days and windows, which are decided already; here it names columns.
    planned = {each.metric.name: each for each in plan_units(experiment, metrics, UTC).metrics}
    kinds: dict[str, Kind] = {
        plan.name: plan.kind for plan in plan_of(experiment, metrics).metrics if plan.kind != "quantile"
    }
    chosen = [planned[name] for name in dict.fromkeys(names)]
    columns = [name for each in chosen for name in (*(c.name for c in each.columns), each.mature)]
    found = con.execute(
        f"SELECT unit_id, {', '.join(map(identifier, columns))} FROM unit_metrics WHERE experiment = $1 "
        "AND iteration = $2 AND as_of = $3 ORDER BY exposed_at, unit_key",
        [experiment.key, experiment.iteration, as_of],
    ).fetchnumpy()
    caps = _caps(con, experiment, as_of, metrics)
    ids, of = np.unique(np.asarray(found["unit_id"], dtype=np.object_), return_inverse=True)
    return Log(
        source=f'experiment "{experiment.key}" as of {as_of}',
        ids=tuple(ids.tolist()),
        of=of.astype(np.int64),
        metrics=tuple(
            _metric(found, each, kinds[each.metric.name], caps[each.metric.name]) for each in chosen
        ),
    )


def _metric(
    found: Mapping[str, object], planned: MetricColumns, kind: Kind, cap: float | None
) -> LoggedMetric:
    """The metric's columns as its moments have them: mature units alone, capped."""
    columns = [
        np.ma.filled(np.ma.asarray(found[each.name], dtype=np.float64), 0.0) for each in planned.columns
    ]
    if cap is not None:
        columns[0] = np.minimum(columns[0], cap)
    mature = np.ma.filled(np.ma.asarray(found[planned.mature], dtype=np.bool_), fill_value=False)
    return LoggedMetric(planned.metric.name, kind, tuple(columns), mature)
