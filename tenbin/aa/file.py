"""A file as a log, read as `tenbin analyze` reads it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stats.arrays import Codes, Numbers
from stats.measures import Kind
from tenbin.aa.log import AaError, Log, LoggedMetric, require_enough
from tenbin.analyze.cells import Cells, read_cells, text_of
from tenbin.analyze.groups import independent_columns
from tenbin.analyze.request import MetricSpec, Request
from tenbin.analyze.resolve import resolve
from tenbin.analyze.table import Source, Table, load, opened
from tenbin.analyze.units import bring_to_units
from workspace import suggest

Texts = npt.NDArray[np.object_]

_KINDS: dict[str, Kind] = {"conversion": "proportion", "mean": "mean", "revenue": "mean", "ratio": "ratio"}


def read_file(path: Path, request: Request, randomised: str | None = None) -> Log:
    """The units of a file.

    Args:
        path: of the file; a column that says who was in which variant is not read.
        request: what is analysed, without a variant.
        randomised: the column that says who gets an arm, when that is not the unit or its cluster.

    Raises:
        UserError: the file or an option can't be used; the message says which, where and what to do.
    """
    with opened(path) as (con, table):
        wanted = resolve(request, table)
        who = wanted.cluster or wanted.unit if randomised is None else _known(randomised, table)
        source = load(con, table, tuple(dict.fromkeys((*wanted.columns, *((who,) if who else ())))))
        cells = read_cells(source, wanted)
        by_row = cells.rows.row.astype(str).astype(object) if who is None else _texts(source, who, cells)
    sample = bring_to_units(cells, wanted.metrics)
    ids = _by_unit(by_row, cells, who or "")
    metrics = tuple(_metric(spec, independent_columns(spec, sample.units)) for spec in wanted.metrics)
    if sample.units.cluster is not None:
        ids, metrics = _by_cluster(ids, metrics, sample.units.cluster)
    names, of = np.unique(ids, return_inverse=True)
    return require_enough(
        Log(str(path), tuple(names.tolist()), of.astype(np.int64), metrics, sample.tally.warnings)
    )


def _known(name: str, table: Table) -> str:
    if table.columns.count(name) != 1:
        raise AaError(
            f'{table.path}: --randomised {name}: there is no one column "{name}"; '
            f"{suggest(name, list(table.columns))}"
        )
    return name


def _texts(source: Source, column: str, cells: Cells) -> Texts:
    """The text of a column in every row that counts.

    Raises:
        AaError: it is missing in one.
    """
    found = source.con.execute(f"SELECT {text_of(source, column)} FROM source ORDER BY rowid").fetchall()
    texts = np.array([row[0] for row in found], dtype=object)[cells.rows.row - 1]
    if len(empty := np.flatnonzero(texts == None)):  # noqa: E711 - elementwise
        raise AaError(
            f'{cells.file.row(int(cells.rows.row[empty[0]]))}, column "{column}": is empty; every row names '
            "who was randomised"
        )
    return texts


def _by_unit(texts: Texts, cells: Cells, column: str) -> Texts:
    """The one text that all rows of a unit have, units in order of first appearance.

    Raises:
        AaError: a unit has two.
    """
    _, first, unit = np.unique(cells.rows.unit, return_index=True, return_inverse=True)
    if len(other := np.flatnonzero(texts != texts[first[unit]])):
        raise AaError(
            f'{cells.file.row(int(cells.rows.row[other[0]]))}, column "{column}": its unit had '
            "another value in an earlier row; who is randomised is one unit or several whole ones"
        )
    return texts[np.sort(first)]


def _metric(spec: MetricSpec, columns: Sequence[Numbers]) -> LoggedMetric:
    return LoggedMetric(spec.name, _KINDS[spec.kind], tuple(columns))


def _by_cluster(
    ids: Texts, metrics: Sequence[LoggedMetric], cluster: Codes
) -> tuple[Texts, tuple[LoggedMetric, ...]]:
    """Groups as units: a mean over units is a ratio over groups, sum of the group over units in it."""
    _, first, group = np.unique(cluster, return_index=True, return_inverse=True)
    order = np.argsort(first)  # groups in order of first appearance
    place = np.empty_like(order)
    place[order] = np.arange(len(order))

    def summed(metric: LoggedMetric) -> LoggedMetric:
        sums = (np.bincount(place[group], weights=column) for column in metric.columns)
        return LoggedMetric(metric.name, "ratio", tuple(each.astype(np.float64) for each in sums))

    return ids[np.sort(first)], tuple(map(summed, metrics))
