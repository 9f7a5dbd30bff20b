"""Sample ratio: exact where counts are small, and its flag is rare when nothing is wrong."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stats.errors import StatsError
from stats.srm import sample_ratio


@given(st.integers(0, 12), st.integers(0, 12), st.floats(0.05, 0.95))
def test_two_small_arms_are_scipys_exact_binomial_test(a, b, share):
    found = sample_ratio({"A": a, "B": b}, {"A": share, "B": 1 - share})
    if a + b == 0:
        assert (found.p_value, found.failed) == (None, False)
    elif found.method == "exact":
        assert found.p_value == pytest.approx(scipy_stats.binomtest(a, a + b, share).pvalue, rel=1e-6)
    else:
        assert min(found.expected.values()) >= 5


def test_three_small_arms_are_every_outcome_counted():
    shares, observed = (0.2, 0.3, 0.5), (5, 1, 2)
    law = scipy_stats.multinomial(8, shares)
    outcomes = [x for x in itertools.product(range(9), repeat=3) if sum(x) == 8]
    seen = law.pmf(observed)
    exact = math.fsum(law.pmf(x) for x in outcomes if law.pmf(x) <= seen * (1 + 1e-9))
    found = sample_ratio(dict(zip("ABC", observed, strict=True)), dict(zip("ABC", shares, strict=True)))
    assert (found.method, found.p_value) == ("exact", pytest.approx(exact, rel=1e-9))


def test_published_counts():
    """Cookie Cats and GloBox, as their notebooks have them."""
    cookie_cats = sample_ratio({"gate_30": 44_700, "gate_40": 45_489}, {"gate_30": 1, "gate_40": 1})
    assert f"{cookie_cats.p_value:.4f}" == "0.0086"
    globox = sample_ratio({"A": 24_343, "B": 24_600}, {"A": 1, "B": 1})
    assert (f"{globox.chi2:.4f}", f"{globox.p_value:.4f}") == ("1.3495", "0.2454")


def test_a_variant_that_nobody_saw_is_counted_as_nobody():
    found = sample_ratio({"A": 100}, {"A": 1, "B": 1})
    assert (found.observed, found.failed) == ({"A": 100, "B": 0}, True)


def test_many_arms_with_few_units_each_fall_back_to_chi_squared():
    """Going through all outcomes would take minutes; 30 arms of 3 expected units each."""
    counts = {str(arm): 3 for arm in range(30)}
    found = sample_ratio(counts, dict.fromkeys(counts, 1.0))
    assert (found.method, found.p_value) == ("chi2", 1.0)


def test_the_flag_is_as_rare_as_its_level_says():
    draw = np.random.default_rng(2)
    flagged = sum(
        (sample_ratio({"A": int(a), "B": 30_000 - int(a)}, {"A": 1, "B": 2}).p_value or 0) < 0.05
        for a in draw.binomial(30_000, 1 / 3, 4_000)
    )
    assert flagged / 4_000 == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4_000))


@pytest.mark.parametrize("weights", [{"A": -1.0, "B": 1.0}, {"A": 0.0}, {"A": math.nan}, {}])
def test_weights_that_say_nothing_are_refused(weights):
    with pytest.raises(StatsError):
        sample_ratio({"A": 1, "B": 1}, weights)
