"""What was asked of `tenbin analyze`, as typed and in terms of the file's columns."""

from typing import Literal

import msgspec

from stats.choices import Adjustment, Clustered, Correction, Families, Horizon, Proportions
from stats.plan import Settings

MetricKind = Literal["conversion", "mean", "revenue", "ratio", "quantile"]


class MetricOption(msgspec.Struct, frozen=True):
    """One metric option as typed: `--ratio clicks/views`."""

    kind: MetricKind
    text: str


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The options of one call, as typed."""

    moments: bool = False  # whether the file has aggregates, and no units
    variant: str | None  # None: one sample, which nobody was assigned in
    control: str | None = None
    unit: str | None = None
    cluster: str | None = None
    weights: str | None = None  # a=1,b=2
    metrics: tuple[MetricOption, ...] = ()  # in the order of the command line
    decrease: tuple[str, ...] = ()  # metrics of which less is better
    primary: tuple[str, ...] = ()  # metrics; without any, the first one that is no guardrail
    guardrails: tuple[str, ...] = ()  # metric or metric=margin
    equivalences: tuple[str, ...] = ()  # metric=lift
    covariates: tuple[str, ...] = ()  # metric=column, ratio=column/column
    adjustment: Adjustment = "auto"
    strata: str | None = None
    segments: tuple[str, ...] = ()
    planned_segments: bool = False
    all_pairs: bool = False
    alpha: float = 0.05
    one_sided: bool = False
    correction: Correction = "holm"
    families: Families = "success"
    horizon: Horizon = "fixed"
    planned_units: int | None = None
    looks: str | None = None  # units at the looks before: 10000,20000
    final: bool = False  # whether this look is the last one, even without all planned units
    spending: str | None = None  # pocock, power=2
    msprt: float | None = None
    proportions: Proportions = "auto"
    clusters: Clustered = "auto"
    methods: tuple[str, ...] = ()
    prior: str | None = None  # mean,sd
    seed: int = 0


class MetricSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A metric in terms of columns that exist."""

    name: str
    kind: MetricKind
    role: str  # primary | secondary | guardrail
    column: str
    denominator: str | None = None  # of a ratio
    quantile: float | None = None
    ratio_covariate: tuple[str, str] | None = None  # of a ratio: numerator and denominator before
    covariates: tuple[str, ...] = ()
    direction: str = "increase"  # which way is good
    margin: float | None = None  # of a guardrail
    equivalence: float | None = None

    @property
    def measure(self) -> tuple[str, ...]:
        """The columns that it measures."""
        return (self.column,) if self.denominator is None else (self.column, self.denominator)

    @property
    def before(self) -> tuple[str, ...]:
        """The columns of its covariates: a ratio's pair first."""
        return (*(self.ratio_covariate or ()), *self.covariates)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the request reads of the file at hand, where every column exists, and how it is analysed."""

    metrics: tuple[MetricSpec, ...]
    variant: str | None
    control: str | None
    unit: str | None
    cluster: str | None
    segments: tuple[str, ...]
    settings: Settings
    earlier_looks: tuple[int, ...]  # units at each

    @property
    def conversions(self) -> frozenset[str]:
        """Columns with yes or no."""
        return frozenset(spec.column for spec in self.metrics if spec.kind == "conversion")

    @property
    def numbers(self) -> tuple[str, ...]:
        """Columns with numbers, conversions among them."""
        return tuple(dict.fromkeys(name for spec in self.metrics for name in (*spec.measure, *spec.before)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column, once."""
        named = (self.variant, self.unit, self.cluster, *self.segments, *self.numbers)
        return tuple(dict.fromkeys(name for name in named if name is not None))
