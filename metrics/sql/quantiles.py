"""Unit metrics and single values → what a quantile and its error are made from, in a few statements.

Two tables are kept for an as-of day: `quantile_values`, every value of every mature unit, and `histogram`,
how many events have each value in each cell (metric, phase, variant, and all units or a segment). What is
asked of them comes in a relation of a row per cell, so that each question is one statement for all cells.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlglot import exp

from metrics.sql.moments import frequent, shown_segment
from metrics.sql.plan import UnitPlan
from metrics.sql.tree import alias, build, column, union_all
from metrics.sql.units import EACH_VALUE, UNITS, segment_column

QUANTILE_VALUES = "quantile_values"
HISTOGRAM = "histogram"
CELL = ("metric", "phase", "variant", "dimension", "level")
EVERYONE = -1  # as dimension
Cell = tuple[int, int, str, int, str]  # metric and dimension by their number in the plan


def quantile_values(plan: UnitPlan, *, crowded: Sequence[int] = ()) -> exp.Query:
    """The values of mature units up to `$as_of` (bound), by metric; of segments what `grouped_sums` shows."""
    parts = []
    for number, planned in plan.quantiles.items():
        query = build(
            f"SELECT $number AS metric, u.phase, u.variant, v.unit_key, v.value, SUM(v.events) AS events "
            f"FROM {EACH_VALUE} AS v JOIN u ON u.unit_key = v.unit_key "
            "WHERE v.slot = $slot AND v.day <= $as_of AND u.mature "
            "GROUP BY u.phase, u.variant, v.unit_key, v.value",
            number=number,
            slot=planned.columns[0].terms[0].slot,
        )
        units = build(
            f"SELECT unit_key, phase, variant, $mature AS mature FROM {UNITS}", mature=column(planned.mature)
        )
        for place in range(len(plan.segments)):
            name = segment_column(place)
            units = units.select(alias(shown_segment(place, crowded), name), copy=False)
            query = query.select(column(name, "u"), copy=False).group_by(column(name, "u"), copy=False)
        query.args["joins"][0].set("this", units.subquery("u"))
        parts.append(query)
    whole = union_all(parts)
    for place in crowded:
        whole = whole.with_(f"frequent_{place}", as_=frequent(segment_column(place)), copy=False)
    return whole


def histogram(plan: UnitPlan) -> exp.Select:
    """Per cell and value: how many events have it, and how many have it or a smaller one."""
    keys = ", ".join(CELL)
    query = build(
        f"SELECT {keys}, value, events, CAST(SUM(events) OVER (PARTITION BY {keys} ORDER BY value "
        "ROWS UNBOUNDED PRECEDING) AS BIGINT) AS upto FROM bins"
    )
    bins = build(f"SELECT {keys}, value, CAST(SUM(events) AS BIGINT) AS events FROM c GROUP BY {keys}, value")
    bins.set("from_", exp.From(this=exp.Subquery(this=_celled(plan), alias=exp.to_identifier("c"))))
    return query.with_("bins", as_=bins, copy=False)


def extent() -> exp.Select:
    """Cell → number of events, smallest and largest value."""
    keys = ", ".join(CELL)
    return build(f"SELECT {keys}, MAX(upto), MIN(value), MAX(value) FROM {HISTOGRAM} GROUP BY {keys}")


def values_at(asked: Mapping[Cell, Iterable[int]]) -> exp.Select:
    """Cell and place → the value at that place, numbered from 0, among the cell's values in their order."""
    keys = ", ".join(f"a.{name}" for name in CELL)
    rows = [(*cell, place) for cell, places in asked.items() for place in sorted(set(places))]
    query = build(
        f"SELECT {keys}, a.place, MIN(h.value) FROM asked AS a JOIN {HISTOGRAM} AS h ON $same "
        f"AND h.upto > a.place GROUP BY {keys}, a.place",
        same=_same_cell("h"),
    )
    return query.with_("asked", as_=_asked(rows, ("place",)), copy=False)


def shares(plan: UnitPlan, thresholds: Mapping[Cell, int]) -> exp.Select:
    """Cell → units, and over them the sums of b, v, b b, b v and v v.

    b: how many values of the unit are at or below the cell's threshold; v: how many it has.
    """
    keys = ", ".join(f"a.{name}" for name in CELL)
    per_unit = build(
        f"SELECT {keys}, SUM(CASE WHEN c.value <= a.threshold THEN c.events ELSE 0 END) AS b, "
        f"SUM(c.events) AS v FROM asked AS a JOIN c ON $same GROUP BY {keys}, c.unit_key",
        same=_same_cell("c"),
    )
    celled = exp.Subquery(this=_celled(plan), alias=exp.to_identifier("c"))
    per_unit.args["joins"][0].set("this", celled)
    names = ", ".join(CELL)
    query = build(
        f"SELECT {names}, COUNT(*), SUM(b), SUM(v), SUM(b * b), SUM(b * v), SUM(v * v) FROM per_unit "
        f"GROUP BY {names}"
    )
    asked = _asked([(*cell, number) for cell, number in thresholds.items()], ("threshold",))
    return query.with_("asked", as_=asked, copy=False).with_("per_unit", as_=per_unit, copy=False)


def largest_ties(asked: Mapping[Cell, tuple[int, int]]) -> exp.Select:
    """Cell → how many events have the most frequent value between two values, both included."""
    keys = ", ".join(f"a.{name}" for name in CELL)
    query = build(
        f"SELECT {keys}, MAX(h.events) FROM asked AS a JOIN {HISTOGRAM} AS h ON $same "
        f"AND h.value BETWEEN a.low AND a.high GROUP BY {keys}",
        same=_same_cell("h"),
    )
    rows = [(*cell, *ends) for cell, ends in asked.items()]
    return query.with_("asked", as_=_asked(rows, ("low", "high")), copy=False)


def _celled(plan: UnitPlan) -> exp.Query:
    """Every value once among all units, and once per dimension."""
    cuts: list[tuple[int, exp.Expr]] = [(EVERYONE, exp.Literal.string(""))]
    cuts += [(number, column(segment_column(number))) for number in range(len(plan.segments))]
    return union_all(
        build(
            "SELECT metric, phase, variant, $dimension AS dimension, $level AS level, unit_key, value, "
            f"events FROM {QUANTILE_VALUES}",
            dimension=number,
            level=level,
        )
        for number, level in cuts
    )


def _same_cell(table: str) -> exp.Expr:
    return exp.and_(*(column(name, "a").eq(column(name, table)) for name in CELL))


def _asked(rows: Sequence[tuple[int | str, ...]], names: Sequence[str]) -> exp.Select:
    return exp.select("*").from_(exp.values(rows, alias="rows", columns=[*CELL, *names]))
