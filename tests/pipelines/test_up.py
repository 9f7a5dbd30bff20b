"""`tenbin up`: the UI comes up on loopback, knows every asset, materialises, and goes when it is told to."""

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.conftest import Shop, purchase
from tests.support import environment, tenbin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

START_S, RUN_S = 240, 240
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) { ... on LaunchBackfillSuccess { backfillId } }
}
"""
BACKFILLED = """
query($id: String!, $tags: [ExecutionTag!]) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } }
  runsOrError(filter: { tags: $tags }) { ... on Runs { results { status } } }
}
"""
START_SENSOR = """
mutation($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename } }
"""
RUNS = "{ runsOrError { ... on Runs { results { jobName status } } } }"
LOCATION = {"repositoryLocationName": "pipelines.definitions", "repositoryName": "__repository__"}
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
Ask = Callable[..., dict[str, Any]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(question: Callable[[], Any], *, seconds: int, what: str) -> Any:
    """Ask again and again until there is an answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@pytest.fixture
def shop(run_shop: Shop) -> Shop:
    """After one `tenbin run`."""
    return run_shop


@pytest.fixture
def ask(shop: Shop, tmp_path: Path) -> Iterator[Ask]:
    """GraphQL of a UI that runs on the shop, called among somebody else's files."""
    called_in = tmp_path / "somebody's"
    called_in.mkdir()
    for name in ("stats", "lake", "dagster_webserver", "yaml"):
        (called_in / f"{name}.py").write_text(f"raise SystemExit('{name}.py of somebody else was run')\n")
    port = free_port()
    process = subprocess.Popen(
        [Path(sys.executable).with_name("tenbin"), "up", str(shop.root), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=called_in,
        env=environment({}),
        start_new_session=True,
    )

    def post(query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return dict(json.load(answer)["data"])

    def is_up() -> bool:
        assert process.poll() is None, process.communicate()[0]
        try:
            return bool(post("{ version }"))
        except OSError:
            return False

    try:
        until(is_up, seconds=START_S, what="the start of the UI")
        yield post
    finally:
        os.kill(process.pid, signal.SIGTERM)
        said = process.communicate(timeout=60)[0]
    assert "Dagster services shut down." in said
    # A process that ends while one of its threads holds a connection: DuckDB lists its types, some of errors.
    said = "".join(line for line in said.splitlines(keepends=True) if not line.startswith(" - leaked "))
    assert "Exception" not in said
    assert "somebody else" not in said
    assert "Warning" not in said
    with pytest.raises(OSError, match="refused"):
        post("{ version }")


def test_the_ui_knows_every_asset_and_materialises(ask: Ask, shop: Shop, definitions_snapshot: dict):
    nodes = ask("{ assetNodes { assetKey { path } } }")["assetNodes"]
    assert sorted(node["assetKey"]["path"][0] for node in nodes) == definitions_snapshot["assets"]
    page = next((shop.root / "reports").glob("検索*/index.html"))
    page.unlink()
    launched = ask(
        LAUNCH,
        params={
            "selector": LOCATION | {"pipelineName": "__ASSET_JOB", "assetSelection": [{"path": ["reports"]}]},
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "検索"}]},
        },
    )["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched

    def ended() -> str | None:
        status = ask(STATUS, id=launched["run"]["runId"])["runOrError"]["status"]
        return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None

    assert until(ended, seconds=RUN_S, what="the end of the run") == "SUCCESS"
    assert page.is_file()


@pytest.mark.skipif(
    "TENBIN_TEST_FULL" not in os.environ, reason="two minutes with Dagster's daemon: TENBIN_TEST_FULL=1"
)
def test_the_daemon_backfills_a_range_in_one_run_and_answers_a_new_file_with_a_new_report(
    ask: Ask, shop: Shop
):
    days = [str(day) for day in shop.days()[:4]]
    assets = [{"path": [name]} for name in ("unit_days", "first_exposures", "unit_metrics", "moments")]
    launched = ask(BACKFILL, params={"assetSelection": assets, "partitionNames": days})
    backfill = launched["launchPartitionBackfill"]["backfillId"]
    tags = [{"key": "dagster/backfill", "value": backfill}]

    def backfilled() -> dict[str, Any] | None:
        found = ask(BACKFILLED, id=backfill, tags=tags)
        return found if found["partitionBackfillOrError"]["status"].startswith("COMPLETED") else None

    found = until(backfilled, seconds=RUN_S, what="the end of the backfill")
    assert found["partitionBackfillOrError"]["status"] == "COMPLETED_SUCCESS"
    assert found["runsOrError"]["results"] == [{"status": "SUCCESS"}]
    before = shop.latest()
    for name in ("new_landing_files", "readouts_after_evidence"):
        ask(START_SENSOR, selector=LOCATION | {"sensorName": name})
    noon = dt.datetime.combine(shop.yesterday, dt.time(12), dt.UTC)
    shop.land("events", [purchase(9_000, 1, noon, 500)])

    def read_out() -> bool:
        runs = ask(RUNS)["runsOrError"]["results"]
        return sum(run == {"jobName": "readouts", "status": "SUCCESS"} for run in runs) > 1

    until(read_out, seconds=RUN_S, what="the readout after the new file")
    after = shop.latest()
    assert [day for day in after if after[day] != before[day]] == [shop.yesterday]


def test_a_port_in_use_is_said_in_one_sentence(shop: Shop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = tenbin("up", str(shop.root), "--port", str(port), check=False)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
