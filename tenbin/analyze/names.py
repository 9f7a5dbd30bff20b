"""Options are taken apart with the names that are really there, so only a truly ambiguous one is refused.

Column, metric and variant names may hold any character, also `/`, `@`, `=` and `,`.
"""

from collections.abc import Sequence

from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.table import Table
from workspace import suggest


def known_column(option: str, name: str, table: Table) -> str:
    """`name` when the file has exactly one such column.

    Raises:
        AnalyzeError: it has none, or several.
    """
    count = table.columns.count(name)
    if count == 1:
        return name
    where = f"{table.path}: --{option} {name}"
    if count:
        raise AnalyzeError(f'{where}: there are {count} columns named "{name}"; rename all but one')
    hint = suggest(name, list(table.columns))
    if len(table.columns) == 1 and table.file.format == "csv":
        hint = f'the header is one column, "{table.columns[0]}"; separate columns by , ; tab or |'
    raise AnalyzeError(f'{where}: there is no column "{name}"; {hint}')


def known_metric(option: str, text: str, name: str, names: Sequence[str]) -> str:
    """`name` when it is that of a metric.

    Raises:
        AnalyzeError: no such metric was asked for.
    """
    if name not in names:
        raise AnalyzeError(
            f'--{option} {text}: "{name}" is not among the metrics asked for; {suggest(name, list(names))}'
        )
    return name


def metric_and_rest(option: str, text: str, names: Sequence[str], form: str) -> list[tuple[str, str]]:
    """Every way to read `text` as `METRIC=REST`.

    Raises:
        AnalyzeError: there is none; `form` says how it is written.
    """
    cuts = splits(text, "=")
    if not cuts:
        raise AnalyzeError(f"--{option} {text}: write {form}")
    fitting = [pair for pair in cuts if pair[0] in names]
    if not fitting:
        known_metric(option, text, cuts[0][0], names)
    return fitting


def column_pairs(text: str, table: Table) -> list[tuple[str, str]]:
    """Every way to read `text` as `A/B` with two columns of the file."""
    return [pair for pair in splits(text, "/") if pair[0] in table.columns and pair[1] in table.columns]


def either(pairs: Sequence[tuple[str, str]]) -> str:
    """The ways to read a pair of columns, for messages."""
    return " or ".join(f'"{left}" over "{right}"' for left, right in pairs)


def splits(text: str, mark: str) -> list[tuple[str, str]]:
    """Every way to cut `text` in two non-empty parts at `mark`."""
    cuts = [index for index, character in enumerate(text) if character == mark]
    return [(text[:cut], text[cut + 1 :]) for cut in cuts if 0 < cut < len(text) - 1]
