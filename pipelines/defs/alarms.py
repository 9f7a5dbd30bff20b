"""A failed run, or one that had to leave experiments as they were, tells the people of the workspace."""

import dagster as dg
import msgspec

from pipelines.alerts import Alert, send, shortened, webhook_of
from pipelines.partitions import RANGE_END, RANGE_START
from pipelines.resources import WorkspaceResource
from pipelines.spared import CHECK, FAILED

_PARTITION = "dagster/partition"


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def failed_run(context: dg.RunFailureSensorContext, workspace: WorkspaceResource) -> None:
    """Tell of a run that failed: what stopped which step."""
    failed = {}
    for event in context.get_step_failure_events():
        data = event.step_failure_data
        said = data.user_failure_data.description if data.user_failure_data else None
        error = data.error.cause or data.error if data.error else None
        failed[event.step_key or ""] = shortened(
            said or (error.message if error else "") or "no reason given"
        )
    _tell(context, workspace, failed or {"run": shortened(context.failure_event.message or "it ended")})


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, default_status=dg.DefaultSensorStatus.RUNNING)
def failed_experiments(context: dg.RunStatusSensorContext, workspace: WorkspaceResource) -> None:
    """Tell of a run that succeeded for all but some experiments: which, and why."""
    records = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    failed: dict[str, str] = {}
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_check_evaluation_data.check_name != CHECK:
            continue
        found = event.asset_check_evaluation_data.metadata[FAILED].value
        failed = msgspec.convert(found, dict[str, str]) | failed
    if failed:
        reasons = {key: shortened(sentence) for key, sentence in failed.items()}
        _tell(context, workspace, reasons, experiments=tuple(failed))


def _tell(
    context: dg.RunStatusSensorContext,
    workspace: WorkspaceResource,
    failed: dict[str, str],
    experiments: tuple[str, ...] = (),
) -> None:
    opened, run = workspace.load(), context.dagster_run
    alert = Alert(
        workspace=opened.name,
        job=run.job_name,
        run=run.run_id,
        failed=failed,
        experiments=experiments or _partitions(context),
        where=f"run {run.run_id} in the Dagster UI (`tenbin up {opened.root}`)",
    )
    context.log.error(alert.text)
    if url := webhook_of(opened):
        send(url, alert)


def _partitions(context: dg.RunStatusSensorContext) -> tuple[str, ...]:
    """The experiments that the run was about; days are no experiments."""
    tags = context.dagster_run.tags
    known = context.instance.get_dynamic_partitions("experiments")
    first, last = (tags.get(name, tags.get(_PARTITION)) for name in (RANGE_START, RANGE_END))
    if first not in known or last not in known:
        return ()
    return tuple(known[known.index(first) : known.index(last) + 1])
