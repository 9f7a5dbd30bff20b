"""The answer for people at a terminal: what was compared, what is wrong with it, the metrics, the verdict."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reports import format as fmt
from stats.results import Result
from tenbin.analyze.answer import Answer, headline

_WIDE = 120  # columns of a terminal in which differences fit beside lifts


def show(found: Answer, console: Console) -> None:
    """Print the answer."""
    tally, srm = found.tally, found.analysis.srm
    groups = "" if found.request.cluster is None else f" (groups of {escape(found.request.cluster)})"
    console.print(
        f"[bold]{escape(found.path.name)}[/]: {fmt.count(tally.rows)} rows, {fmt.count(tally.units)} units"
    )
    for name, excluded in (
        ("units seen in two variants: left out", tally.mixed_variant),
        ("rows without a variant: left out", tally.null_variant),
    ):
        if excluded:
            console.print(f"  [yellow]{fmt.count(excluded)}[/] {name}")
    observed = " / ".join(
        f"{escape(name)} {fmt.count(srm.observed[name])} (expected {fmt.count(srm.expected[name])})"
        for name in found.variants
    )
    mark = "[bold red]FAILED[/]" if srm.failed else "[green]ok[/]"
    console.print(
        f"Sample ratio{groups} {mark}: {observed}, p = {fmt.p_value(srm.p_value)}\n",
        soft_wrap=True,
    )
    console.print(f"Primary metric: [bold]{escape(found.metrics[0].name)}[/]")
    wide = console.width >= _WIDE
    console.print(_metrics(found, headline(found), wide=wide))
    for segment in dict.fromkeys(row.segment for row in found.analysis.results if row.segment):
        rows = [
            row
            for row in found.analysis.results
            if row.segment == segment and row.headline and row.scale == "absolute"
        ]
        console.print(f"\n[bold]{escape(segment)}[/]")
        console.print(_metrics(found, rows, wide=wide))
    decision = found.analysis.decision
    console.print(
        f"\n[bold]{decision.verdict.replace('_', ' ').capitalize()}.[/] {escape(decision.sentence)}"
    )
    for reason in decision.reasons:
        console.print(f"  {escape(reason)}")
    for warning in found.warnings:
        console.print(f"[yellow]![/] {escape(warning)}")


def _metrics(found: Answer, rows: list[Result], *, wide: bool) -> Table:
    """A row per metric and variant: means, lift with its interval, p; differences too where they fit."""
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", overflow="fold", min_width=8)
    table.add_column("variant", overflow="fold")
    for column in ("control", "mean", *(("difference", "interval") if wide else ()), "lift", "interval", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    relative = {
        (row.metric, row.variant, row.segment): row
        for row in found.analysis.results
        if row.headline and row.scale == "relative"
    }
    specs = {spec.name: spec for spec in found.metrics}
    for row in rows:
        scale = fmt.Scale(specs[row.metric].kind, None)
        lift = relative.get((row.metric, row.variant, row.segment))
        table.add_row(
            escape(row.metric),
            escape(row.variant),
            scale.value(row.mean_baseline),
            scale.value(row.mean_variant),
            *(scale.difference(row.estimate, row.lower, row.upper) if wide else ()),
            *(fmt.lift(lift.estimate, lift.lower, lift.upper) if lift else (fmt.MISSING, fmt.MISSING)),
            _p(row),
        )
    return table


def _p(row: Result) -> str:
    if row.p_value is None:
        return ", ".join(row.reasons) or row.status.value
    p = fmt.p_value(row.p_value)
    if row.p_adjusted is not None and row.p_adjusted != row.p_value:
        return f"{p} (Holm {fmt.p_value(row.p_adjusted)})"
    return p
