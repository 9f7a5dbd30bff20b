"""CUPED: other engines' numbers with their coefficient, a smaller variance with ours; ratios as well."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import contrasts, inference, lifts
from stats.contrasts import Contrast
from stats.moments import Moments, Stack
from stats.references import ConfidenceSequence, StudentT, p_value
from tests.stats.conftest import outputs, param

NORMAL = StudentT()
REFERENCE = "closed form: CUPED, theta pooled over all units (total covariance)"
COLUMNS = ("m_post", "d_post", "m_pre", "d_pre")


def mean(arm: dict) -> Moments:
    """Measure y and covariate x from sums."""
    n, y, x = arm["n"], arm["sum"], arm["x_sum"]
    yy, xx, yx = (
        (arm["sum_squares"] - y * y / n) / (n - 1),
        (arm["x_sum_squares"] - x * x / n) / (n - 1),
        (arm["yx_sum"] - y * x / n) / (n - 1),
    )
    return Moments(n, (y / n, x / n), ((yy, yx), (yx, xx)))


def ratio(arm: dict) -> Moments:
    """Numerator and denominator after exposure, then before."""
    n = arm["n"]

    def product(a: str, b: str) -> float:
        if a == b:
            return arm[f"{a}_sum_squares"]
        return arm.get(f"{a}__{b}_sum_product", arm.get(f"{b}__{a}_sum_product"))

    cov = tuple(
        tuple((product(a, b) - arm[f"{a}_sum"] * arm[f"{b}_sum"] / n) / (n - 1) for b in COLUMNS)
        for a in COLUMNS
    )
    return Moments(n, tuple(arm[f"{column}_sum"] / n for column in COLUMNS), cov)


def both(case: dict) -> tuple[Moments, Moments]:
    """The measure and its covariate, of either kind."""
    v, b = (case["inputs"][arm] for arm in ("treatment", "control"))
    if case["kind"] == "cuped_ratio":
        return contrasts.linearised(ratio(v), pairs=2), contrasts.linearised(ratio(b), pairs=2)
    return mean(v), mean(b)


def check(found: Contrast, expected: dict, alpha: float) -> None:
    law = StudentT(found.df)
    assert found.estimate == pytest.approx(expected["estimate"], rel=1e-9)
    assert math.sqrt(found.variance_against(1.0)) == pytest.approx(expected["se"], rel=1e-9)
    assert found.df == pytest.approx(expected["df"], rel=1e-9)
    assert p_value(inference.log10_p(found, law)) == pytest.approx(expected["p_value"], rel=1e-9)
    assert inference.difference_interval(found, law, alpha) == pytest.approx(expected["ci"], rel=1e-9)
    if "control_adjusted_mean" in expected:
        adjusted = expected["treatment_adjusted_mean"], expected["control_adjusted_mean"]
        assert (found.variant, found.baseline) == pytest.approx(adjusted, rel=1e-9)


def thetas(case: dict) -> list[tuple[float, dict]]:
    """Every coefficient that an engine took, with its result."""
    found = []
    for result in case["results"]:
        expected = result["outputs"]
        theta = expected.get("theta", expected.get("theta_pooled"))
        if result.get("scale") == "absolute" and theta is not None and "df" in expected:
            found.append((theta, expected))
    return found


@param("cuped", "cuped_mean", "cuped_ratio")
def test_with_their_coefficient_the_result_is_theirs(case: dict):
    """GrowthBook and the closed forms; what differs otherwise is theta alone."""
    for theta, expected in thetas(case):
        found = contrasts.adjusted(*both(case), theta=[theta])
        check(found, expected, case["params"]["alpha"])


@param("cuped", "cuped_prop")
def test_a_binary_measure_too(case: dict):
    """Only the closed form: GrowthBook's variances of 0 and 1 have the divisor n, ours n - 1."""
    for expected in outputs(case, REFERENCE):
        check(contrasts.adjusted(*both(case), theta=[expected["theta_pooled"]]), expected, 0.05)


@param("cuped", "cuped_mean", "cuped_prop")
def test_tea_tastings_test_of_the_adjusted_difference(case: dict):
    for expected in outputs(case, "tt.Mean('y', 'x', confidence_level=0.95)"):
        (theta,) = [output["theta_pooled"] for output in outputs(case, REFERENCE)]
        found = contrasts.adjusted(*both(case), theta=[theta])
        assert inference.statistic(found) == pytest.approx(expected["statistic"], rel=1e-9)
        means = expected["treatment"], expected["control"]
        assert (found.variant, found.baseline) == pytest.approx(means, rel=1e-9)


@param("cuped", "cuped_ratio")
def test_tea_tastings_ratio_is_another_coefficient(case: dict):
    """Its theta, of the arms' totals, is read from its estimate; then its statistic follows."""
    for expected in outputs(case, "tt.RatioOfMeans("):
        after, before = (
            contrasts.difference_of_ratios(*(select(case, arm, pair) for arm in ("treatment", "control")))
            for pair in (COLUMNS[:2], COLUMNS[2:])
        )
        theta = (after.estimate - expected["estimate_absolute"]) / before.estimate
        found = contrasts.adjusted(*both(case), theta=[theta])
        assert inference.statistic(found) == pytest.approx(expected["statistic"], rel=1e-9)


def select(case: dict, arm: str, columns: tuple[str, ...]) -> Moments:
    """Two of the four columns."""
    whole, places = ratio(case["inputs"][arm]), [COLUMNS.index(column) for column in columns]
    return Moments(
        whole.n,
        tuple(whole.mean[place] for place in places),
        tuple(tuple(whole.cov[a][b] for b in places) for a in places),
    )


@param("cuped", "cuped_ratio")
def test_the_coefficient_of_a_ratio_is_the_one_of_least_variance(case: dict):
    """Weights 1/n: the closed form's; GrowthBook drops them, tea-tasting pools the arms' totals."""
    found = contrasts.adjusted(*both(case))
    for expected in outputs(case, "closed form: CUPED ratio, theta = variance-optimal"):
        check(found, expected, case["params"]["alpha"])
        assert found.variance_reduction == pytest.approx(expected["variance_reduction"], rel=1e-9)
    for theta, expected in thetas(case):
        assert found.variance_against(1.0) <= expected["se"] ** 2 * (1 + 1e-12), theta


@param("cuped", "cuped_mean", "cuped_prop")
def test_our_coefficient_differs_from_theirs_by_less_than_its_error(case: dict):
    """Theta from within the arms: totals over both arms mix the effect in, by little."""
    found = contrasts.adjusted(*both(case))
    for expected in outputs(case, REFERENCE):
        assert found.variance_against(1.0) <= expected["se"] ** 2 * (1 + 1e-12)
        assert found.estimate == pytest.approx(expected["estimate"], abs=0.05 * expected["se"])
        # Theirs is the squared correlation over all units, ours what the difference's variance lost.
        assert found.variance_reduction == pytest.approx(expected["variance_reduction"], abs=0.01)


@param("cuped", "cuped_mean", "cuped_prop")
def test_lifts_as_if_the_adjusted_means_were_independent(case: dict):
    """The closed forms leave out what the means share; with it the interval is another, and covers."""
    for absolute in outputs(case, REFERENCE):
        whole = contrasts.adjusted(*both(case), theta=[absolute["theta_pooled"]])
        arms = both(case)
        independent = Contrast(
            method="independent",
            variant=whole.variant,
            baseline=whole.baseline,
            var_variant=absolute["treatment_unit_variance"] / arms[0].n,
            var_baseline=absolute["control_unit_variance"] / arms[1].n,
        )
        name = "closed form: relative lift, {} on CUPED-adjusted means"
        for pair, call in (
            ("fieller", name.format("Fieller")),
            ("linear_delta", name.format("linear delta method")),
            ("log_delta", name.format("log delta method")),
        ):
            for expected in outputs(case, call):
                found = lifts.RELATIVE[pair].interval(independent, NORMAL, 0.05, 2)
                assert found == pytest.approx(expected["ci"], rel=1e-8, abs=1e-15)
                assert inference.lift(whole) == pytest.approx(expected["estimate"], rel=1e-9)
        assert whole.covariance >= 0


@param("sequential", "cuped_mean")
def test_confidence_sequences_of_adjusted_means(case: dict):
    """GrowthBook's absolute row; its relative one divides by the raw control mean, ours by the adjusted."""
    params = case["params"]
    for expected in outputs(case, "SequentialTwoSidedTTest", scale="absolute"):
        arms = both(case)
        law = ConfidenceSequence(
            sum(arm.n for arm in arms), tuned_for=params["sequential_tuning_parameter"], alpha=params["alpha"]
        )
        theirs = contrasts.adjusted(*arms, theta=[expected["theta"]])
        assert math.sqrt(theirs.variance_against(1.0)) == pytest.approx(expected["se"], rel=1e-9)
        assert inference.difference_interval(theirs, law, 0.05) == pytest.approx(expected["ci"], rel=1e-9)
        assert p_value(inference.log10_p(theirs, law)) == pytest.approx(expected["p_value"], rel=1e-9)
        # The coefficient from within the arms is all that makes ours another.
        ours = inference.difference_interval(contrasts.adjusted(*arms), law, 0.05)
        assert ours == pytest.approx(expected["ci"], rel=1e-3)


def growthbooks_relative(variant: Moments, baseline: Moments, theta: float) -> tuple[float, float]:
    """Its lift and error: the adjusted difference over the raw control mean (STATS 3.5)."""
    v, b = (arm.cov for arm in (variant, baseline))
    raw, r = baseline.mean[0], variant.mean[0] / baseline.mean[0]
    adjusted = v[0][0] - 2 * theta * v[0][1] + theta**2 * v[1][1]
    control = r**2 * b[0][0] - 2 * theta * r * b[0][1] + theta**2 * b[1][1]
    variance = adjusted / (variant.n * raw**2) + control / (baseline.n * raw**2)
    difference = (variant.mean[0] - raw) - theta * (variant.mean[1] - baseline.mean[1])
    return difference / raw, math.sqrt(variance)


@param("cuped", "cuped_mean")
def test_growthbooks_relative_lift_is_understood(case: dict):
    """Not ours, but explained to the last digit: the raw control mean below the line."""
    version = "main@8f1db4456915 (pyproject still says 0.8.0)"
    for expected in outputs(case, "TwoSidedTTest", scale="relative", version=version):
        found = growthbooks_relative(*both(case), expected.get("theta", 0.0))
        assert found == pytest.approx((expected["estimate"], expected["se"]), rel=1e-9)


def test_a_pair_of_columns_is_linearised_as_units_are():
    """Unit by unit: R + (y - R x)/mean(x), after exposure and before, and a covariate beside them."""
    draw = np.random.default_rng(4)
    columns = draw.gamma(2, 3, (5, 400))
    columns[0] += columns[1]
    found = contrasts.linearised(Moments.from_columns(*columns), pairs=2)

    def units(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        r = y.mean() / x.mean()
        return r + (y - r * x) / x.mean()

    plain = Moments.from_columns(units(*columns[:2]), units(*columns[2:4]), columns[4])
    assert found.mean == pytest.approx(plain.mean, rel=1e-12)
    assert np.array(found.cov) == pytest.approx(np.array(plain.cov), rel=1e-10)
    one = contrasts.linearised(Moments.from_columns(*columns))
    assert one.mean[1:] == pytest.approx(tuple(columns[2:].mean(axis=1)))


@given(st.integers(0, 2**32 - 1), st.floats(-2, 2))
def test_no_other_coefficient_has_a_smaller_variance(seed, other):
    draw = np.random.default_rng(seed)
    arms = []
    for n in (20, 50):
        x = draw.gamma(2, 1, n)
        arms.append(Moments.from_columns(draw.normal(size=n) + x * draw.normal(), x))
    best = contrasts.adjusted(*arms).variance_against(1.0)
    assert best <= contrasts.adjusted(*arms, theta=[other]).variance_against(1.0) * (1 + 1e-12)
    plain = contrasts.difference_of_means(*arms)
    zero = contrasts.adjusted(*arms, theta=[0.0])
    assert zero.estimate == pytest.approx(plain.estimate, rel=1e-12)
    assert zero.variance_against(1.0) == pytest.approx(plain.variance_against(1.0), rel=1e-12)
    assert zero.variance_reduction == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("n", [0, 1])
def test_arms_that_are_too_small_and_denominators_of_zero_give_nan(n):
    tiny = Moments.from_columns(*np.ones((4, n)))
    fine = Moments.from_columns(*np.random.default_rng(1).gamma(2, 1, (4, 50)))
    for pairs in (1, 2):
        arms = [contrasts.linearised(arm, pairs=pairs) for arm in (tiny, fine)]
        assert math.isnan(contrasts.adjusted(*arms).variance_against(1.0))
    for estimator in (contrasts.difference_of_means, contrasts.difference_of_ratios):
        assert math.isnan(estimator(tiny, fine).variance_against(1.0))
    zero = Moments(50, (1.0, 0.0, 1.0, 0.0), ((1.0,) * 4,) * 4)
    assert math.isnan(contrasts.adjusted(*(contrasts.linearised(zero, pairs=2),) * 2).variance_against(1.0))


def test_huge_and_tiny_measures_are_told_by_their_units_only():
    draw = np.random.default_rng(6)
    raw = draw.gamma(2, 1, (2, 2, 300))
    for scale in (1e-12, 1.0, 1e12):
        arms = [Moments.from_columns(scale * y, x / scale) for y, x in raw]
        found = contrasts.adjusted(*(of_units(arm, 10**12) for arm in arms))
        assert found.estimate / scale == pytest.approx(
            contrasts.adjusted(*(Moments.from_columns(y, x) for y, x in raw)).estimate, rel=1e-9
        )
        assert math.sqrt(found.variance_against(1.0)) / scale < 1e-5


def of_units(arm: Moments, n: int) -> Moments:
    """The same moments of more units."""
    return Moments(n, arm.mean, arm.cov)


def test_coverage_of_adjusted_ratios():
    """4,000 experiments of 150 against 250 users, sessions and orders before and after, lift +30 %.

    Monte-Carlo error 0.35 %; the covariate takes about a quarter of the variance away.
    """
    draw = np.random.default_rng(17)
    runs, truth = 4_000, 0.3

    def arm(n: int, lift: float) -> Stack:
        taste = draw.gamma(2, 0.5, (runs, n))
        sessions = draw.poisson(draw.gamma(3, 2, (1, runs, n)), (2, runs, n)) + 1
        orders = draw.binomial(sessions, np.minimum(0.2 * taste, 1.0))
        bought = draw.binomial(sessions[0], np.minimum(0.2 * (1 + lift) * taste, 1.0)) if lift else orders[0]
        columns = np.array([bought, sessions[0], orders[1], sessions[1]], dtype=float)
        centred = columns - columns.mean(axis=2, keepdims=True)
        cov = np.einsum("irn,jrn->ijr", centred, centred) / (n - 1)
        return Stack(np.full(runs, float(n)), tuple(columns.mean(axis=2)), tuple(map(tuple, cov)))

    variant, baseline = arm(150, truth), arm(250, 0.0)
    plain = contrasts.difference_of_ratios(variant, baseline)
    found = contrasts.adjusted(*(contrasts.linearised(one, pairs=2) for one in (variant, baseline)))
    law = StudentT(found.df)
    lift = inference.lift_interval(found, law, 0.05)
    true_ratio = float(baseline.mean[0].mean() / baseline.mean[1].mean())
    true_lift = float(variant.mean[0].mean() / variant.mean[1].mean()) / true_ratio - 1
    assert true_lift == pytest.approx(truth, abs=0.01)
    covered = ((lift.lower <= true_lift) & (true_lift <= lift.upper)).mean()
    assert covered == pytest.approx(0.95, abs=0.005 + 3 * math.sqrt(0.05 * 0.95 / runs))
    assert np.mean(found.variance_reduction) > 0.2
    assert np.mean(found.variance_against(1.0)) < 0.8 * np.mean(plain.variance_against(1.0))
