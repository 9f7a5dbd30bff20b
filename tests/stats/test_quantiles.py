"""Quantiles: Deng's outer interval, clusters that count as one, and warehouses' summaries."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import contrasts, inference
from stats.contrasts import Arm
from stats.errors import StatsError
from stats.moments import Moments
from stats.quantiles import Quantile, Summary, least_values, quantile, quantiles, summarised
from stats.references import StudentT, p_value
from tests.stats.conftest import outputs, param


def compared(variant: Quantile, baseline: Quantile) -> contrasts.Contrast:
    arms = []
    for one in (variant, baseline):
        assert one.value is not None
        assert one.variance is not None
        arms.append(Arm(one.value, one.variance * one.n, one.n))
    return contrasts.of_quantiles(*arms)


@param("quantile", "quantile_unit")
def test_the_outer_interval_is_that_of_the_reference(case: dict):
    params, raw = case["params"], case["inputs"]["raw"]
    v, b = (
        quantile(np.array(raw[arm]), params["quantile"], alpha=params["alpha"])
        for arm in ("treatment", "control")
    )
    for expected in outputs(case, "closed form: Deng et al. 2018 outer CI"):
        for found, arm in ((v, expected["arms"]["treatment"]), (b, expected["arms"]["control"])):
            assert found.value == pytest.approx(arm["quantile"], rel=1e-12)
            assert found.variance is not None
            assert math.sqrt(found.variance) == pytest.approx(arm["se"], rel=1e-9)
        contrast, normal = compared(v, b), StudentT()
        assert contrast.estimate == pytest.approx(expected["estimate"], rel=1e-9)
        assert math.sqrt(contrast.variance_against(1.0)) == pytest.approx(expected["se"], rel=1e-9)
        assert p_value(inference.log10_p(contrast, normal)) == pytest.approx(expected["p_value"], rel=1e-9)
        interval = inference.difference_interval(contrast, normal, params["alpha"])
        assert interval == pytest.approx(expected["ci"], rel=1e-9)


def summaries(case: dict) -> list[Summary]:
    return [
        Summary(
            n=arm["n"],
            n_star=arm["n_star"],
            value=arm["quantile_hat"],
            lower=arm["quantile_lower"],
            upper=arm["quantile_upper"],
        )
        for arm in (case["inputs"]["treatment"], case["inputs"]["control"])
    ]


def growthbooks(case: dict, version: str) -> dict:
    (found,) = outputs(case, "TwoSidedTTest", scale="absolute", version=version)
    return found


@param("quantile", "quantile_suff")
def test_summaries_are_growthbooks_but_for_one_unit(case: dict):
    """Its variance of a unit has n - 1 where the width stands for n values: (n - 1)/n of ours, else equal."""
    params = case["params"]
    found = [summarised(one, params["quantile"], alpha=params["alpha"]) for one in summaries(case)]
    expected = growthbooks(case, "main@8f1db4456915 (pyproject still says 0.8.0)")
    if expected.get("error"):
        # Both ends of one value: no interval. It used to floor the variance, and now refuses as we do.
        assert "collapsed_interval" in {one.reason for one in found}
        return
    for one, arm in zip(found, ("treatment", "control"), strict=True):
        assert one.value == expected[f"{arm}_unadjusted_mean"]
        assert one.variance is not None
        assert one.variance * (one.n - 1) == pytest.approx(expected[f"{arm}_unit_variance"], rel=1e-9)
    shrunk = [Quantile(one.n, one.value, one.variance * (one.n - 1) / one.n) for one in found]
    theirs = compared(*shrunk)
    law = StudentT(theirs.df)
    assert theirs.df == pytest.approx(expected["df"], rel=1e-9)
    assert math.sqrt(theirs.variance_against(1.0)) == pytest.approx(expected["se"], rel=1e-9)
    interval = inference.difference_interval(theirs, law, params["alpha"])
    assert interval == pytest.approx(expected["ci"], rel=1e-9)
    ours = inference.difference_interval(compared(*found), StudentT(compared(*found).df), params["alpha"])
    assert ours == pytest.approx(expected["ci"], rel=1e-3)


@param("quantile", "quantile_unit")
def test_growthbook_on_values_is_another_unit_less(case: dict):
    params, raw = case["params"], case["inputs"]["raw"]
    expected = growthbooks(case, "main@8f1db4456915 (pyproject still says 0.8.0)")
    for arm in ("treatment", "control"):
        found = quantile(np.array(raw[arm]), params["quantile"], alpha=params["alpha"])
        assert found.value == pytest.approx(expected[f"{arm}_unadjusted_mean"], rel=1e-12)
        assert found.variance is not None
        assert found.variance * (found.n - 1) == pytest.approx(expected[f"{arm}_unit_variance"], rel=1e-9)


@param("quantile", "quantile_unit")
def test_a_bootstrap_has_an_interval_like_it(case: dict):
    """tea-tasting, 10,000 resamples, "basic" intervals: within a fifth of their width."""
    params, raw = case["params"], case["inputs"]["raw"]
    v, b = (
        quantile(np.array(raw[arm]), params["quantile"], alpha=params["alpha"])
        for arm in ("treatment", "control")
    )
    for expected in outputs(case, "tt.Quantile("):
        ours = inference.difference_interval(compared(v, b), StudentT(), params["alpha"])
        width = expected["ci_absolute_upper"] - expected["ci_absolute_lower"]
        assert ours.upper - ours.lower == pytest.approx(width, rel=0.2)


def test_growthbooks_documented_example():
    """Median of five events, and of the sums of their three users."""
    assert quantile(np.array([0.0, 0.0, 2.0, 3.0, 99.0]), 0.5, alpha=0.05).value == 2.0
    assert quantile(np.array([0.0, 5.0, 99.0]), 0.5, alpha=0.05).value == 5.0


def test_several_quantiles_are_each_what_they_are_alone():
    draw = np.random.default_rng(1)
    values, clusters = draw.lognormal(3, 1, 2_000), draw.integers(0, 300, 2_000)
    qs = (0.1, 0.5, 0.9, 0.95)
    for groups in (None, clusters):
        together = quantiles(values, qs, alpha=0.05, clusters=groups)
        assert together == tuple(quantile(values, q, alpha=0.05, clusters=groups) for q in qs)
        assert [one.value for one in together] == pytest.approx(np.quantile(values, qs))


def test_the_least_number_of_values():
    """GrowthBook's documentation rounds: more than 380.3 and 3837.6 values are needed at P99 and P99.9."""
    assert [round(least_values(q, alpha=0.05)) for q in (0.99, 0.999)] == [380, 3_838]
    assert least_values(0.01, alpha=0.05) == pytest.approx(least_values(0.99, alpha=0.05))
    draw = np.random.default_rng(2)
    for q, fewest in ((0.99, 381), (0.999, 3_838), (0.01, 381)):
        assert quantile(draw.random(fewest), q, alpha=0.05).variance is not None
        assert quantile(draw.random(fewest - 1), q, alpha=0.05).reason == "too_few_units"
        summary = Summary(n=fewest, value=0.5, lower=0.4, upper=0.6)
        assert summarised(summary, q, alpha=0.05).variance is not None
        fewer = Summary(n=10 * fewest, n_star=fewest - 1, value=0.5, lower=0.4, upper=0.6)
        assert summarised(fewer, q, alpha=0.05).reason == "too_few_units"


@given(st.integers(20, 400), st.sampled_from([0.25, 0.5, 0.8]), st.integers(0, 2**32 - 1))
def test_a_summary_of_the_values_is_the_values_result(n, q, seed):
    values = np.random.default_rng(seed).gamma(2, 1, n)
    error = -StudentT().critical(0.05) * math.sqrt(q * (1 - q) / n)
    found = quantile(values, q, alpha=0.05)
    if found.variance is None:
        return
    lower, value, upper = np.quantile(values, [q + error, q, q - error])
    told = summarised(Summary(n=n, value=value, lower=lower, upper=upper), q, alpha=0.05)
    assert told.variance == pytest.approx(found.variance, rel=1e-9)
    # Clusters of one value each are no clusters, but for n / (n - 1) and the share that is really below.
    shares = Moments.from_columns((values <= value).astype(float), np.ones(n))
    each = summarised(Summary(n=n, value=value, lower=lower, upper=upper, shares=shares), q, alpha=0.05)
    below = (values <= value).mean()
    assert each.variance == pytest.approx(
        found.variance * below * (1 - below) / (q * (1 - q)) * n / (n - 1), rel=1e-9
    )


def test_an_interval_for_fewer_values_is_scaled_to_all():
    """A grid that stops at half of the values: the width of n_star values, the variance of n."""
    values = np.random.default_rng(3).normal(size=20_000)
    z = StudentT().critical(0.05)

    def told(n_star: int) -> float:
        error = z * math.sqrt(0.9 * 0.1 / n_star)
        lower, value, upper = np.quantile(values, [0.9 - error, 0.9, 0.9 + error])
        found = summarised(
            Summary(n=20_000, n_star=n_star, value=value, lower=lower, upper=upper), 0.9, alpha=0.05
        )
        assert found.variance is not None
        return math.sqrt(found.variance)

    assert told(10_000) == pytest.approx(told(20_000), rel=0.1)


def clustered(draw: np.random.Generator, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Users with 1 to 11 sessions each, which have something in common."""
    sizes = draw.integers(1, 12, groups)
    clusters = np.repeat(np.arange(groups), sizes)
    return draw.normal(0, 1, groups)[clusters] + draw.normal(0, 1, sizes.sum()), clusters


def test_a_summary_with_clusters_is_the_clusters_result():
    """Ours takes the interval at the clusters' own error; the summary scales that of independent values."""
    values, clusters = clustered(np.random.default_rng(4), 2_000)
    n, q = len(values), 0.75
    found = quantile(values, q, alpha=0.05, clusters=clusters)
    error = StudentT().critical(0.05) * math.sqrt(q * (1 - q) / n)
    lower, value, upper = np.quantile(values, [q - error, q, q + error])
    shares = Moments.from_columns(
        np.bincount(clusters, weights=values <= value), np.bincount(clusters).astype(float)
    )
    told = summarised(Summary(n=n, value=value, lower=lower, upper=upper, shares=shares), q, alpha=0.05)
    assert told.n == found.n == 2_000
    assert told.variance == pytest.approx(found.variance, rel=0.1)
    assert (
        told.variance
        > 1.5 * summarised(Summary(n=n, value=value, lower=lower, upper=upper), q, alpha=0.05).variance
    )


def test_every_value_copied_is_no_more_evidence():
    """Ten equal values per unit: the error with clusters is that of one value per unit."""
    draw = np.random.default_rng(4)
    values = draw.lognormal(3, 1, 400)
    single = quantile(values, 0.75, alpha=0.05)
    copied = quantile(np.repeat(values, 10), 0.75, alpha=0.05, clusters=np.repeat(np.arange(400), 10))
    naive = quantile(np.repeat(values, 10), 0.75, alpha=0.05)
    assert copied.n == 400
    assert single.variance is not None
    assert copied.variance is not None
    assert naive.variance is not None
    assert math.sqrt(copied.variance) == pytest.approx(math.sqrt(single.variance), rel=0.05)
    assert naive.variance < 0.2 * copied.variance


def test_the_error_with_clusters_is_that_of_resampled_clusters():
    draw = np.random.default_rng(9)
    sizes = draw.integers(1, 12, 300)
    clusters = np.repeat(np.arange(300), sizes)
    values = draw.normal(0, 1, 300)[clusters] + draw.normal(0, 1, sizes.sum())
    found = quantile(values, 0.5, alpha=0.05, clusters=clusters)
    members = np.split(values, np.cumsum(sizes)[:-1])
    resampled = [
        np.median(np.concatenate([members[place] for place in draw.integers(0, 300, 300)]))
        for _ in range(1_500)
    ]
    assert found.variance is not None
    assert math.sqrt(found.variance) == pytest.approx(np.std(resampled), rel=0.12)


@pytest.mark.parametrize(
    ("values", "q", "reason"),
    [([], 0.5, "no_units"), ([1.0], 0.5, "too_few_units"), (range(10), 0.99, "too_few_units"),
     ([3.0] * 50, 0.5, "zero_variance"), ([0.0] * 80 + [1.0] * 20, 0.5, "collapsed_interval"),
     ([1.0, 2.0, math.nan] * 20, 0.5, "not_finite"), ([1.0, math.inf, 2.0] * 20, 0.5, "not_finite"),
     ([1.0, -math.inf, 2.0] * 20, 0.5, "not_finite")],
)  # fmt: skip
def test_what_has_no_error_says_why(values, q, reason):
    found = quantile(np.array(list(values), dtype=float), q, alpha=0.05)
    assert (found.variance, found.reason) == (None, reason)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"n": 0}, "no_units"), ({"n": 1}, "too_few_units"), ({"upper": math.inf}, "not_finite"),
     ({"value": math.nan}, "not_finite"), ({"lower": 5.0, "upper": 5.0}, "collapsed_interval"),
     ({"lower": 7.0, "upper": 3.0}, "inconsistent"), ({"value": 9.0}, "inconsistent"),
     ({"n_star": 2_000}, "too_few_units"), ({"n_star": 3}, "too_few_units"),
     ({"shares": Moments(0, (0.0, 0.0), ((0.0, 0.0), (0.0, 0.0)))}, "no_units"),
     ({"shares": Moments(1, (3.0, 6.0), ((0.0, 0.0), (0.0, 0.0)))}, "too_few_units")],
)  # fmt: skip
def test_a_summary_that_has_no_error_says_why(changed, reason):
    told = {"n": 1_000, "value": 5.0, "lower": 4.0, "upper": 6.0} | changed
    found = summarised(Summary(**told), 0.5, alpha=0.05)
    assert (found.variance, found.reason) == (None, reason)


@pytest.mark.parametrize(("q", "alpha"), [(0.0, 0.05), (1.0, 0.05), (0.5, 0.0), (0.5, 1.0), (math.nan, 0.05)])
def test_quantiles_and_levels_lie_between_0_and_1(q, alpha):
    with pytest.raises(StatsError, match="between 0 and 1"):
        quantile(np.arange(9.0), q, alpha=alpha)
    with pytest.raises(StatsError, match="between 0 and 1"):
        least_values(q, alpha=alpha)
    with pytest.raises(StatsError, match="cluster numbers"):
        quantile(np.arange(9.0), 0.5, alpha=0.05, clusters=np.arange(8))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-12, 1e12]), st.sampled_from([0.3, 0.5, 0.9]))
def test_shifting_and_scaling_behave(seed, scale, q):
    values = np.random.default_rng(seed).gamma(2, 1, 100)
    one, other = quantile(values, q, alpha=0.05), quantile(scale * values, q, alpha=0.05)
    assert other.value == pytest.approx(scale * one.value, rel=1e-9)
    assert other.variance == pytest.approx(scale**2 * one.variance, rel=1e-9)


def covered(found: list[tuple[Quantile, Quantile]], truth: float) -> float:
    hits = []
    for v, b in found:
        contrast = compared(v, b)
        interval = inference.difference_interval(contrast, StudentT(contrast.df), 0.05)
        hits.append(interval.lower <= truth <= interval.upper)
    return float(np.mean(hits))


def test_coverage_of_independent_values():
    """4,000 experiments of 400 against 500 log-normal values, 3 quantiles; Monte-Carlo error 0.35 %."""
    draw = np.random.default_rng(12)
    runs, qs = 4_000, (0.5, 0.75, 0.9)
    arms = [[quantiles(draw.lognormal(0, 1, n), qs, alpha=0.05) for _ in range(runs)] for n in (400, 500)]
    for place in range(3):
        pairs = [(v[place], b[place]) for v, b in zip(*arms, strict=True)]
        assert covered(pairs, 0.0) == pytest.approx(0.95, abs=0.006 + 3 * math.sqrt(0.05 * 0.95 / runs))


def test_coverage_of_clustered_values():
    """2,000 A/A tests of 250 users an arm with 1 to 11 sessions; Monte-Carlo error 0.5 %. Naively: 83 %."""
    draw = np.random.default_rng(13)
    runs = 2_000
    arms = [[clustered(draw, 250) for _ in range(runs)] for _ in range(2)]
    with_clusters, naive = (
        covered(
            [
                (
                    quantile(v[0], 0.75, alpha=0.05, clusters=group(v)),
                    quantile(b[0], 0.75, alpha=0.05, clusters=group(b)),
                )
                for v, b in zip(*arms, strict=True)
            ],
            0.0,
        )
        for group in (lambda arm: arm[1], lambda _: None)
    )
    assert with_clusters == pytest.approx(0.95, abs=0.006 + 3 * math.sqrt(0.05 * 0.95 / runs))
    assert naive < 0.9


@pytest.mark.parametrize(
    ("draw", "q", "kept"),
    [
        (lambda rng, n: rng.integers(0, 2, n), 0.5, False),
        (lambda rng, n: rng.integers(1, 4, n), 0.5, False),
        (lambda rng, n: rng.poisson(5, n), 0.9, False),
        (lambda rng, n: np.round(rng.normal(300, 100, n)), 0.9, True),
        (lambda rng, n: rng.normal(0, 1, n), 0.5, True),
    ],
    ids=["coin", "items", "poisson", "whole milliseconds", "normal"],
)
def test_tied_values_are_refused_or_keep_the_level(draw, q, kept):
    """A/A, 2,000 comparisons of 300 values: at most alpha are significant, and ties are refused."""
    rng = np.random.default_rng(21)
    rejected = tested = 0
    for _ in range(2_000):
        a, b = (quantile(draw(rng, 300).astype(float), q, alpha=0.05) for _ in range(2))
        if a.variance is None or b.variance is None:
            assert {a.reason, b.reason} <= {"tied_values", "collapsed_interval", None}
            continue
        tested += 1
        contrast = compared(a, b)
        rejected += abs(contrast.estimate) > 1.96 * math.sqrt(contrast.variance_against(1.0))
    assert rejected <= 0.05 * 2_000 + 4 * math.sqrt(0.05 * 0.95 * 2_000)
    assert tested >= 1_900 if kept else tested <= 100
