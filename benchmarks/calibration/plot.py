"""docs/calibration.svg: a lane per section and measure, a dot per method and world at its rate of errors."""

import html
from collections.abc import Iterator, Sequence

from benchmarks.calibration.methods import ALPHA
from benchmarks.calibration.run import Row
from benchmarks.calibration.sections import SECTIONS, Column, Section
from benchmarks.calibration.tally import TOLERANCE

_WIDTH, _LEFT, _RIGHT, _TOP = 900, 270, 25, 60
_STEP, _DEEPEST, _PAD = 5, 60, 7  # between dots, of a lane, and around it
_LARGEST = 0.15  # dots beyond stand at the edge
_COLOURS = {"right": "#1a7f5a", "cautious": "#3b6fb6", "lopsided": "#b26a00", "too many": "#c22f2f"}


_OPENING = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" \
font-size="12" role="img" aria-label="Rates of errors by method and world">
<rect width="{width}" height="{height}" fill="#fff"/>"""


def plot(rows: Sequence[Row]) -> str:
    """The whole file; colours are judgements, and a dot has a rim where the engine warns in most runs."""
    lanes = [
        (section, column, mine)
        for section in SECTIONS
        for column in section.columns
        if column.kind in {"two-sided", "at most"} and column.nominal == ALPHA
        and (mine := [row for row in rows if row.cell.section == section.key and row.rate(column)])
    ]  # fmt: skip
    height = _TOP + sum(_lane_height(mine) for *_, mine in lanes) + 40
    parts = [_OPENING.format(width=_WIDTH, height=height), *_legend(), *_axis(height)]
    top = _TOP
    for place, (section, column, mine) in enumerate(lanes):
        parts += _lane(section, column, mine, top, shaded=place % 2 == 0)
        top += _lane_height(mine)
    return "\n".join([*parts, "</svg>", ""])


def _lane_height(rows: Sequence[Row]) -> int:
    return min(_STEP * len(rows), _DEEPEST) + 2 * _PAD


def _x(rate: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(rate, _LARGEST) / _LARGEST


def _legend() -> Iterator[str]:
    x = float(_LEFT)
    for word, colour in _COLOURS.items():
        yield f'<circle cx="{x:.0f}" cy="18" r="4" fill="{colour}"/>'
        yield f'<text x="{x + 9:.0f}" y="22">{word}</text>'
        x += 95
    said = "errors, % (band: right; dark rim: the engine warns in most runs)"
    yield f'<text x="{_LEFT}" y="42" fill="#555">{said}</text>'


def _axis(height: int) -> Iterator[str]:
    low, high = (_x(ALPHA * (1 + sign * TOLERANCE)) for sign in (-1, 1))
    long = height - _TOP - 30
    yield f'<rect x="{low:.1f}" y="{_TOP}" width="{high - low:.1f}" height="{long}" fill="#dcefe6"/>'
    for percent in range(0, 16, 5):
        x, label = _x(percent / 100), f"{percent}" if percent / 100 < _LARGEST else f"≥ {percent}"
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + long}" stroke="#bbb"/>'
        yield f'<text x="{x:.1f}" y="{height - 14}" text-anchor="middle">{label}</text>'


def _lane(section: Section, column: Column, rows: Sequence[Row], top: int, *, shaded: bool) -> Iterator[str]:
    high = _lane_height(rows)
    if shaded:
        yield f'<rect y="{top}" width="{_WIDTH}" height="{high}" fill="#000" fill-opacity="0.035"/>'
    label = html.escape(f"{section.title}: {column.header}")
    yield f'<text x="{_LEFT - 10}" y="{top + high / 2 + 4:.1f}" text-anchor="end">{label}</text>'
    step = (high - 2 * _PAD) / len(rows)
    for place, row in enumerate(rows):
        yield from _dot(row, column, top + _PAD + step * (place + 0.5))


def _dot(row: Row, column: Column, y: float) -> Iterator[str]:
    rate, judgement = row.rate(column), row.judged(column)
    if rate is None or judgement is None:
        return
    rim = ' stroke="#222" stroke-width="1"' if row.warned else ""
    shown = f"{100 * rate.value:.2f} %, {judgement}"
    name = html.escape(f"{row.method}, {row.cell.world}, {row.cell.size}: {shown}")
    yield (
        f'<circle cx="{_x(rate.value):.1f}" cy="{y:.1f}" r="3" '
        f'fill="{_COLOURS[judgement]}"{rim}><title>{name}</title></circle>'
    )
