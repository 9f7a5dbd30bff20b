"""The answer for people at a terminal: the verdict, what was compared, the metrics, what to know of them."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from reports import format as fmt
from reports import words
from stats.results import Result
from stats.srm import FLAG_BELOW
from tenbin.analyze.answer import Answer
from tenbin.analyze.units import many

_WIDE = 120  # columns of a terminal in which differences fit beside lifts
_STYLES = {"ship": "green", "roll_back": "red", "investigate": "bold red", "inconclusive": "yellow"}


def show(found: Answer, console: Console) -> None:
    """Print the answer."""
    decision = found.analysis.decision
    head, _, rest = decision.sentence.partition(":")
    console.print(f"[{_STYLES[decision.verdict.value]}]{escape(head)}:[/]{escape(rest)}")
    _items(console, [reason for reason in decision.reasons if reason not in rest])
    console.print()
    _show_units(found, console)
    for title, rows in _comparisons(found):
        console.print(f"\n[bold]{escape(title)}[/]")
        console.print(_metrics(found, rows, wide=console.width >= _WIDE))
        _items(console, _undefined(rows))
    if found.warnings:
        console.print()
        _items(console, found.warnings)


def _show_units(found: Answer, console: Console) -> None:
    """Who is compared, who is not, and whether the split is as planned."""
    tally, srm, cluster = found.tally, found.analysis.srm, found.request.cluster
    console.print(f"{many(tally.rows, 'row')}, {many(tally.units, 'unit')} compared")
    for count, noun, why in (
        (tally.mixed_variant, "unit", "seen in more than one variant"),
        (tally.null_variant, "row", "without a variant"),
    ):
        if count:
            console.print(f"[yellow]{many(count, noun)} {why}: left out[/]")
    state = "[bold red]broken[/]" if srm.failed else "ok"
    groups = "" if cluster is None else f" of the groups in {escape(cluster)}"
    console.print(f"Split{groups} {state}: p = {fmt.p_value(srm.p_value)} (broken below {FLAG_BELOW:g})")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    table.add_column(justify="right")
    for place, name in enumerate(found.variants):
        table.add_row(
            escape(name) + ("" if place else " (control)"),
            fmt.count(srm.observed[name]),
            f"expected {fmt.count(srm.expected[name])}",
        )
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _comparisons(found: Answer) -> Iterator[tuple[str, list[Result]]]:
    """A title and the headline rows of each segment and variant, everyone first."""
    heads = [row for row in found.analysis.results if row.headline]
    for segment in dict.fromkeys((None, *(row.segment for row in heads))):
        for variant in found.variants[1:]:
            title = f"{variant} against {found.variants[0]}"
            yield (
                title if segment is None else f"{segment}: {title}",
                [row for row in heads if (row.segment, row.variant) == (segment, variant)],
            )


def _metrics(found: Answer, rows: Sequence[Result], *, wide: bool) -> Table:
    """A row per metric: means, lift with its interval, p; differences too where they fit."""
    corrected = any(row.p_adjusted not in {None, row.p_value} for row in rows)
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", overflow="fold", min_width=10)
    for name in ("control", "variant"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("difference", "lift") if wide else ("lift",):
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("interval", justify="right", min_width=9)
    for name in ("p", "Holm's p") if corrected else ("p",):
        table.add_column(name, justify="right", no_wrap=True)
    relative = {row.metric: row for row in rows if row.scale == "relative"}
    kinds = {spec.name: spec.kind for spec in found.metrics}
    for row in rows:
        if row.scale == "absolute":
            scale = fmt.Scale(kinds[row.metric], None)
            table.add_row(
                escape(row.metric),
                scale.value(row.mean_baseline),
                scale.value(row.mean_variant),
                *(scale.difference(row.estimate, row.lower, row.upper) if wide else ()),
                *_lift(relative.get(row.metric)),
                fmt.p_value(row.p_value),
                *((fmt.p_value(row.p_adjusted),) if corrected else ()),
            )
    return table


def _undefined(rows: Sequence[Result]) -> list[str]:
    """Why rows have no p-value."""
    return [
        f"{row.metric}: {'; '.join(words.reason(code) for code in row.reasons)}"
        for row in rows
        if row.scale == "absolute" and row.p_value is None
    ]


def _items(console: Console, sentences: Sequence[str]) -> None:
    """A list whose long lines stay behind their mark."""
    if not sentences:
        return
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for sentence in sentences:
        grid.add_row(" -", escape(sentence))
    console.print(grid)


def _lift(row: Result | None) -> tuple[str, str]:
    return (fmt.MISSING, fmt.MISSING) if row is None else fmt.lift(row.estimate, row.lower, row.upper)
