"""Ranks: against SciPy, by definition, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stats import inference
from stats.errors import StatsError
from stats.ranks import mann_whitney, superiority, superiority_interval
from stats.references import StudentT, p_value
from tests.stats.conftest import outputs, param

VALUES = st.lists(st.integers(-6, 6).map(float), min_size=2, max_size=40).map(np.array)


@param("mean", "mean")
def test_mann_whitney_of_the_vectors(case: dict):
    for expected in outputs(case, "scipy mannwhitneyu(treatment, control, method='asymptotic')"):
        raw = case["inputs"]["raw"]
        found = mann_whitney(np.array(raw["treatment"]), np.array(raw["control"]))
        assert (found.u, found.method) == (expected["statistic"], "normal")
        assert found.p_value == pytest.approx(expected["p_value"], rel=1e-9)


@given(VALUES, VALUES)
@settings(deadline=None)
def test_the_normal_law_with_ties_is_scipys(variant, baseline):
    assume(len(np.unique(np.concatenate([variant, baseline]))) > 1)
    found = mann_whitney(variant, baseline)
    assume(found.method == "normal")
    for sides, alternative in ((2, "two-sided"), (1, "greater")):
        theirs = scipy_stats.mannwhitneyu(variant, baseline, alternative=alternative, method="asymptotic")
        ours = mann_whitney(variant, baseline, sides=sides)
        assert ours.u == theirs.statistic
        assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
        assert 10**ours.log10_p == pytest.approx(ours.p_value, rel=1e-9)


def test_few_values_without_ties_are_exact():
    draw = np.random.default_rng(3)
    variant, baseline = draw.normal(1, 1, 7), draw.normal(0, 1, 30)
    for sides, alternative in ((2, "two-sided"), (1, "greater")):
        found = mann_whitney(variant, baseline, sides=sides)
        theirs = scipy_stats.mannwhitneyu(variant, baseline, alternative=alternative, method="exact")
        assert (found.method, found.p_value) == ("exact", theirs.pvalue)
    assert mann_whitney(variant, np.append(baseline, variant[0])).method == "normal"


def test_a_tail_below_the_smallest_double_is_a_logarithm():
    found = mann_whitney(np.arange(5000.0) + 10_000, np.arange(5000.0))
    assert (found.u, found.p_value) == (25e6, 0.0)
    z = (12.5e6 - 0.5) / math.sqrt(25e6 / 12 * 10_001)
    assert found.log10_p == pytest.approx((math.log(2) + scipy_stats.norm.logsf(z)) / math.log(10), rel=1e-12)


@given(VALUES, VALUES)
@settings(deadline=None)
def test_superiority_is_counted_pair_by_pair_and_tested_as_scipy_does(variant, baseline):
    found = superiority(variant, baseline)
    pairs = np.subtract.outer(variant, baseline)
    assert found.variant == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean(), rel=1e-12, abs=1e-15)
    assert inference.lift(found) == pytest.approx(np.sign(pairs).mean(), rel=1e-9, abs=1e-12)
    assume(found.variance_against(1.0) > 1e-12)
    theirs = scipy_stats.brunnermunzel(variant, baseline)
    assert inference.statistic(found) == pytest.approx(-theirs.statistic, rel=1e-9, abs=1e-9)
    p = p_value(inference.log10_p(found, StudentT(found.df)))
    assert p == pytest.approx(theirs.pvalue, rel=1e-9)


@given(VALUES, VALUES, st.sampled_from([0.01, 0.05, 0.3]))
@settings(deadline=None)
def test_the_test_rejects_exactly_when_the_interval_leaves_out_one_half(variant, baseline, alpha):
    found = superiority(variant, baseline)
    assume(found.variance_against(1.0) > 1e-12)
    law = StudentT(found.df)
    p = p_value(inference.log10_p(found, law))
    assume(abs(p - alpha) > 1e-9)
    interval = superiority_interval(found, law, alpha)
    assert (interval.lower > 0.5 or interval.upper < 0.5) == (p < alpha)
    assert 0 <= interval.lower <= found.variant <= interval.upper <= 1


@given(VALUES, VALUES)
@settings(deadline=None)
def test_arms_exchanged_mirror_and_any_increasing_scale_changes_nothing(variant, baseline):
    one, other = superiority(variant, baseline), superiority(baseline, variant)
    assert one.variant == pytest.approx(1 - other.variant, abs=1e-12)
    assert one.variance_against(1.0) == pytest.approx(other.variance_against(1.0), rel=1e-9, abs=1e-15)
    assert mann_whitney(variant, baseline).p_value == pytest.approx(
        mann_whitney(baseline, variant).p_value, rel=1e-12
    )
    scaled = superiority(np.exp(variant), np.exp(baseline))
    assert scaled.variant == one.variant


@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_the_interval_covers_as_often_as_it_says(spread):
    """Also where the arms differ in spread, which the Mann-Whitney test takes for a difference."""
    draw, runs = np.random.default_rng(11), 3_000
    truth = scipy_stats.norm.cdf(0.5 / math.sqrt(1 + spread**2))
    covered = rejected = 0
    for _ in range(runs):
        variant, baseline = draw.normal(0.5, spread, 25), draw.normal(0, 1, 60)
        found = superiority(variant, baseline)
        interval = superiority_interval(found, StudentT(found.df), 0.05)
        covered += interval.lower <= truth <= interval.upper
        rejected += mann_whitney(variant - 0.5, baseline).p_value < 0.05
    assert covered / runs == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / runs) + 0.005)
    if spread > 1:
        assert rejected / runs > 0.08
    else:
        assert rejected / runs == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def test_what_is_not_defined():
    nothing, one = np.array([]), np.array([1.0])
    assert math.isnan(mann_whitney(nothing, one).p_value)
    assert mann_whitney(np.ones(20), np.ones(30))[:3] == (300, 1.0, 0.0)
    assert superiority(np.arange(3.0) + 9, np.arange(3.0)).variance_against(1.0) == 0
    assert mann_whitney(one, one + 1).p_value == 1
    far = superiority(np.array([1e12, -math.inf, 3.0]), np.array([1e-12, math.inf, 3.0]))
    assert far.variant == pytest.approx(3.5 / 9)
    with pytest.raises(StatsError):
        superiority(nothing, one)
    for values in ((one, np.array([math.nan])), (np.array([math.nan, 1.0]), one)):
        with pytest.raises(StatsError):
            mann_whitney(*values)
        with pytest.raises(StatsError):
            superiority(*values)
