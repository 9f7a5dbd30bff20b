"""Sequential laws: test and interval are dual at every look, p-values as published, peeking is safe."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, special
from scipy import stats as scipy_stats

from stats import contrasts, inference
from stats.boundaries import LEAST_GROWTH, spending_boundary
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.references import (
    ConfidenceSequence,
    NormalMixture,
    StudentT,
    approximate_rho2,
    exact_rho2,
    msprt,
    p_value,
)
from stats.sequential import GroupSequential, sequential_log10_p
from stats.spending import HwangShihDeCani, OBrienFleming, Pocock, Power, Spending, increments
from tests.stats.conftest import cases, outputs, param
from tests.stats.test_boundaries import equal, spending_of
from tests.stats.test_inference import a_contrast
from tests.stats.test_vectors import mean, proportion

FUNCTIONS: list[Spending] = [OBrienFleming(), Pocock(), Power(2.0), HwangShihDeCani(-4.0)]
# Few histories, so that their curves are computed once; early, late, close, overrun, and with a changed plan.
HISTORIES = [
    ([500], [0.05]),
    ([10_000], [1.0]),
    ([1_000, 2_000, 3_000], [0.1, 0.2, 0.3]),
    ([1_000, 5_000, 5_010, 9_000], [0.1, 0.5, 0.501, 1.0]),
    ([4_000, 9_000, 13_000], [0.4, 0.45, 0.65]),
    ([4_000, 9_000, 9_500], [0.4, 0.9, 1.0]),
]
LAWS = st.builds(
    lambda history, spending: GroupSequential(*history, spending=spending),
    st.sampled_from(HISTORIES),
    st.sampled_from(FUNCTIONS[:2]),
)
SIDES = st.sampled_from([1, 2])
LEVELS = st.one_of(st.sampled_from([0.001, 0.01, 0.05, 0.2]), st.floats(1e-7, 0.5))
REAL_Z = st.floats(-8, 8)


def having(key: str):
    """The group-sequential cases whose inputs have this key."""
    found = [case for case in cases("group_sequential") if key in case["inputs"]]
    ids = [case["id"] for case in found]
    return pytest.mark.parametrize("case", found, ids=ids) if found else param("group_sequential")


@having("t")
def test_the_law_of_every_look_has_the_boundary_of_that_look(case):
    inputs = case["inputs"]
    alpha, sides, t = inputs["alpha"], inputs["sides"], inputs["t"]
    call = {1: "upper bound only", 2: "two-sided symmetric region"}[sides]
    for expected in outputs(case, f"independent recursion, {call}"):
        for look in range(1, len(t) + 1):
            law = GroupSequential(t[:look], t[:look], spending=spending_of(inputs))
            assert law.critical(alpha, sides) == pytest.approx(expected["z_bounds"][look - 1], abs=1e-6)


@having("rows")
def test_repeated_confidence_intervals(case):
    """Five looks of a conversion rate, alpha t^2, end to end."""
    (expected,) = outputs(case, "independent recursion (power family rho=2")
    rows = case["inputs"]["rows"]
    for look in range(5):
        control, treatment = rows[2 * look : 2 * look + 2]
        arms = [proportion({"n": row["den"], "sum": row["num"]}) for row in (treatment, control)]
        n = [2 * rows[2 * place]["den"] for place in range(look + 1)]
        law = GroupSequential(n, [units / control["final"] for units in n], spending=Power(2.0))
        found = inference.difference_interval(contrasts.difference_of_proportions(*arms), law, 0.05)
        # The bounds agree to 1e-6; times the standard error, that is what the interval's ends agree to.
        assert found.lower == pytest.approx(expected["ci_lower"][look], abs=1e-6 * 0.014)
        assert found.upper == pytest.approx(expected["ci_upper"][look], abs=1e-6 * 0.014)


@pytest.mark.parametrize(
    ("t", "p", "repeated"),
    [
        ([0.5, 1.0], [0.024, 0.01], [0.110482, 0.010094]),
        ([1 / 3, 2 / 3, 1.0], [0.05, 0.02, 0.01], [0.257809, 0.058193, 0.010554]),
    ],
)
def test_repeated_and_sequential_p_values_as_published(t, p, repeated):
    """In the validation of graphicalMCP against gsDesign's sequentialPValue and rpact, one-sided."""
    found = [
        GroupSequential(t[: look + 1], t[: look + 1]).log10_p(-special.ndtri(p[look]), 1)
        for look in range(len(t))
    ]
    assert p_value(np.array(found)) == pytest.approx(repeated, abs=1e-6)
    assert p_value(sequential_log10_p(found)) == pytest.approx(np.minimum.accumulate(repeated), abs=1e-6)


def test_the_sequential_p_value_does_not_forget_an_early_crossing():
    repeated = np.log10([[0.2, 0.5], [0.01, 0.4], [0.3, 0.6]])
    assert p_value(sequential_log10_p(repeated)) == pytest.approx(
        np.array([[0.2, 0.5], [0.01, 0.4], [0.01, 0.4]])
    )


@given(LAWS, REAL_Z, LEVELS, SIDES)
@settings(deadline=None)
def test_p_is_at_most_alpha_exactly_when_z_reaches_the_critical_value(law, z, alpha, sides):
    size, critical = abs(z) if sides == 2 else z, law.critical(alpha, sides)
    assume(abs(size - critical) > 1e-9)
    assert (p_value(law.log10_p(z, sides)) <= alpha) == (size >= critical)


@given(a_contrast(), LAWS, st.sampled_from([0.001, 0.01, 0.05, 0.2]))
@settings(deadline=None)
def test_the_test_rejects_exactly_when_an_interval_leaves_out_zero(contrast, law, alpha):
    z, critical = abs(inference.statistic(contrast)), law.critical(alpha)
    assume(math.isfinite(critical) and abs(z - critical) > 1e-9 * critical)
    rejects = z > critical
    assert (p_value(inference.log10_p(contrast, law)) < alpha) == rejects
    plain = inference.difference_interval(contrast, law, alpha)
    assert (plain.lower > 0 or plain.upper < 0) == rejects
    lift = inference.lift_interval(contrast, law, alpha)
    if not math.isnan(lift.lower):
        assert (lift.lower > 0 or lift.upper < 0) == rejects


@given(a_contrast(), LAWS, st.sampled_from([0.0, 0.02, 0.1]))
@settings(deadline=None)
def test_non_inferiority_is_shown_exactly_when_the_one_sided_bound_is_within_the_margin(
    contrast, law, margin
):
    alpha = 0.025
    assume(contrast.baseline > 0 and contrast.variance_against(1 - margin) > 0)
    z, critical = inference.statistic(contrast, 1 - margin), law.critical(alpha, 1)
    assume(math.isfinite(critical) and abs(z - critical) > 1e-7 * critical)
    bound = inference.lift_interval(contrast, law, alpha, sides=1).lower
    assume(not math.isnan(bound) and abs(bound + margin) > 1e-9)
    assert (p_value(law.log10_p(z, 1)) <= alpha) == (bound > -margin)


@given(LAWS, LEVELS, SIDES)
@settings(deadline=None, max_examples=40)
def test_the_curve_is_the_recursion(law, alpha, sides):
    n, shares, spending = law._looks
    level = min(alpha / sides, 0.3)
    exact = spending_boundary(np.array(n), increments(spending, level, n, shares), sides)[-1]
    if math.isfinite(law.critical(alpha, sides)):
        assert law.critical(alpha, sides) == pytest.approx(exact, abs=1e-8)


@given(LAWS, SIDES, REAL_Z, REAL_Z)
@settings(deadline=None)
def test_more_evidence_is_a_smaller_p_value(law, sides, one, other):
    size = abs if sides == 2 else float
    low, high = sorted((one, other), key=size)
    assert law.log10_p(high, sides) <= law.log10_p(low, sides)


@given(st.floats(0.6, 40), SIDES)
@settings(deadline=None)
def test_one_final_look_is_the_fixed_test(z, sides):
    """Below 0.6 the two-sided p-value is that of the normal law, down to 1e-350."""
    law = GroupSequential([5_000], [1.0])
    assert law.log10_p(z, sides) == pytest.approx(StudentT().log10_p(z, sides), rel=1e-9)
    for alpha in (1e-30, 0.001, 0.05, 0.3):
        assert law.critical(alpha, sides) == pytest.approx(StudentT().critical(alpha, sides), rel=1e-9)


def test_what_is_nearly_no_evidence_counts_as_none():
    law = GroupSequential([5_000], [1.0])
    assert p_value(law.log10_p(0.5)) == 1.0
    assert p_value(law.log10_p(0.51, 1)) == 1.0
    assert p_value(law.log10_p(-3.0, 1)) == 1.0
    assert law.critical(0.9) == law.critical(0.6)


def test_many_at_once_are_each_what_they_are_alone():
    law = GroupSequential(
        [1_000, 5_000], [0.1, 0.5], spending=Pocock(), df=np.array([3.0, 50.0, math.inf] * 2)
    )
    z, alpha = np.array([-9.0, -2.4, 0.0, 2.6, 5.0, math.nan]), np.array([1e-9, 0.001, 0.01, 0.05, 0.3, 1.5])
    for sides in (1, 2):
        logs, critical = law.log10_p(z, sides), law.critical(alpha, sides)
        for place, df in enumerate(law.df):
            alone = GroupSequential([1_000, 5_000], [0.1, 0.5], spending=Pocock(), df=df)
            assert logs[place] == pytest.approx(alone.log10_p(z[place], sides), rel=1e-12, nan_ok=True)
            assert critical[place] == pytest.approx(alone.critical(alpha[place], sides), rel=1e-12)


@pytest.mark.parametrize("history", HISTORIES, ids=str)
@pytest.mark.parametrize("spending", FUNCTIONS, ids=repr)
def test_extreme_evidence_has_a_finite_logarithm(history, spending):
    law = GroupSequential(*history, spending=spending)
    logs = law.log10_p(np.array([8.0, 30.0, 100.0, 1e6, 1e100]))
    assert np.all(np.diff(logs) < 0)
    assert math.isnan(law.log10_p(math.nan))
    assert law.log10_p(math.inf) == -math.inf
    assert math.isnan(law.critical(math.nan))
    assert law.critical(0.0) == math.inf
    # Never less than a test without looks would say, and hardly more where all alpha is spent.
    fixed = StudentT().log10_p(np.array([8.0, 30.0, 100.0]))
    assert np.all(logs[:3] >= fixed * (1 + 1e-3))
    if history[1] == [1.0]:
        assert logs[:3] == pytest.approx(fixed, rel=1e-3)


def test_a_look_so_early_that_nothing_can_be_spent_tests_nothing():
    law = GroupSequential([10], [1e-5])
    assert law.critical(0.05) == math.inf
    assert law.log10_p(8.0) == 0
    wide = inference.difference_interval(
        Contrast(method="any", variant=2.0, baseline=1.0, var_variant=0.1, var_baseline=0.1), law, 0.05
    )
    assert wide == (-math.inf, math.inf)


@pytest.mark.parametrize("df", [1.0, 2.5, 30.0, 1e6])
def test_few_degrees_of_freedom_are_compared_at_the_boundarys_own_level(df):
    normal, student = (GroupSequential([100, 300], [0.25, 0.75], df=d) for d in (math.inf, df))
    level = 2 * scipy_stats.norm.sf(normal.critical(0.05))
    assert student.critical(0.05) == pytest.approx(scipy_stats.t.isf(level / 2, df), rel=1e-9)
    assert p_value(student.log10_p(student.critical(0.05))) == pytest.approx(0.05, rel=1e-9)
    assert p_value(student.log10_p(student.critical(0.01, 1), 1)) == pytest.approx(0.01, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "shares"),
    [
        ([], []),
        ([100], []),
        ([0], [0.1]),
        ([100, 100], [0.1, 0.2]),
        ([100, 100 * (1 + LEAST_GROWTH / 2)], [0.1, 0.2]),
        ([100], [0.0]),
        ([100], [1.1]),
        ([100], [math.nan]),
        ([math.nan], [0.5]),
        ([100, 200], [1.0, 1.0]),
    ],
)
def test_looks_without_meaning(n, shares):
    with pytest.raises(StatsError):
        GroupSequential(n, shares)


@pytest.mark.parametrize(
    ("spending", "n", "shares"),
    [
        (OBrienFleming(), range(1, 15), np.arange(1, 15) / 14),
        (Pocock(), [1, 4, 5, 5.1, 9, 12], [0.1, 0.4, 0.5, 0.51, 0.9, 1.0]),  # early, extra, overrun
        (OBrienFleming(), [4, 7, 13, 20], [0.4, 0.7, 0.65, 1.0]),  # twice as many planned after the second
        (OBrienFleming(), [4, 7, 8], [0.2, 0.35, 1.0]),  # ended before the plan was reached
    ],
)
def test_looking_every_time_rejects_as_often_as_alpha_says(spending, n, shares):
    """A/A experiments, 200,000 of them, two-sided 0.05 and one-sided 0.025; within four standard errors."""
    runs, draw, n, shares = 200_000, np.random.default_rng(11), list(n), list(shares)
    walk = np.cumsum(draw.normal(0, np.sqrt(np.diff(n, prepend=0)), (runs, len(n))), axis=1)
    z = walk / np.sqrt(n)
    laws = [GroupSequential(n[:k], shares[:k], spending=spending) for k in range(1, len(n) + 1)]
    for sides, alpha in ((2, 0.05), (1, 0.025)):
        bounds = np.array([law.critical(alpha, sides) for law in laws])
        rejected = ((np.abs(z) if sides == 2 else z) >= bounds).any(axis=1)
        assert rejected.mean() == pytest.approx(alpha, abs=4 * math.sqrt(alpha * (1 - alpha) / runs))


def test_naive_peeking_rejects_far_too_often():
    """The same simulation at 1.96: 0.22 over fourteen looks, so the one above would see it."""
    runs, draw = 50_000, np.random.default_rng(12)
    walk = np.cumsum(draw.normal(0, 1, (runs, 14)), axis=1)
    rejected = (np.abs(walk) >= 1.96 * np.sqrt(np.arange(1, 15))).any(axis=1)
    assert rejected.mean() == pytest.approx(0.22, abs=0.01)


def test_sequential_p_values_are_uniform_at_most():
    """2,000 A/A experiments of five looks: P(p <= u) <= u at every u, within four standard errors."""
    runs, draw = 2_000, np.random.default_rng(13)
    z = np.cumsum(draw.normal(0, 1, (5, runs)), axis=0) / np.sqrt(np.arange(1, 6))[:, None]
    t = equal(5).tolist()
    repeated = np.array([GroupSequential(t[: k + 1], t[: k + 1]).log10_p(z[k]) for k in range(5)])
    p = p_value(sequential_log10_p(repeated)[-1])
    for u in (0.01, 0.05, 0.1, 0.3, 0.5):
        error = 4 * math.sqrt(u * (1 - u) / runs)
        assert (p <= u).mean() == pytest.approx(u, abs=error)


# Mixtures: mSPRT and confidence sequences.


@pytest.mark.parametrize(("variance", "tau", "z"), [(0.04, 0.1, 2.5), (1e-6, 0.01, 4.0), (2.0, 0.1, 1.0)])
def test_msprt_is_johari_and_others_formula(variance, tau, z):
    d = z * math.sqrt(variance)
    ratio = math.sqrt(variance / (variance + tau**2)) * math.exp(
        tau**2 * d**2 / (2 * variance * (variance + tau**2))
    )
    law = msprt(variance, tau)
    assert law.log_ratio(z) == pytest.approx(math.log(ratio), rel=1e-9)
    assert p_value(law.log10_p(z)) == pytest.approx(min(1.0, 1 / ratio), rel=1e-9)


def test_msprt_is_the_normal_mixture_of_a_confidence_sequence():
    """With V = s^2 / N the prior variance s^2 rho^2 is the sequence's rho."""
    n, s2, z = 8_000, 3.7, np.array([0.5, 2.0, 3.3, -6.0])
    sequence = ConfidenceSequence(n, tuned_for=5_000, alpha=0.05)
    law = msprt(s2 / n, math.sqrt(s2 * approximate_rho2(0.05, 5_000)))
    for sides in (1, 2):
        assert law.critical(0.05, sides) == pytest.approx(sequence.critical(0.05, sides), rel=1e-12)
        assert law.log10_p(z, sides) == pytest.approx(sequence.log10_p(z, sides), rel=1e-12)


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan, math.inf])
def test_a_prior_needs_a_scale(tau):
    with pytest.raises(StatsError, match="tau"):
        msprt(1.0, tau)


def test_published_numbers_of_confseq():
    """The authors' unit tests at v = 100, alpha 0.05, tuned for 100; its rho is the inverse of ours."""
    assert 1 / approximate_rho2(0.05, 100) == pytest.approx(12.60056, abs=1e-5)
    law = ConfidenceSequence(100, tuned_for=100, alpha=0.05)
    assert 10 * law.critical(0.05) == pytest.approx(30.35209, abs=1e-5)
    assert law.log_ratio(1.0) == pytest.approx(-0.6510052, abs=1e-7)


def test_the_one_sided_bound_is_a_little_above_the_exact_mixture():
    """The authors' one-sided bound, 27.66071, solves the mixture exactly; (134) is a closed form above it."""

    def exact(s: float, v: float, rho: float) -> float:
        return (
            math.log(4 * rho / (v + rho)) / 2
            + s * s / (2 * (v + rho))
            + float(special.log_ndtr(s / math.sqrt(v + rho)))
        )

    rho = 1 / approximate_rho2(0.1, 100)
    assert exact(10, 100, rho) == pytest.approx(-0.06502391, abs=1e-8)
    root = optimize.brentq(lambda s: exact(s, 100, rho) - math.log(20), 1, 100)
    assert root == pytest.approx(27.66071, abs=1e-5)
    ours = 10 * ConfidenceSequence(100, tuned_for=100, alpha=0.1).critical(0.05, 1)
    assert root < ours < 1.006 * root


@param("sequential", "proportion", "mean")
def test_the_exact_rho(case):
    """Lambert's W against the drconfseq formula, and the multipliers that come with it."""
    moments_of = {"proportion": proportion, "mean": mean}[case["kind"]]
    n = sum(moments_of(case["inputs"][arm]).n for arm in ("treatment", "control"))
    alpha, tuned_for = case["params"]["alpha"], case["params"]["sequential_tuning_parameter"]
    for expected in outputs(case, "closed form: same, exact rho by Lambert W_-1"):
        assert math.sqrt(exact_rho2(alpha, tuned_for)) == pytest.approx(expected["rho"], rel=1e-9)
        law = ConfidenceSequence(n, tuned_for=tuned_for, alpha=alpha, rho2=exact_rho2)
        assert law.critical(alpha) == pytest.approx(expected["multiplier"], rel=1e-9)
    for expected in outputs(case, "closed form: Eppo docs formula"):
        assert 1 / approximate_rho2(alpha, tuned_for) == pytest.approx(expected["rho"], rel=1e-9)
        law = ConfidenceSequence(n, tuned_for=tuned_for, alpha=alpha)
        assert law.critical(alpha) == pytest.approx(expected["multiplier"], rel=1e-9)


def test_the_exact_rho_is_the_best_at_its_tuning_point():
    def multiplier(rho2: float) -> float:
        return NormalMixture(5_000 * rho2).critical(0.05)

    best = exact_rho2(0.05, 5_000)
    assert multiplier(best) < min(multiplier(best * 0.99), multiplier(best * 1.01))
    assert multiplier(best) == pytest.approx(3.035, abs=1e-3)


@pytest.mark.parametrize("df", [3.0, 20.0, math.inf])
@pytest.mark.parametrize("ratio", [0.01, 1.0, 300.0])
def test_a_likelihood_ratio_is_one_on_average_when_there_is_no_effect(df, ratio):
    law, null = NormalMixture(ratio, df), scipy_stats.t(df)
    found, error = integrate.quad(
        lambda z: math.exp(float(null.logpdf(z)) + law.log_ratio(z)), 0, math.inf, epsabs=1e-10, limit=200
    )
    assert 2 * found == pytest.approx(1, abs=1e-7 + 2 * error)


def test_the_anytime_valid_linear_model_of_avlm():
    """From the README: 100 units, 8 coefficients, g tuned for the narrowest interval at alpha 0.05."""
    best = optimize.minimize_scalar(
        lambda log: NormalMixture(math.exp(log), 92.0).critical(0.05), bounds=(-5, 10), method="bounded"
    )
    half = 0.21566 * best.fun  # the standard error is printed with five digits
    assert [2.32245 - half, 2.32245 + half] == pytest.approx([1.6530529, 2.9918408], abs=3.2 * 6e-6 + 5e-6)


@given(
    st.floats(1e-6, 1e6), st.sampled_from([1.0, 5.0, 200.0, math.inf]), st.floats(1e-9, 0.5), SIDES, REAL_Z
)
def test_mixtures_are_dual_pairs(ratio, df, alpha, sides, z):
    law = NormalMixture(ratio, df)
    size, critical = abs(z) if sides == 2 else z, law.critical(alpha, sides)
    assume(abs(size - critical) > 1e-9 * max(1.0, critical))
    assert (p_value(law.log10_p(z, sides)) <= alpha) == (size >= critical)


def test_mixtures_without_information_say_nothing():
    for law in (NormalMixture(0.0), NormalMixture(0.0, 5.0), NormalMixture(math.inf)):
        assert law.critical(0.05) == math.inf
        assert law.log10_p(50.0) == 0
        assert law.log10_p(50.0, 1) == 0
    assert math.isnan(NormalMixture(1.0).log10_p(math.nan))
    assert math.isnan(NormalMixture(1.0, 5.0).log10_p(math.nan, 1))


def test_anytime_valid_peeking_is_safe():
    """20,000 A/A experiments, 200 looks: at most alpha over all of them, far fewer than naive peeking."""
    runs, looks, draw = 20_000, np.arange(50, 10_050, 50), np.random.default_rng(14)
    walk = np.cumsum(draw.normal(0, math.sqrt(50), (runs, len(looks))), axis=1)
    bounds = ConfidenceSequence(looks, tuned_for=2_000, alpha=0.05).critical(0.05)
    rate = (np.abs(walk) / np.sqrt(looks) >= bounds).any(axis=1).mean()
    assert 0.01 < rate <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)
