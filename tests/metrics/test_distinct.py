"""Distinct counts: exact over the whole window, however the days are put together."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.model import Before, Metric, Part
from stats.moments import Moments

BASE = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
# Properties and the text of "item" in them.
ITEMS = {
    '{"item": "a"}': "a",
    '{"item": "b"}': "b",
    '{"item": 1}': "1",
    '{"item": "1"}': "1",
    '{"item": true}': "true",
    '{"item": null}': None,
    '{"item": ["a"]}': None,
    "{}": None,
}
METRICS = (
    Metric(name="items", kind="count_distinct", event="view", value="properties.item"),
    Metric(
        name="items_2d", kind="count_distinct", event="view", value="properties.item", window="2d",
        covariate="2d", covariates=(Before(kind="count", event="view", before="1d"),),
    ),
    Metric(
        name="items_per_view", kind="ratio", window="36h",
        numerator=Part(kind="count_distinct", event="view", value="properties.item"),
        denominator=Part(kind="count", event="view"),
    ),
)  # fmt: skip
UNITS = st.lists(
    st.tuples(
        st.sampled_from("AB"),
        st.integers(0, 40),
        st.lists(st.tuples(st.integers(-60, 80), st.sampled_from(sorted(ITEMS))), max_size=8),
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def shared(make_bench):
    made = make_bench()
    yield made
    made.con.close()


def distinct(events, begin, end):
    return len({item for at, item in events if begin <= at < end and item is not None})


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(units=UNITS, as_of=st.integers(0, 4))
def test_they_are_those_of_going_through_every_event(shared, experiment_of, rows_of, units, as_of):
    bench = shared.emptied()
    cut = BASE + (as_of + 1) * 24 * HOUR
    exposures = [
        rows_of.exposure(unit, BASE + hours * HOUR, variant, unit)
        for unit, (variant, hours, _) in enumerate(units)
    ]
    events = [
        (unit, BASE + (hours + after) * HOUR, properties)
        for unit, (_, hours, rows) in enumerate(units)
        for after, properties in rows
    ]
    bench.insert("exposures", exposures)
    bench.insert(
        "events",
        [
            rows_of.event(unit, at, number, event="view", properties=properties)
            for number, (unit, at, properties) in enumerate(events)
        ],
    )
    engine, experiment = bench.engine(*METRICS), experiment_of(*(metric.name for metric in METRICS))
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, (cut - HOUR).date())
    wanted = {(metric.name, variant): [] for metric in METRICS for variant in "AB"}
    for unit, (variant, hours, _) in enumerate(units):
        begin = BASE + hours * HOUR
        if begin >= cut:
            continue
        mine = [(at, ITEMS[properties]) for other, at, properties in events if other == unit and at < cut]
        wanted["items", variant].append((distinct(mine, begin, cut),))
        if begin + 48 * HOUR <= cut:
            wanted["items_2d", variant].append(
                (
                    distinct(mine, begin, begin + 48 * HOUR),
                    distinct(mine, begin - 48 * HOUR, begin),
                    sum(begin - 24 * HOUR <= at < begin for at, _ in mine),
                )
            )
        if begin + 36 * HOUR <= cut:
            views = sum(begin <= at < begin + 36 * HOUR for at, _ in mine)
            wanted["items_per_view", variant].append((distinct(mine, begin, begin + 36 * HOUR), views))
    for key, rows in wanted.items():
        found = cells[(*key, None)].moments
        assert found.n == len(rows)
        if rows:
            want = Moments.from_columns(*map(list, zip(*rows, strict=True)))
            assert found.mean == pytest.approx(want.mean)
            assert [*sum(found.cov, ())] == pytest.approx([*sum(want.cov, ())], abs=1e-12)


def test_one_alone_needs_no_unit_days_and_counts_what_is_missing(bench, experiment_of):
    metric = Metric(name="items", kind="count_distinct", event="view", value="properties.item", winsorize=0.5)
    engine, experiment = bench.engine(metric), experiment_of("items")
    for unit in range(4):
        bench.exposure(unit, BASE, "AB"[unit % 2])
        for item in range(unit + 1):
            bench.event(unit, BASE + item * 20 * HOUR, event="view", properties=f'{{"item": "{item}"}}')
    bench.event(0, BASE + HOUR, event="view")
    bench.prepare(engine, experiment)
    as_of = (BASE + 96 * HOUR).date()
    cells = bench.cells(engine, experiment, as_of)
    assert cells["items", "A", None].cap == 2.0
    assert cells["items", "A", None].moments.mean == (1.5,)
    assert cells["items", "B", None].clipped == 1
    reasons = {one.reason: one.count for one in engine.exclusions(bench.con, experiment, as_of)}
    assert reasons == {'events "view" without properties.item': 1}
