"""Partitions: as-of days for what follows the calendar, one dynamic partition per experiment for readouts.

The days begin with the first experiment and end with the last planned end, so that the UI shows no empty
years. They are read from the workspace's files when the code location loads; reload it after adding an
experiment. A range of either is one run: no asset is ever run once per day or per experiment.
"""

import datetime as dt
import os

import dagster as dg

from assignments import load_experiments
from metrics import load_metrics
from metrics.analysis import planned_end
from workspace import UserError, load_workspace

EXPERIMENTS = "experiments"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

# What a second attempt can heal: another writer was faster, a mounted disk was away for a moment.
RETRY = dg.RetryPolicy(max_retries=1, delay=2)
ONE_RUN = dg.BackfillPolicy.single_run()

experiment_partitions = dg.DynamicPartitionsDefinition(name=EXPERIMENTS)


def _days() -> dg.DailyPartitionsDefinition:
    today = dt.datetime.now(dt.UTC).date()
    first, last = today - dt.timedelta(days=1), None
    try:
        workspace = load_workspace(os.environ.get("TENBIN_WORKSPACE", "."))
        metrics = load_metrics(workspace)
        experiments = load_experiments(workspace).values()
        if experiments:
            first = min(experiment.start for experiment in experiments)
            ends = [planned_end(experiment, metrics, workspace) for experiment in experiments]
            last = None if None in ends else max(end for end in ends if end is not None)
    except UserError:
        # A broken definition must not take the UI down: the registry asset says what is wrong with it.
        pass
    # Dagster's end_date is exclusive.
    end = None if last is None or last >= today else (last + dt.timedelta(days=1)).isoformat()
    return dg.DailyPartitionsDefinition(start_date=min(first, today).isoformat(), end_date=end)


as_of_partitions = _days()
