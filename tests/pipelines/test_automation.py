"""What the schedule and the sensor ask for: one run over the days that are still open."""

import datetime as dt
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.pipelines.conftest import Shop, make_shop, purchase
from tests.support import ROOT, environment

pytestmark = pytest.mark.slow

# One process loads the code location and asks everything; partitions belong to the process.
PROGRAM = """
import datetime as dt, json, os, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import dagster as dg
from pipelines.definitions import defs
from pipelines.resources import WorkspaceResource

repository, landed = defs().get_repository_def(), Path(sys.argv[1])
known = {
    "repository_def": repository,
    "resources": {"workspace": WorkspaceResource(root=os.environ["TENBIN_WORKSPACE"])},
}
asked = []

def note(data):
    runs = data.run_requests or []
    asked.append({
        "skipped": data.skip_message,
        "runs": [{"job": run.job_name, "key": run.run_key, "tags": dict(run.tags)} for run in runs],
    })
    return data

at = dt.datetime(2026, 1, 2, 4, 30, tzinfo=dt.UTC)
with dg.DagsterInstance.ephemeral() as instance:
    schedule = repository.get_schedule_def("every_morning")
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=at, **known) as context:
        (request,) = note(schedule.evaluate_tick(context)).run_requests
    daily = repository.get_job("daily").execute_in_process(instance=instance, tags=request.tags)
    success = daily.get_run_success_event()
    with dg.build_run_status_sensor_context(
        "readouts_after_evidence", success, instance, daily.dagster_run
    ) as context:
        after = repository.get_sensor_def("readouts_after_evidence")(context)
    repository.get_job("readouts").execute_in_process(instance=instance, tags=after.tags)
    sensor = repository.get_sensor_def("new_landing_files")

    def look():
        with dg.build_sensor_context(instance=instance, **known) as context:
            return note(sensor.evaluate_tick(context))

    look()
    landed.write_text(sys.argv[2])
    (request,) = look().run_requests
    under_way = instance.create_run_for_job(
        repository.get_job("daily"), status=dg.DagsterRunStatus.STARTED, tags=request.tags
    )
    look()
    instance.report_run_failed(under_way)
    look()
    automation = sys.modules["pipelines.defs.automation"]
    automation.now = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(minutes=15)
    look()
    repository.get_job("ingest").execute_in_process(instance=instance)
    look()
print(json.dumps(asked))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("automation"))


@pytest.fixture(scope="module")
def asked(shop: Shop) -> list[dict[str, Any]]:
    landed = shop.root / "landing" / "events" / "new.ndjson"
    noon = dt.datetime.combine(shop.yesterday, dt.time(12), dt.UTC)
    late = json.dumps(purchase(9_000, 1, noon, 500)) + "\n"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(landed), late],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment({"TENBIN_WORKSPACE": str(shop.root), "DAGSTER_DISABLE_TELEMETRY": "yes"}),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_the_schedule_asks_for_runs_and_is_followed_by_the_readouts(
    asked: list[dict[str, Any]], shop: Shop
):
    assert asked[0]["runs"][0]["job"] == "daily"
    open_days = [day for day in shop.days() if shop.is_open(day)]
    assert sorted(shop.latest()) == [open_days[0] - dt.timedelta(days=1), *open_days]
    assert list((shop.root / "reports").glob("*/result.json"))


def test_each_asks_for_one_run_over_the_open_days(asked: list[dict[str, Any]], shop: Shop):
    schedule, nothing, new, busy, failed, later, done = asked
    open_days = [day for day in shop.days() if shop.is_open(day)]
    assert len(open_days) == 2
    just_closed = open_days[0] - dt.timedelta(days=1)
    for found in (schedule, new, failed, later):
        (run,) = found["runs"]
        assert run["job"] == "daily"
        assert run["tags"]["dagster/asset_partition_range_start"] == str(just_closed)
        assert run["tags"]["dagster/asset_partition_range_end"] == str(open_days[-1])
    for found in (nothing, done):
        assert found["runs"] == []
        assert "none of them new" in found["skipped"]
    assert busy["runs"] == []
    assert "under way" in busy["skipped"]
    # Dagster starts a key once: not again at once, but after a while.
    assert later["runs"][0]["key"] not in {new["runs"][0]["key"], failed["runs"][0]["key"]}
