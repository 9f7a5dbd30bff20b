"""What the code location defines, all of it: a change here is a change for whoever operates it."""


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
