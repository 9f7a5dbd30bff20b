"""Landing → lake: one batch of sealed files becomes rows of events, exposures, assignments, unit tables."""

from collections.abc import Iterator

import dagster as dg

from lake.ingest import IngestReport, ingest
from pipelines.columns import columns_of
from pipelines.partitions import RETRY
from pipelines.resources import WorkspaceResource, progress, told_once

_TABLES = {
    "events": "What units did: one row per event, duplicates removed, by event day.",
    "exposures": "Which variant a unit really saw, when: the start of its clock.",
    "assignments": "Which variant a unit was given at decision time.",
    "unit_keys": "Unit type and id → dense integer key; rows of the lake are ordered by it.",
    "unit_attributes": "Attributes of units, with the moment from which they hold.",
    "given_moments": "Aggregates as foreign sources state them: n, means, covariances.",
}
# What a source of each kind fills.
_KINDS = {
    "events": "events",
    "exposures": "exposures",
    "assignments": "assignments",
    "units": "unit_attributes",
    "moments": "given_moments",
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            name,
            description=text,
            group_name="ingestion",
            kinds={"duckdb", "deltalake"},
            metadata=columns_of(name),
        )
        for name, text in _TABLES.items()
    ],
    retry_policy=RETRY,
)
def ingestion(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Ingest every sealed landing file that has not been ingested yet; a second run finds nothing to do."""
    with told_once():
        report = ingest(workspace.load(), lambda _what, done, total: progress.get()(done / max(total, 1)))
    for warning in report.warnings:
        context.log.warning(warning)
    with workspace.reader() as session:
        for name in _TABLES:
            metadata = _metadata(report, name, session.row_count(name))
            yield dg.MaterializeResult(asset_key=name, metadata=metadata)


def _metadata(report: IngestReport, table: str, rows: int) -> dict[str, dg.MetadataValue | int | str]:
    days = report.days.get(table, ())
    found: dict[str, dg.MetadataValue | int | str] = {"dagster/row_count": rows}
    if table in _KINDS.values():
        mine = [source for source in report.sources if _KINDS[source.kind] == table]
        found |= {
            "accepted": sum(source.accepted for source in mine),
            "duplicates": sum(source.duplicates for source in mine),
            "quarantined": sum(source.quarantined for source in mine),
            "suppressed": sum(source.suppressed for source in mine),
            "event days touched": ", ".join(map(str, days)) or "none",
            "this run, by source": dg.MetadataValue.md(report.markdown()),
        }
    return found
