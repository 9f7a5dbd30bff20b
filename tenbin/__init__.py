"""The composition root: the `tenbin` command, the demo, and the door for notebooks.

import tenbin
con = tenbin.open("demo")        # a read-only DuckDB connection with everything in it
con.sql("FROM results").pl()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

__all__ = ["open"]
__version__ = "0.1.0"


def open(workspace: str | Path) -> duckdb.DuckDBPyConnection:  # noqa: A001 - read as `tenbin.open`
    """Open what was last published of a workspace, read-only; a run meanwhile disturbs nobody.

    Args:
        workspace: its directory.

    Returns:
        A DuckDB connection with `registry`, `moments`, `results` and `findings` as tables and the rest of the
        lake as views, in UTC.

    Raises:
        UserError: there is no workspace there, or nothing was published yet.
    """
    from lake.warehouse import open_readonly
    from workspace import load_workspace

    return open_readonly(load_workspace(workspace))
