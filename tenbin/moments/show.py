"""The answers for people at a terminal, one experiment after the other."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from tenbin.analyze.show import show as show_one
from tenbin.moments.command import Answers, Progress
from tenbin.moments.given import Given


def show(found: Answers, console: Console) -> None:
    """Print the answers, each under its experiment where the file names them."""
    for place, answer in enumerate(found.answers):
        if found.several:
            day = "" if answer.as_of is None else f", as of {answer.as_of}"
            again = "" if answer.plan.iteration == 1 else f", iteration {answer.plan.iteration}"
            space = "\n" if place else ""
            console.print(f"{space}[bold underline]{escape(answer.plan.experiment)}[/]{again}{day}")
        show_one(answer, console)


def progress(console: Console) -> Progress:
    """A bar while more than one experiment is analysed."""

    def through(experiments: Sequence[Given]) -> Iterator[Given]:
        if len(experiments) < 2:  # noqa: PLR2004 - one is done before a bar is seen
            yield from experiments
        else:
            yield from track(experiments, "analysing", console=console, transient=True)

    return through
