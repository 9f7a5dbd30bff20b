"""What keeps the lake small and fast: once a week, beside the daily runs."""

from collections.abc import Iterator

import dagster as dg

from lake.maintenance import maintain
from pipelines.partitions import RETRY
from pipelines.resources import WorkspaceResource, told_once

_CHECK = "late_duplicates"


@dg.asset(
    deps=["events", "exposures", "assignments"],
    retry_policy=RETRY,
    group_name="maintenance",
    kinds={"duckdb", "deltalake"},
    check_specs=[
        dg.AssetCheckSpec(
            _CHECK, asset="lake_files", description="No record came again after more than `dedup_days`."
        )
    ],
)
def lake_files(workspace: WorkspaceResource) -> Iterator[dg.MaterializeResult[None]]:
    """Small files written together, replaced ones deleted after `retention`; no row changes."""
    with told_once():
        report = maintain(workspace.load())
    yield dg.MaterializeResult(
        metadata={
            "small files written together": dg.MetadataValue.json(report.compacted),
            "files deleted": report.vacuumed,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=_CHECK,
                passed=not any(report.late_duplicates.values()),
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"rows": dg.MetadataValue.json(report.late_duplicates)},
            )
        ],
    )


maintenance_job = dg.define_asset_job(
    "maintenance",
    selection=dg.AssetSelection.assets("lake_files"),
    description="Small files written together, replaced ones deleted, late duplicates counted.",
)


@dg.schedule(
    job=maintenance_job,
    cron_schedule="0 2 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def every_sunday() -> dg.RunRequest:
    """Every Sunday at 02:00 UTC: maintenance of the lake."""
    return dg.RunRequest()
