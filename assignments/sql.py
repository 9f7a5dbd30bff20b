"""Bucketing `md5-32/v1` as DuckDB SQL, so that the pipeline can derive an assignment again.

(('0x' || md5(salt || '-' || unit)[1:8])::UBIGINT % total_shards)

DuckDB's own `md5_number*` read the digest little-endian and give another bucket: never use them.
"""

from collections.abc import Mapping, Sequence

from sqlglot import exp

from assignments.errors import AssignmentsError
from assignments.model import Experiment
from assignments.phases import Ranges, WeightPhase
from tenbin_sdk.hashing import DEFAULT_SHARDS, Range


def shard_sql(salt: exp.Expr | str, unit: exp.Expr | str, total_shards: int = DEFAULT_SHARDS) -> exp.Expr:
    """Shard of a unit under a salt; NULL for a NULL or empty unit.

    Args:
        salt: text, which becomes a literal, or an expression such as a placeholder.
        unit: the VARCHAR column (a name, quoted here) or expression that holds the unit's id.
        total_shards: the modulus.
    """
    text = exp.func("nullif", _column(unit), exp.Literal.string(""))
    salted = exp.DPipe(this=_dashed(salt), expression=text)
    head = exp.Substring(this=exp.MD5(this=salted), start=exp.Literal.number(1), length=exp.Literal.number(8))
    number = exp.cast(exp.DPipe(this=exp.Literal.string("0x"), expression=head), "UBIGINT", dialect="duckdb")
    return exp.paren(exp.Mod(this=number, expression=exp.Literal.number(total_shards)))


def assigned_variant_sql(
    experiment: Experiment,
    unit: exp.Expr | str,
    *,
    phases: Sequence[WeightPhase] = (),
    phase: exp.Expr | None = None,
) -> exp.Expr:
    """The variant that the hash gives a unit: text, or NULL when it is not in the experiment.

    Holdout, layer slice and split are derived; targeting is not (a unit that a condition kept out has a
    variant here). A unit counts as in the slice when any phase held it, since traffic comes and goes while
    the split stays.

    Args:
        experiment: one with a [bucketing] table.
        unit: the column or expression with the unit's id.
        phases: the experiment's, where its weights changed; else the split of its latest phase counts.
        phase: the expression with the number of the phase in which the unit was seen.

    Raises:
        AssignmentsError: the experiment has no [bucketing], so its assignment can't be derived.
    """
    bucketing = experiment.bucketing
    if bucketing is None:
        raise AssignmentsError(
            f'experiment "{experiment.key}" has no [bucketing] table; its units were assigned elsewhere'
        )
    total = bucketing.total_shards
    split = shard_sql(bucketing.split_salt, unit, total)
    variant = _split_sql(split, experiment.phases[-1].ranges or {})
    if phase is not None and len(phases) > 1:
        by_phase = exp.Case()
        for one in phases:
            seen_then = exp.EQ(this=phase.copy(), expression=exp.Literal.number(one.number))
            by_phase = by_phase.when(seen_then, _split_sql(split, one.ranges or {}))
        variant = by_phase
    slices = sorted({part for phase in experiment.phases for part in phase.slice or ()})
    inside: exp.Expr = _within(shard_sql(bucketing.layer_salt, unit, total), slices)
    if bucketing.holdout and bucketing.holdout_salt is not None:
        held = _within(shard_sql(bucketing.holdout_salt, unit, total), bucketing.holdout)
        inside = exp.and_(inside, exp.not_(held))
    return exp.Case().when(inside, variant)


def moved_phase_sql(experiment: Experiment, unit: exp.Expr | str, moves: Mapping[int, Ranges]) -> exp.Expr:
    """The number of the phase that first took the unit's shard to another variant; NULL when none did.

    Raises:
        AssignmentsError: the experiment has no [bucketing].
    """
    bucketing = experiment.bucketing
    if bucketing is None:
        raise AssignmentsError(f'experiment "{experiment.key}" has no [bucketing] table that says its shards')
    split = shard_sql(bucketing.split_salt, unit, bucketing.total_shards)
    found = exp.Case()
    for number, ranges in moves.items():
        found = found.when(_within(split, ranges), exp.Literal.number(number))
    return found


def _split_sql(split: exp.Expr, ranges: Mapping[str, Ranges]) -> exp.Case:
    variant = exp.Case()
    for name, own in ranges.items():
        if own:
            variant = variant.when(_within(split, own), exp.Literal.string(name))
    return variant


def _dashed(salt: exp.Expr | str) -> exp.Expr:
    if isinstance(salt, str):
        return exp.Literal.string(f"{salt}-")
    return exp.DPipe(this=salt, expression=exp.Literal.string("-"))


def _column(unit: exp.Expr | str) -> exp.Expr:
    return exp.column(unit, quoted=True) if isinstance(unit, str) else unit.copy()


def _within(shard: exp.Expr, ranges: tuple[Range, ...] | list[Range]) -> exp.Expr:
    """`shard` in any of `[start, end)`; FALSE for no range at all."""
    if not ranges:
        return exp.false()
    return exp.or_(
        *(
            exp.Between(this=shard.copy(), low=exp.Literal.number(start), high=exp.Literal.number(end - 1))
            for start, end in ranges
        )
    )
