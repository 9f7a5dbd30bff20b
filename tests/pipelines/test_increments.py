"""What a further run does: nothing, a part, what came late, what a killed one left undone."""

import datetime as dt
import json
import os
from pathlib import Path

import pytest

import tenbin as tenbin_package
from tests.pipelines.conftest import LATENESS_DAYS, Shop, exposure, make_shop, purchase
from tests.support import tenbin

pytestmark = pytest.mark.slow


def noon(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(12), dt.UTC)


def recorded_runs(root: Path) -> list[tuple[str, str]]:
    """Job and status of every run in the workspace's Dagster home."""
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(root / ".dagster")) as instance:
        return sorted((run.job_name, run.status.value) for run in instance.get_runs())


def test_a_second_run_changes_nothing(shop: Shop):
    none = dict.fromkeys(("assignments", "unit_attributes", "given_moments"), 0)
    assert shop.run()["ingested"] == {"events": 54, "exposures": 160, **none}
    before = shop.written()
    published = (shop.root / "warehouse.duckdb").read_bytes()
    assert set(shop.run()["ingested"].values()) == {0}
    assert shop.written() == before
    assert (shop.root / "warehouse.duckdb").read_bytes() == published


def test_a_backfill_in_parts_is_one_run_each_and_ends_where_one_run_would(shop: Shop, undisturbed: Shop):
    days = shop.days()
    shop.run(first=days[2], last=days[3])
    assert sorted(shop.latest()) == days[2:4]
    assert recorded_runs(shop.root) == [
        ("evidence", "SUCCESS"),
        ("ingest", "SUCCESS"),
        ("readouts", "SUCCESS"),
    ]
    shop.run(first=days[0], last=days[1])
    assert sorted(shop.latest()) == days[:4]
    shop.run()
    assert shop.results() == undisturbed.results()
    assert shop.units() == undisturbed.units()
    assert sorted(shop.results()) == [(day, 0) for day in days]


def test_late_rows_of_an_open_day_change_its_results_in_place(run_shop: Shop):
    shop = run_shop
    before = shop.results()
    shop.land("events", [purchase(1_000, 1, noon(shop.yesterday), 700)])
    shop.run()
    after = shop.results()
    assert after.keys() == before.keys()
    assert [day for day, revision in sorted(after) if after[day, revision] != before[day, revision]] == [
        shop.yesterday
    ]


def test_late_rows_of_a_closed_day_add_revisions_and_end_where_an_early_arrival_would(
    run_shop: Shop, tmp_path: Path
):
    shop = run_shop
    late = [purchase(1_000, 1, noon(shop.days()[3]), 700)]
    seen_late = [exposure(500, noon(shop.days()[2]))]
    before = shop.results()
    shop.land("events", late)
    shop.land("exposures", seen_late)
    (outcome,) = shop.run()["experiments"]
    after = shop.results()
    closed = [day for day in shop.days() if not shop.is_open(day)]
    assert len(closed) > 4
    added = [key for key in sorted(after) if key not in before]
    assert added == [(day, 1) for day in closed if day >= shop.days()[2]]
    for day in closed:
        assert after[day, 0] == before[day, 0]
    early = make_shop(tmp_path / "early")
    early.land("events", late)
    early.land("exposures", seen_late)
    early.run()
    assert shop.latest() == early.latest()
    assert shop.units() == early.units()
    page = json.loads(Path(outcome["result_json"]).read_text(encoding="utf-8"))
    assert page["units"] == {"対照群": 81, "zoë": 80}


def test_an_earlier_range_revises_no_closed_day_with_a_part_of_its_late_rows(run_shop: Shop):
    shop = run_shop
    days = shop.days()
    early, later = days[2], days[5]
    assert not shop.is_open(later)
    shop.land("events", [purchase(1_000, 1, noon(early), 700), purchase(1_001, 2, noon(later), 900)])
    shop.run(last=days[3])
    shop.run()
    closed = [day for day in days if not shop.is_open(day)]
    assert sorted(key for key in shop.results() if key[1]) == [(day, 1) for day in closed if day >= early]


def test_stray_days_are_written_in_one_commit(run_shop: Shop):
    shop = run_shop
    log = shop.root / "lake" / "unit_days" / "_delta_log"
    before = set(log.glob("*.json"))
    stray = [dt.date(1990, 1, 1) + dt.timedelta(days=97 * number) for number in range(40)]
    shop.land("events", [purchase(1_000 + number, 1, noon(day), 5) for number, day in enumerate(stray)])
    shop.run()
    assert len(set(log.glob("*.json")) - before) == 1


def test_an_end_that_is_moved_to_the_front_takes_the_later_days_away(run_shop: Shop, tmp_path: Path):
    shop, days = run_shop, run_shop.days()
    other = make_shop(tmp_path / "so from the start")
    for each in (shop, other):
        path = each.root / "experiments" / "検索.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace(f"start = {shop.first}\n", f"start = {shop.first}\nend = {days[2]}\n"),
            encoding="utf-8",
        )
    # Its windows are open, so the planned end is the end and the lateness.
    last = days[2 + LATENESS_DAYS]
    (outcome,) = shop.run()["experiments"]
    assert outcome["as_of"] == str(last)
    other.run()
    assert shop.latest() == other.latest()
    assert max(shop.latest()) == last
    assert shop.units() == other.units()
    with tenbin_package.open(shop.root) as con:
        assert con.execute("SELECT MAX(as_of) FROM moments").fetchall() == [(last,)]


def test_an_experiment_without_an_as_of_day_stops_no_other(shop: Shop):
    text = (shop.root / "experiments" / "検索.toml").read_text(encoding="utf-8")
    later = text.replace("検索", "later").replace(str(shop.first), str(shop.today + dt.timedelta(days=3)))
    (shop.root / "experiments" / "later.toml").write_text(later, encoding="utf-8")
    assert [outcome["experiment"] for outcome in shop.run()["experiments"]] == ["検索"]


def test_an_experiment_whose_file_is_gone_is_no_longer_analysed(shop: Shop):
    text = (shop.root / "experiments" / "検索.toml").read_text(encoding="utf-8")
    (shop.root / "experiments" / "other.toml").write_text(text.replace("検索", "other"), encoding="utf-8")
    assert [outcome["experiment"] for outcome in shop.run()["experiments"]] == ["other", "検索"]
    (shop.root / "experiments" / "other.toml").unlink()
    assert [outcome["experiment"] for outcome in shop.run()["experiments"]] == ["検索"]


STEPS = [
    "registry: after commit",
    "unit_days: before commit",
    "unit_days: after commit",
    "first_exposures: before commit",
    "unit_metrics: before commit",
    "unit_metrics: after commit",
    "moments: before commit",
    "moments: after commit",
    "results: before commit",
    "results: after commit",
    "findings: before commit",
    "warehouse: before rename",
]
# Each takes two runs; these are where two commits belong together.
_FIRST = {
    "unit_days: after commit",
    "unit_metrics: before commit",
    "unit_metrics: after commit",
    "results: after commit",
}
CHOSEN = [step for step in STEPS if os.environ.get("TENBIN_TEST_FULL") or step in _FIRST]


@pytest.mark.parametrize("step", CHOSEN)
def test_a_killed_run_is_finished_by_the_next(shop: Shop, undisturbed: Shop, step: str):
    killed = tenbin("run", str(shop.root), check=False, env={"TENBIN_FAULT": step})
    assert killed.returncode == 137
    shop.run()
    assert shop.results() == undisturbed.results()
    assert shop.units() == undisturbed.units()
    assert reports(shop) == reports(undisturbed)


def reports(shop: Shop) -> dict[str, bytes]:
    """Every file of the reports; the workspace's own place is in none of them."""
    root = shop.root / "reports"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
