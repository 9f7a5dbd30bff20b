"""A small shop whose days are near the present, so that some of them are still open."""

import datetime as dt
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import tenbin as tenbin_package
from tests.support import tenbin

LATENESS_DAYS = 2
SETTINGS = '[workspace]\nname = "店"\nlateness = "2d"\n'
METRICS = """
[bought]
kind = "conversion"
event = "purchase"

[spent]
kind = "revenue"
event = "purchase"
currency = "JPY"
"""
EXPERIMENT = """
key = "{key}"
control = "対照群"
horizon = "anytime"
start = {start}

[[phases]]
from = {start}T00:00:00Z
weights = {{ "対照群" = 1, "zoë" = 1 }}

[metrics]
primary = ["bought"]
secondary = ["spent"]

[segments]
from_exposure = ["device"]
"""


@dataclass
class Shop:
    """A workspace, and short ways to fill and run it."""

    root: Path
    first: dt.date  # of the experiment
    today: dt.date
    files: int = field(default=0)

    @property
    def yesterday(self) -> dt.date:
        return self.today - dt.timedelta(days=1)

    def days(self) -> list[dt.date]:
        """Every as-of day up to yesterday."""
        return [self.first + dt.timedelta(days=number) for number in range((self.today - self.first).days)]

    def is_open(self, day: dt.date) -> bool:
        """Whether the lateness of the day has not passed yet (seen from `today`)."""
        return day + dt.timedelta(days=1 + LATENESS_DAYS) > self.today

    def land(self, kind: str, records: list[dict]) -> None:
        """Seal one file of records."""
        self.files += 1
        path = self.root / "landing" / kind / f"{self.files:04}.ndjson"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")

    def run(self, *, first: dt.date | None = None, last: dt.date | None = None) -> dict:
        """`tenbin run --json`, without more as the command does it by itself when the test begins."""
        begin = () if first is None else ("--from", str(first))
        printed = tenbin("run", str(self.root), *begin, "--to", str(last or self.yesterday), "--json")
        return json.loads(printed.stdout)

    def results(self) -> dict[tuple[dt.date, int], list[tuple]]:
        """(as-of day, revision) → everything that the results say of it, in an order of its own."""
        with tenbin_package.open(self.root) as con:
            names = [row[0] for row in con.execute("DESCRIBE results").fetchall()]
            places = [names.index(name) for name in ("as_of", "revision", "provisional")]
            said: dict[tuple[dt.date, int], list[tuple]] = {}
            for row in con.execute("SELECT * FROM results ORDER BY ALL").fetchall():
                rest = tuple(value for place, value in enumerate(row) if place not in places)
                said.setdefault((row[places[0]], row[places[1]]), []).append(rest)
            return said

    def units(self) -> list[tuple]:
        """The unit metrics, without the keys, which depend on the order of arrival."""
        with tenbin_package.open(self.root) as con:
            return con.execute("SELECT * EXCLUDE (unit_key) FROM unit_metrics ORDER BY unit_id").fetchall()

    def latest(self) -> dict[dt.date, list[tuple]]:
        """As-of day → what its latest revision says."""
        return {day: rows for (day, _), rows in sorted(self.results().items())}

    def copy(self, root: Path) -> "Shop":
        """The same workspace, with all that its runs made, in another place."""
        shutil.copytree(self.root, root)
        return replace(self, root=root)

    def written(self) -> dict[str, bytes | None]:
        """The lake's commits by name and the reports by name and content."""
        commits = dict.fromkeys(str(path) for path in (self.root / "lake").rglob("_delta_log/*.json"))
        pages = {
            str(path): path.read_bytes() for path in (self.root / "reports").rglob("*") if path.is_file()
        }
        return commits | pages


def purchase(number: int, unit: int, at: dt.datetime, amount: int) -> dict:
    return {
        "event_id": f"e{number}",
        "event": "purchase",
        "unit_type": "user",
        "unit_id": f"u{unit}",
        "occurred_at": at.isoformat(),
        "received_at": at.isoformat(),
        "value": amount,
        "currency": "JPY",
    }


def exposure(unit: int, at: dt.datetime, **more: object) -> dict:
    return {
        "exposure_id": f"x{unit}",
        "experiment": "検索",
        "iteration": 1,
        "variant": ("対照群", "zoë")[unit % 2],
        "unit_type": "user",
        "unit_id": f"u{unit}",
        "exposed_at": at.isoformat(),
        "received_at": at.isoformat(),
        "attributes": {"device": ("phone", "desk")[unit % 3 == 0]},
    } | more


def make_shop(root: Path) -> Shop:
    """Eight as-of days, 160 units over the first five, a purchase of every third unit two days later."""
    today = dt.datetime.now(dt.UTC).date()
    shop = Shop(root=root, first=today - dt.timedelta(days=8), today=today)
    for folder in ("metrics", "experiments"):
        (root / folder).mkdir(parents=True)
    (root / "tenbin.toml").write_text(SETTINGS, encoding="utf-8")
    (root / "metrics" / "shop.toml").write_text(METRICS, encoding="utf-8")
    text = EXPERIMENT.format(key="検索", start=shop.first)
    (root / "experiments" / "検索.toml").write_text(text, encoding="utf-8")
    noon = [dt.datetime.combine(day, dt.time(12), dt.UTC) for day in shop.days()]
    shop.land("exposures", [exposure(unit, noon[unit % 5]) for unit in range(160)])
    shop.land(
        "events",
        [purchase(unit, unit, noon[unit % 5 + 2], 100 * (1 + unit % 7)) for unit in range(0, 160, 3)],
    )
    return shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path / "店 😀")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop after one run over everything; only to be read."""
    made = make_shop(tmp_path_factory.mktemp("undisturbed") / "店")
    made.run()
    return made


@pytest.fixture
def run_shop(undisturbed: Shop, tmp_path: Path) -> Shop:
    """A shop of its own for the test, after one run over everything."""
    return undisturbed.copy(tmp_path / "店 😀")
