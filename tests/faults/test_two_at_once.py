"""Two processes that ingest into one workspace: nothing comes in twice, and the second waits or says so."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from lake import faults
from lake import ingest as ingestion
from lake.ingest import ingest
from lake.locks import lock
from tests.faults import processes


def test_of_two_processes_the_second_waits_and_finds_nothing(case, tmp_path):
    shop = case.copy(tmp_path / "shop")
    both = [processes.start(processes.ingest, shop.root) for _ in range(2)]
    assert [started.end().code for started in both] == [0, 0]
    case.check(shop)


def test_who_does_not_want_to_wait_is_told_that_the_workspace_is_locked(case, tmp_path):
    shop = case.copy(tmp_path / "shop")
    path = shop.root / "lake" / ".ingest.lock"
    with lock(path, wait_s=0, purpose="ingesting"):
        ended = processes.run(processes.ingest, shop.root, None, 0.2)
    says = f"{path}: another process is ingesting into this workspace; run again when it has finished"
    assert ended == (2, says)
    assert processes.run(processes.ingest, shop.root).code == 0
    case.check(shop)


def test_a_killed_process_leaves_no_lock(case, tmp_path):
    shop = case.copy(tmp_path / "shop")
    assert processes.run(processes.ingest, shop.root, {"TENBIN_FAULT": "events: placed:1"}).code == 137
    assert processes.run(processes.ingest, shop.root, None, 0.0).code == 0
    case.check(shop)


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        "file staged",
        "events: written",
        *(
            f"{table}: {point} commit"
            for table in ("ingested", "unit_keys", "events", "assignments", "unit_attributes", "quarantine")
            for point in ("before", "after")
        ),
    ],
)
def test_where_no_lock_reaches_the_commits_keep_two_writers_apart(case, tmp_path, monkeypatch, step):
    """As on a network disk: another writer does all of it while one is about to commit."""
    shop = case.copy(tmp_path / "shop")
    monkeypatch.setattr(ingestion, "lock", lambda *_, **__: nullcontext())
    monkeypatch.setattr(ingestion, "BATCH_FILES", 3)
    waiting = [step]

    def let_the_other_in(reached: str) -> None:
        if reached in waiting:
            waiting.clear()
            ingest(shop.workspace)

    monkeypatch.setattr(faults, "reached", let_the_other_in)
    ingest(shop.workspace)
    assert waiting == []
    case.check(shop)


@pytest.mark.slow
def test_of_two_writers_without_a_lock_one_gets_through_and_the_other_may_give_up(case, tmp_path):
    shop = case.copy(tmp_path / "shop")
    both = [processes.start(_ingest_without_lock, shop.root) for _ in range(2)]
    ended = sorted(started.end() for started in both)
    assert ended[0] == (0, "")
    gave_up = f"{shop.root / 'lake'}: another writer keeps changing the lake; run again when it has finished"
    assert ended[1] in {(0, ""), (2, gave_up)}
    case.check(shop)


def _ingest_without_lock(root: Path) -> None:
    ingestion.lock = lambda *_, **__: nullcontext()
    processes.ingest(root)
