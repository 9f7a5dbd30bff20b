"""Experiments that sources of aggregates declare: nobody wrote a file for them, their rows say all there is.

The newest row about a cell counts, so a warehouse corrects a day by stating it again. Everything that an
owner would have settled has its default: the first variant or the source's `control` is the control, shares
are equal, the first metric is primary where no row says otherwise, and the horizon is `anytime`, as nobody
said when the experiment ends.
"""

import dataclasses
import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby

import duckdb
import msgspec
import polars as pl

from lake import Lake
from lake.tables import TABLES
from metrics.analysis import is_provisional
from metrics.evidence import moments_of
from metrics.results import (
    COLUMNS,
    ORDER,
    Reading,
    count_latest,
    finding_rows,
    fresh_results,
    latest_of,
    revise,
)
from stats.aggregates import Aggregate, Measured, measured_of, units_of
from stats.analysis import analyse
from stats.errors import StatsError
from stats.moments import Moments
from stats.multiplicity import SUCCESS
from stats.plan import Cell, MetricPlan, Plan
from stats.results import Result
from workspace import Workspace

METHOD_VERSION = 1  # raised when the same rows give other numbers

_CELL = ("metric", "variant", "phase", "segment", "n_immature", "cap", "clipped")
_MEASURED = Measured.__struct_fields__
_READ = (
    "experiment",
    "iteration",
    "as_of",
    "source",
    "units",
    "n",
    "means",
    "covariances",
    *_CELL,
    *_MEASURED,
)


class DeclaredReport(msgspec.Struct, frozen=True, kw_only=True):
    """What recording the results of declared experiments did."""

    experiments: int
    rows: int  # written by this run
    verdicts: dict[str, int]  # of the experiments that this run read anew
    failed: dict[str, str]  # experiment → why it could not be analysed


@dataclasses.dataclass(frozen=True)
class Declared:
    """One experiment as its rows declare it."""

    plan: Plan
    days: Mapping[dt.date, Sequence[Aggregate]]
    sources: tuple[str, ...]  # that its rows come from

    @property
    def key(self) -> str:
        return self.plan.experiment

    @property
    def iteration(self) -> int:
        return self.plan.iteration


def refresh_declared(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    workspace: Workspace,
    defined: Collection[str],
    *,
    now: dt.datetime,
    step: Callable[[float], None] = lambda _share: None,
) -> DeclaredReport:
    """Analyse every day of every declared experiment whose rows changed, and record it.

    Args:
        con: a session of the lake.
        lake: where results are recorded, those of all experiments in one commit.
        workspace: its sources and its lateness.
        defined: experiments that have a file of their own; rows about them declare nothing.
        now: until when the days of the last `lateness` stay open.
        step: told the share of experiments that are done.
    """
    found = [rows for key, rows in _rows(con) if key not in defined]
    stored = _stored(con)
    fresh: list[Result] = []
    findings: list[tuple[str, int, dt.date, str, str, str, str]] = []
    verdicts: dict[str, int] = defaultdict(int)
    failed: dict[str, str] = {}
    written = 0
    for done, rows in enumerate(found):
        step(done / len(found))
        key = str(rows[0][1].experiment)
        try:
            declared = _declared(rows, workspace)
            for reading, before in _readings(declared, stored, workspace, now):
                days = revise(before, reading)
                fresh += days
                written += count_latest(days)
                if reading.as_of == max(declared.days):
                    verdicts[reading.analysis.decision.verdict.value] += 1
                    findings += [
                        (key, declared.plan.iteration, reading.as_of, *row)
                        for row in finding_rows((), reading.analysis)
                    ]
        except StatsError as reason:
            failed[key] = f'experiment "{key}": {reason}'
    _overwrite(con, lake, fresh)
    _overwrite_findings(con, lake, findings)
    return DeclaredReport(experiments=len(found), rows=written, verdicts=dict(verdicts), failed=failed)


def verdicts_of(
    con: duckdb.DuckDBPyConnection, defined: Collection[str]
) -> list[tuple[str, dt.date, str, str]]:
    """Experiment, as-of day, verdict and sentence of every declared experiment, by key."""
    rows = con.execute(
        "SELECT experiment, as_of, status, message FROM findings WHERE name = 'verdict' AND experiment IN "
        "(SELECT experiment FROM given_moments) ORDER BY experiment"
    ).fetchall()
    return [row for row in rows if row[0] not in defined]


def declared_experiment(con: duckdb.DuckDBPyConnection, workspace: Workspace, key: str) -> Declared | None:
    """The experiment of that key as its rows declare it; None where there are no rows about it.

    Raises:
        StatsError: its rows contradict each other.
    """
    for _, rows in _rows(con, key):
        return _declared(rows, workspace)
    return None


def _rows(
    con: duckdb.DuckDBPyConnection, only: str | None = None
) -> Iterator[tuple[str, list[tuple[str, Aggregate]]]]:
    """Per experiment, source and content of the newest row about each cell of its latest iteration."""
    cell = "experiment, iteration, phase, metric, variant, segment, as_of"
    newest = "batch DESC, path DESC, file_row DESC"
    names = ", ".join(f'"{name}"' for name in _READ)
    found = con.execute(
        f"SELECT {names} FROM given_moments WHERE $only IS NULL OR experiment = $only "
        f"QUALIFY row_number() OVER (PARTITION BY {cell} ORDER BY {newest}) = 1 "
        "AND iteration = max(iteration) OVER (PARTITION BY experiment) "
        "ORDER BY experiment, as_of, batch, path, file_row",
        {"only": only},
    ).fetchall()
    for key, rows in groupby(found, key=lambda row: row[0]):
        yield key, [_aggregate(dict(zip(_READ, row, strict=True))) for row in rows]


def _aggregate(row: dict[str, object]) -> tuple[str, Aggregate]:
    n, means, covariances, units = row["n"], row["means"], row["covariances"], row["units"]
    cell = msgspec.convert(
        {name: row[name] for name in _CELL} | {"moments": moments_of(n, means, covariances)},  # type: ignore[arg-type]
        Cell,
    )
    measured = msgspec.convert({name: row[name] for name in _MEASURED}, Measured)
    return str(row["source"]), Aggregate(
        experiment=str(row["experiment"]),
        iteration=row["iteration"],  # type: ignore[arg-type]
        as_of=row["as_of"],  # type: ignore[arg-type]
        cell=cell,
        measured=measured,
        units=units,  # type: ignore[arg-type]
        notes=(),
    )


def _declared(rows: Sequence[tuple[str, Aggregate]], workspace: Workspace) -> Declared:
    """The experiment that the rows make up.

    Raises:
        StatsError: they contradict each other, or are of several phases.
    """
    stated = [row for _, row in rows]
    phases = {row.cell.phase for row in stated}
    if len(phases) > 1:
        raise StatsError("its rows are of several phases, which are never pooled; give each a key of its own")
    metrics = measured_of(stated)
    variants = dict.fromkeys(row.cell.variant for row in stated)
    source = workspace.config.sources.get(rows[0][0])
    control = (source.control if source is not None else None) or next(iter(variants))
    if control not in variants:
        raise StatsError(f'it has no variant "{control}", which sources.{rows[0][0]} names as the control')
    ordered = (control, *sorted(variant for variant in variants if variant != control))
    plan = Plan(
        experiment=str(stated[0].experiment),
        iteration=stated[0].iteration,
        control=control,
        variants=ordered,
        horizon="anytime",
        weights=dict.fromkeys(ordered, 1.0),
        metrics=_metrics(metrics),
    )
    days: dict[dt.date, list[Aggregate]] = defaultdict(list)
    for row in stated:
        if row.as_of is not None:
            width = metrics[row.cell.metric].width
            days[row.as_of].append(row if row.cell.moments.n else _nobody(row, width))
    return Declared(plan, days, tuple(sorted({name for name, _ in rows})))


def _nobody(row: Aggregate, width: int) -> Aggregate:
    """A row about no unit has as many columns as its metric."""
    moments = Moments(0, (0.0,) * width, ((0.0,) * width,) * width)
    return msgspec.structs.replace(row, cell=msgspec.structs.replace(row.cell, moments=moments))


def _metrics(measured: Mapping[str, Measured]) -> tuple[MetricPlan, ...]:
    """The metrics with their roles: without one that is called primary, the first success metric is."""
    roles = {name: one.role or "secondary" for name, one in measured.items()}
    success = [name for name, role in roles.items() if role in SUCCESS]
    if success and "primary" not in roles.values():
        roles[success[0]] = "primary"
    return tuple(
        MetricPlan(
            name=name,
            kind=one.kind or "mean",
            role=roles[name],
            direction=one.direction or "increase",
            margin=one.margin,
            equivalence=one.equivalence,
            covariates=one.covariates or 0,
            ratio_covariate=bool(one.ratio_covariate),
            non_negative=one.non_negative is not False,
            clustered=bool(one.clustered),
        )
        for name, one in measured.items()
    )


def _readings(
    declared: Declared,
    stored: Mapping[tuple[str, int, dt.date], list[Result]],
    workspace: Workspace,
    now: dt.datetime,
) -> Iterator[tuple[Reading, list[Result]]]:
    """The days that must be read anew, each with what was recorded of it."""
    plan = declared.plan
    for as_of, rows in sorted(declared.days.items()):
        counts = units_of(rows, plan.variants)
        fingerprint = _fingerprint(plan, rows)
        provisional = is_provisional(as_of, workspace, now)
        before = stored.get((plan.experiment, plan.iteration, as_of), [])
        current = [row for row in before if row.revision == latest_of(before)]
        if current and all(
            row.fingerprint == fingerprint and row.provisional == provisional for row in current
        ):
            continue
        stamped = [msgspec.structs.replace(metric, fingerprint=fingerprint) for metric in plan.metrics]
        analysis = analyse(
            msgspec.structs.replace(plan, metrics=tuple(stamped)),
            [row.cell for row in rows],
            counts=counts,
            as_of=as_of,
            ended=False,
            provisional=provisional,
        )
        yield Reading(as_of, provisional, analysis), before


def _fingerprint(plan: Plan, rows: Sequence[Aggregate]) -> str:
    """Of all that a day's numbers depend on."""
    text = msgspec.json.encode([METHOD_VERSION, plan, sorted(map(repr, rows))], order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def _stored(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, int, dt.date], list[Result]]:
    """What is recorded of experiments with given moments, by experiment, iteration and day."""
    found: dict[tuple[str, int, dt.date], list[Result]] = defaultdict(list)
    rows = con.execute(
        f"SELECT {COLUMNS} FROM results WHERE experiment IN (SELECT experiment FROM given_moments) "
        f"ORDER BY experiment, iteration, {ORDER}"
    ).fetchall()
    for row in rows:
        result = msgspec.convert(dict(zip(Result.__struct_fields__, row, strict=True)), Result)
        if result.as_of is not None:
            found[result.experiment, result.iteration, result.as_of].append(result)
    return found


def _overwrite(con: duckdb.DuckDBPyConnection, lake: Lake, rows: Sequence[Result]) -> None:
    """Put the days of these rows in the place of what was recorded of them, in one commit."""
    if not rows:
        return
    with fresh_results(con, rows) as fresh:
        lake.overwrite(
            con,
            "results",
            f"SELECT {COLUMNS} FROM results SEMI JOIN fresh_results USING (experiment) "
            "ANTI JOIN fresh_results USING (experiment, iteration, as_of) UNION ALL BY NAME "
            f"{fresh} ORDER BY experiment, iteration, {ORDER}",
            partition={"experiment": sorted({row.experiment for row in rows})},
        )


def _overwrite_findings(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    rows: Sequence[tuple[str, int, dt.date, str, str, str, str]],
) -> None:
    """Health and verdict of the experiments that were read anew, as of their latest day."""
    if not rows:
        return
    names = [column.name for column in TABLES["findings"].columns]
    con.register("fresh_findings", pl.DataFrame(rows, schema=names, orient="row"))
    lake.overwrite(
        con,
        "findings",
        "SELECT * REPLACE (iteration::INTEGER AS iteration) FROM fresh_findings ORDER BY experiment, name",
        partition={"experiment": sorted({row[0] for row in rows})},
    )
    con.unregister("fresh_findings")
