"""What a workspace knows of a metric, for `tenbin power`, and which experiments measured it."""

from collections.abc import Mapping, Sequence

from assignments import load_experiments
from assignments.model import Experiment
from lake import open_lake
from metrics import load_metrics
from metrics.analysis import plan_of
from metrics.model import Metric
from metrics.past import past_of
from tenbin.power import History, PowerError
from workspace import UserError, Workspace, suggest

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
    asked = measuring(workspace, experiments, metrics, [name], experiment, error=PowerError)
    metric = metrics[name]
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


def measuring(
    workspace: Workspace,
    experiments: Mapping[str, Experiment],
    metrics: Mapping[str, Metric],
    names: Sequence[str],
    key: str | None,
    *,
    error: type[UserError],
) -> dict[str, Experiment]:
    """The experiments that measure all of these metrics, or of them the one that was named.

    Raises:
        UserError: of the given type: there is no such metric or experiment, or it does not measure them.
    """
    for name in names:
        if name not in metrics:
            raise error(f'{workspace.metrics}: there is no metric "{name}"; {suggest(name, list(metrics))}')
    if key is not None and key not in experiments:
        raise error(
            f'{workspace.experiments}: there is no experiment "{key}"; {suggest(key, list(experiments))}'
        )
    found = {each.key: each for each in experiments.values() if set(names) <= set(each.metrics.names)}
    listed = " and ".join(f'"{name}"' for name in names)
    if not found:
        raise error(f"{workspace.experiments}: no experiment measures {listed}; name it in one, and run that")
    if key is None:
        return found
    if key not in found:
        raise error(
            f'{workspace.experiments}: experiment "{key}" does not measure {listed}; '
            f"those that do: {', '.join(found)}"
        )
    return {key: found[key]}
