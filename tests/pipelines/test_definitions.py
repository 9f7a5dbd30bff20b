"""What the code location defines, all of it: a change here is a change for whoever operates it."""

import pytest
from deltalake import DeltaTable

from pipelines.columns import columns_of
from tests.pipelines.conftest import Shop


def test_the_definitions_are_these(definitions_snapshot: dict[str, list[str]]):
    assert definitions_snapshot == {
        "assets": [
            "assignments",
            "declared_results",
            "events",
            "exposures",
            "first_exposures",
            "given_moments",
            "lake_files",
            "moments",
            "registry",
            "reports",
            "results",
            "unit_attributes",
            "unit_days",
            "unit_keys",
            "unit_metrics",
            "unit_values",
        ],
        "assets with columns": [
            "assignments",
            "declared_results",
            "events",
            "exposures",
            "first_exposures",
            "given_moments",
            "moments",
            "registry",
            "results",
            "unit_attributes",
            "unit_days",
            "unit_keys",
            "unit_metrics",
        ],
        "checks": [
            "declared_results:every_experiment",
            "events:duplicates",
            "events:quarantine_share",
            "exposures:unknown_variant",
            "first_exposures:assignment_rederived",
            "first_exposures:mixed_variants",
            "lake_files:late_duplicates",
            "moments:every_experiment",
            "results:every_experiment",
            "results:srm",
            "unit_metrics:exposure_before_outcome",
        ],
        "jobs": ["daily", "evidence", "ingest", "maintenance", "readouts"],
        # Rules that exclude units read events and attributes.
        "parents of first_exposures": [
            "assignments",
            "events",
            "exposures",
            "registry",
            "unit_attributes",
            "unit_keys",
        ],
        "schedules": ["every_morning", "every_sunday"],
        "sensors": ["failed_experiments", "failed_run", "new_landing_files", "readouts_after_evidence"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("table", ["events", "first_exposures", "unit_metrics", "moments", "results"])
def test_the_columns_that_dagster_shows_are_those_of_the_table(undisturbed: Shop, table: str):
    shown = [column.name for column in columns_of(table)["dagster/column_schema"].columns]
    held = [field.name for field in DeltaTable(str(undisturbed.root / "lake" / table)).schema().fields]
    assert held[: len(shown)] == shown
    assert table == "unit_metrics" or len(held) == len(shown)
