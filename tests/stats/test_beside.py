"""Methods beside the headline: each says what SciPy, statsmodels or a formula says; none decides."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as scipy_stats
from statsmodels.stats import proportion as theirs

from stats.analysis import Analysis, Cell, MetricPlan, Settings, UnitCell
from stats.moments import Moments
from stats.plan import Plan
from stats.results import Result, Status
from tests.stats.test_analysis import bought, cell, plan, rows, run

MEAN = MetricPlan(name="spend", kind="mean", role="primary")
OF_UNITS = ("bootstrap", "mann_whitney", "brunner_munzel", "permutation")
OF_MOMENTS = ("normal_posterior", "log_delta", "linear_delta", "msprt")
DRAW = np.random.default_rng(5)
VALUES = {"A": DRAW.gamma(2, 3, 240), "B": DRAW.gamma(2, 3.4, 310)}


def asking(*methods: str, metric: MetricPlan | None = None, **settings: object) -> Plan:
    return plan(*([metric] if metric else []), settings=Settings(methods=methods, **settings))


def units(name: str, columns: dict[str, tuple[np.ndarray, ...]]) -> list[Cell | UnitCell]:
    return [
        one
        for arm, own in columns.items()
        for one in (
            cell(name, arm, Moments.from_columns(*own)),
            UnitCell(metric=name, variant=arm, columns=own),
        )
    ]


def spend(*methods: str, values: dict[str, np.ndarray] = VALUES, **settings: object) -> Analysis:
    return run(
        asking(*methods, metric=MEAN, **settings), *units("spend", {k: (v,) for k, v in values.items()})
    )


def only(found: Analysis, method: str, scale: str = "absolute") -> Result:
    (row,) = rows(found, method=method, scale=scale)
    assert not row.headline
    assert row.horizon == "fixed"
    return row


def test_fisher_is_scipy_s():
    found = run(asking("fisher"), *bought(20, 36, 1_000))
    test = scipy_stats.fisher_exact([[36, 964], [20, 980]])
    assert only(found, "fisher").p_value == pytest.approx(test.pvalue, rel=1e-10)
    assert only(found, "fisher").lower is None


@pytest.mark.parametrize(("method", "name"), [("newcombe", "newcomb"), ("agresti_caffo", "agresti-caffo")])
def test_intervals_without_a_test_are_those_of_statsmodels(method, name):
    row = only(run(asking(method), *bought(20, 36, 1_000)), method)
    bounds = theirs.confint_proportions_2indep(36, 1_000, 20, 1_000, method=name, compare="diff")
    assert (row.lower, row.upper) == pytest.approx(bounds, rel=1e-9)
    assert row.p_value is None


def test_the_logarithm_of_the_ratio_is_that_of_statsmodels():
    row = only(run(asking("log_relative"), *bought(20, 36, 1_000)), "log_relative", "relative")
    kind = {"method": "log", "compare": "ratio"}
    bounds = theirs.confint_proportions_2indep(36, 1_000, 20, 1_000, **kind)
    test = theirs.test_proportions_2indep(36, 1_000, 20, 1_000, **kind)
    assert (1 + row.lower, 1 + row.upper) == pytest.approx(bounds, rel=1e-9)
    assert row.p_value == pytest.approx(test.pvalue, rel=1e-9)


def test_delta_lifts_are_the_formulas_of_the_specification():
    """Linear: Var = a/b^2 + m^2 v/b^4; logarithmic: a/m^2 + v/b^2; Welch's degrees of freedom."""
    found = spend("linear_delta", "log_delta")
    m, b = VALUES["B"].mean(), VALUES["A"].mean()
    a, v = VALUES["B"].var(ddof=1) / 310, VALUES["A"].var(ddof=1) / 240
    df = (a + v) ** 2 / (a * a / 309 + v * v / 239)
    q = scipy_stats.t.ppf(0.975, df)
    error = math.sqrt(a / b**2 + m * m * v / b**4)
    row = only(found, "linear_delta", "relative")
    assert (row.lower, row.upper) == pytest.approx((m / b - 1 - q * error, m / b - 1 + q * error), rel=1e-9)
    assert row.p_value == pytest.approx(2 * scipy_stats.t.sf(abs((m / b - 1) / error), df), rel=1e-9)
    error = math.sqrt(a / m**2 + v / b**2)
    row = only(found, "log_delta", "relative")
    both = (m / b * math.exp(-q * error) - 1, m / b * math.exp(q * error) - 1)
    assert (row.lower, row.upper) == pytest.approx(both, rel=1e-9)


def test_rank_tests_are_scipy_s():
    found = spend("mann_whitney", "brunner_munzel")
    v, b = VALUES["B"], VALUES["A"]
    test = scipy_stats.mannwhitneyu(v, b, method="asymptotic", use_continuity=True)
    assert only(found, "mann_whitney").p_value == pytest.approx(test.pvalue, rel=1e-9)
    test = scipy_stats.brunnermunzel(b, v)
    row = only(found, "brunner_munzel")
    assert row.p_value == pytest.approx(test.pvalue, rel=1e-9)
    superior = scipy_stats.mannwhitneyu(v, b).statistic / len(v) / len(b)
    assert row.estimate == pytest.approx(superior - 0.5, rel=1e-9)


def test_resampling_is_near_the_law_and_the_same_again_with_the_same_seed():
    found = spend("permutation", "bootstrap", seed=4)
    test = scipy_stats.ttest_ind(VALUES["B"], VALUES["A"], equal_var=False)
    p = test.pvalue
    assert only(found, "permutation").p_value == pytest.approx(
        p, abs=4 * math.sqrt(p * (1 - p) / 9_999) + 0.003
    )
    row, bounds = only(found, "bootstrap"), test.confidence_interval()
    # A 2.5 % quantile of 1,999 replicates errs by 0.06 standard errors, of which there are 3.92 in between.
    assert (row.lower, row.upper) == pytest.approx((bounds.low, bounds.high), abs=0.25 * row.std_error)
    assert only(found, "bootstrap", "relative").lower is not None
    assert spend("permutation", "bootstrap", seed=4).results == found.results
    assert only(spend("bootstrap", seed=5), "bootstrap").lower != row.lower


def test_regression_with_covariates_is_that_of_statsmodels():
    rng = np.random.default_rng(9)
    x = {arm: rng.normal(3, 1, n) for arm, n in (("A", 90), ("B", 120))}
    y = {arm: 2 + own + rng.normal(0, 1, len(own)) + 0.3 * (arm == "B") for arm, own in x.items()}
    metric = MetricPlan(name="spend", kind="mean", role="primary", covariates=1)
    methods = ("ancova", "lin_hc2", "lin_hc3")
    found = run(asking(*methods, metric=metric), *units("spend", {arm: (y[arm], x[arm]) for arm in "AB"}))
    before, treated = np.concatenate([x["A"], x["B"]]), np.repeat([0.0, 1.0], [90, 120])
    centred, outcome = before - before.mean(), np.concatenate([y["A"], y["B"]])
    one = sm.OLS(outcome, np.column_stack([np.ones(210), treated, centred])).fit()
    row = only(found, "ancova")
    assert (row.estimate, row.std_error) == pytest.approx((one.params[1], one.bse[1]), rel=1e-9)
    assert row.p_value == pytest.approx(one.pvalues[1], rel=1e-8)
    interacted = sm.OLS(outcome, np.column_stack([np.ones(210), treated, centred, treated * centred])).fit()
    for name in ("hc2", "hc3"):
        row = only(found, f"lin_{name}")
        assert row.estimate == pytest.approx(interacted.params[1], rel=1e-9)
        # What the pooled mean of the covariate adds is left out of statsmodels' errors.
        assert row.std_error >= getattr(interacted, f"{name.upper()}_se")[1] * (1 - 1e-12)
        assert row.std_error == pytest.approx(getattr(interacted, f"{name.upper()}_se")[1], rel=0.01)


@pytest.mark.parametrize("direction", ["increase", "decrease"])
def test_posteriors_are_scipy_s(direction):
    sign = 1 if direction == "increase" else -1
    metric = MetricPlan(name="bought", kind="proportion", role="primary", direction=direction)
    found = run(asking("beta_posterior", "normal_posterior", metric=metric), *bought(20, 36, 1_000))
    laws = [scipy_stats.beta(1 + k, 1_001 - k) for k in (36, 20)]
    rates = np.linspace(0, 0.2, 200_001)
    above = np.trapezoid(laws[1].pdf(rates) * laws[0].sf(rates), rates)
    row = only(found, "beta_posterior")
    assert row.probability_better == pytest.approx(above if sign > 0 else 1 - above, abs=1e-8)
    lost = np.trapezoid(
        laws[0].cdf(rates) * laws[1].sf(rates) if sign > 0 else laws[1].cdf(rates) * laws[0].sf(rates), rates
    )
    assert row.expected_loss == pytest.approx(lost, rel=1e-6)
    # The prior on the lift is N(0, 0.3^2), its error that of the linear delta method.
    p, q = 0.036, 0.02
    variance = p * (1 - p) / 1_000 / q**2 + p**2 * q * (1 - q) / 1_000 / q**4
    weight = variance / (variance + 0.09)
    law = scipy_stats.norm((1 - weight) * (p / q - 1), math.sqrt(weight * 0.09))
    row = only(found, "normal_posterior", "relative")
    assert row.estimate == pytest.approx(law.mean(), rel=1e-9)
    assert (row.lower, row.upper) == pytest.approx(law.interval(0.95), rel=1e-9)
    assert row.probability_better == pytest.approx(law.sf(0) if sign > 0 else law.cdf(0), rel=1e-9)


def test_msprt_is_johari_s_with_many_units():
    """P = 1 / Lambda, Lambda = sqrt(V/(V + tau^2)) exp(tau^2 d^2 / (2 V (V + tau^2)))."""
    row = only(run(asking("msprt", msprt=0.1), *bought(4_000, 4_600, 40_000)), "msprt")
    v = (0.1 * 0.9 + 0.115 * 0.885) / 40_000
    tau2, d = (0.1 * 0.1) ** 2, 0.015
    ratio = math.sqrt(v / (v + tau2)) * math.exp(tau2 * d * d / (2 * v * (v + tau2)))
    assert row.p_value == pytest.approx(1 / ratio, rel=1e-9)


def test_before_the_planned_end_no_method_gives_significance_away():
    methods = (*OF_UNITS, *OF_MOMENTS)
    cells = units("spend", {arm: (own,) for arm, own in VALUES.items()})
    found = run(asking(*methods, metric=MEAN), *cells, ended=False)
    assert {row.method for row in found.results} >= set(methods)
    for row in found.results:
        assert row.status is Status.WITHHELD
        assert row.reasons[0] == "before_planned_end"
        shown = (row.p_value, row.log10_p, row.lower, row.upper, row.std_error, row.probability_better)
        assert shown == (None,) * 6


def test_data_that_a_method_has_no_value_for_stop_nothing():
    methods = (*OF_UNITS, *OF_MOMENTS)
    values = {"A": np.zeros(30), "B": np.array([0.0] * 29 + [1.0])}
    found = spend(*methods, values=values)
    assert only(found, "log_delta", "relative").status is Status.UNDEFINED
    assert only(found, "log_delta", "relative").reasons[0] == "not_defined"
    assert only(found, "mann_whitney").p_value == pytest.approx(
        scipy_stats.mannwhitneyu(values["B"], values["A"], method="asymptotic").pvalue
    )
    for row in found.results:
        numbers = (row.p_value, row.lower, row.upper, row.std_error, row.expected_loss)
        assert all(number is None or math.isfinite(number) for number in numbers)
