"""The readout: everything that the page of one experiment shows, as data. Pages are a pure function of it."""

import datetime as dt

import msgspec

from stats.results import SCHEMA_VERSION, Decision, Finding, Result, Srm


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Units or rows that are not in the results, and why."""

    reason: str
    count: int
    of: str  # "units" or "rows"


class DailyExposure(msgspec.Struct, frozen=True, kw_only=True):
    """Units first exposed to a variant on one day (UTC)."""

    day: dt.date
    variant: str
    units: int


class InputFile(msgspec.Struct, frozen=True, kw_only=True):
    """A landing file behind the numbers; `path` is as the workspace sees it."""

    source: str
    path: str
    sha256: str
    rows: int
    quarantined: int


class MetricDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as it was used here."""

    name: str
    kind: str
    role: str  # primary | secondary | guardrail | quality
    direction: str  # increase | decrease
    unit: str | None = None  # of the value: a currency, "events", …
    window: str | None = None
    margin: float | None = None
    goal: float | None = None
    owner: str | None = None
    description: str | None = None
    definition: str  # TOML text
    sql: str


class LookedAt(msgspec.Struct, frozen=True, kw_only=True):
    """What a look showed of one comparison."""

    metric: str
    variant: str
    baseline: str
    z: float | None
    boundary: float  # from which z is significant, before any correction for several comparisons
    crossed: bool


class LookTaken(msgspec.Struct, frozen=True, kw_only=True):
    """One look of a group-sequential experiment, as it was taken."""

    number: int
    as_of: dt.date
    n: int  # units whose windows were over
    information: float  # share of the units that were planned then; 1: the final look
    alpha_spent: float  # by this look and those before it
    comparisons: tuple[LookedAt, ...]


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """The looks of a group-sequential experiment: by which law, those taken, and when the next one is."""

    cadence: str
    spending: str
    taken: tuple[LookTaken, ...]
    next_day: dt.date | None = None  # the as-of day; None: there is none any more


class Readout(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment as of one day."""

    workspace: str
    experiment: str
    iteration: int
    title: str | None = None
    hypothesis: str | None = None
    owner: str | None = None
    control: str
    variants: tuple[str, ...]  # control first
    weights: dict[str, float]
    unit_type: str
    population: str
    environment: str
    horizon: str
    alpha: float
    start: dt.date | None  # None: a finished file without dates (`tenbin analyze`)
    end: dt.date | None
    planned_end: dt.date | None  # end + the longest primary window + lateness
    planned_units: int | None = None
    as_of: dt.date | None  # None: as with `start`
    provisional: bool
    decision: Decision
    srm: Srm
    checks: tuple[Finding, ...]  # of the data and, beside them, what else was found about the results
    units: dict[str, int]  # analysed units by variant
    exclusions: tuple[Exclusion, ...]
    exposures: tuple[DailyExposure, ...]
    results: tuple[Result, ...]  # of `as_of`: every metric, method, scale and segment
    series: tuple[Result, ...]  # headline rows without segment, of every as-of day
    metrics: tuple[MetricDefinition, ...]
    looks: Looks | None = None  # of a group-sequential experiment
    definition: str  # TOML text of the experiment
    inputs: tuple[InputFile, ...]
    fingerprint: str
    warnings: tuple[str, ...] = ()  # what a reader must know besides the checks, a sentence each
    schema_version: int = SCHEMA_VERSION
