"""What readers ask of the lake: an experiment's latest results, its series, the files behind the numbers.

The only SQL that reports and notebooks need; each function takes a connection with the lake's views in it.
"""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Protocol

import duckdb
import msgspec

from stats.moments import Moments
from stats.results import Decision, Finding, Outcome, Result, Srm, Verdict

_FIELDS = Result.__struct_fields__
_COLUMNS = ", ".join(f'"{name}"' for name in _FIELDS)


class Analysed(Protocol):
    """What results are recorded under: an experiment of a file, or one that aggregates declare."""

    @property
    def key(self) -> str: ...

    @property
    def iteration(self) -> int: ...


class LandingInput(msgspec.Struct, frozen=True, kw_only=True):
    """An ingested file."""

    source: str
    path: str
    sha256: str
    rows: int
    quarantined: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about an experiment on its last as-of day."""

    decision: Decision
    srm: Srm
    checks: tuple[Finding, ...]
    warnings: tuple[str, ...]


def latest_as_of(con: duckdb.DuckDBPyConnection, experiment: Analysed) -> dt.date | None:
    """The as-of day of the last analysis of the present iteration; None when there is none.

    From the findings, which are recorded after the results: what a killed run left half-done is not shown.
    """
    found: dt.date | None = con.execute(
        "SELECT max(as_of) FROM findings WHERE experiment = $1 AND iteration = $2",
        [experiment.key, experiment.iteration],
    ).fetchall()[0][0]
    return found


def results_of(con: duckdb.DuckDBPyConnection, experiment: Analysed, as_of: dt.date) -> tuple[Result, ...]:
    """Every row of one as-of day, at its latest revision."""
    return _results(con, experiment, "as_of = $3", as_of)


def series_of(con: duckdb.DuckDBPyConnection, experiment: Analysed) -> tuple[Result, ...]:
    """The headline rows over everyone (no segment) of all as-of days, each at its latest revision."""
    return _results(con, experiment, "headline AND segment IS NULL")


def health_of(con: duckdb.DuckDBPyConnection, experiment: str) -> Health:
    """Verdict, sample ratio, data checks and warnings, as the last analysis recorded them."""
    rows = con.execute(
        "SELECT name, status, message, numbers FROM findings WHERE experiment = $1 ORDER BY name",
        [experiment],
    ).fetchall()
    found = {name: (status, message, numbers) for name, status, message, numbers in rows}
    verdict, sentence, numbers = found.pop("verdict")
    said = json.loads(numbers)
    _, _, srm = found.pop("srm")
    return Health(
        decision=Decision(verdict=Verdict(verdict), sentence=sentence, reasons=tuple(said["reasons"])),
        srm=msgspec.json.decode(srm, type=Srm),
        checks=tuple(
            Finding(name=name, status=Outcome(status), message=message, numbers=json.loads(numbers))
            for name, (status, message, numbers) in found.items()
        ),
        warnings=tuple(said["warnings"]),
    )


def inputs(con: duckdb.DuckDBPyConnection) -> tuple[LandingInput, ...]:
    """Every file that was ingested and is there, with its rows and how many of them were quarantined."""
    rows = con.execute(
        "SELECT source, path, file_hash, rows, quarantined FROM ingested WHERE replaced_by IS NULL "
        "ORDER BY source, path"
    ).fetchall()
    return tuple(
        LandingInput(source=source, path=path, sha256=sha256, rows=count or 0, quarantined=quarantined or 0)
        for source, path, sha256, count, quarantined in rows
    )


def moments_of(n: int, means: Sequence[float], covariances: Sequence[float]) -> Moments:
    """A row of the lake's `moments`, whose covariances are the full matrix, row by row."""
    width = len(means)
    rows = (tuple(covariances[row * width : (row + 1) * width]) for row in range(width))
    return Moments(n, tuple(means), tuple(rows))


def headline_markdown(rows: Sequence[Result]) -> str:
    """The headline rows over everyone as a Markdown table, for places that show no page."""
    lines = ["| metric | role | variant | scale | estimate | interval | p |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        if row.headline and row.segment is None:
            interval = (
                "—" if row.lower is None or row.upper is None else f"[{row.lower:.6g}, {row.upper:.6g}]"
            )
            estimate = "—" if row.estimate is None else f"{row.estimate:.6g}"
            p_value = "—" if row.p_value is None else f"{row.p_value:.4g}"
            cells = [row.metric, row.role, row.variant, row.scale, estimate, interval, p_value]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _results(
    con: duckdb.DuckDBPyConnection, experiment: Analysed, where: str, *values: object
) -> tuple[Result, ...]:
    query = (
        f"SELECT {_COLUMNS} FROM results WHERE experiment = $1 AND iteration = $2 AND {where} "
        "QUALIFY revision = max(revision) OVER (PARTITION BY as_of) "
        "ORDER BY as_of, metric, segment NULLS FIRST, variant, baseline, method, scale, alternative, horizon"
    )
    return tuple(
        msgspec.convert(dict(zip(_FIELDS, row, strict=True)), Result)
        for row in con.execute(query, [experiment.key, experiment.iteration, *values]).fetchall()
    )
