"""Landing → lake: one batch of sealed files becomes rows of events, exposures, assignments and unit tables."""

from collections.abc import Iterator

import dagster as dg

from lake.ingest import ingest
from pipelines.resources import WorkspaceResource

_TABLES = {
    "events": "What units did: one row per event, duplicates removed, by event day.",
    "exposures": "Which variant a unit really saw, when: the start of its clock.",
    "assignments": "Which variant a unit was given at decision time.",
    "unit_keys": "Unit type and id → dense integer key; rows of the lake are ordered by it.",
    "unit_attributes": "Attributes of units, with the moment from which they hold.",
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(name, description=text, group_name="ingestion", kinds={"duckdb", "deltalake"})
        for name, text in _TABLES.items()
    ],
    pool="lake",
)
def ingestion(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
    """Ingest every sealed landing file that has not been ingested yet; a second run finds nothing to do."""
    report = ingest(workspace.load())
    table = dg.MetadataValue.md(report.markdown())
    with workspace.session() as session:
        for name in _TABLES:
            rows = session.con.execute(f'SELECT count(*) FROM "{name}"').fetchall()[0][0]
            days = report.days.get(name, ())
            yield dg.MaterializeResult(
                asset_key=name,
                metadata={
                    "dagster/row_count": rows,
                    "this run, by source": table,
                    "event days touched": dg.MetadataValue.text(", ".join(map(str, days)) or "none"),
                },
            )
