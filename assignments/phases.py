"""The phases that an analysis tells apart, and the shards that a change of weights moved.

More traffic at the same weights starts no phase of its own here. A unit whose shard moved between variants is
left out whatever it did afterwards: to leave out only those who came back would choose by behaviour.
"""

import datetime as dt
import itertools
import math
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import numpy.typing as npt

from assignments.allocation import to_ranges
from assignments.model import Experiment
from tenbin_sdk.hashing import Range

Ranges = tuple[Range, ...]


class WeightPhase(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive phases of the definition with the same weights."""

    number: int  # from 1
    from_: dt.datetime
    weights: dict[str, float]
    since_version: int | None = None
    ranges: dict[str, Ranges] | None = None  # None: somebody else assigns the units


def weight_phases(
    experiment: Experiment, zone: ZoneInfo, *, as_of: dt.date | None = None
) -> tuple[WeightPhase, ...]:
    """The phases in order; the first one is always there.

    Args:
        experiment: any.
        zone: the workspace's, in which the last day ends: what comes after it (a roll-out) is no phase.
        as_of: the day whose end the data are cut at; later changes do not exist then.
    """
    bounds = [] if as_of is None else [dt.datetime.combine(as_of, dt.time(), dt.UTC) + dt.timedelta(days=1)]
    if experiment.end is not None:
        bounds.append(dt.datetime.combine(experiment.end + dt.timedelta(days=1), dt.time(), zone))
    found: list[WeightPhase] = []
    for phase in experiment.phases:
        if found and (
            same_shares(found[-1].weights, phase.weights) or any(phase.from_ >= bound for bound in bounds)
        ):
            continue
        found.append(
            WeightPhase(
                number=len(found) + 1,
                from_=phase.from_,
                weights=phase.weights,
                since_version=phase.since_version,
                ranges=phase.ranges,
            )
        )
    return tuple(found)


def same_shares(left: dict[str, float], right: dict[str, float]) -> bool:
    """Whether two sets of weights split units in the same way."""
    total_left, total_right = sum(left.values()), sum(right.values())
    return left.keys() == right.keys() and all(
        math.isclose(left[variant] * total_right, right[variant] * total_left, rel_tol=1e-9)
        for variant in left
    )


def moved(phases: Sequence[WeightPhase], total_shards: int) -> dict[int, Ranges]:
    """By phase, the shards that went to another variant for the first time when it began; none where unknown.

    Args:
        phases: of one experiment.
        total_shards: of its split.
    """
    owners = _owners(phases, total_shards)
    gone = np.zeros(total_shards, dtype=np.bool_)
    found: dict[int, Ranges] = {}
    for phase, (before, after) in zip(phases[1:], itertools.pairwise(owners), strict=False):
        fresh = (before != after) & ~gone
        if fresh.any():
            found[phase.number] = to_ranges(np.flatnonzero(fresh).tolist())
        gone |= fresh
    return found


def kept(phases: Sequence[WeightPhase], total_shards: int) -> dict[str, int] | None:
    """Shards that each variant has had in all of the phases; None where the shards are not known."""
    owners = _owners(phases, total_shards)
    if not owners:
        return None
    stayed = np.logical_and.reduce([owner == owners[0] for owner in owners])
    names = variants_of(phases)
    counts = np.bincount(owners[0][stayed], minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def variants_of(phases: Sequence[WeightPhase]) -> tuple[str, ...]:
    """Every variant of any phase."""
    return tuple(dict.fromkeys(variant for phase in phases for variant in phase.weights))


def _owners(phases: Sequence[WeightPhase], total_shards: int) -> list[npt.NDArray[np.int64]]:
    """Per phase, the number of the variant that owns each shard; empty where any phase does not say."""
    numbers = {name: number for number, name in enumerate(variants_of(phases))}
    found = []
    for phase in phases:
        if phase.ranges is None:
            return []
        owner = np.zeros(total_shards, dtype=np.int64)
        for name, ranges in phase.ranges.items():
            for start, end in ranges:
                owner[start:end] = numbers[name]
        found.append(owner)
    return found
