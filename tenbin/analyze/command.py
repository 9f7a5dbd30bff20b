"""One call of `tenbin analyze`, from the path to the answer."""

from pathlib import Path

from tenbin.analyze.answer import Answer, answer
from tenbin.analyze.cells import Cells, read_cells
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.request import Request, Wanted
from tenbin.analyze.resolve import resolve
from tenbin.analyze.table import load, opened
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
    with opened(path) as (con, table):
        wanted = resolve(request, table)
        return wanted, read_cells(load(con, table, wanted.columns), wanted)
