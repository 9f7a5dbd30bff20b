"""The DuckDB engine: lake → partials → unit metrics → moments, on a connection that has the lake's views.

Every method that only reads works on any DuckDB connection (session time zone UTC) with tables or views in
the lake's columns; `refresh_*` and `write_*` also need the `Lake`.
"""

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import duckdb
import polars as pl

from assignments.model import Experiment
from lake import Lake
from metrics.analysis import planned_end
from metrics.exact import moment_rows
from metrics.model import Metric, MetricsError
from metrics.sql import exposures, freshness, health, metric_sql, moments, units
from metrics.sql.plan import UnitPlan, measures_of, plan_units
from metrics.sql.tree import render
from metrics.steps import Enrolment, Exclusion, MomentRow, StepReport
from metrics.validate import refuse_mixed_currencies
from workspace import Workspace

Connection = duckdb.DuckDBPyConnection

# A commit takes in days until it has this many of both: a month of many events, any number of stray days.
_DAYS_AT_ONCE = 31
_EVENTS_AT_ONCE = 1_000_000

_MOMENTS_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "experiment": pl.String,
    "iteration": pl.Int32,
    "phase": pl.Int32,
    "variant": pl.String,
    "segment": pl.String,
    "metric": pl.String,
    "as_of": pl.Date,
    "n": pl.Int64,
    "n_immature": pl.Int64,
    "columns": pl.List(pl.String),
    "means": pl.List(pl.Float64),
    "covariances": pl.List(pl.Float64),
    "cap": pl.Float64,
    "clipped": pl.Int64,
    "fingerprint": pl.String,
    "inputs": pl.String,
}


class Engine:
    """Computes what the definitions ask for.

    Args:
        workspace: the deployment.
        lake: where `refresh_*` and `write_*` write; None for an engine that only reads.
        metrics: all metrics by name.
    """

    def __init__(self, workspace: Workspace, lake: Lake | None, metrics: Mapping[str, Metric]) -> None:
        self.workspace = workspace
        self._lake = lake
        self.metrics = dict(metrics)

    @property
    def lake(self) -> Lake:
        """The lake; an engine made without one can't write."""
        if self._lake is None:
            raise MetricsError("this engine has no lake to write to; make it with one")
        return self._lake

    def plan(self, experiment: Experiment) -> UnitPlan:
        """What is computed per unit of an experiment."""
        return plan_units(experiment, self.metrics, self.workspace.timezone.key)

    # --- events and exposures → partials -------------------------------------------------------------------

    def refresh_unit_days(self, con: Connection, *, until: dt.date | None = None) -> StepReport:
        """Bring `unit_days` up to date: days whose events changed, or all when a measure is new.

        A day's stamp (its measures, number of rows and latest batch) tells whether it is current, so late
        rows cost only their own days.

        Args:
            con: a connection of the lake.
            until: the last day to look at; all when absent.
        """
        begun = time.perf_counter()
        measures = measures_of(list(self.metrics.values()))
        sql, rows = render(freshness.stamped_unit_days(measures)), 0
        for days in _together(self._stale_days(con, until)):
            chosen = {"days": days, "first": days[0], "last": days[-1]}
            rows += self.lake.overwrite(
                con, "unit_days", sql, params=chosen, partition={"occurred_on": days}
            ).rows
        return StepReport(rows=rows, sql=sql, seconds=time.perf_counter() - begun)

    def stale_days(self, con: Connection, *, until: dt.date | None = None) -> list[dt.date]:
        """The days of `unit_days` that are not what their events and the definitions say."""
        return [day for day, _ in self._stale_days(con, until)]

    def refresh_first_exposures(self, con: Connection, experiments: Sequence[Experiment]) -> StepReport:
        """Bring each experiment's first exposures up to date; what is there already is not written again."""
        reports = []
        for experiment in experiments:
            begun = time.perf_counter()
            sql = render(exposures.first_exposures(experiment, self.workspace.timezone))
            rows = self._replace(con, "first_exposures", sql, experiment)
            reports.append(StepReport(rows=rows, sql=sql, seconds=time.perf_counter() - begun))
        return StepReport.total(reports)

    # --- partials → unit metrics → moments -----------------------------------------------------------------

    def refresh(
        self, con: Connection, experiment: Experiment, days: Sequence[dt.date]
    ) -> tuple[StepReport, StepReport]:
        """Bring unit metrics and moments up to date as of each of `days`, and of every stored day.

        Stored days after the planned end, which was moved then, are taken away.
        A day whose definitions and rows are those of its stamp is left alone; so late rows cost the days from
        theirs on. Unit metrics are kept for the latest day only.

        Returns:
            What was written to `unit_metrics` and to `moments`.
        """
        begun = time.perf_counter()
        plan = self.plan(experiment)
        stamps = self._stale_stamps(con, plan, days)
        if not stamps:
            nothing = StepReport(rows=0, sql="", seconds=time.perf_counter() - begun)
            return nothing, nothing
        wanted = sorted(stamps)
        rows, units_sql = self._moments_of(con, plan, wanted)
        # Before the moments, whose stamps say that both are done.
        written = self.write_unit_metrics(con, experiment, wanted[-1])
        between = time.perf_counter()
        stored = self.write_moments(con, experiment, rows, stamps)
        return (
            StepReport(rows=written.rows, sql=units_sql, seconds=between - begun),
            StepReport(rows=stored.rows, sql=stored.sql, seconds=time.perf_counter() - between),
        )

    def unit_metrics(self, con: Connection, experiment: Experiment, as_of: dt.date) -> StepReport:
        """Make the temporary table `unit_metrics_now`: a row per unit that is analysed as of a day.

        Beside the columns of the lake's `unit_metrics` it has one per dimension; sums of values are whole
        numbers of millionths.
        """
        begun = time.perf_counter()
        plan = self.plan(experiment)
        sql = self._prepare(con, plan, as_of)
        rows = _units_as_of(con, plan, render(units.unit_metrics(plan)), as_of)
        return StepReport(rows=rows, sql=sql, seconds=time.perf_counter() - begun)

    def moments(
        self, con: Connection, experiment: Experiment, as_of: dt.date | Sequence[dt.date]
    ) -> list[MomentRow]:
        """The moments as of a day, or of many days, which share what they are made from.

        Raises:
            MetricsError: a value is too large to be added up exactly, or a metric without currency would add
                several currencies.
        """
        days = [as_of] if isinstance(as_of, dt.date) else sorted(set(as_of))
        rows, _ = self._moments_of(con, self.plan(experiment), days)
        return rows

    def write_unit_metrics(self, con: Connection, experiment: Experiment, as_of: dt.date) -> StepReport:
        """Write `unit_metrics_now` (as of `as_of`) to the lake, unless a later day is there already."""
        begun = time.perf_counter()
        plan = self.plan(experiment)
        query = units.published(plan)
        sql = render(query)
        latest = con.execute(
            "SELECT MAX(as_of) FROM unit_metrics WHERE experiment = $1 AND iteration = $2 AND as_of <= $3",
            [experiment.key, experiment.iteration, self._last_day(experiment)],
        ).fetchall()[0][0]
        rows = 0
        if latest is None or latest <= as_of:
            self.lake.add_columns(con, "unit_metrics", units.published_columns(plan))
            rows = self.lake.overwrite(
                con, "unit_metrics", sql, params={"as_of": as_of}, partition={"experiment": experiment.key}
            ).rows
        return StepReport(rows=rows, sql=sql, seconds=time.perf_counter() - begun)

    def write_moments(
        self,
        con: Connection,
        experiment: Experiment,
        rows: Sequence[MomentRow],
        stamps: Mapping[dt.date, str],
    ) -> StepReport:
        """Write moments and the stamps of their days in place of those days, and of any after the end."""
        begun = time.perf_counter()
        con.register("fresh_moments", moments_frame(rows, stamps))
        names = ", ".join(f'"{name}"' for name in _MOMENTS_SCHEMA)
        sql = (
            f"SELECT {names} FROM moments WHERE experiment = $experiment AND NOT (iteration = $iteration "
            "AND (as_of > $last OR as_of IN (SELECT as_of FROM fresh_moments))) "
            f"UNION ALL SELECT {names} FROM fresh_moments"
        )
        params = {
            "experiment": experiment.key,
            "iteration": experiment.iteration,
            "last": self._last_day(experiment),
        }
        written = self.lake.overwrite(
            con, "moments", sql, params=params, partition={"experiment": experiment.key}
        ).rows
        con.unregister("fresh_moments")
        plan = self.plan(experiment)
        return StepReport(
            rows=written, sql=render(moments.grouped_sums(plan)), seconds=time.perf_counter() - begun
        )

    # --- what the readout needs besides --------------------------------------------------------------------

    def enrolment(self, con: Connection, experiment: Experiment) -> Enrolment:
        """Units by first exposure: how many each variant has, as of any day."""
        rows = con.execute(render(health.enrolment(experiment))).fetchall()
        return Enrolment(variants=experiment.variants, rows=tuple(rows))

    def exclusions(self, con: Connection, experiment: Experiment, as_of: dt.date) -> list[Exclusion]:
        """Units and rows that are in no result as of `as_of`, by reason; reasons without any are left out."""
        plan = self.plan(experiment)
        found = [
            Exclusion(
                reason=reason, count=con.execute(render(query), {"as_of": as_of}).fetchall()[0][0], of=of
            )
            for reason, of, query in health.exclusions(plan, self.workspace.timezone)
        ]
        return [exclusion for exclusion in found if exclusion.count]

    def sql_of(self, metric: Metric, experiment: Experiment | None = None) -> str:
        """The SQL behind a metric's numbers, for people: one statement from the lake's tables to its sums."""
        return metric_sql(metric, experiment, zone=self.workspace.timezone.key)

    # --- inside --------------------------------------------------------------------------------------------

    def _stale_days(self, con: Connection, until: dt.date | None) -> list[tuple[dt.date, int]]:
        """The days of `unit_days` that must be made again, with the number of their events."""
        query = render(freshness.stale_days(measures_of(list(self.metrics.values()))))
        return con.execute(query, {"until": until or dt.date.max}).fetchall()

    def _moments_of(
        self, con: Connection, plan: UnitPlan, days: Sequence[dt.date]
    ) -> tuple[list[MomentRow], str]:
        sql = self._prepare(con, plan, max(days))
        units_sql = render(units.unit_metrics(plan))
        crowded = self._crowded(con, plan)
        # Rendered once; only the day that is bound changes.
        sums = [render(moments.grouped_sums(plan, crowded=crowded, limbs=limbs)) for limbs in (False, True)]
        rows = []
        for as_of in days:
            _units_as_of(con, plan, units_sql, as_of)
            rows += _sums(con, plan, sums, as_of)
        return rows, sql

    def _prepare(self, con: Connection, plan: UnitPlan, until: dt.date) -> str:
        """Make what all as-of days up to `until` share; the SQL of everything that makes unit metrics."""
        enrolled, contributions = render(units.enrolled(plan)), render(units.contributions(plan))
        con.execute(f"CREATE OR REPLACE TEMP TABLE {units.ENROLLED} AS {enrolled}")
        refuse_mixed_currencies(con, plan, until)
        try:
            con.execute(
                f"CREATE OR REPLACE TEMP TABLE {units.CONTRIBUTIONS} AS {contributions}", {"until": until}
            )
        except (duckdb.OutOfRangeException, duckdb.ConversionException) as reason:
            raise _too_large(plan, reason) from None
        steps = {
            units.ENROLLED: enrolled,
            units.CONTRIBUTIONS: contributions,
            units.UNITS: render(units.unit_metrics(plan)),
        }
        return "\n\n".join(f"-- {name}\n{text};" for name, text in steps.items())

    def _crowded(self, con: Connection, plan: UnitPlan) -> list[int]:
        """Dimensions with too many values to show each; which of them are shown is decided per as-of day."""
        crowded = []
        for number in range(len(plan.segments)):
            name = units.segment_column(number)
            count = con.execute(f'SELECT COUNT(DISTINCT "{name}") FROM {units.ENROLLED}').fetchall()[0][0]
            if count > moments.MAX_SEGMENT_VALUES:
                crowded.append(number)
        return crowded

    def _stale_stamps(self, con: Connection, plan: UnitPlan, days: Sequence[dt.date]) -> dict[dt.date, str]:
        """Of `days` and the stored days, those that must be computed, with the stamp that they will have.

        All of them when a stored day lies after the end: then the latest is another one than before.
        """
        stored = dict(
            con.execute(
                "SELECT as_of, MIN(inputs) FROM moments WHERE experiment = $1 AND iteration = $2 "
                "GROUP BY as_of",
                [plan.experiment.key, plan.experiment.iteration],
            ).fetchall()
        )
        inputs = con.execute(render(freshness.inputs_by_day(plan))).fetchall()
        zone = self.workspace.timezone.key
        last = self._last_day(plan.experiment)
        kept = {day for day in (*days, *stored) if day <= last}
        is_moved = any(day > last for day in stored)
        present = freshness.stamps(plan, zone, inputs, kept)
        return {day: stamp for day, stamp in present.items() if is_moved or stored.get(day) != stamp}

    def _last_day(self, experiment: Experiment) -> dt.date:
        """The last as-of day that an experiment can have."""
        return planned_end(experiment, self.metrics, self.workspace) or dt.date.max

    def _replace(self, con: Connection, table: str, sql: str, experiment: Experiment) -> int:
        """Write an experiment's rows unless the table has just these; how many they are."""
        con.execute(f"CREATE OR REPLACE TEMP TABLE replacement AS {sql}")
        columns = con.execute(f"DESCRIBE {table}").fetchall()
        typed = ", ".join(f'CAST("{name}" AS {kind})' for name, kind, *_ in columns)
        rows = f"SELECT COUNT(*), SUM(HASH({typed})) FROM"
        fresh = con.execute(f"{rows} replacement").fetchall()
        stored = con.execute(f"{rows} {table} WHERE experiment = $1", [experiment.key]).fetchall()
        if fresh != stored:
            self.lake.overwrite(con, table, "FROM replacement", partition={"experiment": experiment.key})
        return int(fresh[0][0])


def moments_frame(rows: Sequence[MomentRow], stamps: Mapping[dt.date, str]) -> pl.DataFrame:
    """Moments in the columns of the lake's table."""
    return pl.DataFrame(
        [
            (
                row.experiment, row.iteration, row.phase, row.variant, row.segment, row.metric, row.as_of,
                row.moments.n, row.n_immature, list(row.columns), list(row.moments.mean),
                [number for line in row.moments.cov for number in line], row.cap, row.clipped,
                row.fingerprint, stamps[row.as_of],
            )
            for row in rows
        ],
        schema=_MOMENTS_SCHEMA,
        orient="row",
    )  # fmt: skip


def _together(days: Iterable[tuple[dt.date, int]]) -> Iterator[list[dt.date]]:
    """Days, each with the number of its events, cut into lots that are read and written together."""
    lot: list[dt.date] = []
    total = 0
    for day, events in days:
        lot.append(day)
        total += events
        if len(lot) >= _DAYS_AT_ONCE and total >= _EVENTS_AT_ONCE:
            yield lot
            lot, total = [], 0
    if lot:
        yield lot


def _units_as_of(con: Connection, plan: UnitPlan, sql: str, as_of: dt.date) -> int:
    try:
        made = con.execute(f"CREATE OR REPLACE TEMP TABLE {units.UNITS} AS {sql}", {"as_of": as_of})
    except (duckdb.OutOfRangeException, duckdb.ConversionException) as reason:
        raise _too_large(plan, reason) from None
    return int(made.fetchall()[0][0])


def _sums(con: Connection, plan: UnitPlan, sqls: Sequence[str], as_of: dt.date) -> list[MomentRow]:
    """The sums, with whole products where they fit into 128 bits, else with products taken apart."""
    whole, apart = sqls
    try:
        return moment_rows(plan, as_of, con.execute(whole).fetchall())
    except duckdb.OutOfRangeException:
        pass
    try:
        return moment_rows(plan, as_of, con.execute(apart).fetchall(), limbs=True)
    except duckdb.OutOfRangeException as reason:
        raise _too_large(plan, reason) from None


def _too_large(plan: UnitPlan, reason: Exception) -> MetricsError:
    valued = [p.metric.name for p in plan.metrics if any(c.aggregate == "total" for c in p.columns)]
    return MetricsError(
        f'experiment "{plan.experiment.key}": the values of {" or ".join(valued) or "a metric"} are too '
        f"large to be added up exactly (38 digits with six behind the point): {str(reason).splitlines()[0]}; "
        "filter out the impossible values with `where`, or measure in a larger unit"
    )
