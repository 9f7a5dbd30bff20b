"""What is to be analysed: an experiment's arms, its metrics with their roles, and the data cell by cell."""

from typing import Literal

import msgspec

from stats.arrays import Codes, Numbers
from stats.moments import Moments

Kind = Literal["proportion", "mean", "ratio", "quantile"]
Horizon = Literal["fixed", "anytime", "group_sequential"]


class MetricPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One metric as the statistics see it.

    The columns of its moments: the measure (for a ratio: numerator, denominator), then its covariates.
    """

    name: str
    kind: Kind
    role: str  # primary | secondary | guardrail
    direction: str = "increase"  # which way is good: increase | decrease
    margin: float | None = None  # of a guardrail: the relative worsening that is still acceptable
    covariates: int = 0
    quantile: float | None = None
    fingerprint: str | None = None

    @property
    def sign(self) -> int:
        """+1 when more is better, -1 when less is."""
        return -1 if self.direction == "decrease" else 1


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
    weights: dict[str, float]
    planned_units: int | None = None  # over all arms
    metrics: tuple[MetricPlan, ...]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(variant, baseline) of every comparison."""
        others = tuple(variant for variant in self.variants if variant != self.control)
        pairs = [(variant, self.control) for variant in others]
        if self.compare == "all_pairs":
            pairs += [(later, earlier) for i, earlier in enumerate(others) for later in others[i + 1 :]]
        return tuple(pairs)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The moments of one metric in one variant and segment."""

    metric: str
    variant: str
    phase: int = 1
    segment: str | None = None  # "dimension=value"; None: everyone
    moments: Moments
    n_immature: int = 0  # units left out because their window is not over yet
    cap: float | None = None
    clipped: int | None = None  # units whose value was capped


class QuantileCell(msgspec.Struct, frozen=True, kw_only=True):
    """The single values of a quantile metric in one variant and segment."""

    metric: str
    variant: str
    segment: str | None = None
    values: Numbers
    clusters: Codes | None = None  # per value, the number of its independent unit
