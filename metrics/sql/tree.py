"""SQL as a tree: the one way in which names and values get into a statement, and out of it as text.

Statements are written as DuckDB text with `$name` in the places that change; a place is filled with a tree
(a literal, a quoted column, a condition), never with text. What is left of them at the end is bound. A
finished statement may only call functions of `ALLOWED`, because sqlglot translates what it knows and passes
through what it does not; each of these is the same in every engine, or has its translation in
`metrics.sql.spark`.
"""

import datetime as dt
import functools
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, cast

import sqlglot
from sqlglot import exp

from metrics.model import MetricsError
from metrics.sql.spark import in_spark

Dialect = Literal["duckdb", "spark"]
Value = str | int | float | bool | Decimal | dt.date | dt.datetime

# Ours in DuckDB's words, with the path as a JSON pointer; `metrics.sql.spark` says them for Spark.
JSON_TEXT = "JSON_EXTRACT_STRING"
JSON_KIND = "JSON_TYPE"
JSON_LABEL = "JSON_LABEL"  # JSON_TEXT that is shown or grouped by, whatever its kind
QUANTILE = "QUANTILE_DISC"
JSON_OBJECT = "JSON_OBJECT"
MICROSECONDS = "EPOCH_US"
CHECKSUM = "HASH"  # of a row; another number in every engine
ZONED = "TIMEZONE"  # the instant of a time without a zone, in a zone

ALLOWED = frozenset(
    (
        *("AND", "OR", "CASE", "IF", "CAST", "TRY_CAST", "COALESCE", "NULLIF"),
        *(
            "COUNT",
            "SUM",
            "MIN",
            "MAX",
            "LEAST",
            "GREATEST",
            "ABS",
            "LENGTH",
            "GROUPING",
            "ROW_NUMBER",
            "FIRST_VALUE",
            QUANTILE,
        ),
        *("CONTAINS", "STARTS_WITH", "ENDS_WITH", "REGEXP_LIKE", "REGEXP_EXTRACT", "SUBSTRING", "PAD", "MD5"),
        *(
            "SPLIT",
            "TRANSFORM",
            "ARRAY_TO_STRING",
            "ARRAY_CONTAINS",
            JSON_TEXT,
            JSON_KIND,
            JSON_LABEL,
            JSON_OBJECT,
            MICROSECONDS,
        ),
        *(CHECKSUM, ZONED),
    )
)


def literal(value: Value | None) -> exp.Expr:
    """A value as SQL writes it."""
    if value is None:
        return exp.null()
    if isinstance(value, dt.datetime):
        return exp.cast(exp.Literal.string(value.astimezone(dt.UTC).isoformat(sep=" ")), "TIMESTAMPTZ")
    if isinstance(value, dt.date):
        return exp.cast(exp.Literal.string(value.isoformat()), "DATE")
    if isinstance(value, Decimal):
        return exp.Literal.number(str(value))
    return exp.convert(value)


def column(name: str, table: str | None = None) -> exp.Column:
    """A column, always quoted."""
    return exp.column(name, table=table, quoted=True)


def function(name: str, *args: exp.Expr) -> exp.Expr:
    """A call of one of the functions that `metrics.sql.spark` knows."""
    return exp.Anonymous(this=name, expressions=list(args))


def alias(expression: exp.Expr, name: str) -> exp.Expr:
    """`expression AS "name"`."""
    return exp.alias_(expression, name, quoted=True, copy=False)


def pointer(path: Iterable[str]) -> exp.Expr:
    """Keys, outermost first, as a JSON pointer (RFC 6901), which holds any key."""
    return exp.Literal.string("".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path))


def build(template: str, **places: exp.Expr | Value | None) -> exp.Select:
    """A `SELECT` from DuckDB text; each `$name` that is given is filled, the others stay to be bound."""
    return cast("exp.Select", fill(_parsed(template).copy(), **places))


def expression(template: str, **places: exp.Expr | Value | None) -> exp.Expr:
    """An expression from DuckDB text, in parentheses where it needs them."""
    return fill(_parsed_expression(template).copy(), **places)


def fill(tree: exp.Expr, **places: exp.Expr | Value | None) -> exp.Expr:
    """Put values and trees into the places of a tree."""

    def put(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Placeholder) and node.name in places:
            value = places[node.name]
            if not isinstance(value, exp.Expr):
                return literal(value)
            return (
                exp.paren(value) if isinstance(value, exp.Connector | exp.Binary | exp.Not) else value.copy()
            )
        return node

    return tree.transform(put, copy=False)


def fill_list(tree: exp.Expr, place: str, values: Iterable[Value]) -> None:
    """Put literals into `IN ($place)`."""
    for node in list(tree.find_all(exp.In)):
        if [item.name for item in node.expressions if isinstance(item, exp.Placeholder)] == [place]:
            node.set("expressions", [literal(value) for value in values])


def union_all(queries: Iterable[exp.Select]) -> exp.Query:
    """The queries one below the other."""
    first, *others = queries
    tree: exp.Query = first
    for query in others:
        tree = exp.union(tree, query, distinct=False, copy=False)
    return tree


def render(tree: exp.Expr, dialect: Dialect = "duckdb", *, pretty: bool = True) -> str:
    """The statement as text.

    Raises:
        MetricsError: it calls a function that is not on the allowed list (a defect of the compiler).
    """
    check(tree)
    tree = in_spark(tree) if dialect == "spark" else tree.transform(_label_as_text)
    return tree.sql(dialect=dialect, pretty=pretty, identify=True)


def _label_as_text(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Anonymous) and node.name == JSON_LABEL:
        return function(JSON_TEXT, *node.expressions)
    return node


def check(tree: exp.Expr) -> None:
    """Refuse a statement that calls anything outside `ALLOWED`."""
    if unknown := sorted(functions(tree) - ALLOWED):
        raise MetricsError(f"the compiled SQL calls {', '.join(unknown)}, which not every engine has")


def functions(tree: exp.Expr) -> set[str]:
    """Names of all functions in a tree."""
    return {
        node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name()
        for node in tree.find_all(exp.Func)
    }


@functools.lru_cache(maxsize=256)
def _parsed(template: str) -> exp.Expr:
    return sqlglot.parse_one(template, read="duckdb")


@functools.lru_cache(maxsize=256)
def _parsed_expression(template: str) -> exp.Expr:
    select = _parsed(f"SELECT {template}")
    return cast("exp.Expr", select.expressions[0])
