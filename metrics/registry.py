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
from metrics.analysis import roles_of
from metrics.model import Metric
from metrics.validate import validate


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
    validate(con, metrics, experiments)
    entries = [_entry(experiments[key], metrics) for key in sorted(experiments)]
    stored = con.execute("SELECT experiment, fingerprint FROM registry ORDER BY experiment").fetchall()
    if stored != [(entry.experiment, entry.fingerprint) for entry in entries]:
        con.register("fresh_registry", pl.DataFrame([msgspec.structs.asdict(entry) for entry in entries]))
        lake.overwrite(
            con,
            "registry",
            "SELECT experiment, iteration::INTEGER AS iteration, fingerprint, definition "
            "FROM fresh_registry ORDER BY experiment",
        )
        con.unregister("fresh_registry")
    return entries


def fingerprint_of(experiment: Experiment, metrics: Mapping[str, Metric]) -> str:
    """Of all that decides the experiment's results: its own definition and those of its metrics."""
    parts = [experiment.fingerprint, *(metrics[name].fingerprint for name, _ in roles_of(experiment))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _entry(experiment: Experiment, metrics: Mapping[str, Metric]) -> RegistryEntry:
    used = [name for name, _ in roles_of(experiment)]
    definition = {"experiment": experiment, "metrics": {name: metrics[name] for name in used}}
    return RegistryEntry(
        experiment=experiment.key,
        iteration=experiment.iteration,
        fingerprint=fingerprint_of(experiment, metrics),
        metrics=", ".join(used),
        definition=msgspec.json.encode(definition, order="sorted").decode(),
    )
