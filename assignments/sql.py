"""Bucketing `md5-32/v1` as DuckDB SQL, so that the pipeline can derive an assignment again.

(('0x' || md5(salt || '-' || unit)[1:8])::UBIGINT % total_shards)

DuckDB's own `md5_number*` read the digest little-endian and give another bucket: never use them.
"""

from sqlglot import exp

from assignments.errors import AssignmentsError
from assignments.model import Experiment
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


def assigned_variant_sql(experiment: Experiment, unit: exp.Expr | str) -> exp.Expr:
    """The variant that the hash gives a unit: text, or NULL when it is not in the experiment.

    Holdout, layer slice and split are derived; targeting is not (a unit that a condition kept out has a
    variant here). A unit counts as in the slice when any phase held it, since traffic comes and goes while
    the split stays.

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
    variant = exp.Case()
    for name, ranges in (experiment.phases[-1].ranges or {}).items():
        if ranges:
            variant = variant.when(_within(split, ranges), exp.Literal.string(name))
    slices = sorted({part for phase in experiment.phases for part in phase.slice or ()})
    inside: exp.Expr = _within(shard_sql(bucketing.layer_salt, unit, total), slices)
    if bucketing.holdout and bucketing.holdout_salt is not None:
        held = _within(shard_sql(bucketing.holdout_salt, unit, total), bucketing.holdout)
        inside = exp.and_(inside, exp.not_(held))
    return exp.Case().when(inside, variant)


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
