"""Regression adjustment: statsmodels' numbers, robust errors, and intervals that cover the right thing."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stats import contrasts, inference
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.moments import Moments, Stack
from stats.references import StudentT, p_value
from stats.regression import Sample, ancova, complete, lin, lin_robust
from tests.stats.conftest import outputs, param

NORMAL = StudentT()


def samples(case: dict) -> tuple[Sample, Sample]:
    raw = case["inputs"]["raw"]
    v, b = (
        Sample.of(np.array(raw[arm]["y"], dtype=float), np.array(raw[arm]["x"], dtype=float))
        for arm in ("treatment", "control")
    )
    return v, b


def moments(sample: Sample) -> Moments:
    return Moments.from_columns(sample.y, *sample.x.T)


def error(contrast: Contrast) -> float:
    return math.sqrt(contrast.variance_against(1.0))


def drawn(
    draw: np.random.Generator, n: int, *, covariates: int = 2, slope: float = 1.0, lift: float = 0.0
) -> Sample:
    x = draw.gamma(2, 1, (n, covariates))
    return Sample(5 + lift + slope * x.sum(axis=1) + draw.normal(0, 1, n) * (0.5 + x[:, :1].sum(axis=1)), x)


def interacted(variant: Sample, baseline: Sample) -> sm.OLS:
    """Lin's regression: y on 1, T, centred covariates, and T times them."""
    x = np.concatenate([variant.x, baseline.x])
    x = x - x.mean(axis=0)
    treated = np.concatenate([np.ones(len(variant.y)), np.zeros(len(baseline.y))])[:, None]
    design = np.column_stack([np.ones(len(x)), treated, x, treated * x])
    return sm.OLS(np.concatenate([variant.y, baseline.y]), design)


@param("cuped", "cuped_mean", "cuped_prop")
def test_lin_with_hc2(case: dict):
    for expected in outputs(case, "statsmodels OLS y ~ 1 + T + Xc + T*Xc (Lin 2013), HC2"):
        found = lin_robust(*samples(case), estimand="sample")
        assert found.estimate == pytest.approx(expected["estimate"], rel=1e-9)
        assert error(found) == pytest.approx(expected["se"], rel=1e-9)
        assert p_value(inference.log10_p(found, NORMAL)) == pytest.approx(expected["p_value"], rel=1e-9)
        assert lin(*map(moments, samples(case))).estimate == pytest.approx(expected["estimate"], rel=1e-9)


@param("cuped", "cuped_mean", "cuped_prop")
def test_analysis_of_covariance(case: dict):
    for expected in outputs(case, "statsmodels OLS y ~ 1 + T + Xc (ANCOVA, classical se)"):
        found = ancova(*map(moments, samples(case)))
        law = StudentT(found.df)
        assert found.estimate == pytest.approx(expected["estimate"], rel=1e-9)
        assert error(found) == pytest.approx(expected["se"], rel=1e-9)
        assert p_value(inference.log10_p(found, law)) == pytest.approx(expected["p_value"], rel=1e-9)
        interval = inference.difference_interval(found, law, case["params"]["alpha"])
        assert interval == pytest.approx(expected["ci"], rel=1e-9)


@pytest.mark.parametrize("errors", ["hc2", "hc3"])
@pytest.mark.parametrize("covariates", [0, 1, 4])
def test_many_covariates_are_statsmodels(errors, covariates):
    draw = np.random.default_rng(covariates)
    arms = drawn(draw, 40, covariates=covariates, lift=1), drawn(draw, 60, covariates=covariates, slope=0.4)
    found = lin_robust(*arms, errors=errors, estimand="sample")
    fit = interacted(*arms).fit(cov_type=errors.upper())
    assert found.estimate == pytest.approx(fit.params[1], rel=1e-10)
    assert error(found) == pytest.approx(fit.bse[1], rel=1e-10)
    # Each arm's mean at the pooled covariates is a prediction of the same regression.
    assert found.baseline == pytest.approx(fit.params[0], rel=1e-10)
    assert math.sqrt(found.var_baseline) == pytest.approx(fit.bse[0], rel=1e-10)
    assert found.variant == pytest.approx(fit.params[0] + fit.params[1], rel=1e-10)
    assert found.covariance == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize("covariates", [1, 4])
def test_from_moments_each_arm_has_the_classical_errors_of_its_own_regression(covariates):
    draw = np.random.default_rng(covariates)
    arms = drawn(draw, 40, covariates=covariates, lift=1), drawn(draw, 60, covariates=covariates, slope=0.4)
    found = lin(*map(moments, arms), estimand="sample")
    centre = np.concatenate([arm.x for arm in arms]).mean(axis=0)
    fits = [sm.OLS(arm.y, sm.add_constant(arm.x - centre)).fit() for arm in arms]
    assert (found.variant, found.baseline) == pytest.approx(tuple(fit.params[0] for fit in fits), rel=1e-10)
    assert np.sqrt([found.var_variant, found.var_baseline]) == pytest.approx(
        [fit.bse[0] for fit in fits], rel=1e-9
    )
    parts = [(fit.bse[0] ** 2, fit.df_resid) for fit in fits]
    assert found.df == pytest.approx(contrasts.satterthwaite(*parts), rel=1e-9)


def test_ancova_with_many_covariates_is_statsmodels():
    draw = np.random.default_rng(9)
    arms = drawn(draw, 30, covariates=3, lift=1), drawn(draw, 50, covariates=3)
    x = np.concatenate([arm.x for arm in arms])
    treated = np.concatenate([np.ones(30), np.zeros(50)])
    fit = sm.OLS(
        np.concatenate([arm.y for arm in arms]),
        np.column_stack([np.ones(80), treated, x - x.mean(axis=0)]),
    ).fit()
    found = ancova(*map(moments, arms))
    assert found.estimate == pytest.approx(fit.params[1], rel=1e-10)
    assert error(found) == pytest.approx(fit.bse[1], rel=1e-10)
    assert found.df == fit.df_resid
    # At the pooled covariates, given them: the covariance matrix of both arms' predictions.
    joint = np.array([[1, 1], [1, 0]]) @ fit.cov_params()[:2, :2] @ np.array([[1, 1], [1, 0]])
    own = found.covariance - joint[0, 1]  # the error of the pooled mean, which all three share
    assert own > 0
    assert found.var_variant - own == pytest.approx(joint[0, 0], rel=1e-9)
    assert found.var_baseline - own == pytest.approx(joint[1, 1], rel=1e-9)


def test_statas_hc2():
    """`reg y x, vce(hc2)` as the tests of R's dfadjust have it: error of the constant 0.4227339762.

    The constant is the mean at x = 0; an arm whose x is mirrored brings the pooled mean there.
    """
    y = np.concatenate([np.cos(np.arange(10)), np.tan(np.arange(1, 11))])
    x = np.concatenate([np.sin(np.arange(1, 11)), np.sin(np.arange(2, 12))])
    found = lin_robust(Sample.of(y, x), Sample.of(y, -x), estimand="sample")
    assert math.sqrt(found.var_variant) == pytest.approx(0.4227339762, abs=5e-11)


def bell_mccaffrey(sample: Sample, centre: np.ndarray) -> float:
    """Degrees of freedom of the HC2 variance of one arm's mean, by the definition with all matrices."""
    design = sm.add_constant(sample.x - centre)
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    weights = (design @ inverse)[:, 0] / np.sqrt(1 - np.diag(hat))
    g = (np.eye(len(hat)) - hat) * weights
    spectrum = np.linalg.eigvalsh(g.T @ g)
    return spectrum.sum() ** 2 / np.square(spectrum).sum()


def test_robust_degrees_of_freedom_are_bell_and_mccaffreys():
    draw = np.random.default_rng(4)
    arms = drawn(draw, 14, lift=1), drawn(draw, 23)
    found = lin_robust(*arms, estimand="sample")
    centre = np.concatenate([arm.x for arm in arms]).mean(axis=0)
    parts = [
        (variance, bell_mccaffrey(arm, centre))
        for variance, arm in zip((found.var_variant, found.var_baseline), arms, strict=True)
    ]
    assert found.df == pytest.approx(contrasts.satterthwaite(*parts), rel=1e-9)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_without_covariates_it_is_welchs_test(n, m, seed):
    draw = np.random.default_rng(seed)
    arms = [Sample.of(draw.normal(3, 2, k)) for k in (n, m)]
    welch = scipy_stats.ttest_ind(*(arm.y for arm in arms), equal_var=False)
    for found in (lin_robust(*arms), lin(*map(moments, arms))):
        assert inference.statistic(found) == pytest.approx(welch.statistic, rel=1e-8)
        assert found.df == pytest.approx(welch.df, rel=1e-8)
        assert found.variance_reduction == pytest.approx(0.0, abs=1e-9)


def test_a_covariate_said_twice_or_constant_changes_nothing():
    draw = np.random.default_rng(12)
    arms = drawn(draw, 30, lift=1), drawn(draw, 40)
    more = [
        Sample(arm.y, np.column_stack([arm.x, 1e6 * arm.x[:, 0] + 3, np.full(len(arm.y), 0.1)]))
        for arm in arms
    ]
    for one, other in (
        (lin_robust(*arms), lin_robust(*more)),
        (lin(*map(moments, arms)), lin(*map(moments, more))),
        (ancova(*map(moments, arms)), ancova(*map(moments, more))),
    ):
        assert other.estimate == pytest.approx(one.estimate, rel=1e-8)
        assert error(other) == pytest.approx(error(one), rel=1e-8)
        assert other.df == pytest.approx(one.df, rel=1e-8)


def test_a_covariate_that_is_constant_but_for_rounding_is_none():
    """Another engine's covariance of 0.1 with itself: 1e-34 is no variance to divide by."""
    arms = [Moments(50, (mean, 0.1), ((1.0, 5e-18), (5e-18, 1e-34))) for mean in (1.3, 1.0)]
    plain = contrasts.difference_of_means(*arms)
    for estimator in (lin, contrasts.adjusted):
        found = estimator(*arms)
        assert found.estimate == plain.estimate
        assert found.variance_against(1.0) == pytest.approx(plain.variance_against(1.0), rel=1e-12)
        assert found.variance_reduction == pytest.approx(0.0, abs=1e-12)


class TestMissingCovariates:
    """Every unit stays; the value that stands in does not matter, as its indicator stands beside it."""

    @staticmethod
    def holed(draw: np.random.Generator, n: int, share: float, *, lift: float = 0.0) -> Sample:
        """Units without a past, whose outcome is lower: new users."""
        whole = drawn(draw, n, covariates=1, lift=lift)
        new = draw.random(n) < share
        return Sample(np.where(new, whole.y - 3, whole.y), np.where(new[:, None], math.nan, whole.x))

    def test_what_was_done_is_said(self):
        draw = np.random.default_rng(1)
        arms = self.holed(draw, 500, 0.3), self.holed(draw, 400, 0.3)
        found = complete(*arms)
        assert found.notes == ("covariate_missing",)
        assert found.missing_variant == np.isnan(arms[0].x).mean()
        assert found.missing_baseline == np.isnan(arms[1].x).mean()
        assert (len(found.variant.y), len(found.baseline.y)) == (500, 400)
        observed = np.concatenate([arm.x[np.isfinite(arm.x)] for arm in arms])
        gone = np.isnan(arms[0].x[:, 0])
        assert found.variant.x[gone, 0] == pytest.approx(observed.mean(), rel=1e-12)
        assert (found.variant.x[:, 1] == gone).all()

    def test_any_constant_does_as_well_so_moments_are_enough(self):
        draw = np.random.default_rng(2)
        arms = self.holed(draw, 500, 0.3), self.holed(draw, 400, 0.3)
        found = complete(*arms)
        zeros = [
            Moments.from_columns(arm.y, np.nan_to_num(arm.x[:, 0]), np.isnan(arm.x[:, 0]).astype(float))
            for arm in arms
        ]
        for estimator in (lin, ancova, contrasts.adjusted):
            one = estimator(moments(found.variant), moments(found.baseline))
            other = estimator(*zeros)
            assert other.estimate == pytest.approx(one.estimate, rel=1e-9)
            assert error(other) == pytest.approx(error(one), rel=1e-9)

    def test_infinity_is_missing_and_an_unknown_covariate_is_left_out(self):
        y = np.arange(6.0)
        arms = [Sample.of(y, np.array([1, 2, math.inf, 3, 4, 5]), np.full(6, math.nan)) for _ in range(2)]
        found = complete(*arms)
        assert found.notes == ("covariate_missing", "covariate_unknown")
        assert found.variant.x.shape == (6, 2)
        assert np.isfinite(found.variant.x).all()

    def test_without_any_covariate_value_the_difference_is_unadjusted(self):
        draw = np.random.default_rng(3)
        arms = [Sample.of(draw.normal(size=20), np.full(20, math.nan)) for _ in range(2)]
        found = complete(*arms)
        assert found.notes == ("covariate_unknown",)
        plain = contrasts.difference_of_means(*(Moments.from_columns(arm.y) for arm in arms))
        adjusted = lin_robust(found.variant, found.baseline)
        assert adjusted.estimate == pytest.approx(plain.estimate, rel=1e-12)
        assert error(adjusted) == pytest.approx(error(plain), rel=1e-12)

    def test_nothing_is_done_where_nothing_is_missing(self):
        draw = np.random.default_rng(4)
        arms = drawn(draw, 20), drawn(draw, 30)
        found = complete(*arms)
        assert found.notes == ()
        assert (found.variant.x == arms[0].x).all()
        assert (found.missing_variant, found.missing_baseline) == (0.0, 0.0)

    def test_covariates_missing_together_have_one_indicator(self):
        x = np.array([1.0, math.nan, 3.0, 4.0])
        found = complete(*(Sample.of(np.arange(4.0), x, 2 * x) for _ in range(2)))
        assert found.variant.x.shape == (4, 3)

    def test_the_indicator_adjusts_for_who_has_no_past(self):
        """Units without a past differ in the outcome: the indicator takes 17 points more of the variance."""
        draw = np.random.default_rng(5)
        arms = self.holed(draw, 4_000, 0.4), self.holed(draw, 4_000, 0.4)
        found = complete(*arms)
        with_it = lin_robust(found.variant, found.baseline)
        without = lin_robust(*(Sample(arm.y, arm.x[:, :1]) for arm in (found.variant, found.baseline)))
        assert with_it.variance_reduction > without.variance_reduction + 0.15


def test_one_unit_that_fits_itself_adds_nothing():
    """Its indicator takes its residual; leverage 1 is no division by zero."""
    draw = np.random.default_rng(6)
    alone = np.zeros(20)
    alone[3] = 1
    arms = Sample.of(draw.normal(size=20), alone), Sample.of(draw.normal(size=30), np.zeros(30))
    for errors in ("hc2", "hc3"):
        found = lin_robust(*arms, errors=errors)
        assert math.isfinite(found.variance_against(1.0))
        assert found.variance_against(1.0) > 0


@pytest.mark.parametrize("n", [0, 1, 2])
def test_arms_without_degrees_of_freedom_have_no_error(n):
    draw = np.random.default_rng(7)
    arms = drawn(draw, n, covariates=1), drawn(draw, 30, covariates=1)
    for found in (lin_robust(*arms), lin(*map(moments, arms))):
        assert math.isnan(found.variance_against(1.0))
    assert math.isnan(ancova(*map(moments, arms)).variance_against(1.0)) == (n < 2)


def test_more_covariates_than_units_have_no_error():
    draw = np.random.default_rng(8)
    arms = drawn(draw, 4, covariates=6), drawn(draw, 5, covariates=6)
    for found in (lin_robust(*arms), lin(*map(moments, arms))):
        assert math.isnan(found.variance_against(1.0))


def test_moments_that_are_not_finite_give_nan():
    broken = Moments(50, (1.0, math.nan), ((1.0, math.nan), (math.nan, math.nan)))
    fine = Moments(50, (1.0, 2.0), ((1.0, 0.5), (0.5, 1.0)))
    for estimator in (lin, ancova, contrasts.adjusted):
        assert math.isnan(estimator(broken, fine).variance_against(1.0))
        both = estimator(Stack.of([broken, fine]), Stack.of([fine, fine]))
        assert np.isnan(both.variance_against(1.0)).tolist() == [True, False]


def test_arguments_without_meaning_are_refused():
    y = np.arange(5.0)
    with pytest.raises(StatsError, match="same covariates"):
        lin_robust(Sample.of(y, y), Sample.of(y))
    with pytest.raises(StatsError, match="one value"):
        Sample.of(y, np.arange(4.0))
    with pytest.raises(StatsError, match="finite"):
        lin_robust(Sample.of(y, np.full(5, math.nan)), Sample.of(y, y))


def runs_of(draw: np.random.Generator, runs: int, n: int, *, slope: float, level: float) -> list[Sample]:
    """One covariate; errors that grow with it, as revenue's do."""
    x = draw.gamma(4, 0.5, (runs, n, 1))
    y = level + slope * (x[..., 0] - 2) + draw.normal(0, 1, (runs, n)) * x[..., 0]
    return [Sample(one, covariate) for one, covariate in zip(y, x, strict=True)]


def gathered(found: list[Contrast]) -> Contrast:
    names = ("variant", "baseline", "var_variant", "var_baseline", "covariance", "df")
    return Contrast(
        method="many",
        **{name: np.array([getattr(one, name) for one in found], dtype=float) for name in names},
    )


def covers(found: Contrast, truth: float) -> tuple[float, float]:
    """Share of 95 % intervals that hold the difference, and the lift from a baseline of 10."""
    law = StudentT(found.df)
    absolute = inference.difference_interval(found, law, 0.05)
    lift = inference.lift_interval(found, law, 0.05)
    return (
        float(((absolute.lower <= truth) & (truth <= absolute.upper)).mean()),
        float(((lift.lower <= truth / 10) & (truth / 10 <= lift.upper)).mean()),
    )


def test_coverage_of_difference_and_lift():
    """2,000 experiments of 40 against 60 units, slopes 3 and 1, effect +5 (+50 %); Monte-Carlo error 0.5 %.

    The population's effect is covered by the default; the textbook's errors are for the sample's effect and
    too short for it, since the pooled covariates are not the population's.
    """
    draw = np.random.default_rng(31)
    runs, truth = 2_000, 5.0
    variants = runs_of(draw, runs, 40, slope=3.0, level=10 + truth)
    baselines = runs_of(draw, runs, 60, slope=1.0, level=10.0)
    pairs = list(zip(variants, baselines, strict=True))
    error = math.sqrt(0.05 * 0.95 / runs)
    for errors in ("hc2", "hc3"):
        found = covers(gathered([lin_robust(*pair, errors=errors) for pair in pairs]), truth)
        assert found == pytest.approx((0.95, 0.95), abs=0.012 + 2 * error)
    stacks = [Stack.of([moments(one) for one in arm]) for arm in (variants, baselines)]
    assert covers(lin(*stacks), truth) == pytest.approx((0.95, 0.95), abs=0.012 + 2 * error)
    textbook = covers(lin(*stacks, estimand="sample"), truth)
    assert textbook[0] < 0.95 - 5 * error


def test_the_textbooks_errors_cover_the_samples_effect():
    """The same units under both variants, assigned at random: 2,000 assignments of 100 units."""
    draw = np.random.default_rng(32)
    x = draw.gamma(4, 0.5, (100, 1))
    noise = draw.normal(0, 1, (2, 100)) * x[:, 0]
    outcomes = 15 + 3 * (x[:, 0] - 2) + noise[0], 10 + (x[:, 0] - 2) + noise[1]
    truth, runs = float((outcomes[0] - outcomes[1]).mean()), 2_000
    found = []
    for _ in range(runs):
        mine = draw.permutation(100) < 40
        found.append(
            lin_robust(
                Sample(outcomes[0][mine], x[mine]), Sample(outcomes[1][~mine], x[~mine]), estimand="sample"
            )
        )
    # Neyman's variance leaves out what can't be known, the spread of unit effects: on the safe side.
    assert covers(gathered(found), truth)[0] > 0.95 - 3 * math.sqrt(0.05 * 0.95 / runs)
