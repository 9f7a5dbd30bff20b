"""The looks of a group-sequential experiment: which as-of days are due, what was seen then, kept for good.

A look is taken from the moments of its day once that day is closed, and never again: late rows, changed plans
and changed methods move estimates and looks to come (`stats.looks`), not what the lake's `looks` says.
"""

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence

import duckdb
import msgspec
import polars as pl

from assignments.model import Experiment
from metrics.analysis import last_closed_day, mature_day, plan_of, planned_end
from metrics.engines.engine import Engine
from metrics.model import MetricsError, metrics_of
from stats.analysis import evidence, mature_units
from stats.contrasts import Contrast
from stats.looks import Evidence, Look, LookPlan, Taken, days_due, law, next_look
from stats.plan import AnyCell, Plan
from workspace import seconds

_DAY_S = 86_400
_TWO_SIDED = 2
_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "experiment": pl.String,
    "iteration": pl.Int32,
    "look": pl.Int32,
    "as_of": pl.Date,
    "n": pl.Int64,
    "information": pl.Float64,
    "alpha_spent": pl.Float64,
    "boundary": pl.Float64,
    "alpha": pl.Float64,
    "spending": pl.String,
    "metric": pl.String,
    "variant": pl.String,
    "baseline": pl.String,
    "method": pl.String,
    "z": pl.Float64,
    "estimate_variant": pl.Float64,
    "estimate_baseline": pl.Float64,
    "var_variant": pl.Float64,
    "var_baseline": pl.Float64,
    "covariance": pl.Float64,
    "df": pl.Float64,
    "fingerprint": pl.String,
}
# Columns of the table and fields of `Look` and `Contrast`.
_LOOK = {
    "look": "number",
    "as_of": "as_of",
    "n": "n",
    "information": "information",
    "alpha_spent": "alpha_spent",
    "boundary": "boundary",
}
_KEY = ("metric", "variant", "baseline", "fingerprint")
_CONTRAST = {
    "method": "method",
    "estimate_variant": "variant",
    "estimate_baseline": "baseline",
    "var_variant": "var_variant",
    "var_baseline": "var_baseline",
    "covariance": "covariance",
    "df": "df",
}


def take_looks(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    experiment: Experiment,
    days: Mapping[dt.date, Sequence[AnyCell]],
    *,
    now: dt.datetime,
) -> tuple[Taken, ...]:
    """Every look of the present iteration, after those that are due by now were taken and recorded.

    They are recorded in one commit: a run that is killed has taken all of them or none, and the next one
    goes on from there.

    Args:
        con: a connection of the lake.
        engine: with the lake and the definitions.
        experiment: of any horizon; only a group-sequential one has looks.
        days: its cells by as-of day; a day that is not there had no unit (`due_days` are always computed).
        now: the clock by which days close.

    Raises:
        MetricsError: the file now says otherwise what no look may change.
    """
    if experiment.horizon != "group_sequential":
        return ()
    taken = looks_of(con, engine, experiment)
    looks, fresh = [one.look for one in taken], []
    zone, look_plan = engine.workspace.timezone, _look_plan(engine, experiment)
    for as_of in due_days(con, engine, experiment, until=dt.date.min, now=now):
        cells = days.get(as_of, ())
        plan = plan_of(experiment, engine.metrics, zone=zone, as_of=as_of)
        look = next_look(looks, look_plan, as_of=as_of, n=mature_units(plan, cells))
        if look is not None:
            looks.append(look)
            fresh.append(Taken(look=look, evidence=evidence(plan, cells)))
    if fresh:
        _record(con, engine, experiment, fresh)
    return (*taken, *fresh)


def due_days(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    experiment: Experiment,
    *,
    until: dt.date,
    now: dt.datetime,
) -> list[dt.date]:
    """The as-of days whose looks are due by now: their moments are needed, whenever runs were made.

    Args:
        con: a connection of the lake.
        engine: with the lake and the definitions.
        experiment: of any horizon; only a group-sequential one has looks.
        until: the last day of this run; later ones are due where a later day has moments already.
        now: the clock by which days close.

    Raises:
        MetricsError: the file now says otherwise what no look may change.
    """
    if experiment.horizon != "group_sequential":
        return []
    looks = [one.look for one in looks_of(con, engine, experiment)]
    _refuse_other_law(con, experiment)
    _refuse_lost_end(engine, experiment, looks)
    latest = con.execute(
        "SELECT max(as_of) FROM moments WHERE experiment = $1 AND iteration = $2",
        [experiment.key, experiment.iteration],
    ).fetchall()[0][0]
    closed = min(max(until, latest or until), last_closed_day(engine.workspace, now))
    return list(_days(engine, experiment, looks, until=closed))


def boundary_of(plan: Plan, shown: Evidence, looks: Sequence[Look]) -> tuple[float, bool]:
    """What a comparison was held against at the latest of `looks`, and whether it reached that.

    By itself: the verdict corrects for the other comparisons too.
    """
    (metric,) = (metric for metric in plan.metrics if metric.name == shown.metric)
    reference = law(looks, spending=plan.settings.spending, df=shown.contrast.df)
    sides = plan.sides(metric)
    boundary = float(reference.critical(plan.alpha, sides))
    return boundary, (abs(shown.z) if sides == _TWO_SIDED else metric.sign * shown.z) >= boundary


def next_day(
    engine: Engine, experiment: Experiment, looks: Sequence[Look], *, after: dt.date
) -> dt.date | None:
    """The first as-of day later than `after` that may be looked at; None when there is none any more."""
    end = planned_end(experiment, engine.metrics, engine.workspace) or after
    return next((day for day in _days(engine, experiment, looks, until=end) if day > after), None)


def looks_of(con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment) -> tuple[Taken, ...]:
    """The recorded looks of the present iteration, in order.

    What a look showed of a metric that was defined otherwise then is no evidence of the present one; the look
    itself, and the alpha that it spent, stand.
    """
    rows = con.execute(
        f"SELECT {', '.join((*_LOOK, *_KEY, *_CONTRAST))} FROM looks "
        "WHERE experiment = $1 AND iteration = $2 ORDER BY look, metric, variant, baseline",
        [experiment.key, experiment.iteration],
    ).fetchall()
    defined = {(name, metric.fingerprint) for name, metric in metrics_of(experiment, engine.metrics).items()}
    taken = []
    for fields, shown in itertools.groupby(rows, key=lambda row: row[: len(_LOOK)]):
        keyed = [(row[len(_LOOK) : -len(_CONTRAST)], row[-len(_CONTRAST) :]) for row in shown]
        found = tuple(
            Evidence(
                metric=metric,
                variant=variant,
                baseline=baseline,
                contrast=Contrast(**dict(zip(_CONTRAST.values(), numbers, strict=True))),
            )
            for (metric, variant, baseline, fingerprint), numbers in keyed
            if (metric, fingerprint) in defined
        )
        taken.append(Taken(look=Look(**dict(zip(_LOOK.values(), fields, strict=True))), evidence=found))
    return tuple(taken)


def _days(
    engine: Engine, experiment: Experiment, looks: Sequence[Look], *, until: dt.date
) -> Iterator[dt.date]:
    """The as-of days up to `until` that the looks to come fall on."""
    every_s = seconds(experiment.cadence, where='key "cadence"', error=MetricsError)
    plan = _look_plan(engine, experiment)
    return days_due(looks, plan, start=experiment.start, every_days=every_s // _DAY_S, closed=until)


def _look_plan(engine: Engine, experiment: Experiment) -> LookPlan:
    """What the looks to come are taken by."""
    last_day = mature_day(experiment, engine.metrics, engine.workspace)
    if experiment.planned_units is None or last_day is None:
        raise MetricsError(
            f'experiment "{experiment.key}": horizon "group_sequential" needs planned_units and end'
        )
    return LookPlan(
        alpha=experiment.alpha,
        planned_units=experiment.planned_units,
        last_day=last_day,
        spending=experiment.analysis.spending,
    )


def _refuse_other_law(con: duckdb.DuckDBPyConnection, experiment: Experiment) -> None:
    """Level and spending are settled before the first look: to choose them afterwards would be to peek."""
    settled = con.execute(
        "SELECT as_of, alpha, spending FROM looks WHERE experiment = $1 AND iteration = $2 "
        "ORDER BY look LIMIT 1",
        [experiment.key, experiment.iteration],
    ).fetchall()
    present = {"alpha": experiment.alpha, "analysis.spending": _spending(experiment)}
    for as_of, *values in settled:
        for (key, now), then in zip(present.items(), values, strict=True):
            if now != then:
                raise MetricsError(
                    f'experiment "{experiment.key}": {key} was {then} at its first look ({as_of}) and is '
                    f"{now} now; it can't change once data were looked at: put it back, or raise iteration"
                )


def _refuse_lost_end(engine: Engine, experiment: Experiment, looks: Sequence[Look]) -> None:
    """The final look comes after those that were taken, on a day that is still analysed."""
    end = planned_end(experiment, engine.metrics, engine.workspace)
    if looks and not looks[-1].final and end is not None and end <= looks[-1].as_of:
        raise MetricsError(
            f'experiment "{experiment.key}": with end = {experiment.end} its last as-of day is {end}, but it '
            f"was looked at as of {looks[-1].as_of} already; give a later end"
        )


def _spending(experiment: Experiment) -> str:
    return msgspec.json.encode(experiment.analysis.spending, order="sorted").decode()


def _record(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment, fresh: Sequence[Taken]
) -> None:
    """Add looks in one commit: a row per comparison, or one row without any where nothing can be compared."""
    fingerprints = {name: metric.fingerprint for name, metric in engine.metrics.items()}
    rows = []
    for taken in fresh:
        settled = {
            "experiment": experiment.key,
            "iteration": experiment.iteration,
            "alpha": experiment.alpha,
            "spending": _spending(experiment),
            **{column: getattr(taken.look, field) for column, field in _LOOK.items()},
        }
        shown = [
            {
                "metric": one.metric,
                "variant": one.variant,
                "baseline": one.baseline,
                "fingerprint": fingerprints[one.metric],
                "z": one.z,
                **{column: getattr(one.contrast, field) for column, field in _CONTRAST.items()},
            }
            for one in taken.evidence
        ]
        rows += [settled | comparison for comparison in shown or [{}]]
    con.register("fresh_looks", pl.DataFrame(rows, schema=_SCHEMA))
    engine.lake.append(con, "looks", "FROM fresh_looks")
    con.unregister("fresh_looks")
