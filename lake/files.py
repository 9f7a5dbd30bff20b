"""How large the row groups of a file must be that is written again."""

from pathlib import Path

import duckdb

from lake.memory import rows_per_group
from lake.sql import file_literal, identifier
from lake.tables import Table

_LONG_TEXTS = ("properties", "attributes", "raw", "segments", "text")


def long_text_bytes(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> float:
    """Mean length of the longest text of a row in the file at `path`; 0 for a table without such a text."""
    long = [identifier(name) for name in _LONG_TEXTS if name in table.names]
    if not long:
        return 0.0
    width = f"SELECT avg(strlen({long[0]})) FROM read_parquet({file_literal(path)})"
    return float(con.execute(width).fetchall()[0][0] or 0)


def group_rows(con: duckdb.DuckDBPyConnection, table: Table, path: Path) -> int:
    """Rows of a row group of a file like the one at `path`."""
    return rows_per_group(con, long_text_bytes(con, table, path))
