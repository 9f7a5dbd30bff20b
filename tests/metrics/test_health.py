"""Checks, exclusions, validation against the data, and what makes a stored day stale."""

import datetime as dt

import pytest

from assignments.model import Bucketing, Phase
from metrics import checks
from metrics.checks import Outcome
from metrics.engines.engine import Engine
from metrics.model import Metric, MetricsError, Part
from metrics.validate import validate
from tenbin_sdk.hashing import shard

DAY = dt.date(2026, 1, 10)
AT = dt.datetime(2026, 1, 10, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
BOUGHT = Metric(name="bought", kind="conversion", event="purchase")


def found(bench, engine, experiment, as_of=DAY):
    return {
        finding.name: finding for finding in checks.experiment_findings(bench.con, engine, experiment, as_of)
    }


def test_mixed_and_unknown_units_are_excluded_counted_and_told_as_of_the_day(bench, experiment_of):
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought")
    for unit in range(8):
        bench.exposure(unit, AT, "AB"[unit % 2])
    bench.exposure(8, AT, "ghost")
    bench.exposure(0, AT + 24 * 60 * MINUTE, "B")
    bench.prepare(engine, experiment)
    assert engine.enrolment(bench.con, experiment).counts(DAY) == {"A": 4, "B": 4}
    first = found(bench, engine, experiment)
    assert first["mixed_variants"].status == Outcome.PASSED
    assert first["unknown_variant"].status == Outcome.FAILED
    assert first["unknown_variant"].numbers == {"units": 9, "left_out": 1, "share": 1 / 9}
    later = DAY + dt.timedelta(days=1)
    assert engine.enrolment(bench.con, experiment).counts(later) == {"A": 3, "B": 4}
    assert found(bench, engine, experiment, later)["mixed_variants"].status == Outcome.FAILED
    assert {(e.reason, e.count, e.of) for e in engine.exclusions(bench.con, experiment, later)} == {
        ("seen in more than one variant", 1, "units"),
        ("in a variant that the definition does not have", 1, "units"),
    }
    days = engine.enrolment(bench.con, experiment).by_day(later)
    assert [(row.day, row.variant, row.units) for row in days] == [(DAY, "A", 3), (DAY, "B", 4)]


def test_variants_are_derived_again_from_the_hash(bench, experiment_of):
    ranges = {"A": ((0, 5000),), "B": ((5000, 10_000),)}
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    phase = Phase(from_=start, weights={"A": 1, "B": 1}, slice=((0, 10_000),), ranges=ranges)
    experiment = experiment_of(
        "bought",
        phases=(phase,),
        bucketing=Bucketing(layer="own", layer_salt="layer-1", split_salt="split-1"),
    )
    engine = bench.engine(BOUGHT)
    for unit in range(40):
        bench.exposure(unit, AT, "A" if shard("split-1", f"u{unit}") < 5000 else "B")
    bench.prepare(engine, experiment)
    assert found(bench, engine, experiment)["assignment_rederived"].status == Outcome.PASSED
    bench.con.execute(
        "UPDATE exposures SET variant = CASE variant WHEN 'A' THEN 'B' ELSE 'A' END WHERE unit_key = 3"
    )
    bench.prepare(engine, experiment)
    finding = found(bench, engine, experiment)["assignment_rederived"]
    assert (finding.status, finding.numbers["different"]) == (Outcome.FAILED, 1)


def test_what_can_not_be_derived_is_not_applicable_and_no_pass(bench, experiment_of):
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought")
    bench.prepare(engine, experiment)
    assert found(bench, engine, experiment)["assignment_rederived"].status == Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(("shift", "status"), [(-5, Outcome.WARNING), (5, Outcome.PASSED)])
def test_exposures_recorded_after_their_outcomes_are_noticed(bench, experiment_of, shift, status):
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought")
    for unit in range(40):
        bench.exposure(unit, AT, "AB"[unit % 2])
        bench.event(unit, AT + shift * MINUTE)
    bench.prepare(engine, experiment)
    finding = found(bench, engine, experiment)["exposure_before_outcome"]
    assert finding.status == status
    assert sorted(finding.numbers.values()) == [0, 40]


@pytest.mark.parametrize(
    ("rows", "quarantined", "repeated", "expected"),
    [
        (0, 0, 0, (Outcome.PASSED, Outcome.PASSED)),
        (1000, 5, 5, (Outcome.PASSED, Outcome.PASSED)),
        (1000, 50, 80, (Outcome.WARNING, Outcome.WARNING)),
        (1000, 500, 80, (Outcome.WARNING, Outcome.FAILED)),
    ],
)
def test_duplicates_and_quarantine_are_graded_by_their_share(bench, rows, quarantined, repeated, expected):
    bench.insert(
        "ingested",
        [{"source": "s", "kind": "events", "rows": rows, "quarantined": quarantined, "duplicates": repeated}],
    )
    assert tuple(finding.status for finding in checks.lake_findings(bench.con)) == expected


def test_a_bad_source_is_neither_hidden_by_good_ones_nor_held_against_others(bench, experiment_of):
    engine = bench.engine(BOUGHT)
    banner, search = experiment_of("bought"), experiment_of("bought", key="search")
    bench.exposure(1, AT, "A", source="banner_log")
    bench.exposure(1, AT, "A", source="search_log", experiment="search")
    bench.event(1, AT, source="shop")
    bench.event(1, AT, source="crm", event="call")
    bench.prepare(engine, banner, search)
    ingested = {  # source → kind, rows, quarantined
        "banner_log": ("exposures", 3_000, 1_000),
        "search_log": ("exposures", 3_000, 0),
        "shop": ("events", 300_000, 1_000),
        "crm": ("events", 100, 100),
        "people": ("units", 100, 100),
    }
    bench.insert(
        "ingested",
        [
            {"source": source, "kind": kind, "rows": rows, "quarantined": quarantined, "duplicates": 0}
            for source, (kind, rows, quarantined) in ingested.items()
        ],
    )
    finding = found(bench, engine, banner)["quarantine_share"]
    assert finding.status == Outcome.FAILED
    assert finding.message.startswith('1,000 of 3,000 rows (33.33%) of source "banner_log" (exposures)')
    assert finding.numbers == {"rows": 303_000, "quarantined": 2_000, "share": 1 / 3}
    assert found(bench, engine, search)["quarantine_share"].status == Outcome.PASSED
    everything = checks.quarantine_share(bench.con)
    assert (everything.status, everything.numbers["share"]) == (Outcome.FAILED, 1.0)
    unread = {"source": "unread", "kind": "exposures", "rows": 50, "quarantined": 50, "duplicates": 0}
    bench.insert("ingested", [unread])
    assert found(bench, engine, search)["quarantine_share"].status == Outcome.FAILED


def test_other_currencies_are_left_out_and_counted(bench, experiment_of):
    spend = Metric(name="spend", kind="revenue", event="purchase", currency="JPY", window="2d")
    engine, experiment = bench.engine(spend), experiment_of("spend")
    bench.exposure(1, AT, "A")
    for currency, value, at in [("JPY", 10, AT), ("EUR", 99, AT), (None, 5, AT), ("EUR", 7, AT - MINUTE)]:
        bench.event(1, at, currency=currency, value=value)
    bench.prepare(engine, experiment)
    assert bench.cells(engine, experiment, DAY + dt.timedelta(days=3))["spend", "A", None].moments.mean == (
        15.0,
    )
    assert [(e.reason, e.count) for e in engine.exclusions(bench.con, experiment, DAY)] == [
        ('events "purchase" not in JPY', 1)
    ]


def test_rows_in_other_currencies_are_counted_once_over_all_metrics(bench, experiment_of):
    """Two metrics of one event, with filters that overlap: neither hides the other's rows."""
    japan = {"field": "properties.country", "op": "equals", "value": "JP"}
    dear = {"field": "value", "op": "gte", "value": 50}
    metrics = [
        Metric(name=name, kind="revenue", event="purchase", currency="JPY", window="2d", where=where)
        for name, where in (("in_japan", japan), ("dear", dear))
    ]
    engine, experiment = bench.engine(*metrics), experiment_of("in_japan", "dear")
    bench.exposure(1, AT, "A")
    for country, value in [("JP", 1), ("JP", 99), ("US", 99), ("US", 1), ("JP", 2)]:
        properties = f'{{"country": "{country}"}}'
        bench.event(1, AT, currency="EUR", value=value, properties=properties)
    bench.prepare(engine, experiment)
    assert [(e.reason, e.count) for e in engine.exclusions(bench.con, experiment, DAY)] == [
        ('events "purchase" not in JPY', 4)
    ]


def test_values_that_are_no_number_are_counted(bench, experiment_of):
    spend = Metric(name="spend", kind="sum", event="purchase", value="properties.amount", window="2d")
    engine, experiment = bench.engine(spend), experiment_of("spend")
    bench.exposure(1, AT, "A")
    bench.exposure(2, AT, "ghost")
    for properties in (
        '{"amount": "much"}',
        '{"amount": 2.5}',
        "{}",
        '{"amount": "3.25"}',
        '{"amount": 1e40}',
    ):
        bench.event(1, AT, properties=properties)
    bench.event(1, AT - MINUTE, properties='{"amount": "before"}')
    bench.event(2, AT, properties='{"amount": "not analysed"}')
    bench.prepare(engine, experiment)
    assert bench.cells(engine, experiment, DAY + dt.timedelta(days=3))["spend", "A", None].moments.mean == (
        5.75,
    )
    found = {e.reason: e.count for e in engine.exclusions(bench.con, experiment, DAY)}
    assert found['events "purchase" whose properties.amount is not a number'] == 3


def test_currencies_are_never_added(bench, experiment_of):
    spend = Metric(name="spend", kind="revenue", event="purchase", window="1d", covariate="1d")
    engine, experiment = bench.engine(spend), experiment_of("spend")
    bench.exposure(1, AT, "A")
    bench.event(1, AT, currency="JPY", value=1)
    bench.event(1, AT - MINUTE, currency="EUR", value=1)
    bench.prepare(engine, experiment)
    refused = r'"spend".*"banner".*2 currencies \(EUR, JPY\).*currency = "EUR"'
    with pytest.raises(MetricsError, match=refused):
        engine.moments(bench.con, experiment, DAY)


@pytest.mark.parametrize(
    "stray",
    [
        {"unit": 1, "environment": "staging"},
        {"unit": 1, "unit_type": "device"},
        {"unit": 1, "event": "refund"},
        {"unit": 1, "at": AT + 24 * 60 * MINUTE},
        {"unit": 2},
    ],
)
def test_a_stray_currency_that_no_sum_would_meet_stops_nothing(bench, experiment_of, stray):
    spend = Metric(name="spend", kind="revenue", event="purchase", window="1d")
    engine, experiment = bench.engine(spend), experiment_of("spend")
    bench.exposure(1, AT, "A")
    bench.event(1, AT, currency="JPY", value=7)
    bench.event(**{"at": AT, "currency": "EUR", "value": 1} | stray)
    bench.prepare(engine, experiment)
    validate(bench.con, {"spend": spend}, [experiment])
    later = DAY + dt.timedelta(days=3)
    assert bench.cells(engine, experiment, later)["spend", "A", None].moments.mean == (7.0,)


def test_definitions_are_held_against_the_data(bench, experiment_of):
    bench.event(1, AT, properties='{"country": "JP", "nested": {"amount": 3}}')
    spend = Metric(name="spend", kind="sum", event="purchase", value="properties.nested.amount")
    validate(bench.con, {"spend": spend}, [experiment_of("spend")])
    with pytest.raises(MetricsError, match=r'"banner".*"spent".*did you mean "spend"\?'):
        validate(bench.con, {"spend": spend}, [experiment_of("spent")])
    unknown = Metric(name="spend", kind="count", event="purchse")
    with pytest.raises(MetricsError, match=r'"spend".*"purchse".*did you mean "purchase"\?'):
        validate(bench.con, {"spend": unknown}, [experiment_of("spend")])
    part = Part(kind="count", event="purchase", where={"field": "properties.cuntry", "op": "is_set"})
    ratio = Metric(
        name="spend", kind="ratio", numerator=part, denominator=Part(kind="count", event="purchase")
    )
    with pytest.raises(MetricsError, match=r'"properties\.cuntry".*did you mean "properties\.country"\?'):
        validate(bench.con, {"spend": ratio}, [experiment_of("spend")])


def test_a_sum_over_events_without_any_number_is_refused(bench, experiment_of):
    bench.event(1, AT, properties='{"amount": "much"}')
    for field, fault in (("properties.amount", "properties.amount"), ("value", "value")):
        spend = Metric(name="spend", kind="sum", event="purchase", value=field)
        with pytest.raises(MetricsError, match=rf'"spend".*no event "purchase" has a number in "{fault}"'):
            validate(bench.con, {"spend": spend}, [experiment_of("spend")])
    bench.event(1, AT, properties='{"amount": "12.5"}', value=3)
    for field in ("properties.amount", "value"):
        spend = Metric(name="spend", kind="sum", event="purchase", value=field)
        validate(bench.con, {"spend": spend}, [experiment_of("spend")])


def test_what_is_looked_at_must_become_mature(bench, experiment_of):
    bench.event(1, AT)
    looked_at = {"horizon": "group_sequential", "planned_units": 10, "end": DAY}
    windowed = Metric(name="windowed", kind="conversion", event="purchase", window="1d")
    defined = {"bought": BOUGHT, "windowed": windowed}
    validate(bench.con, defined, [experiment_of("bought"), experiment_of("windowed", **looked_at)])
    validate(bench.con, defined, [experiment_of("windowed", guardrail=["bought"], **looked_at)])
    with pytest.raises(
        MetricsError, match=r'"bought" .*"banner".* key "window" is missing; a primary metric'
    ):
        validate(bench.con, defined, [experiment_of("windowed", "bought", **looked_at)])


def test_definitions_are_not_held_against_an_empty_lake(bench, experiment_of):
    validate(bench.con, {"bought": BOUGHT}, [experiment_of("bought")])


def test_only_days_whose_events_or_measures_changed_are_computed_again(bench):
    for day in range(3):
        bench.event(1, AT + day * 24 * 60 * MINUTE)
    engine = bench.engine(BOUGHT)
    days = [DAY + dt.timedelta(days=day) for day in range(3)]
    assert engine.stale_days(bench.con, until=days[1]) == days[:2]
    engine.refresh_unit_days(bench.con)
    assert engine.stale_days(bench.con) == []
    bench.event(2, AT, batch=2)
    assert engine.stale_days(bench.con) == [DAY]
    engine.refresh_unit_days(bench.con)
    bench.con.execute("DELETE FROM events WHERE occurred_on = $1", [days[2]])
    assert engine.stale_days(bench.con) == [days[2]]
    engine.refresh_unit_days(bench.con)
    assert bench.con.execute(
        "SELECT COUNT(*) FROM unit_days WHERE occurred_on = $1", [days[2]]
    ).fetchall() == [(0,)]
    more = bench.engine(BOUGHT, Metric(name="views", kind="count", event="view"))
    assert more.stale_days(bench.con) == days[:2]


def test_refresh_keeps_moments_of_other_days_and_renews_those_of_an_old_definition(bench, experiment_of):
    bench.exposure(1, AT, "A")
    bench.event(1, AT + MINUTE)
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought")
    bench.prepare(engine, experiment)
    later = DAY + dt.timedelta(days=1)
    units, moments = engine.refresh(bench.con, experiment, [DAY])
    assert (units.rows, moments.rows) == (1, 2)
    engine.refresh(bench.con, experiment, [later])
    assert bench.rows("moments", "DISTINCT as_of") in ([(DAY,), (later,)], [(later,), (DAY,)])
    assert bench.rows("unit_metrics", "as_of, unit_id, variant, bought, bought__mature, segments") == [
        (later, "u1", "A", 1.0, True, "{}")
    ]
    engine.refresh(bench.con, experiment, [DAY])
    assert bench.rows("unit_metrics", "as_of") == [(later,)]
    changed = bench.engine(Metric(name="bought", kind="conversion", event="purchase", window="1d"))
    changed.refresh_unit_days(bench.con)
    changed.refresh(bench.con, experiment, [later])
    fingerprints = {row[0] for row in bench.rows("moments", "fingerprint")}
    assert fingerprints == {changed.metrics["bought"].fingerprint}
    assert len(bench.rows("moments")) == 4


def test_a_second_refresh_writes_nothing(bench, experiment_of):
    bench.exposure(1, AT, "A")
    bench.event(1, AT + MINUTE)
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought", from_units=["country"])
    for _ in range(2):
        bench.prepare(engine, experiment)
        engine.refresh(bench.con, experiment, [DAY])
    assert sorted(table for table, _ in bench.lake.writes) == [
        "first_exposures",
        "moments",
        "unit_days",
        "unit_metrics",
    ]


def test_what_is_late_renews_the_days_from_its_own_on(bench, experiment_of):
    days = [DAY + dt.timedelta(days=number) for number in range(4)]
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought", from_units=["country"])
    bench.exposure(1, AT, "A")
    bench.prepare(engine, experiment)
    engine.refresh(bench.con, experiment, days)

    def renewed():
        before = dict(bench.rows("moments", "as_of, inputs"))
        bench.prepare(engine, experiment)
        engine.refresh(bench.con, experiment, [])
        return [day for day, inputs in sorted(bench.rows("moments", "DISTINCT as_of, inputs"))
                if before[day] != inputs]  # fmt: skip

    assert renewed() == []
    bench.event(1, AT + 24 * 60 * MINUTE, batch=2)
    assert renewed() == days[1:]
    bench.exposure(2, AT + 2 * 24 * 60 * MINUTE, "B", batch=3)
    assert renewed() == days[2:]
    bench.exposure(1, AT + 3 * 24 * 60 * MINUTE, "B", batch=3)
    assert renewed() == days[3:]
    bench.exposure(1, AT - MINUTE, "A", batch=3, attributes='{"device": "phone"}')
    assert renewed() == days
    bench.con.execute("DELETE FROM events")
    assert renewed() == days[1:]
    attribute = {"unit_type": "user", "unit_id": "u1", "attribute": "country", "value": "JP", "batch": 4}
    bench.insert("unit_attributes", [attribute | {"attribute": "plan"}])
    assert renewed() == []
    bench.insert("unit_attributes", [attribute])
    assert renewed() == days
    assert ("country=JP",) in bench.rows("moments", "segment")


def test_what_was_made_from_tables_that_were_behind_is_made_again(bench, experiment_of):
    """As when somebody materialises the moments alone."""
    views = Metric(name="views", kind="count", event="view")
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought")
    bench.exposure(1, AT, "A")
    bench.event(1, AT)
    bench.event(1, AT, event="view")
    bench.prepare(engine, experiment)
    bench.exposure(2, AT, "B", batch=2)
    both, wider = bench.engine(BOUGHT, views), experiment_of("bought", "views")
    both.refresh(bench.con, wider, [DAY])
    bench.prepare(both, wider)
    both.refresh(bench.con, wider, [DAY])
    stored = {(metric, variant): (n, means) for metric, variant, n, means in
              bench.rows("moments", "metric, variant, n, means")}  # fmt: skip
    assert stored["bought", "B"] == (1, [0.0])
    assert stored["views", "A"] == (1, [1.0])


def test_a_changed_experiment_renews_every_day(bench, experiment_of):
    engine, experiment = bench.engine(BOUGHT), experiment_of("bought", from_exposure=["device"])
    bench.exposure(1, AT, "A", attributes='{"device": "phone"}')
    bench.prepare(engine, experiment)
    engine.refresh(bench.con, experiment, [DAY, DAY + dt.timedelta(days=1)])
    assert ("device=phone",) in bench.rows("moments", "segment")
    engine.refresh(bench.con, experiment_of("bought"), [])
    assert set(bench.rows("moments", "segment")) == {(None,)}


def test_an_engine_without_a_lake_only_reads(bench, experiment_of):
    bench.exposure(1, AT, "A")
    with pytest.raises(MetricsError, match="no lake to write to"):
        Engine(bench.workspace, None, {}).refresh_first_exposures(bench.con, [experiment_of("bought")])
