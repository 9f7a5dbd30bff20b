"""Experiments that a source of aggregates declares: analysed by day, recorded once, revised."""

import datetime as dt
import json

import pytest

from lake.ingest import ingest
from metrics.declared import DeclaredReport, refresh_declared
from tenbin.analyze.request import Request
from tenbin.moments.command import analyze_moments
from tests.lake.support import Shop

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
SOURCE = '[sources.tests]\nkind = "moments"\npath = "exports/*"\n'
HEADER = "experiment,metric,variant,as_of,n,successes\n"


class Declaring(Shop):
    """A workspace whose sources declare experiments."""

    def refresh(self, *defined: str, now: dt.datetime = NOW) -> DeclaredReport:
        ingest(self.workspace)
        lake = self.lake
        with lake.connect() as con:
            return refresh_declared(con, lake, self.workspace, defined, now=now)

    def heads(self) -> list[tuple]:
        return self.query(
            "SELECT experiment, as_of::VARCHAR, revision, variant, baseline, n_variant, n_baseline, horizon "
            "FROM results WHERE headline AND scale = 'absolute' ORDER BY ALL"
        )


@pytest.fixture
def shop(tmp_path) -> Declaring:
    return Declaring(tmp_path / "shop", SOURCE)


def rows(key: str, day: str, *arms: tuple[str, int, int]) -> str:
    return "".join(f"{key},bought,{variant},{day},{n},{hits}\n" for variant, n, hits in arms)


DAYS = (
    HEADER
    + rows("x", "2026-01-01", ("B", 500, 40), ("A", 510, 60))
    + rows("x", "2026-01-02", ("B", 1000, 80), ("A", 1010, 140))
    + rows("y", "2026-01-02", ("Q", 900, 90), ("R", 1900, 180))
)


def test_every_day_of_every_experiment_is_analysed(shop):
    shop.write("exports/a.csv", DAYS)
    report = shop.refresh()
    assert (report.experiments, report.verdicts, report.failed) == (2, {"ship": 1, "investigate": 1}, {})
    assert shop.heads() == [
        ("x", "2026-01-01", 0, "A", "B", 510, 500, "anytime"),
        ("x", "2026-01-02", 0, "A", "B", 1010, 1000, "anytime"),
        ("y", "2026-01-02", 0, "R", "Q", 1900, 900, "anytime"),
    ]
    said = dict(shop.query("SELECT experiment, status FROM findings WHERE name = 'verdict'"))
    assert said == {"x": "ship", "y": "investigate"}


def test_a_second_run_writes_nothing(shop):
    shop.write("exports/a.csv", DAYS)
    shop.refresh()
    versions = [shop.lake.version(table) for table in ("results", "findings")]
    report = shop.refresh()
    assert (report.rows, report.verdicts) == (0, {})
    assert [shop.lake.version(table) for table in ("results", "findings")] == versions


def test_a_day_that_is_stated_again_gets_a_revision(shop):
    shop.write("exports/a.csv", DAYS)
    shop.refresh()
    shop.write("exports/b.csv", HEADER + rows("x", "2026-01-01", ("A", 600, 61)))
    shop.refresh()
    first = [row for row in shop.heads() if row[:2] == ("x", "2026-01-01")]
    assert [(row[2], row[5], row[6]) for row in first] == [(0, 510, 500), (1, 600, 500)]
    assert [row[2] for row in shop.heads() if row[1] == "2026-01-02"] == [0, 0]


def test_an_open_day_is_replaced_and_then_closed(shop):
    shop.write("exports/a.csv", DAYS)
    shop.refresh(now=dt.datetime(2026, 1, 3, 12, tzinfo=dt.UTC))
    assert shop.query("SELECT DISTINCT provisional FROM results") == [(True,)]
    shop.write("exports/b.csv", HEADER + rows("x", "2026-01-02", ("A", 1020, 141)))
    shop.refresh(now=dt.datetime(2026, 1, 3, 13, tzinfo=dt.UTC))
    shop.refresh()
    assert shop.query("SELECT DISTINCT provisional, revision FROM results") == [(False, 0)]
    assert ("x", "2026-01-02", 0, "A", "B", 1020, 1000, "anytime") in shop.heads()


def test_an_experiment_with_a_file_of_its_own_is_not_declared(shop):
    shop.write("exports/a.csv", DAYS)
    assert shop.refresh("x").experiments == 1
    assert {row[0] for row in shop.heads()} == {"y"}


def test_the_source_names_the_control(tmp_path):
    shop = Declaring(tmp_path / "shop", f'{SOURCE}control = "A"\n')
    shop.write("exports/a.csv", HEADER + rows("x", "2026-01-01", ("B", 500, 40), ("A", 510, 60)))
    shop.refresh()
    assert [row[3:5] for row in shop.heads()] == [("B", "A")]


def test_what_one_experiment_makes_impossible_stops_no_other(shop):
    shop.write("exports/a.csv", DAYS)
    other = {"experiment": "z", "metric": "m", "as_of": "2026-01-01", "n": 9, "mean": 0.5, "variance": 0.25}
    text = "".join(
        json.dumps(other | {"variant": variant, "kind": kind}) + "\n"
        for variant, kind in (("A", "mean"), ("B", "proportion"))
    )
    shop.write("exports/b.ndjson", text)
    report = shop.refresh()
    assert report.failed == {
        "z": 'experiment "z": metric "m" has kind proportion in one row and mean in another; say the same '
        "in all"
    }
    assert {row[0] for row in shop.heads()} == {"x", "y"}


def test_results_are_those_of_analyze(shop):
    """The headlines of the same rows through the file command, under the same horizon."""
    path = shop.write("exports/a.csv", DAYS)
    shop.refresh()
    request = Request(moments=True, variant=None, horizon="anytime")
    for answer in analyze_moments(path, request).answers:
        names = "metric, variant, method, scale, estimate, lower, upper, p_value, p_adjusted, status"
        stored = shop.query(
            f"SELECT {names} FROM results WHERE headline AND experiment = ? AND as_of = ?",
            answer.plan.experiment,
            answer.as_of,
        )
        heads = [row for row in answer.analysis.results if row.headline]
        found = [tuple(getattr(row, name) for name in names.split(", ")) for row in heads]
        assert len(stored) == len(found) > 0
        assert sorted(stored, key=repr) == sorted(((*row[:-1], row[-1].value) for row in found), key=repr)
