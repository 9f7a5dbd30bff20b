"""Bucketing `md5-32/v1` for whole frames of units (Polars with polars-hash), equal to SDK and SQL."""

import polars as pl
import polars_hash as plh

from assignments.errors import AssignmentsError
from assignments.model import Experiment
from tenbin_sdk.hashing import DEFAULT_SHARDS, Range


def shard_expr(salt: str, unit: pl.Expr, total_shards: int = DEFAULT_SHARDS) -> pl.Expr:
    """Shard of each unit (UInt32), null for a null or empty unit; `unit` is text or integers."""
    text = unit.cast(pl.String)
    text = pl.when(text != "").then(text)
    digest = plh.concat_str(pl.lit(f"{salt}-"), text).nchash.md5()
    return digest.str.head(8).str.to_integer(base=16, dtype=pl.UInt32) % pl.lit(total_shards, pl.UInt32)


def assign_frame(
    experiment: Experiment,
    units: pl.DataFrame | pl.Series,
    *,
    unit: str = "unit_id",
    phase: int | None = None,
) -> pl.DataFrame:
    """The units with a column `variant`: text, or null when the unit is not in the experiment.

    Holdout, layer slice and split are applied, targeting is not: filter the frame before.

    Args:
        experiment: one with a [bucketing] table.
        units: a series of ids, or a frame with them in the column `unit`; text or integers.
        unit: name of the column with the ids.
        phase: number of the phase whose traffic counts, from 1; by default the latest.

    Raises:
        AssignmentsError: no [bucketing], no such phase, no such column, or ids that are neither text nor
            integers.
    """
    frame = units.to_frame(unit) if isinstance(units, pl.Series) else units
    if unit not in frame.columns:
        raise AssignmentsError(f'the frame has no column "{unit}"; it has {", ".join(frame.columns)}')
    kind = frame.schema[unit]
    if not (kind in {pl.String, pl.Null} or kind.is_integer()):
        raise AssignmentsError(
            f'column "{unit}" is of type {kind}; a unit is text or an integer (a float has no one text form)'
        )
    return frame.with_columns(variant_expr(experiment, pl.col(unit), phase=phase).alias("variant"))


def variant_expr(experiment: Experiment, unit: pl.Expr, *, phase: int | None = None) -> pl.Expr:
    """The variant of each unit as an expression; see `assign_frame`."""
    bucketing = experiment.bucketing
    if bucketing is None:
        raise AssignmentsError(
            f'experiment "{experiment.key}" has no [bucketing] table; its units are assigned elsewhere'
        )
    number = len(experiment.phases) if phase is None else phase
    if not 1 <= number <= len(experiment.phases):
        raise AssignmentsError(
            f'experiment "{experiment.key}" has no phase {number}; it has {len(experiment.phases)}'
        )
    current = experiment.phases[number - 1]
    total = bucketing.total_shards
    inside = _within(shard_expr(bucketing.layer_salt, unit, total), current.slice or ())
    if bucketing.holdout and bucketing.holdout_salt is not None:
        inside &= ~_within(shard_expr(bucketing.holdout_salt, unit, total), bucketing.holdout)
    split = shard_expr(bucketing.split_salt, unit, total)
    variant = pl.coalesce(
        *(
            pl.when(_within(split, ranges)).then(pl.lit(name))
            for name, ranges in (current.ranges or {}).items()
        ),
        pl.lit(None, pl.String),
    )
    return pl.when(inside).then(variant)


def _within(shard: pl.Expr, ranges: tuple[Range, ...]) -> pl.Expr:
    inside = pl.lit(value=False)
    for start, end in ranges:
        inside |= shard.is_between(start, end - 1)
    return inside
