"""Gathers an experiment's readout from the lake and writes its pages: the one door from data to `reports`."""

import contextlib
import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from assignments.model import Experiment
from assignments.toml import experiment_to_toml
from metrics import evidence, metric_to_toml
from metrics.analysis import plan_of, planned_end
from metrics.declared import verdicts_of
from metrics.engines.engine import Engine
from metrics.looks import boundary_of, looks_of, next_day
from metrics.registry import fingerprint_of
from metrics.steps import Enrolment
from reports.declared import declared_readout
from reports.readout import (
    DailyExposure,
    Exclusion,
    InputFile,
    LookedAt,
    Looks,
    LookTaken,
    MetricDefinition,
    Readout,
)
from reports.render import render, render_index, slug
from stats.results import SCHEMA_VERSION
from workspace import UserError, Workspace


class ReportError(UserError):
    """A report can't be written as asked."""


def write_report(con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment) -> Path:
    """Write the experiment's page, `result.json` and Markdown; the page's path."""
    return render(build_readout(con, engine, experiment), engine.workspace.reports).html


def write_index(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiments: Mapping[str, Experiment]
) -> Path:
    """Write the index over every experiment that has a report, declared ones included; its path."""
    workspace = engine.workspace
    pages = [
        _written(workspace, key, partial(_defined_readout, con, engine, experiments[key]))
        for key in sorted(experiments)
    ]
    declared_pages = [
        _written(workspace, key, partial(declared_readout, con, workspace, key))
        for key, *_ in verdicts_of(con, experiments)
    ]
    return render_index(
        [readout for readout in (*pages, *declared_pages) if readout is not None],
        workspace.reports,
        title=workspace.name,
        without_page=sum(readout is None for readout in declared_pages),
    )


def _written(workspace: Workspace, key: str, build: Callable[[], Readout | None]) -> Readout | None:
    """What the experiment's `result.json` says; one that is broken or of another version is written anew."""
    path = workspace.reports / slug(key) / "result.json"
    if not path.is_file():
        return None
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        readout = msgspec.json.decode(path.read_bytes(), type=Readout)
        if readout.schema_version == SCHEMA_VERSION:
            return readout
    found = build()
    if found is not None:
        render(found, workspace.reports)
    return found


def _defined_readout(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment
) -> Readout | None:
    if evidence.latest_as_of(con, experiment) is None:
        return None
    return build_readout(con, engine, experiment)


def build_readout(con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment) -> Readout:
    """Everything that the page shows, as of the last day that has results.

    Raises:
        ReportError: the experiment has no results yet.
    """
    as_of = evidence.latest_as_of(con, experiment)
    if as_of is None:
        raise ReportError(
            f'experiment "{experiment.key}" has no results yet; '
            f"`tenbin run {engine.workspace.root}` makes them"
        )
    results = evidence.results_of(con, experiment, as_of)
    series = evidence.series_of(con, experiment)
    enrolment = engine.enrolment(con, experiment)
    health = evidence.health_of(con, experiment.key)
    return Readout(
        workspace=engine.workspace.name,
        experiment=experiment.key,
        iteration=experiment.iteration,
        title=experiment.title,
        hypothesis=experiment.hypothesis,
        owner=experiment.owner,
        control=experiment.control,
        variants=experiment.variants,
        weights=experiment.weights,
        unit_type=experiment.unit_type,
        population=experiment.population,
        environment=experiment.environment,
        horizon=experiment.horizon,
        alpha=experiment.alpha,
        start=experiment.start,
        end=experiment.end,
        planned_end=planned_end(experiment, engine.metrics, engine.workspace),
        planned_units=experiment.planned_units,
        as_of=as_of,
        provisional=any(row.provisional for row in results),
        decision=health.decision,
        srm=health.srm,
        checks=health.checks,
        units=enrolment.counts(as_of),
        exclusions=tuple(
            Exclusion(reason=item.reason, count=item.count, of=item.of)
            for item in engine.exclusions(con, experiment, as_of)
        ),
        exposures=_exposures(enrolment, as_of),
        results=results,
        series=series,
        metrics=_definitions(engine, experiment),
        looks=_looks(
            con, engine, experiment, [row.as_of for row in series if row.as_of and not row.provisional]
        ),
        definition=experiment_to_toml(experiment),
        inputs=tuple(InputFile(**msgspec.structs.asdict(item)) for item in evidence.inputs(con)),
        fingerprint=fingerprint_of(experiment, engine.metrics),
        warnings=health.warnings,
    )


def _exposures(enrolment: Enrolment, as_of: dt.date) -> tuple[DailyExposure, ...]:
    """Units by day and variant, whatever the phase."""
    units: Counter[tuple[dt.date, str]] = Counter()
    for item in enrolment.by_day(as_of):
        units[item.day, item.variant] += item.units
    return tuple(
        DailyExposure(day=day, variant=variant, units=count)
        for (day, variant), count in sorted(units.items())
    )


def _looks(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment, closed: Sequence[dt.date]
) -> Looks | None:
    """The looks so far; the next one falls on a day that is not closed yet."""
    if experiment.horizon != "group_sequential":
        return None
    taken, plan = looks_of(con, engine, experiment), plan_of(experiment, engine.metrics)
    looks = [one.look for one in taken]
    lines = []
    for one in taken:
        held = [boundary_of(plan, shown, looks[: one.look.number]) for shown in one.evidence]
        lines.append(
            LookTaken(
                number=one.look.number,
                as_of=one.look.as_of,
                n=one.look.n,
                information=one.look.information,
                alpha_spent=one.look.alpha_spent,
                comparisons=tuple(
                    LookedAt(
                        metric=shown.metric,
                        variant=shown.variant,
                        baseline=shown.baseline,
                        z=shown.z if math.isfinite(shown.z) else None,
                        boundary=boundary,
                        crossed=crossed,
                    )
                    for shown, (boundary, crossed) in zip(one.evidence, held, strict=True)
                ),
            )
        )
    return Looks(
        cadence=experiment.cadence,
        spending=str(type(experiment.analysis.spending).__struct_config__.tag),
        taken=tuple(lines),
        next_day=next_day(engine, experiment, looks, after=max(closed, default=dt.date.min)),
    )


def _definitions(engine: Engine, experiment: Experiment) -> tuple[MetricDefinition, ...]:
    margins = {guardrail.metric: guardrail.margin for guardrail in experiment.metrics.guardrail}
    found = []
    for name, role in experiment.metrics.by_role:
        metric = engine.metrics[name]
        found.append(
            MetricDefinition(
                name=name,
                kind=metric.kind,
                role=role,
                direction=metric.direction,
                unit=metric.currency,
                window=metric.longest_window,
                margin=margins.get(name),
                goal=metric.goal,
                owner=metric.owner,
                description=metric.description,
                definition=metric_to_toml(metric),
                sql=engine.sql_of(metric, experiment),
            )
        )
    return tuple(found)
