"""Quantiles in the pipeline: those of the values one by one, whatever the engine puts together beforehand."""

import datetime as dt
import json
from collections import defaultdict
from decimal import ROUND_HALF_UP, Context, Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from metrics.analysis import plan_of
from metrics.engines.duckdb import DuckDBRunner
from metrics.model import Metric
from metrics.quantiles import with_quantiles
from metrics.results import cells_by_day
from metrics.steps import MomentRow
from stats.analysis import analyse
from stats.moments import Moments
from stats.quantiles import quantile
from tenbin.cli import app

BASE = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
WINDOW = 36 * HOUR
EXACT = Metric(name="exact", kind="quantile", event="load", quantile=0.5, significant_digits="exact")
ROUNDED = Metric(name="rounded", kind="quantile", event="load", quantile=0.3, window="36h")
METRICS = (EXACT, ROUNDED)

VALUES = st.one_of(
    st.integers(1, 6).map(Decimal),
    st.decimals("-99999", "99999", places=6),
    st.sampled_from(
        [None, Decimal("1234.5"), Decimal("1.235"), Decimal("-1.235"), Decimal("9.995"), Decimal(0)]
    ),
)
UNITS = st.lists(
    st.tuples(
        st.sampled_from("AB"),
        st.integers(0, 40),  # hours of exposure since `BASE`
        st.lists(st.tuples(st.integers(-30, 80), VALUES), max_size=5),
    ),
    min_size=1,
    max_size=24,
)


def rounded(value):
    """Three significant digits, by the decimal arithmetic of Python."""
    return Context(prec=3, rounding=ROUND_HALF_UP).plus(value)


def of_values(by_unit):
    """The values of units, and for each the number of its unit."""
    values = [value for numbers in by_unit.values() for value in numbers]
    groups = [place for place, numbers in enumerate(by_unit.values()) for _ in numbers]
    return np.array(values, dtype=float), np.array(groups, dtype=np.int64)


def records(units):
    exposures, events = [], []
    for unit, (variant, hours, values) in enumerate(units):
        exposures.append((unit, BASE + hours * HOUR, variant, unit))
        events += [(unit, BASE + (hours + after) * HOUR, value) for after, value in values]
    return exposures, events


@pytest.fixture(scope="module")
def shared(make_bench):
    made = make_bench()
    yield made
    made.con.close()


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(units=UNITS, as_of=st.integers(0, 4))
def test_they_are_those_of_the_values_one_by_one(shared, experiment_of, rows_of, units, as_of):
    bench = shared.emptied()
    day = (BASE + as_of * 24 * HOUR).date()
    exposures, events = records(units)
    bench.insert("exposures", [rows_of.exposure(*row) for row in exposures])
    bench.insert(
        "events",
        [
            rows_of.event(unit, at, number, event="load", value=value)
            for number, (unit, at, value) in enumerate(events)
        ],
    )
    engine, experiment = bench.engine(*METRICS), experiment_of("exact", "rounded")
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, day)
    for metric, window in ((EXACT, None), (ROUNDED, WINDOW)):
        found = {variant: defaultdict(list) for variant in "AB"}
        mature = dict.fromkeys("AB", 0)
        for unit, begin, variant, _ in exposures:
            end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), dt.UTC)
            if begin.date() > day or (window is not None and begin + window > end):
                continue
            mature[variant] += 1
            for other, at, value in events:
                inside = begin <= at and (window is None or at < begin + window) and at < end
                if other == unit and value is not None and inside:
                    found[variant][unit].append(float(value if metric is EXACT else rounded(value)))
        several = any(len(values) > 1 for units in found.values() for values in units.values())
        for variant in "AB":
            cell = cells[metric.name, variant, None]
            values, groups = of_values(found[variant])
            want = quantile(values, metric.quantile, alpha=0.05, clusters=groups if several else None)
            assert cell.moments.n == want.n
            assert cell.n_without == mature[variant] - want.n
            assert cell.reason == want.reason
            if want.n:
                assert cell.moments.mean == (want.value,)
            if want.variance is not None:
                assert cell.moments.cov[0][0] == pytest.approx(want.n * want.variance, rel=1e-12)


@pytest.fixture(scope="module")
def many(make_bench, experiment_of):
    """3,000 units of two variants and two segments, with several values each; some have none."""
    bench = make_bench()
    bench.con.execute("SELECT setseed(0.42)")
    bench.con.execute(
        "INSERT INTO exposures BY NAME SELECT 'production' AS environment, 'x' || i AS exposure_id, 'banner' "
        "AS experiment, 1 AS iteration, CASE WHEN i % 2 = 0 THEN 'A' ELSE 'B' END AS variant, 'user' AS "
        "unit_type, 'u' || i AS unit_id, i AS unit_key, TIMESTAMPTZ '2026-01-10 00:00:00+00' + "
        "to_hours((i % 20)::INT) AS exposed_at, false AS day_precision, CASE WHEN i % 3 = 0 "
        """THEN '{"device": "ios"}' ELSE '{"device": "web"}' END AS attributes, 1 AS batch, """
        "DATE '2026-01-10' AS occurred_on FROM range(3000) AS t(i)"
    )
    bench.con.execute(
        "INSERT INTO events BY NAME SELECT 'production' AS environment, 'e' || i AS event_id, 'load' AS "
        "event, 'user' AS unit_type, 'u' || k AS unit_id, k AS unit_key, instant AS occurred_at, "
        "false AS day_precision, exp(5 + (k * 7919 % 1000) / 1000.0 + random())::DECIMAL(28, 6) AS value, "
        "'{}' AS properties, 1 AS batch, instant::DATE AS occurred_on FROM (SELECT i, (i * i) % 2500 AS k, "
        "TIMESTAMPTZ '2026-01-10 00:00:00+00' + to_minutes((20 * 60 + i % 5000)::INT) AS instant "
        "FROM range(12000) AS t(i))"
    )
    metrics = (
        Metric(name="exact", kind="quantile", event="load", quantile=0.9, significant_digits="exact"),
        Metric(name="rounded", kind="quantile", event="load", quantile=0.9),
        Metric(name="four", kind="quantile", event="load", quantile=0.9, significant_digits=4),
    )
    engine = bench.engine(*metrics)
    experiment = experiment_of(
        *(metric.name for metric in metrics), from_exposure=["device"], horizon="fixed"
    )
    bench.prepare(engine, experiment)
    yield bench, engine, experiment
    bench.con.close()


AS_OF = dt.date(2026, 1, 20)


def test_rounded_values_err_by_no_more_than_is_said(many):
    bench, engine, experiment = many
    cells = bench.cells(engine, experiment, AS_OF)
    for variant in "AB":
        for segment in (None, "device=ios", "device=web"):
            exact = cells["exact", variant, segment].moments
            for name, error in (("rounded", 0.005), ("four", 0.0005)):
                near = cells[name, variant, segment].moments
                assert near.n == exact.n
                assert near.mean[0] == pytest.approx(exact.mean[0], rel=error)
                assert near.mean[0] != exact.mean[0]
                # The width of the interval is a difference of two rounded values.
                allowed = 4 * error * exact.mean[0]
                widths = [2 * 1.959964 * (one.cov[0][0] / one.n) ** 0.5 for one in (near, exact)]
                assert widths[0] == pytest.approx(widths[1], abs=allowed)


def test_exact_ones_are_those_of_analyze_on_the_same_rows(many, tmp_path):
    bench, engine, experiment = many
    path = tmp_path / "rows.csv"
    bench.con.execute(
        "COPY (SELECT unit_id, variant, device, value FROM (SELECT x.unit_id, x.variant, "
        "x.attributes ->> 'device' AS device, e.value FROM exposures AS x LEFT JOIN events AS e ON "
        f"e.unit_key = x.unit_key AND e.occurred_at >= x.exposed_at)) TO '{path}' (HEADER)"
    )
    options = ["--variant", "variant", "--control", "A", "--quantile", "value@0.9", "--segment", "device"]
    ran = CliRunner().invoke(app, ["analyze", str(path), "--unit", "unit_id", *options, "--json"])
    theirs = json.loads(ran.stdout)["results"]
    plan = plan_of(experiment, engine.metrics)
    moments = engine.moments(bench.con, experiment, AS_OF)
    bench.con.execute("DELETE FROM moments")
    engine.write_moments(bench.con, experiment, moments, {AS_OF: "stamp"})
    cells = cells_by_day(bench.con, engine, experiment)[AS_OF]
    found = analyse(plan, cells, counts=None, as_of=AS_OF, ended=True)
    assert any("without a value" in warning for warning in found.warnings)
    ours = {(row.segment, row.scale, row.method): row for row in found.results if row.metric == "exact"}
    assert {row["segment"] for row in theirs} == {None, "device=ios", "device=web"}
    for row in theirs:
        mine = ours[row["segment"], row["scale"], row["method"]]
        for name in ("estimate", "std_error", "lower", "upper", "n_variant", "n_baseline", "mean_variant"):
            assert getattr(mine, name) == near(row[name]), (row["segment"], name)


def near(number):
    return None if number is None else pytest.approx(number, rel=1e-11)


def test_only_stale_days_are_made_again_and_late_values_change_their_quantiles(bench, experiment_of):
    metric = Metric(name="p50", kind="quantile", event="load", quantile=0.5)
    engine, experiment = bench.engine(metric), experiment_of("p50")
    for unit in range(8):
        bench.exposure(unit, BASE, "AB"[unit % 2])
        bench.event(unit, BASE + 30 * HOUR, event="load", value=unit + 1)
        bench.event(unit, BASE + 54 * HOUR, event="load", value=unit + 2)
    bench.prepare(engine, experiment)
    days = [(BASE + day * 24 * HOUR).date() for day in (1, 2)]
    engine.refresh(bench.con, experiment, days)
    assert engine.refresh(bench.con, experiment, days)[0].rows == 0
    bench.lake.writes.clear()
    assert engine.refresh_unit_values(bench.con).rows == 0
    bench.event(0, BASE + 55 * HOUR, event="load", value=100, batch=2)
    assert engine.refresh_unit_values(bench.con).rows == 8 + 1 + 1
    assert bench.lake.writes == [("unit_values", [days[1]])]
    engine.refresh_unit_days(bench.con)
    before = dict(bench.rows("moments", "(as_of, variant), means"))
    engine.refresh(bench.con, experiment, days)
    after = dict(bench.rows("moments", "(as_of, variant), means"))
    changed = [key for key in before if before[key] != after[key]]
    assert changed == [(days[1], "A")]


def test_another_alpha_reads_another_interval(bench, experiment_of):
    metric = Metric(name="p50", kind="quantile", event="load", quantile=0.5)
    engine = bench.engine(metric)
    for unit in range(40):
        bench.exposure(unit, BASE, "AB"[unit % 2])
        bench.event(unit, BASE + HOUR, event="load", value=unit * unit + 1)
    experiment = experiment_of("p50")
    bench.prepare(engine, experiment)
    wide = bench.cells(engine, experiment_of("p50", alpha=0.2), BASE.date())
    narrow = bench.cells(engine, experiment, BASE.date())
    assert wide["p50", "A", None].moments.cov != narrow["p50", "A", None].moments.cov
    engine.refresh(bench.con, experiment, [BASE.date()])
    assert engine.refresh(bench.con, experiment_of("p50", alpha=0.2), [BASE.date()])[0].rows > 0


@pytest.mark.slow
def test_intervals_of_an_a_a_test_leave_out_no_difference_as_often_as_they_should(make_bench, experiment_of):
    """Units with several values that are alike, rounded: 5 % of 200 experiments, within four errors of that.

    Each experiment is a phase here, so that one pass makes all of them.
    """
    rounds, units = 200, 120
    rng = np.random.default_rng(11)
    own = rng.normal(0.0, 0.8, (rounds, units, 1))
    logs = np.exp(3 + own + rng.normal(0.0, 0.5, (rounds, units, 4)))
    metric = Metric(name="p50", kind="quantile", event="load", quantile=0.5)
    bench = make_bench()
    engine, experiment = bench.engine(metric), experiment_of("p50", from_exposure=["round"])
    plan = engine.plan(experiment)
    bench.con.execute(
        "CREATE TABLE unit_metrics_now AS SELECT i AS unit_key, CAST(i // $units AS INTEGER) AS phase, "
        "CASE WHEN i % 2 = 0 THEN 'A' ELSE 'B' END AS variant, '' AS segment__0, true AS p50__mature "
        "FROM range($total) AS t(i)",
        {"units": units, "total": rounds * units},
    )
    numbers = pl.DataFrame(
        {"unit_key": np.repeat(np.arange(rounds * units), 4), "number": (logs.ravel() * 1e6).astype(np.int64)}
    )
    bench.con.register("numbers", numbers)
    bench.con.execute(
        "CREATE TABLE each_value AS SELECT 0 AS slot, unit_key, DATE '2026-01-10' AS day, CAST(number AS "
        "DECIMAL(38, 0)) AS value, CAST(NULL AS VARCHAR) AS text, 1 AS events FROM numbers"
    )
    rows = [
        MomentRow(
            experiment="banner", iteration=1, phase=phase, variant=variant, segment=None, metric="p50",
            as_of=BASE.date(), n_immature=0, columns=("quantile",), fingerprint="",
            moments=Moments(units // 2, (0.0,), ((0.0,),)),
        )
        for phase in range(rounds)
        for variant in "AB"
    ]  # fmt: skip
    found = with_quantiles(DuckDBRunner(bench.con, None), plan, BASE.date(), rows)
    bench.con.close()
    arms = {variant: [row.moments for row in found if row.variant == variant] for variant in "AB"}
    z = [
        (b.mean[0] - a.mean[0]) / (a.cov[0][0] / a.n + b.cov[0][0] / b.n) ** 0.5
        for a, b in zip(arms["A"], arms["B"], strict=True)
    ]
    wrong = np.mean(np.abs(z) > 1.959964)
    assert wrong == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / rounds) ** 0.5)
    assert np.std(z) == pytest.approx(1.0, abs=4 / (2 * rounds) ** 0.5)
