"""The file as a finished experiment: what the statistics are told of it besides its units."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stats.choices import Kind
from stats.plan import MetricPlan, Plan
from tenbin.analyze.request import MetricSpec, Request, Wanted
from tenbin.analyze.units import Sample

METHOD_VERSION = 2  # raised when the same file and options give other numbers

# What the numbers of every metric depend on. Segments are not among it: they add rows, and change none.
_SHARED = (
    "variant", "control", "unit", "cluster", "alpha", "horizon", "all_pairs", "planned_units", "looks",
    "final",
)  # fmt: skip
KINDS: dict[str, Kind] = {
    "conversion": "proportion",
    "mean": "mean",
    "revenue": "mean",
    "ratio": "ratio",
    "quantile": "quantile",
}


def plan_of(
    path: Path, request: Request, wanted: Wanted, sample: Sample, weights: Mapping[str, float]
) -> Plan:
    """The experiment that the file is the record of."""
    return Plan(
        experiment=path.name,
        iteration=1,
        control=sample.variants[0],
        variants=sample.variants,
        compare="all_pairs" if request.all_pairs else "control",
        alpha=request.alpha,
        horizon=request.horizon,
        weights=dict(weights),
        planned_units=request.planned_units,
        metrics=tuple(
            _metric(spec, sample, _fingerprint(request, wanted, spec, weights)) for spec in wanted.metrics
        ),
        settings=wanted.settings,
    )


def _metric(spec: MetricSpec, sample: Sample, fingerprint: str) -> MetricPlan:
    columns = sample.units.columns.get(spec.name, ())
    measure = columns[: len(spec.measure)]
    return MetricPlan(
        name=spec.name,
        kind=KINDS[spec.kind],
        role=spec.role,
        direction=spec.direction,
        margin=spec.margin,
        equivalence=spec.equivalence,
        covariates=len(columns) - len(measure),
        ratio_covariate=spec.name in sample.units.paired,
        non_negative=all((column >= 0).all() for column in measure),
        clustered=sample.units.cluster is not None and spec.kind in {"conversion", "mean", "revenue"},
        quantile=spec.quantile,
        fingerprint=fingerprint,
    )


def _fingerprint(request: Request, wanted: Wanted, spec: MetricSpec, weights: Mapping[str, float]) -> str:
    """What the numbers of a metric depend on besides the file."""
    role = spec.role if spec.role == "guardrail" else "success"
    depends = {
        "method": METHOD_VERSION,
        "metric": msgspec.structs.replace(spec, role=role),
        "weights": weights,
        "settings": wanted.settings,
        **{name: getattr(request, name) for name in _SHARED},
    }
    text = msgspec.json.encode(depends, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]
