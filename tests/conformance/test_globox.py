"""GloBox through the whole pipeline on Spark: the numbers of DuckDB, which are the published ones.

`tests/pipelines/test_globox.py` holds DuckDB's to what was published.
"""

import json
from pathlib import Path

import pytest

from tests.support import globox_workspace, tenbin

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
def test_the_readout_is_that_of_duckdb(globox, cluster, tmp_path):
    root = globox_workspace(tmp_path / "globox")
    toml = root / "tenbin.toml"
    settings = toml.read_text(encoding="utf-8").replace(
        'lateness = "2d"', 'lateness = "2d"\nengine = "spark"', 1
    )
    # A cluster of its own would only cost time: how many workers there are is the other test's.
    alone = cluster.replace("local-cluster[2,1,1024]", "local[2]")
    toml.write_text(f"{settings}\n{alone}", encoding="utf-8")
    found = {}
    for name, printed in (
        ("duckdb", globox[1]),
        ("spark", json.loads(tenbin("run", str(root), "--json").stdout)),
    ):
        (experiment,) = printed["experiments"]
        found[name] = json.loads(Path(experiment["result_json"]).read_text(encoding="utf-8"))
    ours, sparks = found["duckdb"], found["spark"]
    assert sparks["srm"] == ours["srm"]
    assert sparks["results"] == ours["results"]
    assert len(ours["results"]) > 50
