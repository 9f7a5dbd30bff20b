"""Post-stratification: GrowthBook's numbers, regression on strata, merged cells, and coverage."""

import math
from functools import reduce

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from stats import contrasts, inference, lifts
from stats.errors import StatsError
from stats.moments import Moments
from stats.references import StudentT, p_value
from stats.strata import PostStratified, post_stratified
from tests.stats.conftest import outputs, param
from tests.stats.test_vectors import CLOSE, mean, proportion, ratio

OF_KIND = {"proportion": proportion, "mean": mean, "ratio": ratio}
ALPHA = 0.05
NOTHING = Moments(0, (0.0,), ((0.0,),))


def strata_of(case: dict) -> list[tuple[Moments, Moments]]:
    def arm(sums: dict) -> Moments:
        return OF_KIND[case["inputs"]["kind"]](sums) if sums["n"] else NOTHING

    return [(arm(one["treatment"]), arm(one["control"])) for one in case["inputs"]["strata"]]


def error(found: PostStratified) -> float:
    return math.sqrt(found.contrast.variance_against(1.0))


@param("post_stratification", "post_stratification")
def test_growthbook(case: dict):
    """Estimates and errors on both scales.

    One stratum that is left is the plain difference, for proportions with variance p(1 - p) as everywhere
    here; GrowthBook takes n/(n - 1) of it there (and nowhere else), as for a mean of zeros and ones. Its t
    has the degrees of freedom of the unstratified test, ours Satterthwaite's of the strata.
    """
    kind, strata = case["inputs"]["kind"], strata_of(case)
    found = post_stratified(strata, kind=kind)
    stratified = "not_stratified" not in found.notes
    theirs = found if stratified or kind != "proportion" else post_stratified(strata, kind="mean")
    whole = [reduce(Moments.merge, [one[arm] for one in strata if one[arm].n]) for arm in (0, 1)]
    unstratified = StudentT(contrasts.difference_of_means(*whole).df)
    for scale, estimate, std_error in (
        ("absolute", found.contrast.estimate, error(theirs)),
        ("relative", inference.lift(found.contrast), lifts.linear_error(theirs.contrast)),
    ):
        call = f"TwoSidedTTest(strata, FrequentistConfig(difference_type='{scale}', post_stratify=True"
        for expected in outputs(case, call):
            assert stratified == expected["post_stratification_applied"]
            assert estimate == pytest.approx(expected["estimate"], **CLOSE)
            assert std_error == pytest.approx(expected["se"], **CLOSE)
            p = p_value(unstratified.log10_p(estimate / std_error))
            assert p == pytest.approx(expected["p_value"], rel=1e-9)


def random_strata(
    seed: int, counts: list[tuple[int, int]], *, columns: int = 1
) -> list[tuple[Moments, Moments]]:
    draw = np.random.default_rng(seed)
    return [
        tuple(Moments.from_columns(*(draw.gamma(2, 1, (columns, n)) + 3 * place)) for n in arms)
        for place, arms in enumerate(counts)
    ]


COUNTS = [(20, 30), (50, 40), (8, 9)]


def test_given_the_strata_it_is_the_saturated_regression():
    """Outcome on strata, T and T x centred strata with HC2 errors: all but the multinomial term."""
    draw = np.random.default_rng(3)
    stratum = np.concatenate([np.full(sum(arms), place) for place, arms in enumerate(COUNTS)])
    treated = np.concatenate([np.repeat([1.0, 0.0], arms) for arms in COUNTS])
    y = 2 * stratum + treated * (1 + stratum) + draw.normal(size=len(stratum)) * (1 + stratum)
    dummies = (stratum[:, None] == np.arange(1, 3)).astype(float)
    centred = dummies - dummies.mean(axis=0)
    design = np.column_stack([np.ones(len(y)), treated, centred, treated[:, None] * centred])
    fit = sm.OLS(y, design).fit(cov_type="HC2")
    strata = [
        tuple(Moments.from_columns(y[(stratum == place) & (treated == arm)]) for arm in (1, 0))
        for place in range(3)
    ]
    found = post_stratified(strata, kind="mean")
    assert found.contrast.estimate == pytest.approx(fit.params[1], rel=1e-10)
    assert found.contrast.baseline == pytest.approx(fit.params[0], rel=1e-10)
    n = len(y)
    effects = np.array([variant.mean[0] - baseline.mean[0] for variant, baseline in strata])
    share = np.bincount(stratum) / n
    multinomial = share @ np.square(effects - share @ effects) / n
    assert error(found) ** 2 == pytest.approx(fit.bse[1] ** 2 + multinomial, rel=1e-10)


def test_the_joint_covariance_is_that_of_resampled_units():
    """Bootstrap of units with their strata, 4,000 resamples: lifts need both variances and the cross-term."""
    draw = np.random.default_rng(4)
    n = 600
    stratum = draw.integers(0, 3, n)
    treated = draw.random(n) < 0.4
    y = 5.0 * stratum + treated + draw.normal(size=n) * (1 + stratum)
    x = 1 + stratum + draw.gamma(2, 1, n)

    def estimate(rows: np.ndarray, kind: str) -> PostStratified:
        columns = (y, x) if kind == "ratio" else (y,)
        cells = [
            tuple(
                Moments.from_columns(
                    *(c[rows][(stratum[rows] == place) & (treated[rows] == arm)] for c in columns)
                )
                for arm in (True, False)
            )
            for place in range(3)
        ]
        return post_stratified(cells, kind=kind)

    for kind in ("mean", "ratio"):
        found = estimate(np.arange(n), kind).contrast
        resampled = np.array(
            [
                (one.variant, one.baseline)
                for one in (estimate(draw.integers(0, n, n), kind).contrast for _ in range(1_500))
            ]
        )
        cov = np.cov(resampled.T)
        assert found.var_variant == pytest.approx(cov[0, 0], rel=0.15)
        assert found.var_baseline == pytest.approx(cov[1, 1], rel=0.15)
        correlation = found.covariance / math.sqrt(found.var_variant * found.var_baseline)
        assert correlation == pytest.approx(np.corrcoef(resampled.T)[0, 1], abs=0.08)


def test_cells_with_fewer_than_two_units_are_merged_by_counts_only():
    strata = random_strata(1, [(20, 30), (1, 40), (8, 9), (30, 0), (0, 0)])
    found = post_stratified(strata, kind="mean")
    # Places 1 and 3 have two units in each arm together: (31, 40).
    assert found.groups == ((0,), (1, 3), (2,))
    assert found.notes == ("strata_merged",)
    merged = [strata[0], tuple(a.merge(b) for a, b in zip(strata[1], strata[3], strict=True)), strata[2]]
    assert found.contrast == post_stratified(merged, kind="mean").contrast


def test_cells_that_stay_too_small_take_the_smallest_other_stratum():
    found = post_stratified(random_strata(2, [(20, 30), (1, 40), (8, 9)]), kind="mean")
    assert found.groups == ((0,), (1, 2))
    one = post_stratified(random_strata(2, [(20, 30), (1, 40)]), kind="mean")
    assert (one.groups, one.notes) == (((0, 1),), ("strata_merged", "not_stratified"))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["mean", "ratio"]))
def test_one_stratum_or_strata_that_are_alike_are_the_plain_difference(seed, kind):
    columns = 2 if kind == "ratio" else 1
    (single,) = random_strata(seed, [(12, 20)], columns=columns)
    estimator = contrasts.difference_of_ratios if kind == "ratio" else contrasts.difference_of_means
    plain = estimator(*single)
    assert post_stratified([single], kind=kind).contrast == plain
    doubled = post_stratified([single, single], kind=kind).contrast
    assert doubled.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert doubled.variance_against(1.0) == pytest.approx(plain.variance_against(1.0) / 2, rel=1e-9)
    assert doubled.covariance == pytest.approx(0.0, abs=1e-15)


@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_order_and_empty_strata_do_not_matter(seed, order):
    strata = random_strata(seed, COUNTS)
    one = post_stratified(strata, kind="mean").contrast
    other = post_stratified([*(strata[place] for place in order), (NOTHING, NOTHING)], kind="mean").contrast
    assert other.estimate == pytest.approx(one.estimate, rel=1e-12)
    assert other.variance_against(1.0) == pytest.approx(one.variance_against(1.0), rel=1e-12)


def test_proportions_have_a_normal_reference():
    strata = [
        (Moments(100, (0.3,), ((0.21,),)), Moments(120, (0.2,), ((0.16,),))),
        (Moments(50, (0.9,), ((0.09,),)), Moments(40, (0.8,), ((0.16,),))),
    ]
    found = post_stratified(strata, kind="proportion")
    assert math.isinf(found.contrast.df)
    share = np.array([220, 90]) / 310
    cells = np.array([[0.3 * 0.7 / 100, 0.2 * 0.8 / 120], [0.9 * 0.1 / 50, 0.8 * 0.2 / 40]])
    effects = np.array([0.1, 0.1])
    assert found.contrast.estimate == pytest.approx(share @ effects)
    assert error(found) ** 2 == pytest.approx(np.square(share) @ cells.sum(axis=1), rel=1e-9)


def test_what_is_not_there():
    with pytest.raises(StatsError, match="at least one"):
        post_stratified([], kind="mean")
    nobody = post_stratified([(NOTHING, NOTHING)], kind="mean")
    assert nobody.groups == ()
    assert math.isnan(nobody.contrast.estimate)
    one_sided = post_stratified([(NOTHING, Moments.from_columns([1.0, 2.0]))] * 2, kind="mean")
    assert math.isnan(one_sided.contrast.variance_against(1.0))
    zero = Moments(9, (1.0, 0.0), ((1.0, 0.0), (0.0, 0.0)))
    assert math.isnan(post_stratified([(zero, zero)] * 2, kind="ratio").contrast.estimate)


def test_coverage_of_difference_and_lift_and_what_is_gained():
    """4,000 experiments of 300 units in three strata that differ, effect +20 %; Monte-Carlo error 0.35 %."""
    draw = np.random.default_rng(11)
    runs, level, effect = 4_000, np.array([5.0, 10.0, 20.0]), np.array([1.0, 2.0, 4.0])
    share = np.array([0.5, 0.3, 0.2])
    truth, baseline = share @ effect, share @ level
    covered = np.zeros(2)
    reduction = []
    for _ in range(runs):
        counts = [draw.multinomial(n, share) for n in (100, 200)]
        strata = [
            tuple(
                Moments.from_columns(draw.normal(level[k] + effect[k] * (arm == 0), 3, counts[arm][k]))
                for arm in (0, 1)
            )
            for k in range(3)
        ]
        found = post_stratified(strata, kind="mean").contrast
        law = StudentT(found.df)
        absolute = inference.difference_interval(found, law, ALPHA)
        lift = inference.lift_interval(found, law, ALPHA)
        covered += (
            absolute.lower <= truth <= absolute.upper,
            lift.lower <= truth / baseline <= lift.upper,
        )
        reduction.append(found.variance_reduction)
    error = math.sqrt(0.05 * 0.95 / runs)
    assert covered / runs == pytest.approx([0.95, 0.95], abs=0.003 + 3 * error)
    assert np.mean(reduction) > 0.7
