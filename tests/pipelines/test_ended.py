"""A finished experiment beside a running one: it stays up to date, and what is wrong with one stops one."""

import datetime as dt
from pathlib import Path

import pytest

from tests.pipelines.conftest import EXPERIMENT, Shop, exposure, make_shop, purchase
from tests.support import tenbin

pytestmark = pytest.mark.slow

MONEY = '[money]\nkind = "revenue"\nevent = "purchase"\n'
ENDED = dt.date(2026, 1, 5)


def noon(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(12), dt.UTC)


def experiment_file(shop: Shop, key: str) -> Path:
    return shop.root / "experiments" / f"{key}.toml"


def add_experiment(shop: Shop, key: str, start: dt.date, end: dt.date | None, unit: int) -> None:
    """An experiment of 40 units from number `unit` on, of whom every third buys on the next day."""
    text = EXPERIMENT.format(key=key, start=start)
    if end is not None:
        text = text.replace(f"start = {start}\n", f"start = {start}\nend = {end}\n", 1)
    experiment_file(shop, key).write_text(text, encoding="utf-8")
    units = range(unit, unit + 40)
    shop.land("exposures", [exposure(number, noon(start), experiment=key) for number in units])
    buyers = units[::3]
    at = noon(start + dt.timedelta(days=1))
    shop.land("events", [purchase(number, number, at, 300) for number in buyers])


@pytest.fixture(scope="module")
def both_once(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = make_shop(tmp_path_factory.mktemp("both") / "店")
    add_experiment(shop, "ended", ENDED, ENDED + dt.timedelta(days=3), 1_000)
    tenbin("run", str(shop.root))
    return shop


@pytest.fixture
def both(both_once: Shop, tmp_path: Path) -> Shop:
    """The running experiment and one that ended in January, after a run of both."""
    return both_once.copy(tmp_path / "店 😀")


def said(shop: Shop, experiment: str) -> dict[tuple[dt.date, int], list[tuple]]:
    """(as-of day, revision) → what the results say of an experiment."""
    found = {key: [row for row in rows if row[0] == experiment] for key, rows in shop.results().items()}
    return {key: rows for key, rows in found.items() if rows}


def test_late_rows_of_an_ended_experiment_give_revisions(both: Shop):
    before = said(both, "ended")
    late = ENDED + dt.timedelta(days=2)
    both.land("events", [purchase(5_000, 1_001, noon(late), 900)])
    tenbin("run", str(both.root))
    after = said(both, "ended")
    days = sorted(day for day, _ in before)
    assert sorted(after.keys() - before.keys()) == [(day, 1) for day in days if day >= late]


def test_a_changed_definition_reaches_an_ended_experiment_and_the_running_one(both: Shop):
    metrics = both.root / "metrics" / "shop.toml"
    text = metrics.read_text(encoding="utf-8")
    metrics.write_text(text.replace("[spent]\n", '[spent]\ndirection = "decrease"\n'), encoding="utf-8")
    tenbin("run", str(both.root))
    ended, running = said(both, "ended"), said(both, "検索")
    assert {revision for _, revision in ended} == {0, 1}
    assert {revision for day, revision in running if not both.is_open(day)} == {0, 1}


def test_what_is_wrong_with_one_experiment_stops_no_other(both: Shop):
    (both.root / "metrics" / "more.toml").write_text(MONEY, encoding="utf-8")
    path = experiment_file(both, "ended")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('secondary = ["spent"]', 'secondary = ["money"]'), encoding="utf-8")
    euros = purchase(5_000, 1_001, noon(ENDED), 1) | {"currency": "EUR"}
    both.land("events", [euros])
    both.land("events", [purchase(5_001, 1, noon(both.yesterday), 700)])
    before = said(both, "検索")
    done = tenbin("run", str(both.root), check=False)
    assert done.returncode == 2, done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("tenbin: ")]
    assert 'experiment "ended"' in sentence
    assert "EUR" in sentence
    assert "older than" not in sentence
    after = said(both, "検索")
    assert [key for key in after if after[key] != before.get(key)] == [(both.yesterday, 0)]


def test_dagster_is_told_of_the_days_that_experiments_have_and_of_no_others(both: Shop):
    from dagster import AssetKey, DagsterInstance

    with DagsterInstance.from_config(str(both.root / ".dagster")) as instance:
        told = instance.get_materialized_partitions(AssetKey("moments"))
    days = {day for day, _ in both.results()}
    assert told == {str(day) for day in days}
