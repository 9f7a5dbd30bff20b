"""A failed run is told to the webhook of the workspace, over a real connection."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pipelines.alerts import Alert, AlertError, send, webhook_of
from tests.pipelines.conftest import Shop, make_shop
from tests.support import ROOT, environment
from workspace import load_workspace

ALERT = Alert(workspace="店", job="daily", run="r1", failed={"a": "b"}, experiments=("検索",), where="there")

# An unknown event stops the registry; then one metric without a currency is an experiment's own trouble.
PROGRAM = """
import os, sys, warnings
warnings.simplefilter("ignore")
import dagster as dg
from pipelines.definitions import defs
from pipelines.resources import WorkspaceResource
from pipelines.spared import check_of, spec_of

repository = defs().get_repository_def()
resources = {"workspace": WorkspaceResource(root=os.environ["TENBIN_WORKSPACE"])}

@dg.asset(check_specs=[spec_of("made")])
def made():
    yield dg.MaterializeResult(check_results=[check_of({"検索": "its\\nvalues do not fit"})])

with dg.DagsterInstance.ephemeral() as instance:
    def tell(sensor, event, run):
        with dg.build_run_status_sensor_context(
            sensor, event, instance, run, resources=resources, repository_def=repository
        ) as context:
            if sensor == "failed_run":
                context = context.for_run_failure()
            repository.get_sensor_def(sensor)(context)

    failed = repository.get_job("ingest").execute_in_process(instance=instance, raise_on_error=False)
    tell("failed_run", failed.get_run_failure_event(), failed.dagster_run)
    spared = dg.materialize([made], instance=instance)
    tell("failed_experiments", spared.get_run_success_event(), spared.dagster_run)
    fine = dg.materialize([dg.asset(name="fine")(lambda: None)], instance=instance)
    tell("failed_experiments", fine.get_run_success_event(), fine.dagster_run)
"""


class Receiver(HTTPServer):
    """Keeps what is posted to it, and answers with the status that it was told."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_failed_run_and_a_failed_experiment_are_told_with_what_and_where(
    receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
):
    shop = make_shop(tmp_path_factory.mktemp("alarms") / "店")
    with (shop.root / "tenbin.toml").open("a", encoding="utf-8") as settings:
        settings.write(f'\n[alerts]\nwebhook = "{receiver.url}"\n')
    metrics = shop.root / "metrics" / "shop.toml"
    metrics.write_text(
        metrics.read_text(encoding="utf-8").replace('"purchase"', '"purchse"'), encoding="utf-8"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment({"TENBIN_WORKSPACE": str(shop.root), "DAGSTER_DISABLE_TELEMETRY": "yes"}),
    )
    assert done.returncode == 0, done.stderr
    run, experiment = receiver.taken
    assert (run["workspace"], run["job"]) == ("店", "ingest")
    assert 'did you mean "purchase"?' in run["failed"]["registry"]
    assert run["run"] in run["where"]
    assert run["failed"]["registry"] in run["text"]
    assert experiment["failed"] == {"検索": "its values do not fit"}
    assert experiment["experiments"] == ["検索"]


def test_an_alert_that_is_not_taken_names_the_host_and_not_the_secret(receiver: Receiver):
    receiver.status = 500
    with pytest.raises(AlertError, match=r"r1 was not taken by 127\.0\.0\.1: .*500") as refused:
        send(receiver.url, ALERT)
    assert "secret" not in str(refused.value)
    assert receiver.taken[0]["experiments"] == ["検索"]


def test_the_environment_outranks_the_file_and_other_schemes_are_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TENBIN_ALERT_WEBHOOK", raising=False)
    workspace = load_workspace(shop.root)
    assert webhook_of(workspace) is None
    monkeypatch.setenv("TENBIN_ALERT_WEBHOOK", "https://example.org/x")
    assert webhook_of(workspace) == "https://example.org/x"
    monkeypatch.setenv("TENBIN_ALERT_WEBHOOK", "file:///etc/passwd")
    with pytest.raises(AlertError, match="TENBIN_ALERT_WEBHOOK must be"):
        webhook_of(workspace)
