"""One call of `tenbin analyze`, from the path to the answer."""

import tempfile
from pathlib import Path

import duckdb

from tenbin.analyze.answer import Answer, answer
from tenbin.analyze.cells import Cells, read_cells
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.files import open_input
from tenbin.analyze.request import Request, Wanted
from tenbin.analyze.resolve import resolve
from tenbin.analyze.table import load, open_table
from tenbin.analyze.units import bring_to_units
from tenbin.analyze.weights import resolve_weights


def analyze_file(path: Path, request: Request) -> Answer:
    """Read the file, bring it to one row per unit, and compare the variants.

    Raises:
        AnalyzeError: the file or an option can't be used; the message says which, where and what to do.
    """
    if request.variant is None:
        raise AnalyzeError(
            "--variant is missing; name the column that says which variant a row belongs to, or say with "
            "--moments that the file has aggregates"
        )
    wanted, cells = _read(path, request)
    weights = resolve_weights(request.weights, cells.variants, path)
    return answer(path, request, wanted, bring_to_units(cells, wanted.metrics), weights)


def _read(path: Path, request: Request) -> tuple[Wanted, Cells]:
    with tempfile.TemporaryDirectory(prefix="tenbin-") as scratch, duckdb.connect() as con:
        con.execute("SET temp_directory = ?", [scratch])
        con.execute("SET enable_progress_bar = false")
        con.execute("SET TimeZone = 'UTC'")
        table = open_table(con, open_input(path, Path(scratch)))
        wanted = resolve(request, table)
        return wanted, read_cells(load(con, table, wanted.columns), wanted)
