"""Tests against a margin and their intervals are one thing, on either scale, under any reference law."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from stats import contrasts, equivalence, inference
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.moments import Moments
from stats.references import StudentT, p_value
from tests.stats.conftest import outputs, param
from tests.stats.test_inference import LAWS, a_contrast
from tests.stats.test_vectors import both, mean, proportion

NORMAL = StudentT()
ALPHAS = st.sampled_from([0.005, 0.025, 0.05, 0.2])
SIGNS = st.sampled_from([1, -1])


def contrast_of(case: dict) -> Contrast:
    if case["kind"] == "proportion":
        return contrasts.difference_of_proportions(*both(case, proportion))
    return contrasts.difference_of_means(*both(case, mean))


@param("non_inferiority")
def test_a_margin_on_the_ratio_scale_is_the_closed_form(case: dict):
    contrast, params = contrast_of(case), case["params"]
    sign = 1 if params["preferred"] == "increase" else -1
    found = equivalence.non_inferior_lift(
        contrast, NORMAL, margin=params["nim"], alpha=params["alpha"], sign=sign
    )
    (expected,) = outputs(case, "closed form: ratio null")
    assert p_value(found.log10_p) == pytest.approx(expected["p_value"], rel=1e-9)
    beyond = found.lower > -params["nim"] if sign > 0 else found.upper < params["nim"]
    assert beyond == expected["non_inferior"]


@param("non_inferiority")
def test_a_margin_in_the_metrics_unit_is_everybodys(case: dict):
    """The same margin taken as known: closed form, GrowthBook's and Spotify's absolute rows."""
    contrast, params = contrast_of(case), case["params"]
    sign = 1 if params["preferred"] == "increase" else -1
    (expected,) = outputs(case, "closed form: margin fixed")

    def shown(law: StudentT) -> equivalence.Shown:
        return equivalence.non_inferior_difference(
            contrast, law, margin=abs(expected["null"]), alpha=params["alpha"], sign=sign
        )

    assert p_value(shown(NORMAL).log10_p) == pytest.approx(expected["p_value"], rel=1e-9)
    for spotify in outputs(case, "ZTest", scale="absolute"):
        bounds = [float(spotify["ci_lower"]), float(spotify["ci_upper"])]
        assert [shown(NORMAL).lower, shown(NORMAL).upper] == pytest.approx(bounds, rel=1e-9)
    welch = StudentT(contrasts.difference_of_means(*both(case, mean)).df) if case["kind"] == "mean" else None
    main = "main@8f1db4456915 (pyproject still says 0.8.0)"  # 0.8.0 has a wrong upper bound
    for growthbook in outputs(case, "OneSided", library="gbstats", version=main, scale="absolute"):
        law = welch or StudentT(growthbook["df"])
        assert p_value(shown(law).log10_p) == pytest.approx(growthbook["p_value"], rel=1e-9)
        finite = [x for x in growthbook["ci"] if not isinstance(x, str)]
        assert [x for x in shown(law)[1:] if math.isfinite(x)] == pytest.approx(finite, rel=1e-9)


def test_two_one_sided_tests_are_statsmodels():
    draw = np.random.default_rng(1)
    x, y = draw.gamma(4, 2, 140), draw.gamma(4, 2.05, 180)
    contrast = contrasts.difference_of_means(Moments.from_columns(x), Moments.from_columns(y))
    law = StudentT(contrast.df)
    theirs = CompareMeans(DescrStatsW(x), DescrStatsW(y))
    for low, high in ((-1.0, 1.0), (-0.3, 2.0), (0.5, 0.8)):
        found = equivalence.equivalent_difference(contrast, law, lower=low, upper=high, alpha=0.05)
        assert p_value(found.log10_p) == pytest.approx(
            theirs.ttost_ind(low, high, usevar="unequal")[0], rel=1e-9
        )
        interval = theirs.tconfint_diff(alpha=0.1, usevar="unequal")
        assert (found.lower, found.upper) == pytest.approx(interval, rel=1e-9)


@settings(deadline=None)
@given(a_contrast(), LAWS, ALPHAS, st.floats(0, 0.9), SIGNS)
def test_non_inferiority_is_shown_exactly_when_the_bound_is_beyond_the_margin(c, law, alpha, margin, sign):
    size = margin * abs(c.baseline)
    for found, edge in (
        (equivalence.non_inferior_lift(c, law, margin=margin, alpha=alpha, sign=sign), margin),
        (equivalence.non_inferior_difference(c, law, margin=size, alpha=alpha, sign=sign), size),
    ):
        if math.isnan(found.lower):
            continue
        bound = found.lower if sign > 0 else -found.upper
        assume(abs(bound + edge) > 1e-6 * max(abs(bound), edge, 1e-9))
        assert (p_value(found.log10_p) <= alpha) == (bound > -edge)
        assert math.isinf(found.upper if sign > 0 else found.lower)


@settings(deadline=None)
@given(a_contrast(), LAWS, ALPHAS, st.floats(0, 2), SIGNS)
def test_superiority_is_shown_exactly_when_the_bound_is_beyond_the_margin(c, law, alpha, margin, sign):
    found = equivalence.superior_lift(c, law, margin=margin, alpha=alpha, sign=sign)
    assume(not math.isnan(found.lower))
    bound = found.lower if sign > 0 else -found.upper
    assume(abs(bound - margin) > 1e-6 * max(abs(bound), margin, 1e-9))
    assert (p_value(found.log10_p) <= alpha) == (bound > margin)


@settings(deadline=None)
@given(a_contrast(), LAWS, ALPHAS, st.floats(0.01, 0.9), st.floats(0.01, 2))
def test_equivalence_is_shown_exactly_when_the_interval_lies_within(c, law, alpha, below, above):
    found = equivalence.equivalent_lift(c, law, lower=-below, upper=above, alpha=alpha)
    assume(not math.isnan(found.lower))
    for bound, edge in ((found.lower, -below), (found.upper, above)):
        assume(abs(bound - edge) > 1e-6 * max(abs(bound), abs(edge)))
    assert (p_value(found.log10_p) <= alpha) == (found.lower > -below and found.upper < above)


@settings(deadline=None)
@given(a_contrast(), LAWS, ALPHAS)
def test_without_a_margin_the_scales_agree(c, law, alpha):
    lift = equivalence.superior_lift(c, law, alpha=alpha)
    difference = equivalence.superior_difference(c, law, alpha=alpha)
    assume(not math.isnan(lift.lower))
    assert lift.log10_p == pytest.approx(difference.log10_p, rel=1e-12)
    assume(abs(difference.lower) > 1e-9 * abs(c.estimate))
    assert (lift.lower > 0) == (difference.lower > 0)


@settings(deadline=None)
@given(a_contrast(), LAWS, st.floats(0.01, 0.5))
def test_mirrored_metrics_mirror_the_test(c, law, margin):
    """A metric counted with the other sign: more is better becomes less is better."""
    mirrored = Contrast(
        method="any", variant=-c.variant, baseline=-c.baseline, var_variant=c.var_variant,
        var_baseline=c.var_baseline, covariance=c.covariance,
    )  # fmt: skip
    one = equivalence.non_inferior_lift(c, law, margin=margin, alpha=0.05)
    other = equivalence.non_inferior_lift(mirrored, law, margin=margin, alpha=0.05, sign=-1)
    assert one.log10_p == pytest.approx(other.log10_p, rel=1e-9, nan_ok=True)
    assert one.lower == pytest.approx(-other.upper, rel=1e-9, nan_ok=True)


def test_at_the_margin_it_is_shown_as_often_as_alpha_says():
    """Truth on either edge, 40,000 runs: a share of the observed baseline would be off in opposite ways."""
    draw = np.random.default_rng(2)
    runs, se = 40_000, 0.1
    error = 4 * math.sqrt(0.05 * 0.95 / runs)
    for margin, sign in ((0.3, 1), (0.3, -1)):
        c = Contrast(
            method="any",
            variant=1 - sign * margin + draw.normal(0, se, runs),
            baseline=1 + draw.normal(0, se, runs),
            var_variant=np.full(runs, se * se),
            var_baseline=np.full(runs, se * se),
        )
        found = equivalence.non_inferior_lift(c, NORMAL, margin=margin, alpha=0.05, sign=sign)
        assert (p_value(found.log10_p) <= 0.05).mean() == pytest.approx(0.05, abs=error)
        known = equivalence.non_inferior_difference(
            c, NORMAL, margin=margin * c.baseline, alpha=0.05, sign=sign
        )
        off = (p_value(known.log10_p) <= 0.05).mean() - 0.05
        assert off < -error if sign > 0 else off > error


def test_many_at_once_are_each_what_they_are_alone():
    draw = np.random.default_rng(3)
    rows = draw.gamma(3, 1, (50, 4)) * [1, 1, 0.1, 0.1]

    def made(row):
        return Contrast(
            method="any", variant=row[0], baseline=row[1], var_variant=row[2], var_baseline=row[3]
        )

    bulk = equivalence.equivalent_lift(made(rows.T), NORMAL, lower=-0.5, upper=0.5, alpha=0.05)
    for place, row in enumerate(rows):
        one = equivalence.equivalent_lift(made(row), NORMAL, lower=-0.5, upper=0.5, alpha=0.05)
        assert [values[place] for values in bulk] == pytest.approx(list(one), rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"var_variant": 0.0, "var_baseline": 0.0},
        {"variant": math.nan},
        {"variant": math.inf},
        {"var_baseline": math.inf},
        {"baseline": 0.0},
        {"baseline": 0.01},
    ],
)
def test_what_is_not_defined_is_nan(changes):
    base = {"variant": 1.0, "baseline": 1.0, "var_variant": 1e-4, "var_baseline": 1e-4}
    c = Contrast(method="any", **base | changes)
    found = [
        equivalence.non_inferior_lift(c, NORMAL, margin=0.1, alpha=0.05),
        equivalence.superior_lift(c, NORMAL, alpha=0.05, sign=-1),
        equivalence.equivalent_lift(c, NORMAL, lower=-0.1, upper=0.1, alpha=0.05),
    ]
    if "baseline" not in changes:
        found.append(equivalence.equivalent_difference(c, NORMAL, lower=-0.1, upper=0.1, alpha=0.05))
    assert all(math.isnan(number) for shown in found for number in shown)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_the_size_of_the_effect_does_not_matter(factor):
    c, scaled = (
        Contrast(
            method="any",
            variant=0.99 * f,
            baseline=f,
            var_variant=(0.01 * f) ** 2,
            var_baseline=(0.01 * f) ** 2,
        )
        for f in (1.0, factor)
    )
    one, other = (equivalence.non_inferior_lift(x, NORMAL, margin=0.05, alpha=0.05) for x in (c, scaled))
    assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("non_inferior_lift", {"margin": -0.1, "alpha": 0.05}),
        ("non_inferior_lift", {"margin": math.nan, "alpha": 0.05}),
        ("superior_difference", {"margin": math.inf, "alpha": 0.05}),
        ("equivalent_lift", {"lower": 0.1, "upper": -0.1, "alpha": 0.05}),
        ("equivalent_difference", {"lower": -1.0, "upper": math.nan, "alpha": 0.05}),
        ("equivalent_difference", {"lower": -1.0, "upper": 1.0, "alpha": 0.5}),
        ("superior_lift", {"alpha": 0.0}),
    ],
)
def test_arguments_without_meaning_are_refused(name, arguments):
    c = Contrast(method="any", variant=1.0, baseline=1.0, var_variant=1e-4, var_baseline=1e-4)
    with pytest.raises(StatsError):
        getattr(equivalence, name)(c, NORMAL, **arguments)


def test_the_interval_is_fiellers_at_twice_the_level():
    c = Contrast(method="any", variant=1.02, baseline=1.0, var_variant=1e-4, var_baseline=1e-4)
    found = equivalence.equivalent_lift(c, NORMAL, lower=-0.05, upper=0.05, alpha=0.05)
    assert (found.lower, found.upper) == pytest.approx(inference.lift_interval(c, NORMAL, 0.1), rel=1e-12)
