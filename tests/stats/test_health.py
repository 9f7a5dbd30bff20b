"""Health: arms that differed before, a few units that carry a result, effects that fade."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.health import (
    BIAS_BELOW,
    covariate_difference,
    novelty,
    outlier_influence,
    pre_exposure_bias,
)
from stats.moments import Moments

# Pre-exposure bias


def arms(draw, shift=0.0, n=4_000):
    """Outcome and covariate of two arms; the covariate of the first is shifted."""
    x = [draw.gamma(2, 1, n) + extra for extra in (shift, 0.0)]
    return x, [Moments.from_columns(part + draw.normal(0, 1, n), part) for part in x]


def test_the_covariate_is_tested_as_an_outcome():
    x, moments = arms(np.random.default_rng(1), shift=0.25)
    found = pre_exposure_bias(covariate_difference(*moments, column=1))
    theirs = scipy_stats.ttest_ind(*x, equal_var=False)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert found.estimate == pytest.approx(x[0].mean() - x[1].mean(), rel=1e-9)
    assert found.lift == pytest.approx(x[0].mean() / x[1].mean() - 1, rel=1e-9)
    assert found.failed
    assert found.finding.startswith("The arms differed before exposure already, by +")


def test_arms_that_were_alike_are_said_to_be():
    _, moments = arms(np.random.default_rng(2))
    found = pre_exposure_bias(covariate_difference(*moments, column=1))
    assert not found.failed
    assert found.finding.startswith("The arms were alike before exposure")


def test_a_random_split_fails_as_rarely_as_the_level_says():
    draw = np.random.default_rng(3)
    failed = 0
    for _ in range(1_000):
        x = draw.gamma(2, 1, (2, 200))
        contrast = covariate_difference(*(Moments.from_columns(part) for part in x), column=0)
        failed += pre_exposure_bias(contrast, below=0.05).failed
        assert pre_exposure_bias(contrast).failed == (pre_exposure_bias(contrast).p_value < BIAS_BELOW)
    assert failed / 1_000 == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 1_000))


@pytest.mark.parametrize(
    "changes",
    [{"var_variant": 0.0, "var_baseline": 0.0}, {"variant": math.nan}, {"variant": math.inf}, {"df": 0.0}],
)
def test_a_covariate_without_variation_fails_nothing(changes):
    base = {"variant": 1.0, "baseline": 1.0, "var_variant": 1.0, "var_baseline": 1.0}
    found = pre_exposure_bias(Contrast(method="any", **base | changes))
    assert (found.p_value, found.failed) == (None, False)
    assert "nothing can be compared" in found.finding


# Outliers


def test_one_unit_that_carries_the_result_is_found():
    draw = np.random.default_rng(4)
    variant, baseline = draw.gamma(1, 10, 2_000), draw.gamma(1, 10, 2_000)
    variant[77] = 100_000.0
    found = outlier_influence(variant, baseline, top=1)
    assert found.failed
    assert found.variance_share > 0.95
    rest = scipy_stats.ttest_ind(np.delete(variant, 77), baseline, equal_var=False)
    assert found.p_value_without == pytest.approx(rest.pvalue, rel=1e-9)
    assert found.p_value == pytest.approx(
        scipy_stats.ttest_ind(variant, baseline, equal_var=False).pvalue, rel=1e-9
    )
    assert "1 unit of 4,000 carries" in found.finding


def test_a_significance_that_hangs_on_few_units_is_said():
    draw = np.random.default_rng(5)
    variant, baseline = draw.normal(0, 1, 1_000), draw.normal(0, 1, 1_000)
    variant[:60] += 4.0
    found = outlier_influence(variant, baseline, top=60)
    assert found.p_value <= 0.05 < found.p_value_without
    assert found.variance_share < 0.5
    assert found.failed
    assert found.finding.startswith("The result hangs on a few units: 60 units of 2,000")


def test_the_share_is_that_of_the_differences_variance():
    """By hand: arms of 3 and 5 units weigh 1/6 and 1/20; 9 is farthest from the pooled median, 2.5."""
    found = outlier_influence(np.array([1.0, 2.0, 9.0]), np.array([0.0, 1.0, 3.0, 4.0, 7.0]), top=1)
    whole = (9 + 4 + 25) / 6 + (9 + 4 + 0 + 1 + 16) / 20
    assert found.variance_share == pytest.approx(25 / 6 / whole, rel=1e-12)


def test_light_tails_are_no_finding():
    draw = np.random.default_rng(6)
    found = outlier_influence(draw.normal(0.2, 1, 3_000), draw.normal(0, 1, 3_000))
    assert not found.failed
    assert found.finding.startswith("No handful of units decides: 10 units of 6,000 carry 2% of the variance")


@settings(deadline=None)
@given(
    arrays(float, st.integers(3, 30), elements=st.floats(-100, 100, allow_subnormal=False)),
    arrays(float, st.integers(3, 30), elements=st.floats(-100, 100, allow_subnormal=False)),
    st.integers(1, 5),
)
def test_the_share_is_a_share_and_arms_may_be_swapped(variant, baseline, top):
    one, other = outlier_influence(variant, baseline, top=top), outlier_influence(baseline, variant, top=top)
    if one.variance_share is None:
        assert other.variance_share is None
        return
    assert 0 <= one.variance_share <= 1 + 1e-12
    assert one.estimate == pytest.approx(-other.estimate, abs=1e-9)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("variant", "baseline"),
    [([], []), ([1.0], [2.0]), ([3.0] * 40, [3.0] * 40), ([1.0, 2.0], [1.0, 4.0, 2.0])],
)
def test_too_little_to_leave_any_out(variant, baseline):
    found = outlier_influence(np.array(variant), np.array(baseline))
    assert (found.p_value, found.failed) == (None, False)
    assert found.finding.startswith("There are too few units")


def test_nothing_but_the_extremes_varies():
    found = outlier_influence(np.array([0.0] * 50 + [9.0]), np.zeros(50), top=1)
    assert found.failed
    assert found.p_value_without is None
    assert found.finding.endswith("without them nothing varies.")


# Novelty

DAYS = 10


def daily(draw, lifts, n=3_000, decay=0.9):
    """Arms of units with a habit of their own, whose days hang together and fade; the lift is per day."""
    habit = draw.gamma(2, 1, (2, n, 1))
    level = decay ** np.arange(DAYS)
    days = draw.poisson(5 * habit * level * np.stack([1 + np.array(lifts), np.ones(DAYS)])[:, None, :])
    return [Moments.from_columns(*part.T.astype(float)) for part in days]


def test_a_slope_of_differences_is_the_test_of_each_units_slope():
    """Where a day's baseline is not told from 0: the slope of a unit over its days as its outcome."""
    draw = np.random.default_rng(7)
    values = [draw.normal(shift, 1, (80, 6)).cumsum(axis=1) for shift in (0.3, 0.0)]
    found = novelty(*(Moments.from_columns(*part.T) for part in values))
    slopes = [np.polyfit(np.arange(6), part.T, 1)[0] for part in values]
    theirs = scipy_stats.ttest_ind(*slopes, equal_var=False)
    assert found.scale == "absolute"
    assert found.slope == pytest.approx(slopes[0].mean() - slopes[1].mean(), rel=1e-9)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    interval = scipy_stats.ttest_ind(values[0][:, 3], values[1][:, 3], equal_var=False).confidence_interval()
    assert (found.days[3].lower, found.days[3].upper) == pytest.approx(tuple(interval), rel=1e-9)


def test_a_fading_effect_is_novelty_and_a_growing_one_is_not():
    draw = np.random.default_rng(8)
    fading = novelty(*daily(draw, np.linspace(0.4, 0.02, DAYS)))
    assert fading.failed
    assert fading.scale == "relative"
    assert fading.slope == pytest.approx(-0.38 / 9, abs=4 * fading.std_error)
    assert fading.finding.startswith("The effect fades with days since exposure, along a line from +")
    growing = novelty(*daily(draw, np.linspace(0.02, 0.4, DAYS)))
    assert growing.finding.startswith("The effect grows")
    turning = novelty(*daily(draw, np.linspace(0.3, -0.3, DAYS)))
    assert turning.finding.startswith("The effect turns round")


def test_a_constant_lift_on_a_fading_baseline_does_not_move():
    """800 runs, a lift of 30 % while activity halves: 5 % are flagged, of differences most."""
    draw = np.random.default_rng(9)
    runs, flagged, differences = 800, 0, 0
    for _ in range(runs):
        variant, baseline = daily(draw, [0.3] * DAYS, n=300)
        flagged += novelty(variant, baseline).failed
        shifted = [
            Moments(arm.n, tuple(m + s for m in arm.mean), arm.cov)
            for arm, s in ((variant, 1e6), (baseline, 1e6))
        ]
        differences += novelty(*shifted).failed  # a baseline of a million: lifts are differences
    assert flagged / runs == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))
    assert differences / runs > 0.5


def test_days_that_do_not_vary_and_arms_that_are_too_small():
    flat = Moments.from_columns(np.full(9, 2.0), np.full(9, 2.0))
    found = novelty(flat, flat)
    assert (found.p_value, found.failed) == (None, False)
    assert found.finding.startswith("Nothing varies")
    one = Moments(1, (1.0, 2.0), ((0.0, 0.0), (0.0, 0.0)))
    assert novelty(one, flat).finding.startswith("There are too few units")
    assert novelty(one, flat).days[1].estimate is None


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_unit_of_the_metric_does_not_matter(factor):
    draw = np.random.default_rng(10)
    pair = daily(draw, [0.1] * DAYS, n=200)
    scaled = [
        Moments(
            arm.n,
            tuple(m * factor for m in arm.mean),
            tuple(tuple(c * factor**2 for c in row) for row in arm.cov),
        )
        for arm in pair
    ]
    assert novelty(*scaled).p_value == pytest.approx(novelty(*pair).p_value, rel=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: novelty(Moments(5, (1.0,), ((1.0,),)), Moments(5, (1.0,), ((1.0,),))),
        lambda: outlier_influence(np.ones(3), np.ones(3), top=0),
        lambda: outlier_influence(np.array([1.0, math.nan]), np.ones(3)),
        lambda: outlier_influence(np.ones(3), np.ones(3), alpha=2.0),
        lambda: pre_exposure_bias(
            Contrast(method="any", variant=1.0, baseline=1.0, var_variant=1.0, var_baseline=1.0), below=0.0
        ),
    ],
)
def test_arguments_without_meaning_are_refused(wrong):
    with pytest.raises(StatsError):
        wrong()
