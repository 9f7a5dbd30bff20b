"""The charts as Plotly figures in plain JSON: forest of lifts, lift over days, exposures per day.

Colours are names of CSS variables ("--series-1", with "/0.2" for a tint); `report.js` puts the theme's values
in, so that one file reads well in the light, in the dark and on paper. Each line also has a marker and a dash
of its own. Ids are fixed: the same readout gives the same bytes.
"""

import html
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from reports import format as fmt
from reports import words
from reports.readout import MetricDefinition, Readout
from reports.select import Pair
from stats.results import Result

Figure = dict[str, Any]
_SERIES = 8
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
_ROW_PX = 46
_LABEL_LENGTH = 34


class Chart(msgspec.Struct, frozen=True):
    """A figure and where it is drawn."""

    id: str
    figure: Figure
    label: str  # what a screen reader says in place of the picture


def forest(pairs: Sequence[Pair], metrics: dict[str, MetricDefinition], *, several: bool) -> Chart | None:
    """Relative headline lifts with their intervals, one row per metric and variant.

    Rows whose relative lift is not defined are left to the table. Margins of guardrails are dashed marks.
    """
    rows = [pair for pair in pairs if pair.relative is not None and pair.relative.estimate is not None]
    if not rows:
        return None
    count = len(rows)
    traces: list[Figure] = []
    notes: list[Figure] = []
    shapes: list[Figure] = [_vertical(0.0, -0.6, count - 0.4, "--axis", "solid")]
    for index, pair in enumerate(rows):
        row, y = pair.relative or pair.head, count - 1 - index
        metric = metrics.get(row.metric)
        badge = words.reading(pair.head, row, metric)
        label = f"{row.metric} · {row.variant}" if several else row.metric
        estimate, interval = fmt.lift(row.estimate, row.lower, row.upper)
        hover = f"{row.metric} · {row.variant} vs {row.baseline}: {estimate} ({interval}), {badge.word}"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "uid": f"forest-{index}",
                "x": [row.estimate],
                "y": [y],
                "error_x": _whiskers(row, f"--{badge.tone}"),
                "marker": {
                    "color": f"--{badge.tone}",
                    "size": 11,
                    "symbol": _symbol(badge),
                    "line": {"width": 2, "color": f"--{badge.tone}"},
                },
                "hovertext": [text(hover)],
                "hoverinfo": "text",
                "showlegend": False,
            }
        )
        notes += [_note(_short(label), 0, "left", y, "--text"), _note(estimate, 1, "right", y, "--text")]
        if metric is not None and metric.margin is not None:
            edge = metric.margin if metric.direction == "decrease" else -metric.margin
            shapes.append(_vertical(edge, y - 0.3, y + 0.2, "--warn", "dot"))
    layout = _layout(height=70 + _ROW_PX * count)
    layout["xaxis"] |= {"tickformat": "~%", "title": {"text": "relative lift"}, "range": _extent(rows)}
    layout["yaxis"] |= {"visible": False, "range": [-0.6, count - 0.2], "fixedrange": True}
    layout |= {"annotations": notes, "shapes": shapes, "margin": {"l": 8, "r": 8, "t": 8, "b": 50}}
    return Chart("chart-forest", {"data": traces, "layout": layout}, "Relative lifts with their intervals")


def over_time(
    pairs: Sequence[Pair], metric: str, variants: Sequence[str], *, number: int, scale: fmt.Scale
) -> Chart | None:
    """Cumulative lift of one metric by as-of day, with the interval as a band, one line per variant."""
    rows = [pair.shown for pair in pairs if pair.head.metric == metric and pair.shown.estimate is not None]
    if not rows:
        return None
    relative = all(row.scale == "relative" for row in rows)
    rows = rows if relative else [pair.absolute or pair.head for pair in pairs if pair.head.metric == metric]
    traces: list[Figure] = []
    for variant in sorted({row.variant for row in rows}, key=lambda name: _place(name, variants)):
        place = _place(variant, variants)
        mine = [row for row in rows if row.variant == variant]
        colour = _colour(place)
        banded = [row for row in mine if row.lower is not None and row.upper is not None]
        if banded:
            days = [fmt.day(row.as_of) for row in banded]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "uid": f"band-{number}-{place}",
                    "x": days + days[::-1],
                    "y": [row.upper for row in banded] + [row.lower for row in reversed(banded)],
                    "fill": "toself",
                    "fillcolor": f"{colour}/0.18",
                    # One day alone has no band: its interval is an upright line.
                    "line": {"width": 2 if len(banded) == 1 else 0, "color": colour},
                    "hoverinfo": "skip",
                    "showlegend": False,
                    "legendgroup": f"v{place}",
                }
            )
        traces.append(_line(mine, place, f"lift-{number}-{place}", relative=relative, scale=scale))
    layout = _layout(height=320)
    layout["yaxis"] |= {"tickformat": "~%" if relative or scale.share else "~r", "zerolinewidth": 2}
    layout["xaxis"] |= {"type": "date", "tickformat": "%b %-d"}
    layout["showlegend"] = len({row.variant for row in rows}) > 1
    return Chart(f"chart-lift-{number}", {"data": traces, "layout": layout}, f"Lift of {metric} by as-of day")


def exposures(readout: Readout) -> Chart | None:
    """Units first exposed per day, one line per variant."""
    if not readout.exposures:
        return None
    traces: list[Figure] = []
    for place, variant in enumerate(exposed_variants(readout)):
        mine = sorted(
            (item for item in readout.exposures if item.variant == variant), key=lambda item: item.day
        )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "uid": f"exposures-{place}",
                "name": text(variant),
                "x": [fmt.day(item.day) for item in mine],
                "y": [item.units for item in mine],
                "line": {"color": _colour(place), "dash": _dash(place), "width": 2},
                "marker": {"color": _colour(place), "symbol": _mark(place), "size": 6},
                "hovertext": [text(f"{item.day}: {variant}, {fmt.count(item.units)} units") for item in mine],
                "hoverinfo": "text",
            }
        )
    layout = _layout(height=280)
    layout["yaxis"] |= {"rangemode": "tozero", "tickformat": ",d"}
    layout["xaxis"] |= {"type": "date", "tickformat": "%b %-d"}
    layout["showlegend"] = True
    return Chart("chart-exposures", {"data": traces, "layout": layout}, "Units first exposed per day")


def exposed_variants(readout: Readout) -> tuple[str, ...]:
    """The experiment's variants, then any others that were seen, so that nothing observed is hidden."""
    others = {item.variant for item in readout.exposures} - set(readout.variants)
    return (*readout.variants, *sorted(others))


def text(value: str) -> str:
    """Text for Plotly, which reads a few HTML tags in labels: none of ours are."""
    return html.escape(value, quote=False)


def _line(mine: Sequence[Result], place: int, uid: str, *, relative: bool, scale: fmt.Scale) -> Figure:
    hover = []
    for row in mine:
        wording = fmt.lift if relative else scale.difference
        estimate, interval = wording(row.estimate, row.lower, row.upper)
        state = ", provisional" if row.provisional else ""
        hover.append(text(f"{fmt.day(row.as_of)}: {row.variant}, {estimate} ({interval}){state}"))
    marks = [f"{_mark(place)}-open" if row.provisional else _mark(place) for row in mine]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "uid": uid,
        "name": text(mine[0].variant),
        "x": [fmt.day(row.as_of) for row in mine],
        "y": [row.estimate for row in mine],
        "line": {"color": _colour(place), "dash": _dash(place), "width": 2.5},
        "marker": {"color": _colour(place), "symbol": marks, "size": 7},
        "hovertext": hover,
        "hoverinfo": "text",
        "legendgroup": f"v{place}",
    }


def _layout(*, height: int) -> Figure:
    axis: Figure = {
        "gridcolor": "--grid",
        "zerolinecolor": "--axis",
        "linecolor": "--grid",
        "tickfont": {"color": "--muted"},
        "title": {"font": {"color": "--muted", "size": 12}},
        "automargin": True,
    }
    return {
        "height": height,
        "margin": {"l": 48, "r": 12, "t": 12, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--text"},
        "hoverlabel": {"bgcolor": "--surface", "bordercolor": "--grid", "font": {"color": "--text"}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": "--text"}},
        "showlegend": False,
        "dragmode": False,
        "xaxis": dict(axis, fixedrange=True),
        "yaxis": dict(axis, fixedrange=True),
    }


def _whiskers(row: Result, colour: str) -> Figure:
    estimate = row.estimate or 0.0
    return {
        "type": "data",
        "symmetric": False,
        "array": [row.upper - estimate if row.upper is not None else 0],
        "arrayminus": [estimate - row.lower if row.lower is not None else 0],
        "color": colour,
        "thickness": 2.5,
        "width": 5,
        "visible": row.lower is not None or row.upper is not None,
    }


def _extent(rows: Sequence[Pair]) -> list[float]:
    """Everything and zero, but a single very wide interval may not flatten all the others."""
    values = [0.0]
    widths = sorted(_reach(pair.relative) for pair in rows if pair.relative is not None)
    limit = 6 * widths[len(widths) // 2]
    for pair in rows:
        row = pair.relative or pair.head
        values += [value for value in (row.lower, row.upper, row.estimate) if value is not None]
    limit = max(limit, max(abs(pair.shown.estimate or 0.0) for pair in rows) * 1.2, 1e-6)
    low, high = max(min(values), -limit), min(max(values), limit)
    room = 0.06 * (high - low)
    return [low - room, high + room]


def _reach(row: Result) -> float:
    values = (row.lower, row.upper, row.estimate)
    return max(abs(value) for value in values if value is not None and math.isfinite(value))


def _vertical(x: float, low: float, high: float, colour: str, dash: str) -> Figure:
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": low,
        "y1": high,
        "line": {"color": colour, "width": 2 if dash == "dot" else 1.5, "dash": dash},
        "layer": "below",
    }


def _note(words_: str, x: float, side: str, y: float, colour: str) -> Figure:
    return {
        "text": text(words_),
        "x": x,
        "xref": "paper",
        "xanchor": side,
        "y": y,
        "yref": "y",
        "yshift": 15,
        "showarrow": False,
        "font": {"size": 12.5, "color": colour},
        "bgcolor": "--surface/0.75",
    }


def _short(label: str) -> str:
    return label if len(label) <= _LABEL_LENGTH else label[: _LABEL_LENGTH - 1] + "…"


def _symbol(badge: words.Badge) -> str:
    return {"good": "circle", "bad": "diamond"}.get(badge.tone, "circle-open")


def _place(variant: str, variants: Sequence[str]) -> int:
    return variants.index(variant) if variant in variants else len(variants)


def _colour(place: int) -> str:
    return f"--series-{place % _SERIES + 1}"


def _dash(place: int) -> str:
    return _DASHES[place % len(_DASHES)]


def _mark(place: int) -> str:
    return _SYMBOLS[place % len(_SYMBOLS)]
