"""What an engine asks of whatever runs its statements: four verbs over the lake's tables."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
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
        self._parts: dict[Dialect, list[tuple[str, str]]] = {}

    def text(self, dialect: Dialect) -> str:
        """The statement as an engine reads it, with places for its parameters.

        Raises:
            MetricsError: it can't be said in this dialect.
        """
        if dialect not in self._texts:
            self._texts[dialect] = render(self.tree, dialect)
        return self._texts[dialect]

    def parts(self, dialect: Dialect) -> list[tuple[str, str]]:
        """The same for a runner without MATERIALIZED: the queries to keep first, by name, and the last one.

        The last one's name is empty. Each may read those before it.
        """
        if dialect not in self._parts:
            self._parts[dialect] = [(name, render(part, dialect)) for name, part in _parts(self.tree)]
        return self._parts[dialect]


def _parts(tree: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    tree = tree.copy()
    with_ = tree.args.get("with_")
    passed: list[exp.CTE] = []
    for cte in list(with_.expressions) if with_ is not None else ():
        if cte.args.get("materialized"):
            query = cte.this.copy()
            for before in passed:
                query = query.with_(before.alias, as_=before.this.copy(), copy=False)
            yield cte.alias, query
            cte.pop()
        else:
            passed.append(cte)
    if with_ is not None and not with_.expressions:
        with_.pop()
    yield "", tree


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
