"""What assets are handed: the workspace, its definitions and its lake, opened per step, never at import."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import dagster as dg
import duckdb

from assignments import load_experiments
from assignments.model import Experiment
from lake import Lake, open_lake
from lake.locks import lock
from metrics import load_metrics
from metrics.analysis import as_of_days
from metrics.engines.engine import Engine
from metrics.model import Metric
from workspace import UserError, Workspace, load_workspace

_WAIT_S = 3_600.0


def _silent(_share: float) -> None:
    """Say nothing: nobody watches."""


# Told what share of its work the running step has done; the command shows it.
progress: ContextVar[Callable[[float], None]] = ContextVar("progress", default=_silent)


@dataclasses.dataclass(frozen=True)
class Session:
    """An open workspace for the length of one step."""

    workspace: Workspace
    experiments: dict[str, Experiment]
    metrics: dict[str, Metric]
    lake: Lake
    con: duckdb.DuckDBPyConnection

    @functools.cached_property
    def engine(self) -> Engine:
        return Engine(self.workspace, self.lake, self.metrics)

    def row_count(self, table: str) -> int:
        """Rows of one of the lake's tables."""
        found: int = self.con.execute(f'SELECT count(*) FROM "{table}"').fetchall()[0][0]
        return found

    def latest_stored_day(self) -> dt.date | None:
        """The last as-of day that any experiment has moments of."""
        found: dt.date | None = self.con.execute("SELECT max(as_of) FROM moments").fetchall()[0][0]
        return found

    def chosen(self, keys: Iterable[str]) -> list[Experiment]:
        """The experiments of these partitions; one whose file is gone is no longer analysed."""
        return [self.experiments[key] for key in keys if key in self.experiments]

    def latest_days(self) -> list[tuple[Experiment, dt.date]]:
        """Every experiment that has begun, with its latest as-of day."""
        yesterday = now().date() - dt.timedelta(days=1)
        days = {
            key: as_of_days(experiment, self.metrics, self.workspace, first=dt.date.min, last=yesterday)
            for key, experiment in self.experiments.items()
        }
        return [(self.experiments[key], found[-1]) for key, found in days.items() if found]


class WorkspaceResource(dg.ConfigurableResource[Workspace]):
    """The workspace that TENBIN_WORKSPACE names."""

    root: str

    def load(self) -> Workspace:
        return load_workspace(self.root)

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """Open definitions and lake; the connection is in memory and closed with the step."""
        with told_once():
            workspace = self.load()
            lake = open_lake(workspace)
            with lake.connect() as con:
                yield Session(workspace, load_experiments(workspace), load_metrics(workspace), lake, con)

    @contextmanager
    def writer(self) -> Iterator[Session]:
        """The same for a step that writes tables: one at a time, from the UI and from the command.

        The lock is the operating system's. A killed process gives it back; a slot of a Dagster pool it would
        keep.
        """
        with (
            told_once(),
            lock(self.load().lake / ".evidence.lock", wait_s=_WAIT_S, purpose="computing in this workspace"),
            self.reader() as session,
        ):
            yield session


@contextmanager
def told_once() -> Iterator[None]:
    """What a person must mend fails the step with its own sentence, and is not tried again."""
    try:
        yield
    except UserError as reason:
        raise dg.Failure(description=str(reason), allow_retries=False) from reason


def stepwise(experiments: Sequence[Experiment]) -> Iterator[Experiment]:
    """The experiments one after the other, with word of how many are done."""
    for done, experiment in enumerate(experiments):
        progress.get()(done / len(experiments))
        yield experiment


def now() -> dt.datetime:
    """The instant of the run; the only clock that the pipeline reads."""
    return dt.datetime.now(dt.UTC)
