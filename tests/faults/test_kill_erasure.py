"""An erasure that is killed at any point and run again leaves what an undisturbed one leaves."""

import os
import shutil
from typing import NamedTuple

import pytest

from lake.ingest import ingest
from tests.faults import processes
from tests.lake.erasure import GONE, fill, holding, said_of_others
from tests.lake.support import Shop

FULL = "TENBIN_TEST_FULL" in os.environ
TABLES = ("events", "exposures", "assignments", "unit_attributes", "unit_days", "unit_metrics", "quarantine")
COUNTS = "SELECT kind, sum(rows), sum(quarantined), sum(duplicates) FROM ingested {} GROUP BY 1 ORDER BY 1"
SHARDS = 8
# Where a kill leaves most between two states; each is reached in an erasure, or the test fails.
STEPS = (
    "ingested: after commit:1",
    "erasure: landing placed:1",
    "erasure: landing replaced:3",
    "erasure: events written",
    "unit_keys: after commit",
    "events: file vacuumed:1",
)


class Case(NamedTuple):
    """A workspace with the units everywhere, and what it says when they were erased undisturbed."""

    root: Shop
    steps: tuple[str, ...]
    content: dict[str, list[tuple]]


def content(shop: Shop) -> dict[str, list[tuple]]:
    counts = shop.query(COUNTS.format("WHERE replaced_by IS NULL"))
    return {name: said_of_others(shop, name) for name in TABLES} | {"ingested": counts}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("erasure") / "店 1")
    fill(shop)
    erased = Shop(tmp_path_factory.mktemp("erased") / "店 2")
    shutil.copytree(shop.root, erased.root, dirs_exist_ok=True)
    log = tmp_path_factory.mktemp("log") / "steps.txt"
    assert processes.run(processes.forget, erased.root, {"TENBIN_FAULT_LOG": str(log)}).code == 0
    return Case(shop, tuple(log.read_text().splitlines()), content(erased))


def copy(case: Case, root) -> Shop:
    shutil.copytree(case.root.root, root)
    return Shop(root)


def check(case: Case, shop: Shop) -> None:
    for unit in GONE:
        assert holding(shop.root, unit) == [], unit
    assert content(shop) == case.content
    assert ingest(shop.workspace).files == 0
    assert list(shop.root.rglob(".erasing-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_a_named_step_is_made_good_by_running_it_again(case, tmp_path, step):
    """Also when ingestion has run meanwhile, which must take nothing in twice and nothing back."""
    shop = copy(case, tmp_path / "店")
    assert processes.run(processes.forget, shop.root, {"TENBIN_FAULT": step}).code == 137
    assert processes.run(processes.ingest, shop.root).code == 0
    assert processes.run(processes.forget, shop.root).code == 0
    check(case, shop)


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="NOT TESTED: a kill at every single step, under TENBIN_TEST_FULL=1 only")
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_each_step_is_made_good(case, tmp_path, shard):
    for number, step in enumerate(case.steps[shard::SHARDS]):
        shop = copy(case, tmp_path / f"{number}")
        assert processes.run(processes.forget, shop.root, {"TENBIN_FAULT": step}).code == 137, step
        assert processes.run(processes.forget, shop.root).code == 0, step
        check(case, shop)
        shutil.rmtree(shop.root)


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="NOT TESTED: kills one after the other, under TENBIN_TEST_FULL=1 only")
def test_kills_one_after_the_other_are_made_good(case, tmp_path):
    shop = copy(case, tmp_path / "店")
    codes = []
    while codes[-1:] != [0]:
        fault = {"TENBIN_FAULT": f"*:{len(codes) + 1}"}
        codes.append(processes.run(processes.forget, shop.root, fault).code)
    assert set(codes[:-1]) == {137}
    assert len(codes) > 10
    check(case, shop)


def test_of_two_erasures_at_once_the_second_finds_nothing_and_ingestion_waits(case, tmp_path):
    shop = copy(case, tmp_path / "店")
    shop.land("events", "late.ndjson", [{"event_id": "l", "event": "purchase", "unit_id": GONE[0],
                                         "occurred_at": "2026-01-02T00:00:00Z"}])  # fmt: skip
    targets = (processes.forget, processes.ingest, processes.forget)
    all_ = [processes.start(target, shop.root) for target in targets]
    ended = [started.end() for started in all_]
    assert ended == [(0, "")] * 3
    assert processes.run(processes.forget, shop.root).code == 0
    for unit in GONE:
        assert holding(shop.root, unit) == [], unit
    assert {name: content(shop)[name] for name in TABLES} == {name: case.content[name] for name in TABLES}


def test_a_batch_that_was_begun_is_finished_before_its_files_are_replaced(case, tmp_path):
    shop = copy(case, tmp_path / "店")
    rows = [{"event_id": f"n{n}", "event": "purchase", "unit_id": unit, "occurred_at": "2026-01-02T00:00:00Z"}
            for n, unit in enumerate((GONE[0], "u2"))]  # fmt: skip
    shop.land("events", "begun.ndjson", rows)
    assert processes.run(processes.ingest, shop.root, {"TENBIN_FAULT": "events: after commit"}).code == 137
    assert processes.run(processes.forget, shop.root).code == 0
    assert holding(shop.root, GONE[0]) == []
    assert shop.query("SELECT unit_id FROM events WHERE event_id LIKE 'n%'") == [("u2",)]
    assert ingest(shop.workspace).files == 0
