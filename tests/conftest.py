"""What many tests share: workspaces that were really run (once per session and process), and vectors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.support import ROOT, environment, globox_workspace, tenbin

# What must pass on every change draws the same examples every time; the long run goes on looking for others.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
if not os.environ.get("TENBIN_TEST_FULL"):
    hypothesis.settings.load_profile("same")

HASH_VECTORS = ROOT.parent / "shared" / "hash_vectors.json"


@pytest.fixture(scope="session")
def hash_vectors() -> list[dict[str, object]]:
    """The published vectors, read where they lie beside the repository."""
    if not HASH_VECTORS.is_file():
        pytest.skip("../shared/hash_vectors.json is not there: the published hash vectors were NOT checked")
    return json.loads(HASH_VECTORS.read_text(encoding="utf-8"))["vectors"]


@pytest.fixture(scope="session")
def globox(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The GloBox workspace after `tenbin run --json`, and what it printed."""
    root = globox_workspace(tmp_path_factory.mktemp("globox") / "ワークスペース globox")
    return root, json.loads(tenbin("run", str(root), "--json").stdout)


@pytest.fixture(scope="session")
def definitions_snapshot() -> dict[str, list[str]]:
    """Names of everything that the Dagster code location defines, loaded in a process of its own."""
    program = """
import json, warnings
warnings.simplefilter("ignore")
import dagster as dg
from pipelines.definitions import defs
repository = defs().get_repository_def()
graph = repository.asset_graph
print(json.dumps({
    "assets": sorted(key.to_user_string() for key in graph.get_all_asset_keys()),
    "checks": sorted(f"{check.asset_key.to_user_string()}:{check.name}" for check in graph.asset_check_keys),
    "parents of first_exposures": sorted(
        key.to_user_string() for key in graph.get(dg.AssetKey("first_exposures")).parent_keys
    ),
    "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
    "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
    "assets with columns": sorted(
        key.to_user_string() for key in graph.get_all_asset_keys()
        if "dagster/column_schema" in graph.get(key).metadata
    ),
    "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
}))
"""
    printed = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment(
            {"TENBIN_WORKSPACE": str(ROOT / "examples" / "globox"), "DAGSTER_DISABLE_TELEMETRY": "yes"}
        ),
        cwd=ROOT,
    ).stdout
    snapshot: dict[str, list[str]] = json.loads(printed)
    return snapshot
