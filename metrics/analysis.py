"""What an experiment's definition says to the statistics: its plan, its as-of days, its planned end."""

import datetime as dt
import math
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from assignments.model import Experiment
from assignments.phases import kept, weight_phases
from metrics.model import Metric, metrics_of
from stats.choices import Kind
from stats.plan import MetricPlan, PhasePlan, Plan
from workspace import Workspace

_DAY_S = 86_400
_UTC = ZoneInfo("UTC")

# What a metric's kind is to the statistics.
_ESTIMAND: dict[str, Kind] = {
    "conversion": "proportion",
    "revenue": "mean",
    "sum": "mean",
    "count": "mean",
    "engagement": "mean",
    "ratio": "ratio",
    "retention": "proportion",
    "composite": "mean",
    "time_to_event": "mean",
    "quantile": "quantile",
    "count_distinct": "mean",
}


def plan_of(
    experiment: Experiment,
    metrics: Mapping[str, Metric],
    *,
    zone: ZoneInfo = _UTC,
    as_of: dt.date | None = None,
) -> Plan:
    """What the statistics must know of an experiment: its arms, its metrics and their roles.

    Args:
        experiment: the experiment.
        metrics: all metrics by name.
        zone: the workspace's time zone, in which the experiment ends.
        as_of: the day that is analysed: later changes of the weights do not exist then.
    """
    phases = weight_phases(experiment, zone, as_of=as_of)
    shards = None if experiment.bucketing is None else kept(phases, experiment.bucketing.total_shards)
    changed = len(phases) > 1
    margins = {guardrail.metric: guardrail.margin for guardrail in experiment.metrics.guardrail}
    used = metrics_of(experiment, metrics)
    return Plan(
        experiment=experiment.key,
        iteration=experiment.iteration,
        control=experiment.control,
        variants=experiment.variants,
        compare=experiment.compare,
        alpha=experiment.alpha,
        horizon=experiment.horizon,
        population=experiment.population,
        weights={name: phases[-1].weights.get(name, 0.0) for name in experiment.variants},
        phases=tuple(PhasePlan(number=one.number, weights=one.weights) for one in phases) if changed else (),
        kept={name: (shards or {}).get(name, 0) for name in experiment.variants}
        if changed and shards is not None
        else None,
        planned_units=experiment.planned_units,
        metrics=tuple(
            MetricPlan(
                name=name,
                kind=_ESTIMAND[used[name].kind],
                role=role,
                direction=used[name].direction,
                margin=margins.get(name) if role == "guardrail" else None,
                equivalence=used[name].equivalence,
                covariates=len(used[name].columns) - len(used[name].outcomes),
                quantile=used[name].quantile,
                ratio_covariate=used[name].kind == "ratio" and used[name].covariate is not None,
                non_negative=used[name].non_negative,
                fingerprint=used[name].fingerprint,
            )
            for name, role in experiment.metrics.by_role
        ),
        settings=experiment.analysis,
    )


def planned_end(
    experiment: Experiment, metrics: Mapping[str, Metric], workspace: Workspace
) -> dt.date | None:
    """The first as-of day on which the fixed horizon may be read (DESIGN 4.7); None without an `end`.

    `end` counts whole, in the workspace's time zone; then the longest primary window; then `lateness`.
    """
    return _first_day(experiment, metrics, workspace, wait_s=workspace.lateness_s)


def mature_day(experiment: Experiment, metrics: Mapping[str, Metric], workspace: Workspace) -> dt.date | None:
    """The first as-of day by which the last unit's primary windows are over; None without an `end`."""
    return _first_day(experiment, metrics, workspace, wait_s=0)


def _first_day(
    experiment: Experiment, metrics: Mapping[str, Metric], workspace: Workspace, *, wait_s: int
) -> dt.date | None:
    """The first as-of day D, cut at D + 1, 00:00 UTC, that is cut `wait_s` after the last window or later."""
    used = metrics_of(experiment, metrics)
    if experiment.end is None:
        return None
    midnight = dt.datetime.combine(experiment.end + dt.timedelta(days=1), dt.time(), workspace.timezone)
    longest_s = max((used[name].window_s or 0 for name in experiment.metrics.primary), default=0)
    closes = midnight.astimezone(dt.UTC) + dt.timedelta(seconds=longest_s + wait_s)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    days = math.ceil((closes - epoch).total_seconds() / _DAY_S)
    return epoch.date() + dt.timedelta(days=days - 1)


def as_of_days(
    experiment: Experiment,
    metrics: Mapping[str, Metric],
    workspace: Workspace,
    *,
    first: dt.date,
    last: dt.date,
) -> list[dt.date]:
    """The as-of days between `first` and `last` (inclusive) on which the experiment is analysed."""
    end = planned_end(experiment, metrics, workspace)
    begin = max(first, experiment.start)
    close = last if end is None else min(last, end)
    return [begin + dt.timedelta(days=offset) for offset in range((close - begin).days + 1)]


def is_provisional(as_of: dt.date, workspace: Workspace, now: dt.datetime) -> bool:
    """Whether late rows may still change the day without a revision: `lateness` has not passed yet."""
    return as_of > last_closed_day(workspace, now)


def last_closed_day(workspace: Workspace, now: dt.datetime) -> dt.date:
    """The latest as-of day whose lateness has passed, the moment of its end included."""
    ends = now.astimezone(dt.UTC) - dt.timedelta(seconds=workspace.lateness_s)
    return ends.date() - dt.timedelta(days=1)
