"""Unit metrics → exact sums per variant, phase and segment: one pass over units for all caps and segments.

Sums are of whole numbers (a value in millionths), so that they do not depend on the order of addition; means
and covariances are made from them afterwards, once. Where a product would leave 128 bits, numbers are taken
apart into a high and a low part (`LIMB`) whose products are added up apart.
"""

from collections.abc import Sequence

from sqlglot import exp

from metrics.sql.plan import MetricColumns, UnitPlan
from metrics.sql.tree import QUANTILE, alias, build, column, expression, fill, function, literal
from metrics.sql.units import ENROLLED, UNITS, segment_column

LIMB = 10**13
MAX_SEGMENT_VALUES = 50
OTHER = "(other)"


def grouped_sums(plan: UnitPlan, *, crowded: Sequence[int] = (), limbs: bool = False) -> exp.Select:
    """The statement; its columns are those of `sum_columns` behind phase, variant and the segments.

    Args:
        plan: the experiment's plan.
        crowded: numbers of the dimensions with more than `MAX_SEGMENT_VALUES` values; those with the fewest
            units go together as "(other)".
        limbs: take products apart.
    """
    dimensions = [segment_column(number) for number in range(len(plan.segments))]
    query = build("SELECT phase, variant FROM capped")
    for name in dimensions:
        query = query.select(column(name), copy=False)
        query = query.select(
            alias(expression("GROUPING($name)", name=column(name)), f"{name}__all"), copy=False
        )
    query = query.select("COUNT(*) AS units", dialect="duckdb", copy=False)
    for planned in plan.metrics:
        query = query.select(*_sums(planned, limbs=limbs), copy=False)
    sets = [exp.Tuple(expressions=[column("phase"), column("variant")])]
    sets += [exp.Tuple(expressions=[column("phase"), column("variant"), column(name)]) for name in dimensions]
    query.set("group", exp.Group(grouping_sets=[exp.GroupingSets(expressions=sets)]))
    for number in crowded:
        query = query.with_(f"frequent_{number}", as_=frequent(segment_column(number)), copy=False)
    query = query.with_("observed", as_=_observed(plan, crowded), copy=False)
    capped = [planned for planned in plan.metrics if planned.metric.winsorize is not None]
    if capped:
        query = query.with_("caps", as_=_caps(capped), copy=False)
    return query.with_("capped", as_=_capped(plan), copy=False)


def segment_sizes(plan: UnitPlan) -> exp.Select:
    """How many values each dimension has, in the order of `plan.segments`; one row."""
    counts = [
        expression("COUNT(DISTINCT $name)", name=column(segment_column(number)))
        for number in range(len(plan.segments))
    ]
    return exp.select(*counts).from_(ENROLLED)


def sum_columns(planned: MetricColumns, *, limbs: bool = False) -> list[tuple[str, ...]]:
    """What each column of a metric is: n, sum i, product i j (or three parts of it), then cap and clipped."""
    width = len(planned.columns)
    what: list[tuple[str, ...]] = [("n",)]
    what += [("sum", str(i)) for i in range(width)]
    parts = ("high", "mixed", "low") if limbs else ("whole",)
    what += [
        ("product", str(i), str(j), part) for i in range(width) for j in range(i, width) for part in parts
    ]
    if planned.metric.winsorize is not None:
        what += [("cap",), ("clipped",)]
    if planned.metric.leaves_out:
        what += [("immature",)]
    return what


def _observed(plan: UnitPlan, crowded: Sequence[int]) -> exp.Select:
    """The values of mature units; of the others NULL, which no sum counts."""
    query = build(f"SELECT phase, variant FROM {UNITS}")
    for number in range(len(plan.segments)):
        query = query.select(alias(shown_segment(number, crowded), segment_column(number)), copy=False)
    for planned in plan.metrics:
        for unit_column in planned.columns:
            value: exp.Expr = column(unit_column.name)
            if planned.metric.window_s is not None:
                value = expression("CASE WHEN $mature THEN $x END", mature=column(planned.mature), x=value)
            if planned.metric.leaves_out:
                there = column(planned.columns[0].name)
                value = expression("CASE WHEN NOT $there IS NULL THEN $x END", there=there, x=value)
            query = query.select(alias(value, unit_column.name), copy=False)
        if planned.metric.leaves_out:
            query = query.select(column(planned.mature), copy=False)
    return query


def shown_segment(number: int, crowded: Sequence[int]) -> exp.Expr:
    """A unit's value of a dimension; of a crowded one, "(other)" for a value that is not frequent.

    The statement needs `frequent` of the crowded dimensions, as `frequent_N`.
    """
    value: exp.Expr = column(segment_column(number))
    if number not in crowded:
        return value
    return expression(
        f"CASE WHEN $value IN (SELECT value FROM frequent_{number}) THEN $value ELSE $other END",
        value=value,
        other=OTHER,
    )


def frequent(name: str) -> exp.Select:
    """The most frequent values of the column of a crowded dimension."""
    return build(
        f"SELECT $name AS value FROM {UNITS} GROUP BY $name ORDER BY COUNT(*) DESC, $name LIMIT $most",
        name=column(name),
        most=MAX_SEGMENT_VALUES,
    )


def _caps(capped: Sequence[MetricColumns]) -> exp.Select:
    """The caps: exact quantiles over all variants together."""
    caps = [
        alias(
            function(QUANTILE, column(planned.columns[0].name), literal(planned.metric.winsorize)),
            _cap(planned),
        )
        for planned in capped
    ]
    return exp.select(*caps).from_("observed")


def _capped(plan: UnitPlan) -> exp.Select:
    query = build("SELECT phase, variant FROM observed")
    if any(planned.metric.winsorize is not None for planned in plan.metrics):
        query = query.join("caps", join_type="cross", copy=False)
    for number in range(len(plan.segments)):
        query = query.select(column(segment_column(number)), copy=False)
    for planned in plan.metrics:
        for place, unit_column in enumerate(planned.columns):
            value: exp.Expr = column(unit_column.name)
            if place == 0 and planned.metric.winsorize is not None:
                over = expression("$x > $cap", x=column(unit_column.name), cap=column(_cap(planned)))
                query = query.select(column(_cap(planned)), alias(over, _clipped(planned)), copy=False)
                value = expression(
                    "CASE WHEN $over THEN $cap ELSE $x END", over=over, cap=column(_cap(planned)), x=value
                )
            query = query.select(alias(value, unit_column.name), copy=False)
        if planned.metric.leaves_out:
            query = query.select(column(planned.mature), copy=False)
    return query


def _sums(planned: MetricColumns, *, limbs: bool) -> list[exp.Expr]:
    names = [unit_column.name for unit_column in planned.columns]
    return [
        alias(
            _sum(planned, what, [column(name) for name in names]), f"{planned.metric.name}__{'_'.join(what)}"
        )
        for what in sum_columns(planned, limbs=limbs)
    ]


def _sum(planned: MetricColumns, what: tuple[str, ...], columns: list[exp.Column]) -> exp.Expr:
    match what:
        case ("n",):
            return expression("COUNT($x)", x=columns[0])
        case ("sum", i):
            return expression("SUM($x)", x=columns[int(i)])
        case ("product", i, j, part):
            return fill(_PRODUCTS[part].copy(), x=columns[int(i)], y=columns[int(j)], limb=LIMB)
        case ("cap",):
            return expression("MAX($cap)", cap=column(_cap(planned)))
        case ("immature",):
            return expression("COUNT(*) FILTER (WHERE NOT $mature)", mature=column(planned.mature))
        case _:
            return expression("COUNT(*) FILTER (WHERE $over)", over=column(_clipped(planned)))


_X, _Y = "CAST($x AS INT128)", "CAST($y AS INT128)"
_PRODUCTS = {
    "whole": expression(f"SUM({_X} * $y)"),
    "high": expression(f"SUM(({_X} // $limb) * ({_Y} // $limb))"),
    "mixed": expression(f"SUM(({_X} // $limb) * ({_Y} % $limb) + ({_X} % $limb) * ({_Y} // $limb))"),
    "low": expression(f"SUM(({_X} % $limb) * ({_Y} % $limb))"),
}


def _cap(planned: MetricColumns) -> str:
    return f"{planned.metric.name}__cap"


def _clipped(planned: MetricColumns) -> str:
    return f"{planned.metric.name}__clipped"
