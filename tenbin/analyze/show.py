"""The answer for people at a terminal: the verdict, what was compared, the metrics, what to know of them."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from reports import format as fmt
from reports import words
from stats.results import Outcome, Result
from stats.srm import FLAG_BELOW
from tenbin.analyze.answer import Answer
from tenbin.analyze.rows import Comparison, comparisons
from tenbin.analyze.units import many

_WIDE = 120  # columns of a terminal in which differences fit beside lifts
_ROOMY = 150  # in which what is believed fits beside what is tested
VERDICT_STYLES = {
    "ship": "green",
    "roll_back": "red",
    "keep_running": "cyan",
    "inconclusive": "yellow",
    "investigate": "bold red",
}
_CORRECTED = {"holm": "Holm's p", "hochberg": "Hochberg's p"}


def show(found: Answer, console: Console) -> None:
    """Print the answer."""
    decision = found.analysis.decision
    head, _, rest = decision.sentence.partition(":")
    console.print(f"[{VERDICT_STYLES[decision.verdict.value]}]{escape(head)}:[/]{escape(rest)}")
    _items(console, [reason for reason in decision.reasons if reason not in rest])
    console.print()
    _show_units(found, console)
    for comparison in comparisons(found):
        console.print(f"\n[bold]{escape(comparison.title)}[/]")
        console.print(_metrics(found, comparison, console.width))
        _items(console, _undefined(comparison.heads))
        if comparison.further:
            console.print("\n[bold]Also[/]")
            console.print(_further(comparison, wide=console.width >= _WIDE))
    if sentences := [*_findings(found), *found.warnings]:
        console.print()
        _items(console, sentences)


def _show_units(found: Answer, console: Console) -> None:
    """Who is compared, who is not, and whether the split is as planned."""
    tally, srm, cluster = found.tally, found.analysis.srm, found.request.cluster
    compared = f", {many(tally.units, 'unit')} compared" if srm.observed else ""
    console.print(f"{many(tally.rows, 'row')}{compared}")
    for count, noun, why in (
        (tally.mixed_variant, "unit", "seen in more than one variant"),
        (tally.null_variant, "row", "without a variant"),
    ):
        if count:
            console.print(f"[yellow]{many(count, noun)} {why}: left out[/]")
    if not srm.observed:
        console.print("Split not tested: nobody said how many units were randomised")
        return
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


def _metrics(found: Answer, comparison: Comparison, width: int) -> Table:
    """A row per metric: means, lift with its interval, p; differences and beliefs too where they fit."""
    wide, roomy = width >= _WIDE, width >= _ROOMY
    corrected = any(
        pair.absolute.p_adjusted not in {None, pair.absolute.p_value} for pair in comparison.heads
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", overflow="fold", min_width=10)
    against_control = comparison.baseline == found.variants[0]
    for name in ("control" if against_control else "baseline", "variant"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("difference", "lift") if wide else ("lift",):
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("interval", justify="right", min_width=9)
    adjusted = _CORRECTED.get(found.request.correction, "adjusted p")
    for name in ("p", *((adjusted,) if corrected else ()), *(("P(better)", "loss") if roomy else ())):
        table.add_column(name, justify="right", no_wrap=True)
    for absolute, relative in comparison.heads:
        scale = comparison.scale(absolute.metric)
        table.add_row(
            escape(absolute.metric),
            scale.value(absolute.mean_baseline),
            scale.value(absolute.mean_variant),
            *(_shown(absolute, scale) if wide else ()),
            *_shown(relative, scale),
            fmt.p_value(absolute.p_value),
            *((fmt.p_value(absolute.p_adjusted),) if corrected else ()),
            *(_believed(absolute, relative, scale) if roomy else ()),
        )
    return table


def _further(comparison: Comparison, *, wide: bool) -> Table:
    """A row per metric and further method, on the scales that it has."""
    believed = any(row.probability_better is not None for pair in comparison.further for row in pair if row)
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", overflow="fold", min_width=10)
    table.add_column("method", overflow="fold", min_width=8)
    for name in ("difference", "lift") if wide else ("estimate",):
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("interval", justify="right", min_width=9)
    for name in ("p", "P(better)") if believed else ("p",):
        table.add_column(name, justify="right", no_wrap=True)
    for absolute, relative in comparison.further:
        row = _bounded(relative, absolute)
        if row is None:
            continue
        scale = comparison.scale(row.metric)
        table.add_row(
            escape(row.metric),
            (absolute or row).method,
            *((*_shown(absolute, scale), *_shown(relative, scale)) if wide else _shown(row, scale)),
            fmt.p_value(row.p_value),
            *((_believed(absolute, relative, scale)[0],) if believed else ()),
        )
    return table


def _bounded(*rows: Result | None) -> Result | None:
    """The first row that has an interval, else the first one that is there."""
    there = [row for row in rows if row is not None]
    bounded = (row for row in there if row.lower is not None or row.upper is not None)
    return next(bounded, there[0] if there else None)


def _shown(row: Result | None, scale: fmt.Scale) -> tuple[str, str]:
    """An estimate and its interval, on the scale of the row."""
    if row is None:
        return fmt.MISSING, fmt.MISSING
    write = fmt.lift if row.scale == "relative" else scale.difference
    return write(row.estimate, row.lower, row.upper)


def _believed(absolute: Result | None, relative: Result | None, scale: fmt.Scale) -> tuple[str, str]:
    """Probability of being better, and the expected loss: under the stated prior where there is a lift."""
    row = next(
        (one for one in (relative, absolute) if one is not None and one.probability_better is not None), None
    )
    if row is None:
        return fmt.MISSING, fmt.MISSING
    write = fmt.lift if row.scale == "relative" else scale.difference
    return fmt.probability(row.probability_better), write(row.expected_loss, None, None)[0].removeprefix("+")


def _undefined(heads: Sequence[tuple[Result, Result | None]]) -> list[str]:
    """Why rows have no p-value."""
    return [
        f"{row.metric}: {'; '.join(words.reason(code) for code in row.reasons)}"
        for row, _ in heads
        if row.p_value is None
    ]


def _findings(found: Answer) -> Iterator[str]:
    """What was found and is not said yet: warnings first; what is only well is left to `--json`."""
    said = found.analysis.decision.reasons
    for status in (Outcome.FAILED, Outcome.WARNING, Outcome.NOTED):
        for finding in found.analysis.findings:
            if finding.status is status and finding.message not in said:
                yield finding.message


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
