"""TOML files into typed structs, with errors that name file, key, value and what is allowed."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from workspace.errors import UserError

T = TypeVar("T")

_DURATION = re.compile(r"([0-9]+)(d|h|m|s)")
MAX_BYTES = 1 << 20  # a definition is text for people; a megabyte is somebody's mistake
MAX_DURATION_S = 3650 * 86_400
_MAX_DIGITS = 12
_MOST_NAMES = 30  # that a hint lists
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PATH_SUFFIX = re.compile(r" - at `(?P<path>[^`]+)`$")


def read_toml(path: Path, error: type[UserError]) -> dict[str, Any]:
    """Parse one file; `error` is raised when it can't be read, is too large or is not TOML."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = "" if len(content) > MAX_BYTES else content.decode("utf-8-sig")
    except FileNotFoundError:
        raise error(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"{path}: can't be read ({reason}); it must be a readable UTF-8 text file") from None
    if len(content) > MAX_BYTES:
        raise error(f"{path}: is larger than {MAX_BYTES} bytes; definitions are text for people")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as reason:  # also numbers too long and arrays too deep for Python
        raise error(f"{path}: is not valid TOML: {reason}") from None


def convert(value: object, into: type[T], *, where: str, error: type[UserError]) -> T:
    """Turn parsed TOML into `into`; the message names `where` (file and table), key and what is allowed."""
    try:
        return msgspec.convert(value, into, strict=True)
    except msgspec.ValidationError as reason:
        raise error(f"{where}: {_explain(str(reason), value, into)}") from None


def seconds(text: str, *, where: str, error: type[UserError]) -> int:
    """Length in seconds, at most ten years, of a duration like "7d", "12h", "30m" or "45s"."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise error(f'{where}: "{text}" is not a duration; write a whole number and d, h, m or s, as in "7d"')
    digits, unit = match[1].lstrip("0"), match[2]
    if len(digits) > _MAX_DIGITS or int(digits or 0) * _SECONDS[unit] > MAX_DURATION_S:
        raise error(f'{where}: "{text}" is too long; at most "3650d", ten years, are allowed')
    return int(digits or 0) * _SECONDS[unit]


def suggest(name: str, known: list[str]) -> str:
    """A closing hint: the nearest known name, else the list of known ones."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return "known: " + (", ".join(sorted(known)[:_MOST_NAMES]) + more if known else "none")


def _explain(message: str, value: object, into: type[Any]) -> str:
    """Say msgspec's message in terms of the file: key path, the value found, the nearest known key."""
    path = ""
    if match := _PATH_SUFFIX.search(message):
        path = match["path"].removeprefix("$").removeprefix(".")
        message = message[: match.start()]
    if unknown := re.match(r"Object contains unknown field `(.+)`", message):
        key = f"{path}.{unknown[1]}" if path else unknown[1]
        known = _keys(into, path)
        return f'unknown key "{key}"' + (f"; {suggest(unknown[1], known)}" if known else "")
    if missing := re.match(r"Object missing required field `(.+)`", message):
        key = f"{path}.{missing[1]}" if path else missing[1]
        return f'key "{key}" is missing'
    found = _lookup(value, path)
    allowed = _values(into, path)
    if allowed and isinstance(found, str) and message.startswith("Invalid"):
        return f'key "{path}" is "{found}"; {suggest(found, allowed)}'
    shown = "" if found is None else f" (found {found!r})"
    return (f'key "{path}": ' if path else "") + message + shown


def _keys(into: type[Any], path: str) -> list[str]:
    """The keys of the table at `path`, where it can be one kind of table only."""
    tables = [kind for kind in _types(into, path) if isinstance(kind, inspect.StructType)]
    return [field.encode_name for field in tables[0].fields] if len(tables) == 1 else []


def _values(into: type[Any], path: str) -> list[str]:
    """The words that may stand at `path`, where only some may."""
    found = [
        str(value)
        for kind in _types(into, path)
        if isinstance(kind, inspect.LiteralType)
        for value in kind.values
    ]
    table, _, key = path.rpartition(".")
    tags = [
        kind.tag
        for kind in _types(into, table)
        if isinstance(kind, inspect.StructType) and kind.tag_field == key
    ]
    return found or [str(tag) for tag in tags]


def _types(into: type[Any], path: str) -> list[inspect.Type]:
    """What may stand at `path`; a union's members apart."""
    kinds = _members(inspect.type_info(into))
    for part in re.findall(r"[^.\[\]]+", path):
        kinds = [member for kind in kinds for inner in _inner(kind, part) for member in _members(inner)]
    return kinds


def _inner(kind: inspect.Type, part: str) -> list[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if field.encode_name == part]
    if isinstance(kind, inspect.DictType):
        return [kind.value_type]
    return [kind.item_type] if isinstance(kind, inspect.CollectionType) else []


def _members(kind: inspect.Type) -> list[inspect.Type]:
    return list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]


def _lookup(value: object, path: str) -> object:
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value if isinstance(value, str | int | float | bool) else None
