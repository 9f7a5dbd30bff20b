"""What assets are handed: the workspace, its definitions and its lake, opened per step and never at import."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import duckdb

from assignments import load_experiments
from assignments.model import Experiment
from lake import Lake, open_lake
from metrics import load_metrics
from metrics.engines.duckdb import Engine
from metrics.model import Metric
from workspace import Workspace, load_workspace


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


class WorkspaceResource(dg.ConfigurableResource[Workspace]):
    """The workspace that TENBIN_WORKSPACE names."""

    root: str

    def load(self) -> Workspace:
        return load_workspace(self.root)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open definitions and lake; the connection is in memory and closed with the step."""
        workspace = self.load()
        lake = open_lake(workspace)
        with lake.connect() as con:
            yield Session(workspace, load_experiments(workspace), load_metrics(workspace), lake, con)


def now() -> dt.datetime:
    """The instant of the run; the only clock that the pipeline reads."""
    return dt.datetime.now(dt.UTC)
