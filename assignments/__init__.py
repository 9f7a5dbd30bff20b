"""Experiments: what one is, its TOML form, how shards are allocated, and bucketing in bulk. No services.

model · validate · toml      the definition, what must hold of it, its file
allocation                   which shards a variant owns, moved as little as possible
compile                      experiments into the ruleset that `tenbin_sdk` evaluates
bulk · sql                   the same assignment for a frame (Polars) and in SQL (DuckDB)
records                      the record contracts shared by all that write and read landing files
"""

from assignments.errors import AssignmentsError
from assignments.model import Bucketing, Experiment, Guardrail, MetricRoles, Pause, Phase, Segments
from assignments.toml import experiment_to_toml, load_experiments, parse_experiment, read_experiment

__all__ = [
    "AssignmentsError",
    "Bucketing",
    "Experiment",
    "Guardrail",
    "MetricRoles",
    "Pause",
    "Phase",
    "Segments",
    "experiment_to_toml",
    "load_experiments",
    "parse_experiment",
    "read_experiment",
]
