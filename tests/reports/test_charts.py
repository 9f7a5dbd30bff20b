"""Figures are what Plotly takes, have fixed ids, and show the rows they should."""

import json

import plotly.graph_objects as go
import pytest

from reports.page import build_page
from tests.reports import sample


def with_colours(value):
    """Plotly's validator wants colours where the page has names of CSS variables."""
    if isinstance(value, dict):
        return {key: with_colours(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_colours(item) for item in value]
    return "#123456" if isinstance(value, str) and value.startswith("--") else value


@pytest.mark.parametrize("build", sample.ALL)
def test_plotly_accepts_every_figure(build):
    for figure in json.loads(build_page(build()).figures).values():
        go.Figure(with_colours(figure))


def test_the_forest_has_a_row_per_metric_and_variant_with_its_interval():
    readout = sample.winner()
    forest = build_page(readout).forest
    assert forest is not None
    assert len(forest.figure["data"]) == 10
    trace = forest.figure["data"][1]
    row = next(
        row
        for row in readout.results
        if row.scale == "relative" and row.variant == "対照群C" and row.segment is None
    )
    assert trace["x"] == [row.estimate]
    assert trace["error_x"]["array"] == [row.upper - row.estimate]
    assert [note["text"] for note in forest.figure["layout"]["annotations"][2:4]] == [
        "checkout_conversion · 対照群C",
        "+17.1%",
    ]


def test_margins_lie_on_the_bad_side():
    forest = build_page(sample.winner()).forest
    assert forest is not None
    margins = [shape["x0"] for shape in forest.figure["layout"]["shapes"][1:]]
    assert margins == [0.02, 0.02]  # less latency is better, so more is the margin's side


def test_the_band_is_closed_and_provisional_days_are_open_markers():
    trend = build_page(sample.winner()).trends[0]
    assert trend.chart is not None
    band, line = trend.chart.figure["data"][:2]
    assert band["x"] == band["x"][::-1]
    assert len(band["y"]) == 2 * sample.DAYS
    assert [mark.endswith("-open") for mark in line["marker"]["symbol"]][-3:] == [False, True, True]


def test_withheld_days_have_a_line_and_no_band():
    trend = build_page(sample.withheld()).trends[0]
    assert trend.chart is not None
    assert [trace["mode"] for trace in trend.chart.figure["data"]] == ["lines+markers"]
    assert "withheld" in trend.note


def test_every_line_has_a_dash_and_a_marker_of_its_own():
    chart = build_page(sample.winner()).exposures
    assert chart is not None
    looks = {(trace["line"]["dash"], trace["marker"]["symbol"]) for trace in chart.figure["data"]}
    assert len(looks) == 3


def test_exposures_of_an_unknown_variant_are_not_hidden():
    readout = sample.broken_split()
    chart = build_page(
        sample.winner().__class__(
            **{field: getattr(readout, field) for field in readout.__struct_fields__}
            | {"exposures": sample.winner().exposures}
        )
    ).exposures
    assert chart is not None
    assert [trace["name"] for trace in chart.figure["data"]] == ["A", "B", "対照群C"]
