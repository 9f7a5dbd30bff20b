"""Clusters: sandwich errors as statsmodels has them, and better ones where clusters are few."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stats import contrasts, inference
from stats.clusters import (
    FEW,
    Clusters,
    cr1_means,
    cr2_means,
    delta_means,
    effective_clusters,
    few_clusters,
)
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.moments import Moments, Stack
from stats.references import StudentT, p_value
from tests.stats.conftest import outputs, param


def moments(clusters: Clusters) -> Moments:
    return Moments.from_columns(clusters.total, clusters.size)


def both(case: dict) -> tuple[Clusters, Clusters]:
    raw = case["inputs"]["raw"]
    rows = {arm: np.array(raw[arm]) for arm in ("treatment", "control")}
    v, b = (Clusters.of(arm[:, 1], arm[:, 0].astype(np.int64)) for arm in rows.values())
    return v, b


def drawn(
    draw: np.random.Generator, n: int, *, sizes: tuple[int, int] = (1, 30), icc: float = 0.3
) -> Clusters:
    """Clusters of very different sizes whose units have something in common."""
    size = draw.integers(*sizes, n)
    group = np.repeat(np.arange(n), size)
    values = math.sqrt(icc) * draw.normal(size=n)[group] + math.sqrt(1 - icc) * draw.normal(size=len(group))
    return Clusters.of(10 + values, group)


def error(contrast: Contrast) -> float:
    return math.sqrt(contrast.variance_against(1.0))


@param("clustered", "clustered")
def test_statsmodels_sandwich(case: dict):
    v, b = both(case)
    found = cr1_means(moments(v), moments(b))
    (expected,) = outputs(case, "statsmodels OLS y ~ 1 + T, cluster-robust (default")
    assert found.estimate == pytest.approx(expected["estimate"], rel=1e-9)
    assert error(found) == pytest.approx(expected["se"], rel=1e-9)
    normal = StudentT()  # statsmodels' default; ours is t with G - 1
    assert p_value(inference.log10_p(found, normal)) == pytest.approx(expected["p_value"], rel=1e-9)
    interval = inference.difference_interval(found, normal, case["params"]["alpha"])
    assert interval == pytest.approx(expected["ci"], rel=1e-9)
    assert found.df == len(v.size) + len(b.size) - 1
    (uncorrected,) = outputs(case, "statsmodels OLS y ~ 1 + T, cluster-robust (no correction")
    units, groups = v.size.sum() + b.size.sum(), len(v.size) + len(b.size)
    factor = groups / (groups - 1) * (units - 1) / (units - 2)
    assert error(found) / math.sqrt(factor) == pytest.approx(uncorrected["se"], rel=1e-9)


@param("clustered", "clustered")
def test_tea_tastings_delta_method(case: dict):
    found = delta_means(*(moments(arm) for arm in both(case)))
    law = StudentT(found.df)
    for expected in outputs(case, "tt.RatioOfMeans('m', 'd') on cluster sums"):
        assert (found.variant, found.baseline) == pytest.approx(
            (expected["treatment"], expected["control"]), rel=1e-9
        )
        assert inference.statistic(found) == pytest.approx(expected["statistic"], rel=1e-9)
        assert p_value(inference.log10_p(found, law)) == pytest.approx(expected["p_value"], rel=1e-9)
        interval = inference.difference_interval(found, law, case["params"]["alpha"])
        published = expected["ci_absolute_lower"], expected["ci_absolute_upper"]
        assert interval == pytest.approx(published, rel=1e-9)


@param("clustered", "clustered")
def test_clusters_of_one_unit_are_no_clusters(case: dict):
    """The naive row of the vectors: ordinary least squares on units, Student's pooled variance."""
    raw = case["inputs"]["raw"]
    values = [np.array(raw[arm])[:, 1] for arm in ("treatment", "control")]
    single = [Clusters.of(one, np.arange(len(one))) for one in values]
    welch = scipy_stats.ttest_ind(*values, equal_var=False)
    for found in (cr2_means(*single), delta_means(*(moments(one) for one in single))):
        assert inference.statistic(found) == pytest.approx(welch.statistic, rel=1e-9)
        assert found.df == pytest.approx(welch.df, rel=1e-9)
    (naive,) = outputs(case, "statsmodels OLS y ~ 1 + T, naive iid OLS")
    assert naive["se"] < 0.7 * error(cr2_means(*both(case)))


def test_cr1_is_statsmodels_on_data_of_ours():
    draw = np.random.default_rng(3)
    size = draw.integers(1, 20, 24)
    group = np.repeat(np.arange(24), size)
    y = draw.normal(size=24)[group] + draw.normal(size=len(group))
    treated = (group % 2).astype(float)
    fit = sm.OLS(y, sm.add_constant(treated)).fit(cov_type="cluster", cov_kwds={"groups": group}, use_t=True)
    arms = [Clusters.of(y[treated == arm], group[treated == arm]) for arm in (1, 0)]
    found = cr1_means(*(moments(arm) for arm in arms))
    assert error(found) == pytest.approx(fit.bse[1], rel=1e-10)
    assert p_value(inference.log10_p(found, StudentT(found.df))) == pytest.approx(fit.pvalues[1], rel=1e-9)
    assert inference.difference_interval(found, StudentT(found.df), 0.05) == pytest.approx(
        tuple(fit.conf_int()[1]), rel=1e-9
    )


def bell_mccaffrey(values: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Variance and degrees of freedom of one arm's mean by the definition, with all matrices written out."""
    n = len(values)
    x = np.ones((n, 1))
    hat = x @ x.T / n
    columns = []
    variance = 0.0
    for one in np.unique(group):
        mine = group == one
        eigenvalues, vectors = np.linalg.eigh(np.eye(mine.sum()) - hat[np.ix_(mine, mine)])
        root = vectors / np.sqrt(eigenvalues) @ vectors.T
        weights = root @ x[mine, 0] / n
        columns.append((np.eye(n) - hat)[:, mine] @ weights)
        variance += (weights @ (values - values.mean())[mine]) ** 2
    g = np.array(columns)
    spectrum = np.linalg.eigvalsh(g @ g.T)
    return variance, spectrum.sum() ** 2 / np.square(spectrum).sum()


def test_cr2_is_bell_and_mccaffreys_definition():
    draw = np.random.default_rng(5)
    group = np.repeat(np.arange(9), draw.integers(1, 15, 9))
    values = draw.normal(size=9)[group] + draw.normal(size=len(group))
    still = Clusters(np.array([3.0, 6.0, 9.0]), np.array([1.0, 2.0, 3.0]))  # every unit is 3: no variance
    found = cr2_means(Clusters.of(values, group), still)
    variance, df = bell_mccaffrey(values, group)
    assert found.var_variant == pytest.approx(variance, rel=1e-10)
    assert found.var_baseline == pytest.approx(0.0, abs=1e-30)
    assert found.df == pytest.approx(df, rel=1e-10)


@given(
    st.integers(2, 8).flatmap(
        lambda size: st.tuples(
            st.just(size), st.integers(2, 20), st.integers(2, 20), st.integers(0, 2**32 - 1)
        )
    )
)
def test_clusters_of_one_size_are_welchs_test_of_their_means(shape):
    size, n, m, seed = shape
    draw = np.random.default_rng(seed)
    means = [draw.normal(3, 2, k) for k in (n, m)]
    arms = [Clusters(mean * size, np.full(len(mean), float(size))) for mean in means]
    welch = scipy_stats.ttest_ind(*means, equal_var=False)
    for found in (cr2_means(*arms), delta_means(*(moments(arm) for arm in arms))):
        assert inference.statistic(found) == pytest.approx(welch.statistic, rel=1e-8)
        assert found.df == pytest.approx(welch.df, rel=1e-8)


def test_effective_clusters_count_sizes():
    equal = Clusters(np.arange(12.0), np.full(12, 5.0))
    assert effective_clusters(moments(equal)) == pytest.approx(12, rel=1e-12)
    one_rules = Clusters(np.arange(12.0), np.array([1_000.0] + [1.0] * 11))
    kish = one_rules.size.sum() ** 2 / np.square(one_rules.size).sum()
    assert effective_clusters(moments(one_rules)) == pytest.approx(kish, rel=1e-12)
    many = moments(Clusters(np.arange(50.0), np.full(50, 5.0)))
    assert not few_clusters(many, many)
    assert few_clusters(many, moments(one_rules))
    assert few_clusters(many, Moments(0, (0.0, 0.0), ((0.0, 0.0), (0.0, 0.0))))


@pytest.mark.parametrize("arms", [(0, 5), (1, 5), (5, 1), (2, 2)])
def test_too_few_clusters_have_no_error(arms):
    draw = np.random.default_rng(1)
    v, b = (drawn(draw, n) for n in arms)
    defined = min(arms) > 1
    for found in (cr2_means(v, b), delta_means(moments(v), moments(b)), cr1_means(moments(v), moments(b))):
        assert math.isnan(found.variance_against(1.0)) != defined


def test_a_cluster_beside_which_the_others_are_nothing_has_no_error():
    giant = Clusters(np.array([1e18, 1.0]), np.array([1e18, 1.0]))
    assert math.isnan(cr2_means(giant, giant).variance_against(1.0))
    empty = Clusters(np.array([3.0, 5.0, 0.0]), np.array([1.0, 2.0, 0.0]))
    filled = Clusters(np.array([3.0, 5.0]), np.array([1.0, 2.0]))
    assert cr2_means(empty, filled).variance_against(1.0) == cr2_means(filled, filled).variance_against(1.0)


@pytest.mark.parametrize(
    ("values", "clusters"), [([1.0, 2.0], [1]), ([1.0, math.nan], [1, 2]), ([1.0, math.inf], [1, 2])]
)
def test_what_is_no_data_is_refused(values, clusters):
    with pytest.raises(StatsError):
        Clusters.of(np.array(values), np.array(clusters))


def test_covariates_of_clusters_make_the_difference_more_precise():
    """CUPED over clusters: cluster sums of the measure, sizes, and a covariate of the cluster."""
    draw = np.random.default_rng(6)
    arms = []
    for _ in range(2):
        size = draw.integers(5, 30, 60).astype(float)
        covariate = draw.normal(size=60)
        arms.append(
            Moments.from_columns(size * (5 + covariate + 0.3 * draw.normal(size=60)), size, covariate)
        )
    plain = delta_means(*arms)
    adjusted = contrasts.adjusted(*(contrasts.linearised(arm) for arm in arms))
    assert adjusted.variance_against(1.0) < 0.25 * plain.variance_against(1.0)
    assert adjusted.variance_reduction == pytest.approx(
        1 - adjusted.variance_against(1.0) / plain.variance_against(1.0), rel=1e-9
    )


def coverage(runs: int, n: tuple[int, int], seed: int) -> dict[str, float]:
    """Share of 95 % intervals that hold the true difference, 0, with clusters of 1 to 40 units."""
    draw = np.random.default_rng(seed)
    arms = [[drawn(draw, k, sizes=(1, 41)) for _ in range(runs)] for k in n]
    stacks = [Stack.of([moments(arm) for arm in arm_runs]) for arm_runs in arms]
    cr2 = [cr2_means(v, b) for v, b in zip(*arms, strict=True)]
    gathered = Contrast(
        method="cr2",
        **{
            name: np.array([getattr(one, name) for one in cr2])
            for name in ("variant", "baseline", "var_variant", "var_baseline", "df")
        },
    )
    found = {"delta": delta_means(*stacks), "cr1": cr1_means(*stacks), "cr2": gathered}
    return {
        name: float((p_value(inference.log10_p(one, StudentT(one.df))) > 0.05).mean())
        for name, one in found.items()
    }


def test_coverage_with_few_clusters():
    """3,000 A/A tests of 6 against 10 clusters of very different sizes; Monte-Carlo error 0.4 %.

    From moments intervals are too short there, which `few_clusters` says; CR2 is right or on the safe side.
    """
    found = coverage(3_000, (6, 10), seed=7)
    error = math.sqrt(0.05 * 0.95 / 3_000)
    assert found["cr2"] > 0.95 - 3 * error
    assert found["cr2"] < 0.98
    assert found["cr1"] < 0.95 - 3 * error
    assert found["delta"] < 0.95 - 3 * error


def test_coverage_with_enough_clusters():
    """2,000 A/A tests of 60 clusters an arm (some 40 effective ones); Monte-Carlo error 0.5 %."""
    found = coverage(2_000, (60, 60), seed=8)
    error = math.sqrt(0.05 * 0.95 / 2_000)
    for share in found.values():
        assert share == pytest.approx(0.95, abs=3 * error)
    assert FEW < 40
