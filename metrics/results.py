"""Moments → results: every as-of day analysed, compared with what was said before, and recorded.

A day that is still open (`provisional`) is replaced in place; a closed one changes only by a new revision, which
stands beside the old (DESIGN 5). A second run over the same moments records nothing.
"""

import dataclasses
import datetime as dt
import json
from collections import defaultdict
from collections.abc import Sequence

import duckdb
import msgspec
import polars as pl

from assignments.model import Experiment
from lake import Lake
from lake.tables import TABLES
from metrics.analysis import is_provisional, plan_of, planned_end
from metrics.checks import Finding, Outcome, experiment_findings
from metrics.engines.duckdb import Engine
from stats.analysis import Analysis, Cell, analyse
from stats.moments import Moments
from stats.results import Decision, Result

# What tells two rows of one day apart.
_IDENTITY = ("metric", "role", "segment", "variant", "baseline", "method", "scale", "alternative", "horizon")
# What may differ between two sayings of the same thing.
_VOLATILE = frozenset({"revision", "provisional"})


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
    findings: tuple[Finding, ...]


def refresh_results(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment, *, now: dt.datetime
) -> ResultsReport:
    """Analyse every as-of day that has moments and record what is new.

    Raises:
        MetricsError: the experiment has no moments yet.
    """
    days = cells_by_day(con, experiment)
    if not days:
        raise NoMomentsError(
            f'experiment "{experiment.key}" has no moments yet: materialise unit_metrics and moments first'
        )
    readings = [
        read_day(con, engine, experiment, as_of, cells, now=now) for as_of, cells in sorted(days.items())
    ]
    written, revised = _record(con, engine.lake, experiment, readings)
    _record_findings(con, engine.lake, experiment, readings[-1])
    last = readings[-1].analysis
    return ResultsReport(rows=written, revised=revised, latest=last.results, decision=last.decision)


def read_day(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    experiment: Experiment,
    as_of: dt.date,
    cells: Sequence[Cell],
    *,
    now: dt.datetime,
) -> Reading:
    """The statistics of one as-of day."""
    end = planned_end(experiment, engine.metrics, engine.workspace)
    findings = tuple(experiment_findings(con, engine, experiment, as_of))
    provisional = is_provisional(as_of, engine.workspace, now)
    analysis = analyse(
        plan_of(experiment, engine.metrics),
        cells,
        counts=engine.counts(con, experiment, as_of),
        as_of=as_of,
        ended=end is not None and as_of >= end,
        provisional=provisional,
        failed_checks=[finding.message for finding in findings if finding.status == Outcome.FAILED],
    )
    return Reading(as_of, provisional, analysis, findings)


def cells_by_day(con: duckdb.DuckDBPyConnection, experiment: Experiment) -> dict[dt.date, list[Cell]]:
    """The lake's moments of one experiment, by as-of day."""
    rows = con.execute(
        "SELECT as_of, metric, variant, phase, segment, n, means, covariances, n_immature, cap, clipped "
        "FROM moments WHERE experiment = $experiment AND iteration = $iteration "
        "ORDER BY as_of, metric, segment NULLS FIRST, phase, variant",
        {"experiment": experiment.key, "iteration": experiment.iteration},
    ).fetchall()
    days: dict[dt.date, list[Cell]] = defaultdict(list)
    for as_of, metric, variant, phase, segment, n, means, covariances, n_immature, cap, clipped in rows:
        width = len(means)
        matrix = tuple(tuple(covariances[row * width : (row + 1) * width]) for row in range(width))
        days[as_of].append(
            Cell(
                metric=metric,
                variant=variant,
                phase=phase,
                segment=segment,
                moments=Moments(n, tuple(means), matrix),
                n_immature=n_immature,
                cap=cap,
                clipped=clipped,
            )
        )
    return dict(days)


def _record(
    con: duckdb.DuckDBPyConnection, lake: Lake, experiment: Experiment, readings: Sequence[Reading]
) -> tuple[int, tuple[dt.date, ...]]:
    """Write the rows whose day is new, open or changed; the rows written and the days revised."""
    stored = _stored_rows(con, experiment)
    kept: list[Result] = []
    written = 0
    revised: list[dt.date] = []
    for reading in readings:
        before = stored.pop(reading.as_of, [])
        latest = max((row.revision for row in before), default=0)
        current = [row for row in before if row.revision == latest]
        if current and _said(current) == _said(reading.analysis.results):
            kept += before if not current[0].provisional or reading.provisional else _closed(before)
            written += 0 if not current[0].provisional or reading.provisional else len(current)
            continue
        revision = latest
        if current and not current[0].provisional:
            revision += 1
            revised.append(reading.as_of)
        kept += [row for row in before if row.revision < revision]
        fresh = [msgspec.structs.replace(row, revision=revision) for row in reading.analysis.results]
        kept += fresh
        written += len(fresh)
    if written:
        kept += [row for rows in stored.values() for row in rows]
        _overwrite(con, lake, experiment, kept)
    return written, tuple(revised)


def _stored_rows(con: duckdb.DuckDBPyConnection, experiment: Experiment) -> dict[dt.date, list[Result]]:
    names = ", ".join(f'"{field}"' for field in Result.__struct_fields__)
    rows = con.execute(f"SELECT {names} FROM results WHERE experiment = $1", [experiment.key]).fetchall()
    days: dict[dt.date, list[Result]] = defaultdict(list)
    for row in rows:
        result = msgspec.convert(dict(zip(Result.__struct_fields__, row, strict=True)), Result)
        # Another iteration's days are kept as they are, under a key that no reading has.
        day = result.as_of if result.iteration == experiment.iteration else dt.date.min
        days[day or dt.date.min].append(result)
    return days


def _said(rows: Sequence[Result]) -> dict[tuple[object, ...], dict[str, object]]:
    """What a day's rows say, whatever their order and revision."""
    return {
        tuple(getattr(row, name) for name in _IDENTITY): {
            name: value for name, value in msgspec.structs.asdict(row).items() if name not in _VOLATILE
        }
        for row in rows
    }


def _closed(rows: Sequence[Result]) -> list[Result]:
    return [msgspec.structs.replace(row, provisional=False) for row in rows]


def _overwrite(
    con: duckdb.DuckDBPyConnection, lake: Lake, experiment: Experiment, rows: Sequence[Result]
) -> None:
    data = [
        msgspec.structs.asdict(row) | {"status": row.status.value, "reasons": list(row.reasons)}
        for row in rows
    ]
    con.register("fresh_results", pl.DataFrame(data, infer_schema_length=None))
    columns = ", ".join(
        f'CAST("{column.name}" AS {column.type}) AS "{column.name}"' for column in TABLES["results"].columns
    )
    order = "as_of, revision, metric, segment NULLS FIRST, variant, method, scale, alternative, horizon"
    lake.overwrite(
        con,
        "results",
        f"SELECT {columns} FROM fresh_results ORDER BY {order}",
        partition={"experiment": experiment.key},
    )
    con.unregister("fresh_results")


def _record_findings(
    con: duckdb.DuckDBPyConnection, lake: Lake, experiment: Experiment, reading: Reading
) -> None:
    """The last day's health and verdict, as rows that a person can query."""
    decision, srm = reading.analysis.decision, reading.analysis.srm
    rows = [
        (finding.name, finding.status.value, finding.message, json.dumps(finding.numbers, sort_keys=True))
        for finding in reading.findings
    ]
    rows.append(
        ("srm", "failed" if srm.failed else "passed", "", msgspec.json.encode(srm, order="sorted").decode())
    )
    rows.append(
        ("verdict", decision.verdict.value, decision.sentence, json.dumps({"reasons": decision.reasons}))
    )
    con.register(
        "fresh_findings", pl.DataFrame(rows, schema=["name", "status", "message", "numbers"], orient="row")
    )
    select = (
        "SELECT $experiment AS experiment, $iteration::INTEGER AS iteration, $as_of::DATE AS as_of, "
        "name, status, message, numbers FROM fresh_findings ORDER BY name"
    )
    lake.overwrite(
        con,
        "findings",
        select,
        params={"experiment": experiment.key, "iteration": experiment.iteration, "as_of": reading.as_of},
        partition={"experiment": experiment.key},
    )
    con.unregister("fresh_findings")
