"""`tenbin.toml`: what a deployment says of itself and of the files that it reads (DESIGN 4.5)."""

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec

SourceKind = Literal["events", "exposures", "assignments", "units", "moments"]
Engine = Literal["duckdb", "spark"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field that is read from a column of the foreign file; a bare string is a constant instead."""

    column: str
    format: str | None = None  # strptime format of a time; a format without a time of day means day precision
    timezone: str | None = None  # of times that carry none; the workspace's when absent


Field = str | Column


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[sources.NAME]` table: foreign files, and how their columns become records."""

    kind: SourceKind
    path: str  # a glob, relative to the workspace; sealed files that never change
    format: Literal["csv", "ndjson", "parquet"] | None = None  # told from the file name when absent
    environment: Field = "production"
    unit_type: Field = "user"
    unit_id: Column | None = None
    received_at: Column | None = None
    sent_at: Column | None = None
    # events
    event: Field | None = None
    event_id: Field = "row"  # "row", "content" or a column
    occurred_at: Column | None = None
    value: Column | None = None
    currency: Field | None = None
    properties: tuple[str, ...] = ()
    # exposures, assignments and moments
    experiment: Field | None = None
    iteration: Column | Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    variant: Column | None = None
    exposed_at: Column | None = None
    exposure_id: Field = "row"
    ruleset_version: Column | None = None
    attributes: tuple[str, ...] = ()  # also: the attribute columns of a `units` source
    # units
    valid_from: Column | None = None  # absent: the attribute is taken as constant
    # moments
    metric: Field | None = None
    as_of: Column | dt.date | None = None
    columns: dict[str, str] = {}  # of the other fields: what the file calls them
    control: str | None = None  # of experiments without a file of their own


class ExclusionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[exclude]]` table: units that no experiment analyses, whatever variant they are in."""

    name: str
    reason: str
    unit_type: str | None = None  # of the units; every type when absent
    where: dict[str, Any] | None = None  # a condition on the unit; beside `events_per_day`, on its events
    events_per_day: Annotated[int, msgspec.Meta(ge=1)] | None = None  # more than these on any one day
    event: str | None = None  # which are counted; every event when absent
    period: Literal["before_exposure", "any"] = "before_exposure"  # in which they are counted


class WorkspaceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[workspace]` table."""

    name: str
    timezone: str = "UTC"
    engine: Engine = "duckdb"
    lateness: str = "2d"
    retention: str = "7d"  # how long replaced files of the lake stay for readers that are open
    dedup_days: Annotated[int, msgspec.Meta(ge=0, le=366)] = 3
    memory_limit: str = "2GB"  # of DuckDB
    threads: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[alerts]` table: who is told of failed runs."""

    webhook: str | None = None  # an address that takes JSON by POST


class SparkTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[spark]` table, read when `engine = "spark"`."""

    master: str = "local[*]"
    conf: dict[str, str | int | float | bool] = {}  # Spark's own settings


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole `tenbin.toml`."""

    workspace: WorkspaceTable
    spark: SparkTable = SparkTable()
    sources: dict[str, Source] = {}
    exclude: tuple[ExclusionRule, ...] = ()
    alerts: Alerts = Alerts()
