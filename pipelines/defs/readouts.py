"""Moments → results → reports, per experiment; many experiments run in one step."""

from collections.abc import Iterator

import dagster as dg

from lake.warehouse import publish
from metrics.evidence import headline_markdown, latest_as_of
from metrics.results import refresh_results
from pipelines.columns import columns_of
from pipelines.partitions import ONE_RUN, RETRY, experiment_partitions
from pipelines.resources import WorkspaceResource, now, stepwise
from pipelines.spared import check_of, spared, spec_of
from reports.assemble import write_index, write_report


@dg.asset(
    # Without a mapping Dagster would pair days with experiments by name.
    deps=[dg.AssetDep("moments", partition_mapping=dg.AllPartitionMapping()), "registry"],
    partitions_def=experiment_partitions,
    backfill_policy=ONE_RUN,
    retry_policy=RETRY,
    group_name="evidence",
    kinds={"scipy", "deltalake"},
    metadata=columns_of("results"),
    check_specs=[spec_of("results")],
)
def results(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Estimates, intervals, tests and verdicts of every as-of day; a changed past day gets a revision."""
    tables, rows = [], 0
    failed: dict[str, str] = {}
    with workspace.writer() as session:
        for experiment in stepwise(session.chosen(context.partition_keys)):
            report = None
            with spared(experiment, failed):
                report = refresh_results(session.con, session.engine, experiment, now=now())
            if report is None:
                context.log.info("%s: %s", experiment.key, failed.get(experiment.key, "no as-of day yet"))
                continue
            rows += report.rows
            tables.append(f"### {experiment.key}: {report.decision.verdict}\n\n{report.decision.sentence}\n")
            tables.append(headline_markdown(report.latest))
            context.log.info("%s: %s", experiment.key, report.decision.sentence)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": session.row_count("results"),
                "rows written": rows,
                "results": dg.MetadataValue.md("\n".join(tables)),
            },
            check_results=[check_of(failed)],
        )


@dg.asset(
    deps=["results"],
    partitions_def=experiment_partitions,
    backfill_policy=ONE_RUN,
    retry_policy=RETRY,
    group_name="evidence",
    kinds={"plotly", "html"},
)
def reports(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """A page, `result.json` and Markdown per experiment, the index, and the published warehouse."""
    with workspace.writer() as session:
        pages = {
            experiment.key: write_report(session.con, session.engine, experiment)
            for experiment in stepwise(session.chosen(context.partition_keys))
            if latest_as_of(session.con, experiment) is not None
        }
        index = write_index(session.con, session.engine, session.experiments)
        publish(session.workspace)
    links = "\n".join(f"- [{key}]({page.as_uri()})" for key, page in pages.items())
    return dg.MaterializeResult(
        metadata={"reports": dg.MetadataValue.md(links), "index": dg.MetadataValue.url(index.as_uri())}
    )
