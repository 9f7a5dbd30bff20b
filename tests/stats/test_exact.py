"""Exact tests: against SciPy, SAS, StatXact and full enumeration."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.stats.contingency import odds_ratio

from stats import exact, unconditional
from stats.errors import StatsError
from stats.exact import barnard, boschloo, choose, fisher
from stats.proportions import Counts, score_log_ratio_statistic, score_statistic
from tests.stats.conftest import outputs, param

BOTH = [barnard, boschloo]


@st.composite
def small_counts(draw, most: int = 40) -> Counts:
    n, m = draw(st.integers(1, most)), draw(st.integers(1, most))
    return Counts(draw(st.integers(0, n)), n, draw(st.integers(0, m)), m)


def as_table(counts: Counts) -> list[list[int]]:
    x, n, y, m = counts
    return [[x, y], [n - x, m - y]]


def side(counts: Counts, gamma: float, order) -> unconditional.Side:
    table = unconditional.Cells(*counts)
    variant, baseline = unconditional.arms(table, gamma)
    return unconditional.Side(table, variant, baseline, order(table, variant, baseline))


def one_sided(counts: Counts, order, gamma: float = 1e-6) -> float:
    return unconditional.tail(side(counts, gamma, order), unconditional.DIFFERENCE, 0.0) + gamma


@pytest.mark.parametrize(
    "counts",
    [
        Counts(7, 12, 8, 20), Counts(1, 9, 6, 10), Counts(3, 25, 0, 10), Counts(14, 15, 11, 17),
        Counts(5, 31, 2, 32), Counts(24, 61, 10, 35),
    ],
    ids=str,
)  # fmt: skip
def test_p_values_are_scipys(counts):
    """With gamma 0, where the supremum goes over all rates."""
    for ours, theirs in ((barnard, scipy_stats.barnard_exact), (boschloo, scipy_stats.boschloo_exact)):
        found = ours(counts, gamma=0.0)
        for p, alternative in ((found.p_greater, "greater"), (found.p_less, "less")):
            assert p == pytest.approx(theirs(as_table(counts), alternative=alternative).pvalue, abs=1e-6)
    assert boschloo(counts, gamma=0.0).p_value == pytest.approx(
        scipy_stats.boschloo_exact(as_table(counts)).pvalue, abs=1e-6
    )


@pytest.mark.parametrize(
    ("counts", "p_greater", "difference", "ratio"),
    [
        (Counts(24, 61, 10, 35), 0.2142, (-0.0992, 0.2949), (0.7663, 3.0005)),
        (Counts(9, 11, 4, 12), 0.0120, (0.0616, 0.7968), (1.0964, 10.8647)),
    ],
    ids=str,
)
def test_barnards_test_and_its_intervals_are_those_of_sas(counts, p_greater, difference, ratio):
    """SAS 9.4, PROC FREQ, EXACT BARNARD, RISKDIFF(METHOD=SCORE), RELRISK(METHOD=SCORE).

    As the R package exact2x2 records them (inst/slowTests/test_SAS.R).
    """
    found = barnard(counts, gamma=0.0)
    assert found.p_greater == pytest.approx(p_greater, abs=5e-5)
    assert found.difference == pytest.approx(difference, abs=6e-5)
    assert [1 + found.lift.lower, 1 + found.lift.upper] == pytest.approx(ratio, abs=1.5e-4)


def test_barnards_test_and_its_intervals_are_those_of_statxact():
    """StatXact 11, inverting two one-sided tests; exact2x2, inst/slowTests/test_StatXact.R."""
    found = barnard(Counts(6, 13, 2, 7), gamma=0.0)
    assert found.p_value == pytest.approx(0.5569, abs=5e-5)
    assert found.difference == pytest.approx((-0.3108, 0.5787), abs=6e-5)
    found = barnard(Counts(13, 13, 0, 7), gamma=0.0)
    assert found.p_value == pytest.approx(4.758e-6, abs=5e-10)
    assert found.difference == pytest.approx((0.5904, 1.0), abs=6e-5)
    assert barnard(Counts(13, 13, 0, 7), gamma=1e-6).p_value == pytest.approx(6.758e-6, abs=5e-10)
    found = barnard(Counts(11, 13, 2, 7), gamma=0.0)
    assert found.p_value == pytest.approx(0.02064, abs=5e-6)
    assert [1 + found.lift.lower, 1 + found.lift.upper] == pytest.approx((1.078, 29.1), rel=5e-4)
    found = barnard(Counts(24, 61, 10, 35), gamma=1e-6)
    assert found.difference == pytest.approx((-0.09731, 0.2949), abs=6e-5)
    assert boschloo(Counts(24, 61, 10, 35), gamma=0.0).p_greater == pytest.approx(0.1513, abs=5e-5)


class _DifferenceOrder:
    """Tables ordered by the observed difference, whatever is tested: SAS's other interval."""

    def __init__(self, table, _variant, baseline) -> None:
        observed = table.x / table.n - table.y / table.m
        least = np.ceil(table.n * (observed + baseline.counts / table.m) - 1e-9)
        self._least = np.clip(least, 0, table.n + 1).astype(np.int64)

    def least(self, _scale, _at):
        return self._least


@pytest.mark.parametrize(
    ("counts", "difference"),
    [(Counts(24, 61, 10, 35), (-0.1016, 0.3079)), (Counts(9, 11, 4, 12), (0.0683, 0.7923))],
    ids=str,
)
def test_an_order_that_does_not_depend_on_the_hypothesis_inverts_as_in_sas(counts, difference):
    """As Boschloo's does; SAS 9.4, PROC FREQ, EXACT RISKDIFF, whose order is the difference itself."""
    found = exact._exact("santner_snell", counts, 0.05, 0.0, _DifferenceOrder)
    assert found.difference == pytest.approx(difference, abs=6e-5)


@given(small_counts(14), st.sampled_from([-0.6, -0.1, 0.0, 0.05, 0.4]))
@settings(max_examples=60, deadline=None)
def test_barnards_tables_are_all_that_say_at_least_as_much(counts, at):
    """By going through all tables: the statistic grows with the variant's conversions at any hypothesis."""
    n, m = counts.n_variant, counts.n_baseline
    all_x, all_y = np.meshgrid(np.arange(n + 1), np.arange(m + 1), indexing="ij")
    every = Counts(all_x, n, all_y, m)
    for scale, statistic in (
        (unconditional.DIFFERENCE, score_statistic),
        (unconditional.LOG_RATIO, score_log_ratio_statistic),
    ):
        one = side(counts, 0.0, unconditional.ScoreOrder)
        one.order.least(scale, at + 0.1)  # so that the next search starts elsewhere
        least = one.order.least(scale, at)
        observed, seen = statistic(counts, at), statistic(every, at)
        says = (
            seen >= observed - 1e-9 * max(1, abs(observed)) if math.isfinite(observed) else seen >= observed
        )
        assert ((all_x >= least[None, :]) == says).all()


@given(small_counts(14))
@settings(max_examples=60, deadline=None)
def test_boschloos_tables_are_all_with_a_p_value_of_fisher_at_most_as_large(counts):
    x, n, y, m = counts
    all_x, all_y = np.meshgrid(np.arange(n + 1), np.arange(m + 1), indexing="ij")
    p = scipy_stats.hypergeom.sf(all_x - 1, n + m, n, all_x + all_y)
    least = side(counts, 0.0, unconditional.FisherOrder).order.least(unconditional.DIFFERENCE, 0.0)
    ours = all_x >= least[None, :]
    if p[x, y] < 1 - 1e-12:
        assert (ours == (p <= p[x, y] * (1 + 1e-9))).all()
    else:  # where Fisher's p-value says nothing the difference does
        assert ours[p < 1 - 1e-12].all()
        larger = all_x / n - all_y / m >= x / n - y / m - 1e-9
        assert (ours == larger)[p >= 1 - 1e-12].all()


@pytest.mark.parametrize("order", [unconditional.ScoreOrder, unconditional.FisherOrder])
@pytest.mark.parametrize(
    "counts", [Counts(5, 31, 2, 32), Counts(3, 9, 11, 40), Counts(19, 20, 60, 80)], ids=str
)
def test_the_supremum_is_found(counts, order):
    """Against a thousand times as many rates, and every table."""
    n, m = counts.n_variant, counts.n_baseline
    one = side(counts, 0.0, order)
    least = one.order.least(unconditional.DIFFERENCE, 0.0)
    tables = np.arange(n + 1)[:, None] >= least[None, :]
    rates = np.linspace(0, 1, 20_001)
    law = [scipy_stats.binom.pmf(np.arange(size + 1)[None, :], size, rates[:, None]) for size in (n, m)]
    brute = np.einsum("ri,ij,rj->r", law[0], tables, law[1]).max()
    found = unconditional.tail(one, unconditional.DIFFERENCE, 0.0)
    assert found == pytest.approx(brute, rel=1e-6)
    assert found >= brute * (1 - 1e-7)


@pytest.mark.parametrize("test", BOTH)
@given(counts=small_counts(), alpha=st.sampled_from([0.05, 0.2]))
@settings(max_examples=25, deadline=None)
def test_the_test_rejects_exactly_when_both_intervals_leave_out_no_difference(test, counts, alpha):
    found = test(counts, alpha=alpha)
    assume(abs(found.p_value - alpha) > 1e-9)
    rejects = found.p_value < alpha
    for interval in (found.difference, found.lift):
        assert (interval.lower > 0 or interval.upper < 0) == rejects
        assert interval.lower <= interval.upper
    x, n, y, m = counts
    assert found.difference.lower - 1e-12 <= x / n - y / m <= found.difference.upper + 1e-12
    assert found.difference.lower >= -1
    assert found.difference.upper <= 1


@pytest.mark.parametrize("test", BOTH)
@given(counts=small_counts(25))
@settings(max_examples=15, deadline=None)
def test_arms_exchanged_mirror_everything(test, counts):
    one, other = test(counts), test(counts.swapped)
    assert (one.p_value, one.p_greater) == pytest.approx((other.p_value, other.p_less), rel=1e-9)
    near = {"abs": 3e-6}  # two bounds, each found to a millionth
    assert list(one.difference) == pytest.approx([-other.difference.upper, -other.difference.lower], **near)
    x, n, y, m = counts
    failed = test(Counts(m - y, m, n - x, n))
    assert failed.p_value == pytest.approx(one.p_value, rel=1e-6)
    assert list(failed.difference) == pytest.approx(one.difference, **near)


@pytest.mark.parametrize("test", BOTH)
@pytest.mark.parametrize(("n", "m"), [(7, 7), (4, 10)])
def test_the_intervals_cover_at_least_as_often_as_they_say(test, n, m):
    """All tables, all rates on a grid that comes close to 0 and 1; 90 % intervals."""
    tables = list(itertools.product(range(n + 1), range(m + 1)))
    found = [test(Counts(x, n, y, m), alpha=0.1) for x, y in tables]
    bounds = np.array([(*each.difference, *each.lift) for each in found])
    x, y = np.array(tables).T
    rates = np.concatenate([[0.001, 0.01], np.linspace(0.03, 0.97, 33), [0.99, 0.999]])
    variant, baseline = (each.ravel()[:, None] for each in np.meshgrid(rates, rates))
    chance = scipy_stats.binom.pmf(x, n, variant) * scipy_stats.binom.pmf(y, m, baseline)
    for low, high, true in (
        (bounds[:, 0], bounds[:, 1], variant - baseline),
        (bounds[:, 2], bounds[:, 3], variant / baseline - 1),
    ):
        near = 1e-6 * np.maximum(1, np.abs(true))  # what a bound is found to
        covered = (low <= true + near) & (true - near <= high)
        assert (chance * covered).sum(axis=1).min() >= 0.9 - 1e-6
        assert (chance * covered).sum(axis=1).min() < 0.99


@pytest.mark.parametrize("order", [unconditional.ScoreOrder, unconditional.FisherOrder])
@pytest.mark.parametrize(("n", "m"), [(20, 20), (6, 60)])
def test_a_true_hypothesis_is_rejected_at_most_as_often_as_the_level_says(n, m, order):
    """Every table; also with the rates searched only where the data leave them possible."""
    rates = np.linspace(0.001, 0.999, 250)[:, None]
    chance = [scipy_stats.binom.pmf(np.arange(size + 1), size, rates) for size in (n, m)]
    rejected = np.array(
        [[one_sided(Counts(x, n, y, m), order) <= 0.025 for y in range(m + 1)] for x in range(n + 1)]
    )
    size = np.einsum("ri,ij,rj->r", chance[0], rejected, chance[1]).max()
    assert 0.01 < size <= 0.025


@given(small_counts())
@settings(deadline=None)
def test_fishers_test_is_scipys(counts):
    found = fisher(counts)
    table = as_table(counts)
    for p, alternative in (
        (found.p_value, "two-sided"),
        (found.p_greater, "greater"),
        (found.p_less, "less"),
    ):
        theirs = scipy_stats.fisher_exact(table, alternative=alternative).pvalue
        assert p == pytest.approx(theirs, rel=1e-9)
    converted = counts.variant + counts.baseline
    if 0 < converted < counts.n_variant + counts.n_baseline:
        bounds = odds_ratio(table, kind="conditional").confidence_interval(0.95)
        assert found.odds_ratio.lower == pytest.approx(bounds.low, rel=1e-6)
        assert found.odds_ratio.upper == pytest.approx(bounds.high, rel=1e-6)
    assume(abs(found.p_doubled - 0.05) > 1e-9)
    assert (found.odds_ratio.lower > 1 or found.odds_ratio.upper < 1) == (found.p_doubled < 0.05)


@param("edge_cases", "proportion")
def test_fishers_test_of_the_edge_cases(case: dict):
    variant, baseline = case["inputs"]["treatment"], case["inputs"]["control"]
    counts = Counts(variant["sum"], variant["n"], baseline["sum"], baseline["n"])
    for expected in outputs(case, "scipy fisher_exact"):
        assert fisher(counts).p_value == pytest.approx(expected["p_value"], rel=1e-9)
    if baseline["sum"] > baseline["n"]:
        assert np.isnan(fisher(counts)[:4]).all()


def test_nobody_of_1000_against_8_of_1000():
    """Reported as p = 1 by others; Fisher 0.0077."""
    counts = Counts(8, 1000, 0, 1000)
    assert f"{fisher(counts).p_value:.4f}" == "0.0077"
    for test in BOTH:
        found = test(counts)
        assert found.p_value < fisher(counts).p_value
        assert found.difference.lower > 0
        assert found.lift == (pytest.approx(found.lift.lower), math.inf)
        assert found.lift.lower > 0


@pytest.mark.parametrize("test", BOTH)
def test_a_handful_of_conversions_among_10_to_the_12_units(test):
    """The limit of rare events: the same numbers, by size, as among 10^10 units."""
    few, many = (test(Counts(3, n, 1, n)) for n in (10**10, 10**12))
    assert many.p_value == pytest.approx(few.p_value, rel=1e-6)
    assert [bound * 100 for bound in many.difference] == pytest.approx(few.difference, rel=1e-5)
    assert list(many.lift) == pytest.approx(few.lift, rel=1e-5)
    failed = test(Counts(10**12 - 1, 10**12, 10**12 - 3, 10**12))
    assert list(failed.difference) == pytest.approx(many.difference, rel=1e-5)


@pytest.mark.parametrize("test", BOTH)
def test_nothing_is_known_without_conversions_and_with_all(test):
    for counts in (Counts(0, 30, 0, 30), Counts(30, 30, 30, 30)):
        found = test(counts)
        assert found.p_value == 1
        assert found.difference.lower == pytest.approx(-found.difference.upper, rel=1e-6)
        assert 0.05 < found.difference.upper < 0.5
    assert test(Counts(0, 30, 0, 30)).lift == (-1, math.inf)


@pytest.mark.parametrize("test", BOTH)
def test_what_is_not_defined_is_no_number(test):
    for counts in (
        Counts(0, 0, 1, 1),
        Counts(3, 2, 1, 1),
        Counts(math.nan, 1, 1, 1),
        Counts(1, math.inf, 1, 1),
    ):
        assert math.isnan(test(counts).p_value)
        assert math.isnan(test(counts).difference.lower)
        assert math.isnan(fisher(counts).p_value)
    too_many = Counts(10**6, 2 * 10**9, 10**6, 2 * 10**9)
    assert math.isnan(test(too_many).p_value)
    assert math.isnan(fisher(too_many).p_value)
    for alpha, gamma in ((0.0, 0.0), (1.0, 0.0), (math.nan, 0.0), (0.05, 0.03), (0.05, -1e-6)):
        with pytest.raises(StatsError):
            test(Counts(1, 2, 1, 2), alpha=alpha, gamma=gamma)
    with pytest.raises(StatsError):
        fisher(Counts(1, 2, 1, 2), alpha=2.0)


def test_a_readout_of_a_few_thousand_units_is_fast():
    barnard(Counts(1, 10, 2, 10))
    for test in BOTH:
        began = time.process_time()
        for counts in (Counts(5, 3000, 3, 3000), Counts(20, 2000, 9, 2000)):
            test(counts)
        assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("counts", "method", "why"),
    [
        (Counts(300, 3000, 250, 3000), "z_unpooled", "at least 30"),
        (Counts(2985, 3000, 2950, 3000), "miettinen_nurminen", "15 units without"),
        (Counts(29, 3000, 250, 3000), "miettinen_nurminen", "29 conversions"),
        (Counts(8, 1000, 0, 1000), "barnard", "4 conversions"),
        (Counts(0, 10, 5000, 100_000), "barnard", "0.5 conversions"),
        (Counts(0, 100, 0, 100), "barnard", "0 conversions"),
        (Counts(98, 100, 100, 100), "barnard", "1 units without"),
        (Counts(3, 20, 2 * 10**6, 4 * 10**7), "miettinen_nurminen", "too many for an exact test"),
        (Counts(3, 10**12, 1, 10**12), "barnard", "2 conversions"),
    ],
    ids=str,
)
def test_the_method_that_counts_are_large_enough_for(counts, method, why):
    found = choose(counts)
    assert found.method == method
    assert why in found.reason
    with pytest.raises(StatsError):
        choose(Counts(11, 10, 1, 10))


def _sizes(n: int, m: int, expected: np.ndarray) -> dict[str, float]:
    """How often a true hypothesis is rejected at 5 %: by each test, and by the score test on one side."""
    x, y = np.arange(n + 1)[:, None], np.arange(m + 1)[None, :]
    z = score_statistic(Counts(x, n, y, m))
    apart = x / n - y / m
    variance = x / n * (1 - x / n) / n + y / m * (1 - y / m) / m
    wald = np.where(variance > 0, apart / np.sqrt(np.where(variance > 0, variance, 1)), np.sign(apart) * 9)
    rates = expected[:, None] / min(n, m)
    chance = [scipy_stats.binom.pmf(np.arange(size + 1), size, rates) for size in (n, m)]

    def largest(rejected: np.ndarray) -> float:
        return float(np.einsum("ri,ij,rj->r", chance[0], rejected, chance[1], optimize=True).max())

    q = scipy_stats.norm.isf(0.025)
    return {
        "wald": largest(np.abs(wald) >= q),
        "score": largest(np.abs(z) >= q),
        "one side": max(largest(z >= q), largest(z <= -q)),
    }


def test_the_thresholds_are_where_the_docstring_says_the_tests_fail():
    designs = [(100, 100), (50, 1000), (20, 1500)]
    few = [_sizes(*design, np.linspace(1, 5, 60)) for design in designs]
    some = [_sizes(*design, np.linspace(5, min(design) / 2, 60)) for design in designs]
    enough = [_sizes(*design, np.linspace(30, 40, 20)) for design in ((100, 100), (80, 6000))]
    assert max(each["wald"] for each in few) == pytest.approx(0.36, abs=0.01)
    assert max(each["one side"] for each in few) == pytest.approx(0.053, abs=0.001)
    assert max(each["one side"] for each in some) < 0.035
    assert max(each["score"] for each in few + some) < 0.0575
    assert max(each["wald"] for each in enough) < 0.06
