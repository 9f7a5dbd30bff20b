"""`tenbin run`: the Dagster jobs over a workspace, in this process, from landing files to reports.

The same assets as in the UI, with their runs recorded in the workspace's own Dagster home, so that
`tenbin up` shows what `tenbin run` did.
"""

import datetime as dt
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from assignments import load_experiments
from metrics import load_metrics
from metrics.analysis import as_of_days
from workspace import UserError, Workspace

_DAGSTER_YAML = """\
# Made by Tenbin; edit as you like. Runs, events and schedules lie beside this file in SQLite.
telemetry:
  enabled: false
concurrency:
  pools:
    default_limit: 1
"""


class RunError(UserError):
    """The workspace can't be run as asked."""


class ExperimentOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one experiment."""

    experiment: str
    verdict: str
    sentence: str
    as_of: dt.date
    result_json: Path
    report: Path


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did: rows ingested and the outcome of each experiment."""

    workspace: Path
    index: Path
    experiments: tuple[ExperimentOutcome, ...]
    ingested: dict[str, int]


def run_workspace(
    workspace: Workspace,
    *,
    from_day: dt.date | None = None,
    to_day: dt.date | None = None,
    console: Console | None = None,
) -> RunSummary:
    """Ingest what landed, analyse every as-of day between `from_day` and `to_day`, write the reports.

    Without `to_day`, days run to yesterday or to the planned end, whichever is first; without `from_day`,
    from the experiment's start.

    Raises:
        UserError: a definition, a file or an argument is wrong; the message says which and what to do.
    """
    first, last = _as_of_range(workspace, from_day, to_day)
    with _dagster(workspace) as dagster, _stages(console) as stage:
        stage("Ingesting landing files, checking definitions")
        dagster.run("ingest")
        stage(f"Units and moments, as of {first} … {last}")
        dagster.run("evidence", str(first), str(last))
        stage("Results and reports")
        experiments = dagster.experiments()
        dagster.run("readouts", experiments[0], experiments[-1])
    return _summary(workspace)


def prepare_dagster_home(workspace: Workspace) -> Path:
    """The workspace's Dagster home, made when it is not there yet."""
    home = workspace.dagster_home
    home.mkdir(exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_DAGSTER_YAML, encoding="utf-8")
    return home


def _as_of_range(
    workspace: Workspace, from_day: dt.date | None, to_day: dt.date | None
) -> tuple[dt.date, dt.date]:
    """First and last as-of day over all experiments, within what was asked for and before today."""
    if from_day and to_day and from_day > to_day:
        raise RunError(f"--from {from_day} lies after --to {to_day}; swap them")
    metrics, experiments = load_metrics(workspace), load_experiments(workspace)
    if not experiments:
        raise RunError(
            f"{workspace.experiments}: there is no experiment; add one as a .toml file (see README.md)"
        )
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    days = [
        day
        for experiment in experiments.values()
        for day in as_of_days(
            experiment,
            metrics,
            workspace,
            first=from_day or dt.date.min,
            last=min(to_day or yesterday, yesterday),
        )
    ]
    if not days:
        starts = min(experiment.start for experiment in experiments.values())
        raise RunError(
            f"no experiment has an as-of day between {from_day or starts} and {to_day or yesterday}: "
            f"the first one starts on {starts}, and a day can be analysed when it is over"
        )
    return min(days), max(days)


class _Dagster:
    """The jobs of `pipelines`, run in this process against the workspace's own instance."""

    def __init__(self, definitions: Any, instance: Any) -> None:  # noqa: ANN401 - dagster is imported lazily
        self._definitions = definitions
        self._instance = instance

    def run(self, job: str, first: str | None = None, last: str | None = None) -> None:
        tags = {}
        if first is not None and last is not None:
            tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        try:
            self._definitions.resolve_job_def(job).execute_in_process(
                instance=self._instance,
                tags=tags,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        except Exception as error:
            # Dagster wraps what a step raises; what the user can mend must come out as it was said.
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, UserError):
                    raise cause from None
                cause = cause.__cause__
            raise

    def experiments(self) -> list[str]:
        keys: list[str] = list(self._instance.get_dynamic_partitions("experiments"))
        return keys


@contextmanager
def _dagster(workspace: Workspace) -> Iterator[_Dagster]:
    """Load the code location for this workspace; partitions are read from it, so one process serves one."""
    root = str(workspace.root)
    if os.environ.get("TENBIN_WORKSPACE", root) != root:
        raise RunError(
            f"this process already works on {os.environ['TENBIN_WORKSPACE']}; run {root} in a process of its own"
        )
    os.environ["TENBIN_WORKSPACE"] = root
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beta notices of Dagster's own API
        import dagster as dg

        from pipelines.definitions import defs

        with dg.DagsterInstance.from_config(str(prepare_dagster_home(workspace))) as instance:
            yield _Dagster(defs(), instance)


@contextmanager
def _stages(console: Console | None) -> Iterator[Any]:
    """A line per stage with its running time, or silence without a console."""
    if console is None:
        yield lambda _text: None
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: list[Any] = []

        def stage(text: str) -> None:
            if tasks:
                progress.update(tasks[-1], completed=1)
            tasks.append(progress.add_task(text, total=1))

        yield stage
        if tasks:
            progress.update(tasks[-1], completed=1)


def _summary(workspace: Workspace) -> RunSummary:
    from reports.assemble import read_index

    entries = read_index(workspace)
    return RunSummary(
        workspace=workspace.root,
        index=workspace.reports / "index.html",
        experiments=tuple(
            ExperimentOutcome(
                experiment=entry.experiment,
                verdict=entry.verdict,
                sentence=entry.sentence,
                as_of=entry.as_of,
                result_json=workspace.reports / entry.folder / "result.json",
                report=workspace.reports / entry.folder / "index.html",
            )
            for entry in entries
        ),
        ingested={},
    )
