"""A workspace with everything that ingestion does to do, and what it says after an undisturbed run."""

import random
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import processes
from tests.lake.support import Shop, check_keys, event

TOML = """
[sources.orders]
kind = "events"
path = "orders*.csv.gz"
event = "order"
unit_id = { column = "user" }
occurred_at = { column = "at" }
"""


class Case(NamedTuple):
    """A workspace whose first files are in the lake and whose others have just come."""

    root: Path
    steps: tuple[str, ...]  # every step of ingesting the others, in their order
    growth: int  # bytes that this takes on a disk
    content: dict[str, list[tuple]]  # of all tables, when nothing happened

    def copy(self, root: Path) -> Shop:
        shutil.copytree(self.root, root)
        return Shop(root, TOML)

    def check(self, shop: Shop) -> None:
        """The tables of an undisturbed run, and nothing left to do."""
        assert shop.content() == self.content
        check_keys(shop)
        assert shop.query("SELECT count(*) FROM ingested WHERE rows IS NULL") == [(0,)]
        assert [path.name for path in (shop.root / "lake" / ".scratch").iterdir()] == []


@pytest.fixture(scope="session")
def case(tmp_path_factory) -> Case:
    root = tmp_path_factory.mktemp("faults") / "店 1"
    shop = Shop(root, TOML)
    _land_first(shop)
    assert processes.run(processes.ingest, root).code == 0
    _land_others(shop)
    undisturbed = Shop(tmp_path_factory.mktemp("undisturbed") / "店 2")
    shutil.copytree(root, undisturbed.root, dirs_exist_ok=True)
    log = undisturbed.root / "steps.txt"
    before = _file_bytes(undisturbed.root)
    assert processes.run(processes.ingest, undisturbed.root, {"TENBIN_FAULT_LOG": str(log)}).code == 0
    steps = tuple(log.read_text().split("\n")[:-1])
    log.unlink()
    growth = _file_bytes(undisturbed.root) - before
    check_keys(undisturbed)
    return Case(root, steps, growth, undisturbed.content())


def _file_bytes(root: Path) -> int:
    """In whole pages, as a disk counts them."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in root.rglob("*") if path.is_file())


def _land_first(shop: Shop) -> None:
    late = [event(n, f"u{n % 13}", 1 + n % 3, received_at="2026-01-05T00:00:00Z") for n in range(60)]
    shop.land("events", "a.ndjson", late)
    shop.land("exposures", "a.ndjson", [_exposure(n, n % 13) for n in range(20)])
    shop.write("orders 0.csv.gz", "user,at\nu1,2026-02-01\n")


def _land_others(shop: Shop) -> None:
    """New rows, rows that win over those in the lake, late days, bad rows, copies, every kind of record."""
    rng = random.Random(5)  # noqa: S311
    for name in "bcd":
        ids = [rng.randrange(200) for _ in range(80)]
        received = [f"2026-01-04T00:00:{rng.randrange(60):02d}Z" for _ in ids]
        rows = [
            event(n, f"u{n % 29}", 1 + n % 3, received_at=at, value=n)
            for n, at in zip(ids, received, strict=True)
        ]
        rows[7] |= {"unit_id": None}
        shop.land("events", f"{name}.ndjson", rows)
    shop.write("landing/events/e.ndjson", (shop.root / "landing/events/d.ndjson").read_bytes())
    shop.land("exposures", "b.ndjson", [_exposure(n, n % 31) for n in range(10, 50)])
    shop.land("assignments", "a.ndjson", [_exposure(n, n % 37) for n in range(40)])
    shop.land(
        "units", "a.ndjson", [{"unit_id": f"u{n}", "attributes": {"国": "日本", "n": n}} for n in range(9)]
    )
    aggregates = [
        {"experiment": "外", "metric": "m", "variant": "AB"[n % 2], "as_of": f"2026-01-{1 + n // 2:02d}",
         "n": n, "successes": n // 2}
        for n in range(20)
    ]  # fmt: skip
    shop.land("moments", "a.ndjson", [*aggregates, {"experiment": "外", "n": -1}])
    shop.write("orders 1.csv.gz", "user,at\n" + "".join(f"u{n},2026-02-{1 + n % 9:02d}\n" for n in range(50)))
    shop.write("orders 2.csv.gz", "user,at\nu1,2026-02-01\nu2,never\nonly one\n")


def _exposure(number: int, unit: int) -> dict:
    return {
        "exposure_id": f"x{number}",
        "experiment": "対照",
        "variant": "AB"[unit % 2],
        "unit_id": f"u{unit}",
        "exposed_at": f"2026-01-{1 + number % 4:02d}T09:00:00Z",
        "received_at": "2026-01-06T00:00:00Z" if number < 20 else None,
    }
