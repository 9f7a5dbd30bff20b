"""The engine: lake → partials → unit metrics → moments; what is made from what, when, and with which stamp.

Whatever is as large as events or units goes through a `Runner`; moments and other small tables are read and
written on the connection. Every method that only reads works on any DuckDB connection (session time zone UTC)
with tables or views in the lake's columns; `refresh_*` and `write_*` also need the `Lake`.
"""

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import polars as pl
from sqlglot import exp

from assignments.model import Experiment
from lake import Lake
from lake.tables import TABLES
from metrics.analysis import planned_end
from metrics.engines.duckdb import DuckDBRunner
from metrics.engines.runner import NOTHING, Parameters, Runner, Statement, TooLargeError
from metrics.exact import moment_rows
from metrics.model import Metric, MetricsError
from metrics.quantiles import with_quantiles
from metrics.sql import exclude, exposures, freshness, health, metric_sql, moments, units
from metrics.sql.partials import FIRST_COLUMNS
from metrics.sql.plan import UnitPlan, measures_of, plan_units, values_of
from metrics.sql.tree import build
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
    "n_without": pl.Int64,
    "reason": pl.String,
    "fingerprint": pl.String,
    "inputs": pl.String,
}
_ADDED = {"n_without": "BIGINT", "reason": "VARCHAR"}


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
        self._runner: tuple[Connection, Runner] | None = None

    @property
    def lake(self) -> Lake:
        """The lake; an engine made without one can't write."""
        if self._lake is None:
            raise MetricsError("this engine has no lake to write to; make it with one")
        return self._lake

    def plan(self, experiment: Experiment) -> UnitPlan:
        """What is computed per unit of an experiment."""
        return plan_units(experiment, self.metrics, self.workspace.timezone.key)

    def rows(
        self, con: Connection, query: exp.Query, parameters: Parameters = NOTHING
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement over the lake's tables, from whatever runs statements here."""
        return self._on(con).rows(Statement(query), parameters)

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
        if any(measure.first for measure in measures):
            # To a table made before a metric needed them.
            self._on(con).add_columns("unit_days", FIRST_COLUMNS)
        made = Statement(freshness.stamped_unit_days(measures))
        rows = self._overwrite_days(con, "unit_days", made, self._stale_days(con, until))
        sql = made.text(self._on(con).dialect)
        return StepReport(rows=rows, sql=sql, seconds=time.perf_counter() - begun)

    def refresh_unit_values(self, con: Connection, *, until: dt.date | None = None) -> StepReport:
        """Bring `unit_values` up to date, as `refresh_unit_days` does; nothing where no metric needs it."""
        begun = time.perf_counter()
        measures = values_of(list(self.metrics.values()))
        if not measures:
            return StepReport(rows=0, sql="", seconds=time.perf_counter() - begun)
        stale = freshness.stale_days(measures, "unit_values")
        made = Statement(freshness.stamped_unit_values(measures))
        days = self.rows(con, stale, {"until": until or dt.date.max})
        rows = self._overwrite_days(con, "unit_values", made, days)
        sql = made.text(self._on(con).dialect)
        return StepReport(rows=rows, sql=sql, seconds=time.perf_counter() - begun)

    def stale_days(self, con: Connection, *, until: dt.date | None = None) -> list[dt.date]:
        """The days of `unit_days` that are not what their events and the definitions say."""
        return [day for day, _ in self._stale_days(con, until)]

    def refresh_first_exposures(self, con: Connection, experiments: Sequence[Experiment]) -> StepReport:
        """Bring each experiment's first exposures up to date; what is there already is not written again."""
        reports = []
        rules = self.workspace.config.exclude
        exclude.check_rules(self.workspace)
        # A lake from before there were rules.
        self._on(con).add_columns("first_exposures", {"excluded_by": "VARCHAR"})
        for experiment in experiments:
            begun = time.perf_counter()
            first = exposures.first_exposures(experiment, self.workspace.timezone)
            made = Statement(exclude.flagged(first, experiment, rules))
            rows = self._replace(con, "first_exposures", made, experiment)
            sql = made.text(self._on(con).dialect)
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
        rows, units_sql, sums_sql = self._moments_of(con, plan, wanted)
        # Before the moments, whose stamps say that both are done.
        written = self.write_unit_metrics(con, experiment, wanted[-1])
        between = time.perf_counter()
        stored = self.write_moments(con, experiment, rows, stamps)
        return (
            StepReport(rows=written.rows, sql=units_sql, seconds=between - begun),
            StepReport(rows=stored.rows, sql=sums_sql, seconds=time.perf_counter() - between),
        )

    def unit_metrics(self, con: Connection, experiment: Experiment, as_of: dt.date) -> StepReport:
        """Make the temporary table `unit_metrics_now`: a row per unit that is analysed as of a day.

        Beside the columns of the lake's `unit_metrics` it has one per dimension; sums of values are whole
        numbers of millionths.
        """
        begun = time.perf_counter()
        plan = self.plan(experiment)
        runner, made = self._on(con), Statement(units.unit_metrics(plan))
        sql = self._prepare(con, plan, as_of, made, by_day=False)
        with _counting(plan):
            runner.keep(units.UNITS, made, {"as_of": as_of})
            ((rows,),) = runner.rows(Statement(build(f"SELECT COUNT(*) AS n FROM {units.UNITS}")))
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
        rows, *_ = self._moments_of(con, self.plan(experiment), days)
        return rows

    def write_unit_metrics(self, con: Connection, experiment: Experiment, as_of: dt.date) -> StepReport:
        """Write `unit_metrics_now` (as of `as_of`) to the lake, unless a later day is there already."""
        begun = time.perf_counter()
        runner, plan = self._on(con), self.plan(experiment)
        made = Statement(units.published(plan))
        latest = con.execute(
            "SELECT MAX(as_of) FROM unit_metrics WHERE experiment = $1 AND iteration = $2 AND as_of <= $3",
            [experiment.key, experiment.iteration, self._last_day(experiment)],
        ).fetchall()[0][0]
        rows = 0
        if latest is None or latest <= as_of:
            runner.add_columns("unit_metrics", units.published_columns(plan))
            with _counting(plan):
                rows = runner.overwrite(
                    "unit_metrics", made, {"as_of": as_of}, partition={"experiment": experiment.key}
                )
        sql = made.text(runner.dialect)
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
        self._on(con).add_columns("moments", _ADDED)  # to a table that an earlier version made
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
        return StepReport(rows=written, sql=sql, seconds=time.perf_counter() - begun)

    # --- what the readout needs besides --------------------------------------------------------------------

    def enrolment(self, con: Connection, experiment: Experiment) -> Enrolment:
        """Units by first exposure: how many each variant has, as of any day."""
        rows = self.rows(con, health.enrolment(experiment))
        return Enrolment(variants=experiment.variants, rows=tuple(rows))

    def exclusions(self, con: Connection, experiment: Experiment, as_of: dt.date) -> list[Exclusion]:
        """Units and rows that are in no result as of `as_of`, by reason; reasons without any are left out."""
        plan = self.plan(experiment)
        found = [
            Exclusion(reason=reason, count=self.rows(con, query, {"as_of": as_of})[0][0], of=of)
            for reason, of, query in health.exclusions(
                plan, self.workspace.timezone, self.workspace.config.exclude
            )
        ]
        return [exclusion for exclusion in found if exclusion.count]

    def sql_of(self, metric: Metric, experiment: Experiment | None = None) -> str:
        """The SQL behind a metric's numbers, for people: one statement from the lake's tables to its sums."""
        return metric_sql(metric, experiment, zone=self.workspace.timezone.key)

    # --- inside --------------------------------------------------------------------------------------------

    def _on(self, con: Connection) -> Runner:
        """What runs the statements beside a connection; kept, with its tables, as long as it is the same."""
        if self._runner is None or self._runner[0] is not con:
            self._runner = (con, self._open(con))
        return self._runner[1]

    def _overwrite_days(
        self, con: Connection, table: str, made: Statement, stale: Iterable[tuple[Any, ...]]
    ) -> int:
        """Make days of a table of partials again, each with the number of its events; rows written."""
        runner, rows = self._on(con), 0
        for days in _together((day, events) for day, events in stale):
            chosen: Parameters = {"days": days, "first": days[0], "last": days[-1]}
            rows += runner.overwrite(table, made, chosen, partition={"occurred_on": days})
        return rows

    def _open(self, con: Connection) -> Runner:
        if self.workspace.config.workspace.engine == "duckdb" or self._lake is None:
            return DuckDBRunner(con, self._lake)
        # Imported here: the package is optional, and takes its time.
        from metrics.engines.session import spark_session

        session = spark_session(self.workspace)
        from metrics.engines.spark import SparkRunner

        return SparkRunner(session, con, self._lake)

    def _stale_days(self, con: Connection, until: dt.date | None) -> list[tuple[Any, ...]]:
        """The days of `unit_days` that must be made again, with the number of their events."""
        query = freshness.stale_days(measures_of(list(self.metrics.values())))
        return self.rows(con, query, {"until": until or dt.date.max})

    def _moments_of(
        self, con: Connection, plan: UnitPlan, days: Sequence[dt.date]
    ) -> tuple[list[MomentRow], str, str]:
        """The moments of each day; the SQL of unit metrics and that of the sums."""
        runner, made = self._on(con), Statement(units.unit_metrics(plan))
        sql = self._prepare(con, plan, max(days), made, by_day=len(days) > 1)
        crowded = self._crowded(con, plan)
        sums = Statement(moments.grouped_sums(plan, crowded=crowded))
        rows = []
        for as_of in days:
            with _counting(plan):
                runner.keep(units.UNITS, made, {"as_of": as_of})
                of_day = _sums(runner, plan, sums, crowded, as_of)
                rows += with_quantiles(runner, plan, as_of, of_day, crowded)
        return rows, sql, sums.text(runner.dialect)

    def _prepare(
        self, con: Connection, plan: UnitPlan, until: dt.date, unit_metrics: Statement, *, by_day: bool
    ) -> str:
        """Make what all as-of days up to `until` share; the SQL of everything that makes unit metrics."""
        runner = self._on(con)
        enrolled = Statement(units.enrolled(plan))
        contributions = Statement(units.contributions(plan, by_day=by_day))
        runner.keep(units.ENROLLED, enrolled)
        refuse_mixed_currencies(runner, plan, until)
        each_value = {units.EACH_VALUE: Statement(units.each_value(plan))} if plan.listed else {}
        with _counting(plan):
            for name, made in each_value.items():
                runner.keep(name, made, {"until": until})
            # What is made of single values has its end already.
            runner.keep(units.CONTRIBUTIONS, contributions, {"until": until} if plan.added else {})
        steps = {
            units.ENROLLED: enrolled,
            **each_value,
            units.CONTRIBUTIONS: contributions,
            units.UNITS: unit_metrics,
        }
        return "\n\n".join(f"-- {name}\n{made.text(runner.dialect)};" for name, made in steps.items())

    def _crowded(self, con: Connection, plan: UnitPlan) -> list[int]:
        """Dimensions with too many values to show each; which of them are shown is decided per as-of day."""
        if not plan.segments:
            return []
        (counts,) = self.rows(con, moments.segment_sizes(plan))
        return [number for number, count in enumerate(counts) if count > moments.MAX_SEGMENT_VALUES]

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
        inputs = self.rows(con, freshness.inputs_by_day(plan))
        zone = self.workspace.timezone.key
        last = self._last_day(plan.experiment)
        kept = {day for day in (*days, *stored) if day <= last}
        is_moved = any(day > last for day in stored)
        present = freshness.stamps(plan, zone, inputs, kept)
        return {day: stamp for day, stamp in present.items() if is_moved or stored.get(day) != stamp}

    def _last_day(self, experiment: Experiment) -> dt.date:
        """The last as-of day that an experiment can have."""
        return planned_end(experiment, self.metrics, self.workspace) or dt.date.max

    def _replace(self, con: Connection, table: str, made: Statement, experiment: Experiment) -> int:
        """Write an experiment's rows unless the table has just these; how many they are."""
        runner, declared = self._on(con), TABLES[table]
        runner.keep("replacement", made)
        (fresh,) = self.rows(con, freshness.content("replacement", declared.columns))
        (stored,) = self.rows(con, freshness.content(table, declared.columns, experiment.key))
        if fresh != stored:
            whole = Statement(build("SELECT * FROM replacement"))
            runner.overwrite(table, whole, partition={"experiment": experiment.key})
        return int(fresh[0])


def moments_frame(rows: Sequence[MomentRow], stamps: Mapping[dt.date, str]) -> pl.DataFrame:
    """Moments in the columns of the lake's table."""
    return pl.DataFrame(
        [
            (
                row.experiment, row.iteration, row.phase, row.variant, row.segment, row.metric, row.as_of,
                row.moments.n, row.n_immature, list(row.columns), list(row.moments.mean),
                [number for line in row.moments.cov for number in line], row.cap, row.clipped,
                row.n_without, row.reason, row.fingerprint, stamps[row.as_of],
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


def _sums(
    runner: Runner, plan: UnitPlan, sums: Statement, crowded: Sequence[int], as_of: dt.date
) -> list[MomentRow]:
    """The sums, with whole products where they fit into 38 digits, else with products taken apart."""
    try:
        return moment_rows(plan, as_of, runner.rows(sums))
    except TooLargeError:
        apart = Statement(moments.grouped_sums(plan, crowded=crowded, limbs=True))
        return moment_rows(plan, as_of, runner.rows(apart), limbs=True)


@contextmanager
def _counting(plan: UnitPlan) -> Iterator[None]:
    """Say of which metrics a number may be that is too large."""
    try:
        yield
    except TooLargeError as reason:
        raise _too_large(plan, reason) from None


def _too_large(plan: UnitPlan, reason: Exception) -> MetricsError:
    valued = [
        planned.metric.name
        for planned in plan.metrics
        if any(term.aggregate == "total" for column in planned.columns for term in column.terms)
    ]
    return MetricsError(
        f'experiment "{plan.experiment.key}": the values of {" or ".join(valued) or "a metric"} are too '
        f"large to be added up exactly (38 digits with six behind the point): {reason}; "
        "filter out the impossible values with `where`, or measure in a larger unit"
    )
