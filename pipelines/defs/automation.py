"""When things run: jobs, the daily schedule, the sensor for new landing files, readouts after each pass."""

import datetime as dt
import hashlib

import dagster as dg

from lake.sources import landing_files
from pipelines.partitions import EXPERIMENTS, as_of_partitions
from pipelines.resources import WorkspaceResource

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"

ingest_job = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.groups("ingestion", "definitions"),
    description="Landing files into the lake; definitions checked against it.",
)
evidence_job = dg.define_asset_job(
    "evidence",
    selection=dg.AssetSelection.assets("unit_days", "first_exposures", "unit_metrics", "moments"),
    description="Units and moments of a range of as-of days.",
)
daily_job = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.groups("ingestion", "definitions", "units")
    | dg.AssetSelection.assets("moments"),
    description="Everything up to the moments of a day, new landing files included.",
)
readout_job = dg.define_asset_job(
    "readouts",
    selection=dg.AssetSelection.assets("results", "reports"),
    description="Results and reports of a range of experiments.",
)


def open_days(today: dt.date, lateness_s: int) -> tuple[dt.date, dt.date]:
    """The as-of days that late rows may still change: from yesterday back over `lateness`."""
    last = today - dt.timedelta(days=1)
    return last - dt.timedelta(days=-(-lateness_s // 86_400)), last


def _daily_request(
    workspace: WorkspaceResource, instance: dg.DagsterInstance, run_key: str
) -> dg.RunRequest | None:
    """One run over the open days, cut to the days that exist; None when no experiment is running."""
    first, last = open_days(dt.datetime.now(dt.UTC).date(), workspace.load().lateness_s)
    keys = [
        key
        for key in as_of_partitions.get_partition_keys(dynamic_partitions_store=instance)
        if first.isoformat() <= key <= last.isoformat()
    ]
    if not keys:
        keys = as_of_partitions.get_partition_keys(dynamic_partitions_store=instance)[-1:]
    if not keys:
        return None
    return dg.RunRequest(
        run_key=run_key, job_name="daily", tags={_RANGE_START: keys[0], _RANGE_END: keys[-1]}
    )


@dg.schedule(
    job=daily_job,
    cron_schedule="30 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
)
def every_morning(
    context: dg.ScheduleEvaluationContext, workspace: WorkspaceResource
) -> dg.RunRequest | dg.SkipReason:
    """Every day at 04:30 UTC: what landed, and the days that are still open."""
    run_key = context.scheduled_execution_time.isoformat()
    request = _daily_request(workspace, context.instance, run_key)
    return request or dg.SkipReason("No experiment has an as-of day yet.")


@dg.sensor(job=daily_job, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.STOPPED)
def new_landing_files(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.RunRequest | dg.SkipReason:
    """Run when a sealed landing file appears that the last run has not seen."""
    files = sorted(str(file.path) for file in landing_files(workspace.load()))
    seen = hashlib.sha256("\n".join(files).encode()).hexdigest()
    if not files or seen == context.cursor:
        return dg.SkipReason(f"{len(files)} landing files, none of them new.")
    request = _daily_request(workspace, context.instance, seen)
    if request is None:
        return dg.SkipReason("New files, but no experiment has an as-of day yet.")
    context.update_cursor(seen)
    return request


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[daily_job, evidence_job],
    request_job=readout_job,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def readouts_after_evidence(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """New moments → new results and reports of every experiment, in one run."""
    keys = context.instance.get_dynamic_partitions(EXPERIMENTS)
    if not keys:
        return dg.SkipReason("No experiment is registered.")
    return dg.RunRequest(
        run_key=context.dagster_run.run_id, tags={_RANGE_START: keys[0], _RANGE_END: keys[-1]}
    )
