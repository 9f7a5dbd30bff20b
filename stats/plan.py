"""What is to be analysed: an experiment's arms, its metrics with their roles, and the data cell by cell."""

from collections import Counter
from typing import Literal

import msgspec
import numpy as np

from stats.arrays import Codes, Numbers
from stats.bayes import DEFAULT, Prior
from stats.choices import (
    Adjustment,
    Alternative,
    Clustered,
    Correction,
    Families,
    Horizon,
    Kind,
    Method,
    Proportions,
)
from stats.errors import StatsError
from stats.moments import Moments
from stats.multiplicity import SUCCESS
from stats.spending import OBrienFleming, Spending

# Methods that read single units; the others are content with moments.
NEEDS_UNITS: frozenset[str] = frozenset(
    {
        "lin_hc2", "lin_hc3", "cluster_cr2", "mann_whitney", "brunner_munzel", "permutation", "bootstrap",
    }
)  # fmt: skip


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an experiment is analysed, where its owner wants it otherwise than by default.

    The `[analysis]` table of an experiment, and options of `tenbin analyze`. All of it is to be settled
    before the data are seen.
    """

    alternative: Alternative = "two-sided"  # of success metrics; "better": one-sided at alpha
    proportions: Proportions = "auto"  # auto: by what the counts are large enough for (`exact.choose`)
    adjustment: Adjustment = (
        "auto"  # auto: CUPED where there are covariates, else strata where they are named
    )
    strata: str | None = None  # a segment dimension whose strata are compared within
    clusters: Clustered = "auto"  # auto: CR2 where the clusters themselves are at hand, else the delta method
    correction: Correction = "holm"
    families: Families = "success"  # success: primary and secondary together; role: each role for itself
    methods: tuple[Method, ...] = ()  # shown beside the headline, wherever they apply
    prior: Prior = DEFAULT  # of the relative lift
    msprt: float | None = (
        None  # standard deviation of the lift in a mixture that replaces the anytime boundary
    )
    spending: Spending = OBrienFleming()  # of a group-sequential horizon
    planned_segments: bool = True  # whether the segments were named before the data were seen
    seed: int = 0  # of resampling


class MetricPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One metric as the statistics see it.

    The columns of its moments: the measure (for a ratio: numerator, denominator), then its covariates.
    """

    name: str
    kind: Kind
    role: str  # primary | secondary | guardrail | quality
    direction: str = "increase"  # which way is good: increase | decrease
    margin: float | None = None  # of a guardrail: the relative worsening that is still acceptable
    equivalence: float | None = None  # the relative change, up or down, that makes no practical difference
    covariates: int = 0
    ratio_covariate: bool = False  # whether the first two covariates are numerator and denominator before
    non_negative: bool = True  # whether no unit's measure can be below 0, as of counts and amounts
    clustered: bool = False  # whether units are clusters: the columns are cluster total and cluster size
    quantile: float | None = None
    fingerprint: str | None = None

    @property
    def sign(self) -> int:
        """+1 when more is better, -1 when less is."""
        return -1 if self.direction == "decrease" else 1

    @property
    def width(self) -> int:
        """How many columns the measure itself has."""
        return 2 if self.kind == "ratio" or self.clustered else 1


class PhasePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of one phase."""

    number: int
    weights: dict[str, float]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment as the statistics see it."""

    experiment: str
    iteration: int
    control: str
    variants: tuple[str, ...]
    compare: str = "control"  # | all_pairs
    alpha: float = 0.05
    horizon: Horizon = "fixed"
    population: str = "exposed"
    weights: dict[str, float]  # in force as of the day that is analysed
    phases: tuple[PhasePlan, ...] = ()  # two or more, where the weights changed by then
    kept: dict[str, int] | None = None  # shards that no change moved, by variant; None: not known
    planned_units: int | None = None  # over all arms
    metrics: tuple[MetricPlan, ...]
    settings: Settings = Settings()

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(variant, baseline) of every comparison."""
        others = tuple(variant for variant in self.variants if variant != self.control)
        pairs = [(variant, self.control) for variant in others]
        if self.compare == "all_pairs":
            pairs += [(later, earlier) for i, earlier in enumerate(others) for later in others[i + 1 :]]
        return tuple(pairs)

    def weights_of(self, phase: int) -> dict[str, float]:
        """The weights that were in force in a phase."""
        return next((one.weights for one in self.phases if one.number == phase), self.weights)

    @property
    def margin_alpha(self) -> float:
        """One-sided level of tests against a margin: what one side of the experiment's own test has."""
        return self.alpha if self.settings.alternative == "better" else self.alpha / 2

    def sides(self, metric: MetricPlan) -> Literal[1, 2]:
        """1 where only an improvement is tested for: success metrics under the alternative "better"."""
        return 1 if self.settings.alternative == "better" and metric.role in SUCCESS else 2


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The moments of one metric in one variant and segment.

    Those of a quantile, which has no mean of units, are its estimate and n times the variance of that.
    """

    metric: str
    variant: str
    phase: int = 1
    segment: str | None = None  # "dimension=value"; None: everyone
    moments: Moments
    n_immature: int = 0  # units left out because their window is not over yet
    cap: float | None = None
    clipped: int | None = None  # units whose value was capped
    n_without: int | None = None  # units that a quantile leaves out, as they have no value
    reason: str | None = None  # why a quantile has no variance


class UnitCell(msgspec.Struct, frozen=True, kw_only=True):
    """The units behind a cell, where they are at hand: what ranks, resampling and robust errors read."""

    metric: str
    variant: str
    segment: str | None = None
    columns: tuple[Numbers, ...]  # those of the moments; a number per independent unit


class DailyCell(msgspec.Struct, frozen=True, kw_only=True):
    """A metric by day since exposure, over units that were exposed at least that long ago."""

    metric: str
    variant: str
    moments: Moments  # a column per day, the day of exposure first


class QuantileCell(msgspec.Struct, frozen=True, kw_only=True):
    """The single values of a quantile metric in one variant and segment."""

    metric: str
    variant: str
    phase: int = 1
    segment: str | None = None
    values: Numbers
    clusters: Codes | None = None  # per value, the number of its independent unit

    @property
    def n(self) -> int:
        """Independent units."""
        return len(self.values) if self.clusters is None else len(np.unique(self.clusters))


AnyCell = Cell | UnitCell | DailyCell | QuantileCell


def check_plan(plan: Plan) -> None:
    """Refuse a plan that contradicts itself.

    Raises:
        StatsError: the sentence says what does.
    """
    check_settings(plan.settings, plan.horizon)
    if not 0 < plan.alpha < 0.5:  # noqa: PLR2004 - beyond, one-sided intervals are empty
        raise StatsError(f"alpha must lie between 0 and 0.5, both excluded, not {plan.alpha}")
    _check_arms(plan)
    if plan.horizon == "group_sequential" and not plan.planned_units:
        raise StatsError('horizon "group_sequential" needs planned_units, the most that will be looked at')
    if twice := [name for name, times in Counter(one.name for one in plan.metrics).items() if times > 1]:
        raise StatsError(f"metrics are listed more than once: {', '.join(twice)}")
    for metric in plan.metrics:
        for name in ("margin", "equivalence"):
            value = getattr(metric, name)
            if value is not None and not 0 <= value < 1:
                raise StatsError(
                    f'metric "{metric.name}": {name} must be at least 0 and below 1, not {value}'
                )


def _check_arms(plan: Plan) -> None:
    if plan.control not in plan.variants or len(set(plan.variants)) < len(plan.variants):
        raise StatsError(
            f'control "{plan.control}" must be among variants that differ: {", ".join(plan.variants)}'
        )
    if missing := [variant for variant in plan.variants if variant not in plan.weights]:
        raise StatsError(f"weights say nothing of {', '.join(missing)}; give every variant one")


def check_settings(settings: Settings, horizon: Horizon) -> None:
    """Refuse settings that contradict themselves or the horizon.

    Raises:
        StatsError: the sentence says what does.
    """
    if settings.msprt is not None and not 0 < settings.msprt < float("inf"):
        raise StatsError(f"msprt is a standard deviation of the lift, above 0, not {settings.msprt}")
    if horizon != "fixed" and settings.proportions not in {"auto", "z_unpooled"}:
        raise StatsError(
            f'proportions "{settings.proportions}" have no sequential form; use "auto", or horizon "fixed"'
        )
    if settings.adjustment == "post_stratified" and settings.strata is None:
        raise StatsError('adjustment "post_stratified" needs strata, the dimension to compare within')
    if settings.seed < 0:
        raise StatsError(f"seed must be a whole number from 0 on, not {settings.seed}")
