"""The checks of `tenbin aa` themselves: how often they cry wolf, and what they allow for whole steps."""

import math

import numpy as np
import pytest
from scipy import special, stats

from tenbin.aa.checks import SRM_LEVELS, judge_metric, judge_split, level_of, successes
from tenbin.aa.log import LoggedMetric
from tenbin.aa.runs import LOOKS, Analysed, Runs

RUNS, METRICS = 1_000, 3
DENSE = LoggedMetric("spent", "mean", (np.random.default_rng(0).normal(size=500),))


def analysed(z: np.ndarray, metric: LoggedMetric) -> Analysed:
    """What runs with these statistics at ten looks, (runs, looks), say.

    The group-sequential boundary is O'Brien and Fleming's own (Jennison and Turnbull 2000, table 2.3), the
    other one a normal mixture's (Howard and others 2021, proposition 5).
    """
    seen, size = np.arange(1, LOOKS + 1) / LOOKS, np.abs(z)
    mixture = np.sqrt((seen + 0.1) / seen * np.log((seen + 0.1) / (0.1 * 0.05**2)))
    return Analysed(
        metric=metric,
        variant=1,
        z=z[:, -1],
        p_value=2 * special.ndtr(-size[:, -1]),
        sequence=(size >= mixture).any(axis=1),
        group_sequential=(size >= 2.087 / np.sqrt(seen)).any(axis=1),
    )


def paths(draw: np.random.Generator, runs: int = RUNS) -> np.ndarray:
    """Statistics of a healthy experiment: a Brownian motion over its own standard deviation."""
    steps = draw.normal(size=(runs, LOOKS)).cumsum(axis=1)
    return steps / np.sqrt(np.arange(1, LOOKS + 1))


def test_a_healthy_log_passes_in_more_than_99_of_100_calls():
    draw = np.random.default_rng(20)
    calls, level = 2_000, level_of(METRICS, 1)
    off = 0
    for _ in range(calls):
        runs = [analysed(paths(draw), DENSE) for _ in range(METRICS)]
        metrics = [judge_metric(each, weights=(1, 1), alpha=0.05, level=level) for each in runs]
        split = judge_split(Runs((), draw.random(RUNS)), units=10**6, weights=(1, 1), level=level)
        off += any(each.verdict == "off" for each in metrics) or not all(s.flagged.healthy for s in split)
    assert off / calls < 0.01, f"{off} of {calls:,}"


def test_levels_add_up_to_one_in_a_hundred_at_most():
    for metrics, variants in ((1, 1), (3, 1), (7, 3)):
        checks = 6 * metrics * variants + len(SRM_LEVELS)
        assert level_of(metrics, variants) == pytest.approx(min(0.001, 0.01 / checks))


@pytest.mark.parametrize(
    ("move", "check"),
    [
        (lambda z: 1.15 * z, "false_positives"),  # a standard error that is 13 % too small
        (lambda z: 0.85 * z, "false_positives"),
        (lambda z: z + 0.4, "upper_tail"),
        (lambda z: z - 0.4, "lower_tail"),
        (lambda z: np.where(np.arange(LOOKS) == 4, 2.0 * z, z), "group_sequential"),
        (lambda z: np.where(np.arange(LOOKS) == 4, 3.0 * z, z), "confidence_sequence"),
    ],
)
def test_each_check_finds_what_it_is_for(move, check):
    z = move(paths(np.random.default_rng(5)))
    found = judge_metric(analysed(z, DENSE), weights=(1, 1), alpha=0.05, level=0.0005)
    rate = getattr(found, check)
    assert not rate.healthy
    assert found.verdict == "off"
    assert any(
        f"{rate.rate:.1%}, not {rate.lower:.1%} to {rate.upper:.1%}" in reason for reason in found.reasons
    )


def test_kolmogorov_and_smirnovs_test_is_scipys():
    z = paths(np.random.default_rng(6))
    found = judge_metric(analysed(z, DENSE), weights=(1, 1), alpha=0.05, level=0.001).uniformity
    scipys = stats.kstest(analysed(z, DENSE).p_value, "uniform")
    assert (found.distance, found.p_value) == pytest.approx((scipys.statistic, scipys.pvalue), rel=1e-5)
    assert found.allowed == 0


def test_whole_steps_are_allowed_for_and_no_more():
    """200 conversions in two equal arms of a huge log: a binomial split, the exact law of its p-values."""
    units, conversions = 100_000, 200
    converted = np.zeros(units)
    converted[:conversions] = 1
    metric = LoggedMetric("bought", "proportion", (converted,))
    assert successes(metric) == conversions
    draw = np.random.default_rng(7)

    def runs_of(noise: float) -> Analysed:
        split = 2 * draw.binomial(conversions, 0.5, size=RUNS) - conversions
        z = noise * split / math.sqrt(conversions)
        return analysed(np.repeat(z[:, None], LOOKS, axis=1), metric)

    found = [judge_metric(runs_of(1), weights=(1, 1), alpha=0.05, level=0.0005) for _ in range(100)]
    assert [each.verdict for each in found].count("off") <= 1
    without = [stats.kstwo.sf(each.uniformity.distance, RUNS) < 0.0005 for each in found]
    assert sum(without) > 50  # more than half of healthy calls would be called off
    spread = math.sqrt(conversions / 4 * (1 - conversions / units))  # of one arm's conversions
    assert found[0].uniformity.allowed == pytest.approx(1 / (math.sqrt(2 * math.pi) * spread), rel=1e-5)
    assert judge_metric(runs_of(1.3), weights=(1, 1), alpha=0.05, level=0.0005).verdict == "off"


@pytest.mark.parametrize(
    ("values", "span"),
    [
        ([0, 9.99, 19.98, 9.99], 9.99),
        ([0, 4, 6], 2),
        ([0, 1, 2.5, math.pi], 0),
        ([0, -3, 3], 3),
    ],
)
def test_what_a_sum_moves_by_at_least(values, span):
    column = np.array([*values] * 100, dtype=float)
    z = paths(np.random.default_rng(8))
    found = judge_metric(
        analysed(z, LoggedMetric("x", "mean", (column,))), weights=(1, 1), alpha=0.05, level=0.001
    )
    expected = span / math.sqrt(len(column) / 4 * column.var()) / math.sqrt(2 * math.pi)
    assert found.uniformity.allowed == pytest.approx(expected, rel=1e-5)
