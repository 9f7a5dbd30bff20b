"""What a workspace knows of a metric, for `tenbin power`."""

from collections.abc import Mapping

from assignments import load_experiments
from assignments.model import Experiment
from lake import open_lake
from metrics import load_metrics
from metrics.analysis import plan_of
from metrics.past import past_of
from tenbin.power import History, PowerError
from workspace import Workspace, suggest

_DAY_S = 86_400


def read_history(workspace: Workspace, name: str | None, experiment: str | None = None) -> History:
    """The metric as it was in one experiment; without one, in that with the latest day, then most units.

    Raises:
        UserError: there is no such metric or experiment, none measures it, or none has been run.
    """
    metrics, experiments = load_metrics(workspace), load_experiments(workspace)
    if name is None:
        known = suggest("", list(metrics))
        raise PowerError(f"{workspace.metrics}: name a metric after the workspace; {known}")
    if name not in metrics:
        raise PowerError(f'{workspace.metrics}: there is no metric "{name}"; {suggest(name, list(metrics))}')
    metric, asked = metrics[name], _asked(workspace, experiments, name, experiment)
    with open_lake(workspace).connect() as con:
        found = [past for each in asked.values() if (past := past_of(con, each, metric)) is not None]
    if not found:
        raise PowerError(
            f'{workspace.root}: the lake has no moments of metric "{name}" as it is defined now; '
            f"`tenbin run {workspace.root}` computes them"
        )
    past = max(found, key=lambda each: (each.as_of, each.moments.n))
    plans = plan_of(asked[past.experiment], metrics).metrics
    return History(
        metric=name,
        kind=next(plan.kind for plan in plans if plan.name == name and plan.kind != "quantile"),
        moments=past.moments,
        daily_units=past.daily_units,
        window_days=(metric.window_s or 0) / _DAY_S,
        decrease=metric.direction == "decrease",
        source=f'the control "{past.control}" of experiment "{past.experiment}" as of {past.as_of}: '
        f"{past.moments.n:,} units",
    )


def _asked(
    workspace: Workspace, experiments: Mapping[str, Experiment], name: str, key: str | None
) -> dict[str, Experiment]:
    """The experiments that may answer: all that measure the metric, or the one that was named."""
    if key is not None and key not in experiments:
        raise PowerError(
            f'{workspace.experiments}: there is no experiment "{key}"; {suggest(key, list(experiments))}'
        )
    measuring = {each.key: each for each in experiments.values() if name in each.metrics.names}
    if not measuring:
        raise PowerError(
            f'{workspace.experiments}: no experiment measures "{name}"; name it in one and run that, or '
            "describe the metric with --rate, or --mean and --sd"
        )
    if key is None:
        return measuring
    if key not in measuring:
        raise PowerError(
            f'{workspace.experiments}: experiment "{key}" does not measure "{name}"; '
            f"those that do: {', '.join(measuring)}"
        )
    return {key: measuring[key]}
