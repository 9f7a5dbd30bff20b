"""Bots and test users: flagged by rules of the workspace, left out of everything, counted, and compared."""

import datetime as dt

import pytest
from scipy import stats

from metrics.checks import excluded_units
from metrics.model import Metric, MetricsError
from metrics.sql.exclude import check_rules
from stats.results import Outcome
from workspace import ExclusionRule, Workspace, WorkspaceError, load_workspace
from workspace.config import Config, WorkspaceTable

DAY = dt.date(2026, 1, 5)
AT = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
BOUGHT = Metric(name="bought", kind="count", event="purchase")
STAFF = ExclusionRule(
    name="staff", reason="employees", where={"field": "unit.staff", "op": "equals", "value": "yes"}
)
TESTERS = ExclusionRule(
    name="testers", reason="test users", where={"field": "unit_id", "op": "in", "value": ["u1", "u2"]}
)
HEADLESS = ExclusionRule(
    name="headless", reason="bots", where={"field": "exposure.agent", "op": "contains", "value": "Headless"}
)


def busy(**more):
    return ExclusionRule(name="busy", reason="bots", events_per_day=2, **more)


@pytest.fixture
def flagged(make_bench, experiment_of):
    """Six units, even ones in A; who is left out by the rules, by unit."""
    benches = []

    def call(*rules, prepare=lambda _bench: None):
        bench = make_bench(exclude=rules)
        benches.append(bench)
        for unit in range(6):
            bench.exposure(
                unit, AT, "AB"[unit % 2], attributes='{"agent": "Headless 9"}' if unit == 3 else "{}"
            )
            bench.event(unit, AT + dt.timedelta(hours=1))
        prepare(bench)
        bench.prepare(bench.engine(BOUGHT), experiment_of("bought"))
        return bench

    yield call
    for bench in benches:
        bench.con.close()


def found(bench):
    return dict(
        bench.con.execute(
            "SELECT unit_key, excluded_by FROM first_exposures WHERE excluded_by IS NOT NULL"
        ).fetchall()
    )


def attribute(bench, unit, value, valid_from=None):
    bench.insert(
        "unit_attributes",
        [
            {
                "unit_type": "user",
                "unit_id": f"u{unit}",
                "attribute": "staff",
                "value": value,
                "valid_from": valid_from,
            }
        ],
    )


def test_without_rules_nobody_is_left_out(flagged):
    assert found(flagged()) == {}


def test_by_id_and_by_attributes_of_exposure_and_unit(flagged):
    bench = flagged(
        STAFF,
        TESTERS,
        HEADLESS,
        prepare=lambda b: (attribute(b, 5, "yes"), attribute(b, 2, "yes"), attribute(b, 4, "no")),
    )
    assert found(bench) == {1: "testers", 2: "staff", 3: "headless", 5: "staff"}


def test_an_attribute_counts_as_it_was_at_exposure(flagged):
    def prepare(bench):
        attribute(bench, 4, "yes", AT + dt.timedelta(days=1))
        attribute(bench, 5, "yes", AT - dt.timedelta(days=1))

    assert found(flagged(STAFF, prepare=prepare)) == {5: "staff"}


def test_a_rate_counts_the_days_before_exposure_alone(flagged):
    def prepare(bench):
        for _ in range(3):
            bench.event(0, AT - dt.timedelta(days=2))  # too many on one day
            bench.event(1, AT + dt.timedelta(days=2))  # too many, but afterwards
        for day in (1, 2, 3):
            bench.event(2, AT - dt.timedelta(days=day))  # many, but not on one day
        bench.event(3, AT - dt.timedelta(days=2), event="view")
        bench.event(3, AT - dt.timedelta(days=2), event="view")
        bench.event(3, AT - dt.timedelta(days=2))

    assert found(flagged(busy(), prepare=prepare)) == {0: "busy", 3: "busy"}
    assert found(flagged(busy(event="purchase"), prepare=prepare)) == {0: "busy"}
    assert found(flagged(busy(event="purchase", period="any"), prepare=prepare)) == {0: "busy", 1: "busy"}


def test_they_are_in_no_number_and_counted_by_rule(flagged, experiment_of):
    bench, experiment = flagged(TESTERS), experiment_of("bought")
    engine = bench.engine(BOUGHT)
    cells = bench.cells(engine, experiment, DAY)
    assert {variant: row.moments.n for (_, variant, _), row in cells.items()} == {"A": 2, "B": 2}
    assert dict(engine.enrolment(bench.con, experiment).counts(DAY)) == {"A": 2, "B": 2}
    (exclusion,) = engine.exclusions(bench.con, experiment, DAY)
    assert (exclusion.reason, exclusion.count, exclusion.of) == (
        'left out by the rule "testers": test users',
        2,
        "units",
    )


def test_a_changed_rule_computes_what_it_touches_anew(flagged, experiment_of):
    bench, experiment = flagged(), experiment_of("bought")
    bench.engine(BOUGHT).refresh(bench.con, experiment, [DAY])
    before = len(bench.lake.writes)
    bench.prepare(bench.engine(BOUGHT), experiment)
    assert bench.engine(BOUGHT).refresh(bench.con, experiment, [DAY])[1].rows == 0
    assert len(bench.lake.writes) == before
    bench.workspace = Workspace(
        bench.workspace.root, Config(workspace=WorkspaceTable(name="x"), exclude=(TESTERS,))
    )
    bench.prepare(bench.engine(BOUGHT), experiment)
    assert bench.engine(BOUGHT).refresh(bench.con, experiment, [DAY])[1].rows == 2
    assert [table for table, _ in bench.lake.writes[before:]] == [
        "first_exposures",
        "unit_metrics",
        "moments",
    ]


def test_more_of_one_variant_than_chance_lets_expect_is_a_failure(make_bench, experiment_of):
    rule = ExclusionRule(name="busy", reason="bots", events_per_day=1, period="any")
    bench = make_bench(exclude=(rule,))
    bench.con.execute(
        "INSERT INTO first_exposures BY NAME SELECT 'banner' AS experiment, 1 AS iteration, "
        "'user' AS unit_type, "
        "i AS unit_key, 'u' || i AS unit_id, CASE WHEN i < 100 THEN 'A' ELSE 'B' END AS variant, 1 AS phase, "
        "$1::TIMESTAMPTZ AS exposed_at, "
        "CASE WHEN i < 30 OR i BETWEEN 100 AND 104 THEN 'busy' END AS excluded_by "
        "FROM range(200) AS t(i)",
        [AT],
    )
    finding = excluded_units(bench.con, bench.engine(BOUGHT), experiment_of("bought"), DAY)
    assert finding.status is Outcome.FAILED
    assert finding.numbers["p_value"] == pytest.approx(
        stats.chi2_contingency([[30, 70], [5, 95]], correction=False).pvalue, rel=1e-12
    )
    assert "A 30.00%, B 5.00%" in finding.message
    assert "busy also counts events after exposure" in finding.message
    bench.con.execute("UPDATE first_exposures SET excluded_by = NULL WHERE unit_key BETWEEN 5 AND 29")
    assert (
        excluded_units(bench.con, bench.engine(BOUGHT), experiment_of("bought"), DAY).status
        is Outcome.WARNING
    )
    bench.con.close()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('name = "a"', "says of no unit that it is left out; give it a condition"),
        ('name = ""\nevents_per_day = 3', "every rule needs a name of its own"),
        ('name = "a"\nevents_per_day = 0', "exclude"),
        ('name = "a"\nwhere = {}\nevent = "view"', 'belong to a rule with "events_per_day"'),
        ('name = "a"\nperiod = "after"\nevents_per_day = 3', "before_exposure"),
    ],
)
def test_a_rule_that_is_none(tmp_path, rule, said):
    (tmp_path / "tenbin.toml").write_text(f'[workspace]\nname = "x"\n[[exclude]]\nreason = "r"\n{rule}\n')
    with pytest.raises(WorkspaceError, match=said):
        load_workspace(tmp_path)


@pytest.mark.parametrize("field", ["country", "variant", "user.id", "properties.x"])
def test_a_rule_on_what_is_not_of_a_unit(tmp_path, field):
    where = f'{{ field = "{field}", op = "equals", value = "x" }}'
    (tmp_path / "tenbin.toml").write_text(
        f'[workspace]\nname = "x"\n[[exclude]]\nname = "a"\nreason = "r"\nwhere = {where}\n'
    )
    with pytest.raises(MetricsError, match="is not one of a unit; allowed are"):
        check_rules(load_workspace(tmp_path))
