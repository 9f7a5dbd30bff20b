"""The one condition grammar: flag targeting, segments, metric filters and rights are all written in it.

A condition is `{field, op, value}`, or `{all: [...]}`, `{any: [...]}`, `{not: {...}}`. The same meaning is
compiled to SQL in `metrics`; a property test holds the two equal, so the meaning is written down exactly.

**Field.** A dotted path into nested mappings ("properties.country"); each part is looked up as it is. A part
that is not there, or a null, is *missing*. A value is text, a number (int, float, Decimal; never a boolean;
NaN and infinities count as missing) or a boolean; a date or datetime counts as its ISO text; a list or an
object is *structured*.

**Two values only.** A comparison that can't be applied (missing or structured field, a field of a kind that
the operator does not read) is false, never an error. `not` turns false into true, also where the inner
comparison could not be applied: `not {country equals JP}` holds for a unit without a country,
`{country not_equals JP}` does not.

**Operators**

- `equals`, `not_equals` (value: text, number or boolean); `in`, `not_in` (value: a list of those).
  Text equals text with the same code points (no case folding, no normalisation), a boolean equals a boolean.
  A number in the condition equals a number in the field, and a text in the field that is a plain decimal
  number (`NUMBER_PATTERN`); a text in the condition never equals a number. `not_equals` and `not_in` are
  true for every other text, number or boolean, false for a missing or structured field.
- `contains`, `starts_with`, `ends_with` (value: text): of a text field, by code points.
- `matches` (value: an RE2 pattern): found anywhere in a text field; case-sensitive, `.` is no line end, `^`
  and `$` are the ends of the text, not of a line.
- `gt`, `gte`, `lt`, `lte` with a number: a number, or a text of `NUMBER_PATTERN`. With a date or instant
  (`INSTANT_PATTERN`, and a day that exists): a text of the same form. A date is its midnight, an instant
  without offset is UTC; compared to the microsecond.
- `semver_eq`, `semver_gt`, `semver_gte`, `semver_lt`, `semver_lte` (value: a version of `SEMVER_PATTERN`):
  precedence of Semantic Versioning 2.0.0 section 11, build metadata ignored.
- `is_set` (value: absent, true or false): the field is not missing; structured and "" are set. With false,
  the field is missing.

All numbers are compared as IEEE 754 doubles; one that no finite double can hold makes the comparison false.
"""

import datetime as dt
import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast, get_args

import msgspec
import re2  # type: ignore[import-untyped]  # google-re2 carries no types

from tenbin_sdk.errors import ConditionError
from tenbin_sdk.readers import (
    INSTANT_PATTERN,
    NUMBER_PATTERN,
    SEMVER_PATTERN,
    as_instant,
    as_number,
    as_semver,
)

__all__ = [
    "INSTANT_PATTERN",
    "NUMBER_PATTERN",
    "OPERATORS",
    "SEMVER_PATTERN",
    "All",
    "Any_",
    "Compare",
    "Condition",
    "Not",
    "Operator",
    "Predicate",
    "Scalar",
    "compile_condition",
    "fields",
    "parse",
    "to_object",
]

Operator = Literal[
    "equals",
    "not_equals",
    "in",
    "not_in",
    "contains",
    "starts_with",
    "ends_with",
    "matches",
    "gt",
    "gte",
    "lt",
    "lte",
    "semver_eq",
    "semver_gt",
    "semver_gte",
    "semver_lt",
    "semver_lte",
    "is_set",
]
Scalar = str | int | float | bool
Predicate = Callable[[Mapping[str, Any]], bool]

OPERATORS: Final[tuple[str, ...]] = get_args(Operator)
_MAX_DEPTH = 16
_MAX_TERMS = 1_000
_MAX_VALUES = 10_000
_MAX_TEXT = 4_096  # characters of a value
_MAX_PATTERN = 1_000  # characters of a regular expression
_MAX_FIELD = 512


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """One field against one value; `value` is a tuple for `in` and `not_in`, a boolean for `is_set`."""

    field: str
    op: Operator
    value: Scalar | tuple[Scalar, ...]


class All(msgspec.Struct, frozen=True, tag="all"):
    """True when every term is."""

    terms: "tuple[Condition, ...]"


class Any_(msgspec.Struct, frozen=True, tag="any"):  # noqa: N801  (`Any` is taken by typing)
    """True when at least one term is."""

    terms: "tuple[Condition, ...]"


class Not(msgspec.Struct, frozen=True, tag="not"):
    """True when the term is false."""

    term: "Condition"


Condition = Compare | All | Any_ | Not


def parse(obj: object) -> Condition:
    """Read a condition from what JSON or TOML gives.

    Raises:
        ConditionError: an unknown key or operator, a missing key, or a value its operator can't use; the
            message begins with the path to the place.
    """
    return _parse(obj, "", 0)


def to_object(condition: Condition) -> dict[str, Any]:
    """The condition as JSON or TOML writes it; `parse` reads it back."""
    match condition:
        case Compare(field, op, value):
            return {"field": field, "op": op, "value": list(value) if isinstance(value, tuple) else value}
        case All(terms):
            return {"all": [to_object(term) for term in terms]}
        case Any_(terms):
            return {"any": [to_object(term) for term in terms]}
        case Not(term):
            return {"not": to_object(term)}


def fields(condition: Condition) -> frozenset[str]:
    """Every field that the condition reads."""
    match condition:
        case Compare(field):
            return frozenset({field})
        case Not(term):
            return fields(term)
        case All(terms) | Any_(terms):
            return frozenset().union(*(fields(term) for term in terms))


def compile_condition(condition: Condition) -> Predicate:
    """A closure that tells whether the condition holds for attributes; it never raises."""
    inner = _compile(condition)

    def holds(attributes: Mapping[str, Any]) -> bool:
        try:
            return inner(attributes)
        except Exception:  # noqa: BLE001  (an odd attribute object must not reach the caller as an error)
            return False

    return holds


# --- reading -------------------------------------------------------------------------------------------


def _parse(obj: object, at: str, depth: int) -> Condition:
    if depth > _MAX_DEPTH:
        raise ConditionError(f"{at or 'condition'}: is nested more than {_MAX_DEPTH} deep")
    if not isinstance(obj, Mapping):
        raise ConditionError(
            f"{at or 'condition'}: is {type(obj).__name__}; write {{field, op, value}} or all, any, not"
        )
    keys = {str(key) for key in obj}
    prefix = f"{at}." if at else ""
    if len(keys) == 1 and (group := next(iter(keys))) in {"all", "any"}:
        terms = _terms(obj[group], f"{prefix}{group}", depth)
        return All(terms) if group == "all" else Any_(terms)
    if keys == {"not"}:
        return Not(_parse(obj["not"], f"{prefix}not", depth + 1))
    if unknown := sorted(keys - {"field", "op", "value"}):
        raise ConditionError(
            f'{at or "condition"}: unknown key "{unknown[0]}"; allowed are field, op and value, '
            "or one of all, any, not alone"
        )
    return _parse_compare(obj, at or "condition")


def _terms(obj: object, at: str, depth: int) -> tuple[Condition, ...]:
    if not isinstance(obj, Sequence) or isinstance(obj, str | bytes) or not 1 <= len(obj) <= _MAX_TERMS:
        raise ConditionError(f"{at}: must be a list of 1 to {_MAX_TERMS} conditions")
    return tuple(_parse(term, f"{at}[{number}]", depth + 1) for number, term in enumerate(obj))


def _parse_compare(obj: Mapping[str, Any], at: str) -> Compare:
    field, op = obj.get("field"), obj.get("op")
    if not isinstance(field, str) or not 1 <= len(field) <= _MAX_FIELD or not all(field.split(".")):
        raise ConditionError(f'{at}: field {field!r} must be a dotted path such as "properties.country"')
    if op not in OPERATORS:
        raise ConditionError(f"{at}: op {op!r} is unknown; allowed are {', '.join(OPERATORS)}")
    if op == "is_set":
        value = obj.get("value", True)
        if not isinstance(value, bool):
            raise ConditionError(f"{at}: value {value!r} of is_set must be true, false or absent")
        return Compare(field, "is_set", value)
    if "value" not in obj:
        raise ConditionError(f'{at}: key "value" is missing; {op} needs it')
    return Compare(field, cast("Operator", op), _value(op, obj["value"], at))


def _value(op: str, value: object, at: str) -> Scalar | tuple[Scalar, ...]:
    if op in {"in", "not_in"}:
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= _MAX_VALUES:
            raise ConditionError(f"{at}: value of {op} must be a list of 1 to {_MAX_VALUES} values")
        return tuple(_scalar(item, at) for item in value)
    scalar = _scalar(value, at)
    if op in {"equals", "not_equals"}:
        return scalar
    if op in {"gt", "gte", "lt", "lte"}:
        if as_number(scalar) is None and as_instant(scalar) is None:
            raise ConditionError(
                f"{at}: value {value!r} of {op} must be a number or a date such as 2026-01-31 or "
                "2026-01-31T09:00:00Z"
            )
        # A text of digits is no date and means the number; so both sides read alike.
        return scalar if isinstance(scalar, str) and as_instant(scalar) is not None else _exact_number(scalar)
    if not isinstance(scalar, str):
        raise ConditionError(f"{at}: value {value!r} of {op} must be text")
    if op.startswith("semver_") and as_semver(scalar) is None:
        raise ConditionError(f"{at}: value {value!r} of {op} must be a version such as 1.4.0 or 2.0.0-rc.1")
    if op == "matches":
        _pattern(scalar, at)
    return scalar


def _scalar(value: object, at: str) -> Scalar:
    if isinstance(value, dt.datetime | dt.date):
        value = value.isoformat()
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise ConditionError(f"{at}: value has {len(value)} characters; at most {_MAX_TEXT} are allowed")
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and as_number(value) is not None:
        return value
    raise ConditionError(f"{at}: value {value!r} must be text, a finite number, true or false")


def _exact_number(value: Scalar) -> Scalar:
    return float(value) if isinstance(value, str) else value


def _pattern(pattern: str, at: str) -> Any:  # noqa: ANN401  (google-re2 is untyped)
    if len(pattern) > _MAX_PATTERN:
        raise ConditionError(
            f"{at}: the pattern has {len(pattern)} characters; at most {_MAX_PATTERN} are allowed"
        )
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as reason:
        told = reason.args[0] if reason.args else reason
        text = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        raise ConditionError(f"{at}: {pattern!r} is no RE2 pattern: {text}") from None


# --- evaluating ----------------------------------------------------------------------------------------


def _compile(condition: Condition) -> Predicate:
    match condition:
        case Compare():
            return _compile_compare(condition)
        case Not(term):
            inner = compile_condition(term)
            return lambda attributes: not inner(attributes)
        case All(terms):
            every = [compile_condition(term) for term in terms]
            return lambda attributes: all(holds(attributes) for holds in every)
        case Any_(terms):
            some = [compile_condition(term) for term in terms]
            return lambda attributes: any(holds(attributes) for holds in some)


def _compile_compare(condition: Compare) -> Predicate:
    path = condition.field.split(".")
    test = _test(condition)

    def holds(attributes: Mapping[str, Any]) -> bool:
        value: Any = attributes
        for part in path:
            if not isinstance(value, Mapping):
                return test(None)
            value = value.get(part)
        return test(_plain(value))

    return holds


def _plain(value: object) -> object:
    """The value as the operators read it: None when missing, ISO text for dates."""
    if isinstance(value, str | bool | None):
        return value
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, float | decimal.Decimal) and not math.isfinite(value):
        return None
    return value


def _test(condition: Compare) -> Callable[[object], bool]:
    op, value = condition.op, condition.value
    match op:
        case "is_set":
            return (lambda found: found is not None) if value else (lambda found: found is None)
        case "equals" | "not_equals" | "in" | "not_in":
            return _membership(value if isinstance(value, tuple) else (value,), negated=op.startswith("not_"))
        case "contains" | "starts_with" | "ends_with" | "matches":
            return _text_test(op, str(value))
        case "gt" | "gte" | "lt" | "lte":
            if isinstance(value, str):
                return _ordered(op, as_instant, value)
            return _ordered(op, as_number, value)
        case _:
            return _ordered(op.removeprefix("semver_"), as_semver, value)


def _membership(values: tuple[Scalar, ...], *, negated: bool) -> Callable[[object], bool]:
    texts = {value for value in values if isinstance(value, str)}
    booleans = {value for value in values if isinstance(value, bool)}
    numbers = {as_number(value) for value in values if isinstance(value, int | float)} - {None}

    def test(found: object) -> bool:
        if isinstance(found, bool):
            return (found in booleans) != negated
        if isinstance(found, str):
            return (found in texts or (bool(numbers) and as_number(found) in numbers)) != negated
        if isinstance(found, int | float | decimal.Decimal):
            number = as_number(found)
            return number is not None and (number in numbers) != negated
        return False

    return test


def _text_test(op: str, value: str) -> Callable[[object], bool]:
    if op == "contains":
        return lambda found: isinstance(found, str) and value in found
    if op == "starts_with":
        return lambda found: isinstance(found, str) and found.startswith(value)
    if op == "ends_with":
        return lambda found: isinstance(found, str) and found.endswith(value)
    pattern = _pattern(value, "condition")
    return lambda found: isinstance(found, str) and pattern.search(found) is not None


def _ordered(op: str, read: Callable[[object], Any], value: object) -> Callable[[object], bool]:
    bound = read(value)

    def test(found: object) -> bool:
        key = read(found)
        if key is None:
            return False
        order = (key > bound) - (key < bound)
        return order in wanted

    wanted = {"eq": (0,), "gt": (1,), "gte": (0, 1), "lt": (-1,), "lte": (-1, 0)}[op]
    return test
