"""Data-quality checks on the assets.

None blocks: a bad experiment must not stop the others' results; what a check finds is on the experiment's own
page, where a failure turns the verdict to `investigate`. A check that no experiment can be held to gives no
result at all, which Dagster shows as skipped and never as passed.
"""

from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from metrics import checks
from pipelines.resources import WorkspaceResource
from stats.results import Finding, Outcome

_SEVERITY = {
    Outcome.WARNING: dg.AssetCheckSeverity.WARN,
    Outcome.FAILED: dg.AssetCheckSeverity.ERROR,
}


def _of_lake(asset: str, check: checks.LakeCheck) -> dg.AssetChecksDefinition:
    """A check of everything that was ingested."""

    @dg.multi_asset_check(name=f"check_{check.__name__}", specs=[_spec(asset, check)])
    def run(workspace: WorkspaceResource) -> dg.AssetCheckResult:
        with workspace.reader() as session:
            return _result([("all sources", check(session.con))])

    return run


def _of_experiments(asset: str, check: checks.ExperimentCheck) -> dg.AssetChecksDefinition:
    """A check of every experiment that has begun, as of its latest day."""

    @dg.multi_asset_check(name=f"check_{check.__name__}", specs=[_spec(asset, check)], can_subset=True)
    def run(workspace: WorkspaceResource) -> Iterator[dg.AssetCheckResult]:
        with workspace.reader() as session:
            found = [
                (experiment.key, check(session.con, session.engine, experiment, as_of))
                for experiment, as_of in session.latest_days()
            ]
        if any(finding.status is not Outcome.NOT_APPLICABLE for _, finding in found):
            yield _result(found)

    return run


def _spec(asset: str, check: Callable[..., Finding]) -> dg.AssetCheckSpec:
    summary, _, _ = (check.__doc__ or "").partition("\n")
    return dg.AssetCheckSpec(check.__name__, asset=asset, description=summary)


def _result(found: Sequence[tuple[str, Finding]]) -> dg.AssetCheckResult:
    """One result over all: passed when none warns or fails, as severe as the worst."""
    severities = {_SEVERITY[finding.status] for _, finding in found if finding.status in _SEVERITY}
    is_error = dg.AssetCheckSeverity.ERROR in severities
    lines = [
        "| of | status | found |",
        "|---|---|---|",
        *(f"| {_cell(of)} | {finding.status} | {_cell(finding.message)} |" for of, finding in found),
    ]
    return dg.AssetCheckResult(
        passed=not severities,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        metadata={"found": dg.MetadataValue.md("\n".join(lines))},
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


duplicates = _of_lake("events", checks.duplicates)
quarantine_share = _of_lake("events", checks.quarantine_share)
unknown_variant = _of_experiments("exposures", checks.unknown_variant)
mixed_variants = _of_experiments("first_exposures", checks.mixed_variants)
assignment_rederived = _of_experiments("first_exposures", checks.assignment_rederived)
exposure_before_outcome = _of_experiments("unit_metrics", checks.exposure_before_outcome)
srm = _of_experiments("results", checks.srm)
