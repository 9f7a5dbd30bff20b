"""Moments → results → reports, per experiment; many experiments run in one step."""

import dagster as dg

from metrics.evidence import headline_markdown
from metrics.results import refresh_results
from pipelines.partitions import experiment_partitions
from pipelines.resources import WorkspaceResource, now
from reports.assemble import write_index, write_report
from lake.warehouse import publish

_PER_EXPERIMENT = {
    "partitions_def": experiment_partitions,
    "backfill_policy": dg.BackfillPolicy.single_run(),
}


@dg.asset(
    # Without a mapping Dagster would pair days with experiments by name.
    deps=[dg.AssetDep("moments", partition_mapping=dg.AllPartitionMapping()), "registry"],
    group_name="evidence",
    kinds={"scipy", "deltalake"},
    pool="lake",
    **_PER_EXPERIMENT,
)
def results(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Estimates, intervals, tests and verdicts of every as-of day; a changed past day gets a revision."""
    tables, rows = [], 0
    with workspace.session() as session:
        for key in context.partition_keys:
            report = refresh_results(session.con, session.engine, session.experiments[key], now=now())
            rows += report.rows
            tables.append(f"### {key}: {report.decision.verdict}\n\n{report.decision.sentence}\n")
            tables.append(headline_markdown(report.latest))
            context.log.info("%s: %s", key, report.decision.sentence)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": rows, "results": dg.MetadataValue.md("\n".join(tables))}
    )


@dg.asset(deps=["results"], group_name="evidence", kinds={"plotly", "html"}, pool="lake", **_PER_EXPERIMENT)
def reports(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """A page, `result.json` and Markdown per experiment, the index, and the published warehouse."""
    pages = {}
    with workspace.session() as session:
        for key in context.partition_keys:
            pages[key] = write_report(session.con, session.engine, session.experiments[key])
        index = write_index(session.workspace, session.experiments)
        publish(session.workspace)
    return dg.MaterializeResult(
        metadata={
            "reports": dg.MetadataValue.md(
                "\n".join(f"- [{key}]({page.as_uri()})" for key, page in pages.items())
            ),
            "index": dg.MetadataValue.url(index.as_uri()),
        }
    )
