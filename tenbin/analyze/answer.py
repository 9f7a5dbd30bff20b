"""From units to the answer: moments per variant and segment, handed to the statistics (DESIGN 4.6, 4.7)."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from stats.analysis import Analysis, Cell, MetricPlan, Plan, analyse
from stats.moments import Moments

from stats.results import Result
from tenbin.analyze.cells import Codes, Numbers
from tenbin.analyze.request import MetricSpec, Request
from tenbin.analyze.units import Sample, Tally, Units

_ESTIMAND = {
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
    analysis: Analysis

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
    units, variants = sample.units, sample.variants
    clustered = units.cluster is not None
    plan = Plan(
        experiment=path.name,
        iteration=1,
        control=variants[0],
        variants=variants,
        compare="control",
        alpha=request.alpha,
        horizon=request.horizon,
        population="exposed",
        weights=dict(weights),
        planned_units=None,
        metrics=tuple(
            MetricPlan(
                name=spec.name,
                kind=_estimand(spec, clustered=clustered),
                role=spec.role,
                covariates=0 if spec.covariate is None else 1,
                fingerprint=None,
            )
            for spec in metrics
        ),
    )
    counts = np.bincount(units.variant, minlength=len(variants))
    randomised = counts
    if units.cluster is not None:
        _, first = np.unique(units.cluster, return_index=True)
        randomised = np.bincount(units.variant[first], minlength=len(variants))
    analysis = analyse(
        plan,
        tuple(_cells(metrics, sample)),
        counts={name: int(count) for name, count in zip(variants, randomised, strict=True)},
        as_of=None,
        ended=True,
    )
    return Answer(
        path=path,
        request=request,
        metrics=tuple(metrics),
        variants=variants,
        weights=dict(weights),
        counts={name: int(count) for name, count in zip(variants, counts, strict=True)},
        tally=sample.tally,
        analysis=analysis,
    )


def _estimand(spec: MetricSpec, *, clustered: bool) -> Any:  # noqa: ANN401 - one of the plan's literals
    """What the metric is to the statistics.

    With randomised groups a mean over units is a ratio over groups: sum of the group over units in it
    (Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics", section 3).
    """
    if clustered and spec.kind in {"conversion", "mean", "revenue"}:
        return "ratio"
    return _ESTIMAND[spec.kind]


def _cells(metrics: Sequence[MetricSpec], sample: Sample) -> Iterator[Cell]:
    """The moments of every metric, over everyone and by segment, per variant."""
    units, variants, levels = sample.units, sample.variants, sample.levels
    for spec in metrics:
        if spec.kind == "quantile":
            continue
        columns = units.columns[spec.name]
        for segment, key in _groupings(levels, units, len(variants)):
            for place, chosen in _split(key, len(variants) * (len(levels[segment]) if segment else 1)):
                level, variant = divmod(place, len(variants))
                yield Cell(
                    metric=spec.name,
                    variant=variants[variant],
                    segment=None if segment is None else f"{segment}={levels[segment][level]}",
                    moments=_moments(spec, columns, chosen, units.cluster),
                )


def _groupings(
    levels: Mapping[str, tuple[str, ...]], units: Units, arms: int
) -> Iterator[tuple[str | None, Codes]]:
    """Everyone, then each segment: a number per unit that tells level and variant."""
    yield None, units.variant
    for name in levels:
        yield name, units.segments[name] * arms + units.variant


def _split(key: Codes, count: int) -> Iterator[tuple[int, Codes]]:
    """The units of each value of `key`, in their order."""
    order = np.argsort(key, kind="stable")
    ends = np.searchsorted(key[order], np.arange(count + 1))
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


def headline(found: Answer) -> list[Result]:
    """The rows that the verdict reads, over everyone, absolute scale."""
    return [
        row
        for row in found.analysis.results
        if row.headline and row.segment is None and row.scale == "absolute"
    ]
