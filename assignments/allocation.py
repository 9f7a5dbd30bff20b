"""Which shards belong to which variant, changed by moving as few as can be.

Shares are exact: each variant owns `floor(weight / sum * total)` shards and the shards left over go to the
largest remainders (Hamilton's method; ties to the variant named first). Going from one allocation to
another, a shard moves only when its variant must shrink, and only to one that must grow: the number of
shards moved is half the sum of the absolute differences of the counts, which no allocation can beat.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from assignments.errors import AssignmentsError
from tenbin_sdk.hashing import DEFAULT_SHARDS, MAX_SHARDS, Range

Ranges = tuple[Range, ...]


def shares(weights: Mapping[str, float], total_shards: int = DEFAULT_SHARDS) -> dict[str, int]:
    """Number of shards of each variant: exact shares by largest remainder, summing to `total_shards`.

    Raises:
        AssignmentsError: no variant, a weight that is not a number above 0, or no shards.
    """
    _check(weights, total_shards)
    exact = {variant: Fraction(weight) for variant, weight in weights.items()}
    whole = sum(exact.values())
    quotas = {variant: weight * total_shards / whole for variant, weight in exact.items()}
    counts = {variant: math.floor(quota) for variant, quota in quotas.items()}
    left_over = total_shards - sum(counts.values())
    # `sorted` is stable: equal remainders stay in the order of the weights.
    for variant in sorted(quotas, key=lambda name: counts[name] - quotas[name])[:left_over]:
        counts[variant] += 1
    return counts


def allocate(
    weights: Mapping[str, float],
    total_shards: int = DEFAULT_SHARDS,
    previous: Mapping[str, Iterable[Range]] | None = None,
) -> dict[str, Ranges]:
    """Ranges of shards by variant, in the order of `weights`.

    Args:
        weights: weight of each variant, above 0.
        total_shards: how many shards there are in all.
        previous: the allocation in force; from it the fewest shards move. A variant that is gone gives all
            its shards away, a new one starts with none.

    Raises:
        AssignmentsError: weights that are not positive, or a previous allocation that does not fit.
    """
    counts = shares(weights, total_shards)
    owned = _owned(previous or {}, total_shards)
    kept: dict[str, list[int]] = {}
    free = sorted(set(range(total_shards)) - set(itertools.chain.from_iterable(owned.values())))
    for variant, shards in owned.items():
        keep = counts.get(variant, 0)
        kept[variant] = shards[:keep]
        free += shards[keep:]
    free.sort()
    start = 0
    ranges: dict[str, Ranges] = {}
    for variant, count in counts.items():
        have = kept.get(variant, [])
        end = start + count - len(have)
        ranges[variant] = to_ranges([*have, *free[start:end]])
        start = end
    return ranges


def grow_slice(
    current: Iterable[Range],
    shards: int,
    *,
    taken: Iterable[Range] = (),
    total_shards: int = DEFAULT_SHARDS,
) -> Ranges:
    """The slice of a layer with free shards added until it holds `shards`; none is ever given back.

    Args:
        current: shards that the experiment owns.
        shards: how many it shall own; fewer than now is refused, for a unit must not lose its experiment.
        taken: shards that other experiments of the layer own.
        total_shards: shards of the layer.

    Raises:
        AssignmentsError: fewer shards than now, or more than are free.
    """
    own = _expand(current, total_shards)
    others = _expand(taken, total_shards)
    if own & others:
        raise AssignmentsError(f"shard {min(own & others)} belongs to two experiments of one layer")
    if shards < len(own):
        raise AssignmentsError(
            f"the traffic can't shrink from {len(own)} to {shards} shards: units would leave the experiment; "
            "stop the experiment, or start a new iteration"
        )
    free = [number for number in range(total_shards) if number not in own and number not in others]
    wanted = shards - len(own)
    if wanted > len(free):
        raise AssignmentsError(
            f"{wanted} more shards are wanted, but only {len(free)} of {total_shards} are free in the layer; "
            "ask for less traffic or use another layer"
        )
    return to_ranges([*own, *free[:wanted]])


def to_ranges(shards: Iterable[int]) -> Ranges:
    """The fewest ranges `[start, end)` that hold exactly these shards, in order."""
    ordered = sorted(set(shards))
    ranges: list[Range] = []
    for number in ordered:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return tuple(ranges)


def _check(weights: Mapping[str, float], total_shards: int) -> None:
    if not weights:
        raise AssignmentsError("no variants; give at least one with a weight above 0")
    for variant, weight in weights.items():
        if not (math.isfinite(weight) and weight > 0):
            raise AssignmentsError(f'variant "{variant}" has weight {weight:g}; a weight is a number above 0')
    if not 1 <= total_shards <= MAX_SHARDS:
        raise AssignmentsError(f"total_shards = {total_shards} must lie between 1 and {MAX_SHARDS}")


def _expand(ranges: Iterable[Range], total_shards: int) -> set[int]:
    shards: set[int] = set()
    for start, end in ranges:
        if not 0 <= start < end <= total_shards:
            raise AssignmentsError(
                f"[{start}, {end}] is no range of shards; 0 <= start < end <= {total_shards}"
            )
        shards.update(range(start, end))
    return shards


def _owned(previous: Mapping[str, Iterable[Range]], total_shards: int) -> dict[str, list[int]]:
    owned: dict[str, list[int]] = {}
    seen: set[int] = set()
    for variant, ranges in previous.items():
        shards = _expand(ranges, total_shards)
        if shards & seen:
            raise AssignmentsError(f'shard {min(shards & seen)} of "{variant}" belongs to two variants')
        seen |= shards
        owned[variant] = sorted(shards)
    return owned
