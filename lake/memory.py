"""Shares of the memory that DuckDB may use: what works side by side, or is held as a whole, must fit in."""

import math

import duckdb

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_BYTES_PER_THREAD = 120 << 20  # less, and joins and sorts that spill run out of memory
_GROUPS_PER_THREAD = 16
_SORTS_PER_THREAD = 6
_ROW_BYTES = 250  # of a row without its long text
_MIN_GROUP_ROWS, _MAX_GROUP_ROWS = 2_048, 122_880


def threads(con: duckdb.DuckDBPyConnection) -> int:
    """How many the session works with."""
    return int(con.execute("SELECT current_setting('threads')").fetchall()[0][0])


def affordable_threads(con: duckdb.DuckDBPyConnection) -> int:
    """As many as there are cores, unless the memory is too little for them."""
    return max(1, min(threads(con), int(_memory(con) // _BYTES_PER_THREAD)))


def rows_per_group(con: duckdb.DuckDBPyConnection, long_text_bytes: float) -> int:
    """Size of the row groups of a Parquet file, which are held in memory until they are written.

    Args:
        con: a session.
        long_text_bytes: mean length of a row's longest text.
    """
    group_bytes = _memory(con) / threads(con) / _GROUPS_PER_THREAD
    return max(_MIN_GROUP_ROWS, min(_MAX_GROUP_ROWS, int(group_bytes / (_ROW_BYTES + long_text_bytes))))


def parts_to_order(con: duckdb.DuckDBPyConnection, rows: int, long_text_bytes: float) -> int:
    """Into how many parts rows must be cut to be ordered one by one: sorts of long texts do not spill well.

    Args:
        con: a session.
        rows: how many there are.
        long_text_bytes: mean length of a row's longest text.
    """
    part_bytes = _memory(con) / threads(con) / _SORTS_PER_THREAD
    return math.ceil(rows * (_ROW_BYTES + long_text_bytes) / part_bytes)


def _memory(con: duckdb.DuckDBPyConnection) -> float:
    """The limit in bytes; the session tells it as in "1.8 GiB"."""
    setting: str = con.execute("SELECT current_setting('memory_limit')").fetchall()[0][0]
    number, unit = setting.split()
    return float(number) * float(1024 ** _UNITS.index(unit))
