"""Lake → units → moments: what each unit did, then what each variant did, as of each day.

`unit_days` and what follows are daily; a range of days runs in one step, in order.
"""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from metrics.analysis import as_of_days
from metrics.looks import due_days
from metrics.steps import StepReport
from pipelines.columns import columns_of
from pipelines.partitions import ONE_RUN, RETRY, as_of_partitions
from pipelines.resources import Session, WorkspaceResource, now, stepwise
from pipelines.spared import check_of, spared, spec_of

_KINDS = {"duckdb", "deltalake"}


@dg.asset(
    deps=["events", "registry"],
    partitions_def=as_of_partitions,
    backfill_policy=ONE_RUN,
    retry_policy=RETRY,
    group_name="units",
    kinds=_KINDS,
    metadata=columns_of("unit_days"),
)
def unit_days(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Per unit, day and measure: how many events, what sum. Shared by all experiments."""
    with workspace.writer() as session:
        # Stored as-of days are brought up to date too, whatever the range; so they need all of their days.
        until = max(_range(context)[1], session.latest_stored_day() or dt.date.min)
        report = session.engine.refresh_unit_days(session.con, until=until)
        return dg.MaterializeResult(metadata=_metadata(session, "unit_days", report))


@dg.asset(
    deps=["events", "registry"],
    partitions_def=as_of_partitions,
    backfill_policy=ONE_RUN,
    retry_policy=RETRY,
    group_name="units",
    kinds=_KINDS,
)
def unit_values(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult[None]:
    """Per unit, day and measure: each value and how often it came; for quantiles and distinct counts."""
    with workspace.writer() as session:
        until = max(_range(context)[1], session.latest_stored_day() or dt.date.min)
        report = session.engine.refresh_unit_values(session.con, until=until)
        return dg.MaterializeResult(metadata=_metadata(session, "unit_values", report))


@dg.asset(
    # Rules that exclude units read events and attributes.
    deps=["exposures", "assignments", "events", "unit_attributes", "unit_keys", "registry"],
    partitions_def=as_of_partitions,
    backfill_policy=ONE_RUN,
    retry_policy=RETRY,
    group_name="units",
    kinds=_KINDS,
    metadata=columns_of("first_exposures"),
)
def first_exposures(workspace: WorkspaceResource) -> dg.MaterializeResult[None]:
    """Per experiment and unit: the first exposure, and when a second variant was seen."""
    with workspace.writer() as session:
        report = session.engine.refresh_first_exposures(session.con, list(session.experiments.values()))
        return dg.MaterializeResult(metadata=_metadata(session, "first_exposures", report))


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "unit_metrics",
            deps=["unit_days", "unit_values", "first_exposures", "unit_attributes"],
            description="Per experiment and unit, as of the latest day: variant, segments, values.",
            group_name="units",
            kinds=_KINDS,
            metadata=columns_of("unit_metrics"),
            partitions_def=as_of_partitions,
        ),
        dg.AssetSpec(
            "moments",
            deps=["unit_metrics"],
            description="Per variant, segment, metric and as-of day: n, means and covariances.",
            group_name="evidence",
            kinds=_KINDS,
            metadata=columns_of("moments"),
            partitions_def=as_of_partitions,
        ),
    ],
    check_specs=[spec_of("moments")],
    backfill_policy=ONE_RUN,
    retry_policy=RETRY,
)
def units_to_moments(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Bring every experiment to the as-of days of this run, and what it has of other days up to date.

    Days of a group-sequential experiment whose look is due are made too: a look does not depend on runs.
    One step for both tables, because unit metrics are kept for the latest day only and moments for all.
    """
    first, last = _range(context)
    units, moments = [], []
    failed: dict[str, str] = {}
    with workspace.writer() as session:
        for experiment in stepwise(list(session.experiments.values())):
            days = as_of_days(experiment, session.metrics, session.workspace, first=first, last=last)
            with spared(experiment, failed):
                looked_at = due_days(session.con, session.engine, experiment, until=last, now=now())
                unit_report, moment_report = session.engine.refresh(
                    session.con, experiment, [*days, *looked_at]
                )
                units.append(unit_report)
                moments.append(moment_report)
                context.log.info("%s: %d as-of days in this range", experiment.key, len(days))
        yield dg.MaterializeResult(
            asset_key="unit_metrics", metadata=_metadata(session, "unit_metrics", StepReport.total(units))
        )
        yield dg.MaterializeResult(
            asset_key="moments",
            metadata=_metadata(session, "moments", StepReport.total(moments)),
            check_results=[check_of(failed)],
        )


def _range(context: dg.AssetExecutionContext) -> tuple[dt.date, dt.date]:
    keys = context.partition_key_range
    return dt.date.fromisoformat(keys.start), dt.date.fromisoformat(keys.end)


def _metadata(session: Session, table: str, report: StepReport) -> dict[str, dg.MetadataValue | int | float]:
    metadata: dict[str, dg.MetadataValue | int | float] = {
        "dagster/row_count": session.row_count(table),
        "rows written": report.rows,
        "seconds": report.seconds,
    }
    if report.sql:
        metadata["sql"] = dg.MetadataValue.md(f"```sql\n{report.sql}\n```")
    return metadata
