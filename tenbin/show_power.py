"""What `tenbin power` prints for people."""

from rich.console import Console
from rich.table import Table

from reports import format as fmt
from tenbin.power import PowerAnswer


def show_power(found: PowerAnswer, console: Console) -> None:
    """The answer, the numbers around it, and what it rests on."""
    console.print(f"[bold]{found.sentence}[/]", soft_wrap=True)
    if found.answer is not None and len(found.answer.per_arm) > 1:
        arms = ", ".join(f"{arm:,}" for arm in found.answer.per_arm)
        console.print(f"Units per arm, control first: {arms}", soft_wrap=True)
    if found.around:
        console.print()
        console.print(_table(found))
    console.print()
    for phrase in found.assumptions:
        console.print(f" - {phrase}", soft_wrap=True)


def _table(found: PowerAnswer) -> Table:
    columns = {
        "lift": [fmt.MISSING if p.lift is None else f"{p.lift:+.2%}" for p in found.around],
        "difference": [fmt.MISSING if p.difference is None else f"{p.difference:+.4g}" for p in found.around],
        "units": [f"{p.units:,}" for p in found.around],
        "days": [fmt.MISSING if p.days is None else f"{p.days:,.0f}" for p in found.around],
        "power": [fmt.MISSING if p.power is None else f"{p.power:.1%}" for p in found.around],
    }
    if all(point.days is None for point in found.around):
        del columns["days"]
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table
