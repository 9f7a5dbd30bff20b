"""What the commands print for people; `--json` prints the same things for machines."""

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lake.maintenance import MaintenanceReport
from metrics.audit import Problem, Severity
from tenbin.analyze.show import VERDICT_STYLES
from tenbin.commands import DemoSummary
from tenbin.definitions import Listed
from tenbin.doctor import Finding, Health
from tenbin.forget import ForgetSummary
from tenbin.run import RunSummary

_HEALTH = {Health.OK: "[green]ok[/]", Health.NOTE: "[yellow]note[/]", Health.WRONG: "[bold red]wrong[/]"}

_SEVERITY = {
    Severity.ERROR: "[bold red]error[/]",
    Severity.WARNING: "[yellow]warning[/]",
    Severity.NOTE: "note",
}


def show_run(summary: RunSummary, console: Console) -> None:
    """The experiments of a run with their verdicts, and where the pages are."""
    table = Table(box=None, pad_edge=False)
    for column in ("experiment", "as of", "verdict", ""):
        table.add_column(column, overflow="fold")
    for outcome in summary.experiments:
        table.add_row(
            escape(outcome.experiment),
            str(outcome.as_of),
            _verdict(outcome.verdict),
            escape(outcome.sentence),
        )
    if summary.experiments:
        console.print(table)
        console.print(f"\nReports: {summary.index}", markup=False, soft_wrap=True)
    if summary.declared:
        verdicts = Counter(outcome.verdict for outcome in summary.declared)
        listed = ", ".join(f"{count:,} {_words(verdict)}" for verdict, count in verdicts.most_common())
        console.print(
            f"Declared by aggregates: {len(summary.declared):,} experiments ({listed}); their results are in "
            "the tables results and findings of warehouse.duckdb",
            markup=False,
        )


def show_demo(summary: DemoSummary, console: Console) -> None:
    """The verdicts of the demo beside the truth, and where the pages are."""
    table = Table(box=None, pad_edge=False)
    for column in ("experiment", "the truth", "verdict", "as it should be"):
        table.add_column(column, overflow="fold")
    for row in summary.experiments:
        agrees = "[green]yes[/]" if row.agrees else f"[bold red]no, {_words(row.expected)}[/]"
        table.add_row(escape(row.experiment), escape(row.truth), _verdict(row.verdict), agrees)
    console.print(table)
    console.print(f"\nReports: {summary.index}", markup=False, soft_wrap=True)


def show_findings(findings: tuple[Finding, ...], console: Console) -> None:
    """The doctor's table."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(_HEALTH[finding.health], escape(finding.name), escape(finding.message))
    console.print(table)


def show_problems(problems: tuple[Problem, ...], console: Console) -> None:
    """What is wrong with the definitions, and how much of it."""
    table = Table(box=None, pad_edge=False)
    for name in ("severity", "file", "metric", "what is wrong", "what to do"):
        table.add_column(name, overflow="fold")
    for problem in problems:
        of = f" (of {problem.experiment})" if problem.experiment else ""
        table.add_row(
            _SEVERITY[problem.severity],
            escape(problem.file or ""),
            escape(f"{problem.metric or ''}{of}".strip()),
            escape(problem.message),
            escape(problem.remedy),
        )
    if problems:
        console.print(table)
    counts = Counter(problem.severity for problem in problems)
    console.print(", ".join(f"{counts[severity]} {severity.value}s" for severity in Severity))


def show_metrics(metrics: tuple[Listed, ...], console: Console) -> None:
    """The metrics of a workspace."""
    table = Table(box=None, pad_edge=False)
    for name in ("metric", "kind", "window", "direction", "owner", "experiments"):
        table.add_column(name, overflow="fold")
    for row in metrics:
        cells = (row.metric, row.kind, row.window or "open", row.direction, row.owner or "")
        table.add_row(*map(escape, cells), escape(", ".join(row.experiments)))
    console.print(table)


def show_receipt(summary: ForgetSummary, console: Console) -> None:
    """What an erasure removed, by store, and every place that it left as it is."""
    receipt = summary.receipt
    table = Table(box=None, pad_edge=False)
    table.add_column("store", overflow="fold")
    table.add_column("rows found" if receipt.dry_run else "rows removed", justify="right")
    table.add_column("files", justify="right")
    for store in receipt.stores:
        table.add_row(escape(store.store), f"{store.rows:,}", f"{store.files:,}")
    console.print(table)
    if receipt.unreached:
        console.print("\nLeft as they are:")
    for place in receipt.unreached:
        rows = "" if place.rows is None else f", {place.rows:,} rows"
        console.print(f"- {place.place}{rows}: {place.why}", markup=False, soft_wrap=True)
    if not receipt.dry_run and not summary.recomputed:
        console.print(
            f"\nResults and pages were not computed again: {summary.reason}", markup=False, soft_wrap=True
        )


def show_maintenance(report: MaintenanceReport, console: Console) -> None:
    """What was written together, what was deleted, and what came again."""
    for table, files in report.compacted.items():
        console.print(f"{table}: {files:,} small files written together", markup=False)
    console.print(f"Deleted: {report.vacuumed:,} files that nobody reads any more")
    for kind, rows in report.late_duplicates.items():
        if rows:
            console.print(
                f"{kind}: {rows:,} rows came again later than `dedup_days` looks for them, and are counted; "
                "raise workspace.dedup_days in tenbin.toml for rows to come",
                markup=False,
                soft_wrap=True,
            )


def _verdict(verdict: str) -> str:
    return f"[{VERDICT_STYLES[verdict]}]{_words(verdict)}[/]"


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")
