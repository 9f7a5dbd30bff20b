"""Data-quality checks on the assets. None blocks: a bad experiment must not stop the others' results; what a
check finds is in the experiment's own readout, where a failure turns the verdict to `investigate`.
"""

from collections.abc import Callable, Sequence

import dagster as dg
import duckdb

from metrics import checks
from metrics.checks import Finding, Outcome
from pipelines.resources import Session, WorkspaceResource

_SEVERITY = {
    Outcome.WARNING: dg.AssetCheckSeverity.WARN,
    Outcome.FAILED: dg.AssetCheckSeverity.ERROR,
}


def _verdict(findings: Sequence[tuple[str, Finding]]) -> dg.AssetCheckResult:
    """One check result over all experiments (or the whole lake): passed when none warns or fails."""
    rows = [
        f"| {experiment} | {finding.status.value} | {finding.message} |" for experiment, finding in findings
    ]
    bad = [finding.status for _, finding in findings if finding.status in _SEVERITY]
    worst = Outcome.FAILED if Outcome.FAILED in bad else Outcome.WARNING
    return dg.AssetCheckResult(
        passed=not bad,
        severity=_SEVERITY[worst] if bad else dg.AssetCheckSeverity.WARN,
        metadata={
            "found": dg.MetadataValue.md("\n".join(["| of | status | found |", "|---|---|---|", *rows]))
        },
    )
