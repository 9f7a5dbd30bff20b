"""Definitions compiled to SQL: from one canonical form, as a tree, to the text that an engine runs."""

import datetime as dt
import functools

import msgspec
from sqlglot import exp

from assignments.model import Experiment, MetricRoles, Phase, Segments
from metrics.model import Metric
from metrics.sql import moments, quantiles, units
from metrics.sql.plan import UTC, plan_units
from metrics.sql.tree import Dialect, render

_MARK = "\ue000"  # a private character


def metric_sql(
    metric: Metric, experiment: Experiment | None = None, dialect: Dialect = "duckdb", zone: str = UTC
) -> str:
    """One readable statement from the lake's tables to a metric's sums (or a histogram), as of `$as_of`.

    The engine runs the same parts, for all metrics of an experiment at once.

    Args:
        metric: the metric.
        experiment: whose units; when absent, its key and the like stay places to be bound.
        dialect: of the text.
        zone: the workspace's time zone.
    """
    mark = _mark_of(metric)
    subject = experiment or _any(mark)
    alone = msgspec.structs.replace(subject, metrics=MetricRoles(primary=(metric.name,)), segments=Segments())
    plan = plan_units(alone, {metric.name: metric}, zone)
    statement = quantiles.histogram(plan) if plan.quantiles else moments.grouped_sums(plan)
    if plan.quantiles:
        values = quantiles.quantile_values(plan)
        statement = units.with_first(statement, quantiles.QUANTILE_VALUES, values)
    statement = units.in_one_statement(plan, statement)
    return render(statement.transform(functools.partial(_unbind, mark=None if experiment else mark)), dialect)


def _mark_of(metric: Metric) -> str:
    """A text that the metric's definition does not have."""
    definition = msgspec.json.encode(metric).decode()
    mark = _MARK
    while mark in definition:
        mark += _MARK
    return mark


def _any(mark: str) -> Experiment:
    """Stands for an experiment that is not given; its texts, marked, come out as places to be bound."""
    return Experiment(
        key=f"{mark}experiment",
        environment=f"{mark}environment",
        unit_type=f"{mark}unit_type",
        control=f"{mark}control",
        start=dt.date(2000, 1, 1),
        phases=(
            Phase(
                from_=dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
                weights={f"{mark}control": 1, f"{mark}treatment": 1},
            ),
        ),
        metrics=MetricRoles(primary=()),
    )


def _unbind(node: exp.Expr, mark: str | None) -> exp.Expr:
    if mark is not None and isinstance(node, exp.Literal) and node.is_string and mark in node.name:
        fixed, _, name = node.name.partition(mark)
        place = exp.Placeholder(this=name)
        return exp.DPipe(this=exp.Literal.string(fixed), expression=place) if fixed else place
    return node
