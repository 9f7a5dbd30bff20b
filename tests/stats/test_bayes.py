"""Posteriors, what is read off them, and bandits: against other engines, exact sums and simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as scipy_stats

from stats import contrasts, inference
from stats.bandits import arm_posterior, rank, thompson_weights
from stats.bayes import (
    DEFAULT,
    FLAT,
    Normal,
    Prior,
    difference_posterior,
    expected_losses,
    lift_posterior,
    practical_equivalence,
    probability_better,
)
from stats.betas import BetaPrior, TwoBetas, beta_posterior
from stats.contrasts import Arm, Contrast
from stats.errors import StatsError
from stats.moments import Moments
from stats.references import StudentT, p_value
from tests.stats.conftest import outputs, param
from tests.stats.test_vectors import both, mean, proportion, ratio

CLOSE = {"rel": 1e-9, "abs": 1e-300}
KINDS = {
    "proportion": (proportion, contrasts.difference_of_proportions),
    "mean": (mean, contrasts.difference_of_means),
    "ratio": (ratio, contrasts.difference_of_ratios),
}


def contrast_of(case: dict) -> Contrast:
    moments_of, estimator = KINDS[case["kind"]]
    return estimator(*both(case, moments_of))


def prior_of(case: dict) -> Prior:
    stated = case["params"]["prior"]
    return Prior(stated["mean"], stated["sd"] if stated["proper"] else math.inf)


def counts(case: dict) -> list[float]:
    arms = (case["inputs"]["treatment"], case["inputs"]["control"])
    return [number for arm in arms for number in (arm["sum"], arm["n"])]


@param("bayesian")
def test_normal_posteriors_are_the_closed_forms(case: dict):
    readings = {"absolute": difference_posterior, "relative": lift_posterior}
    for scale, read in readings.items():
        found = read(contrast_of(case), prior_of(case))
        (expected,) = outputs(case, "closed form: normal-normal posterior", scale=scale)
        assert found.mean == pytest.approx(expected["posterior_mean"], **CLOSE)
        assert found.sd == pytest.approx(expected["posterior_sd"], **CLOSE)
        assert list(found.interval(case["params"]["alpha"])) == pytest.approx(expected["ci"], **CLOSE)
        assert probability_better(found) == pytest.approx(expected["chance_to_win"], **CLOSE)
        worse = math.log10(probability_better(found, sign=-1))
        assert worse == pytest.approx(expected["log10_one_minus_ctw"], rel=1e-9)
        losses = expected_losses(found)
        assert losses.baseline == pytest.approx(expected["risk_control"], **CLOSE)
        assert losses.variant == pytest.approx(expected["risk_treatment"], **CLOSE)


@param("bayesian")
def test_growthbook_agrees(case: dict):
    for scale, read in {"absolute": difference_posterior, "relative": lift_posterior}.items():
        found = read(contrast_of(case), prior_of(case))
        for expected in outputs(case, "EffectBayesianABTest", library="gbstats", scale=scale):
            assert found.mean == pytest.approx(expected["estimate"], rel=1e-9)
            assert probability_better(found) == pytest.approx(expected["chance_to_win"], rel=1e-9)
            assert found.losses().variant == pytest.approx(expected["risk_treatment"], rel=1e-9)


@param("edge_cases", "proportion")
def test_edges_are_growthbooks_numbers_or_none_where_it_has_a_sentinel(case: dict):
    contrast = contrast_of(case)
    for scale, read in {"absolute": difference_posterior, "relative": lift_posterior}.items():
        found = read(contrast, DEFAULT)
        for expected in outputs(case, "EffectBayesianABTest", scale=scale):
            if "error" in expected:
                assert math.isnan(found.mean)
                assert math.isnan(probability_better(found))
            else:
                assert found.mean == pytest.approx(expected["estimate"], rel=1e-9)
                assert probability_better(found) == pytest.approx(expected["chance_to_win"], rel=1e-9)


@param("bayesian", "proportion")
def test_two_betas_are_the_exact_reference(case: dict):
    found = beta_posterior(*counts(case))
    (expected,) = outputs(case, "exact Beta(1,1)-Binomial")
    assert probability_better(found) == pytest.approx(expected["chance_to_win"], rel=1e-9)
    losses = found.losses()
    assert losses.baseline == pytest.approx(expected["expected_loss_choose_control"], rel=1e-9)
    # The reference subtracts expectations: in the far tail it has only the difference's rounding left.
    assert losses.variant == pytest.approx(expected["expected_loss_choose_treatment"], rel=1e-9, abs=2e-15)
    assert losses.variant > 0


def test_growthbooks_own_unit_tests():
    """49 and 51 of 100: flat on the lift (STATS 4), and the risks of its former beta engine."""
    contrast = contrasts.difference_of_proportions(*(proportion({"n": 100, "sum": k}) for k in (51, 49)))
    found = lift_posterior(contrast, FLAT)
    assert round(probability_better(found), 5) == 0.60918
    assert [round(loss, 5) for loss in (found.losses().baseline, found.losses().variant)] == [0.0814, 0.04058]
    risks = beta_posterior(51, 100, 49, 100).losses()
    assert [round(loss, 5) for loss in (risks.baseline, risks.variant)] == [0.03872, 0.01912]


a_contrast = st.builds(
    Contrast,
    method=st.just("any"),
    variant=st.floats(-1e3, 1e3),
    baseline=st.floats(1, 1e3),
    var_variant=st.floats(1e-6, 1e-2),
    var_baseline=st.floats(1e-6, 1e-2),
)


@settings(deadline=None)
@given(a_contrast)
def test_with_a_flat_prior_not_better_is_the_one_sided_p_value(contrast):
    one_sided = p_value(inference.log10_p(contrast, StudentT(), sides=1))
    worse = probability_better(difference_posterior(contrast, FLAT), sign=-1)
    assert worse == pytest.approx(float(one_sided), rel=1e-9, abs=1e-300)


@settings(deadline=None)
@given(a_contrast, st.floats(1e-3, 10))
def test_a_prior_moves_the_estimate_towards_itself_and_narrows_it(contrast, sd):
    prior, flat = Prior(0.05, sd), lift_posterior(contrast, FLAT)
    found = lift_posterior(contrast, prior)
    low, high = sorted((prior.mean, float(flat.mean)))
    assert low - 1e-12 <= found.mean <= high + 1e-12
    assert found.sd < min(flat.sd, prior.sd) * (1 + 1e-12)


@settings(deadline=None)
@given(a_contrast, st.floats(1e-12, 1e12))
def test_the_unit_of_the_metric_does_not_matter(contrast, factor):
    scaled = Contrast(
        method="any",
        variant=contrast.variant * factor,
        baseline=contrast.baseline * factor,
        var_variant=contrast.var_variant * factor**2,
        var_baseline=contrast.var_baseline * factor**2,
    )
    one, other = difference_posterior(contrast), difference_posterior(scaled)
    assert (other.mean, other.sd) == pytest.approx((one.mean * factor, one.sd * factor), rel=1e-9)
    assert tuple(lift_posterior(scaled)) == pytest.approx(
        tuple(lift_posterior(contrast)), rel=1e-9, abs=1e-12
    )


@settings(deadline=None)
@given(st.floats(-30, 30), st.floats(1e-3, 1e3))
def test_losses_are_the_integrals_over_the_posterior(standardised, sd):
    mean_ = standardised * sd
    losses = Normal(mean_, sd).losses()
    assert losses.baseline - losses.variant == pytest.approx(mean_, rel=1e-9, abs=1e-12 * sd)
    mirrored = Normal(-mean_, sd).losses()
    assert (mirrored.variant, mirrored.baseline) == (losses.baseline, losses.variant)
    if abs(standardised) < 8:
        ends = (mean_ - 12 * sd, 0.0) if mean_ > -12 * sd else (0.0, 0.0)
        found, error = integrate.quad(lambda x: -x * scipy_stats.norm.pdf(x, mean_, sd), *ends, epsabs=0)
        assert losses.variant == pytest.approx(found, rel=1e-8, abs=10 * error)


def test_a_negative_baseline_is_divided_by_its_size():
    """A loss that shrinks from -10 to -8 is an improvement; probability and prior go the same way."""
    contrast = Contrast(method="any", variant=-8.0, baseline=-10.0, var_variant=0.01, var_baseline=0.01)
    assert lift_posterior(contrast, FLAT).mean == pytest.approx(0.2)
    assert probability_better(lift_posterior(contrast)) > 0.99
    assert probability_better(difference_posterior(contrast, Prior(0.2, 0.1))) > 0.99


def test_a_posterior_is_calibrated_under_its_own_prior():
    """Truths drawn from the prior: 90 % intervals cover 90 % (20,000 runs, error 0.2 %)."""
    draw = np.random.default_rng(3)
    runs = 20_000
    truth = draw.normal(0, 0.3, runs)
    se = 0.02 * np.sqrt(1 + (1 + truth) ** 2)
    contrast = Contrast(
        method="any",
        variant=1 + truth + draw.normal(0, 0.02, runs),
        baseline=1 + draw.normal(0, 0.02, runs),
        var_variant=np.full(runs, 0.02**2),
        var_baseline=np.full(runs, 0.02**2),
    )
    assert lift_posterior(contrast).sd == pytest.approx(se, rel=0.2)
    for read in (lift_posterior(contrast), difference_posterior(contrast)):
        interval = read.interval(0.1)
        covered = ((interval.lower <= truth) & (truth <= interval.upper)).mean()
        assert covered == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / runs))


def test_where_less_is_better_arms_change_places():
    found = Normal(0.3, 1.0)
    assert probability_better(found, sign=-1) == pytest.approx(1 - probability_better(found), rel=1e-12)
    more, less = expected_losses(found), expected_losses(found, sign=-1)
    assert (less.variant, less.baseline) == (more.baseline, more.variant)
    assert less.variant > less.baseline  # of a metric that rose and should not have


def test_practical_equivalence_shares_out_the_posterior():
    found = practical_equivalence(Normal(0.01, 0.02), -0.01, 0.01)
    assert found.within == pytest.approx(scipy_stats.norm.cdf(0) - scipy_stats.norm.cdf(-1), rel=1e-12)
    assert sum(found) == pytest.approx(1, rel=1e-15)
    exact = practical_equivalence(beta_posterior(30, 400, 25, 380), -0.01, 0.01)
    draw = np.random.default_rng(4)
    difference = draw.beta(31, 371, 10**6) - draw.beta(26, 356, 10**6)
    simulated = (np.abs(difference) < 0.01).mean()
    assert exact.within == pytest.approx(simulated, abs=4 * math.sqrt(simulated / 10**6))


# Two betas


def exactly_better(a: int, b: int, c: int, d: int) -> Fraction:
    """P(Beta(a, b) > Beta(c, d)) for whole numbers: a finite sum of ratios of beta functions, exactly."""
    total = Fraction(0)
    factorial = math.factorial
    for i in range(a):
        top = factorial(c + i - 1) * factorial(b + d - 1) * factorial(c + d - 1) * factorial(b + i - 1)
        below = factorial(b + c + d + i - 1) * factorial(i) * factorial(b - 1)
        total += Fraction(top, below * factorial(c - 1) * factorial(d - 1))
    return total


@settings(deadline=None)
@given(*[st.integers(1, 60)] * 4)
def test_the_probability_is_the_exact_sum(a, b, c, d):
    found = TwoBetas(a, b, c, d)
    exact = float(exactly_better(a, b, c, d))
    assert found.above(0.0) == pytest.approx(exact, rel=1e-10)
    assert found.below(0.0) == pytest.approx(1 - exact, rel=1e-10, abs=1e-13)


@settings(deadline=None)
@given(*[st.integers(1, 60)] * 4)
def test_losses_are_the_exact_expectations(a, b, c, d):
    """E[max(T - C, 0)] = E[T] P(T+ > C) - E[C] P(T > C+), where + counts one success more."""
    losses = TwoBetas(a, b, c, d).losses()
    better, plus, minus = (
        exactly_better(*arms) for arms in ((a, b, c, d), (a + 1, b, c, d), (a, b, c + 1, d))
    )
    exact = Fraction(a, a + b) * plus - Fraction(c, c + d) * minus
    assert 0 < better < 1
    assert losses.baseline == pytest.approx(float(exact), rel=1e-9)
    assert losses.baseline - losses.variant == pytest.approx(a / (a + b) - c / (c + d), rel=1e-9, abs=1e-14)


def test_uniform_against_uniform_is_a_triangle():
    """P(difference <= d) = 1 - (1 - d)^2 / 2 for d >= 0; the 95 % interval is -+(1 - sqrt(0.05))."""
    flat = beta_posterior(0, 0, 0, 0)
    places = np.array([0.0, 0.1, 0.5, 0.99])
    assert flat.below(places) == pytest.approx(1 - (1 - places) ** 2 / 2, rel=1e-12)
    assert flat.above(-places) == pytest.approx(1 - (1 - places) ** 2 / 2, rel=1e-12)
    assert flat.interval(0.05) == pytest.approx((math.sqrt(0.05) - 1, 1 - math.sqrt(0.05)), rel=1e-12)
    assert flat.losses() == pytest.approx((1 / 6, 1 / 6), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(40, 10**6), st.integers(0, 40), st.integers(40, 10**6))
def test_an_interval_of_two_betas_leaves_out_alpha_half_on_either_side(hits, n, base, m):
    posterior = beta_posterior(hits, n, base, m)
    found = posterior.interval(0.1)
    assert posterior.below(found.lower) == pytest.approx(0.05, rel=1e-7)
    assert posterior.above(found.upper) == pytest.approx(0.05, rel=1e-7)


def test_with_many_units_two_betas_are_normal():
    """10^12 units: the standardised difference, to the skewness that is left (1e-6)."""
    n = 1e12
    exact, normal = beta_posterior(1e11 + 4e5, n, 1e11, n), Normal(4e-7, math.sqrt(2 * 0.09 / n))
    assert exact.above(0.0) == pytest.approx(normal.above(0.0), rel=1e-5)
    assert exact.losses() == pytest.approx(normal.losses(), rel=1e-5)
    assert exact.interval(0.05) == pytest.approx(normal.interval(0.05), rel=1e-5)


def test_very_unequal_arms():
    """A narrow law inside a wide one: P(Beta(1, 11) < p) = 1 - (1 - p)^11 at p near 1e-9 (1,001 / 10^12)."""
    found = beta_posterior(1_000, 1e12, 0, 10)
    assert found.above(0.0) == pytest.approx(11 * 1_001e-12, rel=1e-7)
    certain = beta_posterior(1e12, 1e12, 0, 10)
    assert certain.above(0.0) == pytest.approx(1.0, rel=1e-15)
    assert 0 < certain.below(0.0) < 1e-120  # 11! n^-11: nearly all of Beta(1, 11) within 1e-12 of 1
    assert certain.below(0.0) == pytest.approx(math.factorial(11) * 1e-132, rel=1e-7)


@pytest.mark.parametrize("rare", [True, False])
def test_few_of_very_many_units_are_a_race_of_gamma_laws(rare):
    """3 and 5 of 10^12: P(Gamma(4) < Gamma(6)) is that of 4 heads or more among 9, 191 / 256."""
    n = 1e12
    arms = (5.0, n, 3.0, n) if rare else (n - 3, n, n - 5, n)
    found = beta_posterior(*arms)
    assert found.above(0.0) == pytest.approx(191 / 256, rel=1e-9)
    assert found.losses().variant * n == pytest.approx(0.4765625, rel=1e-9)  # by the same law, 61 / 128


def test_another_prior_counts_as_units_seen_before():
    found = beta_posterior(51, 100, 49, 100, BetaPrior(5, 7))
    assert tuple(found) == (56, 56, 54, 58)


# Bandits


@param("bandit")
def test_bandits(case: dict):
    arms = [mean(arm) for arm in case["inputs"]["arms"]]
    n = np.array([arm.n for arm in arms], dtype=float)
    posterior = arm_posterior(
        Arm(np.array([arm.mean[0] for arm in arms]), np.array([arm.cov[0][0] for arm in arms]), n)
    )
    found = rank(posterior)
    (expected,) = outputs(case, "closed form posterior")
    assert posterior.mean == pytest.approx(expected["posterior_mean"], rel=1e-9)
    assert posterior.sd == pytest.approx(expected["posterior_sd"], rel=1e-9)
    assert found.best == pytest.approx(expected["best_arm_probability"], rel=1e-9)
    floor = case["inputs"]["min_weight"]
    for top_two, shares in ((False, found.best), (True, (found.best + found.second) / 2)):
        (drawn,) = [result["outputs"] for result in case["results"] if f"top_two={top_two}" in result["call"]]
        # GrowthBook centres its interval on the sample mean; ours is the posterior's.
        widths = np.diff(np.array(posterior.interval(0.05)), axis=0)[0]
        assert widths == pytest.approx(np.diff(np.array(drawn["ci"]), axis=1)[:, 0], rel=1e-9)
        error = 3 * np.sqrt(shares * (1 - shares) / 10_000)
        weights = thompson_weights(shares, n, floor=floor)
        assert (np.abs(weights - drawn["weights"]) <= error + 1e-12).all()
        assert weights.sum() == pytest.approx(1, rel=1e-12)


MEANS = st.lists(st.floats(-3, 3), min_size=2, max_size=6)


@settings(deadline=None)
@given(MEANS, st.floats(0.01, 3), st.floats(0.01, 3))
def test_exactly_one_arm_is_best_and_one_is_second(means, first, last):
    sds = np.linspace(first, last, len(means))
    found = rank(Normal(np.array(means), sds))
    assert found.best.sum() == pytest.approx(1, rel=1e-12)
    assert found.second.sum() == pytest.approx(1, rel=1e-12)
    # E[best] - mean of each arm, so the losses differ by the means.
    assert found.loss + np.array(means) == pytest.approx(
        np.full(len(means), found.loss[0] + means[0]), abs=1e-10
    )
    mirrored = rank(Normal(-np.array(means), sds), sign=-1)
    assert mirrored.best == pytest.approx(found.best, rel=1e-12)


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(0.01, 3), st.floats(0.01, 3))
def test_two_arms_are_the_normal_law(apart, one, other):
    found = rank(Normal(np.array([apart, 0.0]), np.array([one, other])))
    alone = Normal(apart, math.hypot(one, other))
    assert found.best == pytest.approx([alone.above(0.0), alone.below(0.0)], rel=1e-10, abs=1e-16)
    assert found.loss == pytest.approx(list(alone.losses()), rel=1e-9, abs=1e-15)


def test_six_arms_are_what_drawing_says():
    draw = np.random.default_rng(5)
    means, sds, runs = np.array([0, 0.1, 0.2, 0.2, -1, 0.15]), np.array([1, 0.1, 0.3, 0.05, 2, 0.4]), 400_000
    drawn = draw.normal(means, sds, (runs, 6))
    order = np.argsort(drawn, axis=1)
    found = rank(Normal(means, sds))
    for place, shares in ((-1, found.best), (-2, found.second)):
        simulated = np.bincount(order[:, place], minlength=6) / runs
        assert (np.abs(simulated - shares) < 4.5 * np.sqrt(shares * (1 - shares) / runs)).all()
    lost = drawn.max(axis=1, keepdims=True) - drawn
    assert (np.abs(lost.mean(axis=0) - found.loss) < 4.5 * lost.std(axis=0) / math.sqrt(runs)).all()


def test_many_rankings_at_once_are_each_what_they_are_alone():
    draw = np.random.default_rng(6)
    means, sds = draw.normal(0, 1, (20, 4)), draw.gamma(2, 1, (20, 4))
    bulk = rank(Normal(means, sds))
    alone = [rank(Normal(*pair)) for pair in zip(means, sds, strict=True)]
    assert bulk.best == pytest.approx(np.array([one.best for one in alone]), rel=1e-12)
    assert bulk.loss == pytest.approx(np.array([one.loss for one in alone]), rel=1e-12)


def test_a_bandit_with_too_few_units_keeps_its_traffic():
    weights = thompson_weights(np.full((2, 3), 1 / 3), np.array([[100, 100, 100], [99, 10**6, 10**6]]))
    assert weights[0] == pytest.approx([1 / 3] * 3)
    assert np.isnan(weights[1]).all()


# Bad input


@pytest.mark.parametrize("moments", [Moments(0, (0.0,), ((0.0,),)), Moments(5, (2.0,), ((0.0,),))])
def test_nothing_is_believed_of_an_arm_without_units_or_variance(moments):
    found = arm_posterior(Arm(moments.mean[0], moments.cov[0][0], float(moments.n)))
    assert math.isnan(found.mean)
    assert np.isnan(rank(Normal(np.array([found.mean, 1.0]), np.array([found.sd, 1.0]))).best).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"var_variant": 0.0, "var_baseline": 0.0},
        {"variant": math.nan},
        {"variant": math.inf},
        {"var_variant": math.inf},
        {"baseline": 0.0},
        {"baseline": 0.001},  # not told from 0: no lift, and no scale for a prior on it
    ],
)
def test_what_is_not_defined_is_nan(changes):
    base = {"variant": 1.0, "baseline": 1.0, "var_variant": 1e-4, "var_baseline": 1e-4}
    contrast = Contrast(method="any", **base | changes)
    for read in (lift_posterior, difference_posterior):
        found = read(contrast)
        assert math.isnan(found.mean)
        assert math.isnan(probability_better(found))


def test_a_flat_prior_needs_no_scale():
    contrast = Contrast(method="any", variant=1.0, baseline=0.0, var_variant=1e-4, var_baseline=1e-4)
    assert difference_posterior(contrast, FLAT).mean == 1.0


def test_one_bad_row_leaves_the_others_alone():
    rows = np.array(
        [[5, 10, 4, 10], [11, 10, 4, 10], [-1, 10, 4, 10], [math.nan, 10, 4, 10], [5, math.inf, 4, 10]]
    )
    found = beta_posterior(*rows.T)
    for values in (found.above(0.0), *found.losses(), *found.interval(0.05)):
        assert np.isfinite(values).tolist() == [True, False, False, False, False]
    assert found.above(0.0)[0] == beta_posterior(5, 10, 4, 10).above(0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Prior(math.nan, 1.0),
        lambda: Prior(0.0, 0.0),
        lambda: BetaPrior(0.0, 1.0),
        lambda: Normal(0.0, 1.0).interval(1.0),
        lambda: practical_equivalence(Normal(0.0, 1.0), 0.1, 0.1),
        lambda: rank(Normal(np.array([1.0]), np.array([1.0]))),
        lambda: thompson_weights(np.array([0.5, 0.5]), np.array([200, 200]), floor=0.6),
    ],
)
def test_arguments_without_meaning_are_refused(wrong):
    with pytest.raises(StatsError):
        wrong()
