"""Ours: a workspace over the plain files, its definitions, and the steps from the lake to the moments."""

import datetime as dt
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import msgspec

from assignments import load_experiments
from assignments.model import Experiment
from benchmarks.reference.answer import Answer, Cell
from benchmarks.reference.world import ALL_UNITS, VARIANTS, World, files
from lake import open_lake
from lake.ingest import ingest
from metrics import load_metrics
from metrics.engines.engine import Engine
from metrics.sql import units
from metrics.sql.tree import render
from workspace import load_workspace

_WORKSPACE = """
[workspace]
name = "reference"
memory_limit = "{memory_limit}"
threads = {threads}

[sources.events]
kind = "events"
path = "arrived/events/*.parquet"
event = {{ column = "event" }}
event_id = {{ column = "event_id" }}
unit_id = {{ column = "user_id" }}
occurred_at = {{ column = "occurred_at" }}
value = {{ column = "amount" }}
currency = "EUR"
properties = ["platform"]

[sources.exposures]
kind = "exposures"
path = "arrived/exposures/*.parquet"
experiment = {{ column = "experiment" }}
variant = {{ column = "variant" }}
unit_id = {{ column = "user_id" }}
exposed_at = {{ column = "exposed_at" }}
"""
_EXPERIMENT = """
key = "{key}"
control = "{control}"
horizon = "fixed"
start = {start}
end = {end}
[[phases]]
from = {start}T00:00:00Z
weights = {{ {control} = 1, {treatment} = 1 }}
[metrics]
primary = ["checkout"]
secondary = ["revenue", "orders", "clicks", "views", "active_days", "click_rate", "carts", "mobile_orders",
             "searches"]
"""
_METRICS = """
[checkout]
kind = "conversion"
event = "purchase"
window = "7d"
[revenue]
kind = "revenue"
event = "purchase"
currency = "EUR"
window = "7d"
covariate = "7d"
[orders]
kind = "count"
event = "purchase"
window = "7d"
[clicks]
kind = "count"
event = "click"
window = "7d"
[views]
kind = "count"
event = "view"
window = "7d"
covariate = "7d"
[active_days]
kind = "engagement"
measure = "active_days"
event = "view"
window = "7d"
[click_rate]
kind = "ratio"
window = "7d"
numerator = { kind = "count", event = "click" }
denominator = { kind = "count", event = "view" }
[carts]
kind = "conversion"
event = "add_to_cart"
window = "1d"
[mobile_orders]
kind = "count"
event = "purchase"
where = { field = "properties.platform", op = "equals", value = "mobile" }
window = "14d"
[searches]
kind = "count"
event = "search"
"""
_COMPUTED = ("unit_days", "first_exposures", "unit_metrics", "moments")


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of each step towards the moments of some experiments as of a day."""

    unit_days: float
    first_exposures: float
    units: float  # contributions and unit metrics, written
    moments: float
    boundary: float = 0.0  # of `units`: reading events of boundary days again; when it was asked for
    partials_cpu_s: float = 0.0  # processor time of `unit_days`, all threads

    @property
    def event_level(self) -> float:
        """What reads events: new partials and boundary days."""
        return self.unit_days + self.boundary

    @property
    def total(self) -> float:
        return self.unit_days + self.first_exposures + self.units + self.moments


def write_definitions(world: World, shop: Path, memory_limit: str, threads: int) -> None:
    """A workspace whose experiments run over all days of the world."""
    for folder in ("metrics", "experiments"):
        (shop / folder).mkdir(parents=True, exist_ok=True)
    (shop / "tenbin.toml").write_text(_WORKSPACE.format(memory_limit=memory_limit, threads=threads))
    (shop / "metrics" / "shop.toml").write_text(_METRICS)
    control, treatment = VARIANTS
    names = {"control": control, "treatment": treatment}
    for key in (ALL_UNITS, *world.keys):
        text = _EXPERIMENT.format(key=key, start=world.day(1), end=world.day(world.days), **names)
        (shop / "experiments" / f"{key}.toml").write_text(text)


def arrive(plain: Path, shop: Path, days: Iterable[dt.date]) -> float:
    """Put the files of these days before the workspace's sources and ingest them; seconds of ingestion."""
    wanted = list(days)
    for kind in ("events", "exposures"):
        target = shop / "arrived" / kind
        target.mkdir(parents=True, exist_ok=True)
        for path in files(plain, kind, wanted):
            os.link(path, target / path.name)
    begun = time.perf_counter()
    ingest(load_workspace(shop))
    return time.perf_counter() - begun


def forget_computed(shop: Path) -> None:
    """Leave of the lake what ingestion brought."""
    for table in _COMPUTED:
        shutil.rmtree(shop / "lake" / table, ignore_errors=True)


def compute(shop: Path, experiments: Sequence[str], as_of: dt.date, *, split: bool = False) -> Steps:
    """From the lake to the moments of these experiments as of a day.

    Args:
        shop: the workspace.
        experiments: their keys.
        as_of: the day.
        split: run the part of `units` that reads events once more, to know its share.
    """
    workspace = load_workspace(shop)
    lake = open_lake(workspace)
    chosen = [load_experiments(workspace)[key] for key in experiments]
    with lake.connect() as con:
        engine = Engine(workspace, lake, load_metrics(workspace))
        cpu = time.process_time()
        unit_days = engine.refresh_unit_days(con, until=as_of).seconds
        partials_cpu_s = time.process_time() - cpu
        first_exposures = engine.refresh_first_exposures(con, chosen).seconds
        reports = [engine.refresh(con, experiment, [as_of]) for experiment in chosen]
        boundary = sum(_boundary(con, engine, experiment, as_of) for experiment in chosen) if split else 0.0
    return Steps(
        unit_days=unit_days,
        first_exposures=first_exposures,
        units=sum(made.seconds for made, _ in reports),
        moments=sum(moments.seconds for _, moments in reports),
        boundary=boundary,
        partials_cpu_s=partials_cpu_s,
    )


def _boundary(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment, as_of: dt.date
) -> float:
    """Seconds of the second half of the contributions; the last experiment's units are still there."""
    events = units.contributions(engine.plan(experiment), by_day=False).expression
    begun = time.perf_counter()
    con.execute(f"CREATE OR REPLACE TEMP TABLE boundary AS {render(events)}", {"until": as_of})
    return time.perf_counter() - begun


def read(shop: Path, experiments: Sequence[str], as_of: dt.date) -> Answer:
    """The moments of these experiments as of a day."""
    with open_lake(load_workspace(shop)).connect() as con:
        rows = con.execute(
            "SELECT experiment, metric, variant, n, means, covariances FROM moments "
            "WHERE list_contains($experiments, experiment) AND as_of = $as_of AND segment IS NULL",
            {"experiments": list(experiments), "as_of": as_of},
        ).fetchall()
    return {
        (experiment, metric, variant): Cell(n, (*means, *_upper(covariances, len(means))))
        for experiment, metric, variant, n, means, covariances in rows
    }


def bytes_per_row(shop: Path) -> dict[str, float]:
    """Of each table of the lake that is as large as events or units, in the files of its latest version."""
    lake = open_lake(load_workspace(shop))
    found = {}
    with lake.connect() as con:
        for table in ("events", "exposures", "unit_keys", *_COMPUTED[:-1]):
            ((rows,),) = con.execute(f"SELECT count(*) FROM {table}").fetchall()
            found[table] = sum(path.stat().st_size for path in lake.paths(table)) / max(rows, 1)
    return found


def _upper(matrix: Sequence[float], width: int) -> list[float]:
    return [matrix[i * width + j] for i in range(width) for j in range(i, width)]
