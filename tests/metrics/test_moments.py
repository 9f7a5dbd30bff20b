"""Caps, segments, exact sums: what is done with unit metrics on their way to moments."""

import datetime as dt
import random
from decimal import Decimal

import numpy as np
import pytest

from metrics.model import Metric, MetricsError
from metrics.sql.moments import MAX_SEGMENT_VALUES

DAY = dt.date(2026, 1, 10)
LATER = dt.date(2026, 1, 12)


@pytest.fixture
def filled(bench, rows_of):
    """60 units, their arms by turns, each with one value."""

    def fill(values, attributes=lambda _: "{}"):
        bench.emptied()
        bench.insert(
            "exposures",
            [
                rows_of.exposure(unit, DAY, "AB"[unit % 2], unit, attributes=attributes(unit))
                for unit in range(len(values))
            ],
        )
        bench.insert(
            "events",
            [
                rows_of.event(unit, DAY, unit, value=value)
                for unit, value in enumerate(values)
                if value is not None
            ],
        )
        return bench

    return fill


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99])
def test_the_cap_is_numpys_exact_quantile_over_all_variants(filled, experiment_of, quantile):
    draw = random.Random(4)  # noqa: S311
    values = [round(draw.lognormvariate(3, 1.5), 2) if draw.random() < 0.8 else 0.0 for _ in range(60)]
    bench = filled(values)
    engine = bench.engine(Metric(name="spend", kind="sum", event="purchase", winsorize=quantile))
    experiment = experiment_of("spend")
    bench.prepare(engine, experiment)
    cap = np.quantile(values, quantile, method="inverted_cdf")
    for arm, own in (("A", np.array(values[::2])), ("B", np.array(values[1::2]))):
        cell = bench.cells(engine, experiment, DAY)["spend", arm, None]
        assert cell.cap == pytest.approx(cap, rel=1e-14)
        assert cell.clipped == (own > cap).sum()
        assert cell.moments.mean[0] == pytest.approx(np.minimum(own, cap).mean(), rel=1e-12)
        assert cell.moments.cov[0][0] == pytest.approx(np.minimum(own, cap).var(ddof=1), rel=1e-12)


def test_products_beyond_128_bits_are_still_exact(filled, experiment_of):
    values = [Decimal(10) ** 16 * (unit + 1) + Decimal("0.000001") for unit in range(8)]
    bench = filled(values)
    engine = bench.engine(Metric(name="spend", kind="sum", event="purchase", covariate="1d"))
    experiment = experiment_of("spend")
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, DAY)
    own = values[::2]
    mean = sum(own) / len(own)
    variance = sum((value - mean) ** 2 for value in own) / (len(own) - 1)
    assert cells["spend", "A", None].moments.mean[0] == float(mean)
    assert cells["spend", "A", None].moments.cov[0][0] == pytest.approx(float(variance), rel=1e-15)


def test_values_that_can_not_be_added_up_exactly_are_refused_by_name(filled, experiment_of):
    huge = Decimal(9) * 10**21
    bench = filled([huge, huge])
    engine = bench.engine(Metric(name="spend", kind="sum", event="purchase"))
    experiment = experiment_of("spend")
    bench.prepare(engine, experiment)
    bench.con.execute("UPDATE unit_days SET value_sum = 9e30")
    with pytest.raises(MetricsError, match=r'"banner".*spend.*too large'):
        engine.moments(bench.con, experiment, DAY)


def test_the_same_rows_in_any_order_and_on_any_number_of_threads_give_the_same_bits(filled, experiment_of):
    draw = random.Random(5)  # noqa: S311
    values = [round(draw.expovariate(0.01), 6) for _ in range(60)]
    found = []
    for threads, order in ((1, "ASC"), (2, "DESC")):
        bench = filled(values)
        bench.con.execute(f"SET threads = {threads}")
        bench.con.execute(f"CREATE OR REPLACE TABLE events AS SELECT * FROM events ORDER BY unit_key {order}")
        engine = bench.engine(Metric(name="spend", kind="sum", event="purchase", covariate="1d"))
        experiment = experiment_of("spend")
        bench.prepare(engine, experiment)
        found.append(engine.moments(bench.con, experiment, DAY))
    assert found[0] == found[1]


def test_a_segment_value_is_that_of_the_first_exposure_in_any_script(filled, experiment_of):
    bench = filled([1, 2, 3, 4], lambda unit: '{"端末": "携帯 📱"}' if unit < 2 else '{"端末": ""}')
    bench.exposure(0, LATER, "A", attributes='{"端末": "tv"}')
    engine = bench.engine(Metric(name="売上", kind="sum", event="purchase"))
    experiment = experiment_of("売上", from_exposure=["端末"])
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, LATER)
    assert cells["売上", "A", "端末=携帯 📱"].moments.n == 1
    assert cells["売上", "A", "端末=(missing)"].moments.n == 1
    assert not any("tv" in (segment or "") for _, _, segment in cells)


def test_attributes_are_those_at_exposure_and_multiply_no_unit(filled, experiment_of):
    bench = filled([1, 2, 3, 4, 5, 6])
    day = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
    hour = dt.timedelta(hours=1)
    attributes = [
        ("u0", "JP", None), ("u0", "US", day - hour), ("u0", "DE", day + hour),  # later
        ("u1", "JP", None), ("u1", "JP", None),
        ("u2", "US", day - 2 * hour), ("u2", None, day - hour),  # taken back before exposure
        ("u4", "FR", day + hour),
    ]  # fmt: skip
    bench.insert(
        "unit_attributes",
        [
            {
                "unit_type": "user",
                "unit_id": unit,
                "attribute": "country",
                "value": value,
                "valid_from": since,
            }
            for unit, value, since in attributes
        ],
    )
    engine = bench.engine(Metric(name="spend", kind="sum", event="purchase"))
    experiment = experiment_of("spend", from_units=["country"])
    bench.prepare(engine, experiment)
    found = {
        (variant, segment): cell.moments.n
        for (_, variant, segment), cell in bench.cells(engine, experiment, LATER).items()
    }
    assert found == {
        ("A", None): 3, ("B", None): 3, ("A", "country=US"): 1, ("A", "country=(missing)"): 2,
        ("B", "country=JP"): 1, ("B", "country=(missing)"): 2,
    }  # fmt: skip


def test_a_dimension_with_too_many_values_keeps_the_frequent_ones(filled, experiment_of):
    count = MAX_SEGMENT_VALUES + 9
    bench = filled([1] * 2 * count, lambda unit: f'{{"city": "c{unit // 2}"}}')
    engine = bench.engine(Metric(name="spend", kind="sum", event="purchase"))
    experiment = experiment_of("spend", from_exposure=["city"])
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, DAY)
    assert cells["spend", "A", "city=(other)"].moments.n == 9
    assert len({segment for _, _, segment in cells}) == MAX_SEGMENT_VALUES + 2


def test_a_variant_without_units_is_there_with_n_zero(filled, experiment_of):
    bench = filled([1])
    engine = bench.engine(Metric(name="spend", kind="sum", event="purchase", winsorize=0.9))
    experiment = experiment_of("spend")
    bench.prepare(engine, experiment)
    cell = bench.cells(engine, experiment, DAY)["spend", "B", None]
    assert (cell.moments.n, cell.n_immature, cell.cap) == (0, 0, None)


def test_names_of_metrics_can_not_break_the_sql(filled, experiment_of):
    names = [
        "対照群",
        "zoë",
        "😀",
        "select",
        "events",
        "value",
        "units",
        "day",
        "n",
        "it's",
        "a.b",
        "50%",
        "u",
        "x",
    ]
    bench = filled([1, 2, 3, 4])
    engine = bench.engine(*(Metric(name=name, kind="sum", event="purchase", winsorize=0.9) for name in names))
    experiment = experiment_of(*names)
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, DAY)
    assert {cells[name, "A", None].moments.mean[0] for name in names} == {2.0}
