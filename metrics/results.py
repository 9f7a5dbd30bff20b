"""Moments → results: every as-of day analysed, compared with what was said before, and recorded.

A day that is still open (`provisional`) is replaced in place; a closed one changes only by a new revision,
which stands beside the old (DESIGN 5). A second run over the same moments records nothing.
"""

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import msgspec
import polars as pl

from assignments.model import Experiment
from lake import Lake
from lake.tables import TABLES
from metrics.analysis import is_provisional, plan_of, planned_end
from metrics.checks import experiment_findings
from metrics.engines.engine import Engine
from metrics.evidence import moments_of
from metrics.inputs import daily_cells, places, unit_cells
from metrics.interactions import interaction_findings
from metrics.looks import take_looks
from metrics.model import MetricsError, metrics_of
from metrics.steps import Enrolment
from stats.analysis import Analysis, analyse
from stats.findings import Places
from stats.looks import Taken
from stats.plan import NEEDS_UNITS, AnyCell, Cell, Plan
from stats.results import Decision, Finding, Outcome, Result

COLUMNS = ", ".join(f'"{name}"' for name in Result.__struct_fields__)
_AS_OF = Result.__struct_fields__.index("as_of")
ORDER = "as_of, revision, metric, segment NULLS FIRST, variant, baseline, method, scale, alternative, horizon"
_CELL = (
    "metric", "variant", "phase", "segment", "n_immature", "cap", "clipped", "n_without", "reason",
)  # fmt: skip
# Two sayings of the same thing may differ in the rest.
_SAYING = tuple(name for name in Result.__struct_fields__ if name not in {"revision", "provisional"})


class ResultsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What recording an experiment's results did."""

    rows: int  # written by this run
    revised: tuple[dt.date, ...]  # closed days that got a revision
    latest: tuple[Result, ...]  # of the last as-of day
    decision: Decision


@dataclasses.dataclass(frozen=True)
class Reading:
    """One as-of day, analysed."""

    as_of: dt.date
    provisional: bool
    analysis: Analysis


def refresh_results(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment, *, now: dt.datetime
) -> ResultsReport | None:
    """Analyse every as-of day that has moments and record what is new; None when there is no such day yet.

    The data checks are made for the last day alone: they decide its verdict, and no result depends on them.
    So are the methods that read single units, whose rows stand for as long as the others of their day do.

    Raises:
        MetricsError: the moments are older than the definitions of their metrics, or the file now says
            otherwise what no look may change.
    """
    days: dict[dt.date, list[AnyCell]] = {
        as_of: list(cells) for as_of, cells in cells_by_day(con, engine, experiment).items()
    }
    if not days:
        return None
    taken = take_looks(con, engine, experiment, days, now=now)  # before what is said of their days
    last, plan = max(days), engine.plan(experiment)
    findings = experiment_findings(con, engine, experiment, last)
    enrolment = engine.enrolment(con, experiment)
    end = planned_end(experiment, engine.metrics, engine.workspace) or dt.date.max
    readable = experiment.horizon == "anytime" or last >= end  # else what they say is withheld
    findings += interaction_findings(con, engine, experiment, last, days[last], readable=readable)
    failed = [finding.message for finding in findings if finding.status == Outcome.FAILED]
    zone = engine.workspace.timezone
    latest = plan_of(experiment, engine.metrics, zone=zone, as_of=last)
    # Units and days since exposure are not kept by phase, and are never pooled over phases.
    pooled = len(latest.phases) < 2  # noqa: PLR2004 - a change of weights
    if pooled and (readable or NEEDS_UNITS & set(experiment.analysis.methods)):
        known = [cell for cell in days[last] if isinstance(cell, Cell)]
        days[last] += unit_cells(con, plan, last, known)
    if pooled and readable:
        days[last] += daily_cells(con, plan, engine.metrics, enrolment, last)
    readings = [
        _read_day(
            plan_of(experiment, engine.metrics, zone=zone, as_of=as_of),
            as_of,
            cells,
            ended=as_of >= end,
            provisional=is_provisional(as_of, engine.workspace, now),
            enrolment=enrolment,
            failed_checks=failed if as_of == last else (),
            places=places(con, plan, enrolment, last, latest.phases) if as_of == last else None,
            taken=taken,
        )
        for as_of, cells in days.items()
    ]
    written, revised = _record(con, engine.lake, experiment, readings, end)
    analysis = readings[-1].analysis
    _record_findings(con, engine.lake, experiment, last, finding_rows(findings, analysis))
    return ResultsReport(rows=written, revised=revised, latest=analysis.results, decision=analysis.decision)


def _read_day(
    plan: Plan,
    as_of: dt.date,
    cells: Sequence[AnyCell],
    *,
    ended: bool,
    provisional: bool,
    enrolment: Enrolment,
    failed_checks: Sequence[str],
    places: Places | None,
    taken: Sequence[Taken],
) -> Reading:
    """The statistics of one as-of day."""
    analysis = analyse(
        plan,
        cells,
        counts=enrolment.counts_by_phase(as_of) if plan.phases else enrolment.counts(as_of),
        as_of=as_of,
        ended=ended,
        provisional=provisional,
        failed_checks=failed_checks,
        places=places,
        taken=taken,
    )
    return Reading(as_of, provisional, analysis)


def cells_by_day(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment
) -> dict[dt.date, list[Cell]]:
    """The lake's moments of one experiment, by as-of day, in order.

    Raises:
        MetricsError: they are older than the definitions of their metrics.
    """
    rows = con.execute(
        f"SELECT as_of, fingerprint, n, means, covariances, {', '.join(_CELL)} FROM moments "
        "WHERE experiment = $experiment AND iteration = $iteration "
        "ORDER BY as_of, metric, segment NULLS FIRST, phase, variant",
        {"experiment": experiment.key, "iteration": experiment.iteration},
    ).fetchall()
    used = metrics_of(experiment, engine.metrics)
    defined = {(name, metric.fingerprint) for name, metric in used.items()}
    days: dict[dt.date, list[Cell]] = defaultdict(list)
    for as_of, fingerprint, n, means, covariances, *fields in rows:
        cell = dict(zip(_CELL, fields, strict=True))
        if (cell["metric"], fingerprint) not in defined:
            raise MetricsError(
                f'experiment "{experiment.key}": the moments of {as_of} are older than the definition of '
                f'metric "{cell["metric"]}"; materialise unit_days, unit_metrics and moments first'
            )
        days[as_of].append(Cell(moments=moments_of(n, means, covariances), **cell))
    return dict(days)


def _record(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    experiment: Experiment,
    readings: Sequence[Reading],
    end: dt.date,
) -> tuple[int, tuple[dt.date, ...]]:
    """Write the days that are new, still open or changed; rows written, and the days that were revised.

    Days after the planned end, which was moved then, are taken away.
    """
    stored = _stored_days(con, experiment)
    fresh = {reading.as_of: revise(stored.get(reading.as_of, []), reading) for reading in readings}
    is_moved = any(day > end for day in stored)
    changed = {day: rows for day, rows in fresh.items() if is_moved or rows != stored.get(day)}
    if changed:
        _overwrite(con, lake, experiment, changed, end)
    revised = tuple(
        day for day, rows in changed.items() if rows[-1].revision > latest_of(stored.get(day, []))
    )
    return sum(count_latest(rows) for rows in changed.values()), revised


def revise(before: list[Result], reading: Reading) -> list[Result]:
    """All rows of a day, every revision, once the reading has been taken in."""
    latest = latest_of(before)
    older = [row for row in before if row.revision < latest]
    current = [row for row in before if row.revision == latest]
    was_open = not current or current[0].provisional
    if _says_the_same(current, reading.analysis.results):
        if was_open and not reading.provisional:
            return [*older, *(msgspec.structs.replace(row, provisional=False) for row in current)]
        return before
    fresh = reading.analysis.results
    if was_open:
        return [*older, *(msgspec.structs.replace(row, revision=latest) for row in fresh)]
    return [*before, *(msgspec.structs.replace(row, revision=latest + 1) for row in fresh)]


def _says_the_same(current: Sequence[Result], fresh: Sequence[Result]) -> bool:
    """Units are those of the latest day: what was said of them before stands with what it stood beside."""
    if not any(row.method in NEEDS_UNITS for row in fresh):
        current = [row for row in current if row.method not in NEEDS_UNITS]
    return _said(current) == _said(fresh)


def latest_of(rows: Sequence[Result]) -> int:
    """The latest revision among the rows; 0 without any."""
    return max((row.revision for row in rows), default=0)


def count_latest(rows: Sequence[Result]) -> int:
    """Rows of the latest revision."""
    latest = latest_of(rows)
    return sum(row.revision == latest for row in rows)


def _stored_days(con: duckdb.DuckDBPyConnection, experiment: Experiment) -> dict[dt.date, list[Result]]:
    """The recorded rows of the present iteration by as-of day, revision by revision."""
    rows = con.execute(
        f"SELECT {COLUMNS} FROM results WHERE experiment = $1 AND iteration = $2 ORDER BY {ORDER}",
        [experiment.key, experiment.iteration],
    ).fetchall()
    days: dict[dt.date, list[Result]] = defaultdict(list)
    for row in rows:
        result = msgspec.convert(dict(zip(Result.__struct_fields__, row, strict=True)), Result)
        days[row[_AS_OF]].append(result)
    return dict(days)


def _said(rows: Sequence[Result]) -> set[tuple[object, ...]]:
    """What a day's rows say, whatever their order, their revision and whether the day is still open."""
    return {tuple(getattr(row, name) for name in _SAYING) for row in rows}


def _overwrite(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    experiment: Experiment,
    days: dict[dt.date, list[Result]],
    end: dt.date,
) -> None:
    """Put these days in the place of what was recorded of them; all others up to `end` stay."""
    with fresh_results(con, [row for rows in days.values() for row in rows]) as fresh:
        lake.overwrite(
            con,
            "results",
            f"SELECT {COLUMNS} FROM results WHERE experiment = $experiment AND NOT (iteration = $iteration "
            f"AND (as_of > $end OR as_of IN (SELECT as_of FROM fresh_results))) UNION ALL BY NAME "
            f"{fresh} ORDER BY iteration, {ORDER}",
            params={"experiment": experiment.key, "iteration": experiment.iteration, "end": end},
            partition={"experiment": experiment.key},
        )


@contextmanager
def fresh_results(con: duckdb.DuckDBPyConnection, rows: Sequence[Result]) -> Iterator[str]:
    """The rows as the view `fresh_results`, and what reads it in the types of the lake's table."""
    data = [
        msgspec.structs.asdict(row) | {"status": row.status.value, "reasons": list(row.reasons)}
        for row in rows
    ]
    con.register("fresh_results", pl.DataFrame(data, infer_schema_length=None))
    typed = ", ".join(
        f'CAST("{column.name}" AS {column.type}) AS "{column.name}"' for column in TABLES["results"].columns
    )
    try:
        yield f"SELECT {typed} FROM fresh_results"
    finally:
        con.unregister("fresh_results")


def _record_findings(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    experiment: Experiment,
    as_of: dt.date,
    findings: Sequence[tuple[str, str, str, str]],
) -> None:
    """The last day's health and verdict, as rows that a person can query."""
    stored = con.execute(
        "SELECT iteration, as_of, name, status, message, numbers FROM findings WHERE experiment = $1",
        [experiment.key],
    ).fetchall()
    rows = [(experiment.iteration, as_of, *row) for row in findings]
    if sorted(stored) == sorted(rows):
        return
    con.register(
        "fresh_findings",
        pl.DataFrame(
            rows, schema=["iteration", "as_of", "name", "status", "message", "numbers"], orient="row"
        ),
    )
    lake.overwrite(
        con,
        "findings",
        "SELECT $experiment AS experiment, * REPLACE (iteration::INTEGER AS iteration) FROM fresh_findings "
        "ORDER BY name",
        params={"experiment": experiment.key},
        partition={"experiment": experiment.key},
    )
    con.unregister("fresh_findings")


def finding_rows(findings: Sequence[Finding], analysis: Analysis) -> list[tuple[str, str, str, str]]:
    """Name, status, message and numbers (JSON) of every check, of the sample ratio and of the verdict."""
    decision, srm = analysis.decision, analysis.srm
    said = {"reasons": decision.reasons, "warnings": analysis.warnings}
    return [
        *(
            (item.name, item.status.value, item.message, _json(item.numbers))
            for item in (*findings, *analysis.findings)
        ),
        ("srm", "failed" if srm.failed else "passed", "", _json(srm)),
        ("verdict", decision.verdict.value, decision.sentence, _json(said)),
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
