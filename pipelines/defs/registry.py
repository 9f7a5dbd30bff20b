"""Definitions → registry: what is analysed, checked against the data before anything is computed."""

import dagster as dg

from metrics.registry import write_registry
from pipelines.columns import columns_of
from pipelines.partitions import EXPERIMENTS, RETRY
from pipelines.resources import WorkspaceResource


@dg.asset(
    deps=["events", "exposures", "assignments", "unit_attributes"],
    retry_policy=RETRY,
    group_name="definitions",
    kinds={"deltalake"},
    metadata=columns_of("registry"),
)
def registry(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Experiments and metrics as analysed, with fingerprints. An unknown event or field stops here."""
    with workspace.writer() as session:
        entries = write_registry(session.con, session.lake, session.experiments, session.metrics)
    context.instance.add_dynamic_partitions(EXPERIMENTS, sorted(session.experiments))
    for gone in set(context.instance.get_dynamic_partitions(EXPERIMENTS)) - set(session.experiments):
        context.instance.delete_dynamic_partition(EXPERIMENTS, gone)
    rows = [f"| {entry.experiment} | {entry.metrics} | `{entry.fingerprint}` |" for entry in entries]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(entries),
            "experiments": dg.MetadataValue.md(
                "\n".join(["| experiment | metrics | fingerprint |", "|---|---|---|", *rows])
            ),
        }
    )
