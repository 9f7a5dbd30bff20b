"""What an engine asks of whatever runs its statements: four verbs over the lake's tables."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlglot import exp

from metrics.sql.tree import Dialect, render

Parameter = str | int | dt.date | Sequence[dt.date]
Parameters = Mapping[str, Parameter]
Partition = Mapping[str, str | dt.date | Sequence[str | dt.date]]

NOTHING: Parameters = {}


class TooLargeError(Exception):
    """A number left the range in which the runner counts exactly."""


class Statement:
    """A tree that is run several times with other parameters; its text is checked and made once."""

    def __init__(self, tree: exp.Expr) -> None:
        self.tree = tree
        self._texts: dict[Dialect, str] = {}

    def text(self, dialect: Dialect) -> str:
        """The statement as an engine reads it, with places for its parameters.

        Raises:
            MetricsError: it can't be said in this dialect.
        """
        if dialect not in self._texts:
            self._texts[dialect] = render(self.tree, dialect)
        return self._texts[dialect]


class Runner(Protocol):
    """Runs statements over the tables of the lake, and over those that it was told to keep.

    Every method raises `TooLargeError` where a number can't be counted exactly.
    """

    @property
    def dialect(self) -> Dialect:
        """Of the statements' text."""

    def rows(self, statement: Statement, parameters: Parameters = NOTHING) -> list[tuple[Any, ...]]:
        """The rows, brought here: few, as of sums."""

    def keep(self, name: str, statement: Statement, parameters: Parameters = NOTHING) -> None:
        """Let later statements read the rows as the table `name`, in place of what it was before."""

    def add_columns(self, table: str, columns: Mapping[str, str]) -> None:
        """Add columns (name → DuckDB type) that a table of the lake does not have yet."""

    def overwrite(
        self, table: str, statement: Statement, parameters: Parameters = NOTHING, *, partition: Partition
    ) -> int:
        """Make the rows the only ones of these partitions of a table of the lake, in one commit; how many."""
