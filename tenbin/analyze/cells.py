"""From the cells of `source` to arrays: what each means, and a refusal with row and column for what it can't.

Missing is an empty cell or null, and only that: NA, NaN, "-" and the like are text where a number belongs.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.files import Input
from tenbin.analyze.request import Wanted
from tenbin.analyze.table import Source

MAX_VARIANTS = 64
MAX_SEGMENT_VALUES = 200
MISSING = "(missing)"
EVERYONE = "everyone"  # the one variant of a file without

_SHOWN_VALUES = 10
_SHOWN_CHARS = 80

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

    file: Input
    rows: Rows
    variants: tuple[str, ...]  # control first
    levels: dict[str, tuple[str, ...]]  # segment → its values
    total: int  # rows in the file
    without_variant: int
    without_unit: int


def read_cells(source: Source, wanted: Wanted) -> Cells:
    """Everything that the analysis needs of the file.

    Raises:
        AnalyzeError: a cell is no number, a variant is missing from the file, or there are too many of them.
    """
    for column in wanted.numbers:
        _check_numbers(source, wanted, column)
    variants = (EVERYONE,) if wanted.variant is None else _variants(source, wanted.variant, wanted.control)
    levels = {name: _levels(source, name) for name in wanted.segments}
    variant = _variant(source, wanted)
    present = "true" if wanted.unit is None else f"{text_of(source, wanted.unit)} IS NOT NULL"
    if wanted.cluster is not None:
        _check_clusters(source, wanted.cluster, f"{variant} IS NOT NULL AND {present}")
    return Cells(
        file=source.table.file,
        rows=_rows(source, wanted, variants, levels, f"{variant} IS NOT NULL AND {present}"),
        variants=variants,
        levels=levels,
        total=source.rows,
        without_variant=_count(source, f"{variant} IS NULL"),
        without_unit=_count(source, f"{variant} IS NOT NULL AND NOT ({present})"),
    )


def _rows(
    source: Source,
    wanted: Wanted,
    variants: tuple[str, ...],
    levels: dict[str, tuple[str, ...]],
    condition: str,
) -> Rows:
    """The rows that meet `condition`, as arrays."""
    selected = ["rowid + 1 AS row", f"{_dense(source, wanted.unit)} AS unit"]
    selected += [f"list_position(?, {_variant(source, wanted)}) - 1 AS variant"]
    parameters: list[object] = [list(variants)]
    if wanted.cluster is not None:
        selected.append(f"{_dense(source, wanted.cluster)} AS cluster")
    for number, name in enumerate(wanted.segments):
        selected.append(f"list_position(?, coalesce({text_of(source, name)}, ?)) - 1 AS s{number}")
        parameters += [list(levels[name]), MISSING]
    selected += [f"{_number(source, wanted, name)} AS v{place}" for place, name in enumerate(wanted.numbers)]
    found = source.con.execute(
        f"SELECT {', '.join(selected)} FROM source WHERE {condition} ORDER BY rowid", parameters
    ).fetchnumpy()
    return Rows(
        row=_codes(found["row"]),
        unit=_codes(found["unit"]),
        variant=_codes(found["variant"]),
        cluster=None if wanted.cluster is None else _codes(found["cluster"]),
        segments={name: _codes(found[f"s{number}"]) for number, name in enumerate(wanted.segments)},
        values={name: _numbers(found[f"v{number}"]) for number, name in enumerate(wanted.numbers)},
    )


def _variant(source: Source, wanted: Wanted) -> str:
    return f"'{EVERYONE}'" if wanted.variant is None else text_of(source, wanted.variant)


def text_of(source: Source, column: str) -> str:
    """The cell as text in SQL, NULL when missing."""
    return f"nullif(CAST({source.cell(column)} AS VARCHAR), '')"


def _dense(source: Source, column: str | None) -> str:
    """A number from 0 for each different text; for each row without a column."""
    return "rowid" if column is None else f"dense_rank() OVER (ORDER BY {text_of(source, column)}) - 1"


def _number(source: Source, wanted: Wanted, column: str) -> str:
    """The cell as a DOUBLE; NULL for missing and for what is no number (a conversion: neither yes nor no)."""
    kind, cell = source.table.kind(column), source.cell(column)
    conversion = column in wanted.conversions
    if kind == "boolean":
        return f"CAST({cell} AS DOUBLE)"
    if kind == "number":
        number = f"CAST({cell} AS DOUBLE)"
        return _yes_no(number) if conversion else _finite(number)
    text = f"trim(CAST({cell} AS VARCHAR))"
    number = f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({text} AS DOUBLE) END"  # DuckDB reads 1_000
    if conversion:
        return f"CASE lower({text}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE {_yes_no(number)} END"
    return _finite(number)


def _finite(number: str) -> str:
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _yes_no(number: str) -> str:
    return f"CASE WHEN {number} IN (0, 1) THEN {number} END"


def _check_numbers(source: Source, wanted: Wanted, column: str) -> None:
    """Refuse a column that can't hold numbers, and the first cell that is there but is none."""
    kind, conversion = source.table.kind(column), column in wanted.conversions
    if kind == "other" or (kind == "boolean" and not conversion):
        hint = "use it with --conversion" if kind == "boolean" else "convert it to numbers first"
        raise AnalyzeError(
            f'{source.table.path}: column "{column}" is of type {source.table.type(column)}, but numbers '
            f"belong there; {hint}"
        )
    bad = source.con.execute(
        f"SELECT rowid + 1, CAST({source.cell(column)} AS VARCHAR) FROM source WHERE rowid = ("
        f"SELECT min(rowid) FROM source WHERE {text_of(source, column)} IS NOT NULL "
        f"AND ({_number(source, wanted, column)}) IS NULL)"
    ).fetchall()
    if not bad:
        return
    row, text = bad[0]
    where = f'{source.table.file.row(row)}, column "{column}"'
    shown = repr(text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…")
    if conversion:
        raise AnalyzeError(
            f"{where}: {shown} is neither yes nor no; a conversion is true, false, 0, 1 or empty "
            "(counts and amounts belong to --mean or --revenue)"
        )
    hint = "; use --conversion for yes and no" if text.strip().lower() in {"true", "false"} else ""
    raise AnalyzeError(
        f"{where}: {shown} is no finite number; write one with a decimal point, or leave the cell empty{hint}"
    )


def _check_clusters(source: Source, column: str, condition: str) -> None:
    missing = source.con.execute(
        f"SELECT min(rowid) + 1 FROM source WHERE {condition} AND {text_of(source, column)} IS NULL"
    ).fetchall()[0][0]
    if missing is not None:
        raise AnalyzeError(
            f'{source.table.file.row(missing)}, column "{column}": is empty; with --cluster every row names '
            "its group"
        )


def _variants(source: Source, column: str, control: str | None) -> tuple[str, ...]:
    """Every variant of the file, control first, the others in their order as text."""
    path = source.table.path
    cell = text_of(source, column)
    found = source.con.execute(
        f"SELECT DISTINCT {cell} AS variant FROM source WHERE {cell} IS NOT NULL ORDER BY variant "
        f"LIMIT {MAX_VARIANTS + 1}"
    ).fetchall()
    names = [str(row[0]) for row in found]
    shown = ", ".join(f'"{name}"' for name in names[:_SHOWN_VALUES]) or "none"
    shown += ", …" if len(names) > _SHOWN_VALUES else ""
    if len(names) > MAX_VARIANTS:
        raise AnalyzeError(
            f'{path}: column "{column}" has more than {MAX_VARIANTS} values ({shown}); name the column of '
            "the variant with --variant"
        )
    if control is None:
        raise AnalyzeError(
            f'{path}: --control is missing; name one of the variants in column "{column}": {shown}'
        )
    if control not in names:
        raise AnalyzeError(
            f'{path}: column "{column}" has no variant "{control}" (--control); it has: {shown}'
        )
    if len(names) == 1:
        raise AnalyzeError(
            f'{path}: column "{column}" has the one variant "{control}"; a comparison needs another one '
            "beside the control"
        )
    return (control, *(name for name in names if name != control))


def _levels(source: Source, column: str) -> tuple[str, ...]:
    """The values of a segment in their order as text, the missing one last."""
    found = source.con.execute(
        f"SELECT DISTINCT {text_of(source, column)} AS level FROM source ORDER BY level NULLS LAST "
        f"LIMIT {MAX_SEGMENT_VALUES + 1}"
    ).fetchall()
    if len(found) > MAX_SEGMENT_VALUES:
        raise AnalyzeError(
            f'{source.table.path}: column "{column}" has more than {MAX_SEGMENT_VALUES} values (--segment); '
            "group them into fewer first"
        )
    names = [MISSING if row[0] is None else str(row[0]) for row in found]
    return tuple(dict.fromkeys(names))


def _count(source: Source, condition: str) -> int:
    return int(source.con.execute(f"SELECT count(*) FROM source WHERE {condition}").fetchall()[0][0])


def _codes(values: object) -> Codes:
    return np.asarray(values, dtype=np.int64)


def _numbers(values: object) -> Numbers:
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)
