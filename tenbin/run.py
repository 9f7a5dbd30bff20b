"""`tenbin run`: the Dagster jobs over a workspace, in this process, from landing files to reports.

The same assets as in the UI, with their runs recorded in the workspace's own Dagster home, so that
`tenbin up` shows what `tenbin run` did.
"""

import datetime as dt
import os
import sqlite3
import sys
import uuid
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import Progress

from assignments import load_experiments
from lake import open_lake
from metrics import load_metrics
from metrics.analysis import as_of_days
from metrics.declared import verdicts_of
from reports import files
from reports.index import read_index
from tenbin.failures import sentence_of
from tenbin.progress import progress
from workspace import UserError, Workspace

if TYPE_CHECKING:
    import dagster as dg

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
_GAP_DAYS = 7

_DAGSTER_YAML = """\
# Made by Tenbin; edit as you like. Runs, events and schedules lie beside this file in SQLite.
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
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


class DeclaredOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an experiment that nobody wrote a file for."""

    experiment: str
    verdict: str
    sentence: str
    as_of: dt.date


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did: rows that it brought into the lake, by table, and the outcome of each experiment."""

    workspace: Path
    index: Path
    experiments: tuple[ExperimentOutcome, ...]
    ingested: dict[str, int]
    declared: tuple[DeclaredOutcome, ...] = ()  # experiments that sources of aggregates declare


def run_workspace(
    workspace: Workspace,
    *,
    from_day: dt.date | None = None,
    to_day: dt.date | None = None,
    console: Console | None = None,
) -> RunSummary:
    """Ingest what landed, analyse every as-of day between `from_day` and `to_day`, write the reports.

    Without `to_day`, days run to yesterday or to the planned end, whichever is first; without `from_day`,
    from the experiment's start. Days that were computed before are made again where late rows or changed
    definitions ask for it, whatever the range.

    Raises:
        UserError: a definition, a file or an argument is wrong; the message says which and what to do. Where
            it concerns some experiments alone, the others are ready.
    """
    ranges = _as_of_ranges(workspace, from_day, to_day)
    with _dagster(workspace) as dagster, progress(console) as bars:
        ingestion = dagster.run("ingest", bars, "Landing files and definitions")
        evidence = [
            dagster.run("evidence", bars, f"Units and moments, as of {first} … {last}", str(first), str(last))
            for first, last in ranges
        ]
        experiments = dagster.experiments()
        readouts = [
            dagster.run("readouts", bars, "Results and reports", experiments[0], experiments[-1])
            for _ in experiments[:1]
        ]
        _refuse_failed([ingestion, *evidence, *readouts])
    return _summary(workspace, ingestion)


def read_outcomes(workspace: Workspace) -> tuple[ExperimentOutcome, ...]:
    """What the index of the reports says, in its order."""
    return tuple(
        ExperimentOutcome(
            experiment=entry.experiment,
            verdict=entry.verdict.value,
            sentence=entry.sentence,
            as_of=entry.as_of,
            result_json=workspace.reports / entry.folder / "result.json",
            report=workspace.reports / entry.folder / "index.html",
        )
        for entry in read_index(workspace.reports).experiments
    )


def prepare_dagster_home(workspace: Workspace) -> Path:
    """The workspace's Dagster home, made when it is not there yet."""
    home = workspace.dagster_home
    settings = home / "dagster.yaml"
    if not settings.exists():
        files.write(settings, _DAGSTER_YAML)
    return home


def _as_of_ranges(
    workspace: Workspace, from_day: dt.date | None, to_day: dt.date | None
) -> list[tuple[dt.date, dt.date]]:
    """The ranges of as-of days that experiments have, within what was asked for and before today, in order.

    When nothing was asked for, days that were computed before are left out: the engine looks after them by
    itself, and Dagster takes a while to record each. There is always a range, for it to do so.
    """
    if from_day and to_day and from_day > to_day:
        raise RunError(f"--from {from_day} lies after --to {to_day}; swap them")
    metrics, experiments = load_metrics(workspace), load_experiments(workspace)
    if not experiments and _states_moments(workspace):
        return []
    if not experiments:
        raise RunError(
            f"{workspace.experiments}: there is no experiment; add one as a .toml file (see README.md)"
        )
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    first, last = from_day or dt.date.min, min(to_day or yesterday, yesterday)
    days = {
        (experiment.key, experiment.iteration, day)
        for experiment in experiments.values()
        for day in as_of_days(experiment, metrics, workspace, first=first, last=last)
    }
    if not days:
        starts = min(experiment.start for experiment in experiments.values())
        raise RunError(
            f"no experiment has an as-of day between {from_day or starts} and {last}: "
            f"the first one starts on {starts}, and a day can be analysed when it is over"
        )
    wanted = days if from_day else days - _computed_days(workspace)
    return _clusters({day for _, _, day in wanted} or {max(day for _, _, day in days)})


def _states_moments(workspace: Workspace) -> bool:
    """Whether experiments may be declared by aggregates."""
    sources = workspace.config.sources.values()
    return any(source.kind == "moments" for source in sources) or (workspace.landing / "moments").is_dir()


def _clusters(days: AbstractSet[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """The first and last of days that lie together; a short gap costs less than a run of its own."""
    clusters: list[tuple[dt.date, dt.date]] = []
    for day in sorted(days):
        if clusters and (day - clusters[-1][1]).days <= _GAP_DAYS:
            clusters[-1] = (clusters[-1][0], day)
        else:
            clusters.append((day, day))
    return clusters


def _computed_days(workspace: Workspace) -> set[tuple[str, int, dt.date]]:
    """Experiment, iteration and as-of day of all moments in the lake."""
    with open_lake(workspace).connect() as con:
        return set(con.execute("SELECT DISTINCT experiment, iteration, as_of FROM moments").fetchall())


class _Dagster:
    """The jobs of `pipelines`, run in this process against the workspace's own instance."""

    def __init__(self, definitions: "dg.Definitions", instance: "dg.DagsterInstance") -> None:
        self._definitions = definitions
        self._instance = instance

    def run(
        self, job: str, bars: Progress, text: str, first: str | None = None, last: str | None = None
    ) -> "dg.ExecuteInProcessResult":
        """Run one job, over a range of partitions where it has any; the bar has a part per step."""
        from pipelines.resources import progress

        definition = self._definitions.resolve_job_def(job)
        task = bars.add_task(text, total=len(definition.nodes))
        run_id = str(uuid.uuid4())
        finished = 0

        def count(entry: "dg.EventLogEntry") -> None:
            nonlocal finished
            if entry.is_dagster_event and entry.get_dagster_event().is_step_success:
                finished += 1
                bars.update(task, completed=finished)

        self._instance.add_event_listener(run_id, count)
        watched = progress.set(lambda share: bars.update(task, completed=finished + share))
        try:
            return definition.execute_in_process(
                instance=self._instance,
                run_id=run_id,
                tags={} if first is None or last is None else {RANGE_START: first, RANGE_END: last},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        except Exception as error:
            # Dagster wraps what a step raises; what its user can mend must come out as it was said.
            for cause in _causes(error):
                if not type(cause).__module__.startswith("dagster") and sentence_of(cause) is not None:
                    raise cause from None
            raise
        finally:
            progress.reset(watched)

    def experiments(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions("experiments"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _refuse_failed(runs: Sequence["dg.ExecuteInProcessResult"]) -> None:
    """Say what stopped single experiments; the first reason of each is the one behind any others.

    Raises:
        RunError: there are such experiments.
    """
    from pipelines.spared import CHECK, FAILED

    failed: dict[str, str] = {}
    for run in runs:
        for check in run.get_asset_check_evaluations():
            if check.check_name == CHECK:
                failed = msgspec.convert(check.metadata[FAILED].value, dict[str, str]) | failed
    if failed:
        raise RunError(f"{'; '.join(failed.values())} (every other experiment is up to date)")


@contextmanager
def _dagster(workspace: Workspace) -> Iterator[_Dagster]:
    """Load the code location for this workspace; partitions are read from it, so one process serves one."""
    root = str(workspace.root)
    if "pipelines.partitions" in sys.modules and os.environ.get("TENBIN_WORKSPACE") != root:
        raise RunError(f"this process already works on another workspace; run {root} in a process of its own")
    os.environ["TENBIN_WORKSPACE"] = root
    import dagster as dg
    import sqlalchemy as sa

    from pipelines.definitions import defs

    home = prepare_dagster_home(workspace)
    sa.event.listen(sa.Engine, "connect", _sync_less)
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield _Dagster(defs(), instance)
    finally:
        sa.event.remove(sa.Engine, "connect", _sync_less)


def _sync_less(connection: object, _record: object) -> None:
    """Commit to Dagster's history without waiting for the disk.

    It opens, commits and closes a SQLite file or two for each of some hundred events, which is a third of a
    short run's time. With the write-ahead log that it uses, a power cut can lose the last events of a
    history, and break nothing.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = NORMAL")


def _declared(workspace: Workspace, defined: AbstractSet[str]) -> tuple[DeclaredOutcome, ...]:
    with open_lake(workspace).connect() as con:
        return tuple(
            DeclaredOutcome(experiment=key, as_of=as_of, verdict=verdict, sentence=sentence)
            for key, as_of, verdict, sentence in verdicts_of(con, defined)
        )


def _summary(workspace: Workspace, ingestion: "dg.ExecuteInProcessResult") -> RunSummary:
    ingested: dict[str, int] = {
        made.asset_key.to_user_string(): int(str(made.metadata["accepted"].value))
        for made in ingestion.asset_materializations_for_node("ingestion")
        if "accepted" in made.metadata
    }
    defined = load_experiments(workspace).keys()
    shown = read_outcomes(workspace) if (workspace.reports / "index.json").exists() else ()
    return RunSummary(
        workspace=workspace.root,
        index=workspace.reports / "index.html",
        experiments=tuple(outcome for outcome in shown if outcome.experiment in defined),
        declared=_declared(workspace, defined),
        ingested=ingested,
    )
