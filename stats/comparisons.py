"""Cells → comparisons: per metric, pair of variants and segment, the estimators that can be made."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from stats import clusters, contrasts, exact, phases, regression
from stats.contrasts import Arm, Contrast, reduction
from stats.errors import StatsError
from stats.moments import Moments
from stats.phases import Arms
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
    moments: Arms = (_NOTHING, _NOTHING)  # variant, baseline; of all phases together
    phases: tuple[Arms, ...] = ()  # where the weights changed: both arms of each phase, two or more phases
    units: tuple[UnitCell, UnitCell] | None = None  # likewise, where units are at hand
    strata: tuple[tuple[Stratum, ...], ...] = ()  # of each phase, or of the only one

    @property
    def arms(self) -> tuple[Arms, ...]:
        """Of each phase, moments of the measure as one column, then the covariates: a ratio is linearised."""
        metric, pairs = self.metric, 2 if self.metric.ratio_covariate else 1
        if not self.phases:
            (v, b) = self.moments
            one = (contrasts.linearised(v, pairs=pairs), contrasts.linearised(b, pairs=pairs))
            return (self.moments if metric.width == 1 else one,)
        if metric.width == 1:
            return self.phases
        scale_v, scale_b = phases.scales(self.phases, pairs=pairs)
        return tuple((scale_v.apply(v), scale_b.apply(b)) for v, b in self.phases)

    @property
    def counts(self) -> Counts | None:
        """Conversions and units, for a proportion of units; phases have no counts in common."""
        return None if self.phases else self._counts_of(*self.moments)

    @property
    def too_few(self) -> bool:
        """Whether conversions, of all phases together, are too few for the normal law of a sequence."""
        if not self.phases:
            return bool(self.estimators) and isinstance(self.estimators[0], Counted)
        counts = self._counts_of(*self.moments)
        return counts is not None and exact.choose(counts).method != "z_unpooled"

    def _counts_of(self, v: Moments, b: Moments) -> Counts | None:
        if self.metric.kind != "proportion" or self.metric.clustered or self.problem:
            return None
        converted = [arm.mean[0] * arm.n for arm in (v, b)]
        whole = all(abs(count - round(count)) < _WHOLE * max(1.0, count) for count in converted)
        return Counts(round(converted[0]), v.n, round(converted[1]), b.n) if whole else None


class _Place(NamedTuple):
    """What there is of one metric and segment, by variant and phase."""

    cells: dict[tuple[str, int], Cell]
    units: dict[str, UnitCell]
    quantiles: dict[tuple[str, int], QuantileCell]


def compare(plan: Plan, cells: Iterable[AnyCell]) -> tuple[Comparison, ...]:
    """Every comparison of the plan: by metric as listed, everyone before segments, variants as listed.

    Raises:
        StatsError: two cells of one metric, variant, phase and segment, or a cell of an unknown metric.
    """
    places: dict[tuple[str, str | None], _Place] = {}
    for cell in cells:
        if not isinstance(cell, DailyCell):
            _put(places.setdefault((cell.metric, cell.segment), _Place({}, {}, {})), cell)
    if unknown := {metric for metric, _ in places} - {metric.name for metric in plan.metrics}:
        raise StatsError(f"cells of metrics that the plan does not have: {', '.join(sorted(unknown))}")
    return tuple(_comparisons(plan, places))


def _put(place: _Place, cell: Cell | UnitCell | QuantileCell) -> None:
    match cell:
        case Cell():
            is_new = place.cells.setdefault((cell.variant, cell.phase), cell) is cell
        case UnitCell():
            is_new = place.units.setdefault(cell.variant, cell) is cell
        case QuantileCell():
            is_new = place.quantiles.setdefault((cell.variant, cell.phase), cell) is cell
    if not is_new:
        raise StatsError(
            f'metric "{cell.metric}" has two cells for variant "{cell.variant}" in segment '
            f"{cell.segment or 'everyone'}; state each phase once, under its own number"
        )


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
                    yield _of_quantiles(asked, place, plan)
                else:
                    known = _known(plan, asked, place)
                    if segment is None and plan.settings.strata is not None:
                        known = _with_strata(known, plan.settings.strata, places)
                    yield known if known.problem else _with_estimators(plan, known)


def _known(plan: Plan, asked: Comparison, place: _Place) -> Comparison:
    """The comparison with what was observed, or with why nothing can be compared."""
    metric = asked.metric
    cells = [
        [cell for (variant, _), cell in sorted(place.cells.items()) if variant == name]
        for name in (asked.variant, asked.baseline)
    ]
    together, compared, notes = _by_phase(metric, *cells)
    immature = sum(cell.n_immature for arm in cells for cell in arm)
    clipped = [_clipped(arm) for arm in cells]
    units = [place.units.get(name) for name in (asked.variant, asked.baseline)]
    caps = (cell.cap for arm in cells for cell in arm if cell.cap is not None)
    known = msgspec.structs.replace(
        asked,
        n_variant=together[0].n,
        n_baseline=together[1].n,
        n_immature=immature,
        mean_variant=_observed(metric, together[0]),
        mean_baseline=_observed(metric, together[1]),
        cap=next(caps, None),
        clipped_variant=clipped[0],
        clipped_baseline=clipped[1],
        problem=_lost(plan, asked) or _problem(metric, (together, *compared), immature),
        moments=together,
        phases=compared,
        units=(units[0], units[1])
        if units[0] is not None and units[1] is not None and not compared
        else None,
        notes=notes,
    )
    return known if known.problem or not compared else _with_means(plan, known)


def _lost(plan: Plan, asked: Comparison) -> str | None:
    """Why an arm has no units, where the weights' change left none of its shards in place."""
    arms = (asked.variant, asked.baseline)
    return "no_kept_shard" if plan.kept is not None and not all(map(plan.kept.get, arms)) else None


def _by_phase(
    metric: MetricPlan, variant: Sequence[Cell], baseline: Sequence[Cell]
) -> tuple[Arms, tuple[Arms, ...], tuple[str, ...]]:
    """Both arms together, phase by phase where there are several, and what is to be said of it.

    A phase with fewer than two units in an arm can't be compared and is never pooled with another: it waits,
    and by counts only, so that no outcome decides.
    """
    empty = _empty(metric.width + metric.covariates)
    found = {cell.phase: [empty, empty] for cell in (*variant, *baseline) if cell.moments.n}
    for side, arm in enumerate((variant, baseline)):
        for cell in arm:
            if cell.moments.n:
                found[cell.phase][side] = cell.moments
    arms = [(v, b) for _, (v, b) in sorted(found.items())]
    if any(len({len(one.mean) for one in side}) > 1 for side in zip(*arms, strict=True)):
        arms = arms[:1]  # columns that differ can't be put together, and are the problem then
    enough = [(v, b) for v, b in arms if min(v.n, b.n) >= _LEAST_UNITS]
    notes = ("phase_left_out",) if enough and len(enough) < len(arms) else ()
    used = enough or arms
    if not used:
        return (empty, empty), (), notes
    return _together(used), tuple(enough) if len(enough) > 1 else (), notes


def _together(arms: Sequence[Arms]) -> Arms:
    variant, baseline = arms[0]
    for v, b in arms[1:]:
        variant, baseline = variant.merge(v), baseline.merge(b)
    return variant, baseline


def _clipped(cells: Sequence[Cell]) -> float | None:
    """The share of an arm's units whose value was capped."""
    units = sum(cell.moments.n for cell in cells if cell.clipped is not None)
    return sum(cell.clipped or 0 for cell in cells) / units if units else None


def _with_means(plan: Plan, known: Comparison) -> Comparison:
    """With the arms' means as they are compared: pooled ones would mix phases in different shares."""
    plain = plain_contrast(plan, known)
    means = [float(each) if math.isfinite(each) else None for each in (plain.variant, plain.baseline)]
    return msgspec.structs.replace(known, mean_variant=means[0], mean_baseline=means[1])


def _observed(metric: MetricPlan, moments: Moments) -> float | None:
    """The arm's mean or ratio; None where it has none."""
    if moments.n == 0 or len(moments.mean) < metric.width:
        return None
    if metric.width > 1:
        found = moments.mean[0] / moments.mean[1] if moments.mean[1] else math.nan
    else:
        found = moments.mean[0]
    return found if math.isfinite(found) else None


def _problem(metric: MetricPlan, phased: Sequence[Arms], n_immature: int) -> str | None:
    """Why nothing can be compared: the first reason of an arm, over all phases together or in one of them."""
    columns = metric.width + metric.covariates
    is_share = metric.kind == "proportion" and not metric.clustered
    reasons: tuple[tuple[str, Callable[[Moments], bool]], ...] = (
        ("immature" if n_immature else "no_units", lambda arm: arm.n == 0),
        ("too_few_units", lambda arm: arm.n < _LEAST_UNITS),
        ("columns_differ", lambda arm: {len(arm.mean), len(arm.cov), *map(len, arm.cov)} != {columns}),
        ("not_finite", lambda arm: not all(map(math.isfinite, (*arm.mean, *chain(*arm.cov))))),
        ("impossible_moments", lambda arm: not _possible(arm)),
        ("not_a_proportion", lambda arm: is_share and not 0 <= arm.mean[0] <= 1),
    )
    arms = list(chain(*phased))
    found = next((reason for reason, gives in reasons if any(map(gives, arms))), None)
    # A phase without a denominator says nothing yet; it is the whole that is divided by.
    divides = metric.width > 1 and found is None
    return "zero_denominator" if divides and any(arm.mean[1] == 0 for arm in phased[0]) else found


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
    """The strata of both arms, phase by phase, where together they hold every unit."""
    cells = [
        place.cells
        for (name, segment), place in sorted(places.items(), key=lambda item: item[0][1] or "")
        if name == known.metric.name and segment is not None and segment.startswith(f"{dimension}=")
    ]
    numbers = sorted({phase for place in cells for _, phase in place})
    found = [_strata_of(known, cells, phase) for phase in numbers]
    wanted = known.phases or (known.moments,)
    strata = tuple(one for one in found if any(_sizes(one) == _sizes([arms]) for arms in wanted))
    if strata and len(strata) == len(wanted):
        return msgspec.structs.replace(known, strata=strata)
    return msgspec.structs.replace(known, notes=(*known.notes, "strata_incomplete"))


def _strata_of(
    known: Comparison, cells: Sequence[Mapping[tuple[str, int], Cell]], phase: int
) -> tuple[Stratum, ...]:
    """The strata of one phase that have units."""
    nobody = _empty(len(known.moments[0].mean))

    def arm(place: Mapping[tuple[str, int], Cell], variant: str) -> Moments:
        return place[variant, phase].moments if (variant, phase) in place else nobody

    found = [(arm(place, known.variant), arm(place, known.baseline)) for place in cells]
    return tuple((v, b) for v, b in found if v.n + b.n)


def _sizes(strata: Sequence[Stratum]) -> tuple[int, int]:
    return sum(v.n for v, _ in strata), sum(b.n for _, b in strata)


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
    if known.phases:
        of_shares = metric.kind == "proportion" and not metric.clustered
        way = contrasts.difference_of_proportions if of_shares else contrasts.difference_of_means
        found = phases.compared_within(_measures(known), way)
        name = "cluster_delta" if metric.clustered else "delta" if metric.kind == "ratio" else found.method
        return msgspec.structs.replace(found, method=name)
    if not metric.clustered:
        return _PLAIN[metric.kind](*arms)
    if known.units is not None and plan.settings.clusters in {"auto", "cr2"}:
        return by_clusters("cluster_cr2", known)
    return by_clusters("cluster_cr1" if plan.settings.clusters == "cr1" else "cluster_delta", known)


def _measures(known: Comparison) -> list[Arms]:
    """Of each phase, the measure as one column, without covariates."""
    return [(_first(v), _first(b)) for v, b in known.arms]


def _first(arm: Moments) -> Moments:
    return Moments(arm.n, arm.mean[:1], (arm.cov[0][:1],))


def by_clusters(method: str, known: Comparison) -> Contrast:
    """Means over units that were randomised in clusters, by the named variance."""
    if known.phases:
        found = phases.compared_within(_measures(known), contrasts.difference_of_means)
        return msgspec.structs.replace(found, method="cluster_delta")
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
        return _stratified(known)
    first = known.metric.width + (1 if known.metric.ratio_covariate else 0)
    if not any(arm.cov[i][i] > 0 for arm in known.moments for i in range(known.metric.width, len(arm.cov))):
        return None, ("covariate_constant",)
    if method in {"lin_hc2", "lin_hc3"}:
        if known.units is None or first > 1:
            return None, ("units_not_at_hand",)
        samples = [Sample.of(*cell.columns) for cell in known.units]
        better = regression.lin_robust(*samples, errors="hc2" if method == "lin_hc2" else "hc3")
    else:
        better = _by_moments(_FROM_MOMENTS[method], known)
    return (better, ()) if better.variance_against(1.0) > 0 else (None, ("covariate_constant",))


_FROM_MOMENTS: Mapping[str, Callable[[Moments, Moments], Contrast]] = {
    "cuped": contrasts.adjusted,
    "lin": regression.lin,
    "ancova": regression.ancova,
}


def _by_moments(way: Callable[[Moments, Moments], Contrast], known: Comparison) -> Contrast:
    """An adjusted difference from moments: in each phase by itself, where there are several."""
    arms = known.arms
    if len(arms) == 1:
        return way(*arms[0])
    plain = phases.compared_within(_measures(known), contrasts.difference_of_means)
    return _reduced(phases.compared_within(arms, way), plain)


def _reduced(adjusted: Contrast, plain: Contrast) -> Contrast:
    gone = reduction(adjusted.variance_against(1.0), plain.variance_against(1.0))
    return msgspec.structs.replace(adjusted, variance_reduction=gone)


def _stratified(known: Comparison) -> tuple[Contrast | None, tuple[str, ...]]:
    """The difference within strata, and within phases where there are several."""
    metric = known.metric
    kind: Literal["proportion", "mean", "ratio"] = "proportion" if metric.kind == "proportion" else "mean"
    if not known.phases:
        measures = [(_measure(metric, v), _measure(metric, b)) for v, b in known.strata[0]]
        found = post_stratified(measures, kind="ratio" if metric.width > 1 else kind)
        contrast, notes = found.contrast, found.notes
        if "not_stratified" in notes:
            return None, notes
    else:
        scaled = [_scaled(known, strata) for strata in known.strata]
        each = [post_stratified(strata, kind=kind) for strata in scaled]
        notes = tuple(dict.fromkeys(note for one in each for note in one.notes if note != "not_stratified"))
        if all("not_stratified" in one.notes for one in each):
            return None, (*notes, "not_stratified")
        units = phases.units_of(known.phases)
        plain = phases.compared_within(_measures(known), _PLAIN[kind])
        contrast = _reduced(phases.combined([one.contrast for one in each], units), plain)
        contrast = msgspec.structs.replace(contrast, method="post_stratified")
    if not contrast.variance_against(1.0) > 0:
        return None, (*notes, "not_stratified")
    return contrast, notes


def _scaled(known: Comparison, strata: Sequence[Stratum]) -> list[Stratum]:
    """Strata of one phase on the scale of all phases, without covariates."""
    if known.metric.width == 1:
        return [(_first(v), _first(b)) for v, b in strata]
    scale_v, scale_b = phases.scales(known.phases, pairs=1)
    return [(_first(scale_v.apply(v)), _first(scale_b.apply(b))) for v, b in strata]


def _measure(metric: MetricPlan, arm: Moments) -> Moments:
    """Without the covariates."""
    width = metric.width
    return Moments(arm.n, arm.mean[:width], tuple(row[:width] for row in arm.cov[:width]))


def _of_quantiles(asked: Comparison, place: _Place, plan: Plan) -> Comparison:
    """Quantiles of each phase by themselves, put together where there are several."""
    numbers = sorted({phase for _, phase in (*place.cells, *place.quantiles)}) or [1]
    found = [_of_quantile(asked, place, phase, plan.alpha) for phase in numbers]
    usable = [one for one in found if one.estimators]
    if len(found) == 1 or not usable:
        first = usable[0] if usable else found[0]
        lost = _lost(plan, asked)
        return msgspec.structs.replace(first, problem=lost) if lost else first
    units = [one.n_variant + one.n_baseline for one in usable]
    contrast = phases.combined(
        [one.estimators[0] for one in usable if isinstance(one.estimators[0], Contrast)], units
    )
    return msgspec.structs.replace(
        asked,
        n_variant=sum(one.n_variant for one in usable),
        n_baseline=sum(one.n_baseline for one in usable),
        mean_variant=float(contrast.variant),
        mean_baseline=float(contrast.baseline),
        problem=None,
        estimators=(contrast,),
        n_immature=sum(one.n_immature for one in found),
        notes=(
            *(("phase_left_out",) if len(usable) < len(found) else ()),
            *dict.fromkeys(note for one in usable for note in one.notes),
        ),
    )


def _of_quantile(asked: Comparison, place: _Place, phase: int, alpha: float) -> Comparison:
    arms = [(name, phase) for name in (asked.variant, asked.baseline)]
    v, b = (_quantile(asked.metric, place, arm, alpha) for arm in arms)
    cells = [place.cells[arm] for arm in arms if arm in place.cells]
    known = msgspec.structs.replace(
        asked,
        n_variant=v.n,
        n_baseline=b.n,
        n_immature=sum(cell.n_immature for cell in cells),
        notes=("units_without_value",) if any(cell.n_without for cell in cells) else (),
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


def _quantile(metric: MetricPlan, place: _Place, arm: tuple[str, int], alpha: float) -> Quantile:
    """From the arm's values, or as its moments say it."""
    if metric.quantile is None:
        raise StatsError(f'metric "{metric.name}" is a quantile, but its plan does not say which')
    if arm in place.cells:
        return _as_said(place.cells[arm])
    cell = place.quantiles.get(arm)
    if cell is None:
        return Quantile(0, None, None, "no_units")
    return quantile(cell.values, metric.quantile, alpha=alpha, clusters=cell.clusters)


def _as_said(cell: Cell) -> Quantile:
    n, mean, cov = cell.moments.n, cell.moments.mean, cell.moments.cov
    if n == 0:
        return Quantile(0, None, None, "immature" if cell.n_immature else "no_units")
    return Quantile(n, mean[0], None if cell.reason else cov[0][0] / n, cell.reason)
