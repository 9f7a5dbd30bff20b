"""A process that is killed at any point of ingestion and run again gives the tables of an undisturbed run."""

import os
import random
import signal
import time

import pytest

from tests.faults import processes
from tests.lake.support import CONTENT

FULL = "TENBIN_TEST_FULL" in os.environ
RANDOM_KILLS = 60 if FULL else 2


def test_the_steps_that_are_killed_are_all_that_there_are(case):
    tables = {step.partition(":")[0] for step in case.steps if "commit" in step}
    assert tables == set(case.content)
    assert {step.partition(":")[0] for step in case.steps} == {*tables, "file staged"}


@pytest.mark.slow
@pytest.mark.parametrize("group", [*CONTENT, "file staged"])
def test_a_kill_at_a_named_step_changes_nothing(case, tmp_path, group):
    """Each step kills a process of its own; the next one comes through."""
    steps = [step for step in case.steps if step.startswith(f"{group}:")]
    # A step comes again in each batch; the last time there is most to spoil.
    last = {step.rpartition(":")[0]: step for step in steps}
    for number, step in enumerate(steps if FULL else last.values()):
        shop = case.copy(tmp_path / f"{number}")
        assert processes.run(processes.ingest, shop.root, {"TENBIN_FAULT": step}).code == 137, step
        assert processes.run(processes.ingest, shop.root).code == 0, step
        case.check(shop)


@pytest.mark.slow
def test_kills_one_after_the_other_change_nothing(case, tmp_path):
    """The process that resumes is killed too, and so is the next, a step later each time."""
    shop = case.copy(tmp_path / "shop")
    codes = []
    while codes[-1:] != [0]:
        fault = {"TENBIN_FAULT": f"*:{len(codes) + 1}"}
        codes.append(processes.run(processes.ingest, shop.root, fault).code)
    assert set(codes[:-1]) == {137}
    assert len(codes) > 10
    case.check(shop)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(RANDOM_KILLS))
def test_a_kill_at_a_random_moment_changes_nothing(case, tmp_path, seed):
    shop = case.copy(tmp_path / "shop")
    begun = time.monotonic()
    assert processes.run(processes.ingest, case.copy(tmp_path / "timed").root).code == 0
    takes_s = time.monotonic() - begun
    rng = random.Random(seed)  # noqa: S311
    for _ in range(4):
        started = processes.start(processes.ingest, shop.root)
        started.process.join(timeout=rng.uniform(0, takes_s))
        started.kill()
        assert started.end().code in {0, -signal.SIGKILL}
    assert processes.run(processes.ingest, shop.root).code == 0
    case.check(shop)
