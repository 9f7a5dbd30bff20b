"""Progress at a terminal: a bar per task with its running time."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress(console: Console | None) -> Iterator[Progress]:
    """Bars on the console while the block runs; nothing without a console."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=console is None) as shown:
        yield shown
