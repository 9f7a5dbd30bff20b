"""`md5-32/v1` gives the published numbers, and refuses what identifies no unit."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenbin_sdk.errors import TargetingKeyMissingError
from tenbin_sdk.hashing import bucket, in_ranges, shard, unit_text


def test_published_vectors(hash_vectors):
    """CPython, Node, DuckDB, PostgreSQL, Spark and Polars agree on these 18."""
    assert len(hash_vectors) == 18
    for vector in hash_vectors:
        salt, unit = vector["salt"], vector["subject"]
        assert bucket(salt, unit) == vector["u32"], vector
        assert shard(salt, unit) == vector["shard_10000"], vector
        assert shard(salt, unit, 1_000_000) == vector["shard_1000000"], vector


@given(st.text(), st.text(), st.integers(1, 1_000_000))
def test_follows_the_definition(salt, unit, total):
    """First eight hexadecimal digits of the digest, as a number, modulo the shards."""
    digest = hashlib.md5(salt.encode() + b"-" + unit.encode()).hexdigest()  # noqa: S324
    assert bucket(salt, unit) == int(digest[:8], 16)
    assert shard(salt, unit, total) == int(digest[:8], 16) % total


def test_no_normalisation_and_no_trimming():
    """The same name in composed and decomposed form, or with a space, is another unit."""
    assert bucket("s", "zo\u00eb") != bucket("s", "zoe\u0308")
    assert bucket("s", " a") != bucket("s", "a")
    assert bucket("s", "A") != bucket("s", "a")


@pytest.mark.parametrize(
    ("unit", "text"), [("鈴木", "鈴木"), (7, "7"), (-7, "-7"), (2**70, str(2**70)), (0, "0")]
)
def test_text_and_integers_are_units(unit, text):
    assert unit_text(unit) == text


@pytest.mark.parametrize("unit", [None, "", True, False, 7.0, float("nan"), b"a", ["a"], "half \ud83d"])
def test_what_is_no_unit(unit):
    with pytest.raises(TargetingKeyMissingError, match="the unit"):
        unit_text(unit)


def test_ranges_are_half_open():
    assert [number for number in range(6) if in_ranges(number, [(1, 2), (4, 6)])] == [1, 4, 5]
