"""Resampling: against exact laws, closed forms and other engines, within a stated Monte-Carlo error."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stats import contrasts, inference, resampling
from stats.errors import StatsError
from stats.moments import Moments
from stats.references import StudentT
from stats.resampling import (
    Sums,
    bootstrap,
    permutation_test,
    poisson_sums,
    poisson_sums_by_unit,
)
from tests.stats.conftest import outputs, param


def difference_in_means(variant, baseline):
    return variant[..., 1] / variant[..., 0] - baseline[..., 1] / baseline[..., 0]


def difference_of_ratios(variant, baseline):
    return variant[..., 1] / variant[..., 2] - baseline[..., 1] / baseline[..., 2]


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize(("n", "m"), [(4, 7), (8, 3)])
def test_p_values_are_those_of_all_assignments(n, m, sides):
    draw = np.random.default_rng(4)
    variant, baseline = draw.gamma(2, 1, n) + 0.8, draw.gamma(2, 1, m)
    pooled = np.concatenate([variant, baseline])
    observed = variant.mean() - baseline.mean()
    differences = np.array([
        pooled[list(chosen)].mean() - np.delete(pooled, list(chosen)).mean()
        for chosen in itertools.combinations(range(n + m), n)
    ])  # fmt: skip
    exact = ((np.abs(differences) if sides == 2 else differences) >= observed - 1e-12).mean()
    found = permutation_test(variant, baseline, seed=1, sides=sides)
    assert found.estimate == pytest.approx(observed)
    assert found.p_value == pytest.approx(exact, abs=4 * found.std_error + 1e-4)
    assert found.std_error == pytest.approx(math.sqrt(exact * (1 - exact) / 9_999), rel=0.2)
    ttest = scipy_stats.permutation_test(
        (variant, baseline), lambda a, b: a.mean() - b.mean(), n_resamples=math.inf,
        alternative="two-sided" if sides == 2 else "greater",
    )  # fmt: skip
    if sides == 1:  # two-sided, SciPy doubles the smaller side
        assert ttest.pvalue == pytest.approx(exact)


@pytest.mark.parametrize(("n", "m"), [(300, 500), (500, 300)])
def test_conversions_are_drawn_as_fishers_test_has_them(n, m):
    """0/1 values, where distinct values are drawn instead of shuffling: one-sided, the exact law is known."""
    x, y = 40, 30
    variant = np.repeat([1.0, 0.0], [x, n - x])
    baseline = np.repeat([1.0, 0.0], [y, m - y])
    found = permutation_test(variant, baseline, seed=2, sides=1, permutations=40_000)
    exact = scipy_stats.fisher_exact([[x, n - x], [y, m - y]], alternative="greater").pvalue
    assert found.p_value == pytest.approx(exact, abs=4 * found.std_error)


def test_shuffling_and_drawing_distinct_values_are_one_law(monkeypatch):
    draw = np.random.default_rng(6)
    variant, baseline = draw.poisson(1.3, 150).astype(float), draw.poisson(1.0, 90).astype(float)
    drawn = permutation_test(variant, baseline, seed=3)
    monkeypatch.setattr("stats.resampling._SHARED", math.inf)
    shuffled = permutation_test(variant, baseline, seed=3)
    assert drawn.p_value != shuffled.p_value
    assert drawn.p_value == pytest.approx(shuffled.p_value, abs=4 * math.sqrt(2) * shuffled.std_error)


def test_p_values_are_uniform_when_nothing_differs():
    draw = np.random.default_rng(7)
    p = [
        permutation_test(draw.exponential(1, 12), draw.exponential(1, 30), seed=i, permutations=199).p_value
        for i in range(800)
    ]
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.001
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 800))


def test_the_same_seed_gives_the_same_numbers():
    draw = np.random.default_rng(8)
    variant, baseline = draw.normal(0, 1, 30), draw.normal(0, 1, 30)
    one = permutation_test(variant, baseline, seed=5)
    assert one == permutation_test(variant, baseline, seed=5)
    assert one != permutation_test(variant, baseline, seed=6)
    assert permutation_test(variant + 9, baseline, seed=5).p_value == 1 / 10_000  # never 0


def test_permutations_of_what_is_not_defined():
    one = np.array([1.0])
    assert math.isnan(permutation_test(np.array([]), one, seed=1).p_value)
    assert permutation_test(np.ones(5), np.ones(9), seed=1).p_value == 1
    assert permutation_test(np.full(5, 1e12), np.full(9, 1e12), seed=1).p_value == 1
    huge = permutation_test(np.array([1e12, 2e12, 3e12]), np.array([1e-12, 2e-12]), seed=1)
    assert huge.p_value == pytest.approx(0.2, abs=0.02)  # all three large ones, or the smallest with both
    for values in (np.array([math.nan]), np.array([math.inf])):
        with pytest.raises(StatsError):
            permutation_test(values, one, seed=1)
    with pytest.raises(StatsError):
        permutation_test(one, one, seed=1, permutations=0)


def hashes(draw: np.random.Generator, count: int) -> np.ndarray:
    return draw.integers(0, 2**64, count, dtype=np.uint64)


def test_bits_are_mixed_as_published():
    """SplitMix64 from seed 1234567 (Rosetta Code)."""
    states = [(1234567 + step * resampling._GOLDEN) % 2**64 for step in range(1, 6)]
    assert resampling._mixed(np.array(states, dtype=np.uint64)).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
        16408922859458223821,
    ]  # fmt: skip


def test_weights_by_unit_are_poisson_and_independent():
    draw = np.random.default_rng(9)
    units, replicates = hashes(draw, 400), 500
    weights = np.array([
        poisson_sums_by_unit([1.0], units=units[i : i + 1], replicates=replicates, seed=1).resampled[:, 0]
        for i in range(400)
    ])  # fmt: skip
    count = np.array([(weights == k).sum() for k in range(6)] + [(weights >= 6).sum()])
    law = scipy_stats.poisson(1)
    expected = np.append(law.pmf(range(6)), law.sf(5)) * weights.size
    assert scipy_stats.chisquare(count, expected).pvalue > 0.001
    for matrix in (weights, weights.T):  # neither units nor replicates go together
        correlation = np.corrcoef(matrix)[np.triu_indices(len(matrix), 1)]
        assert correlation.std() == pytest.approx(1 / math.sqrt(matrix.shape[1]), rel=0.05)
        assert abs(correlation.mean()) < 5 / math.sqrt(matrix.shape[1] * len(correlation))


@given(st.integers(2, 60), st.integers(0, 60), st.integers(0, 2**70))
@settings(deadline=None, max_examples=25)
def test_parts_in_any_order_are_the_whole(count, cut, seed):
    draw = np.random.default_rng(count)
    values, units = draw.normal(0, 1, (2, count)), hashes(draw, count)
    whole = poisson_sums_by_unit(*values, units=units, replicates=50, seed=seed)
    order = draw.permutation(count)
    first, second = order[:cut], order[cut:]
    parts = [
        poisson_sums_by_unit(*values[:, part], units=units[part], replicates=50, seed=seed)
        for part in (second, first)
    ]
    merged = parts[0].merge(parts[1])
    assert merged.observed == pytest.approx(whole.observed, rel=1e-12, abs=1e-12)
    assert merged.resampled == pytest.approx(whole.resampled, rel=1e-12, abs=1e-12)


def test_memory_parts_do_not_matter(monkeypatch):
    draw = np.random.default_rng(10)
    values, units = draw.normal(0, 1, 1000), hashes(draw, 1000)
    whole = poisson_sums_by_unit(values, units=units, replicates=40, seed=1)
    monkeypatch.setattr("stats.resampling._CELLS", 777)
    parts = poisson_sums_by_unit(values, units=units, replicates=40, seed=1)
    assert parts.resampled == pytest.approx(whole.resampled, rel=1e-12, abs=1e-12)


def _arms(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return draw.gamma(0.5, 4, 900) + 0.2, draw.gamma(0.5, 4, 1400)


@pytest.mark.parametrize("kind", ["percentile", "basic"])
def test_a_difference_in_means_is_welchs(kind):
    """Error within 3 Monte-Carlo errors and the 1/n of the method, bounds likewise."""
    draw, replicates = np.random.default_rng(12), 4_000
    arms = _arms(draw)
    sums = [poisson_sums(arm, replicates=replicates, rng=draw) for arm in arms]
    found = bootstrap(difference_in_means, *sums, alpha=0.05, kind=kind)
    contrast = contrasts.difference_of_means(*(Moments.from_columns(arm) for arm in arms))
    error = math.sqrt(contrast.variance_against(1.0))
    assert found.estimate == pytest.approx(contrast.estimate, rel=1e-9)
    assert found.std_error == pytest.approx(error, rel=3 / math.sqrt(2 * replicates) + 0.005)
    closed = inference.difference_interval(contrast, StudentT(), 0.05)
    assert list(found.interval) == pytest.approx(closed, abs=0.12 * error)


def test_units_with_several_rows_are_kept_together():
    """Against the delta method on units; rows on their own would have half the error."""
    draw, replicates = np.random.default_rng(13), 3_000
    arms = []
    for _ in range(2):
        level = draw.normal(5, 2, 500)
        rows = np.repeat(np.arange(500), 8)
        arms.append((level[rows] + draw.normal(0, 1, 4000), hashes(draw, 500)[rows], rows))
    sums = [
        poisson_sums_by_unit(value, units=units, replicates=replicates, seed=14) for value, units, _ in arms
    ]
    found = bootstrap(difference_in_means, *sums, alpha=0.05)
    moments = [
        Moments.from_columns(np.bincount(rows, weights=value), np.bincount(rows).astype(float))
        for value, _, rows in arms
    ]
    contrast = contrasts.difference_of_ratios(*moments)
    assert found.estimate == pytest.approx(contrast.estimate, rel=1e-9)
    assert found.std_error == pytest.approx(math.sqrt(contrast.variance_against(1.0)), rel=0.05)


@param("ratio", "ratio")
def test_the_ratio_of_the_vectors(case: dict):
    """Another engine's 20,000 multinomial resamples of 40 units an arm: within both Monte-Carlo errors.

    And within 2 %, by which resampling Poisson counts of 40 units differs from drawing exactly 40.
    """
    for expected in outputs(case, "user-level bootstrap, 20000 resamples"):
        draw, replicates = np.random.default_rng(15), 20_000
        sums = [
            poisson_sums(raw["m"], raw["d"], replicates=replicates, rng=draw)
            for raw in (case["inputs"]["raw"]["treatment"], case["inputs"]["raw"]["control"])
        ]
        found = bootstrap(difference_of_ratios, *sums, alpha=0.05)
        error = expected["se_absolute"]
        assert found.std_error == pytest.approx(error, rel=3 * math.sqrt(2 / (2 * replicates)) + 0.02)
        # The density at the 2.5 % quantile is 0.058 / error.
        chance = 3 * math.sqrt(2) * math.sqrt(0.025 * 0.975 / replicates) / 0.058 * error
        assert list(found.interval) == pytest.approx(expected["ci_absolute"], abs=chance + 0.04 * error)


@pytest.mark.slow
def test_the_intervals_cover_as_often_as_they_say():
    """Lift of skewed outcomes: percentile and basic, 600 runs; the basic one is known to be the worse."""
    draw, runs = np.random.default_rng(16), 600
    covered = {"percentile": 0, "basic": 0}

    def lift(variant, baseline):
        return (variant[..., 1] / variant[..., 0]) / (baseline[..., 1] / baseline[..., 0]) - 1

    for _ in range(runs):
        arms = [draw.gamma(0.5, size, 400) for size in (1.2, 1.0)]
        sums = [poisson_sums(arm, replicates=599, rng=draw) for arm in arms]
        for kind in covered:
            low, high = bootstrap(lift, *sums, alpha=0.05, kind=kind).interval
            covered[kind] += low <= 0.2 <= high
    assert covered["percentile"] / runs == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / runs) + 0.005)
    assert covered["basic"] / runs == pytest.approx(0.94, abs=4 * math.sqrt(0.05 * 0.95 / runs) + 0.01)


def test_basic_mirrors_percentile():
    draw = np.random.default_rng(17)
    sums = [poisson_sums(arm, replicates=999, rng=draw) for arm in _arms(draw)]
    percentile = bootstrap(difference_in_means, *sums, alpha=0.1)
    basic = bootstrap(difference_in_means, *sums, alpha=0.1, kind="basic")
    twice = 2 * percentile.estimate
    assert list(basic.interval) == pytest.approx(
        [twice - percentile.interval.upper, twice - percentile.interval.lower]
    )
    values = np.sort(difference_in_means(sums[0].resampled, sums[1].resampled))
    assert percentile.interval == pytest.approx((values[49], values[949]))  # (999 + 1) 0.05 and 0.95


def test_bootstraps_of_what_is_not_defined():
    draw = np.random.default_rng(18)
    some = poisson_sums([1.0, 2.0], replicates=99, rng=draw)
    none = poisson_sums([], replicates=99, rng=draw)
    for variant, baseline in ((some, none), (none, some), (some, some)):  # e^-2 of replicates have no row
        found = bootstrap(difference_in_means, variant, baseline, alpha=0.05)
        assert math.isnan(found.std_error)
        assert math.isnan(found.interval.lower)
    with pytest.raises(StatsError):
        bootstrap(difference_in_means, some, some, alpha=0.01)  # needs 199
    with pytest.raises(StatsError):
        bootstrap(difference_in_means, some, poisson_sums([1.0], replicates=98, rng=draw), alpha=0.05)
    with pytest.raises(StatsError):
        bootstrap(difference_in_means, some, some, alpha=1.5)
    with pytest.raises(StatsError):
        some.merge(Sums(np.zeros(3), np.zeros((99, 3))))
    for columns in ((), ([1.0], [1.0, 2.0]), ([math.nan],), ([math.inf],)):
        with pytest.raises(StatsError):
            poisson_sums(*columns, replicates=9, rng=draw)
    with pytest.raises(StatsError):
        poisson_sums([1.0], replicates=0, rng=draw)
    with pytest.raises(StatsError):
        poisson_sums_by_unit([1.0, 2.0], units=hashes(draw, 3), replicates=9, seed=1)
