"""Calibration, in short: rates of errors in simulated experiments lie where their promises put them.

`make calibrate` is the long version. Every rate is that of a fixed seed and so many runs; it must lie
within 3.5 standard errors of what is promised, and so must those of all cells together, which show smaller
faults.
"""

import functools
import math

import numpy as np
import pytest

from benchmarks.calibration import cells, looks, methods, worlds
from benchmarks.calibration.cells import Cell
from benchmarks.calibration.run import simulate
from benchmarks.calibration.tally import Mean, Tally, both, judge
from benchmarks.calibration.worlds import ClusterWorld, StrataWorld
from stats.moments import Moments, Stack

RUNS, SEED, ERRORS = 4_000, 7, 3.5
WELCH = {"welch_t": methods.MEANS["welch_t, fieller"]}


@functools.cache
def simulated(cell: Cell) -> Tally:
    return simulate(cell, runs=RUNS, seed=SEED)


def lies_at(rate: Mean | None, expected: float) -> bool:
    assert rate is not None
    return abs(rate.value - expected) <= ERRORS * math.sqrt(expected * (1 - expected) / rate.runs)


def stays_below(rate: Mean | None, promised: float) -> bool:
    assert rate is not None
    return rate.value <= promised + ERRORS * math.sqrt(promised * (1 - promised) / rate.runs)


def assert_right(tally: Tally, method: str, *measures: str) -> None:
    """2.5 % on each side."""
    for measure in measures:
        for side in ("below", "above"):
            rate = tally.mean(method, f"{measure}_{side}")
            assert lies_at(rate, methods.ALPHA / 2), (method, measure, side, rate)


EVERYTHING = ("false", "absolute", "relative")


RIGHT = [
    (cells.of_units("means", worlds.NORMAL, 100, 100, WELCH), "welch_t"),
    (cells.of_units("means", worlds.NORMAL, 30, 300, WELCH), "welch_t"),
    (cells.of_units("means", worlds.EXPONENTIAL, 1_000, 1_000, WELCH), "welch_t"),
    (cells.of_units("lifts", worlds.NOISY, 400, 400, methods.MEANS, lift=0.5), "welch_t, fieller"),
    (cells.of_counts(0.1, 2_000, 2_000), "z_unpooled"),
    (cells.of_counts(0.1, 2_000, 2_000), "as chosen"),
    (cells.of_counts(0.02, 1_000, 1_000), "miettinen_nurminen"),
    (cells.of_ratios(worlds.sessions(0.5), 1_000, 1_000), "delta"),
    (cells.of_clusters(ClusterWorld(0.1), 100, 100), "cluster_delta"),
    (cells.of_clusters(ClusterWorld(0.1), 100, 100), "cluster_cr1"),
    (cells.of_clusters(ClusterWorld(0.1), 10, 10), "cluster_cr2"),
    (cells.of_units("covariates", worlds.covaried(0.9), 200, 200, methods.ADJUSTED, lift=1.0), "cuped"),
    (cells.of_units("covariates", worlds.covaried(0.9), 30, 30, methods.ADJUSTED), "lin"),
    (cells.of_strata(StrataWorld(), 100, 100), "post_stratified"),
    (cells.of_quantiles(1.0, 0.5, 500, 500), "quantile"),
]


@pytest.mark.parametrize(
    ("cell", "method"), RIGHT, ids=[f"{method} in {cell.name}" for cell, method in RIGHT]
)
def test_false_positives_and_coverage(cell: Cell, method: str):
    assert_right(simulated(cell), method, *EVERYTHING)


def test_all_cells_together():
    """Each from draws of its own, so that errors of 5 % are known to a tenth of a point."""
    cells_once = {cell.name: (cell, method) for cell, method in RIGHT}.values()
    for measure in EVERYTHING:
        for side in ("below", "above"):
            rates = [simulated(cell).mean(method, f"{measure}_{side}") for cell, method in cells_once]
            known = [rate for rate in rates if rate is not None]
            runs = sum(rate.runs for rate in known)
            together = sum(rate.value * rate.runs for rate in known) / runs
            assert lies_at(Mean(together, 0.0, runs), methods.ALPHA / 2), (measure, side, together)


def test_ranks():
    def superiority(by: float) -> float:
        return 0.5 * math.erfc(-math.log(by) / 2)

    tally = simulated(cells.of_ranks(worlds.lognormal(1.0), 200, 200, superiority=superiority))
    assert_right(tally, "mann_whitney", "false")
    assert_right(tally, "brunner_munzel", "false", "absolute")


def test_power_is_what_the_effect_was_chosen_for():
    cell = cells.of_units("means", worlds.NORMAL, 1_000, 1_000, WELCH)
    assert lies_at(simulated(cell).mean("welch_t", "power"), 0.784)


def test_margins_pass_where_the_truth_lies_on_them():
    tally = simulated(cells.of_margins(worlds.NORMAL, 100, 100))
    for side in ("lower", "upper"):
        assert lies_at(tally.mean("non_inferiority", f"passes_{side}"), methods.ALPHA / 2)


def test_the_linear_delta_method_is_lopsided():
    """The published mistake: 0.8 % and 3.9 % where the mean is ten standard errors from 0."""
    tally = simulated(cells.of_units("lifts", worlds.NOISY, 400, 400, methods.MEANS, lift=0.5))
    method = "welch_t, linear_delta"
    assert lies_at(tally.mean(method, "relative_below"), 0.039)
    assert lies_at(tally.mean(method, "relative_above"), 0.008)


def test_looking_every_day():
    """22 % for a fixed test looked at 14 times (Armitage, McPherson, Rowe), 1 % for confidence sequences."""
    tally = simulated(looks.peeking(worlds.NORMAL, 50))
    assert lies_at(tally.mean("fixed, read every day (wrong)", "ever_false"), 0.22)
    for method in ("group sequential, O'Brien-Fleming", "group sequential, Pocock", "fixed, read at the end"):
        assert lies_at(tally.mean(method, "ever_false"), methods.ALPHA), method
        assert lies_at(tally.mean(method, "ever_missed"), methods.ALPHA), method
    for method in ("confidence_sequence", "mSPRT"):
        assert lies_at(tally.mean(method, "ever_false"), 0.01), method
        assert stays_below(tally.mean(method, "ever_missed"), methods.ALPHA), method


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_families(correlation: float):
    tally = simulated(looks.families(correlation))
    for method in ("holm", "hochberg"):
        assert stays_below(tally.mean(method, "any_of_null"), methods.ALPHA)
        assert stays_below(tally.mean(method, "any_of_half"), methods.ALPHA)
    assert stays_below(tally.mean("benjamini_hochberg", "false_share"), methods.ALPHA)
    assert stays_below(tally.mean("benjamini_hochberg", "interval_share"), methods.ALPHA)
    if correlation == 0:
        # 1 - 0.95^8 without a correction; Holm's first step is Bonferroni's; BH's share is half of 5 %.
        assert lies_at(tally.mean("no correction (wrong)", "any_of_null"), 1 - 0.95**8)
        assert lies_at(tally.mean("holm", "any_of_null"), 1 - (1 - 0.05 / 8) ** 8)
        assert tally.mean("benjamini_hochberg", "false_share").value == pytest.approx(0.025, abs=0.006)


def test_sample_ratios():
    fixed = simulated(looks.sample_ratios({"a": 1.0, "b": 9.0}, 10_000))
    assert lies_at(fixed.mean("chi2", "p05"), 0.05)
    assert lies_at(fixed.mean("chi2", "p01"), 0.01)
    exact = simulated(looks.sample_ratios({"a": 1.0, "b": 9.0}, 30))
    assert stays_below(exact.mean("exact", "p05"), 0.05)
    always = simulated(looks.sample_ratio_looks(1_000, broken=0.54))
    name = f"always valid, {looks.LOOKS} looks"
    assert stays_below(always.mean(name, "p05"), 0.05)
    assert always.mean(name, "power").value > 0.5


def test_credible_intervals_hold_their_share_of_lifts_drawn_from_the_prior():
    tally = simulated(cells.of_priors(worlds.NORMAL, 1_000, 1_000, sd=0.05))
    assert_right(tally, "prior of lifts as they are", "absolute", "relative")


def test_worlds_have_the_moments_that_they_say():
    """Else truths and effects of the page would be wrong."""
    draw = np.random.default_rng(SEED)
    for world in (
        worlds.NORMAL, worlds.NOISY, worlds.EXPONENTIAL, worlds.COUNTS, worlds.lognormal(1.0),
        worlds.zero_inflated(0.1), worlds.capped(1.5, 0.99), worlds.converted(0.1), worlds.covaried(0.7, 4),
    ):  # fmt: skip
        values = world.draw(draw, (1, 1_000_000))[0][0]
        error = values.std() / 1_000
        assert abs(values.mean() - world.mean) < 4.5 * error, world.name
        assert values.std() / values.mean() == pytest.approx(world.cv, rel=0.05), world.name
    spent, sessions = worlds.sessions(0.5).draw(draw, (1, 1_000_000))
    ratio = spent.sum() / sessions.sum()
    unit = (spent - ratio * sessions) / sessions.mean()
    assert abs(ratio - worlds.sessions(0.5).mean) < 4.5 * unit.std() / 1_000
    assert unit.std() / ratio == pytest.approx(worlds.sessions(0.5).cv, rel=0.02)


def test_moments_of_many_runs_are_those_of_each():
    columns = np.random.default_rng(SEED).normal(5, 2, (2, 7, 50))
    many = worlds.moments(*columns)
    each = Stack.of([Moments.from_columns(*columns[:, run]) for run in range(7)])
    assert (many.n == each.n).all()
    assert np.array(many.mean) == pytest.approx(np.array(each.mean), rel=1e-12)
    assert np.array(many.cov) == pytest.approx(np.array(each.cov), rel=1e-12)


def test_judgement():
    def rate(value: float, runs: int = 20_000) -> Mean:
        return Mean(value, math.sqrt(value * (1 - value) / runs), runs)

    assert judge(rate(0.025), rate(0.025), 0.05) == "right"
    assert judge(rate(0.0298), rate(0.025), 0.05) == "right"
    assert judge(rate(0.0306), rate(0.020), 0.05) == "lopsided"
    assert judge(rate(0.040), rate(0.021), 0.05) == "too many"
    assert judge(rate(0.018), rate(0.019), 0.05) == "cautious"
    # With few runs Monte Carlo explains more than the tolerance.
    assert judge(rate(0.040, 1_000), rate(0.021, 1_000), 0.05) == "right"
    assert both(rate(0.02), rate(0.03)).value == pytest.approx(0.05)
