"""What lies in the lake: every Delta table, its columns and types, its partition and the order of its rows.

A partition column is also a physical column of the Parquet files, so that every reader gets its value
whatever it does with the folder names.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

# DuckDB type → Delta type. Instants are UTC, microseconds.
DELTA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "VARCHAR": "string",
        "BIGINT": "long",
        "INTEGER": "integer",
        "DOUBLE": "double",
        "BOOLEAN": "boolean",
        "DATE": "date",
        "TIMESTAMPTZ": "timestamp",
        "DECIMAL(28,6)": "decimal(28,6)",
        "DECIMAL(38,6)": "decimal(38,6)",
        "DECIMAL(38,0)": "decimal(38,0)",
        "VARCHAR[]": "string[]",
        "DOUBLE[]": "double[]",
        "BIGINT[]": "long[]",
    }
)


@dataclasses.dataclass(frozen=True)
class Column:
    """A column's name and DuckDB type."""

    name: str
    type: str


@dataclasses.dataclass(frozen=True)
class Table:
    """One Delta table as declared here; columns that `Lake.add_columns` adds live in its own log."""

    name: str
    columns: tuple[Column, ...]
    partition: str | None = None
    order: tuple[str, ...] = ()  # of the rows within each file

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def _table(
    name: str, columns: Mapping[str, str], *, partition: str | None = None, order: tuple[str, ...] = ()
) -> Table:
    return Table(name, tuple(Column(*item) for item in columns.items()), partition, order)


_RECORD = {
    "received_at": "TIMESTAMPTZ",
    "sent_at": "TIMESTAMPTZ",
}

_ORIGIN = {
    "source": "VARCHAR",
    "file_hash": "VARCHAR",
    "file_row": "BIGINT",
    "batch": "BIGINT",
    "occurred_on": "DATE",
}

_EXPOSURE = {
    "environment": "VARCHAR",
    "exposure_id": "VARCHAR",
    "experiment": "VARCHAR",
    "iteration": "INTEGER",
    "variant": "VARCHAR",
    "unit_type": "VARCHAR",
    "unit_id": "VARCHAR",
    "unit_key": "BIGINT",
    "exposed_at": "TIMESTAMPTZ",
    "day_precision": "BOOLEAN",
    **_RECORD,
    "original_exposed_at": "TIMESTAMPTZ",  # before the shift by the sender's clock error; else null
    "ruleset_version": "BIGINT",
    "attributes": "VARCHAR",  # text of a JSON object
    **_ORIGIN,
}

_DECLARED = (
    _table(
        "events",
        {
            "environment": "VARCHAR",
            "event_id": "VARCHAR",
            "event": "VARCHAR",
            "unit_type": "VARCHAR",
            "unit_id": "VARCHAR",
            "unit_key": "BIGINT",
            "occurred_at": "TIMESTAMPTZ",
            "day_precision": "BOOLEAN",
            **_RECORD,
            "original_occurred_at": "TIMESTAMPTZ",  # before the shift by the sender's clock error; else null
            "value": "DECIMAL(28,6)",
            "currency": "VARCHAR",
            "properties": "VARCHAR",  # text of a JSON object
            **_ORIGIN,
        },
        partition="occurred_on",
        order=("unit_key", "occurred_at"),
    ),
    _table("exposures", _EXPOSURE, partition="occurred_on", order=("unit_key", "exposed_at")),
    _table("assignments", _EXPOSURE, partition="occurred_on", order=("unit_key", "exposed_at")),
    _table(
        "unit_keys",
        {"unit_type": "VARCHAR", "unit_id": "VARCHAR", "unit_key": "BIGINT", "batch": "BIGINT"},
        order=("unit_key",),
    ),
    _table(
        "unit_attributes",
        {
            "unit_type": "VARCHAR",
            "unit_id": "VARCHAR",
            "attribute": "VARCHAR",
            "value": "VARCHAR",
            "valid_from": "TIMESTAMPTZ",  # null: taken as constant
            "source": "VARCHAR",
            "file_hash": "VARCHAR",
            "file_row": "BIGINT",
            "batch": "BIGINT",
        },
    ),
    _table(
        "quarantine",
        {
            "source": "VARCHAR",
            "path": "VARCHAR",
            "file_hash": "VARCHAR",
            "line": "BIGINT",  # of the file, from 1, the header counted; the row number in Parquet
            "reason": "VARCHAR",
            "raw": "VARCHAR",  # at most `RAW_CHARS` characters of it
            "batch": "BIGINT",
        },
    ),
    _table(
        "ingested",
        {
            "batch": "BIGINT",
            "source": "VARCHAR",
            "kind": "VARCHAR",
            "path": "VARCHAR",  # relative to the workspace where its source says it so
            "file_hash": "VARCHAR",  # SHA-256, hex
            "bytes": "BIGINT",
            "modified_ns": "BIGINT",  # a file with this size and time is not hashed again
            "definition": "VARCHAR",  # hash of the source's table in tenbin.toml
            "rows": "BIGINT",  # null until the batch has been read through
            "quarantined": "BIGINT",
            "duplicates": "BIGINT",  # rows that lost to an equal id, here or already in the lake
            "suppressed": "BIGINT",  # rows of erased units, which are stored nowhere
            "replaced_by": "VARCHAR",  # hash of what an erasure left of the file; "": nothing
        },
        order=("source", "path"),
    ),
    _table(
        "suppressed",
        {
            "unit_type": "VARCHAR",
            "unit_hash": "VARCHAR",  # HMAC-SHA256 of type and id under the key of the workspace
            "since": "TIMESTAMPTZ",
        },
        order=("unit_type", "unit_hash"),
    ),
    _table(
        "unit_days",
        {
            "measure": "VARCHAR",
            "unit_type": "VARCHAR",
            "unit_key": "BIGINT",
            "occurred_on": "DATE",
            "events": "BIGINT",
            "value_sum": "DECIMAL(38,6)",
        },
        partition="occurred_on",
        order=("measure", "unit_type", "unit_key"),
    ),
    _table(
        "unit_values",
        {
            "measure": "VARCHAR",
            "unit_type": "VARCHAR",
            "unit_key": "BIGINT",
            "occurred_on": "DATE",
            "value": "DECIMAL(38,0)",  # a number, in whole millionths
            "text": "VARCHAR",
            "events": "BIGINT",  # that have this value
        },
        partition="occurred_on",
        order=("measure", "unit_type", "unit_key"),
    ),
    _table(
        "first_exposures",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "unit_type": "VARCHAR",
            "unit_key": "BIGINT",
            "unit_id": "VARCHAR",
            "variant": "VARCHAR",
            "phase": "INTEGER",
            "exposed_at": "TIMESTAMPTZ",
            "day_precision": "BOOLEAN",
            "second_variant_at": "TIMESTAMPTZ",
            "ruleset_version": "BIGINT",
            "attributes": "VARCHAR",
            "excluded_by": "VARCHAR",  # name of the first rule of tenbin.toml that leaves the unit out
        },
        partition="experiment",
        order=("unit_key",),
    ),
    _table(
        "unit_metrics",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "as_of": "DATE",
            "unit_type": "VARCHAR",
            "unit_key": "BIGINT",
            "unit_id": "VARCHAR",
            "variant": "VARCHAR",
            "phase": "INTEGER",
            "exposed_at": "TIMESTAMPTZ",
            "segments": "VARCHAR",  # text of a JSON object
        },
        partition="experiment",
        order=("unit_key",),
    ),
    _table(
        "moments",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "phase": "INTEGER",
            "variant": "VARCHAR",
            "segment": "VARCHAR",  # "dimension=value"; null: all units
            "metric": "VARCHAR",
            "as_of": "DATE",
            "n": "BIGINT",
            "n_immature": "BIGINT",
            "columns": "VARCHAR[]",
            "means": "DOUBLE[]",
            "covariances": "DOUBLE[]",  # the full matrix, row by row, divisor n - 1
            "cap": "DOUBLE",
            "clipped": "BIGINT",
            "n_without": "BIGINT",  # mature units without a value, left out (of a quantile)
            "reason": "VARCHAR",  # why what `means` says has no variance (of a quantile)
            "fingerprint": "VARCHAR",
            "inputs": "VARCHAR",  # stamp of the definitions and rows behind it (`metrics.sql.freshness`)
        },
        partition="experiment",
        order=("as_of", "metric", "segment", "phase", "variant"),
    ),
    _table(
        "given_moments",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "phase": "INTEGER",
            "variant": "VARCHAR",
            "segment": "VARCHAR",
            "metric": "VARCHAR",
            "as_of": "DATE",
            "n": "BIGINT",
            "n_immature": "BIGINT",
            "units": "BIGINT",  # that were randomised; null: not said
            "means": "DOUBLE[]",
            "covariances": "DOUBLE[]",  # as those of `moments`; NaN where a variance was left out
            "cap": "DOUBLE",
            "clipped": "BIGINT",
            "kind": "VARCHAR",  # this and what follows: what the row says of its metric; null: nothing
            "covariates": "INTEGER",
            "ratio_covariate": "BOOLEAN",
            "clustered": "BOOLEAN",
            "non_negative": "BOOLEAN",
            "role": "VARCHAR",
            "direction": "VARCHAR",
            "margin": "DOUBLE",
            "equivalence": "DOUBLE",
            "source": "VARCHAR",
            "path": "VARCHAR",
            "file_hash": "VARCHAR",
            "file_row": "BIGINT",
            "batch": "BIGINT",
        },
        order=("experiment", "iteration", "as_of"),
    ),
    _table(
        "results",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "metric": "VARCHAR",
            "role": "VARCHAR",
            "segment": "VARCHAR",
            "as_of": "DATE",
            "revision": "INTEGER",
            "population": "VARCHAR",
            "variant": "VARCHAR",
            "baseline": "VARCHAR",
            "method": "VARCHAR",
            "scale": "VARCHAR",
            "alternative": "VARCHAR",
            "horizon": "VARCHAR",
            "headline": "BOOLEAN",
            "estimate": "DOUBLE",
            "std_error": "DOUBLE",
            "lower": "DOUBLE",
            "upper": "DOUBLE",
            "alpha": "DOUBLE",
            "p_value": "DOUBLE",
            "log10_p": "DOUBLE",
            "p_adjusted": "DOUBLE",
            "lower_adjusted": "DOUBLE",
            "upper_adjusted": "DOUBLE",
            "family": "VARCHAR",
            "information": "DOUBLE",
            "probability_better": "DOUBLE",
            "expected_loss": "DOUBLE",
            "n_variant": "BIGINT",
            "n_baseline": "BIGINT",
            "n_immature": "BIGINT",
            "mean_variant": "DOUBLE",
            "mean_baseline": "DOUBLE",
            "provisional": "BOOLEAN",
            "cap": "DOUBLE",
            "clipped_variant": "DOUBLE",
            "clipped_baseline": "DOUBLE",
            "variance_reduction": "DOUBLE",
            "status": "VARCHAR",
            "reasons": "VARCHAR[]",
            "fingerprint": "VARCHAR",
            "schema_version": "INTEGER",
        },
        partition="experiment",
    ),
    _table(
        "looks",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "look": "INTEGER",  # its number, from 1
            "as_of": "DATE",
            "n": "BIGINT",  # units of all arms: the smallest mature count over the primary metrics
            "information": "DOUBLE",  # n as a share of the units planned then
            "alpha_spent": "DOUBLE",  # by this look and those before it
            "boundary": "DOUBLE",  # the |z| from which a two-sided test is significant
            "alpha": "DOUBLE",
            "spending": "VARCHAR",  # text of a JSON object
            "metric": "VARCHAR",  # null, with all that follows, where nothing could be compared yet
            "variant": "VARCHAR",
            "baseline": "VARCHAR",
            "method": "VARCHAR",
            "z": "DOUBLE",
            "estimate_variant": "DOUBLE",
            "estimate_baseline": "DOUBLE",
            "var_variant": "DOUBLE",  # of the estimate
            "var_baseline": "DOUBLE",
            "covariance": "DOUBLE",
            "df": "DOUBLE",
            "fingerprint": "VARCHAR",  # of the metric's definition
        },
        partition="experiment",
    ),
    _table(
        "registry",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "fingerprint": "VARCHAR",
            "definition": "VARCHAR",  # JSON of the experiment and its metrics
        },
    ),
    _table(
        "findings",
        {
            "experiment": "VARCHAR",
            "iteration": "INTEGER",
            "as_of": "DATE",
            "name": "VARCHAR",
            "status": "VARCHAR",
            "message": "VARCHAR",
            "numbers": "VARCHAR",  # text of a JSON object
        },
        partition="experiment",
    ),
)

TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in _DECLARED})
