"""The weekly job over a workspace, in this process: what it deletes and what its check says."""

from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from lake.ingest import ingest
from pipelines.defs.maintenance import lake_files
from pipelines.resources import WorkspaceResource
from tests.lake.support import Shop, event


def maintain(shop: Shop) -> dg.ExecuteInProcessResult:
    """In a thread of its own: the browser of other tests keeps an event loop running in the main one."""
    resources = {"workspace": WorkspaceResource(root=str(shop.root))}
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(dg.materialize, [lake_files], resources=resources).result()


def test_the_asset_maintains_the_lake_and_its_check_counts_late_duplicates(tmp_path):
    shop = Shop(tmp_path / "店")
    shop.land("events", "a.ndjson", [event(1, day=1), event(2, day=1)])
    ingest(shop.workspace)
    run = maintain(shop)
    assert [found.passed for found in run.get_asset_check_evaluations()] == [True]
    shop.land("events", "b.ndjson", [event(1, day=20)])
    ingest(shop.workspace)
    run = maintain(shop)
    [found] = run.get_asset_check_evaluations()
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.metadata["rows"].value == {"events": 1, "exposures": 0, "assignments": 0}
