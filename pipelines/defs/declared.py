"""Given moments → results and pages: experiments that a source of aggregates declares by its rows."""

from collections.abc import Iterator

import dagster as dg

from lake.warehouse import publish
from metrics.declared import refresh_declared
from pipelines.columns import columns_of
from pipelines.partitions import RETRY
from pipelines.resources import WorkspaceResource, now, progress
from pipelines.spared import check_of, spec_of
from reports.assemble import write_index
from reports.declared import write_declared


@dg.asset(
    deps=["given_moments", "registry"],
    retry_policy=RETRY,
    group_name="declared",
    kinds={"scipy", "deltalake"},
    metadata=columns_of("results"),
    check_specs=[spec_of("declared_results")],
)
def declared_results(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
    """Results, verdicts and pages of experiments that aggregates declare; what is unchanged is spared."""
    with workspace.writer() as session:
        report = refresh_declared(
            session.con,
            session.lake,
            session.workspace,
            session.experiments,
            now=now(),
            step=progress.get(),
        )
        pages = 0
        if report.experiments:
            pages = write_declared(session.con, session.workspace, frozenset(session.experiments))
            write_index(session.con, session.engine, session.experiments)
            publish(session.workspace)
    yield dg.MaterializeResult(
        metadata={
            "experiments": report.experiments,
            "rows written": report.rows,
            "pages written": pages,
            "verdicts of this run": dg.MetadataValue.json(report.verdicts),
        },
        check_results=[check_of(report.failed)],
    )
