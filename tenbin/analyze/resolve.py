"""A request in terms of the file at hand."""

from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.names import known_column
from tenbin.analyze.request import Request, Wanted
from tenbin.analyze.settings import earlier_looks, settings_of
from tenbin.analyze.specs import metric_specs
from tenbin.analyze.table import Table
from workspace import check_alpha


def resolve(request: Request, table: Table) -> Wanted:
    """The request in terms of the file's columns.

    Raises:
        AnalyzeError: no metric, an unknown or ambiguous name, or an option that can't be read or applied.
    """
    check_alpha(request.alpha, where="--alpha", error=AnalyzeError)
    metrics = metric_specs(request, table)
    settings = settings_of(request, metrics)
    named = [("segment", name) for name in request.segments]
    if request.strata is not None:
        named.append(("strata", request.strata))
    return Wanted(
        metrics=metrics,
        variant=None if request.variant is None else known_column("variant", request.variant, table),
        control=request.control,
        unit=None if request.unit is None else known_column("unit", request.unit, table),
        cluster=None if request.cluster is None else known_column("cluster", request.cluster, table),
        segments=tuple(dict.fromkeys(_segment(option, name, table) for option, name in named)),
        settings=settings,
        earlier_looks=earlier_looks(request),
    )


def _segment(option: str, name: str, table: Table) -> str:
    column = known_column(option, name, table)
    if "=" in column:
        raise AnalyzeError(
            f'{table.path}: --{option} {name}: the name holds "=", which stands between a segment and its '
            "value; rename the column"
        )
    return column
