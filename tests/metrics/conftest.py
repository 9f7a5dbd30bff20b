"""A DuckDB connection with the lake's tables in it, and an engine that writes into them instead of a lake."""

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from assignments.model import Experiment, Guardrail, MetricRoles, Phase, Segments
from lake.tables import TABLES
from metrics.engines.engine import Engine
from workspace import Config, Workspace
from workspace.config import WorkspaceTable


class TableLake:
    """`Lake.overwrite` on plain tables: the rows of one partition are replaced."""

    def __init__(self):
        self.writes = []

    def overwrite(self, con, table, sql, params=None, partition=None):
        con.execute(f"CREATE OR REPLACE TEMP TABLE fresh AS {sql}", params or {})
        ((key, value),) = partition.items()
        for each in value if isinstance(value, list) else [value]:
            con.execute(f"DELETE FROM {table} WHERE {key} = $1", [each])
        con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM fresh")
        rows = con.execute("SELECT COUNT(*) FROM fresh").fetchall()[0][0]
        self.writes.append((table, value))
        return SimpleNamespace(rows=rows)

    def add_columns(self, con, table, columns):
        for name, kind in columns.items():
            con.execute(f'ALTER TABLE {table} ADD COLUMN IF NOT EXISTS "{name}" {kind}')


class Bench:
    """A connection, its tables, and short ways to fill them."""

    def __init__(self, timezone="UTC", exclude=()):
        self.con = duckdb.connect()
        self.con.execute("SET TimeZone = 'UTC'; SET threads = 2")
        for table in TABLES.values():
            columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
            self.con.execute(f"CREATE TABLE {table.name} ({columns})")
        self.lake = TableLake()
        self.workspace = Workspace(
            Path("somewhere"),
            Config(workspace=WorkspaceTable(name="test", timezone=timezone), exclude=exclude),
        )

    def emptied(self):
        for name in (
            "events",
            "exposures",
            "assignments",
            "unit_days",
            "unit_values",
            "first_exposures",
            "moments",
        ):
            self.con.execute(f"DELETE FROM {name}")
        return self

    def engine(self, *metrics):
        return Engine(self.workspace, self.lake, {metric.name: metric for metric in metrics})

    def insert(self, table, rows):
        for row in rows:
            names = ", ".join(f'"{name}"' for name in row)
            places = ", ".join(f"${place + 1}" for place in range(len(row)))
            self.con.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))

    def event(self, unit, at, **more):
        """An event of unit number `unit`; a `date` for `at` has day precision."""
        self.insert("events", [event_row(unit, at, len(self.rows("events")), **more)])

    def exposure(self, unit, at, variant, **more):
        self.insert("exposures", [exposure_row(unit, at, variant, len(self.rows("exposures")), **more)])

    def rows(self, table, columns="*"):
        return self.con.execute(f"SELECT {columns} FROM {table}").fetchall()

    def prepare(self, engine, *experiments):
        """From events and exposures to `unit_days` and `first_exposures`."""
        engine.refresh_unit_days(self.con)
        engine.refresh_unit_values(self.con)
        engine.refresh_first_exposures(self.con, list(experiments))

    def cells(self, engine, experiment, as_of):
        """Moments by (metric, variant, segment)."""
        return {
            (row.metric, row.variant, row.segment): row for row in engine.moments(self.con, experiment, as_of)
        }


def event_row(unit, at, number, **more):
    instant, is_date = _instant(at)
    return {
        "environment": "production",
        "event_id": f"e{number:06}",
        "event": "purchase",
        "unit_type": "user",
        "unit_id": f"u{unit}",
        "unit_key": unit,
        "occurred_at": instant,
        "day_precision": is_date,
        "properties": "{}",
        "batch": 1,
        "occurred_on": instant.date(),
    } | more


def exposure_row(unit, at, variant, number, **more):
    instant, is_date = _instant(at)
    return {
        "environment": "production",
        "exposure_id": f"x{number:06}",
        "experiment": "banner",
        "iteration": 1,
        "variant": variant,
        "unit_type": "user",
        "unit_id": f"u{unit}",
        "unit_key": unit,
        "exposed_at": instant,
        "day_precision": is_date,
        "attributes": "{}",
        "batch": 1,
        "occurred_on": instant.date(),
    } | more


def _instant(at):
    if isinstance(at, dt.datetime):
        return at, False
    return dt.datetime.combine(at, dt.time(), dt.UTC), True


def make_experiment(*metrics, from_exposure=(), from_units=(), guardrail=(), **more):
    fields = {
        "key": "banner",
        "control": "A",
        "start": dt.date(2026, 1, 1),
        "phases": (Phase(from_=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), weights={"A": 1, "B": 1}),),
        "metrics": MetricRoles(
            primary=tuple(metrics), guardrail=tuple(Guardrail(metric=name) for name in guardrail)
        ),
        "segments": Segments(from_exposure=tuple(from_exposure), from_units=tuple(from_units)),
    }
    return Experiment(**(fields | more))


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.con.close()


@pytest.fixture(scope="session")
def make_bench():
    return Bench


@pytest.fixture(scope="session")
def experiment_of():
    return make_experiment


@pytest.fixture(scope="session")
def rows_of():
    """How to make many rows at once."""
    return SimpleNamespace(event=event_row, exposure=exposure_row)
