"""Agreement with other people's engines and closed forms, digit by digit, case by case."""

import math

import pytest

from stats import contrasts, inference
from stats.analysis import Cell, MetricPlan, analyse
from stats.moments import Moments
from stats.multiplicity import holm
from stats.references import ConfidenceSequence, StudentT, p_value
from stats.results import Status
from stats.srm import sample_ratio
from tests.stats.conftest import outputs, param
from tests.stats.test_analysis import plan

NORMAL = StudentT()
CLOSE = {"rel": 1e-9, "abs": 1e-300}


def proportion(arm: dict) -> Moments:
    share = arm["sum"] / arm["n"]
    return Moments(arm["n"], (share,), ((share * (1 - share) * arm["n"] / max(arm["n"] - 1, 1),),))


def mean(arm: dict) -> Moments:
    n, total = arm["n"], arm["sum"]
    return Moments(n, (total / n,), (((arm["sum_squares"] - total * total / n) / (n - 1),),))


def ratio(arm: dict) -> Moments:
    n, y, x = arm["n"], arm["sum"], arm["d_sum"]
    yy, xx = arm["sum_squares"] - y * y / n, arm["d_sum_squares"] - x * x / n
    yx = arm["md_sum"] - y * x / n
    return Moments(n, (y / n, x / n), ((yy / (n - 1), yx / (n - 1)), (yx / (n - 1), xx / (n - 1))))


def both(case: dict, moments_of) -> tuple[Moments, Moments]:
    return moments_of(case["inputs"]["treatment"]), moments_of(case["inputs"]["control"])


def check(contrast: contrasts.Contrast, expected: dict, params: dict) -> None:
    """Estimate, error, p-value and interval of one absolute result."""
    law, alpha = StudentT(contrast.df), params["alpha"]
    assert contrast.estimate == pytest.approx(expected["estimate"], **CLOSE)
    assert math.sqrt(contrast.variance_against(1)) == pytest.approx(expected["se"], **CLOSE)
    logarithm = inference.log10_p(contrast, law)
    assert logarithm == pytest.approx(expected["log10_p_two_sided"], rel=1e-9, abs=1e-12)
    less = params.get("alternative") == "less"
    if expected["p_value"] > 0:
        shown = law.log10_p(-inference.statistic(contrast), 1) if less else logarithm
        assert p_value(shown) == pytest.approx(expected["p_value"], **CLOSE)
    found = inference.difference_interval(contrast, law, alpha)
    assert [found.lower, found.upper] == pytest.approx(expected["ci"], rel=1e-9, abs=1e-14)


def check_fieller(contrast: contrasts.Contrast, case: dict) -> None:
    """Against closed forms with the normal critical value, whatever the test's own reference is."""
    for expected in outputs(case, "closed form: relative lift, Fieller"):
        found = inference.lift_interval(contrast, NORMAL, case["params"]["alpha"])
        if not expected["bounded"]:
            assert math.isnan(found.lower)
            continue
        # The closed form computes the ratio and subtracts 1: that costs it digits where lifts are tiny.
        assert [found.lower, found.upper] == pytest.approx(expected["ci"], rel=1e-9, abs=1e-15)


@param("proportion", "proportion")
def test_proportions(case: dict):
    v, b = both(case, proportion)
    for expected in outputs(case, "closed form: unpooled z (Wald)"):
        check(contrasts.difference_of_proportions(v, b), expected, case["params"])
    for expected in outputs(case, "statsmodels proportions_ztest"):
        pooled = contrasts.pooled_proportions(v, b)
        assert inference.statistic(pooled) == pytest.approx(expected["statistic"], **CLOSE)
        assert inference.log10_p(pooled, NORMAL) == pytest.approx(expected["log10_p_two_sided"], rel=1e-9)
    check_fieller(contrasts.difference_of_proportions(v, b), case)


@param("mean", "mean")
def test_means(case: dict):
    v, b = both(case, mean)
    contrast = contrasts.difference_of_means(v, b)
    for expected in outputs(case, "closed form: Welch t (two-sided)"):
        assert contrast.df == pytest.approx(expected["df"], **CLOSE)
        check(contrast, expected, case["params"])
    check_fieller(contrast, case)


@param("ratio", "ratio")
def test_ratios(case: dict):
    v, b = both(case, ratio)
    contrast = contrasts.difference_of_ratios(v, b)
    for expected in outputs(case, "closed form: delta method, Welch t"):
        assert contrast.df == pytest.approx(expected["df"], **CLOSE)
        check(contrast, expected, case["params"])
    check_fieller(contrast, case)


@param("sequential", "proportion", "mean")
def test_confidence_sequences(case: dict):
    kinds = {"proportion": (proportion, contrasts.difference_of_proportions),
             "mean": (mean, contrasts.difference_of_means)}  # fmt: skip
    moments_of, estimator = kinds[case["kind"]]
    v, b = both(case, moments_of)
    alpha = case["params"]["alpha"]
    law = ConfidenceSequence(v.n + b.n, tuned_for=case["params"]["sequential_tuning_parameter"], alpha=alpha)
    for expected in outputs(case, "closed form: asymptotic CS, rho by the paper's approximation"):
        assert law.critical(alpha) == pytest.approx(expected["multiplier"], **CLOSE)
        contrast = estimator(v, b)
        found = inference.difference_interval(contrast, law, alpha)
        assert [found.lower, found.upper] == pytest.approx(expected["ci"], rel=1e-9)
        assert inference.log10_p(contrast, law) == pytest.approx(expected["log10_p"], rel=1e-9)


@param("non_inferiority")
def test_margins_on_the_ratio_scale(case: dict):
    moments_of = proportion if case["kind"] == "proportion" else mean
    estimator = {"proportion": contrasts.difference_of_proportions, "mean": contrasts.difference_of_means}
    contrast = estimator[case["kind"]](*both(case, moments_of))
    sign = 1 if case["params"]["preferred"] == "increase" else -1
    for expected in outputs(case, "closed form: ratio null"):
        z = sign * inference.statistic(contrast, 1 - sign * case["params"]["nim"])
        assert z == pytest.approx(expected["statistic"], **CLOSE)
        assert p_value(NORMAL.log10_p(z, 1)) == pytest.approx(expected["p_value"], **CLOSE)


@param("srm")
def test_sample_ratios(case: dict):
    if "counts" not in case["inputs"]:
        pytest.skip(f"{case['id']} has no counts")
    counts = {str(arm): count for arm, count in enumerate(case["inputs"]["counts"])}
    weights = {str(arm): float(weight) for arm, weight in enumerate(case["inputs"]["weights"])}
    found = sample_ratio(counts, weights)
    (expected,) = [output for output in outputs(case, "", library="reference") if "statistic" in output]
    assert (found.chi2, found.df) == (pytest.approx(expected["statistic"], rel=1e-9), expected["df"])
    if found.method == "chi2":
        assert found.p_value == pytest.approx(expected["p_value"], rel=1e-9)
    else:
        (exact,) = [o["p_value"] for o in outputs(case, "", library="reference") if "statistic" not in o]
        assert found.p_value == pytest.approx(exact, rel=1e-9)


@param("multiplicity")
def test_holm(case: dict):
    if "pvalues" not in case["inputs"]:
        pytest.skip(f"{case['id']} is about metric roles")
    (expected,) = outputs(case, "statsmodels multipletests(method='holm'")
    assert holm(case["inputs"]["pvalues"]) == pytest.approx(expected["p_adjusted"], rel=1e-9)


@param("edge_cases", "proportion", "mean", "ratio")
def test_edges(case: dict):
    """Where the closed form has a number it is ours too; the analysis says why where there is none."""
    arms = case["inputs"]["treatment"], case["inputs"]["control"]
    if any(arm["n"] < 2 for arm in arms):
        metric = MetricPlan(name="m", kind="mean", role="primary")
        moments = [Moments(arm["n"], (0.0,), ((0.0,),)) for arm in arms]
        cells = [Cell(metric="m", variant=name, moments=one) for name, one in zip("BA", moments, strict=True)]
        found = analyse(plan(metric), cells, counts={}, as_of=None, ended=True)
        assert {row.status for row in found.results} == {Status.UNDEFINED}
        return
    if case["kind"] == "mean":
        raw = case["inputs"].get("raw")
        v, b = (
            tuple(Moments.from_columns(raw[name]) for name in ("treatment", "control"))
            if raw
            else both(case, mean)
        )
        for expected in outputs(case, "closed form: Welch t (two-sided)"):
            contrast = contrasts.difference_of_means(v, b)
            # The reference's own sums of squares cancel to about seven digits at 1e9.
            assert contrast.estimate == pytest.approx(expected["estimate"], rel=1e-6)
            assert inference.log10_p(contrast, StudentT(contrast.df)) == pytest.approx(
                expected["log10_p_two_sided"], rel=1e-6
            )
    if case["kind"] == "proportion":
        for expected in outputs(case, "closed form: unpooled z (Wald)"):
            check(contrasts.difference_of_proportions(*both(case, proportion)), expected, case["params"])
