"""Allocation gives exact shares and moves as few shards as can be; traffic only grows."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assignments import AssignmentsError
from assignments.allocation import allocate, grow_slice, shares, to_ranges

weights = st.dictionaries(
    st.sampled_from(["A", "B", "C", "対照群", "😀"]),
    st.one_of(st.integers(1, 1_000), st.floats(1e-3, 1e3)),
    min_size=1,
)
totals = st.sampled_from([1, 7, 100, 1_000])


def owner_by_shard(ranges):
    owners = {}
    for variant, parts in ranges.items():
        for start, end in parts:
            for number in range(start, end):
                assert number not in owners, "a shard belongs to two variants"
                owners[number] = variant
    return owners


@given(weights, totals)
def test_shares_are_hamiltons(chosen, total):
    """Every count is the quota rounded down or up, they sum up, and who is rounded up had the larger rest."""
    counts = shares(chosen, total)
    whole = sum(Fraction(weight) for weight in chosen.values())
    quotas = {name: Fraction(weight) * total / whole for name, weight in chosen.items()}
    assert sum(counts.values()) == total
    assert all(math.floor(quotas[name]) <= counts[name] <= math.ceil(quotas[name]) for name in counts)
    up = [quotas[name] % 1 for name in counts if counts[name] > quotas[name]]
    down = [quotas[name] % 1 for name in counts if counts[name] < quotas[name]]
    assert not up or not down or min(up) >= max(down)


def test_a_known_apportionment():
    """Thirds of 10,000: the shard left over goes to the first named."""
    assert shares({"A": 1, "B": 1, "C": 1}) == {"A": 3_334, "B": 3_333, "C": 3_333}
    assert shares({"A": 0.1, "B": 0.2}, 3) == {"A": 1, "B": 2}


@given(weights, totals)
def test_every_shard_has_one_owner(chosen, total):
    owners = owner_by_shard(allocate(chosen, total))
    assert sorted(owners) == list(range(total))


@given(weights, weights, totals)
def test_a_weight_edit_moves_only_the_difference(before, after, total):
    """The shards that change hands are exactly what the growing variants gain: no allocation moves less."""
    old = allocate(before, total)
    new = allocate(after, total, previous=old)
    was, now = owner_by_shard(old), owner_by_shard(new)
    counts_before, counts_after = shares(before, total), shares(after, total)
    gain = sum(max(0, counts_after[name] - counts_before.get(name, 0)) for name in counts_after)
    moved = {number for number in was if was[number] != now[number]}
    assert len(moved) == gain
    assert {name: list(now.values()).count(name) for name in counts_after} == counts_after
    assert all(counts_after.get(was[number], 0) < counts_before[was[number]] for number in moved)
    assert allocate(after, total, previous=new) == new


@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)), st.integers(0, 100))
def test_traffic_only_adds_shards(own, taken, wanted):
    taken -= own
    current, others = to_ranges(own), to_ranges(taken)
    if wanted < len(own) or wanted > 100 - len(taken):
        with pytest.raises(AssignmentsError):
            grow_slice(current, wanted, taken=others, total_shards=100)
        return
    grown = owner_by_shard({"grown": grow_slice(current, wanted, taken=others, total_shards=100)})
    assert own <= grown.keys()
    assert len(grown) == wanted
    assert not taken & grown.keys()


@given(st.sets(st.integers(0, 60)))
def test_ranges_hold_exactly_their_shards(shards):
    ranges = to_ranges(shards)
    assert {number for start, end in ranges for number in range(start, end)} == shards
    assert all(left[1] < right[0] for left, right in itertools.pairwise(ranges))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: allocate({}), "no variants"),
        (lambda: allocate({"A": 0}), 'variant "A" has weight 0'),
        (lambda: allocate({"A": float("nan")}), "a weight is a number above 0"),
        (lambda: allocate({"A": 1}, 0), "total_shards = 0"),
        (lambda: allocate({"A": 1}, 10, {"A": [(0, 6)], "B": [(5, 9)]}), 'shard 5 of "B" belongs to two'),
        (lambda: allocate({"A": 1}, 10, {"A": [(5, 11)]}), r"\[5, 11\] is no range"),
        (lambda: grow_slice([(0, 5)], 4, total_shards=10), "can't shrink from 5 to 4"),
        (lambda: grow_slice([(0, 5)], 9, taken=[(5, 8)], total_shards=10), "only 2 of 10 are free"),
        (
            lambda: grow_slice([(0, 5)], 9, taken=[(4, 8)], total_shards=10),
            "shard 4 belongs to two experiments",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(AssignmentsError, match=message):
        call()
