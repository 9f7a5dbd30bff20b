"""What the cells of a table say, read as what belongs there: numbers, flags, lists, days."""

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence

from stats.errors import StatsError

Cells = Mapping[str, str | None]  # text by column, for every column that there is; None: empty

_MOST_WHOLE = 1 << 53  # from which on doubles skip whole numbers


class CellError(StatsError):
    """A cell is missing, or is not what belongs there; `column` is where it is."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(f'column "{column}": {problem}')
        self.column = column
        self.problem = problem


def name(cells: Cells, column: str) -> str:
    """A text that must be there.

    Raises:
        CellError: it is not.
    """
    text = cells.get(column)
    if text is None:
        raise CellError(column, "is empty; every row needs it")
    return text


def real(cells: Cells, column: str, *, least: float = -math.inf) -> float | None:
    """A finite number, at least `least`; None for an empty cell.

    Raises:
        CellError: it is something else.
    """
    text = cells.get(column)
    if text is None:
        return None
    number = _finite(text)
    if number is None:
        raise CellError(column, f"{text!r} is no finite number; write one with a decimal point")
    if number < least:
        raise CellError(column, f"{text} is below {least:g}")
    return number


def needed(cells: Cells, column: str, *, least: float = -math.inf) -> float:
    """A finite number that must be there.

    Raises:
        CellError: it is not, or is something else.
    """
    number = real(cells, column, least=least)
    if number is None:
        raise CellError(column, "is empty; the columns beside it need it")
    return number


def whole(cells: Cells, column: str, *, least: int = 0) -> int | None:
    """A whole number, at least `least`, also written as `1000.0`; None for an empty cell.

    Raises:
        CellError: it is something else, or larger than 2^53.
    """
    number = real(cells, column)
    if number is None:
        return None
    if not number.is_integer() or not least <= number <= _MOST_WHOLE:
        raise CellError(column, f"{cells[column]} is no whole number from {least} on")
    return int(number)


def share(cells: Cells, column: str) -> float | None:
    """A number from 0 to below 1; None for an empty cell.

    Raises:
        CellError: it is something else.
    """
    number = real(cells, column)
    if number is not None and not 0 <= number < 1:
        raise CellError(column, f"{cells[column]} is no share; write a number from 0 to below 1, as in 0.02")
    return number


def one_of(cells: Cells, column: str, allowed: Sequence[str]) -> str | None:
    """One of the words that are allowed; None for an empty cell.

    Raises:
        CellError: it is another one.
    """
    text = cells.get(column)
    if text is not None and text not in allowed:
        raise CellError(column, f'"{text}" is none of {", ".join(allowed)}')
    return text


def flag(cells: Cells, column: str) -> bool | None:
    """Yes or no; None for an empty cell.

    Raises:
        CellError: it is neither.
    """
    text = cells.get(column)
    if text is None:
        return None
    if text.lower() not in {"true", "false", "1", "0"}:
        raise CellError(column, f'"{text}" is neither true nor false')
    return text.lower() in {"true", "1"}


def day(cells: Cells, column: str) -> dt.date | None:
    """A day in ISO 8601, also one with a time of day, which is left out; None for an empty cell.

    Raises:
        CellError: it is something else.
    """
    text = cells.get(column)
    if text is None:
        return None
    try:
        return dt.datetime.fromisoformat(text).date()
    except ValueError:
        raise CellError(column, f'"{text}" is no day; write one like 2026-01-31') from None


def numbers(cells: Cells, column: str) -> tuple[float, ...]:
    """A list of finite numbers, as JSON; lists within it are read one after the other.

    Raises:
        CellError: it is something else, or not there.
    """
    text = name(cells, column)
    try:
        found = json.loads(text, parse_constant=str)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise CellError(column, f"{_short(text)} is no list of numbers; write one like [0.1, 2.3]")
    flat = [item for part in found for item in (part if isinstance(part, list) else [part])]
    bad = [x for x in flat if isinstance(x, bool) or not isinstance(x, int | float) or not math.isfinite(x)]
    if bad or not flat:
        shown = json.dumps(bad[0]) if bad else "an empty list"
        raise CellError(column, f"{shown} is no finite number; a list holds numbers, as in [0.1, 2.3]")
    return tuple(float(item) for item in flat)


def _finite(text: str) -> float | None:
    try:
        number = float(text) if "_" not in text else math.nan  # Python reads 1_000
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")  # noqa: PLR2004 - characters
