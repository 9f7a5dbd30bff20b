"""Moments: merged in any cut they are those of all units at once; whole numbers give the exact value."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.errors import StatsError
from stats.moments import Moments

VALUES = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3)), min_size=0, max_size=40)


def of(rows: list[tuple[float, float]]) -> Moments:
    return Moments.from_columns([row[0] for row in rows], [row[1] for row in rows])


@given(VALUES, VALUES)
def test_merging_equals_computing_at_once(left, right):
    merged, whole = of(left).merge(of(right)), of(left + right)
    assert merged.n == whole.n
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-9)
    for got, want in zip(merged.cov, whole.cov, strict=True):
        assert got == pytest.approx(want, rel=1e-9, abs=1e-3)


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 10**4)), min_size=2, max_size=30))
def test_whole_numbers_give_the_correctly_rounded_moments(rows):
    n, scale = len(rows), 1000
    sums = [sum(row[i] for row in rows) for i in (0, 1)]
    products = [[sum(row[i] * row[j] for row in rows) for j in (0, 1)] for i in (0, 1)]
    found = Moments.from_exact_sums(n, sums, products, scale)
    means = [Fraction(total, n * scale) for total in sums]
    for i in (0, 1):
        assert found.mean[i] == float(means[i])
        for j in (0, 1):
            exact = sum(
                (Fraction(row[i], scale) - means[i]) * (Fraction(row[j], scale) - means[j]) for row in rows
            ) / (n - 1)
            assert found.cov[i][j] == float(exact)


def test_large_offsets_lose_no_digits():
    """Sum of squares minus square of sum gives zero or worse here."""
    values = 1e9 + np.array([-1.0, 0.0, 1.0, 0.5])
    found = Moments.from_columns(values)
    assert found.cov[0][0] == pytest.approx(np.var([-1.0, 0.0, 1.0, 0.5], ddof=1), rel=1e-12)


def test_covariances_are_numpys():
    draw = np.random.default_rng(3)
    x = draw.lognormal(2, 1, 500)
    y = 3 * x + draw.normal(0, 1, 500)
    found = Moments.from_columns(x, y)
    assert np.array(found.cov) == pytest.approx(np.cov(np.array([x, y])), rel=1e-12)


def test_nothing_and_one_unit_have_no_variance():
    assert Moments.from_columns([]) == Moments(0, (0.0,), ((0.0,),))
    assert Moments.from_columns([3.0]) == Moments(1, (3.0,), ((0.0,),))
    assert Moments.from_exact_sums(1, [3000], [[9_000_000]], 1000) == Moments(1, (3.0,), ((0.0,),))


@pytest.mark.parametrize("columns", [(), ([1.0], [1.0, 2.0]), ([1.0, float("nan")],), ([float("inf")],)])
def test_columns_that_have_no_moments_are_refused(columns):
    with pytest.raises(StatsError):
        Moments.from_columns(*columns)


def test_moments_of_different_widths_are_never_merged():
    with pytest.raises(StatsError, match="1 and 2 columns"):
        Moments.from_columns([1.0]).merge(Moments.from_columns([1.0], [2.0]))
