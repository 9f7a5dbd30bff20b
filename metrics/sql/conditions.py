"""Conditions (`tenbin_sdk.conditions`) as SQL over rows of `events`, with the same meaning.

Fields are `properties.…` (JSON text), `value` and `currency`. Every comparison is two-valued: one that can't
be applied is false, so `NOT` of it is true. A property test holds the two meanings equal.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable
from typing import Any, cast

from sqlglot import exp

from metrics.model import MetricsError
from metrics.sql.tree import (
    JSON_KIND,
    JSON_TEXT,
    MICROSECONDS,
    column,
    expression,
    function,
    literal,
    pointer,
)
from tenbin_sdk.conditions import (
    INSTANT_PATTERN,
    NUMBER_PATTERN,
    SEMVER_PATTERN,
    All,
    Any_,
    Compare,
    Condition,
    Not,
    Scalar,
    fields,
    parse,
)

PROPERTIES = "properties"
ROOTS = ("properties.NAME", "value", "currency")

_NUMBER_KINDS = ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT", "DECIMAL", "DOUBLE")
_OPERATOR = {"gt": exp.GT, "gte": exp.GTE, "lt": exp.LT, "lte": exp.LTE, "eq": exp.EQ}


@dataclasses.dataclass(frozen=True)
class Located:
    """How the operators read a field: its kind, and its text."""

    text: exp.Expr
    is_text: exp.Expr
    is_number: exp.Expr
    is_boolean: exp.Expr
    is_set: exp.Expr

    @classmethod
    def in_json(cls, document: exp.Expr, path: list[str]) -> "Located":
        """A value inside the text of a JSON object, by its keys, outermost first."""
        here = pointer(path)
        kind = function(JSON_KIND, document, here)
        guards = [
            # "0" may be a key of an object, but a pointer would also take it as a place in a list.
            function(JSON_KIND, document, pointer(path[:depth])).eq("OBJECT")
            for depth in range(1, len(path))
            if path[depth].isdigit() or path[depth] == "-"
        ]

        def guarded(test: exp.Expr) -> exp.Expr:
            return exp.and_(*guards, test)

        return cls(
            text=function(JSON_TEXT, document, here),
            is_text=guarded(kind.eq("VARCHAR")),
            is_number=guarded(kind.isin(*_NUMBER_KINDS)),
            is_boolean=guarded(kind.eq("BOOLEAN")),
            is_set=guarded(exp.NEQ(this=kind, expression=literal("NULL"))),
        )

    @classmethod
    def in_column(cls, read: exp.Expr, *, is_number: bool = False) -> "Located":
        """A column of text or of numbers."""
        present = exp.not_(exp.Is(this=read, expression=exp.null()))
        return cls(
            text=exp.cast(read, "VARCHAR"),
            is_text=exp.false() if is_number else present,
            is_number=present if is_number else exp.false(),
            is_boolean=exp.false(),
            is_set=present,
        )

    @property
    def number(self) -> exp.Expr:
        """The number as a double; NULL when the field has none."""
        return expression(
            "CASE WHEN $is_number OR ($is_text AND REGEXP_MATCHES($text, $pattern)) "
            "THEN TRY_CAST($text AS DOUBLE) END",
            is_number=self.is_number,
            is_text=self.is_text,
            text=self.text,
            pattern=NUMBER_PATTERN,
        )

    @property
    def microseconds(self) -> exp.Expr:
        """The date or instant as microseconds since 1970; NULL when the field has none."""
        instant = exp.TryCast(this=self.text.copy(), to=exp.DataType.build("TIMESTAMPTZ"))
        return expression(
            # The year 0000 fits the pattern, but is no year.
            "CASE WHEN $is_text AND REGEXP_MATCHES($text, $pattern) AND NOT STARTS_WITH($text, '0000') "
            "THEN $micros END",
            is_text=self.is_text,
            text=self.text,
            pattern=INSTANT_PATTERN,
            micros=function(MICROSECONDS, instant),
        )


def condition_sql(where: dict[str, Any] | None, table: str | None = None) -> exp.Expr | None:
    """A metric's `where` as a two-valued expression over `events`; None without one."""
    return None if where is None else compile_condition(parse(where), table)


def check_fields(condition: Condition) -> None:
    """Refuse fields that an event does not have.

    Raises:
        MetricsError: a field outside `properties`, `value` and `currency`.
    """
    for field in sorted(fields(condition)):
        if field not in ("value", "currency") and not field.startswith(f"{PROPERTIES}."):
            raise MetricsError(
                f'field "{field}" is not in an event; allowed are {", ".join(ROOTS)}: '
                f'did you mean "{PROPERTIES}.{field}"?'
            )


def compile_condition(condition: Condition, table: str | None = None) -> exp.Expr:
    """The condition over the columns of `table` (unqualified when None)."""
    check_fields(condition)
    return compile_over(condition, lambda field: _of_event(field, table))


def compile_over(condition: Condition, locate: Callable[[str], Located]) -> exp.Expr:
    """The condition over whatever rows `locate` finds its fields in."""
    match condition:
        case Not(term):
            return exp.not_(exp.paren(compile_over(term, locate)))
        case All(terms):
            return exp.and_(*(compile_over(term, locate) for term in terms))
        case Any_(terms):
            return exp.or_(*(compile_over(term, locate) for term in terms))
        case Compare(field):
            return _compare(condition, locate(field))


def number_sql(field: str, table: str | None = None) -> exp.Expr:
    """A field with a number as DECIMAL(28, 6): a number, or text that is one; else NULL."""
    if field == "value":
        return column("value", table)
    read = _of_event(field, table)
    return expression(
        "CASE WHEN $is_number OR ($is_text AND REGEXP_MATCHES($text, $pattern)) "
        "THEN TRY_CAST($text AS DECIMAL(28, 6)) END",
        is_number=read.is_number,
        is_text=read.is_text,
        text=read.text,
        pattern=NUMBER_PATTERN,
    )


def text_sql(field: str, table: str | None = None) -> exp.Expr:
    """A field's text, number or boolean as it is written; else NULL."""
    if field == "value":
        return exp.cast(column("value", table), "VARCHAR")
    read = _of_event(field, table)
    scalar = exp.or_(read.is_text, read.is_number, read.is_boolean)
    return expression("CASE WHEN $scalar THEN $text END", scalar=scalar, text=read.text)


def _of_event(field: str, table: str | None) -> Located:
    if field.startswith(f"{PROPERTIES}."):
        return Located.in_json(column(PROPERTIES, table), field.split(".")[1:])
    return Located.in_column(column(field, table), is_number=field == "value")


def _compare(compare: Compare, field: Located) -> exp.Expr:  # noqa: PLR0911  (one per operator)
    op, value = compare.op, compare.value
    match op:
        case "is_set":
            found = _two_valued(field.is_set)
            return found if value else exp.not_(found)
        case "equals" | "in":
            return _membership(field, value if isinstance(value, tuple) else (value,))
        case "not_equals" | "not_in":
            member = _membership(field, value if isinstance(value, tuple) else (value,))
            kinds = exp.or_(field.is_text, field.is_number, field.is_boolean)
            return exp.and_(_two_valued(kinds), exp.not_(member))
        case "contains" | "starts_with" | "ends_with" | "matches":
            return _text_test(op, field, str(value))
        case "gt" | "gte" | "lt" | "lte":
            if isinstance(value, str):
                bound = literal(_instant_us(value))
                return _two_valued(_OPERATOR[op](this=field.microseconds, expression=bound))
            return _two_valued(_OPERATOR[op](this=field.number, expression=_double(cast("Scalar", value))))
        case _:
            order = _OPERATOR[op.removeprefix("semver_")]
            key = _semver_key(field.text, field.is_text)
            return _two_valued(order(this=key, expression=literal(_semver_bound(str(value)))))


def _membership(field: Located, values: tuple[Scalar, ...]) -> exp.Expr:
    """Text equals text, boolean equals boolean, number equals number or text that is one."""
    texts = sorted({value for value in values if isinstance(value, str)})
    booleans = sorted({value for value in values if isinstance(value, bool)})
    numbers = sorted({float(v) for v in values if not isinstance(v, str | bool)})
    tests: list[exp.Expr] = []
    if texts:
        tests.append(exp.and_(field.is_text, field.text.copy().isin(*(literal(text) for text in texts))))
    if booleans:
        words = [literal("true" if value else "false") for value in booleans]
        tests.append(exp.and_(field.is_boolean, field.text.copy().isin(*words)))
    if numbers:
        tests.append(field.number.isin(*(_double(number) for number in numbers)))
    return _two_valued(exp.or_(*tests))


def _text_test(op: str, field: Located, value: str) -> exp.Expr:
    text, word = field.text.copy(), literal(value)
    test: exp.Expr
    if op == "contains":
        test = exp.Contains(this=text, expression=word)
    elif op == "starts_with":
        test = exp.StartsWith(this=text, expression=word)
    elif op == "ends_with":
        test = exp.EndsWith(this=text, expression=word)
    else:
        test = exp.RegexpLike(this=text, expression=word)
    return _two_valued(exp.and_(field.is_text, test))


def _instant_us(value: str) -> int:
    """Microseconds since 1970 of a date or instant of the definition, whose form was checked before."""
    instant = dt.datetime.fromisoformat(value)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=dt.UTC)
    return (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _double(value: Scalar) -> exp.Expr:
    return exp.cast(literal(repr(float(value))), "DOUBLE")


def _two_valued(test: exp.Expr) -> exp.Expr:
    return exp.func("COALESCE", test, exp.false())


def _semver_key(text: exp.Expr, is_text: exp.Expr) -> exp.Expr:
    """A text whose order is the precedence of Semantic Versioning 2.0.0 section 11; NULL for no version.

    Numbers are padded to nine digits. "~" after a release sorts behind every pre-release; in one, a number is
    marked "0" and a word "1", and "!" between them sorts before every character that a word may have.
    """
    return expression(
        "CASE WHEN $is_text AND REGEXP_MATCHES($text, $pattern) THEN "
        "LPAD(REGEXP_EXTRACT($text, $pattern, 1), 9, '0') || LPAD(REGEXP_EXTRACT($text, $pattern, 2), 9, "
        "'0') "
        "|| LPAD(REGEXP_EXTRACT($text, $pattern, 3), 9, '0') || "
        "CASE WHEN REGEXP_EXTRACT($text, $pattern, 5) = '' THEN '~' ELSE ' ' || ARRAY_TO_STRING("
        "LIST_TRANSFORM(STRING_SPLIT(REGEXP_EXTRACT($text, $pattern, 5), '.'), LAMBDA part : "
        "CASE WHEN REGEXP_MATCHES(part, '^[0-9]+$') THEN '0' || LPAD(part, 9, '0') ELSE '1' || part "
        "END), '!') "
        "END END",
        is_text=is_text,
        text=text,
        pattern=SEMVER_PATTERN,
    )


def _semver_bound(version: str) -> str:
    """The same key of a version of the definition."""
    match = re.match(SEMVER_PATTERN, version)
    if match is None:
        raise MetricsError(f'"{version}" is not a version such as 1.4.0 or 2.0.0-rc.1')
    core = "".join(match[group].rjust(9, "0") for group in (1, 2, 3))
    if match[5] is None:
        return core + "~"
    parts = (f"0{part:0>9}" if part.isdigit() else f"1{part}" for part in match[5].split("."))
    return core + " " + "!".join(parts)
