"""When things run: jobs, the daily schedule, the sensor for new landing files, readouts after each pass."""

import datetime as dt
import hashlib

import dagster as dg

from lake import open_lake
from lake.manifest import pending
from lake.sources import landing_files
from pipelines.partitions import EXPERIMENTS, RANGE_END, RANGE_START, as_of_partitions
from pipelines.resources import WorkspaceResource, now

ingest_job = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.groups("ingestion", "definitions", "declared"),
    description="Landing files into the lake; definitions checked against it; declared experiments analysed.",
)
evidence_job = dg.define_asset_job(
    "evidence",
    selection=dg.AssetSelection.assets(
        "unit_days", "unit_values", "first_exposures", "unit_metrics", "moments"
    ),
    description="Units and moments of a range of as-of days.",
)
daily_job = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.groups("ingestion", "definitions", "declared", "units")
    | dg.AssetSelection.assets("moments"),
    description="Everything up to the moments of a day, new landing files included.",
)
readout_job = dg.define_asset_job(
    "readouts",
    selection=dg.AssetSelection.assets("results", "reports"),
    description="Results and reports of a range of experiments.",
)

_RETRY_S = 900
_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
# A killed run keeps its status for ever; after this long none is waited for.
_LONGEST_WAIT = dt.timedelta(hours=1)


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


def _under_way() -> dg.RunsFilter:
    return dg.RunsFilter(
        statuses=[status for status in dg.DagsterRunStatus if status not in _ENDED],
        updated_after=now() - _LONGEST_WAIT,
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
    """Run while there are sealed landing files that are not in the lake yet, one run at a time.

    Dagster starts a key once. The same files have another one after a while: so a run that failed is tried
    again, and not every half a minute.
    """
    opened = workspace.load()
    found = landing_files(opened)
    files = pending(open_lake(opened), found)
    if not files:
        return dg.SkipReason(f"{len(found)} landing files, none of them new.")
    if context.instance.get_runs_count(_under_way()):
        return dg.SkipReason(f"{len(files)} new landing files; a run is under way.")
    names = "\n".join(sorted(f"{file.source}/{file.kind}/{file.name}" for file in files))
    key = f"{hashlib.sha256(names.encode()).hexdigest()[:16]}-{int(now().timestamp()) // _RETRY_S}"
    return _daily_request(workspace, key) or dg.RunRequest(run_key=key, job_name="ingest")


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
