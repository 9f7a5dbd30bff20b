"""Pages of experiments that sources of aggregates declare: what their rows and the recorded results say."""

import msgspec
import tomli_w
from duckdb import DuckDBPyConnection

from metrics import evidence
from metrics.declared import Declared, declared_experiment, verdicts_of
from reports.readout import InputFile, MetricDefinition, Readout
from reports.render import render, slug, to_json
from reports.words import URGENCY
from stats.aggregates import units_of
from stats.plan import MetricPlan
from stats.results import Verdict
from workspace import Workspace

# A warehouse can declare thousands; the others get their page when somebody asks for it (`tenbin report`).
MOST_PAGES = 200


def write_declared(con: DuckDBPyConnection, workspace: Workspace, defined: frozenset[str]) -> int:
    """Write the pages of the declared experiments that ask for a person first, unless they are there already.

    Args:
        con: a session of the lake.
        workspace: where the reports lie.
        defined: experiments that have a file, and so a page of their own.

    Returns:
        How many pages were written.
    """
    found = verdicts_of(con, defined)
    found.sort(key=lambda row: (URGENCY.index(Verdict(row[2])), -row[1].toordinal(), row[0]))
    return sum(_write(con, workspace, key) for key, *_ in found[:MOST_PAGES])


def declared_readout(con: DuckDBPyConnection, workspace: Workspace, key: str) -> Readout | None:
    """Everything that the page shows; None where no aggregates declare the experiment, or none were analysed.

    Raises:
        StatsError: its rows contradict each other.
    """
    declared = declared_experiment(con, workspace, key)
    as_of = None if declared is None else evidence.latest_as_of(con, declared)
    if declared is None or as_of is None:
        return None
    plan, health = declared.plan, evidence.health_of(con, key)
    results = evidence.results_of(con, declared, as_of)
    counted = units_of(declared.days[as_of], plan.variants) if as_of in declared.days else None
    return Readout(
        workspace=workspace.name,
        experiment=key,
        iteration=plan.iteration,
        control=plan.control,
        variants=plan.variants,
        weights=plan.weights,
        unit_type="unit",
        population=plan.population,
        environment="production",
        horizon=plan.horizon,
        alpha=plan.alpha,
        start=min(declared.days),
        end=None,
        planned_end=None,
        as_of=as_of,
        provisional=any(row.provisional for row in results),
        decision=health.decision,
        srm=health.srm,
        checks=health.checks,
        units=counted or {},
        exclusions=(),
        exposures=(),
        results=results,
        series=evidence.series_of(con, declared),
        metrics=tuple(_definition(metric, declared) for metric in plan.metrics),
        definition="# No file defines this experiment: the rows of its aggregates declare it.\n",
        inputs=tuple(
            InputFile(**msgspec.structs.asdict(item))
            for item in evidence.inputs(con)
            if item.source in declared.sources
        ),
        fingerprint=next((row.fingerprint for row in results if row.fingerprint), ""),
        warnings=health.warnings,
    )


def _write(con: DuckDBPyConnection, workspace: Workspace, key: str) -> bool:
    readout = declared_readout(con, workspace, key)
    written = workspace.reports / slug(key) / "result.json"
    if readout is None or (written.is_file() and written.read_bytes() == to_json(readout)):
        return False
    render(readout, workspace.reports)
    return True


def _definition(metric: MetricPlan, declared: Declared) -> MetricDefinition:
    said = {
        name: value
        for name, value in msgspec.structs.asdict(metric).items()
        if value is not None and name not in {"name", "fingerprint"}
    }
    return MetricDefinition(
        name=metric.name,
        kind=metric.kind,
        role=metric.role,
        direction=metric.direction,
        margin=metric.margin,
        definition=tomli_w.dumps(said),
        sql=f"-- the aggregates are stated by {', '.join(declared.sources)}",
    )
