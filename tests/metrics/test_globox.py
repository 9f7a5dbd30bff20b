"""GloBox, as its files are: the published totals, through unit metrics, to the last digit."""

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from metrics.model import Metric

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "globox"
AS_OF = dt.date(2023, 2, 10)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/globox is not there")

METRICS = (
    Metric(name="conversion", kind="conversion", event="purchase"),
    Metric(name="revenue", kind="revenue", event="purchase"),
    Metric(name="rows", kind="count", event="purchase"),
    Metric(name="revenue_capped", kind="revenue", event="purchase", winsorize=0.99),
)


@pytest.fixture(scope="module")
def loaded(make_bench, experiment_of):
    bench = make_bench()
    con = bench.con
    csv = "read_csv($file, all_varchar = true, header = true)"
    con.execute(
        "INSERT INTO exposures BY NAME SELECT 'production' AS environment, 'x' || uid AS exposure_id, "
        "'banner' AS experiment, 1 AS iteration, \"group\" AS variant, 'user' AS unit_type, uid AS unit_id, "
        "uid::BIGINT AS unit_key, (join_dt || ' 00:00:00+00')::TIMESTAMPTZ AS exposed_at, true AS "
        "day_precision, "
        f"json_object('device', device)::VARCHAR AS attributes, join_dt::DATE AS occurred_on FROM {csv}",
        {"file": str(DATA / "groups.csv.gz")},
    )
    con.execute(
        "INSERT INTO events BY NAME SELECT 'production' AS environment, 'e' || row_number() OVER () AS "
        "event_id, "
        "'purchase' AS event, 'user' AS unit_type, uid AS unit_id, uid::BIGINT AS unit_key, "
        "(dt || ' 00:00:00+00')::TIMESTAMPTZ AS occurred_at, true AS day_precision, "
        f"spent::DECIMAL(28, 6) AS value, '{{}}' AS properties, dt::DATE AS occurred_on FROM {csv}",
        {"file": str(DATA / "activity.csv")},
    )
    con.execute(
        "INSERT INTO unit_attributes BY NAME SELECT 'user' AS unit_type, id AS unit_id, 'country' AS "
        "attribute, "
        f"country AS value FROM {csv}",
        {"file": str(DATA / "users.csv.gz")},
    )
    experiment = experiment_of(
        *(metric.name for metric in METRICS),
        from_exposure=["device"],
        from_units=["country"],
        start=dt.date(2023, 1, 25),
    )
    engine = bench.engine(*METRICS)
    bench.prepare(engine, experiment)
    yield bench, engine, experiment, bench.cells(engine, experiment, AS_OF)
    con.close()


@pytest.fixture(scope="module")
def frame():
    groups = pd.read_csv(DATA / "groups.csv.gz", dtype=str, keep_default_na=False)
    activity = pd.read_csv(DATA / "activity.csv", dtype={"uid": str, "spent": float}, encoding="utf-8-sig")
    activity["spent"] = activity["spent"].round(6)  # the lake's precision; the files have binary fractions
    users = pd.read_csv(DATA / "users.csv.gz", dtype=str, keep_default_na=False)
    spent = activity.groupby("uid")["spent"].agg(["sum", "size"])
    merged = groups.merge(users[["id", "country"]], left_on="uid", right_on="id", how="left").join(
        spent, on="uid"
    )
    merged[["sum", "size"]] = merged[["sum", "size"]].fillna(0)
    return merged.replace({"device": {"": "(missing)"}, "country": {"": "(missing)"}}).fillna(
        {"country": "(missing)"}
    )


def test_buyers_and_units_are_the_published_ones(loaded):
    bench, engine, experiment, cells = loaded
    assert engine.enrolment(bench.con, experiment).counts(AS_OF) == {"A": 24343, "B": 24600}
    for variant, units, buyers in (("A", 24343, 955), ("B", 24600, 1139)):
        cell = cells["conversion", variant, None].moments
        assert (cell.n, round(cell.mean[0] * cell.n)) == (units, buyers)
        assert cell.mean[0] == buyers / units


def test_revenue_per_unit_is_the_published_one(loaded):
    _, _, _, cells = loaded
    assert round(cells["revenue", "A", None].moments.mean[0], 5) == 3.37452
    assert round(cells["revenue", "B", None].moments.mean[0], 5) == 3.39087


def test_variances_are_those_of_pandas(loaded, frame):
    _, _, _, cells = loaded
    for variant, rows in frame.groupby("group"):
        cell = cells["revenue", variant, None].moments
        assert cell.mean[0] == pytest.approx(rows["sum"].mean(), rel=1e-12)
        assert cell.cov[0][0] == pytest.approx(rows["sum"].var(), rel=1e-12)
        assert cells["rows", variant, None].moments.mean[0] == pytest.approx(rows["size"].mean(), rel=1e-12)


@pytest.mark.parametrize("dimension", ["device", "country"])
def test_segments_are_those_of_pandas_and_lose_no_unit(loaded, frame, dimension):
    _, _, _, cells = loaded
    seen = 0
    for (variant, value), rows in frame.groupby(["group", dimension]):
        cell = cells["revenue", variant, f"{dimension}={value}"].moments
        assert cell.n == len(rows)
        assert cell.mean[0] == pytest.approx(rows["sum"].mean(), rel=1e-12)
        bought = cells["conversion", variant, f"{dimension}={value}"].moments
        assert round(bought.mean[0] * bought.n) == (rows["size"] > 0).sum()
        seen += cell.n
    assert seen == len(frame) == 48943
    assert any(segment == f"{dimension}=(missing)" for _, _, segment in cells)


def test_the_cap_is_the_quantile_over_both_arms(loaded, frame):
    _, _, _, cells = loaded
    cap = sorted(frame["sum"])[-(-len(frame) * 99 // 100) - 1]
    for variant, rows in frame.groupby("group"):
        cell = cells["revenue_capped", variant, None]
        assert cell.cap == pytest.approx(cap, rel=1e-12)
        assert cell.clipped == (rows["sum"] > cap + 1e-9).sum()
        assert cell.moments.mean[0] == pytest.approx(rows["sum"].clip(upper=cap).mean(), rel=1e-12)
