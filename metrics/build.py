"""Metrics that are built from other metrics: a ratio of two, a weighted sum of many.

A metric is handed on with those that it names inside it, so that whoever reads it needs no other definition,
and a changed one changes the fingerprints of all that are built from it.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from metrics.model import Metric, MetricsError
from workspace import suggest

# Kinds with one number per unit, which can be added up and is there for every unit.
ADDABLE = (
    "conversion", "retention", "revenue", "sum", "count", "count_distinct", "engagement", "composite",
)  # fmt: skip


def build_metrics(
    metrics: Mapping[str, Metric], origin: Mapping[str, Path]
) -> tuple[dict[str, Metric], list[tuple[Path, MetricsError]]]:
    """The metrics, each with those that it names in its `named`, and what is wrong with the others.

    It is wrong to name a metric that does not exist or can't be built on, or in the end oneself.

    Args:
        metrics: by name, as the files have them.
        origin: the file of each.
    """
    built: dict[str, Metric] = {}
    errors: dict[str, tuple[Path, MetricsError]] = {}
    for name in metrics:
        try:
            _build(name, metrics, origin, built, ())
        except MetricsError as error:
            errors.setdefault(str(error), (origin[name], error))
    return {name: built[name] for name in metrics if name in built}, list(errors.values())


def _build(
    name: str,
    metrics: Mapping[str, Metric],
    origin: Mapping[str, Path],
    built: dict[str, Metric],
    above: tuple[str, ...],
) -> Metric:
    """One metric, after those that it names; `above` are the metrics that it is being built for."""
    if name in built:
        return built[name]
    metric, where = metrics[name], f"{origin[name]}: [{name}]"
    if name in above:
        circle = " → ".join((*above[above.index(name) :], name))
        raise MetricsError(f"{where}: is built from itself: {circle}; build it from metrics that are not")
    named: dict[str, Metric] = {}
    for other in _names(metric):
        if other not in metrics:
            raise MetricsError(
                f'{where}: names metric "{other}", which is defined in no file of metrics/; '
                f"{suggest(other, list(metrics))}"
            )
        named[other] = _build(other, metrics, origin, built, (*above, name))
        _check_addable(named[other], where)
    built[name] = msgspec.structs.replace(metric, named=named) if named else metric
    if named:
        _check_together(built[name], where)
    return built[name]


def _names(metric: Metric) -> tuple[str, ...]:
    parts = (part.metric for part in (metric.numerator, metric.denominator) if part is not None)
    return (*(name for name in parts if name is not None), *(one.metric for one in metric.combine))


def _check_addable(metric: Metric, where: str) -> None:
    if metric.kind not in ADDABLE:
        raise MetricsError(
            f'{where}: names metric "{metric.name}" of kind "{metric.kind}", which is not one number of '
            f"every unit; a metric can be built from kinds {', '.join(ADDABLE)}"
        )
    if metric.winsorize is not None:
        raise MetricsError(
            f'{where}: names metric "{metric.name}", whose values are capped by "winsorize"; a cap is for '
            "the finished number: name a metric without one, and cap the composite"
        )


def _check_together(metric: Metric, where: str) -> None:
    """Numbers of one unit are of times that end, or of times that do not; money is of one currency."""
    terms = [term for outcome in metric.outcomes for term in outcome]
    if len({term.window_s is None for term in terms}) > 1:
        open_ones = sorted(name for name, one in metric.named.items() if one.window_s is None)
        raise MetricsError(
            f"{where}: {', '.join(open_ones)} has no window, and others that it is built from have one; give "
            "all of them a window, or none"
        )
    for outcome in metric.outcomes:
        currencies = sorted({term.part.currency for term in outcome if term.part.currency is not None})
        if len(currencies) > 1:
            raise MetricsError(
                f"{where}: adds up money in {' and '.join(currencies)}; currencies are never added, so "
                "combine metrics of one currency"
            )
