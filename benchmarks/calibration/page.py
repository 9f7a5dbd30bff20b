"""docs/calibration.md: the tables with what is said of them, and what the engine fails to say."""

import textwrap
from collections.abc import Iterator, Sequence

from benchmarks.calibration.run import Row
from benchmarks.calibration.sections import SECTIONS, Column, Section
from benchmarks.calibration.tally import ERRORS, TOLERANCE

_LEAST_SHOWN = 0.005  # of a plain column, which is shown in whole per cent
_OFF = ("too many", "lopsided")
_INTRODUCTION = """\
# Calibration

How often the statistics err, measured: every method of the engine on simulated experiments whose truth
is known. `make calibrate` writes this page and its plot, {runs:,} runs a cell, seed {seed};
`tests/stats/test_calibration.py` is a shorter version that can fail. The simulation calls the engine's
own functions.

![Every rate that is promised to be 5 %, one dot per method and world](calibration.svg)

## How to read it

Rates are in per cent. `5.02 ± 0.15 (2.49 / 2.53)` is the rate with its Monte-Carlo standard error and,
in brackets, what of it lies on either side: tests that find the variant worse / better, intervals that
lie below / above the truth. 5 % are promised, 2.5 % on each side.

- **false positives**: A/A tests that are significant.
- **difference missed**, **lift missed**: A/B tests whose 95 % interval leaves out the truth; coverage
  is what is left of 100. The lift is the one that a z-test finds in 80 % of the runs, at most +100 %,
  unless the size column says another.
- **power**: A/B tests that find the increase. **warned**: A/B tests in which the engine says that it
  has doubts ([reasons](results.md#statuses-and-reasons)). **no result**: runs in which the method says
  nothing, which count in no other column but power.

The last column judges. **right**: within {tolerance:.0%} of what is promised (Cochran's criterion: 4 to
6 % for 5 %, 2 to 3 % on a side), or within {errors:g} Monte-Carlo standard errors. **too many**: more
errors than that. **lopsided**: the total may be right, but more than 3 % are on one side. *cautious*:
fewer errors, so intervals longer than need be. Methods marked *(wrong)* are mistakes that others make,
for contrast.
"""

_WORTH = (
    "Of {rows} rows below that can carry a warning {off} are off, and the engine warns of {warned} of them "
    "in most runs. It knows the moments of its own experiment only, so it can be wrong. It does not look for "
    "what whole numbers do to small tables of conversions; what is merely cautious needs no warning."
)


def page(rows: Sequence[Row], *, runs: int, seed: int) -> str:
    """The whole file."""
    parts = [_INTRODUCTION.format(runs=runs, seed=seed, tolerance=TOLERANCE, errors=ERRORS), *_doubts(rows)]
    parts += [part for section in SECTIONS for part in _section(section, rows)]
    return "\n".join(parts)


def _section(section: Section, rows: Sequence[Row]) -> Iterator[str]:
    mine = [row for row in rows if row.cell.section == section.key]
    if not mine:
        return
    yield f"## {section.title}\n\n{section.text}\n"
    columns = [column for column in section.columns if any(_shows(row, column) for row in mine)]
    yield _line(["world", "size", "method", *(column.header for column in columns), "judgement"])
    yield _line(["---"] * (len(columns) + 4))
    before: tuple[str, str] | None = None
    for row in mine:
        place = (row.cell.world, row.cell.size)
        shown = place if place != before else ("", "")
        yield _line(
            [*shown, row.method, *(_number(row, column) for column in columns), _judgement(row, section)]
        )
        before = place
    yield ""


def _shows(row: Row, column: Column) -> bool:
    rate = row.rate(column)
    return rate is not None and (column.kind != "plain" or rate.value >= _LEAST_SHOWN)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(row: Row, column: Column) -> str:
    rate, sides = row.rate(column), row.sides(column)
    if rate is None:
        return ""
    if column.kind == "plain":
        return f"{100 * rate.value:.0f}"
    digits = 2 if column.nominal > 0.005 else 3
    shown = f"{100 * rate.value:.{digits}f} ± {100 * rate.error:.{digits}f}"
    return shown if sides is None else f"{shown} ({' / '.join(f'{100 * side.value:.2f}' for side in sides)})"


def _judgement(row: Row, section: Section) -> str:
    """The columns that are not right, by what is wrong with them."""
    found = {column.header: row.judged(column) for column in section.columns}
    said = []
    for word, shown in (
        ("too many", "**too many**"),
        ("lopsided", "**lopsided**"),
        ("cautious", "*cautious*"),
    ):
        headers = [header for header, judgement in found.items() if judgement == word]
        if headers:
            said.append(f"{shown}: {', '.join(headers)}")
    return "; ".join(said) or "right"


def _doubts(rows: Sequence[Row]) -> Iterator[str]:
    """What the warnings are worth: rows that are off and not warned of, and the other way round."""
    engine = [row for row in rows if row.mean("warned") is not None]
    off = {row.cell.name + row.method: row for row in engine if is_off(row)}
    missed = [row for row in off.values() if not row.warned]
    needless = [row for row in engine if row.cell.name + row.method not in off and row.warned]
    counts = _WORTH.format(rows=len(engine), off=len(off), warned=len(off) - len(missed))
    yield f"## What the warnings are worth\n\n{textwrap.fill(counts, 104)}\n"
    yield from _listed("Off, and not warned of in most runs:", missed)
    yield from _listed("Warned of in most runs, and right or cautious in this world:", needless)


def is_off(row: Row) -> bool:
    """Whether it errs more often, or more often on one side, than is promised."""
    columns = [
        column for section in SECTIONS if section.key == row.cell.section for column in section.columns
    ]
    return any(row.judged(column) in _OFF for column in columns)


def _listed(heading: str, rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield f"{heading}\n"
        yield from (f"- {row.method}: {row.cell.world}, {row.cell.size}" for row in rows)
        yield ""
