"""A checked tree in Spark's words: what sqlglot does not translate, or translates into something inexact.

The answers are those of DuckDB; what Spark can't answer the same is refused here with a sentence. Session
settings that this relies on (ANSI, UTC, names that differ by case) are `metrics.engines.session`'s.
"""

from collections.abc import Callable

from sqlglot import exp

from metrics.model import MetricsError
from metrics.sql.patterns import java_pattern

_OBJECT = "map<string,variant>"
# The kinds of a variant, by the names that DuckDB has for those of JSON.
_KINDS = {
    "STRING": "VARCHAR",
    "VOID": "NULL",
    **{name: name for name in ("BIGINT", "DECIMAL", "DOUBLE", "FLOAT", "BOOLEAN", "OBJECT", "ARRAY")},
}


def in_spark(tree: exp.Expr) -> exp.Expr:
    """The statement for Spark; the given tree stays as it is.

    Raises:
        MetricsError: it asks for something that Spark would answer otherwise than DuckDB.
    """
    return tree.copy().transform(_translate, copy=False)


def _translate(node: exp.Expr) -> exp.Expr:
    match node:
        case exp.Select():
            return _without_quantiles(node)
        case exp.DataType() if node.this == exp.DType.INT128:
            return exp.DataType.build("DECIMAL(38, 0)")
        case exp.TryCast() | exp.Cast():
            return _converted(node)
        case exp.IntDiv():
            return _whole_quotient(node)
        case exp.RegexpLike() | exp.RegexpExtract():
            node.set("expression", _text(java_pattern(node.expression.name)))
        case exp.CTE():
            # Spark has no such word; `metrics.engines.spark` keeps these by itself.
            node.set("materialized", None)
        case exp.Anonymous() if node.name.upper() in _SPARK:
            return _SPARK[node.name.upper()]([item.transform(_translate) for item in node.expressions])
    return node


def _converted(node: exp.Cast) -> exp.Expr:
    if node.to.this == exp.DType.UBIGINT:
        return _hexadecimal(node)
    if isinstance(node, exp.TryCast) and node.to.this == exp.DType.TIMESTAMPTZ:
        # sqlglot would say CAST, which ends the statement where there is no such day.
        return _call("TRY_TO_TIMESTAMP", node.this.transform(_translate))
    return node


def _call(name: str, *args: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(args))


def _text(value: str) -> exp.Expr:
    return exp.Literal.string(value)


# --- JSON ------------------------------------------------------------------------------------------------


def _member(args: list[exp.Expr]) -> exp.Expr:
    """The variant at a JSON pointer, through objects alone.

    Step by step, since a variant's path can't hold every key. A text that is no JSON, or
    has a key twice, ends the statement.
    """
    found = _call("PARSE_JSON", args[0])
    for key in args[1].name.split("/")[1:]:
        name = _text(key.replace("~1", "/").replace("~0", "~"))
        found = _call("TRY_ELEMENT_AT", _call("TRY_VARIANT_GET", found, _text("$"), _text(_OBJECT)), name)
    return found


def _json_text(args: list[exp.Expr]) -> exp.Expr:
    return _call("TRY_VARIANT_GET", _member(args), _text("$"), _text("string"))


def _json_kind(args: list[exp.Expr]) -> exp.Expr:
    schema = _call("SCHEMA_OF_VARIANT", _member(args))
    kind = _call("REGEXP_EXTRACT", schema, _text("^[A-Z]+"), exp.Literal.number(0))
    names = [_text(word) for pair in _KINDS.items() for word in pair]
    return _call("TRY_ELEMENT_AT", _call("MAP", *names), kind)


def _json_label(args: list[exp.Expr]) -> exp.Expr:
    """Text, whole numbers and booleans; what else there is Spark would write otherwise than its sender."""
    told = f"the attribute {args[1].name} is a number with a fraction, a list or an object"
    refused = _call(
        "RAISE_ERROR",
        _text(f"{told}, which Spark writes in other characters than DuckDB; send it as text"),
    )
    same = _json_kind(args).isin("VARCHAR", "BIGINT", "BOOLEAN", "NULL")
    absent = exp.Is(this=_json_kind(args), expression=exp.null())
    return exp.Case().when(exp.or_(absent, same), _json_text(args)).else_(refused)


# --- numbers ---------------------------------------------------------------------------------------------


def _hexadecimal(node: exp.Cast) -> exp.Expr:
    """`CAST('0x' || digits AS UBIGINT)`, of at most eight digits."""
    text = node.this
    if not (isinstance(text, exp.DPipe) and text.this.name == "0x"):
        raise MetricsError("the compiled SQL has a number without sign, which Spark does not know")
    digits = text.expression.transform(_translate)
    number = _call("CONV", digits, exp.Literal.number(16), exp.Literal.number(10))
    return exp.cast(number, "BIGINT")


def _whole_quotient(node: exp.IntDiv) -> exp.Expr:
    """`//`: Spark's DIV is a 64-bit number; a quotient without remainder is exact."""
    x, y = (part.transform(_translate) for part in (node.this, node.expression))
    rest = exp.Mod(this=x.copy(), expression=y.copy())
    whole = exp.Div(this=exp.paren(exp.Sub(this=x, expression=rest)), expression=y, typed=False, safe=False)
    return exp.paren(exp.cast(whole, "DECIMAL(38, 0)"))


def _without_quantiles(select: exp.Select) -> exp.Select:
    """Exact quantiles as counts below a value: Spark's own are doubles, or hold every value at once."""
    quantiles = [
        call
        for call in select.find_all(exp.Anonymous)
        if call.name.upper() == "QUANTILE_DISC" and call.parent_select is select
    ]
    for quantile in quantiles:
        value, share = quantile.expressions
        quantile.replace(_quantile(value, share, select.args["from_"].this))
    if quantiles:
        select.set("from_", None)
    return select


def _quantile(value: exp.Expr, share: exp.Expr, table: exp.Expr) -> exp.Expr:
    counts = exp.select(exp.alias_(value.copy(), "value"), "COUNT(*) AS n").from_(table.copy())
    counts = counts.where(exp.not_(exp.Is(this=value.copy(), expression=exp.null()))).group_by(value.copy())
    below = exp.select("value", "SUM(n) OVER (ORDER BY value) AS upto", "SUM(n) OVER () AS total")
    below = below.from_(counts.subquery("counts"))
    rank = exp.cast(share.copy(), "DECIMAL(19, 18)")
    needed = _call("CEIL", exp.Mul(this=exp.cast(exp.column("total"), "DECIMAL(18, 0)"), expression=rank))
    reached = exp.GTE(this=exp.column("upto"), expression=needed)
    return exp.select("MIN(value)").from_(below.subquery("below")).where(reached).subquery()


_SPARK: dict[str, Callable[[list[exp.Expr]], exp.Expr]] = {
    "JSON_EXTRACT_STRING": _json_text,
    "JSON_LABEL": _json_label,
    "JSON_TYPE": _json_kind,
    "JSON_OBJECT": lambda args: _call("TO_JSON", _call("NAMED_STRUCT", *args)),
    "EPOCH_US": lambda args: _call("UNIX_MICROS", *args),
    "HASH": lambda args: _call("XXHASH64", *args),
    "TIMEZONE": lambda args: _call("TO_UTC_TIMESTAMP", args[1], args[0]),
}
