"""Two proportions: the score test and its intervals against tables, other engines and exact arithmetic."""

import math
import time
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from stats import contrasts, inference
from stats.moments import Moments, Stack
from stats.proportions import (
    Counts,
    agresti_caffo,
    clopper_pearson,
    log_relative,
    log_relative_statistic,
    miettinen_nurminen_difference,
    miettinen_nurminen_lift,
    newcombe,
    score_log_ratio_statistic,
    score_ratio_statistic,
    score_statistic,
    wilson,
)
from stats.references import StudentT, p_value
from tests.stats.conftest import outputs, param

NORMAL = StudentT()
ITERATIVE = {"rel": 1e-6, "abs": 1e-9}
CLOSED = {"rel": 1e-9, "abs": 1e-15}


def counts_of(case: dict) -> Counts:
    variant, baseline = case["inputs"]["treatment"], case["inputs"]["control"]
    return Counts(variant["sum"], variant["n"], baseline["sum"], baseline["n"])


@st.composite
def some_counts(draw, most: int = 10**6) -> Counts:
    n, m = draw(st.integers(1, most)), draw(st.integers(1, most))
    return Counts(draw(st.integers(0, n)), n, draw(st.integers(0, m)), m)


def rate_of(score, low: Decimal, high: Decimal) -> Decimal:
    """Where the derivative of a likelihood changes its sign, by halving in 50 digits."""
    for _ in range(150):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > 0 else (low, middle)
    return (low + high) / 2


def exact_score(counts: Counts, difference: float) -> float:
    """The score statistic from the most likely rates themselves, in 50 digits."""
    with localcontext() as context:
        context.prec = 50
        x, n, y, m, d = (Decimal(each) for each in (*counts, difference))

        def slope(rate: Decimal) -> Decimal:
            other = rate + d
            return (x - n * other) * rate * (1 - rate) + (y - m * rate) * other * (1 - other)

        low = rate_of(slope, max(Decimal(0), -d), min(Decimal(1), 1 - d))
        high = low + d
        variance = (high * (1 - high) / n + low * (1 - low) / m) * (n + m) / (n + m - 1)
        return float((x / n - y / m - d) / variance.sqrt())


def exact_ratio_score(counts: Counts, ratio: float) -> float:
    with localcontext() as context:
        context.prec = 50
        x, n, y, m, r = (Decimal(each) for each in (*counts, ratio))

        def slope(rate: Decimal) -> Decimal:
            return (x - n * r * rate) * (1 - rate) + (y - m * rate) * (1 - r * rate)

        low = rate_of(slope, Decimal(0), min(Decimal(1), 1 / r))
        high = r * low
        variance = (high * (1 - high) / n + r * r * low * (1 - low) / m) * (n + m) / (n + m - 1)
        return float((x / n - r * y / m) / variance.sqrt())


TABLES = [
    Counts(1100, 10_000, 1000, 10_000),
    Counts(11, 120, 50_000, 1_000_000),
    Counts(3, 20, 2, 50),
    Counts(9, 10, 3, 10),
    Counts(3, 10**12, 1, 10**12),
    Counts(10**12 - 3, 10**12, 10**12 - 1, 10**12),
    Counts(7, 10**12, 40, 10**9),
    Counts(2, 5, 3, 10**12),
    Counts(4 * 10**11, 10**12, 4 * 10**11 + 10**6, 10**12),
]


@pytest.mark.parametrize("counts", TABLES, ids=str)
@pytest.mark.parametrize("place", [-0.9, -0.1, 0.0, 0.2, 3.0, 40.0])
def test_the_statistics_are_those_of_exact_arithmetic(counts, place):
    """At differences and ratios around the estimate, near and far, up to 10^12 units."""
    x, n, y, m = counts
    difference = place * max(x / n, y / m)
    if abs(difference) < 1:
        assert score_statistic(counts, difference) == pytest.approx(
            exact_score(counts, difference), rel=1e-9, abs=1e-9
        )
    ratio = 1 + place
    assert score_ratio_statistic(counts, ratio) == pytest.approx(
        exact_ratio_score(counts, ratio), rel=1e-9, abs=1e-9
    )


@given(some_counts(1000), st.floats(-0.99, 0.99), st.floats(0.01, 100))
@settings(deadline=None)
def test_the_statistics_are_those_of_exact_arithmetic_anywhere(counts, difference, ratio):
    x, n, y, m = counts
    assume(0 < x < n and 0 < y < m)
    assert score_statistic(counts, difference) == pytest.approx(
        exact_score(counts, difference), rel=1e-8, abs=1e-8
    )
    assert score_ratio_statistic(counts, ratio) == pytest.approx(
        exact_ratio_score(counts, ratio), rel=1e-8, abs=1e-8
    )


@pytest.mark.parametrize(
    ("counts", "miettinen_nurminen", "score"),
    [
        (Counts(56, 70, 48, 80), (0.0528, 0.3382), (0.0524, 0.3339)),
        (Counts(9, 10, 3, 10), (0.1700, 0.8406), (0.1705, 0.8090)),
        (Counts(6, 7, 2, 7), (0.0342, 0.8534), (0.0582, 0.8062)),
        (Counts(5, 56, 0, 29), (-0.0326, 0.1933), (-0.0381, 0.1926)),
        (Counts(0, 10, 0, 20), (-0.1658, 0.2844), (-0.1611, 0.2775)),
        (Counts(0, 10, 0, 10), (-0.2879, 0.2879), (-0.2775, 0.2775)),
        (Counts(10, 10, 0, 20), (0.7156, 1.0), (0.6791, 1.0)),
        (Counts(10, 10, 0, 10), (0.6636, 1.0), (0.6075, 1.0)),
    ],
    ids=str,
)
def test_newcombes_table(counts, miettinen_nurminen, score):
    """Newcombe 1998, Statistics in Medicine 17:873, table II, methods 6 and 10."""
    assert miettinen_nurminen_difference(counts, NORMAL, 0.05) == pytest.approx(miettinen_nurminen, abs=5e-5)
    assert newcombe(counts, NORMAL, 0.05) == pytest.approx(score, abs=5e-5)


@param("proportion", "proportion")
def test_proportions_of_other_engines(case: dict):
    _check(case)


@param("edge_cases", "proportion")
def test_edges_of_other_engines(case: dict):
    if counts_of(case).baseline > counts_of(case).n_baseline:  # the others' sentinels are not copied
        assert np.isnan(miettinen_nurminen_difference(counts_of(case), NORMAL, 0.05)).all()
    else:
        _check(case)


def _check(case: dict) -> None:
    counts, alpha = counts_of(case), case["params"]["alpha"]
    lift = "statsmodels confint_proportions_2indep(treatment, control, compare='ratio', method="
    difference = lift.replace("ratio", "diff")
    ours = {
        f"{difference}'newcomb'": (newcombe(counts, NORMAL, alpha), CLOSED),
        f"{difference}'agresti-caffo'": (agresti_caffo(counts, NORMAL, alpha), CLOSED),
        f"{lift}'log',": (log_relative(counts, NORMAL, alpha), CLOSED),
        f"{lift}'log-adjusted'": (log_relative(counts, NORMAL, alpha, added=0.5), CLOSED),
        f"{lift}'score'": (miettinen_nurminen_lift(counts, NORMAL, alpha), ITERATIVE),
        "statsmodels proportion_confint(control, method='wilson'": (
            wilson(counts.baseline, counts.n_baseline, NORMAL, alpha), CLOSED),
        "statsmodels proportion_confint(treatment, method='wilson'": (
            wilson(counts.variant, counts.n_variant, NORMAL, alpha), CLOSED),
        "statsmodels proportion_confint(control, method='beta'": (
            clopper_pearson(counts.baseline, counts.n_baseline, alpha), CLOSED),
        "statsmodels proportion_confint(treatment, method='beta'": (
            clopper_pearson(counts.variant, counts.n_variant, alpha), CLOSED),
    }  # fmt: skip
    for call, (found, close) in ours.items():
        for expected in outputs(case, call):
            if call.endswith("'score'") and counts == Counts(500, 500, 500, 500):
                # Its root finder stops at the estimate itself: no interval of 500 of 500 can end there.
                assert expected["ci"][0] == pytest.approx(0, abs=1e-9)
                assert found.upper == pytest.approx(expected["ci"][1], rel=1e-6)
                assert found.lower == pytest.approx(-found.upper / (1 + found.upper), rel=1e-6)
                continue
            assert list(found) == pytest.approx([float(each) for each in expected["ci"]], **close)
    for expected in outputs(case, "closed form: relative lift, log delta method"):
        found = log_relative(counts, NORMAL, alpha)
        assert list(found) == pytest.approx(expected["ci"], **CLOSED)
        if expected["p_value"] is not None:
            z = log_relative_statistic(counts)
            assert p_value(NORMAL.log10_p(z)) == pytest.approx(expected["p_value"], rel=1e-9)
    for expected in outputs(case, "statsmodels proportions_ztest"):
        total = counts.n_variant + counts.n_baseline
        z = score_statistic(counts) * math.sqrt(total / (total - 1))
        assert z == pytest.approx(expected["statistic"], rel=1e-9)
    for expected in outputs(case, f"{difference}'score'"):
        _explain(counts, alpha, expected["ci"])


def _explain(counts: Counts, alpha: float, theirs: list[float]) -> None:
    """Statsmodels 0.15 has conversions where its cubic needs units, so its rates are not the most likely.

    Its bounds solve its own statistic; ours solve the score equation in 50 digits.
    """
    from statsmodels.stats.proportion import score_test_proportions_2indep

    ours, q = miettinen_nurminen_difference(counts, NORMAL, alpha), NORMAL.critical(alpha)
    if min(counts.variant, counts.baseline) == 0:
        assert list(ours) == pytest.approx(theirs, rel=1e-6)  # the wrong coefficient meets a 0
        return
    x, n, y, m = counts
    for mine, other, z in zip(ours, theirs, (q, -q), strict=True):
        found = score_test_proportions_2indep(x, n, y, m, value=other, compare="diff")
        assert found.statistic == pytest.approx(z, rel=1e-6)
        assert exact_score(counts, mine) == pytest.approx(z, rel=1e-9)

        def log_likelihood(rate: float, difference: float = other) -> float:
            law = scipy_stats.binom.logpmf
            return float(law(y, m, rate) + law(x, n, rate + difference))

        best = optimize.minimize_scalar(
            lambda rate: -log_likelihood(rate),
            bounds=(max(0, -other), min(1, 1 - other)),
            method="bounded",
            options={"xatol": 1e-12},
        )
        assert -best.fun > log_likelihood(found.prop2_null) + 1e-12


@given(some_counts(), st.sampled_from([0.001, 0.05, 0.2]))
@settings(deadline=None)
def test_the_test_rejects_exactly_when_both_intervals_leave_out_no_difference(counts, alpha):
    z, q = abs(score_statistic(counts)), NORMAL.critical(alpha)
    assume(abs(z - q) > 1e-7 * q)
    rejects = p_value(NORMAL.log10_p(z)) < alpha
    assert score_ratio_statistic(counts) == pytest.approx(score_statistic(counts), rel=1e-9)
    for interval in (miettinen_nurminen_difference, miettinen_nurminen_lift):
        found = interval(counts, NORMAL, alpha)
        assert (found.lower > 0 or found.upper < 0) == rejects
        assert not math.isnan(found.lower + found.upper) or math.isinf(found.upper)


@given(some_counts(), st.sampled_from([0.01, 0.05]), st.sampled_from([1, 2]))
@settings(deadline=None)
def test_a_bound_is_where_the_statistic_is_critical(counts, alpha, sides):
    q = NORMAL.critical(alpha, sides)
    found = miettinen_nurminen_difference(counts, NORMAL, alpha, sides=sides)
    for bound, z in zip(found, (q, -q), strict=True):
        if abs(bound) < 1:
            assert score_statistic(counts, bound) == pytest.approx(z, rel=1e-6)
    found = miettinen_nurminen_lift(counts, NORMAL, alpha, sides=sides)
    for bound, z in zip(found, (q, -q), strict=True):
        if -1 < bound < math.inf:
            assert score_log_ratio_statistic(counts, math.log1p(bound)) == pytest.approx(z, rel=1e-6)
    assert (found.lower == -1) == (counts.variant == 0)
    assert (found.upper == math.inf) == (counts.baseline == 0)


@given(some_counts())
@settings(deadline=None)
def test_arms_exchanged_mirror_the_difference_and_turn_the_ratio_over(counts):
    one, other = (miettinen_nurminen_difference(each, NORMAL, 0.05) for each in (counts, counts.swapped))
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower), rel=1e-9, abs=1e-300)
    one, other = (miettinen_nurminen_lift(each, NORMAL, 0.05) for each in (counts, counts.swapped))
    if other.upper < math.inf:
        assert 1 + one.lower == pytest.approx(1 / (1 + other.upper), rel=1e-9)
    failed = Counts(
        counts.n_baseline - counts.baseline, counts.n_baseline,
        counts.n_variant - counts.variant, counts.n_variant,
    )  # fmt: skip
    assert miettinen_nurminen_difference(failed, NORMAL, 0.05) == pytest.approx(
        miettinen_nurminen_difference(counts, NORMAL, 0.05), rel=1e-9
    )


@given(some_counts(), st.floats(1e-4, 0.5), st.floats(1e-4, 0.5))
@settings(deadline=None)
def test_a_smaller_level_gives_a_wider_interval(counts, one, other):
    for interval in (miettinen_nurminen_difference, miettinen_nurminen_lift, newcombe):
        wide, narrow = (interval(counts, NORMAL, alpha) for alpha in (min(one, other), max(one, other)))
        assert wide.lower <= narrow.lower + 1e-12
        assert wide.upper >= narrow.upper - 1e-12 * max(1, narrow.upper if narrow.upper < math.inf else 1)


def test_a_thousand_comparisons_at_once_are_each_what_they_are_alone_and_fast():
    draw = np.random.default_rng(3)
    n = draw.integers(1, 10**6, (2, 1000))
    x = draw.binomial(n, draw.random((2, 1000)) ** 4)
    many = Counts(x[0], n[0], x[1], n[1])
    began = time.process_time()
    bulk = [f(many, NORMAL, 0.05) for f in (miettinen_nurminen_difference, miettinen_nurminen_lift)]
    assert time.process_time() - began < 1.0
    for place in range(0, 1000, 37):
        alone = Counts(*(float(each[place]) for each in many))
        one = miettinen_nurminen_difference(alone, NORMAL, 0.05)
        assert (bulk[0].lower[place], bulk[0].upper[place]) == pytest.approx(one, rel=1e-9, abs=1e-300)
        one = miettinen_nurminen_lift(alone, NORMAL, 0.05)
        assert (bulk[1].lower[place], bulk[1].upper[place]) == pytest.approx(one, rel=1e-9)
    levels = miettinen_nurminen_difference(Counts(3, 50, 1, 60), NORMAL, np.array([[0.01], [0.1]]))
    assert levels.lower.shape == (2, 1)


def test_the_interval_covers_as_often_as_it_says():
    """Every table of 40 and 60 units, at every rate: coverage of differences and ratios by enumeration."""
    n, m = 40, 60
    x, y = (each.astype(float) for each in np.meshgrid(np.arange(n + 1), np.arange(m + 1), indexing="ij"))
    counts = Counts(x, n, y, m)
    difference = miettinen_nurminen_difference(counts, NORMAL, 0.05)
    lift = miettinen_nurminen_lift(counts, NORMAL, 0.05)
    for variant in np.arange(0.1, 0.95, 0.1):
        for baseline in np.arange(0.1, 0.95, 0.1):
            chance = np.outer(
                scipy_stats.binom.pmf(np.arange(n + 1), n, variant),
                scipy_stats.binom.pmf(np.arange(m + 1), m, baseline),
            )
            true = variant - baseline
            covered = (difference.lower <= true) & (true <= difference.upper)
            assert 0.93 < chance[covered].sum() < 0.975
            true = variant / baseline - 1
            covered = (lift.lower <= true) & (true <= lift.upper)
            assert 0.93 < chance[covered].sum() < 0.975


@pytest.mark.parametrize(
    "counts",
    [
        Counts(0, 0, 1, 10), Counts(5, 3, 1, 10), Counts(-1, 3, 1, 10), Counts(math.nan, 3, 1, 10),
        Counts(1, math.inf, 1, 10), Counts(1, 3, math.inf, math.inf),
    ],
    ids=str,
)  # fmt: skip
def test_counts_that_mean_nothing_have_no_numbers(counts):
    found = [score_statistic(counts), score_ratio_statistic(counts), log_relative_statistic(counts)]
    for interval in (miettinen_nurminen_difference, miettinen_nurminen_lift, newcombe, agresti_caffo,
                     log_relative):  # fmt: skip
        found += interval(counts, NORMAL, 0.05)
    assert np.isnan(found).all()


@pytest.mark.parametrize("n", [1, 2, 500, 10**12])
def test_arms_without_or_full_of_conversions(n):
    """No difference is shown (p = 1), and the intervals say how large one may still be."""
    for counts in (Counts(0, n, 0, n), Counts(n, n, n, n)):
        assert score_statistic(counts) == 0
        found = miettinen_nurminen_difference(counts, NORMAL, 0.05)
        q2 = NORMAL.critical(0.05) ** 2
        limit = q2 / (q2 + n * (2 * n - 1) / (2 * n))  # the root of d = q sqrt(d (1 - d) / n x 2n / (2n - 1))
        assert (found.lower, found.upper) == pytest.approx((-limit, limit), rel=1e-9)
    assert miettinen_nurminen_lift(Counts(0, n, 0, n), NORMAL, 0.05) == (-1, math.inf)
    full = miettinen_nurminen_lift(Counts(n, n, n, n), NORMAL, 0.05)
    assert (full.lower, full.upper) == pytest.approx((-limit, limit / (1 - limit)), rel=1e-9)
    assert np.isnan(log_relative(Counts(0, n, 0, n), NORMAL, 0.05)).all()
    outright = Counts(n, n, 0, n)
    assert miettinen_nurminen_difference(outright, NORMAL, 0.05).upper == 1
    assert score_statistic(outright, 1.0) == 0
    assert score_statistic(outright, -1.0) == math.inf


def test_counts_are_read_from_moments():
    draw = np.random.default_rng(5)
    arms = [Moments.from_columns(draw.random(n) < 0.3) for n in (700, 900)]
    counts = Counts.of(*arms)
    assert counts == (round(arms[0].mean[0] * 700), 700, round(arms[1].mean[0] * 900), 900)
    many = Counts.of(Stack.of(arms), Stack.of(arms[::-1]))
    assert many.variant.tolist() == [counts.variant, counts.baseline]
    z = inference.statistic(contrasts.pooled_proportions(*arms))
    assert score_statistic(counts) == pytest.approx(z * math.sqrt(1599 / 1600), rel=1e-9)
