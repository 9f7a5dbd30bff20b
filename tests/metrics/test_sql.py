"""The SQL itself: what is run is what was reviewed, and calls only what every engine has."""

import datetime as dt
import os
from pathlib import Path

import msgspec
import pytest
import sqlglot

from metrics.model import Metric, MetricsError, Part, Weighted
from metrics.sql import exclude, exposures, freshness, metric_sql, moments, quantiles, units
from metrics.sql.plan import measures_of, plan_units, values_of
from metrics.sql.tree import ALLOWED, build, column, functions, literal, pointer, render
from workspace import ExclusionRule

GOLDEN = Path(__file__).parent / "golden"
WHERE = {
    "all": [
        {"field": "properties.country", "op": "in", "value": ["JP", "日本"]},
        {"not": {"field": "properties.version", "op": "semver_lt", "value": "2.0.0-rc.1"}},
        {"field": "properties.at", "op": "gte", "value": "2026-01-31"},
        {"field": "properties.plan", "op": "matches", "value": "^pro"},
    ]
}
METRICS = {
    "checkout": Metric(name="checkout", kind="conversion", event="purchase", where=WHERE, window="7d"),
    "売上": Metric(
        name="売上", kind="revenue", event="purchase", value="properties.amount", currency="JPY",
        window="14d", winsorize=0.999, covariate="14d",
    ),
    "active": Metric(name="active", kind="engagement", event="view", measure="active_days"),
    "clicks_per_view": Metric(
        name="clicks_per_view", kind="ratio", numerator=Part(kind="count", event="click"),
        denominator=Part(kind="count", event="view"),
    ),
    "second_week": Metric(
        name="second_week", kind="retention", event="view", after="7d", window="14d", at_least=3
    ),
    "first_purchase": Metric(
        name="first_purchase", kind="conversion", event="purchase", first="90d", window="14d"
    ),
    "until_purchase": Metric(
        name="until_purchase", kind="time_to_event", event="purchase", window="14d", winsorize=0.99,
        time_unit="hours",
    ),
    "net": Metric(
        name="net", kind="composite", combine=(Weighted(metric="売上"), Weighted(metric="活", weight=-0.25)),
        named={
            "売上": Metric(name="売上", kind="revenue", event="purchase", currency="JPY", window="7d"),
            "活": Metric(name="活", kind="count", event="view", window="14d"),
        },
    ),
}  # fmt: skip

RULES = (
    ExclusionRule(
        name="staff's", reason="employees",
        where={"any": [{"field": "unit.is_staff", "op": "equals", "value": "yes"},
                       {"field": "exposure.device", "op": "contains", "value": "bot"},
                       {"field": "unit_id", "op": "starts_with", "value": "test-"}]},
    ),
    ExclusionRule(name="busy", reason="bots", events_per_day=1000, event="view",
                  where={"field": "properties.plan", "op": "equals", "value": "free"}),
)  # fmt: skip
SINGLE = {
    "p90": Metric(
        name="p90", kind="quantile", event="load", value="properties.ms", quantile=0.9, window="7d"
    ),
    "items": Metric(
        name="items", kind="count_distinct", event="view", value="properties.item", covariate="7d"
    ),
}


@pytest.fixture
def statements(experiment_of):
    experiment = experiment_of(
        *METRICS, from_exposure=["device"], from_units=["国"], end=dt.date(2026, 2, 6), key="対照's"
    )
    plan = plan_units(experiment, METRICS, "UTC")
    single = plan_units(experiment_of(*SINGLE, from_exposure=["device"], from_units=["国"]), SINGLE, "UTC")
    in_tokyo = plan_units(experiment, METRICS, "Asia/Tokyo")
    zone = dt.UTC
    return {
        "unit_days": freshness.stamped_unit_days(measures_of(list(METRICS.values()))),
        "stale_days": freshness.stale_days(measures_of(list(METRICS.values()))),
        "inputs_by_day": freshness.inputs_by_day(plan),
        "first_exposures": exposures.first_exposures(experiment, zone),
        "flagged": exclude.flagged(exposures.first_exposures(experiment, zone), experiment, RULES),
        "enrolled": units.enrolled(plan),
        "enrolled_in_tokyo": units.enrolled(in_tokyo),
        "contributions": units.contributions(plan),
        "contributions_at_once": units.contributions(plan, by_day=False),
        "unit_metrics": units.unit_metrics(plan),
        "published": units.published(plan),
        "sums": moments.grouped_sums(plan, crowded=[1]),
        "unit_values": freshness.stamped_unit_values(values_of(list(SINGLE.values()))),
        "each_value": units.each_value(single),
        "counted": units.contributions(single),
        "quantile_values": quantiles.quantile_values(single, crowded=[1]),
        "histogram": quantiles.histogram(single),
        "values_at": quantiles.values_at({(0, 1, "A", -1, ""): (3, 4), (0, 1, "B", 1, "ios"): (0,)}),
        "shares": quantiles.shares(single, {(0, 1, "A", -1, ""): 1_500_000}),
        "largest_ties": quantiles.largest_ties({(0, 1, "A", -1, ""): (1_000_000, 2_000_000)}),
        "sums_in_limbs": moments.grouped_sums(plan, limbs=True),
    }


def test_the_sql_is_the_reviewed_one(statements):
    """After a wanted change: run once with UPDATE_GOLDEN=1 and review the difference."""
    for name, tree in statements.items():
        text = render(tree) + "\n"
        path = GOLDEN / f"{name}.sql"
        if os.environ.get("UPDATE_GOLDEN"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), name


def test_every_statement_also_renders_for_spark_and_parses_there(statements):
    for name, tree in statements.items():
        text = render(tree, "spark")
        assert sqlglot.parse_one(text, read="spark"), name
        for foreign in (
            "QUANTILE_DISC",
            "JSON_EXTRACT_STRING",
            "PERCENTILE_APPROX",
            "INT128",
            "EPOCH_US",
            "TIMEZONE",
        ):
            assert foreign not in text, (name, foreign)


def test_only_allowed_functions_are_called(statements):
    called = set().union(*(functions(tree) for tree in statements.values()))
    assert called <= ALLOWED
    with pytest.raises(MetricsError, match="calls ARG_MAX"):
        render(build("SELECT ARG_MAX(a, b) FROM t"))


def test_a_literal_and_a_name_stay_what_they_are():
    nasty = 'it\'s "quoted" -- \\ /* 😀'
    tree = build("SELECT $name FROM t WHERE x = $text", name=column(nasty), text=nasty)
    parsed = sqlglot.parse_one(render(tree), read="duckdb")
    assert parsed.expressions[0].name == nasty
    assert parsed.find(sqlglot.exp.EQ).expression.name == nasty
    assert pointer(["a/b", "c~d"]).name == "/a~1b/c~0d"
    assert literal(None).sql() == "NULL"


def test_the_sql_of_a_metric_for_people_runs_and_gives_its_sums(bench, experiment_of):
    metric = Metric(name="spend", kind="sum", event="$purchase", window="2d")
    engine, experiment = bench.engine(metric), experiment_of("spend")
    bench.exposure(1, dt.date(2026, 1, 10), "A")
    bench.event(1, dt.date(2026, 1, 11), event="$purchase", value=2.5)
    bench.prepare(engine, experiment)
    sql = engine.sql_of(metric, experiment)
    assert bench.con.execute(sql, {"as_of": dt.date(2026, 1, 12)}).fetchall() == [
        (1, "A", 1, 1, 2_500_000, 2_500_000**2)
    ]
    general = metric_sql(metric)
    private = msgspec.structs.replace(metric, event="pur\ue000chase")
    assert "'pur\ue000chase'" in metric_sql(private)
    named = msgspec.structs.replace(experiment, key="ban\ue000ner")
    assert "'ban\ue000ner'" in metric_sql(metric, named)
    assert "'$purchase'" in general
    for place in ("$experiment", "$environment", "$unit_type", "$as_of"):
        assert place in general


def test_tables_within_a_statement_have_names_of_their_own_in_spark(experiment_of):
    """Inner ones are brought to the top there."""
    plan = plan_units(experiment_of("checkout", from_units=["国", "gender"]), METRICS, "UTC")
    parsed = sqlglot.parse_one(render(units.enrolled(plan), "spark"), read="spark")
    names = [table.alias for table in parsed.find_all(sqlglot.exp.CTE)]
    assert len(set(names)) == len(names) == 2
