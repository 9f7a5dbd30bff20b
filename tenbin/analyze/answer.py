"""From units to the answer: moments per variant and segment, handed to the statistics (DESIGN 4.6, 4.7)."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from stats.analysis import Analysis, Cell, MetricPlan, Plan, QuantileCell, analyse
from stats.moments import Moments
from stats.plan import Kind
from stats.results import Verdict
from tenbin.analyze.cells import Codes, Numbers
from tenbin.analyze.request import MetricSpec, Request
from tenbin.analyze.units import QuantileRows, Sample, Tally, Units

METHOD_VERSION = 1  # raised when the same file and options give other numbers

# Above this share of units left out, those who stay may differ: `metrics.checks.LEFT_OUT_FAIL`, which is not
# imported because it brings the SQL compiler along.
LEFT_OUT_FAIL = 0.01

_PLAN = ("variant", "control", "unit", "cluster", "alpha", "horizon")
_KINDS: dict[str, Kind] = {
    "conversion": "proportion",
    "mean": "mean",
    "revenue": "mean",
    "ratio": "ratio",
    "quantile": "quantile",
}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What `tenbin analyze` found."""

    path: Path
    request: Request
    metrics: tuple[MetricSpec, ...]
    variants: tuple[str, ...]  # control first
    weights: dict[str, float]
    counts: dict[str, int]  # compared units by variant
    tally: Tally
    left_out_failed: bool  # so many units were left out that the comparison can't be trusted
    analysis: Analysis

    @property
    def found_wrong(self) -> bool:
        """Whether the data can't be trusted."""
        return self.analysis.decision.verdict is Verdict.INVESTIGATE

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know, a sentence each."""
        return (*self.tally.warnings, *self.analysis.warnings)


def answer(
    path: Path,
    request: Request,
    metrics: Sequence[MetricSpec],
    sample: Sample,
    weights: Mapping[str, float],
) -> Answer:
    """Analyse the units as one finished experiment."""
    failed_checks = tuple(_failed_checks(sample.tally))
    analysis = analyse(
        _plan(path, request, metrics, sample, weights),
        itertools.chain(_moment_cells(metrics, sample), _quantile_cells(metrics, sample)),
        counts=_named(_randomised(sample.units), sample),
        as_of=None,
        ended=True,
        failed_checks=failed_checks,
    )
    return Answer(
        path=path,
        request=request,
        metrics=tuple(metrics),
        variants=sample.variants,
        weights=dict(weights),
        counts=_named(sample.units.variant, sample),
        tally=sample.tally,
        left_out_failed=bool(failed_checks),
        analysis=analysis,
    )


def _plan(
    path: Path,
    request: Request,
    metrics: Sequence[MetricSpec],
    sample: Sample,
    weights: Mapping[str, float],
) -> Plan:
    clustered = sample.units.cluster is not None
    return Plan(
        experiment=path.name,
        iteration=1,
        control=sample.variants[0],
        variants=sample.variants,
        alpha=request.alpha,
        horizon=request.horizon,
        weights=dict(weights),
        metrics=tuple(
            MetricPlan(
                name=spec.name,
                kind=_kind(spec, clustered=clustered),
                role=spec.role,
                direction=spec.direction,
                covariates=0 if spec.covariate is None else 1,
                quantile=spec.quantile,
                fingerprint=_fingerprint(request, spec, weights),
            )
            for spec in metrics
        ),
    )


def _kind(spec: MetricSpec, *, clustered: bool) -> Kind:
    """What the metric is to the statistics.

    With randomised groups a mean over units is a ratio over groups: sum of the group over units in it
    (Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", section 3).
    """
    if clustered and spec.kind in {"conversion", "mean", "revenue"}:
        return "ratio"
    return _KINDS[spec.kind]


def _fingerprint(request: Request, spec: MetricSpec, weights: Mapping[str, float]) -> str:
    """What the numbers of a metric depend on besides the file."""
    depends = {
        "method": METHOD_VERSION,
        "metric": msgspec.structs.replace(spec, role=""),
        "weights": weights,
        **{name: getattr(request, name) for name in _PLAN},
    }
    text = msgspec.json.encode(depends, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def _failed_checks(tally: Tally) -> Iterator[str]:
    seen = tally.units + tally.mixed_variant
    share = tally.mixed_variant / seen
    if share > LEFT_OUT_FAIL:
        yield f"{tally.mixed_variant:,} of {seen:,} units ({share:.2%}) were seen in more than one variant"


def _randomised(units: Units) -> Codes:
    """The variant of everything that was randomised: units, or groups of them."""
    if units.cluster is None:
        return units.variant
    _, first = np.unique(units.cluster, return_index=True)
    return units.variant[first]


def _named(variant: Codes, sample: Sample) -> dict[str, int]:
    counts = np.bincount(variant, minlength=len(sample.variants))
    return {name: int(count) for name, count in zip(sample.variants, counts, strict=True)}


def _moment_cells(metrics: Sequence[MetricSpec], sample: Sample) -> Iterator[Cell]:
    """The moments of every metric, over everyone and by segment, per variant."""
    for spec in metrics:
        if spec.kind != "quantile":
            columns = sample.units.columns[spec.name]
            for segment, variant, chosen in _groups(sample, np.arange(len(sample.units.variant))):
                moments = _moments(spec, columns, chosen, sample.units.cluster)
                yield Cell(metric=spec.name, variant=variant, segment=segment, moments=moments)


def _quantile_cells(metrics: Sequence[MetricSpec], sample: Sample) -> Iterator[QuantileCell]:
    """The values of every quantile metric, over everyone and by segment, per variant."""
    for spec in metrics:
        if spec.kind == "quantile":
            rows = sample.quantiles[spec.name]
            independent = _independent(rows, sample.units)
            for segment, variant, chosen in _groups(sample, rows.unit):
                yield QuantileCell(
                    metric=spec.name,
                    variant=variant,
                    segment=segment,
                    values=rows.value[chosen],
                    clusters=None if independent is None else independent[chosen],
                )


def _independent(rows: QuantileRows, units: Units) -> Codes | None:
    """Per value: its group, else its unit; None when every value is a unit of its own."""
    if units.cluster is not None:
        return units.cluster[rows.unit]
    several = len(rows.unit) and np.bincount(rows.unit).max() > 1
    return rows.unit if several else None


def _groups(sample: Sample, unit: Codes) -> Iterator[tuple[str | None, str, Codes]]:
    """(segment, variant, positions in `unit`) for everyone, then for each value of each segment.

    Args:
        sample: what is compared.
        unit: per element, the unit that it belongs to.
    """
    arms = len(sample.variants)
    for place, chosen in _split(sample.units.variant[unit], arms):
        yield None, sample.variants[place], chosen
    for name, levels in sample.levels.items():
        keys = sample.units.segments[name] * arms + sample.units.variant
        for place, chosen in _split(keys[unit], len(levels) * arms):
            level, variant = divmod(place, arms)
            yield f"{name}={levels[level]}", sample.variants[variant], chosen


def _split(keys: Codes, count: int) -> Iterator[tuple[int, Codes]]:
    """The elements of each key, in their order."""
    order = np.argsort(keys, kind="stable")
    ends = np.searchsorted(keys[order], np.arange(count + 1))
    for place, (start, end) in enumerate(itertools.pairwise(ends)):
        yield place, order[start:end]


def _moments(spec: MetricSpec, columns: Sequence[Numbers], chosen: Codes, cluster: Codes | None) -> Moments:
    picked = [column[chosen] for column in columns]
    if cluster is None:
        return Moments.from_columns(*picked)
    if spec.kind != "ratio":
        picked.insert(1, np.ones(len(chosen)))  # units in the group
    _, group = np.unique(cluster[chosen], return_inverse=True)
    return Moments.from_columns(*(np.bincount(group, weights=column) for column in picked))
