"""Definitions → the lake's `registry`: exactly what is analysed, checked against the data first.

The registry is what everything after it reads about an experiment, so that a result can be traced to the
definition as it was, whatever the files say later.
"""

import hashlib
from collections.abc import Mapping

import duckdb
import msgspec
import polars as pl

from assignments.model import Experiment
from lake import Lake
from metrics.model import Metric, metrics_of
from metrics.validate import validate

_COLUMNS = {
    "experiment": pl.String,
    "iteration": pl.Int32,
    "fingerprint": pl.String,
    "definition": pl.String,
}


class RegistryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One analysed experiment."""

    experiment: str
    iteration: int
    fingerprint: str  # of the experiment and of every metric that it uses
    metrics: str  # names, in reading order
    definition: str  # JSON of the experiment and its metrics


def write_registry(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    experiments: Mapping[str, Experiment],
    metrics: Mapping[str, Metric],
) -> list[RegistryEntry]:
    """Check the definitions against the data and record them; nothing is written when nothing changed.

    Raises:
        MetricsError: a definition names an event, a field or a metric that does not exist.
    """
    validate(con, metrics, list(experiments.values()))
    entries = [_entry(experiments[key], metrics) for key in sorted(experiments)]
    rows = [(entry.experiment, entry.iteration, entry.fingerprint, entry.definition) for entry in entries]
    stored = con.execute(f"SELECT {', '.join(_COLUMNS)} FROM registry ORDER BY experiment").fetchall()
    if sorted(stored) != rows:
        con.register("fresh_registry", pl.DataFrame(rows, schema=_COLUMNS, orient="row"))
        lake.overwrite(con, "registry", "FROM fresh_registry ORDER BY experiment")
        con.unregister("fresh_registry")
    return entries


def fingerprint_of(experiment: Experiment, metrics: Mapping[str, Metric]) -> str:
    """Of all that decides the experiment's results: its own definition and those of its metrics."""
    used = metrics_of(experiment, metrics).values()
    parts = [experiment.fingerprint, *(metric.fingerprint for metric in used)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _entry(experiment: Experiment, metrics: Mapping[str, Metric]) -> RegistryEntry:
    used = metrics_of(experiment, metrics)
    definition = {"experiment": experiment, "metrics": used}
    return RegistryEntry(
        experiment=experiment.key,
        iteration=experiment.iteration,
        fingerprint=fingerprint_of(experiment, metrics),
        metrics=", ".join(used),
        definition=msgspec.json.encode(definition, order="sorted").decode(),
    )
