"""DuckDB runs the statements in this process, on a connection that has the lake's tables."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb

from lake import Lake
from lake.sql import identifier
from metrics.engines.runner import NOTHING, Parameters, Partition, Statement, TooLargeError
from metrics.model import MetricsError
from metrics.sql.tree import Dialect


class DuckDBRunner:
    """A connection (session time zone UTC) as a runner.

    Args:
        con: has tables or views in the lake's columns.
        lake: what is written to; None for a runner that only reads.
    """

    dialect: Dialect = "duckdb"

    def __init__(self, con: duckdb.DuckDBPyConnection, lake: Lake | None) -> None:
        self._con = con
        self._lake = lake

    def rows(self, statement: Statement, parameters: Parameters = NOTHING) -> list[tuple[Any, ...]]:
        with _exact():
            return self._con.execute(statement.text(self.dialect), dict(parameters)).fetchall()

    def keep(self, name: str, statement: Statement, parameters: Parameters = NOTHING) -> None:
        made = f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS {statement.text(self.dialect)}"
        with _exact():
            self._con.execute(made, dict(parameters))

    def add_columns(self, table: str, columns: Mapping[str, str]) -> None:
        self._written.add_columns(self._con, table, columns)

    def overwrite(
        self, table: str, statement: Statement, parameters: Parameters = NOTHING, *, partition: Partition
    ) -> int:
        with _exact():
            return self._written.overwrite(
                self._con, table, statement.text(self.dialect), params=parameters, partition=partition
            ).rows

    @property
    def _written(self) -> Lake:
        if self._lake is None:
            raise MetricsError("this engine has no lake to write to; make it with one")
        return self._lake


@contextmanager
def _exact() -> Iterator[None]:
    try:
        yield
    except (duckdb.OutOfRangeException, duckdb.ConversionException) as reason:
        raise TooLargeError(str(reason).splitlines()[0]) from None
