"""What `tenbin aa` prints for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tenbin.aa.answer import AaAnswer
from tenbin.aa.checks import Rate

_STYLES = {"healthy": "green", "off": "bold red", "undefined": "yellow"}
_MISSING = "—"


def show(found: AaAnswer, console: Console) -> None:
    """The verdict, a row per metric and variant, and what is off."""
    console.print(_sentence(found), soft_wrap=True)
    console.print(
        escape(
            f"{found.source}: {found.units:,} units, {found.runs:,} runs, seed {found.seed}, "
            f"alpha {found.alpha:g}; every check at level {found.level:.2g}"
        ),
        soft_wrap=True,
    )
    console.print()
    console.print(_table(found))
    console.print()
    for line in _lines(found):
        console.print(f" - {escape(line)}", soft_wrap=True)


def _sentence(found: AaAnswer) -> str:
    if not found.healthy:
        return "[bold red]Off:[/] where nothing differs, the analysis does not find what it promises to find."
    return "[green]Healthy:[/] where nothing differs, the analysis says so as often as it promises."


def _table(found: AaAnswer) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("metric", overflow="fold")
    for name in ("KS p", "FPR", "above", "below", "CS ever", "GS ever", "verdict"):
        table.add_column(name, justify="right")
    several = len(found.weights) > 2  # noqa: PLR2004 - one variant beside the control
    for row in found.metrics:
        table.add_row(
            escape(row.metric) + (f", variant {row.variant}" if several else ""),
            _MISSING
            if row.uniformity is None
            else _marked(f"{row.uniformity.p_value:.2g}", row.uniformity.healthy),
            *map(_rate, (row.false_positives, row.upper_tail, row.lower_tail)),
            *map(_rate, (row.confidence_sequence, row.group_sequential)),
            f"[{_STYLES[row.verdict]}]{row.verdict}[/]",
        )
    return table


def _rate(rate: Rate | None) -> str:
    return _MISSING if rate is None else _marked(f"{rate.rate:.1%}", rate.healthy)


def _marked(shown: str, healthy: bool) -> str:  # noqa: FBT001
    return shown if healthy else f"[bold red]{shown}[/]"


def _lines(found: AaAnswer) -> Iterator[str]:
    for each in found.split:
        state = "healthy" if each.flagged.healthy else "off"
        yield (
            f"split: flagged at {each.level:g} in {each.flagged.rate:.1%} of runs "
            f"({each.flagged.lower:.1%} to {each.flagged.upper:.1%} expected): {state}"
        )
    for row in found.metrics:
        yield from (f"{row.metric}: {reason}" for reason in row.reasons)
    yield from found.warnings
