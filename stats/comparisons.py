"""Cells → comparisons: per metric, pair of variants and segment, the estimators that can be made."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple, TypeAlias

import msgspec

from stats import clusters, contrasts, exact, regression
from stats.contrasts import Arm, Contrast
from stats.errors import StatsError
from stats.moments import Moments
from stats.plan import AnyCell, Cell, DailyCell, MetricPlan, Plan, QuantileCell, UnitCell
from stats.proportions import Counts
from stats.quantiles import Quantile, quantile
from stats.regression import Sample
from stats.strata import Stratum, post_stratified

_LEAST_UNITS = 2
_ROUNDING = 1e-6  # of a covariance, relative to what it can be at most
_WHOLE = 1e-6  # how far a number of conversions may be from a whole one
_NOTHING = Moments(0, (), ())


class Counted(NamedTuple):
    """Two proportions that are compared by their counts; the contrast has the estimates."""

    method: str  # miettinen_nurminen | barnard | boschloo
    contrast: Contrast
    counts: Counts


Estimator: TypeAlias = Contrast | Counted


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
    estimators: tuple[Estimator, ...] = ()  # the first one is the headline
    problem: str | None = None  # why there is none
    notes: tuple[str, ...] = ()  # what a reader of them must know
    moments: tuple[Moments, Moments] = (_NOTHING, _NOTHING)  # variant, baseline
    units: tuple[UnitCell, UnitCell] | None = None  # likewise, where units are at hand
    strata: tuple[Stratum, ...] = ()

    @property
    def arms(self) -> tuple[Moments, Moments]:
        """Moments of the measure as one column, then the covariates: a ratio is linearised."""
        return self.moments if self.metric.width == 1 else _linear(self.metric, *self.moments)

    @property
    def counts(self) -> Counts | None:
        """Conversions and units, for a proportion of units."""
        v, b = self.moments
        if self.metric.kind != "proportion" or self.metric.clustered or self.problem:
            return None
        converted = [arm.mean[0] * arm.n for arm in (v, b)]
        whole = all(abs(count - round(count)) < _WHOLE * max(1.0, count) for count in converted)
        return Counts(round(converted[0]), v.n, round(converted[1]), b.n) if whole else None


class _Place(NamedTuple):
    """What there is of one metric and segment, by variant."""

    cells: dict[str, Cell]
    units: dict[str, UnitCell]
    quantiles: dict[str, QuantileCell]


def compare(plan: Plan, cells: Iterable[AnyCell]) -> tuple[Comparison, ...]:
    """Every comparison of the plan: by metric as listed, everyone before segments, variants as listed.

    Raises:
        StatsError: two cells of one metric, variant and segment, or a cell of an unknown metric.
    """
    places: dict[tuple[str, str | None], _Place] = {}
    for cell in cells:
        if not isinstance(cell, DailyCell):
            _put(places.setdefault((cell.metric, cell.segment), _Place({}, {}, {})), cell)
    if unknown := {metric for metric, _ in places} - {metric.name for metric in plan.metrics}:
        raise StatsError(f"cells of metrics that the plan does not have: {', '.join(sorted(unknown))}")
    return tuple(_comparisons(plan, places))


def _put(place: _Place, cell: Cell | UnitCell | QuantileCell) -> None:
    if cell.variant in _kind(place, cell):
        raise StatsError(
            f'metric "{cell.metric}" has two cells for variant "{cell.variant}" in segment '
            f"{cell.segment or 'everyone'}; phases with different weights are never pooled"
        )
    match cell:
        case Cell():
            place.cells[cell.variant] = cell
        case UnitCell():
            place.units[cell.variant] = cell
        case QuantileCell():
            place.quantiles[cell.variant] = cell


def _kind(place: _Place, cell: Cell | UnitCell | QuantileCell) -> Mapping[str, AnyCell]:
    if isinstance(cell, Cell):
        return place.cells
    return place.units if isinstance(cell, UnitCell) else place.quantiles


def _comparisons(plan: Plan, places: Mapping[tuple[str, str | None], _Place]) -> Iterator[Comparison]:
    for metric in plan.metrics:
        segments = sorted(segment for name, segment in places if name == metric.name and segment is not None)
        for segment in (None, *segments):
            place = places.get((metric.name, segment), _Place({}, {}, {}))
            for variant, baseline in plan.pairs:
                asked = Comparison(
                    metric=metric,
                    variant=variant,
                    baseline=baseline,
                    segment=segment,
                    n_variant=0,
                    n_baseline=0,
                    problem="no_units",
                )
                if metric.kind == "quantile":
                    yield _of_quantiles(asked, place.quantiles, alpha=plan.alpha)
                else:
                    known = _known(asked, place)
                    if segment is None and plan.settings.strata is not None:
                        known = _with_strata(known, plan.settings.strata, places)
                    yield known if known.problem else _with_estimators(plan, known)


def _known(asked: Comparison, place: _Place) -> Comparison:
    """The comparison with what was observed, or with why nothing can be compared."""
    metric = asked.metric
    cells = [place.cells.get(name) for name in (asked.variant, asked.baseline)]
    v, b = (_NOTHING if cell is None else cell.moments for cell in cells)
    units = [place.units.get(name) for name in (asked.variant, asked.baseline)]
    immature = sum(0 if cell is None else cell.n_immature for cell in cells)
    clipped = [
        None if cell is None or cell.clipped is None or not cell.moments.n else cell.clipped / cell.moments.n
        for cell in cells
    ]
    return msgspec.structs.replace(
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
        moments=(v, b),
        units=(units[0], units[1]) if units[0] is not None and units[1] is not None else None,
    )


def _observed(metric: MetricPlan, moments: Moments) -> float | None:
    """The arm's mean or ratio; None where it has none."""
    if moments.n == 0 or len(moments.mean) < metric.width:
        return None
    if metric.width > 1:
        found = moments.mean[0] / moments.mean[1] if moments.mean[1] else math.nan
    else:
        found = moments.mean[0]
    return found if math.isfinite(found) else None


def _problem(metric: MetricPlan, variant: Moments, baseline: Moments, n_immature: int) -> str | None:
    """Why nothing can be compared: the first reason that one of the arms gives."""
    arms, columns = (variant, baseline), metric.width + metric.covariates
    is_share = metric.kind == "proportion" and not metric.clustered
    reasons: tuple[tuple[str, Callable[[Moments], bool]], ...] = (
        ("immature" if n_immature else "no_units", lambda arm: arm.n == 0),
        ("too_few_units", lambda arm: arm.n < _LEAST_UNITS),
        ("columns_differ", lambda arm: {len(arm.mean), len(arm.cov), *map(len, arm.cov)} != {columns}),
        ("not_finite", lambda arm: not all(map(math.isfinite, (*arm.mean, *chain(*arm.cov))))),
        ("impossible_moments", lambda arm: not _possible(arm)),
        ("zero_denominator", lambda arm: metric.width > 1 and arm.mean[1] == 0),
        ("not_a_proportion", lambda arm: is_share and not 0 <= arm.mean[0] <= 1),
    )
    return next((reason for reason, gives in reasons if any(map(gives, arms))), None)


def _possible(arm: Moments) -> bool:
    """Whether the matrix can be one of covariances: symmetric, and within Cauchy and Schwarz's bounds."""
    cov, width = arm.cov, range(len(arm.cov))
    sizes = [math.sqrt(cov[i][i]) if cov[i][i] >= 0 else math.nan for i in width]
    return all(
        abs(cov[i][j] - cov[j][i]) <= _ROUNDING * sizes[i] * sizes[j]
        and abs(cov[i][j]) <= (1 + _ROUNDING) * sizes[i] * sizes[j]
        for i in width
        for j in width
    )


def _with_strata(
    known: Comparison, dimension: str, places: Mapping[tuple[str, str | None], _Place]
) -> Comparison:
    """The strata of both arms, where together they hold every unit."""
    nobody = _empty(len(known.moments[0].mean))

    def arm(place: _Place, variant: str) -> Moments:
        return place.cells[variant].moments if variant in place.cells else nobody

    found = [
        (arm(place, known.variant), arm(place, known.baseline))
        for (name, segment), place in sorted(places.items(), key=lambda item: item[0][1] or "")
        if name == known.metric.name and segment is not None and segment.startswith(f"{dimension}=")
    ]
    strata = tuple((v, b) for v, b in found if v.n + b.n)
    complete = all(
        sum(stratum[place].n for stratum in strata) == arm.n for place, arm in enumerate(known.moments)
    )
    if strata and complete:
        return msgspec.structs.replace(known, strata=strata)
    return msgspec.structs.replace(known, notes=(*known.notes, "strata_incomplete"))


def _empty(width: int) -> Moments:
    return Moments(0, (0.0,) * width, ((0.0,) * width,) * width)


_PLAIN: Mapping[str, Callable[[Moments, Moments], Contrast]] = {
    "proportion": contrasts.difference_of_proportions,
    "mean": contrasts.difference_of_means,
    "ratio": contrasts.difference_of_ratios,
}


def _with_estimators(plan: Plan, known: Comparison) -> Comparison:
    """The headline first: counts where they are small, else the adjusted difference, else the plain one."""
    plain = plain_contrast(plan, known)
    counted = _counted(plan, known, plain)
    if counted is None and not plain.variance_against(1.0) > 0:
        return msgspec.structs.replace(known, problem="zero_variance")
    found: list[Estimator] = [plain] if plain.variance_against(1.0) > 0 else []
    adjusted, notes = _adjusted(plan, known)
    if counted is None and any(arm.cov[0][0] == 0 for arm in known.moments):
        notes = ("constant_arm", *notes)
    if adjusted is not None:
        found.insert(0, adjusted)
    if counted is not None:
        found.insert(0, counted)
    return msgspec.structs.replace(known, estimators=tuple(found), notes=(*known.notes, *notes))


def plain_contrast(plan: Plan, known: Comparison) -> Contrast:
    """The difference without adjustment."""
    metric, arms = known.metric, known.moments
    if not metric.clustered:
        return _PLAIN[metric.kind](*arms)
    if known.units is not None and plan.settings.clusters in {"auto", "cr2"}:
        return by_clusters("cluster_cr2", known)
    return by_clusters("cluster_cr1" if plan.settings.clusters == "cr1" else "cluster_delta", known)


def by_clusters(method: str, known: Comparison) -> Contrast:
    """Means over units that were randomised in clusters, by the named variance."""
    if method == "cluster_cr2" and known.units is not None:
        v, b = (clusters.Clusters(cell.columns[0], cell.columns[1]) for cell in known.units)
        return clusters.cr2_means(v, b)
    of_moments = clusters.cr1_means if method == "cluster_cr1" else clusters.delta_means
    return of_moments(*known.moments)


def _counted(plan: Plan, known: Comparison, plain: Contrast) -> Counted | None:
    """The method for counts, where they are too small for the normal law or the plan asks for it."""
    wanted, counts = plan.settings.proportions, known.counts
    if counts is None:
        return None
    method = exact.choose(counts).method if wanted == "auto" else wanted
    return None if method == "z_unpooled" else Counted(method, plain, counts)


def _adjusted(plan: Plan, known: Comparison) -> tuple[Contrast | None, tuple[str, ...]]:
    """The adjusted difference that the plan asks for, where it can be made, and what is to be said of it."""
    wanted = plan.settings.adjustment
    if wanted == "auto":
        wanted = "cuped" if known.metric.covariates else "post_stratified"
    if wanted == "none" or (wanted != "post_stratified" and not known.metric.covariates):
        return None, ()
    if wanted == "post_stratified" and not known.strata:
        return None, ()
    found, notes = adjusted_contrast(wanted, known)
    return found, notes


def adjusted_contrast(method: str, known: Comparison) -> tuple[Contrast | None, tuple[str, ...]]:
    """One adjusted difference by its method; None with the reason in the notes where there is none."""
    if method == "post_stratified":
        measures = [(_measure(known.metric, v), _measure(known.metric, b)) for v, b in known.strata]
        kind = known.metric.kind if known.metric.kind == "proportion" else "mean"
        found = post_stratified(measures, kind="ratio" if known.metric.width > 1 else kind)
        if "not_stratified" in found.notes:
            return None, found.notes
        if not found.contrast.variance_against(1.0) > 0:
            return None, (*found.notes, "not_stratified")
        return found.contrast, found.notes
    first = known.metric.width + (1 if known.metric.ratio_covariate else 0)
    if not any(arm.cov[i][i] > 0 for arm in known.moments for i in range(known.metric.width, len(arm.cov))):
        return None, ("covariate_constant",)
    if method in {"lin_hc2", "lin_hc3"}:
        if known.units is None or first > 1:
            return None, ("units_not_at_hand",)
        samples = [Sample.of(*cell.columns) for cell in known.units]
        better = regression.lin_robust(*samples, errors="hc2" if method == "lin_hc2" else "hc3")
    else:
        better = _FROM_MOMENTS[method](*known.arms)
    return (better, ()) if better.variance_against(1.0) > 0 else (None, ("covariate_constant",))


_FROM_MOMENTS: Mapping[str, Callable[[Moments, Moments], Contrast]] = {
    "cuped": contrasts.adjusted,
    "lin": regression.lin,
    "ancova": regression.ancova,
}


def _measure(metric: MetricPlan, arm: Moments) -> Moments:
    """Without the covariates."""
    width = metric.width
    return Moments(arm.n, arm.mean[:width], tuple(row[:width] for row in arm.cov[:width]))


def _linear(metric: MetricPlan, variant: Moments, baseline: Moments) -> tuple[Moments, Moments]:
    pairs = 2 if metric.ratio_covariate else 1
    return contrasts.linearised(variant, pairs=pairs), contrasts.linearised(baseline, pairs=pairs)


def _of_quantiles(asked: Comparison, arms: Mapping[str, QuantileCell], *, alpha: float) -> Comparison:
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
    return msgspec.structs.replace(known, estimators=(contrast,))


def _quantile(metric: MetricPlan, cell: QuantileCell | None, alpha: float) -> Quantile:
    if metric.quantile is None:
        raise StatsError(f'metric "{metric.name}" is a quantile, but its plan does not say which')
    if cell is None:
        return Quantile(0, None, None, "no_units")
    return quantile(cell.values, metric.quantile, alpha=alpha, clusters=cell.clusters)
