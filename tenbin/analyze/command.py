"""One call of `tenbin analyze`, from the path to the answer."""

import tempfile
from pathlib import Path

import duckdb

from tenbin.analyze.answer import Answer, answer
from tenbin.analyze.cells import read_cells
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.request import Request, known, resolve_metrics, resolve_weights
from tenbin.analyze.table import load, open_table
from tenbin.analyze.units import bring_to_units


def analyze_file(path: Path, request: Request) -> Answer:
    """Read the file, bring it to one row per unit, and compare the variants.

    Raises:
        AnalyzeError: the file or an option can't be used; the message says which, where and what to do.
    """
    if not 0 < request.alpha < 1:
        raise AnalyzeError(f"--alpha {request.alpha:g} must lie between 0 and 1, both excluded, as in 0.05")
    with tempfile.TemporaryDirectory(prefix="tenbin-") as scratch, duckdb.connect() as con:
        con.execute("SET temp_directory = ?", [scratch])
        con.execute("SET enable_progress_bar = false")
        table = open_table(con, path)
        metrics = resolve_metrics(request, table.columns)
        numbers = {name: False for spec in metrics for name in spec.columns}
        for spec in metrics:
            if spec.kind == "conversion":
                numbers[spec.column] = True
        named = [known("variant", request.variant, table.columns)]
        named += [known("unit", request.unit, table.columns)] if request.unit is not None else []
        named += [known("cluster", request.cluster, table.columns)] if request.cluster is not None else []
        segments = tuple(dict.fromkeys(known("segment", name, table.columns) for name in request.segments))
        columns = tuple(dict.fromkeys((*named, *segments, *numbers)))
        total = load(con, table, columns)
        cells = read_cells(
            con,
            table,
            {name: place for place, name in enumerate(columns)},
            total=total,
            unit=request.unit,
            variant=request.variant,
            control=request.control,
            cluster=request.cluster,
            segments=segments,
            numbers=numbers,
        )
    weights = resolve_weights(request.weights, cells.variants)
    return answer(path, request, metrics, bring_to_units(cells, metrics, path=path), weights)
