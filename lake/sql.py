"""Names and values as SQL text, through sqlglot: the one place where quoting happens."""

from collections.abc import Iterable

from sqlglot import exp


def identifier(name: str) -> str:
    """A quoted name."""
    return exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def literal(value: str) -> str:
    """A quoted text."""
    return exp.Literal.string(value).sql(dialect="duckdb")


def text_list(values: Iterable[str]) -> str:
    """A list of texts, for the places where DuckDB takes no parameter."""
    return "[" + ", ".join(literal(value) for value in values) + "]"
