"""The bodies of `tenbin metrics`: definitions checked, listed, and shown as SQL."""

import msgspec

from assignments import load_experiments
from lake import open_lake
from metrics import load_metrics
from metrics.audit import Problem, audit
from metrics.model import MetricsError
from metrics.sql import metric_sql
from metrics.sql.tree import Dialect
from workspace import Workspace, suggest


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as a row of a list."""

    metric: str
    kind: str
    window: str | None
    direction: str
    owner: str | None
    description: str | None
    experiments: tuple[str, ...]  # that use it


def check_definitions(workspace: Workspace) -> tuple[Problem, ...]:
    """Everything that is wrong with a workspace's definitions, beside the data that was ingested."""
    with open_lake(workspace).connect() as con:
        return audit(con, workspace)


def list_metrics(workspace: Workspace) -> tuple[Listed, ...]:
    """Every metric by name, with the experiments that use it.

    Raises:
        UserError: a definition is wrong.
    """
    experiments = load_experiments(workspace).values()
    return tuple(
        Listed(
            metric=name,
            kind=metric.kind,
            window=metric.longest_window,
            direction=metric.direction,
            owner=metric.owner,
            description=metric.description,
            experiments=tuple(each.key for each in experiments if name in each.metrics.names),
        )
        for name, metric in sorted(load_metrics(workspace).items())
    )


def sql_of(workspace: Workspace, name: str, key: str | None, dialect: Dialect) -> str:
    """One readable statement from the lake's tables to the metric's sums, as of `$as_of`.

    Raises:
        UserError: there is no such metric or experiment.
    """
    metrics = load_metrics(workspace)
    if name not in metrics:
        raise MetricsError(
            f'{workspace.metrics}: there is no metric "{name}"; {suggest(name, list(metrics))}'
        )
    experiment = None
    if key is not None:
        experiments = load_experiments(workspace)
        if key not in experiments:
            raise MetricsError(
                f'{workspace.experiments}: there is no experiment "{key}"; {suggest(key, list(experiments))}'
            )
        experiment = experiments[key]
    return metric_sql(metrics[name], experiment, dialect, workspace.timezone.key)
