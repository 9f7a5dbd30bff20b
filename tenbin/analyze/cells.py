"""From the cells of `source` to arrays: what each means, and a refusal with row and column for what it can't.

Missing is an empty cell or null, and only that: NA, NaN, "-" and the like are text where a number belongs.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt

from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.table import Table

MAX_VARIANTS = 64
MAX_SEGMENT_VALUES = 200
MISSING = "(missing)"

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """The rows that have a unit and a variant, in the file's order; one element per row."""

    row: Codes  # number in the file, from 1, header not counted
    unit: Codes  # dense, from 0
    variant: Codes  # index into `variants`
    cluster: Codes | None  # dense, from 0
    segments: dict[str, Codes]  # index into `levels`
    values: dict[str, Numbers]  # NaN: missing


class Cells(NamedTuple):
    """All of the file that is read, and what was left out on the way."""

    rows: Rows
    variants: tuple[str, ...]  # control first
    levels: dict[str, tuple[str, ...]]  # segment → its values
    total: int  # rows in the file
    without_variant: int
    without_unit: int


def text_sql(table: Table, column: str, place: int) -> str:
    """The cell as text, NULL when missing."""
    cell = f"CAST(c{place} AS VARCHAR)" if table.kind(column) != "text" else f"c{place}"
    return f"nullif({cell}, '')"


def number_sql(table: Table, column: str, place: int, *, conversion: bool) -> str:
    """The cell as a DOUBLE; NULL for missing and for what is no number (a conversion: neither yes nor no)."""
    kind, cell = table.kind(column), f"c{place}"
    if kind == "text":
        trimmed = f"trim({cell})"
        number = f"CASE WHEN NOT contains({cell}, '_') THEN TRY_CAST({trimmed} AS DOUBLE) END"
        if conversion:
            return f"CASE lower({trimmed}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE {_yes_no(number)} END"
        return _finite(number)
    if conversion:
        return f"CAST({cell} AS DOUBLE)" if kind == "boolean" else _yes_no(f"CAST({cell} AS DOUBLE)")
    return _finite(f"CAST({cell} AS DOUBLE)")


def read_cells(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    places: Mapping[str, int],
    *,
    total: int,
    unit: str | None,
    variant: str,
    control: str | None,
    cluster: str | None,
    segments: Sequence[str],
    numbers: Mapping[str, bool],
) -> Cells:
    """Everything that the analysis needs of the table `source`.

    Args:
        con: where `source` was loaded.
        table: the file.
        places: column → its number in `source`.
        total: rows in `source`.
        unit: the column that names the unit; None: every row is one.
        variant: the column of the variant.
        control: the variant that the others are compared with.
        cluster: the column of the randomised group.
        segments: columns by which results are also shown.
        numbers: column with numbers → whether it is a conversion.

    Raises:
        AnalyzeError: a cell is no number, a variant is missing from the file, or there are too many of them.
    """
    for column, conversion in numbers.items():
        _check_numbers(con, table, column, places[column], conversion=conversion)
    variant_sql = text_sql(table, variant, places[variant])
    variants = _variants(con, table, variant, variant_sql, control)
    unit_sql = "rowid" if unit is None else text_sql(table, unit, places[unit])
    levels = {name: _levels(con, table, name, places[name]) for name in segments}
    selected = [
        "rowid + 1 AS row",
        f"{'rowid' if unit is None else f'dense_rank() OVER (ORDER BY {unit_sql}) - 1'} AS unit",
        f"list_position(?, {variant_sql}) - 1 AS variant",
    ]
    parameters: list[object] = [list(variants)]
    if cluster is not None:
        cluster_sql = text_sql(table, cluster, places[cluster])
        _check_present(con, table, cluster, cluster_sql, f"{variant_sql} IS NOT NULL")
        selected.append(f"dense_rank() OVER (ORDER BY {cluster_sql}) - 1 AS cluster")
    for number, name in enumerate(segments):
        selected.append(
            f"list_position(?, coalesce({text_sql(table, name, places[name])}, ?)) - 1 AS s{number}"
        )
        parameters += [list(levels[name]), MISSING]
    for number, (name, conversion) in enumerate(numbers.items()):
        selected.append(f"{number_sql(table, name, places[name], conversion=conversion)} AS v{number}")
    found = con.execute(
        f"SELECT {', '.join(selected)} FROM source "
        f"WHERE {variant_sql} IS NOT NULL AND {unit_sql} IS NOT NULL ORDER BY rowid",
        parameters,
    ).fetchnumpy()
    rows = Rows(
        row=_codes(found["row"]),
        unit=_codes(found["unit"]),
        variant=_codes(found["variant"]),
        cluster=None if cluster is None else _codes(found["cluster"]),
        segments={name: _codes(found[f"s{number}"]) for number, name in enumerate(segments)},
        values={
            name: np.ma.filled(np.ma.asarray(found[f"v{number}"], dtype=np.float64), np.nan)
            for number, name in enumerate(numbers)
        },
    )
    without_variant = _count(con, f"{variant_sql} IS NULL")
    without_unit = _count(con, f"{variant_sql} IS NOT NULL AND {unit_sql} IS NULL")
    return Cells(rows, variants, levels, total, without_variant, without_unit)


def _finite(number: str) -> str:
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _yes_no(number: str) -> str:
    return f"CASE WHEN {number} IN (0, 1) THEN {number} END"


def _check_numbers(
    con: duckdb.DuckDBPyConnection, table: Table, column: str, place: int, *, conversion: bool
) -> None:
    """Refuse the first cell that is there but is no number."""
    kind = table.kind(column)
    if kind == "other" or (kind == "boolean" and not conversion):
        hint = "use it with --conversion" if kind == "boolean" else "convert it to numbers first"
        raise AnalyzeError(
            f'{table.path}: column "{column}" is of type {table.type(column)}, but numbers belong there; '
            + hint
        )
    number = number_sql(table, column, place, conversion=conversion)
    bad = con.execute(
        f"SELECT rowid + 1, CAST(c{place} AS VARCHAR) FROM source WHERE rowid = (SELECT min(rowid) "
        f"FROM source WHERE {text_sql(table, column, place)} IS NOT NULL AND ({number}) IS NULL)"
    ).fetchall()
    if not bad:
        return
    row, text = bad[0]
    where = f'{table.path}: row {row:,} (header not counted), column "{column}"'
    shown = repr(text if len(text) <= 80 else text[:79] + "…")  # noqa: PLR2004 - a line's length
    if conversion:
        raise AnalyzeError(
            f"{where}: {shown} is neither yes nor no; a conversion is true, false, 0, 1 or empty "
            "(counts and amounts belong to --mean or --revenue)"
        )
    hint = "; use --conversion for yes and no" if text.strip().lower() in {"true", "false"} else ""
    raise AnalyzeError(
        f"{where}: {shown} is no finite number; write one with a decimal point, or leave the cell empty{hint}"
    )


def _check_present(
    con: duckdb.DuckDBPyConnection, table: Table, column: str, cell: str, condition: str
) -> None:
    missing = con.execute(
        f"SELECT min(rowid) + 1 FROM source WHERE {cell} IS NULL AND {condition}"
    ).fetchall()[0][0]
    if missing is not None:
        raise AnalyzeError(
            f'{table.path}: row {missing:,} (header not counted), column "{column}": is empty; '
            "with --cluster every row names its group"
        )


def _variants(
    con: duckdb.DuckDBPyConnection, table: Table, column: str, cell: str, control: str | None
) -> tuple[str, ...]:
    """Every variant of the file, control first, the others in their order as text."""
    found = con.execute(
        f"SELECT DISTINCT {cell} AS variant FROM source WHERE {cell} IS NOT NULL ORDER BY variant "
        f"LIMIT {MAX_VARIANTS + 1}"
    ).fetchall()
    names = [str(row[0]) for row in found]
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")  # noqa: PLR2004 - a line's length
    if len(names) > MAX_VARIANTS:
        raise AnalyzeError(
            f'{table.path}: column "{column}" has more than {MAX_VARIANTS} values ({shown}); '
            "name the column of the variant with --variant"
        )
    if control is None:
        raise AnalyzeError(
            f'--control is missing: name one of the variants in column "{column}": {shown or "none"}'
        )
    if control not in names:
        raise AnalyzeError(
            f'--control {control}: column "{column}" of {table.path} has no such variant; '
            f"it has: {shown or 'none'}"
        )
    if len(names) == 1:
        raise AnalyzeError(
            f'{table.path}: column "{column}" has the one variant "{control}"; '
            "a comparison needs another one beside the control"
        )
    return (control, *(name for name in names if name != control))


def _levels(con: duckdb.DuckDBPyConnection, table: Table, column: str, place: int) -> tuple[str, ...]:
    """The values of a segment in their order as text, the missing one last."""
    cell = text_sql(table, column, place)
    found = con.execute(
        f"SELECT DISTINCT {cell} AS level FROM source ORDER BY level NULLS LAST "
        f"LIMIT {MAX_SEGMENT_VALUES + 1}"
    ).fetchall()
    if len(found) > MAX_SEGMENT_VALUES:
        raise AnalyzeError(
            f"--segment {column}: the column has more than {MAX_SEGMENT_VALUES} values; "
            "group them into fewer first"
        )
    names = [MISSING if row[0] is None else str(row[0]) for row in found]
    return tuple(dict.fromkeys(names))


def _count(con: duckdb.DuckDBPyConnection, condition: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM source WHERE {condition}").fetchall()[0][0])


def _codes(values: npt.NDArray[np.int64]) -> Codes:
    return np.asarray(values, dtype=np.int64)
