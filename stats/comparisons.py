"""Cells → comparisons: per metric, pair of variants and segment, the contrasts that can be made."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from stats import contrasts
from stats.contrasts import Arm, Contrast
from stats.errors import StatsError
from stats.moments import Moments
from stats.plan import Cell, MetricPlan, Plan, QuantileCell
from stats.quantiles import Quantile, quantile

FEW = 30  # conversions, or units without one, below which the normal approximation is doubtful
_LEAST_UNITS = 2


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One metric, one variant against one baseline, in one segment."""

    metric: MetricPlan
    variant: str
    baseline: str
    segment: str | None
    n_variant: int
    n_baseline: int
    n_immature: int = 0
    mean_variant: float | None = None  # as observed, before any adjustment
    mean_baseline: float | None = None
    cap: float | None = None
    clipped_variant: float | None = None
    clipped_baseline: float | None = None
    contrasts: tuple[Contrast, ...] = ()  # the first one is the headline
    test_only: Contrast | None = None  # a test that has no interval
    problem: str | None = None  # why there is no contrast
    notes: tuple[str, ...] = ()  # what a reader of the contrasts must know


def compare(plan: Plan, cells: Iterable[Cell | QuantileCell]) -> tuple[Comparison, ...]:
    """Every comparison of the plan: by metric as listed, everyone before segments, variants as listed.

    Raises:
        StatsError: two cells of one metric, variant and segment, or a cell of an unknown metric.
    """
    by_place: dict[tuple[str, str | None], dict[str, Cell | QuantileCell]] = {}
    for cell in cells:
        arms = by_place.setdefault((cell.metric, cell.segment), {})
        if cell.variant in arms:
            raise StatsError(
                f'metric "{cell.metric}" has two cells for variant "{cell.variant}" in segment '
                f"{cell.segment or 'everyone'}; phases with different weights are never pooled"
            )
        arms[cell.variant] = cell
    if unknown := {metric for metric, _ in by_place} - {metric.name for metric in plan.metrics}:
        raise StatsError(f"cells of metrics that the plan does not have: {', '.join(sorted(unknown))}")
    return tuple(_comparisons(plan, by_place))


def _comparisons(
    plan: Plan, by_place: Mapping[tuple[str, str | None], Mapping[str, Cell | QuantileCell]]
) -> Iterator[Comparison]:
    for metric in plan.metrics:
        segments = sorted(
            segment for name, segment in by_place if name == metric.name and segment is not None
        )
        for segment in (None, *segments):
            arms = by_place.get((metric.name, segment), {})
            for variant, baseline in plan.pairs:
                nothing = Comparison(
                    metric=metric,
                    variant=variant,
                    baseline=baseline,
                    segment=segment,
                    n_variant=0,
                    n_baseline=0,
                    problem="no_units",
                )
                if metric.kind == "quantile":
                    yield _of_quantiles(nothing, arms, alpha=plan.alpha)
                else:
                    yield _of_moments(nothing, arms)


def _of_moments(asked: Comparison, arms: Mapping[str, Cell | QuantileCell]) -> Comparison:
    metric, nothing = asked.metric, Moments(0, (), ())
    found = [arms.get(name) for name in (asked.variant, asked.baseline)]
    cells = [cell if isinstance(cell, Cell) else None for cell in found]
    v, b = (nothing if cell is None else cell.moments for cell in cells)
    immature = sum(0 if cell is None else cell.n_immature for cell in cells)
    clipped = [
        None if cell is None or cell.clipped is None or not cell.moments.n else cell.clipped / cell.moments.n
        for cell in cells
    ]
    known = msgspec.structs.replace(
        asked,
        n_variant=v.n,
        n_baseline=b.n,
        n_immature=immature,
        mean_variant=_observed(metric, v),
        mean_baseline=_observed(metric, b),
        cap=next((cell.cap for cell in cells if cell is not None and cell.cap is not None), None),
        clipped_variant=clipped[0],
        clipped_baseline=clipped[1],
        problem=_problem(metric, v, b, immature),
    )
    return known if known.problem else _with_contrasts(known, v, b)


def _observed(metric: MetricPlan, moments: Moments) -> float | None:
    """The arm's mean or ratio; None where it has none."""
    if moments.n == 0:
        return None
    if metric.kind == "ratio":
        return moments.mean[0] / moments.mean[1] if moments.mean[1] else None
    return moments.mean[0]


def _problem(metric: MetricPlan, variant: Moments, baseline: Moments, n_immature: int) -> str | None:
    """Why nothing can be compared."""
    arms = (variant, baseline)
    if any(arm.n == 0 for arm in arms):
        return "immature" if n_immature else "no_units"
    if any(arm.n < _LEAST_UNITS for arm in arms):
        return "too_few_units"
    if not all(math.isfinite(x) for arm in arms for x in (*arm.mean, *(c for row in arm.cov for c in row))):
        return "not_finite"
    if metric.kind == "ratio" and any(arm.mean[1] == 0 for arm in arms):
        return "zero_denominator"
    if metric.kind == "proportion" and not all(0 <= arm.mean[0] <= 1 for arm in arms):
        return "not_a_proportion"
    return None


_ESTIMATORS: Mapping[str, Callable[[Moments, Moments], Contrast]] = {
    "proportion": contrasts.difference_of_proportions,
    "mean": contrasts.difference_of_means,
    "ratio": contrasts.difference_of_ratios,
}


def _with_contrasts(known: Comparison, variant: Moments, baseline: Moments) -> Comparison:
    metric = known.metric
    plain = _ESTIMATORS[metric.kind](variant, baseline)
    if not plain.variance_against(1.0) > 0:
        return msgspec.structs.replace(known, problem="zero_variance")
    found, notes = [plain], []
    if metric.covariates:
        arms = (variant, baseline)
        first = 2 if metric.kind == "ratio" else 1
        varies = any(arm.cov[i][i] > 0 for arm in arms for i in range(first, len(arm.cov)))
        better = contrasts.adjusted(
            *(contrasts.linearised(arm) if metric.kind == "ratio" else arm for arm in arms)
        )
        if varies and better.variance_against(1.0) > 0:
            found.insert(0, better)
        else:
            notes.append("covariate_constant")
    pooled = None
    if metric.kind == "proportion":
        pooled = contrasts.pooled_proportions(variant, baseline)
        if min(arm.n * share for arm in (variant, baseline) for share in _both(arm.mean[0])) < FEW:
            notes.append("few_conversions")
    return msgspec.structs.replace(known, contrasts=tuple(found), test_only=pooled, notes=tuple(notes))


def _both(share: float) -> tuple[float, float]:
    return share, 1 - share


def _of_quantiles(asked: Comparison, arms: Mapping[str, Cell | QuantileCell], *, alpha: float) -> Comparison:
    v, b = (_quantile(asked.metric, arms.get(name), alpha) for name in (asked.variant, asked.baseline))
    known = msgspec.structs.replace(
        asked,
        n_variant=v.n,
        n_baseline=b.n,
        mean_variant=v.value,
        mean_baseline=b.value,
        problem=v.reason or b.reason,
    )
    if v.value is None or b.value is None or v.variance is None or b.variance is None:
        return known
    contrast = contrasts.of_quantiles(
        Arm(v.value, v.variance * v.n, v.n), Arm(b.value, b.variance * b.n, b.n)
    )
    return msgspec.structs.replace(known, contrasts=(contrast,))


def _quantile(metric: MetricPlan, cell: Cell | QuantileCell | None, alpha: float) -> Quantile:
    if metric.quantile is None:
        raise StatsError(f'metric "{metric.name}" is a quantile, but its plan does not say which')
    if not isinstance(cell, QuantileCell):
        return Quantile(0, None, None, "no_units")
    return quantile(cell.values, metric.quantile, alpha=alpha, clusters=cell.clusters)
