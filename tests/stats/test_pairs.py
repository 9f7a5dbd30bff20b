"""Dual pairs: whatever is behind a test, p <= alpha exactly when its interval at alpha leaves 0 out."""

import datetime as dt
import math

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats
from statsmodels.stats import proportion as theirs

from stats import contrasts, looks
from stats.contrasts import Contrast
from stats.looks import Look
from stats.moments import Moments
from stats.pairs import Linear, Looked, Pair, counted, equivalent
from stats.proportions import Counts
from stats.references import ConfidenceSequence, StudentT

ALPHAS = (0.2, 0.05, 0.01, 0.001)


def shares(counts: Counts) -> Contrast:
    arms = [
        Moments(n, (x / n,), ((x / n * (1 - x / n) * n / (n - 1),),)) for x, n in (counts[:2], counts[2:])
    ]
    return contrasts.difference_of_proportions(*arms)


def contrast(
    estimate: float, error: float = 1.0, *, baseline: float = 100.0, df: float = math.inf
) -> Contrast:
    half = error * error / 2
    return Contrast(
        method="welch_t", variant=baseline + estimate, baseline=baseline, var_variant=half, var_baseline=half,
        df=df,
    )  # fmt: skip


def looked(*estimates: float, units: int = 1_000, baseline: float = 100.0) -> Looked:
    """Equally spaced looks at a third, two thirds and all of the units; errors shrink with the root."""
    taken = [
        Look(
            number=k, as_of=dt.date(2026, 1, k), n=k * units, information=k / 3, alpha_spent=math.nan,
            boundary=math.nan,
        )
        for k in range(1, len(estimates) + 1)
    ]  # fmt: skip
    steps = tuple(
        Linear(contrast(estimate, 1 / math.sqrt(k), baseline=baseline), looks.law(taken[:k]))
        for k, estimate in enumerate(estimates, 1)
    )
    return Looked(steps[-1].contrast, steps)


def one_by_one() -> list[Pair]:
    counts = [Counts(4, 30, 15, 34), Counts(2, 24, 3, 20), Counts(57, 60, 50, 90)]
    few = [
        counted(name, shares(c), c)
        for c in counts[:2]
        for name in ("miettinen_nurminen", "barnard", "boschloo")
    ]
    return [
        *few,
        counted("z_unpooled", shares(counts[2]), counts[2]),
        Linear(contrast(2.2, df=9.3), StudentT(9.3)),
        Linear(contrast(-2.2, baseline=-50), StudentT()),
        Linear(contrast(3.4), ConfidenceSequence(2_000, tuned_for=4_000, alpha=0.05)),
        looked(2.0, 1.6, 1.4),
        looked(-4.0, -1.0),
    ]


@pytest.mark.parametrize("pair", one_by_one(), ids=lambda pair: f"{pair.method}-{pair.contrast.estimate:.3g}")
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_test_rejects_exactly_where_both_intervals_leave_zero_out(pair, alpha):
    two = 10 ** pair.log10_p() <= alpha
    one = {sign: 10 ** pair.log10_p(1, sign=sign) <= alpha for sign in (1, -1)}
    for bounds in (pair.difference, pair.relative):
        low, high = bounds(alpha)
        assert (low > 0 or high < 0) == two
        low, high = bounds(alpha, 1)
        assert (low > 0, high < 0) == (one[1], one[-1])


@pytest.mark.parametrize("pair", one_by_one(), ids=lambda pair: f"{pair.method}-{pair.contrast.estimate:.3g}")
@pytest.mark.parametrize("lift", [-0.3, -0.01, 0.0, 0.02, 0.4])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_test_against_a_margin_is_dual_to_the_one_sided_lift(pair, lift, sign):
    for alpha in ALPHAS:
        shown = pair.beyond(lift, alpha, sign=sign)
        beyond = shown.lower > lift if sign > 0 else shown.upper < lift
        assert (10**shown.log10_p <= alpha) == beyond
        bounds = pair.relative(alpha, 1)
        assert (shown.lower, shown.upper)[sign < 0] == pytest.approx((bounds.lower, bounds.upper)[sign < 0])


def test_a_linear_pair_is_welch_s_test_as_scipy_has_it():
    rng = np.random.default_rng(3)
    v, b = rng.normal(5.4, 2, 40), rng.normal(5, 1, 25)
    found = contrasts.difference_of_means(Moments.from_columns(v), Moments.from_columns(b))
    pair = Linear(found, StudentT(found.df))
    for sides, sign, alternative in ((2, 1, "two-sided"), (1, 1, "greater"), (1, -1, "less")):
        test = scipy_stats.ttest_ind(v, b, equal_var=False, alternative=alternative)
        assert 10 ** pair.log10_p(sides, sign=sign) == pytest.approx(test.pvalue, rel=1e-10)
        bounds = test.confidence_interval(0.9)
        low, high = pair.difference(0.1, sides)
        if alternative != "less":
            assert low == pytest.approx(bounds.low, rel=1e-10)
        if alternative != "greater":
            assert high == pytest.approx(bounds.high, rel=1e-10)


def score_p(counts: Counts, difference: float) -> float:
    """Miettinen and Nurminen 1985 to the letter: the likelihood under the difference, maximised by search."""
    x, n, y, m = counts

    def loss(rate: float) -> float:
        law = scipy_stats.binom
        return -float(law.logpmf(x, n, rate + difference) + law.logpmf(y, m, rate))

    ends = max(0.0, -difference) + 1e-12, min(1.0, 1 - difference) - 1e-12
    rate = optimize.minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
    other = rate + difference
    variance = (other * (1 - other) / n + rate * (1 - rate) / m) * (n + m) / (n + m - 1)
    return float(2 * scipy_stats.norm.sf(abs(x / n - y / m - difference) / math.sqrt(variance)))


@pytest.mark.parametrize("counts", [Counts(36, 410, 20, 400), Counts(9, 70, 2, 60)])
def test_a_score_pair_is_miettinen_and_nurminen_s_as_statsmodels_has_it(counts):
    pair = counted("miettinen_nurminen", shares(counts), counts)
    test = theirs.test_proportions_2indep(*counts, method="score", compare="diff")
    assert 10 ** pair.log10_p() == pytest.approx(test.pvalue, rel=1e-9)
    # Their test at our bounds; for differences other than 0 statsmodels is off (`test_proportions`).
    for bound in np.add(1, pair.relative(0.05)):
        test = theirs.test_proportions_2indep(*counts, value=bound, method="score", compare="ratio")
        assert test.pvalue == pytest.approx(0.05, rel=1e-8)
    for bound in pair.difference(0.05):
        assert score_p(counts, bound) == pytest.approx(0.05, rel=1e-5)
    against = theirs.test_proportions_2indep(
        *counts, value=0.8, method="score", compare="ratio", alternative="larger"
    )
    assert 10 ** pair.beyond(-0.2, 0.025, sign=1).log10_p == pytest.approx(against.pvalue, rel=1e-9)


def test_an_exact_pair_is_barnard_s_as_scipy_has_it():
    pair = counted("barnard", shares(Counts(9, 70, 2, 60)), Counts(9, 70, 2, 60))
    test = scipy_stats.barnard_exact([[9, 2], [61, 58]], alternative="greater", n=4_000)
    assert 10 ** pair.log10_p(1) == pytest.approx(
        test.pvalue, abs=2e-6
    )  # rates beyond 1 - 1e-6 are not searched
    assert 10 ** pair.log10_p() == pytest.approx(2 * 10 ** pair.log10_p(1))


def test_no_ratio_to_a_baseline_without_conversions():
    for method in ("miettinen_nurminen", "barnard"):
        pair = counted(method, shares(Counts(8, 1_000, 0, 1_000)), Counts(8, 1_000, 0, 1_000))
        assert math.isnan(pair.relative(0.05).lower)
        assert math.isnan(pair.beyond(0.0, 0.05, sign=1).log10_p)
        assert pair.difference(0.05).lower > 0


def test_looks_give_the_least_p_and_what_none_of_them_left_out():
    pair = looked(2.0, 1.6, 1.4)
    assert pair.log10_p() == min(look.log10_p() for look in pair.looks)
    each = [look.difference(0.05) for look in pair.looks]
    assert pair.difference(0.05) == (max(low for low, _ in each), min(high for _, high in each))
    # gsDesign and rpact: Lan and DeMets' O'Brien-Fleming at thirds has 3.7103, 2.5114, 1.9930.
    half = [(high - low) / 2 * math.sqrt(k) for k, (low, high) in enumerate(each, 1)]
    assert half == pytest.approx([3.7103, 2.5114, 1.9930], abs=2e-4)
    assert pair.contrast.estimate == pytest.approx(1.4)


def test_looks_that_disagree_leave_nothing_between_the_bounds_but_one_side_stands():
    pair = looked(5.0, -1.5, -2.0)
    low, high = pair.difference(0.05)
    assert low > 0
    assert high < low
    assert 10 ** pair.log10_p() <= 0.05
    assert pair.relative(0.05).lower > pair.relative(0.05).upper
    for sign in (1, -1):
        bounds = pair.difference(0.025, 1)
        assert (bounds.lower > 0, bounds.upper < 0)[sign < 0] == (10 ** pair.log10_p(1, sign=sign) <= 0.025)


def test_equivalence_is_two_one_sided_tests():
    pair = Linear(contrast(0.5), StudentT())
    found = equivalent(pair, 0.03, 0.05)
    above, below = pair.beyond(-0.03, 0.05, sign=1), pair.beyond(0.03, 0.05, sign=-1)
    assert found == (max(above.log10_p, below.log10_p), above.lower, below.upper)
    # H0: variant = 1.03 baseline, of variance 1/2 + 1.03^2 / 2.
    z = (100.5 - 103) / math.sqrt(0.5 + 0.5 * 1.03**2)
    assert 10**found.log10_p == pytest.approx(scipy_stats.norm.cdf(z), rel=1e-10)
