"""One road: p-values and intervals never contradict each other, on either scale, under any reference law."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stats import contrasts, inference
from stats.contrasts import Contrast
from stats.moments import Moments
from stats.references import ConfidenceSequence, Reference, StudentT, p_value

POSITIVE = st.floats(1e-6, 1e6)
MEANS = st.floats(-1e6, 1e6).filter(lambda mean: abs(mean) > 1e-6)
LAWS: st.SearchStrategy[Reference] = st.one_of(
    st.just(StudentT()),
    st.floats(1, 1e6).map(StudentT),
    st.integers(10, 10**7).map(lambda n: ConfidenceSequence(n, tuned_for=5_000, alpha=0.05)),
)


@st.composite
def a_contrast(draw) -> Contrast:
    a, b = draw(POSITIVE), draw(POSITIVE)
    return Contrast(
        method="any",
        variant=draw(MEANS),
        baseline=draw(MEANS),
        var_variant=a,
        var_baseline=b,
        covariance=draw(st.floats(-0.9, 0.9)) * math.sqrt(a * b),
    )


@given(a_contrast(), LAWS, st.sampled_from([0.001, 0.01, 0.05, 0.2]))
def test_the_test_rejects_exactly_when_the_interval_leaves_out_zero(contrast, law, alpha):
    z, critical = abs(inference.statistic(contrast)), law.critical(alpha)
    assume(abs(z - critical) > 1e-9 * critical)
    rejects = z > critical
    assert (p_value(inference.log10_p(contrast, law)) < alpha) == rejects
    plain = inference.difference_interval(contrast, law, alpha)
    assert (plain.lower > 0 or plain.upper < 0) == rejects
    lift = inference.lift_interval(contrast, law, alpha)
    if not math.isnan(lift.lower):
        assert (lift.lower > 0 or lift.upper < 0) == rejects


@given(a_contrast(), LAWS, st.sampled_from([0.01, 0.05]))
def test_the_lifts_in_fiellers_interval_are_those_that_are_not_rejected(contrast, law, alpha):
    lift = inference.lift_interval(contrast, law, alpha)
    assume(not math.isnan(lift.lower))
    sign, q = math.copysign(1, contrast.baseline), law.critical(alpha)
    for bound in (lift.lower, lift.upper):
        assume(abs(bound) < 1e4)  # beyond, the lift itself has fewer digits than the comparison needs
        z = abs(inference.statistic(contrast, 1 + sign * bound))
        assert z == pytest.approx(q, rel=1e-3)


@pytest.mark.parametrize("df", [1.0, 3.7, 40.0, 1e4, 1e7])
@pytest.mark.parametrize("z", [0.0, 0.3, 2.0, 9.0, 36.0])
def test_tails_are_scipys(df, z):
    law = StudentT(df)
    assert law.log10_p(z) == pytest.approx(
        (math.log(2) + scipy_stats.t.logsf(z, df)) / math.log(10), rel=1e-10, abs=1e-12
    )
    assert law.log10_p(-z, 1) == pytest.approx(
        scipy_stats.t.logcdf(z, df) / math.log(10), rel=1e-9, abs=1e-15
    )


@pytest.mark.parametrize("z", [40.0, 60.0, 1e3])
def test_tails_below_the_smallest_double_are_logarithms(z):
    normal = (math.log(2) + scipy_stats.norm.logsf(z)) / math.log(10)
    assert StudentT().log10_p(z) == pytest.approx(normal, rel=1e-12)
    assert p_value(normal) == 0.0
    # Student's density integrated by a fine grid of its logarithm, far below any double.
    df = 1e5
    grid = z + np.linspace(0, 60 * (df + z * z) / (df * z), 400_001)
    log_density = scipy_stats.t.logpdf(grid, df)
    tail = log_density[0] + math.log(np.trapezoid(np.exp(log_density - log_density[0]), grid))
    assert StudentT(df).log10_p(z, 1) == pytest.approx(tail / math.log(10), rel=1e-8)


@given(st.integers(10, 10**7), st.floats(1e-6, 0.4), st.sampled_from([1, 2]))
def test_a_confidence_sequences_critical_value_inverts_its_p_value(n, alpha, sides):
    law = ConfidenceSequence(n, tuned_for=5_000, alpha=0.05)
    assert p_value(law.log10_p(law.critical(alpha, sides), sides)) == pytest.approx(alpha, rel=1e-9)


def test_a_confidence_sequence_may_be_looked_at_every_time():
    """400 A/A tests of normal outcomes, 200 looks each: at most alpha are ever significant, unlike z."""
    draw = np.random.default_rng(11)
    runs, looks, step = 400, 200, 50
    paths = draw.normal(0, 1, (runs, looks)).cumsum(axis=1) * math.sqrt(step)
    n = step * np.arange(1, looks + 1)
    z = np.abs(paths / np.sqrt(n))
    sequence = np.array([ConfidenceSequence(k, tuned_for=5_000, alpha=0.05).critical(0.05) for k in n])
    ever = (z > sequence).any(axis=1).mean()
    error = math.sqrt(0.05 * 0.95 / runs)
    assert ever <= 0.05 + 3 * error
    assert (z > 1.96).any(axis=1).mean() > 0.2


def test_cuped_is_the_regression_of_the_residuals():
    """Recomputed from raw values: the difference of mean residuals and its Welch error."""
    draw = np.random.default_rng(5)
    x = [draw.gamma(2, 3, n) for n in (900, 1_400)]
    y = [0.7 * part + draw.normal(lift, 2, len(part)) for part, lift in zip(x, (0.2, 0.0), strict=True)]
    v, b = (Moments.from_columns(one, pre) for one, pre in zip(y, x, strict=True))
    found = contrasts.adjusted(v, b)
    weights = [1 / len(part) for part in x]
    theta = sum(w * np.cov(one, pre)[0][1] for w, one, pre in zip(weights, y, x, strict=True)) / sum(
        w * np.var(pre, ddof=1) for w, pre in zip(weights, x, strict=True)
    )
    residuals = [one - theta * pre for one, pre in zip(y, x, strict=True)]
    test = scipy_stats.ttest_ind(*residuals, equal_var=False)
    assert found.estimate == pytest.approx(residuals[0].mean() - residuals[1].mean(), rel=1e-10)
    assert inference.statistic(found) == pytest.approx(test.statistic, rel=1e-10)
    assert found.df == pytest.approx(test.df, rel=1e-10)
    plain = sum(np.var(one, ddof=1) / len(one) for one in y)
    assert found.variance_reduction == pytest.approx(1 - found.variance_against(1) / plain, rel=1e-9)
    pooled = np.concatenate(x).mean()
    assert found.baseline == pytest.approx(residuals[1].mean() + theta * pooled, rel=1e-10)


def test_the_lift_of_adjusted_means_covers_as_often_as_it_says():
    """+100 %, correlation 0.9: without the shared term of the two re-centred means coverage falls to 0.90."""
    draw = np.random.default_rng(8)
    runs, n, truth = 4_000, 60, 1.0
    covered = 0
    for _ in range(runs):
        x = draw.normal(10, 2, (2, n))
        e = draw.normal(0, 2 * math.sqrt(1 / 0.81 - 1), (2, n))
        y = x + e
        y[0] += 10 * truth
        found = contrasts.adjusted(Moments.from_columns(y[0], x[0]), Moments.from_columns(y[1], x[1]))
        lift = inference.lift_interval(found, StudentT(found.df), 0.05)
        covered += lift.lower <= truth <= lift.upper
    assert covered / runs == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def test_many_covariates_are_the_regression_on_all_of_them():
    """With equal arms: the classical analysis of covariance, centred within arms (statsmodels)."""
    draw = np.random.default_rng(12)
    n = 2_000
    x = draw.normal(0, 1, (2, 3, n))
    x[:, 2] += x[:, 0]
    y = 2 + x[:, 0] - 0.5 * x[:, 2] + draw.normal(0, 1, (2, n))
    found = contrasts.adjusted(*(Moments.from_columns(y[i], *x[i]) for i in (0, 1)))
    centred = np.concatenate([x[i] - x[i].mean(axis=1, keepdims=True) for i in (0, 1)], axis=1).T
    theta = np.linalg.lstsq(centred, np.concatenate([y[i] - y[i].mean() for i in (0, 1)]), rcond=None)[0]
    residuals = [y[i] - theta @ x[i] for i in (0, 1)]
    test = scipy_stats.ttest_ind(*residuals, equal_var=False)
    assert inference.statistic(found) == pytest.approx(test.statistic, rel=1e-9)


def test_a_covariate_said_twice_or_constant_changes_nothing():
    draw = np.random.default_rng(13)
    x = draw.gamma(2, 1, (2, 500))
    y = x + draw.normal(0, 1, (2, 500))
    once = contrasts.adjusted(*(Moments.from_columns(y[i], x[i]) for i in (0, 1)))
    more = contrasts.adjusted(
        *(Moments.from_columns(y[i], x[i], 1e6 * x[i] + 3, np.full(500, 7.0)) for i in (0, 1))
    )
    assert more.estimate == pytest.approx(once.estimate, rel=1e-9)
    assert more.variance_against(1) == pytest.approx(once.variance_against(1), rel=1e-9)


def test_a_negative_baseline_keeps_the_direction_of_the_lift():
    """A loss that shrinks from -10 to -8 is an improvement: +20 % of its size."""
    contrast = Contrast(method="any", variant=-8.0, baseline=-10.0, var_variant=0.01, var_baseline=0.01)
    assert inference.lift(contrast) == pytest.approx(0.2)
    found = inference.lift_interval(contrast, StudentT(), 0.05)
    assert 0 < found.lower < 0.2 < found.upper
