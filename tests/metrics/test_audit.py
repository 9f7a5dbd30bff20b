"""`tenbin metrics check`: every fault is caused, and told with its file, severity and remedy."""

import datetime as dt
import json

import pytest
from typer.testing import CliRunner

from metrics.audit import Severity, audit
from tenbin import definitions
from tenbin.cli import app
from workspace import load_workspace

DAY = dt.date(2026, 1, 1)
METRICS = """
[bought]
kind = "conversion"
event = "purchase"
window = "3d"
[spend]
kind = "revenue"
event = "purchase"
window = "3d"
"""
EXPERIMENT = """
key = "banner"
control = "A"
start = 2026-01-01
end = 2026-01-14
[[phases]]
from = 2026-01-01T00:00:00Z
weights = { A = 1, B = 1 }
[metrics]
primary = ["bought"]
secondary = ["spend"]
"""


@pytest.fixture(scope="module")
def shared_bench(make_bench):
    made = make_bench()
    yield made
    made.con.close()


@pytest.fixture
def shop(tmp_path, shared_bench):
    """A workspace and its events, all of which are as they should be."""
    (tmp_path / "metrics").mkdir()
    (tmp_path / "experiments").mkdir()
    (tmp_path / "tenbin.toml").write_text('[workspace]\nname = "shop"\n')
    (tmp_path / "metrics" / "core.toml").write_text(METRICS)
    (tmp_path / "experiments" / "banner.toml").write_text(EXPERIMENT)
    shared_bench.emptied()
    for day in range(20):
        shared_bench.event(day, DAY + dt.timedelta(days=day), value=3, currency="EUR")
    return tmp_path


@pytest.fixture
def problems(shop, shared_bench):
    return lambda: audit(shared_bench.con, load_workspace(shop))


@pytest.fixture
def only(problems):
    def call():
        (problem,) = problems()
        return problem

    return call


def define(shop, text, old="", new=""):
    path = shop / "metrics" / "core.toml"
    path.write_text(path.read_text().replace(old, new) + text)


def enrol(shop, old, new):
    path = shop / "experiments" / "banner.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_definitions_that_fit_have_no_problem(problems):
    assert problems() == ()


def test_every_file_that_is_wrong_is_told_and_stops_nothing_else(shop, problems):
    (shop / "metrics" / "a.toml").write_text("[visits\n")
    define(shop, '[x]\nkind = "mode"\n[y]\nkind = "count"\n')
    found = problems()
    assert [(p.severity, p.file) for p in found] == [
        (Severity.ERROR, "metrics/a.toml"),
        (Severity.ERROR, "metrics/core.toml"),
        (Severity.ERROR, "metrics/core.toml"),
    ]
    assert found[1].message.startswith('[x]: key "kind" is')
    assert found[2].message == '[y]: key "event" is missing'
    assert found[2].remedy == "name the event that is measured"


def test_an_event_of_another_name(shop, only):
    define(
        shop, "", 'event = "purchase"\nwindow = "3d"\n[spend]', 'event = "purchse"\nwindow = "3d"\n[spend]'
    )
    problem = only()
    assert (problem.severity, problem.file, problem.metric) == (Severity.ERROR, "metrics/core.toml", "bought")
    assert problem.remedy == 'did you mean "purchase"?'


def test_what_only_an_unused_metric_names_is_a_warning(shop, problems):
    define(shop, '[later]\nkind = "count"\nevent = "refund"\n')
    assert [(p.severity, p.metric) for p in problems()] == [
        (Severity.WARNING, "later"),
        (Severity.NOTE, "later"),
    ]


def test_a_field_that_no_event_has(shop, shared_bench, only):
    shared_bench.event(1, DAY, value=1, properties='{"country": "JP"}')
    where = 'where = { field = "properties.cuntry", op = "is_set", value = false }\n'
    define(shop, "", "[spend]\n", f"[spend]\n{where}")
    assert only().remedy == 'did you mean "properties.country"?'


def test_a_metric_that_no_file_defines(shop, problems):
    enrol(shop, '["spend"]', '["spent"]')
    assert next((p.severity, p.experiment, p.metric) for p in problems()) == (
        Severity.ERROR,
        "banner",
        None,
    )
    assert 'did you mean "spend"?' in problems()[0].remedy


def test_events_of_another_unit_type_or_environment(shop, problems):
    enrol(shop, 'control = "A"', 'control = "A"\nunit_type = "account"')
    found = problems()
    assert {(p.severity, p.metric) for p in found} == {(Severity.ERROR, "bought"), (Severity.ERROR, "spend")}
    assert 'are of unit type "user"' in found[0].message
    enrol(shop, 'unit_type = "account"', 'environment = "staging"')
    assert 'are of environment "production"' in problems()[0].message


def test_no_event_that_passes_the_filter(shop, only):
    where = 'where = { field = "value", op = "gt", value = 99 }\n'
    define(shop, "", "[spend]\n", f"[spend]\n{where}")
    problem = only()
    assert problem.severity is Severity.WARNING
    assert "of 19 events" in problem.message  # 14 days, a window of 3, lateness of 2


def test_no_event_in_the_period(shop, shared_bench, only):
    define(shop, "", "[spend]\nkind", '[spend]\nkind = "count"\nevent = "visit"\n[unused]\nkind')
    enrol(shop, '["spend"]', '["spend", "unused"]')
    shared_bench.event(1, DAY + dt.timedelta(days=20), event="visit")
    problem = only()
    assert (problem.severity, problem.metric) == (Severity.WARNING, "spend")
    assert "period (2026-01-01 to 2026-01-19)" in problem.message


def test_an_event_that_stopped(shared_bench, problems):
    shared_bench.con.execute("DELETE FROM events WHERE occurred_on > DATE '2026-01-11'")
    shared_bench.event(1, DAY + dt.timedelta(days=18), event="visit")
    found = problems()
    assert {(p.severity, p.metric) for p in found} == {
        (Severity.WARNING, "bought"),
        (Severity.WARNING, "spend"),
    }
    assert "in the last 8 days up to 2026-01-19" in found[0].message


def test_values_that_are_no_numbers(shared_bench, only):
    shared_bench.event(1, DAY)
    problem = only()
    assert (problem.severity, problem.metric) == (Severity.WARNING, "spend")
    assert problem.message.startswith('1 of 20 events "purchase" have no number in "value"')


def test_mixed_currencies(shop, shared_bench, only, problems):
    shared_bench.event(1, DAY, value=3, currency="JPY")
    assert only().message.startswith('events "purchase" state 2 currencies (EUR, JPY)')
    define(shop, "", 'kind = "revenue"\n', 'kind = "revenue"\ncurrency = "EUR"\n')
    assert problems() == ()


def test_windows_that_nobody_lives_to_see(shop, problems):
    define(
        shop,
        "",
        'kind = "revenue"\nevent = "purchase"\nwindow = "3d"',
        'kind = "revenue"\nevent = "purchase"\nwindow = "10d"',
    )
    (late,) = problems()
    assert (late.severity, late.metric) == (Severity.WARNING, "spend")
    assert "at the planned end, 2026-01-19, only units exposed by 2026-01-09 are mature" in late.message
    define(shop, "", 'window = "10d"', 'window = "30d"')
    (never,) = problems()
    assert (never.severity, never.metric) == (Severity.ERROR, "spend")
    assert "no unit is ever mature" in never.message
    define(shop, "", 'window = "3d"', 'window = "15d"')
    assert "longer than the experiment (14 days)" in {p.metric: p.message for p in problems()}["bought"]


def test_a_covariate_from_before_the_first_event(shop, only):
    define(shop, "", "[spend]\n", '[spend]\ncovariate = "14d"\n')
    assert only().message.startswith(
        "its covariate looks 14 days back from 2026-01-01, and events begin on 2026"
    )


def test_without_events_only_the_files_are_checked(shared_bench, only):
    shared_bench.emptied()
    assert only().severity is Severity.NOTE


def test_the_command_ends_with_1_where_there_is_an_error(shop):
    run = CliRunner().invoke
    assert run(app, ["metrics", "check", str(shop)]).exit_code == 0
    define(shop, '[y]\nkind = "count"\n')
    done = run(app, ["metrics", "check", str(shop), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)[0] == {
        "severity": "error",
        "file": "metrics/core.toml",
        "metric": None,
        "experiment": None,
        "message": '[y]: key "event" is missing',
        "remedy": "name the event that is measured",
    }
    assert "1 errors, 0 warnings, 1 notes" in run(app, ["metrics", "check", str(shop)]).stdout


def test_sql_of_a_metric(shop):
    run = CliRunner().invoke
    of_any = run(app, ["metrics", "sql", "bought", str(shop)])
    assert "$experiment" in of_any.stdout
    assert "'banner'" not in of_any.stdout
    of_one = run(app, ["metrics", "sql", "bought", str(shop), "--experiment", "banner", "--engine", "spark"])
    assert "'banner'" in of_one.stdout
    assert "`enrolled`" in of_one.stdout
    wrong = run(app, ["metrics", "sql", "bougth", str(shop)])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert 'did you mean "bought"?' in wrong.stderr


def test_the_list_names_the_experiments(shop):
    found = definitions.list_metrics(load_workspace(shop))
    assert [(row.metric, row.experiments) for row in found] == [
        ("bought", ("banner",)),
        ("spend", ("banner",)),
    ]
