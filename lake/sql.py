"""Names, values and paths as SQL text: the one place where quoting happens."""

import re
from collections.abc import Iterable
from pathlib import Path

from sqlglot import exp

_PATTERN_CHARS = re.compile(r"[\[*?]")


def identifier(name: str) -> str:
    """A quoted name."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def literal(value: str) -> str:
    """A quoted text."""
    return exp.Literal.string(value).sql(dialect="duckdb")


def file_literal(path: Path) -> str:
    """A quoted path that is read as this one file: the readers take `[`, `*` and `?` for patterns."""
    return literal(_PATTERN_CHARS.sub(r"[\g<0>]", str(path)))


def file_list(paths: Iterable[Path]) -> str:
    """A list of such paths."""
    return "[" + ", ".join(map(file_literal, paths)) + "]"
