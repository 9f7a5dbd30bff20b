"""Segments: the test of interaction, how much effects differ, and estimates drawn together."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.oneway import anova_oneway

from stats import contrasts
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.heterogeneity import (
    Effects,
    between,
    compare_segments,
    differences,
    lifts,
    shrink,
    stacked,
    tau2_dersimonian_laird,
    tau2_paule_mandel,
)
from stats.moments import Moments, Stack

# The trials of a vaccine against tuberculosis (Colditz et al. 1994): cases and others, treated and not.
BCG = np.array(
    [
        (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13_536, 248, 12_619),
        (33, 5_036, 47, 5_761), (180, 1_361, 372, 1_079), (8, 2_537, 10, 619), (505, 87_886, 499, 87_892),
        (29, 7_470, 45, 7_232), (17, 1_699, 65, 1_600), (186, 50_448, 141, 27_197), (5, 2_493, 3, 2_338),
        (27, 16_886, 29, 17_825),
    ],
    dtype=float,
)  # fmt: skip


def known(estimate, variance) -> Effects:
    e, v = np.array(estimate, dtype=float), np.array(variance, dtype=float)
    return Effects(e, v, np.full(e.shape, math.inf))


def bcg() -> Effects:
    a, b, c, d = BCG.T
    return known(np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))


def test_the_tuberculosis_trials_are_as_published_and_as_statsmodels_has_them():
    """Documentation of R's metafor (Viechtbauer 2010): Q(12) = 152.2330, tau^2 0.3088 (DL), 0.3181 (PM)."""
    effects = bcg()
    found = between(effects)
    assert f"{found.q:.4f}" == "152.2330"
    assert f"{tau2_dersimonian_laird(effects):.4f}" == "0.3088"
    assert f"{tau2_paule_mandel(effects):.4f}" == "0.3181"
    assert found.p_value == pytest.approx(scipy_stats.chi2.sf(found.q, 12), rel=1e-9)
    theirs = combine_effects(effects.estimate, effects.variance, method_re="iterated", atol=1e-14)
    assert found.q == pytest.approx(theirs.q, rel=1e-9)
    assert found.i2 == pytest.approx(theirs.i2, rel=1e-9)
    assert tau2_paule_mandel(effects) == pytest.approx(theirs.tau2, rel=1e-6)
    moments = combine_effects(effects.estimate, effects.variance, method_re="chi2")
    assert tau2_dersimonian_laird(effects) == pytest.approx(moments.tau2, rel=1e-9)


def test_eight_schools():
    """Gelman et al., "Bayesian data analysis", 5.5: pooled 7.7 with error 4.1; nothing differs."""
    effects = known([28, 8, -3, 7, -1, 1, 18, 12], np.square([15, 10, 16, 11, 9, 11, 10, 18]))
    found = compare_segments([str(place) for place in range(8)], effects, planned=True)
    assert found.overall == pytest.approx(7.7, abs=0.05)
    assert math.sqrt(1 / (1 / effects.variance).sum()) == pytest.approx(4.1, abs=0.05)
    theirs = combine_effects(effects.estimate, effects.variance)
    assert (found.q, found.df, found.tau2) == (pytest.approx(theirs.q, rel=1e-9), 7, 0)
    assert found.finding.startswith("Nothing shows")


def test_batting_averages():
    """Efron and Morris 1975, "Data analysis using Stein's estimator", table 1: 18 players, one variance."""
    hits = np.array([18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7])
    x = math.sqrt(45) * np.arcsin(2 * hits / 45 - 1)
    found = shrink(known(x, np.ones(18)), tau2_paule_mandel(known(x, np.ones(18))))
    slope = np.diff(found.estimate[[0, -1]])[0] / np.diff(x[[0, -1]])[0]
    assert round(1 - slope, 3) == 0.791
    averages = (np.sin(found.estimate / math.sqrt(45)) + 1) / 2
    published = [
        0.290,
        0.286,
        0.281,
        0.277,
        0.273,
        0.273,
        0.268,
        0.264,
        0.259,
        0.259,
        *[0.254] * 5,
        0.249,
        0.244,
        0.239,
    ]
    assert averages.round(3).tolist() == published


def test_with_estimated_variances_it_is_welchs_anova():
    """Segments as the groups of an analysis of variance: statsmodels' test with unequal variances."""
    draw = np.random.default_rng(1)
    groups = [draw.normal(0.2 * place, 1 + place, 8 + 5 * place) for place in range(5)]
    effects = Effects(
        *(
            np.array(x)
            for x in zip(*((g.mean(), g.var(ddof=1) / len(g), len(g) - 1.0) for g in groups), strict=True)
        )
    )
    found = between(effects)
    theirs = anova_oneway(groups, use_var="unequal", welch_correction=True)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.df, found.df_denominator) == pytest.approx(theirs.df, rel=1e-9)


def test_two_segments_are_the_t_test_of_their_difference():
    draw = np.random.default_rng(2)
    groups = [draw.normal(0, 1, 9), draw.normal(1, 3, 14)]
    effects = Effects(
        np.array([g.mean() for g in groups]),
        np.array([g.var(ddof=1) / len(g) for g in groups]),
        np.array([len(g) - 1.0 for g in groups]),
    )
    assert between(effects).p_value == pytest.approx(
        scipy_stats.ttest_ind(*groups, equal_var=False).pvalue, rel=1e-9
    )


def a_stack(draw, lift, runs, segments, n):
    """Moments of every run and segment, arms of n gamma values."""
    x = draw.gamma(1, 1, (2, runs, segments, n))
    x[1] *= 1 + lift

    def moments(values):
        return Stack(
            np.full(values.shape[:-1], float(n)), (values.mean(axis=-1),), ((values.var(axis=-1, ddof=1),),)
        )

    return contrasts.difference_of_means(moments(x[1]), moments(x[0]))


def test_equal_effects_differ_as_rarely_as_alpha_says():
    """6 segments of 25 skewed units an arm, 2,000 runs, on both scales; chi-squared is more often wrong."""
    draw = np.random.default_rng(3)
    runs, segments = 2_000, 6
    flagged, plain = {"differences": 0, "lifts": 0}, 0
    contrast = a_stack(draw, 0.0, runs, segments, 25)
    for place in range(runs):
        one = Contrast(
            method="any",
            **{
                name: getattr(contrast, name)[place]
                for name in ("variant", "baseline", "var_variant", "var_baseline", "df")
            },
        )
        for name, read in (("differences", differences), ("lifts", lifts)):
            flagged[name] += between(read(one)).p_value <= 0.05
        found = between(differences(one))
        plain += scipy_stats.chi2.sf(found.q, found.df) <= 0.05
    error = 4 * math.sqrt(0.05 * 0.95 / runs)
    assert all(count / runs <= 0.05 + error for count in flagged.values())
    assert flagged["differences"] / runs == pytest.approx(0.045, abs=error)
    assert plain > flagged["differences"]


@pytest.mark.parametrize("tau2", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("k", [4, 8])
def test_shrunk_intervals_cover_and_shrunk_estimates_are_nearer(k, tau2):
    """Truths from a normal law, 700 runs: coverage at least 95 % less four errors; plain EB has 0.85."""
    draw = np.random.default_rng(4)
    runs, variance = 700, np.exp(np.linspace(-1, 1, k))
    truth = draw.normal(0, math.sqrt(tau2), (runs, k))
    seen = truth + draw.normal(0, np.sqrt(variance), (runs, k))
    found = [shrink(known(e, variance), tau2_paule_mandel(known(e, variance))) for e in seen]
    estimate, error = (np.array([getattr(one, name) for one in found]) for name in ("estimate", "std_error"))
    covered = (np.abs(estimate - truth) <= 1.959964 * error).mean()
    assert covered >= 0.95 - 4 * math.sqrt(0.05 * 0.95 / (runs * k))
    assert np.square(estimate - truth).mean() < np.square(seen - truth).mean()


EFFECTS = st.lists(st.tuples(st.floats(-10, 10), st.floats(0.01, 10)), min_size=2, max_size=9)


@settings(deadline=None)
@given(EFFECTS, st.floats(-100, 100), st.sampled_from([1e-12, 1.0, 1e12]))
def test_shifting_and_scaling(pairs, shift, factor):
    e, v = map(np.array, zip(*pairs, strict=True))
    one, other = known(e, v), known((e + shift) * factor, v * factor**2)
    assert between(other).q == pytest.approx(between(one).q, rel=1e-6, abs=1e-9)
    assert tau2_paule_mandel(other) == pytest.approx(
        tau2_paule_mandel(one) * factor**2, rel=1e-6, abs=1e-9 * factor**2
    )


@settings(deadline=None)
@given(EFFECTS)
def test_a_shrunk_estimate_lies_between_its_own_and_the_common_one_and_none_is_drawn_when_effects_differ(
    pairs,
):
    e, v = map(np.array, zip(*pairs, strict=True))
    effects = known(e, v)
    tau2 = tau2_paule_mandel(effects)
    found = shrink(effects, tau2)
    if len(e) < 4:
        assert np.isnan(found.estimate).all()
        return
    mean = (e / (v + tau2)).sum() / (1 / (v + tau2)).sum()
    assert (np.abs(found.estimate - mean) <= np.abs(e - mean) + 1e-12).all()
    assert shrink(effects, 1e12).estimate == pytest.approx(e, abs=1e-9)
    assert shrink(effects, 1e12).std_error == pytest.approx(np.sqrt(v), rel=1e-6)


def test_lifts_of_segments_with_one_lift_but_different_baselines_do_not_differ():
    segments = Contrast(
        method="any", variant=np.array([1.1, 11.0, 110.0]), baseline=np.array([1.0, 10.0, 100.0]),
        var_variant=np.array([1e-4, 1e-2, 1.0]), var_baseline=np.array([1e-4, 1e-2, 1.0]),
    )  # fmt: skip
    assert between(lifts(segments)).p_value == pytest.approx(1)
    assert between(differences(segments)).p_value < 1e-6


def test_segments_without_an_error_are_left_out_and_change_nothing():
    whole = [
        contrasts.difference_of_means(Moments(40, (m,), ((4.0,),)), Moments(40, (1.0,), ((4.0,),)))
        for m in (1.0, 1.5, 2.5, 0.5)
    ]
    broken = [
        contrasts.difference_of_means(Moments(40, (1.0,), ((0.0,),)), Moments(40, (1.0,), ((0.0,),))),
        Contrast(method="welch_t", variant=math.nan, baseline=1.0, var_variant=1.0, var_baseline=1.0),
        Contrast(method="welch_t", variant=math.inf, baseline=1.0, var_variant=1.0, var_baseline=1.0),
    ]
    some = compare_segments("abcd", differences(stacked(whole)), planned=True)
    all_ = compare_segments("abcdefg", differences(stacked(whole + broken)), planned=True)
    assert all_.left_out == ("e", "f", "g")
    assert (all_.p_value, all_.tau2, all_.overall) == (some.p_value, some.tau2, some.overall)
    assert all_.segments[:4] == some.segments
    assert all_.segments[5].estimate is None
    assert any("3 of 7 segments" in warning for warning in all_.warnings)


def test_a_segments_own_interval_is_the_t_interval():
    draw = np.random.default_rng(5)
    x, y = draw.normal(1, 2, 15), draw.normal(0, 1, 12)
    one = contrasts.difference_of_means(Moments.from_columns(x), Moments.from_columns(y))
    found = compare_segments(["a", "b"], differences(stacked([one, one])), planned=True).segments[0]
    interval = scipy_stats.ttest_ind(x, y, equal_var=False).confidence_interval()
    assert (found.lower, found.upper) == pytest.approx(tuple(interval), rel=1e-9)
    assert found.shrunk is None


def test_segments_picked_after_the_fact_are_warned_of():
    effects = known([2.5, *[0.0] * 19], np.ones(20))
    names = [f"country={place}" for place in range(20)]
    after = compare_segments(names, effects, planned=False)
    assert "20 segments were looked at after the fact: at 5% each, 1.0 of them" in after.warnings[0]
    assert after.warnings[1].startswith("country=0: significant alone, but")
    assert after.p_value > 0.05
    before = compare_segments(names, effects, planned=True)
    assert not any("after the fact" in warning for warning in before.warnings)
    different = compare_segments(names, known([9.0, *[0.0] * 19], np.ones(20)), planned=True)
    assert different.finding.startswith("The effect differs between segments")
    assert different.warnings == ()


@pytest.mark.parametrize("count", [0, 1])
def test_one_segment_is_no_comparison(count):
    effects = known([1.0] * count, [1.0] * count)
    found = compare_segments(["a"] * count, effects, planned=False)
    assert (found.p_value, found.tau2, found.q) == (None, None, None)
    assert found.finding.startswith("There are not two segments")
    assert found.warnings == ()


def test_arguments_without_meaning_are_refused():
    with pytest.raises(StatsError):
        compare_segments(["a"], known([1.0, 2.0], [1.0, 1.0]), planned=True)
    with pytest.raises(StatsError):
        compare_segments(["a", "b"], known([1.0, 2.0], [1.0, 1.0]), planned=True, alpha=0.0)
