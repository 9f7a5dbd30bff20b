"""Doubts: raised in simulated worlds where the calibration is off, and not where it is right."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from benchmarks.calibration import cells, methods, worlds
from benchmarks.calibration.cells import Cell
from benchmarks.calibration.page import is_off
from benchmarks.calibration.run import Row, simulate
from benchmarks.calibration.worlds import ClusterWorld
from stats import contrasts, inference
from stats.doubts import FEW_BEYOND, doubtful, doubts, quantile_doubts
from stats.exact import FEW
from stats.moments import Moments, Stack
from stats.references import StudentT

RUNS, SEED = 6_000, 11
WELCH = {"welch_t": methods.MEANS["welch_t, fieller"]}
CUPED = {"cuped": methods.ADJUSTED["cuped"]}


def of_units(world: worlds.World, n: int, m: int) -> Cell:
    return cells.of_units("means", world, n, m, WELCH)


def measured(cell: Cell, method: str) -> Row:
    return Row(cell, method, simulate(cell, runs=RUNS, seed=SEED))


@pytest.mark.parametrize(
    ("cell", "method"),
    [
        (of_units(worlds.EXPONENTIAL, 10, 100), "welch_t"),
        (of_units(worlds.EXPONENTIAL, 100, 1_000), "welch_t"),
        (of_units(worlds.lognormal(1.0), 100, 100), "welch_t"),
        (of_units(worlds.lognormal(1.0), 100, 1_000), "welch_t"),
        (of_units(worlds.zero_inflated(0.1), 1_000, 1_000), "welch_t"),
        (cells.of_counts(0.01, 1_000, 10_000), "z_unpooled"),
        (cells.of_counts(0.05, 1_000, 10_000), "as chosen"),
        (cells.of_ratios(worlds.sessions(0.5), 30, 30), "delta"),
        (cells.of_ratios(worlds.sessions(0.5), 100, 1_000), "delta"),
        (cells.of_clusters(ClusterWorld(0.1), 10, 10), "cluster_cr1"),
        (cells.of_clusters(ClusterWorld(0.1), 5, 50), "cluster_cr2"),
        (cells.of_units("covariates", worlds.covaried(0.7, 4), 20, 20, CUPED), "cuped"),
        (cells.of_units("lifts", worlds.NOISY, 400, 400, methods.MEANS), "welch_t, linear_delta"),
        (cells.of_units("covariates", worlds.covaried(0.9), 50, 500, methods.ADJUSTED), "ancova"),
        (cells.of_quantiles(1.0, 0.9, 100, 1_000), "quantile"),
    ],
    ids=lambda value: value.name if isinstance(value, Cell) else value,
)
def test_off_and_warned(cell: Cell, method: str):
    row = measured(cell, method)
    assert is_off(row)
    assert row.mean("warned").value > 0.9


@pytest.mark.parametrize(
    ("cell", "method"),
    [
        (of_units(worlds.NORMAL, 10, 10), "welch_t"),
        (of_units(worlds.NORMAL, 10, 100), "welch_t"),
        (of_units(worlds.NOISY, 100, 100), "welch_t"),
        (of_units(worlds.EXPONENTIAL, 1_000, 1_000), "welch_t"),
        (of_units(worlds.lognormal(1.0), 1_000, 1_000), "welch_t"),
        (of_units(worlds.capped(1.5, 0.99), 1_000, 1_000), "welch_t"),
        (cells.of_counts(0.1, 500, 500), "z_unpooled"),
        (cells.of_counts(0.01, 1_000, 1_000), "as chosen"),
        (cells.of_ratios(worlds.sessions(0.5), 1_000, 1_000), "delta"),
        (cells.of_clusters(ClusterWorld(0.1), 100, 100), "cluster_cr1"),
        (cells.of_clusters(ClusterWorld(0.1), 10, 10), "cluster_cr2"),
        (cells.of_units("covariates", worlds.covaried(0.5), 50, 50, CUPED), "cuped"),
        (cells.of_quantiles(1.0, 0.5, 1_000, 1_000), "quantile"),
    ],
    ids=lambda value: value.name if isinstance(value, Cell) else value,
)
def test_right_and_not_warned(cell: Cell, method: str):
    row = measured(cell, method)
    assert not is_off(row)
    assert row.mean("warned").value < 0.1


def test_tails_move_as_the_expansion_says():
    """Exponential units, 100 against 1,000: the first-order tails beside simulated ones."""
    n, m, skewness, z = 100, 1_000, 2.0, StudentT().critical(0.05)
    moved = skewness * (1 / n**2 - 1 / m**2) / (1 / n + 1 / m) ** 1.5
    moved *= (2 * z * z + 1) * scipy_stats.norm.pdf(z) / 6
    draw = np.random.default_rng(SEED)
    arms = [worlds.moments(draw.standard_exponential((40_000, units))) for units in (n, m)]
    contrast = contrasts.difference_of_means(*arms)
    found, z = inference.statistic(contrast), StudentT(contrast.df).critical(0.05)
    assert (found < -z).mean() == pytest.approx(0.025 + moved, abs=0.004)
    assert (found > z).mean() == pytest.approx(0.025 - moved, abs=0.004)


def moments(n: int, mean: float, cv: float) -> Moments:
    return Moments(n, (mean,), (((cv * mean) ** 2,),))


def proportion(n: int, conversions: int) -> Moments:
    p = conversions / n
    return Moments(n, (p,), ((p * (1 - p) * n / (n - 1),),))


def test_codes():
    assert doubts("mean", "welch_t", moments(100, 5, 2), moments(100, 5, 2)) == ("heavy_tail",)
    assert doubts("mean", "welch_t", moments(100, 5, 2), moments(100, 5, 2), non_negative=False) == ()
    assert doubts("mean", "welch_t", moments(29, 5, 2), moments(100, 5, 2), non_negative=False) == (
        "small_sample",
    )
    assert doubts("mean", "welch_t", moments(5_000, 5, 2), moments(5_000, 5, 2)) == ()
    # Losses are measured from 0 as gains are.
    assert doubts("mean", "welch_t", moments(100, -5, 2), moments(100, -5, 2)) == ("heavy_tail",)


def test_proportions():
    few, enough = proportion(1_000, FEW - 1), proportion(1_000, 2 * FEW)
    assert doubts("proportion", "z_unpooled", few, enough) == ("few_conversions",)
    assert doubts("proportion", "miettinen_nurminen", few, enough) == ()
    assert doubts("proportion", "z_unpooled", proportion(1_000, 1_000 - FEW + 1), enough) == (
        "few_conversions",
    )
    rare, large = proportion(1_000, 10), proportion(100_000, 1_000)
    assert doubts("proportion", "miettinen_nurminen", rare, large) == ("unequal_arms",)
    assert doubts("proportion", "barnard", rare, large) == ()
    assert doubts("mean", "mann_whitney", moments(20, 5, 2), moments(100, 5, 2)) == ()
    # A rate of a half is not skewed, whatever the sizes.
    assert doubts("proportion", "z_unpooled", proportion(100, 50), proportion(100_000, 50_000)) == ()


def test_covariates_count():
    def arm(n: int, covariates: int) -> Moments:
        return Moments(
            n, (10.0,) * (1 + covariates), tuple(tuple(row) for row in np.eye(1 + covariates).tolist())
        )

    assert doubts("mean", "cuped", arm(29, 1), arm(100, 1)) == ("few_units_for_adjustment",)
    assert doubts("mean", "cuped", arm(30, 1), arm(100, 1)) == ()
    assert doubts("mean", "cuped", arm(30, 2), arm(100, 2)) == ("few_units_for_adjustment",)
    assert doubts("mean", "lin", arm(10, 2), arm(100, 2)) == ()


def test_clusters():
    def arm(clusters: int) -> Moments:
        return Moments(clusters, (50.0, 10.0), ((9.0, 0.0), (0.0, 0.0)))

    assert doubts("mean", "cluster_delta", arm(19), arm(40)) == ("few_clusters",)
    assert doubts("mean", "cluster_delta", arm(20), arm(40)) == ()
    assert doubts("mean", "cluster_cr1", arm(39), arm(40)) == ("few_clusters",)
    assert doubts("mean", "cluster_cr2", arm(5), arm(5)) == ()
    assert doubts("mean", "cluster_cr2", arm(5), arm(15)) == ("few_clusters",)


def test_covariance_with_arms_of_unequal_size_and_noisy_baselines():
    def arm(n: int, mean: float = 10.0) -> Moments:
        return Moments(n, (mean, 0.0), ((1.0, 0.5), (0.5, 1.0)))

    assert doubts("mean", "ancova", arm(100), arm(199)) == ()
    assert doubts("mean", "ancova", arm(100), arm(200)) == ("unequal_arms",)
    # A standard error of 0.1: the mean is 39 of them away from 0, and 41.
    assert doubts("mean", "linear_delta", arm(100), arm(100, 3.9)) == ("noisy_baseline",)
    assert doubts("mean", "normal_posterior", arm(100), arm(100, 4.1)) == ()
    assert doubts("mean", "welch_t", arm(100), arm(100, 3.9)) == ()


def test_quantiles():
    assert quantile_doubts(0.9, 10 * FEW_BEYOND, 10 * FEW_BEYOND) == ()
    assert quantile_doubts(0.9, 10 * FEW_BEYOND - 10, 10 * FEW_BEYOND) == ("few_beyond_quantile",)
    assert quantile_doubts(0.1, 290, 290) == quantile_doubts(0.9, 290, 290)
    assert quantile_doubts(0.9, 1_000, 10_000) == ("few_beyond_quantile",)
    assert quantile_doubts(0.9, 30_000, 300_000) == ()


@pytest.mark.parametrize("kind", ["mean", "proportion"])
def test_nothing_is_doubted_where_there_is_no_result(kind: str):
    empty = Moments(0, (0.0,), ((0.0,),))
    assert doubts(kind, "welch_t", empty, moments(100, 5, 2)) == ()
    nothing = Moments(50, (0.0,), ((0.0,),))
    assert doubts("mean", "welch_t", nothing, nothing) == ()


def test_many_at_once_are_as_one_by_one():
    arms = [
        (moments(n, 5, cv), moments(m, 5, 1.0))
        for n, m, cv in ((50, 50, 2), (50, 5_000, 1), (9_000, 9_000, 1))
    ]
    stacks = [Stack.of(list(side)) for side in zip(*arms, strict=True)]
    many = doubtful("mean", "welch_t", *stacks)
    for place, pair in enumerate(arms):
        there = tuple(code for code, flags in many.items() if np.broadcast_to(flags, 3)[place])
        assert there == doubts("mean", "welch_t", *pair)
