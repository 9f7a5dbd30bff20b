"""A source's mapping as SQL: record columns with their types, and the reason why a row is none.

Every row comes through: a row that can't become a record carries `reason` instead of being dropped.
"""

import re

from assignments.records import CONTRACTS
from lake.sources import FieldMap, RecordMap
from lake.sql import identifier, literal
from lake.tables import TABLES

MAX_ID_CHARS = 1_000
MAX_OBJECT_CHARS = 1_000_000
_TIME_OF_DAY = re.compile(r"%-?[HIMSfgnpcXrTzZ]")
_WHOLE_NUMBER = "[+-]?[0-9]+([.]0*)?"
# NaN and Infinity, which DuckDB's parser lets through and JSON does not know. Texts are taken out before the
# exact look; the quick one spares most rows that.
_TEXTS_IN_JSON = r'"(?:[^"\\]|\\.)*"'
_NO_JSON_NUMBER = r"[:,\[]\s*-?(?:[nN][aA]|[iI][nN])"
_NUMBERS = {"value": "DECIMAL(28,6)", "iteration": "INTEGER", "ruleset_version": "BIGINT"}
_NUMBER_TEXT = {
    "value": "a number of at most 22 digits before the point",
    "iteration": "a whole number",
    "ruleset_version": "a whole number",
}
_TIMES = {"occurred_at", "exposed_at", "sent_at", "received_at", "valid_from"}
_CLOCK = {"events": "occurred_at", "exposures": "exposed_at", "assignments": "exposed_at"}

# What is staged of each kind, before keys and origin are added.
STAGED: dict[str, tuple[tuple[str, str], ...]] = {
    kind: tuple(
        (column.name, column.type)
        for column in TABLES["unit_attributes" if kind == "units" else kind].columns
        if column.name not in {"unit_key", "source", "file_hash", "file_row", "batch", "attribute", "value"}
        or (kind == "events" and column.name == "value")
    )
    + ((("attributes", "VARCHAR"),) if kind == "units" else ())
    for kind in ("events", "exposures", "assignments", "units")
} | {"moments": tuple((field.name, "VARCHAR") for field in CONTRACTS["moments"])}


def record_select(mapping: RecordMap, types: dict[str, str], relation: str) -> str:
    """The SELECT that turns `relation` into staged rows with `reason`.

    Args:
        mapping: of the source.
        types: DuckDB types of the columns that the file has; "JSON" for those of NDJSON.
        relation: SQL that stands after FROM.
    """
    kind = mapping.kind
    if kind == "moments":
        return _texts_select(mapping, types, relation)
    texts = {name: _text(field, types) for name, field in mapping.fields.items()}
    inner: list[str] = []
    checks: list[tuple[str, str]] = []
    for name, field in mapping.fields.items():
        if name == mapping.object_field:
            continue
        label = field.column or name
        inner.append(f"{texts[name]} AS {identifier('t_' + name)}")
        checks += _checks(name, field, label, types)
    middle = [
        f"{_parsed(name, field, types)} AS {identifier('p_' + name)}"
        for name, field in mapping.fields.items()
        if name != mapping.object_field
    ]
    obj, obj_checks = _object(mapping, types)
    inner.append(f"{obj} AS object_text")
    checks += obj_checks
    raw_unit = mapping.fields["unit_id"].column
    if raw_unit is not None and raw_unit in types:
        inner.append(f"{_unit_problem(raw_unit, types[raw_unit])} AS unit_problem")
    else:
        inner.append("'missing' AS unit_problem")
    unit_label = raw_unit or "unit_id"
    unit_reason = f"{literal(unit_label + ' (the unit id) is ')} || unit_problem"
    whens = [f"WHEN unit_problem IS NOT NULL THEN {unit_reason}"]
    whens += [f"WHEN {condition} THEN {reason}" for condition, reason in checks]
    reason = f"CASE {' '.join(whens)} END"
    outer = ", ".join(f"{_staged(name, mapping)} AS {identifier(name)}" for name, _ in STAGED[kind])
    return (
        f"SELECT {reason} AS reason, {outer} FROM (SELECT *, {', '.join(middle)} "
        f"FROM (SELECT {', '.join(inner)} FROM {relation}))"
    )


def _texts_select(mapping: RecordMap, types: dict[str, str], relation: str) -> str:
    """Every field as text; what it says is read afterwards (`aggregates`)."""
    texts = {name: _text(field, types) for name, field in mapping.fields.items()}
    texts["as_of"] = _as_of(mapping.fields["as_of"], types)
    listed = ", ".join(f"nullif({text}, '') AS {identifier(name)}" for name, text in texts.items())
    return f"SELECT NULL::VARCHAR AS reason, {listed} FROM {relation}"


def _as_of(field: FieldMap, types: dict[str, str]) -> str:
    """The day in ISO 8601; a text that is none in the source's format stays as it is, to be refused."""
    text = _text(field, types)
    if field.format is None:
        return text
    day = f"CAST(CAST(try_strptime({text}, {literal(field.format)}) AS DATE) AS VARCHAR)"
    return f"coalesce({day}, {text})"


def _text(field: FieldMap, types: dict[str, str]) -> str:
    """The field as text, before it is parsed."""
    constant = "NULL::VARCHAR" if field.constant is None else literal(field.constant)
    if field.column is None or field.column not in types:
        return constant
    column = identifier(field.column)
    kind = types[field.column]
    text = f"({column} ->> '$')" if kind == "JSON" else f"CAST({column} AS VARCHAR)"
    if field.constant is None:
        return text
    return f"coalesce({text}, {constant})"


def _unit_problem(column: str, kind: str) -> str:
    """Why a value is no unit id (DESIGN 4.1: integers are decimal text; no null, "", boolean or fraction)."""
    name = identifier(column)
    whole = "it must be text or a whole number"
    if kind == "JSON":
        raw = f"CAST({name} AS VARCHAR)"
        return (
            f"CASE WHEN starts_with({raw}, '\"') THEN CASE WHEN {raw} = '\"\"' THEN 'empty' "
            f"WHEN {_is_longer(raw, MAX_ID_CHARS + 2)} THEN 'longer than {MAX_ID_CHARS} characters' END "
            f"WHEN {name} IS NULL OR {raw} = 'null' THEN 'missing' "
            f"WHEN {raw} IN ('true', 'false') THEN 'a boolean; {whole}' "
            f"WHEN regexp_full_match({raw}, '-?[0-9]+') THEN NULL "
            f"WHEN starts_with({raw}, '{{') OR starts_with({raw}, '[') THEN 'an object or a list; {whole}' "
            f"ELSE 'a number with a fraction; {whole}' END"
        )
    text = f"CAST({name} AS VARCHAR)"
    too_long = f"WHEN {_is_longer(text, MAX_ID_CHARS)} THEN 'longer than {MAX_ID_CHARS} characters'"
    rest = f"WHEN {text} = '' THEN 'empty' {too_long}"
    if kind == "BOOLEAN":
        rest = f"ELSE 'a boolean; {whole}'"
    elif kind in {"DOUBLE", "FLOAT"} or kind.startswith("DECIMAL"):
        rest = f"ELSE 'a number with a fraction; {whole}'"
    elif kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
        rest = f"ELSE 'an object or a list; {whole}'"
    return f"CASE WHEN {name} IS NULL THEN 'missing' {rest} END"


def _is_longer(text: str, chars: int) -> str:
    """Bytes are counted at once and are never fewer than characters."""
    return f"strlen({text}) > {chars} AND length({text}) > {chars}"


def _parsed(name: str, field: FieldMap, types: dict[str, str]) -> str:
    text = identifier("t_" + name)
    if name in _TIMES:
        return _within(_instant(text, field, types), "TIMESTAMPTZ")
    if name == "value":
        return f"TRY_CAST({text} AS {_NUMBERS[name]})"
    if name in _NUMBERS:  # a cast alone would round 1.5
        is_whole = f"regexp_full_match({text}, '{_WHOLE_NUMBER}')"
        return f"CASE WHEN {is_whole} THEN TRY_CAST({text} AS {_NUMBERS[name]}) END"
    return text


def _instant(text: str, field: FieldMap, types: dict[str, str]) -> str:
    """Text → TIMESTAMPTZ. A date without a time keeps its date, whatever the zone."""
    zone = literal(field.timezone)
    if field.format is not None:
        parsed = f"try_strptime({text}, {literal(field.format)})"
        if "%z" in field.format or "%Z" in field.format:
            return f"CAST({parsed} AS TIMESTAMPTZ)"
        at = _within(f"CAST({parsed} AS TIMESTAMP)", "TIMESTAMP")
        return f"timezone({literal('UTC') if _day_format(field.format) else zone}, {at})"
    native = types.get(field.column or "", "")
    with_zone = f"TRY_CAST({text} AS TIMESTAMPTZ)"
    if native in {"TIMESTAMP WITH TIME ZONE", "DATE"} or field.timezone == "UTC":
        return with_zone
    says_zone = f"regexp_matches({text}, '([A-Za-z]|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')"
    at = _within(f"TRY_CAST({text} AS TIMESTAMP)", "TIMESTAMP")
    return f"CASE WHEN length({text}) <= 10 OR {says_zone} THEN {with_zone} ELSE timezone({zone}, {at}) END"


def _within(at: str, kind: str) -> str:
    """The instant, or null outside of what all later arithmetic can bear."""
    return f"CASE WHEN {at} >= {kind} '1970-01-01' AND {at} < {kind} '2200-01-01' THEN {at} END"


def _day_format(pattern: str) -> bool:
    return _TIME_OF_DAY.search(pattern) is None


def _day_precision(mapping: RecordMap, clock: str) -> str:
    field = mapping.fields[clock]
    if field.format is not None:
        return "true" if _day_format(field.format) else "false"
    return f"strlen({identifier('t_' + clock)}) <= 10"


def _checks(name: str, field: FieldMap, label: str, types: dict[str, str]) -> list[tuple[str, str]]:
    """Conditions under which a row is malformed, with SQL for the reason."""
    if name == "unit_id":
        return []
    text, parsed = identifier("t_" + name), identifier("p_" + name)
    shown = f"'\"' || left({text}, 80) || '\"'"
    found: list[tuple[str, str]] = []
    if field.required or name in {"environment", "unit_type"}:
        found.append((f"{text} IS NULL OR {text} = ''", literal(f"{label} is missing")))
    if name in _TIMES:
        expected = f"a time like {field.format}" if field.format else "a time in ISO 8601"
        reason = f"{literal(label + ' ')} || {shown} || {literal(f' is not {expected}, from 1970 to 2199')}"
        found.append((f"{text} IS NOT NULL AND {parsed} IS NULL", reason))
    elif name in _NUMBERS:
        reason = f"{literal(label + ' ')} || {shown} || {literal(f' is not {_NUMBER_TEXT[name]}')}"
        found.append((f"{text} IS NOT NULL AND {parsed} IS NULL", reason))
    elif field.column is not None and field.column in types:
        found.append(
            (_is_longer(text, MAX_ID_CHARS), literal(f"{label} is longer than {MAX_ID_CHARS} characters"))
        )
    return found


def _object(mapping: RecordMap, types: dict[str, str]) -> tuple[str, list[tuple[str, str]]]:
    """Text of the properties or attributes object, and what may be wrong with it."""
    if mapping.object_columns is not None:
        parts = ", ".join(
            f"{literal(column)}, {_property(column, types[column])}"
            for column in mapping.object_columns
            if column in types
        )
        return (f"CAST(json_object({parts}) AS VARCHAR)" if parts else "'{}'"), [_number_check("properties")]
    field = mapping.fields[mapping.object_field]
    label = field.column or mapping.object_field
    absent = "object_text IS NULL OR object_text IN ('null', '')"
    is_object = "starts_with(object_text, '{')"
    checks = [
        (
            _is_longer("object_text", MAX_OBJECT_CHARS),
            literal(f"{label} is longer than {MAX_OBJECT_CHARS} characters"),
        ),
        (f"NOT {is_object} AND NOT ({absent})", literal(f"{label} is not a JSON object")),
        _number_check(label),
    ]
    if field.required:
        checks.append((absent, literal(f"{label} is missing")))
    return _object_text(field.column, types), checks


def _object_text(column: str | None, types: dict[str, str]) -> str:
    """The object as JSON without spaces; a bracket, which begins no object, stands for what is no JSON."""
    if column is None or column not in types:
        return "NULL::VARCHAR"
    name = identifier(column)
    if types[column] == "JSON":
        return f"CAST({name} AS VARCHAR)"
    text = f"CAST({name} AS VARCHAR)" if types[column] == "VARCHAR" else f"CAST(to_json({name}) AS VARCHAR)"
    return (
        f"CASE WHEN {text} IS NULL OR {text} = '' THEN {text} "
        f"WHEN json_valid({text}) THEN CAST(json({text}) AS VARCHAR) ELSE '[' END"
    )


def _property(column: str, kind: str) -> str:
    """A column as a value of the object: what is no finite number is no JSON and becomes null."""
    name = identifier(column)
    return f"CASE WHEN isfinite({name}) THEN {name} END" if kind in {"DOUBLE", "FLOAT"} else name


def _number_check(label: str) -> tuple[str, str]:
    pattern, texts = literal(_NO_JSON_NUMBER), literal(_TEXTS_IN_JSON)
    condition = (
        f"regexp_matches(object_text, {pattern}) "
        f"AND regexp_matches(regexp_replace(object_text, {texts}, '\"\"', 'g'), {pattern})"
    )
    return condition, literal(f"{label} has a number that JSON does not know (NaN or Infinity)")


def _staged(name: str, mapping: RecordMap) -> str:
    """One staged column out of the texts (`t_`), the parsed values (`p_`) and the object."""
    clock = _CLOCK.get(mapping.kind)
    fields = mapping.fields
    if name == mapping.object_field:
        return "CASE WHEN starts_with(object_text, '{') THEN object_text ELSE '{}' END"
    if clock is not None and name in {clock, "occurred_on", f"original_{clock}", "day_precision"}:
        return _clocked(name, clock, mapping)
    if name == mapping.id_field and mapping.id_from == "content":
        # Every field in one canonical text; a length before each keeps the parts apart.
        texts = [
            identifier("t_" + field)
            for field in sorted(fields)
            if field not in {"sent_at", "received_at", mapping.object_field}
        ]
        parts = ", ".join(f"coalesce(length({t}) || ':' || {t}, '-')" for t in [*texts, "object_text"])
        return f"sha256(concat_ws('|', {parts}))"
    if name not in fields:
        return "NULL"
    return identifier("p_" + name)


def _clocked(name: str, clock: str, mapping: RecordMap) -> str:
    """The record's instant, put on the server's clock when the two differ by more than a minute."""
    at = identifier("p_" + clock)
    day = _day_precision(mapping, clock)
    shifted = at
    original = "NULL"
    if "sent_at" in mapping.fields and "received_at" in mapping.fields:
        drift = "(p_received_at - p_sent_at)"
        off = f"NOT ({day}) AND abs(epoch_us(p_received_at) - epoch_us(p_sent_at)) > 60000000"
        shifted = f"CASE WHEN {off} THEN {at} + {drift} ELSE {at} END"
        original = f"CASE WHEN {off} THEN {at} END"
    return {
        clock: shifted,
        "occurred_on": f"CAST({shifted} AS DATE)",
        f"original_{clock}": original,
        "day_precision": day,
    }[name]
