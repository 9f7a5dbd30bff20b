"""Sample ratio: against other engines and exact laws; its flags are rare when nothing is wrong."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from scipy import stats as scipy_stats

from stats.errors import StatsError
from stats.srm import FLAG_BELOW, always_valid, chi2_log10_p, sample_ratio, sample_ratio_by
from tests.stats.conftest import outputs, param

EVEN = {"A": 1.0, "B": 1.0}


@given(st.integers(0, 12), st.integers(0, 12), st.floats(0.05, 0.95))
@settings(deadline=None)
def test_two_small_arms_are_scipys_exact_binomial_test(a, b, share):
    found = sample_ratio({"A": a, "B": b}, {"A": share, "B": 1 - share})
    if a + b == 0:
        assert (found.p_value, found.failed) == (None, False)
    elif found.method == "exact":
        assert found.p_value == pytest.approx(scipy_stats.binomtest(a, a + b, share).pvalue, rel=1e-6)
    else:
        assert min(found.expected.values()) >= 5


def test_three_small_arms_are_every_outcome_counted():
    shares, observed = (0.2, 0.3, 0.5), (5, 1, 2)
    law = scipy_stats.multinomial(8, shares)
    outcomes = [x for x in itertools.product(range(9), repeat=3) if sum(x) == 8]
    seen = law.pmf(observed)
    exact = math.fsum(law.pmf(x) for x in outcomes if law.pmf(x) <= seen * (1 + 1e-9))
    found = sample_ratio(dict(zip("ABC", observed, strict=True)), dict(zip("ABC", shares, strict=True)))
    assert (found.method, found.p_value) == ("exact", pytest.approx(exact, rel=1e-9))


def test_published_counts():
    """Cookie Cats and GloBox, as their notebooks have them."""
    cookie_cats = sample_ratio({"gate_30": 44_700, "gate_40": 45_489}, {"gate_30": 1, "gate_40": 1})
    assert f"{cookie_cats.p_value:.4f}" == "0.0086"
    globox = sample_ratio({"A": 24_343, "B": 24_600}, {"A": 1, "B": 1})
    assert (f"{globox.chi2:.4f}", f"{globox.p_value:.4f}") == ("1.3495", "0.2454")


def test_a_variant_that_nobody_saw_is_counted_as_nobody():
    found = sample_ratio({"A": 100}, {"A": 1, "B": 1})
    assert (found.observed, found.failed) == ({"A": 100, "B": 0}, True)


def test_many_arms_with_few_units_each_fall_back_to_chi_squared():
    """Going through all outcomes would take minutes; 30 arms of 3 expected units each."""
    counts = {str(arm): 3 for arm in range(30)}
    found = sample_ratio(counts, dict.fromkeys(counts, 1.0))
    assert (found.method, found.p_value) == ("chi2", 1.0)


def test_the_flag_is_as_rare_as_its_level_says():
    draw = np.random.default_rng(2)
    flagged = sum(
        (sample_ratio({"A": int(a), "B": 30_000 - int(a)}, {"A": 1, "B": 2}).p_value or 0) < 0.05
        for a in draw.binomial(30_000, 1 / 3, 4_000)
    )
    assert flagged / 4_000 == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4_000))


@pytest.mark.parametrize("weights", [{"A": -1.0, "B": 1.0}, {"A": 0.0}, {"A": math.nan}, {}])
def test_weights_that_say_nothing_are_refused(weights):
    with pytest.raises(StatsError):
        sample_ratio({"A": 1, "B": 1}, weights)


@param("srm")
def test_other_engines(case: dict):
    """Every engine that has the test right; see test_vectors.py for the closed form."""
    counts = dict(zip("ABC", case["inputs"]["counts"], strict=False))
    weights = dict(zip("ABC", map(float, case["inputs"]["weights"]), strict=False))
    found = sample_ratio(counts, weights)
    assert found.chi2 is not None
    chi2 = float(special.gammaincc(found.df / 2, found.chi2 / 2))
    calls = ["scipy chisquare", "tt.SampleRatio(ratio=1.0, method='norm', correction=False)",
             "tt.SampleRatio(ratio=0.25, method='norm', correction=False)"]  # fmt: skip
    if 0 not in weights.values():
        calls.append("gbstats.utils.check_srm")
    for call in calls:
        for expected in outputs(case, call):
            assert chi2 == pytest.approx(expected["p_value"], rel=1e-9)
            if "log10_p" in expected:
                assert chi2_log10_p(found.chi2, found.df) == pytest.approx(expected["log10_p"], rel=1e-9)
    for expected in outputs(case, "gbstats.utils.check_srm"):
        if 0 in weights.values():  # counts the arm of weight 0 as a degree of freedom
            wrong = special.gammaincc((found.df + 1) / 2, found.chi2 / 2)
            assert wrong == pytest.approx(expected["p_value"], rel=1e-9)
    for call in ("scipy binomtest", "tt.SampleRatio(ratio=1.0, method='binom'"):
        for expected in outputs(case, call):
            exact = scipy_stats.binomtest(counts["A"], counts["A"] + counts["B"], weights["A"]).pvalue
            assert exact == pytest.approx(expected["p_value"], rel=1e-9)
            if found.method == "exact":
                assert found.p_value == pytest.approx(expected["p_value"], rel=1e-9)


def test_published_mismatches():
    """Wikipedia, Kohavi, Tang, Xu 2020 (chapter 21), and PostHog's issue 84351."""
    assert f"{sample_ratio({'A': 600, 'B': 400}, EVEN).p_value:.2e}" == "2.54e-10"
    assert f"{sample_ratio({'A': 821_588, 'B': 815_482}, EVEN).p_value:.1e}" == "1.8e-06"
    assert f"{sample_ratio({'A': 4072, 'B': 2035}, {'A': 0.8, 'B': 0.2}).p_value:.2e}" == "2.40e-149"


@pytest.mark.parametrize("chi2", [0.0, 3.0, 800.0, 1e4, 1e7, 1e12])
def test_tails_below_the_smallest_double_are_logarithms(chi2):
    ln10 = math.log(10)
    one = (math.log(2) + scipy_stats.norm.logsf(math.sqrt(chi2))) / ln10
    assert chi2_log10_p(chi2, 1) == pytest.approx(one, rel=1e-10, abs=1e-15)
    assert chi2_log10_p(chi2, 2) == pytest.approx(-chi2 / 2 / ln10, rel=1e-12, abs=1e-15)
    half = chi2 / 2
    four = (math.log1p(half) - half) / ln10
    assert chi2_log10_p(chi2, 4) == pytest.approx(four, rel=1e-12, abs=1e-15)
    many = chi2_log10_p(np.array([chi2, chi2]), np.array([1, 4]))
    assert many == pytest.approx([one, four], rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("df", [3, 7, 29])
def test_logarithms_go_on_where_doubles_end(df):
    """Both sides of where the computation changes, and its slope there."""
    edge = scipy_stats.chi2.isf(1e-290, df)
    near = chi2_log10_p(edge * np.array([1 - 1e-9, 1 + 1e-9]), df)
    slope = (1 - (df - 2) / edge) / 2 / math.log(10)
    assert near[0] - near[1] == pytest.approx(2e-9 * edge * slope, rel=1e-3)
    assert chi2_log10_p(edge, df) == pytest.approx(-290, abs=1e-6)


def test_two_arms_are_exact_at_any_number_of_units():
    """One unit of weight 10^-9 among 10^9, where one was expected, is no mismatch; 12 are."""
    weights = {"A": 1.0, "B": 1e-9}
    found = sample_ratio({"A": 10**9, "B": 2}, weights)
    poisson = 1 - scipy_stats.poisson.cdf(1, 1.0)
    assert (found.method, found.failed) == ("exact", False)
    assert found.p_value >= poisson
    many = sample_ratio({"A": 10**9, "B": 12}, weights)
    assert many.failed
    assert many.p_value == pytest.approx(scipy_stats.poisson.sf(11, 1.0), rel=1e-6)


def test_a_small_arm_among_large_ones_raises_no_false_alarm():
    """Chi-squared says 3e-4 of 5 units where 1 is expected; the Poisson law says 0.0037, twice counted."""
    weights = {"A": 500_000.0, "B": 499_999.0, "C": 1.0}
    found = sample_ratio({"A": 500_000, "B": 499_999, "C": 5}, weights)
    assert special.gammaincc(1, found.chi2 / 2) < FLAG_BELOW
    assert (found.method, found.failed) == ("mixed", False)
    assert found.p_value == pytest.approx(2 * scipy_stats.poisson.sf(4, 1.0), rel=0.01)
    large = sample_ratio({"A": 510_000, "B": 489_999, "C": 1}, weights)
    assert large.p_value == pytest.approx(
        2 * sample_ratio({"A": 510_000, "B": 489_999}, {"A": 500_000.0, "B": 499_999.0}).p_value, rel=1e-9
    )
    draw = np.random.default_rng(6)
    shares = np.array([0.5, 0.4999, 0.00005, 0.00005])
    flagged = [
        sample_ratio(dict(zip("ABCD", row, strict=True)), dict(zip("ABCD", shares, strict=True))).p_value
        < 0.05
        for row in draw.multinomial(30_000, shares, 1_000).tolist()
    ]
    assert np.mean(flagged) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 1_000)


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=5))
@settings(deadline=None)
def test_swapping_and_scaling_change_nothing_and_an_empty_arm_of_no_weight_neither(counts):
    names = "ABCDE"[: len(counts)]
    weights = {name: 1.0 + i for i, name in enumerate(names)}
    one = sample_ratio(dict(zip(names, counts, strict=True)), weights)
    doubled = {name: 2 * weight for name, weight in reversed(weights.items())} | {"none": 0.0}
    other = sample_ratio(dict(zip(names, counts, strict=True)) | {"none": 0}, doubled)
    if one.p_value is None:
        assert sum(counts) == 0
    else:
        assert other.p_value == pytest.approx(one.p_value, rel=1e-9, abs=1e-300)
        assert other.chi2 == pytest.approx(one.chi2, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("counts", [{"A": -1, "B": 2}, {"A": math.nan, "B": 2}, {"A": math.inf, "B": 2}])
def test_counts_that_mean_nothing_are_refused(counts):
    with pytest.raises(StatsError):
        sample_ratio(counts, EVEN)


def plain_log_bayes_factor(seen: np.ndarray, shares: np.ndarray, concentration: float) -> float:
    prior = concentration * shares
    log = special.gammaln(concentration) - special.gammaln(concentration + seen.sum())
    log += (special.gammaln(prior + seen) - special.gammaln(prior)).sum()
    return float(log - special.xlogy(seen, shares).sum())


@given(
    st.lists(st.integers(0, 10**5), min_size=2, max_size=5),
    st.sampled_from([1.0, 3.0, 100.0, 10_000.0]),
)
@settings(deadline=None)
def test_the_bayes_factor_is_the_ratio_of_both_laws(counts, concentration):
    shares = np.arange(1.0, len(counts) + 1)
    weights = dict(zip("ABCDE", shares, strict=False))
    (found,) = always_valid([dict(zip("ABCDE", counts, strict=False))], weights, concentration=concentration)
    if sum(counts) == 0:
        assert math.isnan(found.p_value)
        return
    expected = plain_log_bayes_factor(np.array(counts), shares / shares.sum(), concentration)
    assert found.log_bayes_factor == pytest.approx(expected, rel=1e-9, abs=1e-8)
    assert found.p_value == pytest.approx(min(1.0, math.exp(-min(expected, 700))), rel=1e-7, abs=1e-300)


def test_the_bayes_factor_of_optimizelys_package():
    """ssrm-test 0.1.5, test_sequential_posteriors: the log marginal likelihoods under Dirichlet(1, 1, 1)."""
    units, looks, seen = [0, 1, 0, 1, 2], [], [0, 0, 0]
    for unit in units:
        seen[unit] += 1
        looks.append(dict(zip("ABC", seen, strict=True)))
    marginal = [-1.0986122886681096, -2.4849066497880004, -3.401197381662155, -4.499809670330265,
                -6.4457198193855785]  # fmt: skip
    found = always_valid(looks, {"A": 1.0, "B": 1.0, "C": 1.0}, concentration=3.0)
    for count, (look, expected) in enumerate(zip(found, marginal, strict=True), start=1):
        assert look.log_bayes_factor == pytest.approx(expected + count * math.log(3), abs=1e-9)


def test_the_bayes_factor_keeps_its_digits_at_10_to_the_12_units():
    """Against its own closed form: two arms, a prior of 2 units, where it is a beta function."""
    n = 10**12
    off = 3 * 10**6
    a, b = n // 2 + off, n // 2 - off
    (found,) = always_valid([{"A": a, "B": b}], EVEN, concentration=2.0)
    # Beta(1 + a, 1 + b) = a! b! / (n + 1)!, by Stirling's formula with log1p for what cancels.
    d = 2 * off / n
    entropy = n / 2 * ((1 + d) * math.log1p(d) + (1 - d) * math.log1p(-d))
    roots = 0.5 * (math.log(2 * math.pi * n / 4) + math.log1p(-d * d))
    expected = entropy + roots - math.log(n + 1)
    assert found.log_bayes_factor == pytest.approx(expected, rel=1e-9)


def test_p_values_never_rise_and_may_be_read_at_every_look():
    """2,000 experiments of 200 looks without a mismatch: at most alpha are flagged, unlike chi-squared."""
    draw, runs, looks, alpha = np.random.default_rng(7), 2_000, 200, 0.05
    shares = np.array([0.5, 0.3, 0.2])
    steps = draw.multinomial(500, shares, (runs, looks)).cumsum(axis=1)
    ever = chi2_ever = 0
    for path in steps:
        found = always_valid(
            [dict(zip("ABC", row, strict=True)) for row in path.tolist()], {"A": 5.0, "B": 3.0, "C": 2.0}
        )
        p = [look.p_value for look in found]
        assert all(later <= earlier for earlier, later in itertools.pairwise(p))
        ever += p[-1] <= alpha
        expected = path.sum(axis=1, keepdims=True) * shares
        chi2_ever += (((path - expected) ** 2 / expected).sum(axis=1) > 5.9915).any()
    assert ever / runs <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs)
    assert chi2_ever / runs > 0.2


def test_a_mismatch_is_found_while_it_builds_up():
    """51 to 49 of 10,000 units a day."""
    draw = np.random.default_rng(8)
    days = draw.binomial(10_000, 0.51, 30).cumsum()
    found = always_valid([{"A": int(a), "B": 10_000 * (i + 1) - int(a)} for i, a in enumerate(days)], EVEN)
    first = next(i for i, look in enumerate(found) if look.p_value < FLAG_BELOW)
    assert 1 < first < 15
    assert found[-1].log10_p == pytest.approx(-found[-1].log_bayes_factor / math.log(10), rel=1e-6)


def test_looks_that_mean_nothing():
    assert always_valid([], EVEN) == ()
    empty, one = always_valid([{}, {"A": 1}], EVEN)
    assert math.isnan(empty.p_value)
    assert one.p_value == 1.0
    for looks in ([{"A": 5}, {"A": 4}], [{"A": -1}]):
        with pytest.raises(StatsError):
            always_valid(looks, EVEN)
    for concentration in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(StatsError):
            always_valid([{"A": 5}], EVEN, concentration=concentration)
    with pytest.raises(StatsError):
        always_valid([{"A": 5}], {"A": 0.0})


DEVICES = {
    "android": {"A": 10_050, "B": 9_950},
    "ios": {"A": 5_000, "B": 4_200},
    "web": {"A": 20_100, "B": 19_900},
}


def test_the_segment_with_the_mismatch_is_named():
    found = sample_ratio_by("device", DEVICES, EVEN)
    assert found.carriers == ("ios",)
    assert found.overall.failed
    assert not found.rest.failed
    assert found.rest.observed == {"A": 30_150, "B": 29_850}
    assert found.chi2 == pytest.approx(sum(place.srm.chi2 for place in found.places))
    assert found.df == 3
    assert sum(place.share for place in found.places) == pytest.approx(1)
    ios = found.places[1]
    assert ios.p_adjusted == pytest.approx(3 * ios.srm.p_value)
    assert ios.log10_p == pytest.approx(math.log10(ios.srm.p_value))
    assert found.cause == (
        "device ios carries 98% of chi-squared: A has 5,000 of 9,200 units, 4,600 expected; everything else "
        "is split as planned (p = 0.22)"
    )


def test_a_mismatch_that_is_everywhere_is_no_days_own():
    days = {f"2026-01-{day:02}": {"A": 1_030, "B": 970} for day in range(1, 15)}
    found = sample_ratio_by("day", days, EVEN)
    assert found.overall.failed
    assert found.carriers == ()
    assert found.cause.startswith("the mismatch is spread over every day")
    assert sample_ratio_by("day", dict(list(days.items())[:2]), EVEN).cause == "no day has a mismatch"


def test_a_mismatch_in_several_places_and_nothing_else():
    found = sample_ratio_by("day", {"mon": {"A": 900, "B": 100}, "tue": {"A": 90, "B": 10}, "wed": {}}, EVEN)
    assert found.carriers == ("mon", "tue")
    assert found.rest.p_value is None
    assert found.cause.endswith("there are no other units")
    assert found.places[2].p_adjusted is None
    nothing = sample_ratio_by("day", {}, EVEN)
    assert (nothing.p_value, nothing.cause) == (None, "no day has a mismatch")


def test_phases_with_different_weights_add_up():
    """Each against its own weights: 90:10 and 50:50 against one weight would be a mismatch."""
    phases = {"1": {"A": 9_010, "B": 990}, "2": {"A": 5_020, "B": 4_980}}
    found = sample_ratio_by("phase", phases, EVEN, own_weights={"1": {"A": 0.9, "B": 0.1}})
    one, two = sample_ratio(phases["1"], {"A": 0.9, "B": 0.1}), sample_ratio(phases["2"], EVEN)
    assert found.chi2 == pytest.approx(one.chi2 + two.chi2)
    assert found.p_value == pytest.approx(scipy_stats.chi2.sf(one.chi2 + two.chi2, 2))
    assert found.overall.expected == pytest.approx({"A": 14_000, "B": 6_000})
    assert not found.overall.failed


def test_days_are_flagged_as_rarely_as_the_level_says():
    """Holm over 20 days, some with a handful of units, and the sum over the larger ones."""
    draw, runs = np.random.default_rng(9), 1_500
    sizes = np.array([4, 9, *[400] * 18])
    p, smallest = [], []
    for _ in range(runs):
        seen = draw.binomial(sizes, 0.5)
        days = {
            str(i): {"A": int(a), "B": int(n - a)} for i, (a, n) in enumerate(zip(seen, sizes, strict=True))
        }
        found = sample_ratio_by("day", days, EVEN)
        p.append(found.p_value)
        smallest.append(min(place.p_adjusted for place in found.places))
    assert found.df == 18
    error = 4 * math.sqrt(0.05 * 0.95 / runs)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=error)
    assert np.mean(np.array(smallest) < 0.05) <= 0.05 + error
