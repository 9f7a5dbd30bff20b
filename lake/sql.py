"""Names, values and paths as SQL text for DuckDB: the one place where quoting happens."""

import re
from collections.abc import Iterable
from pathlib import Path

_PATTERN_CHARS = re.compile(r"[\[*?]")


def identifier(name: str) -> str:
    """A quoted name."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A quoted text."""
    return "'" + value.replace("'", "''") + "'"


def file_literal(path: Path) -> str:
    """A quoted path that is read as this one file: the readers take `[`, `*` and `?` for patterns."""
    return literal(_PATTERN_CHARS.sub(r"[\g<0>]", str(path)))


def file_list(paths: Iterable[Path]) -> str:
    """A list of such paths."""
    return "[" + ", ".join(map(file_literal, paths)) + "]"
