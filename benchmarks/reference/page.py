"""docs/performance.md and its plot, from points that were measured."""

import argparse
import math
import os
import platform
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import duckdb


class Cost(NamedTuple):
    """What a piece of work took."""

    seconds: float
    cpu_s: float  # of all threads: what a busy machine changes least
    peak_mb: int


class Point(NamedTuple):
    """What one size took: ours, and the hand-written queries where they do the same."""

    series: str  # "events", "experiments" or "day"
    size: int
    ours: Cost
    peer: Cost | None = None


_TITLES = {
    "events": "One experiment with all units, 28 days after 7, 10 metrics, by events in the 28 days",
    "experiments": "Experiments with a tenth of the units each, on the same events",
    "day": "One experiment's daily increment, by the day of the experiment",
}
_OPENING = """\
# Performance

Written by `python -m benchmarks growth --write` with the sizes below; nothing here is typed by hand. `make
bench` measures the claims W1 to W4 and W9 of the design beside their peers; larger sizes are options
(`python -m benchmarks scale --events 100000000`). [scale.md](scale.md) says what these numbers mean for ten
billion events a day.

Data: `benchmarks/reference`; unit ids are 36-character UUID text, a unit has ten events on average. "Tenbin"
is everything from the ingested lake on: partials, first exposures, unit metrics and moments, written and
committed. "The query" is one hand-written DuckDB query per experiment over plain Parquet, a file a day, with
the same threads and memory; the numbers of both are compared in the same run and agree to 1e-9. Each runs
once, in a fresh process; memory is the most that the process held.

"""


def line(point: Point) -> str:
    """A point for the terminal."""
    peer = (
        ""
        if point.peer is None
        else f"  the query {_said(point.peer)}  ratio {point.ours.seconds / point.peer.seconds:.2f}, "
        f"of processor time {point.ours.cpu_s / point.peer.cpu_s:.2f}"
    )
    return f"{point.series:<12}{point.size:>12,}  tenbin {_said(point.ours)}{peer}"


def _said(cost: Cost) -> str:
    return f"{cost.seconds:8.2f} s {cost.peak_mb:6,} MB"


def markdown(points: Sequence[Point], options: argparse.Namespace) -> str:
    """The page."""
    machine = (
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, DuckDB {duckdb.__version__}, Python "
        f"{platform.python_version()}; {options.threads} threads, memory limit {options.memory_limit}. "
        f"Growth with experiments on {options.events_shared:,} events, with days on "
        f"{options.events_a_day:,} events a day.\n\n![Growth](performance.svg)\n"
    )
    return "\n".join([_OPENING + machine, *(_table(points, series) for series in _TITLES)])


def _table(points: Sequence[Point], series: str) -> str:
    mine = [point for point in points if point.series == series]
    if series == "day":
        head = ["| day | Tenbin, s | processor, s | MB |", "|---:|---:|---:|---:|"]
        rows = [
            f"| {size:,} | {ours.seconds:.2f} | {ours.cpu_s:.2f} | {ours.peak_mb:,} |"
            for _, size, ours, _ in mine
        ]
    else:
        head = [
            f"| {series} | Tenbin, s | the query, s | ratio | of processor time | Tenbin, MB | its MB |",
            "|---:|---:|---:|---:|---:|---:|---:|",
        ]
        rows = [
            f"| {size:,} | {ours.seconds:.2f} | {peer.seconds:.2f} | {ours.seconds / peer.seconds:.2f} "
            f"| {ours.cpu_s / peer.cpu_s:.2f} | {ours.peak_mb:,} | {peer.peak_mb:,} |"
            for _, size, ours, peer in mine
            if peer is not None
        ]
    return "\n".join([f"## {_TITLES[series]}", "", *head, *rows, ""])


_WIDTH, _HEIGHT, _PANEL, _TOP, _FOOT = 900, 300, 280, 50, 50
_COLOURS = {"tenbin": "#1a7f5a", "the query": "#b26a00"}
_SVG = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" \
font-size="12" role="img" aria-label="Seconds by events, experiments and days">
<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>"""


def plot(points: Sequence[Point]) -> str:
    """A panel per series, seconds against size, both on logarithmic scales."""
    parts = [_SVG]
    for place, (name, colour) in enumerate(_COLOURS.items()):
        parts.append(f'<circle cx="{50 + 100 * place}" cy="18" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{60 + 100 * place}" y="22">{name}</text>')
    for place, series in enumerate(_TITLES):
        mine = [point for point in points if point.series == series]
        if mine:
            parts += _panel(mine, series, 50 + place * (_PANEL + 15))
    return "\n".join([*parts, "</svg>", ""])


def _panel(points: Sequence[Point], series: str, left: int) -> Iterator[str]:
    lines = {
        "tenbin": [(point.size, point.ours.seconds) for point in points],
        "the query": [(point.size, point.peer.seconds) for point in points if point.peer is not None],
    }
    shown = [pair for pairs in lines.values() for pair in pairs]
    width, bottom = _PANEL - 50, _HEIGHT - _FOOT
    x_low, x_high = _bounds([x for x, _ in shown])
    y_low, y_high = _bounds([y for _, y in shown])

    def at(x: float, y: float) -> tuple[float, float]:
        right = (math.log10(x) - x_low) / (x_high - x_low)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return left + width * right, bottom - (bottom - _TOP) * up

    yield f'<path d="M{left} {_TOP}V{bottom}H{left + width}" fill="none" stroke="#999"/>'
    yield f'<text x="{left + width / 2}" y="{_HEIGHT - 10}" text-anchor="middle">{series}</text>'
    for x in sorted({x for x, _ in shown}):
        yield f'<text x="{at(x, 10**y_low)[0]:.1f}" y="{bottom + 18}" text-anchor="middle">{_short(x)}</text>'
    for exponent in range(math.ceil(y_low), math.floor(y_high) + 1):
        y = at(10**x_low, 10**exponent)[1]
        yield f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{left - 4}" y="{y + 4:.1f}" text-anchor="end">{10.0**exponent:g} s</text>'
    for name, pairs in lines.items():
        spots = [at(*pair) for pair in pairs]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        yield f'<polyline points="{path}" fill="none" stroke="{_COLOURS[name]}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_COLOURS[name]}"/>' for x, y in spots)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Of the axis, in powers of ten, with some room."""
    low, high = math.log10(min(values)), math.log10(max(values))
    return low - 0.2, high + 0.2


def _short(number: float) -> str:
    return f"{number / 1e6:g}M" if number >= 1e6 else f"{number / 1e3:g}k" if number >= 1e3 else f"{number:g}"
