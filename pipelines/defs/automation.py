"""When things run: jobs, the daily schedule, the sensor for new landing files, readouts after each pass."""

import datetime as dt
import hashlib

import dagster as dg

from lake.sources import landing_files
from pipelines.partitions import EXPERIMENTS, RANGE_END, RANGE_START, as_of_partitions
from pipelines.resources import WorkspaceResource, now

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
    """The as-of days that late rows may still change, and the one that has just closed, for its last time."""
    last = today - dt.timedelta(days=1)
    return last - dt.timedelta(days=-(-lateness_s // 86_400)), last


def _daily_request(workspace: WorkspaceResource, run_key: str) -> dg.RunRequest | None:
    """One run over the open days, cut to the days that exist; None when no experiment has one."""
    days = as_of_partitions.get_partition_keys()
    first, last = open_days(now().date(), workspace.load().lateness_s)
    # After the last planned end there is no open day; what is late still gets into the last one.
    keys = [day for day in days if first.isoformat() <= day <= last.isoformat()] or days[-1:]
    if not keys:
        return None
    return dg.RunRequest(run_key=run_key, job_name="daily", tags={RANGE_START: keys[0], RANGE_END: keys[-1]})


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
    request = _daily_request(workspace, context.scheduled_execution_time.isoformat())
    return request or dg.SkipReason("No experiment has an as-of day yet.")


@dg.sensor(
    jobs=[daily_job, ingest_job],
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def new_landing_files(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.RunRequest | dg.SkipReason:
    """Run when a sealed landing file appears that the last run has not seen."""
    files = sorted(str(file.path) for file in landing_files(workspace.load()))
    seen = hashlib.sha256("\n".join(files).encode()).hexdigest()
    if not files or seen == context.cursor:
        return dg.SkipReason(f"{len(files)} landing files, none of them new.")
    context.update_cursor(seen)
    return _daily_request(workspace, seen) or dg.RunRequest(run_key=seen, job_name="ingest")


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
    return dg.RunRequest(run_key=context.dagster_run.run_id, tags={RANGE_START: keys[0], RANGE_END: keys[-1]})
