"""The asset checks, as Dagster records them: passed, warned, failed, and skipped where they do not apply."""

import datetime as dt
import json
from pathlib import Path

import pytest
from dagster import AssetCheckKey, AssetCheckSeverity, AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from tenbin.demo import make_demo
from tests.pipelines.conftest import Shop, exposure, purchase
from tests.support import tenbin

pytestmark = pytest.mark.slow

CHECKS = [
    "events:duplicates",
    "events:quarantine_share",
    "exposures:unknown_variant",
    "first_exposures:assignment_rederived",
    "first_exposures:mixed_variants",
    "results:srm",
    "unit_metrics:exposure_before_outcome",
]


def latest(root: Path) -> dict[str, AssetCheckExecutionRecord]:
    """The last execution of every check."""
    keys = {name: AssetCheckKey(AssetKey(name.split(":")[0]), name.split(":")[1]) for name in CHECKS}
    with DagsterInstance.from_config(str(root / ".dagster")) as instance:
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(keys.values()))
        assert set(found) == set(keys.values())
        for record in found.values():
            run = instance.get_run_by_id(record.run_id)
            assert run is not None
            assert run.is_success
    return {name: found[key] for name, key in keys.items()}


def outcome(record: AssetCheckExecutionRecord) -> str:
    """As Dagster's UI has it: planned, in a run that succeeded without its result, means skipped."""
    if record.status is AssetCheckExecutionRecordStatus.PLANNED:
        return "skipped"
    assert record.evaluation is not None
    if record.evaluation.passed:
        return "passed"
    return "warned" if record.evaluation.severity is AssetCheckSeverity.WARN else "failed"


def text(record: AssetCheckExecutionRecord) -> str:
    assert record.evaluation is not None
    return str(record.evaluation.metadata["found"].value)


def test_good_data_pass_and_foreign_assignments_are_never_said_to_be_rederived(undisturbed: Shop):
    found = {name: outcome(record) for name, record in latest(undisturbed.root).items()}
    assert found == dict.fromkeys(CHECKS, "passed") | {"first_exposures:assignment_rederived": "skipped"}


def test_each_defect_of_the_data_is_found_by_its_check(shop: Shop):
    noon = dt.datetime.combine(shop.first, dt.time(12), dt.UTC)
    minute = dt.timedelta(minutes=1)
    shop.land("exposures", [exposure(unit, noon) | {"variant": "幽霊"} for unit in range(1_000, 1_004)])
    shop.land(
        "exposures", [exposure(unit, noon, exposure_id=f"again{unit}", variant="zoë") for unit in (0, 2, 4)]
    )
    # One arm has lost most of its units, and every new unit's purchase lies just before its exposure.
    shop.land("exposures", [exposure(unit, noon) for unit in range(2_000, 2_200, 2)])
    shop.land("events", [purchase(unit, unit, noon - minute, 100) for unit in range(2_000, 2_200, 2)])
    shop.land("events", [purchase(unit, unit, noon, 100) for unit in range(0, 60, 3)] * 2)
    shop.land("events", [{"event": "purchase"} for _ in range(10)])
    shop.run()
    found = latest(shop.root)
    assert {name: outcome(record) for name, record in found.items()} == {
        "events:duplicates": "warned",
        "events:quarantine_share": "warned",
        "exposures:unknown_variant": "failed",
        "first_exposures:assignment_rederived": "skipped",
        "first_exposures:mixed_variants": "failed",
        "results:srm": "failed",
        "unit_metrics:exposure_before_outcome": "warned",
    }
    assert "| 検索 | failed | 4 of 264 units" in text(found["exposures:unknown_variant"])
    assert "p = " in text(found["results:srm"])


def test_assignments_of_our_own_are_derived_again_from_the_hash(tmp_path: Path):
    root = tmp_path / "demo"
    make_demo(root, units=1_000, days=7)
    tenbin("run", str(root), "--json")
    found = latest(root)["first_exposures:assignment_rederived"]
    assert outcome(found) == "passed"
    assert text(found).count("| passed | 0 of ") == 4
    forged = [
        {
            "exposure_id": f"forged{number}",
            "experiment": "hd_images",
            "variant": "control",
            "unit_id": f"nobody{number}",
            "exposed_at": "2026-03-03T00:00:00Z",
        }
        for number in range(20)
    ]
    text_of = "".join(json.dumps(record) + "\n" for record in forged)
    (root / "landing" / "exposures" / "forged.ndjson").write_text(text_of, encoding="utf-8")
    tenbin("run", str(root), "--json")
    assert outcome(latest(root)["first_exposures:assignment_rederived"]) == "failed"
