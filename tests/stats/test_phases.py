"""Phases put together: the numbers of post-stratification, of a regression, and of resampled units."""

import numpy as np
import pytest
import statsmodels.api as sm

from stats import contrasts, phases
from stats.analysis import Cell, MetricPlan, Plan, analyse
from stats.comparisons import compare, plain_contrast
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.moments import Moments
from stats.plan import PhasePlan
from stats.srm import FLAG_BELOW, always_valid, always_valid_over, sample_ratio, sample_ratio_over
from stats.strata import post_stratified

SIZES = ((60, 50), (30, 200), (25, 25))  # variant, baseline


def plan(metric: MetricPlan, **more) -> Plan:
    return Plan(
        experiment="e", iteration=1, control="A", variants=("A", "B"), weights={"A": 1, "B": 1},
        phases=tuple(PhasePlan(number=n, weights={"A": 1, "B": n}) for n in (1, 2, 3)),
        metrics=(metric,), **more,
    )  # fmt: skip


def units(kind: str, seed: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per phase, the columns of the variant's and of the baseline's units."""
    draw = np.random.default_rng(seed)

    def arm(n: int, phase: int) -> np.ndarray:
        size = draw.integers(1, 5, n).astype(float)
        before = draw.normal(phase, 1, n)
        if kind == "proportion":
            return np.column_stack([(draw.random(n) < 0.3 + 0.1 * phase).astype(float)])
        value = before + phase * size + draw.normal(0, 1, n)
        return np.column_stack([value, size] if kind == "ratio" else [value, before])

    return [(arm(v, place), arm(b, place)) for place, (v, b) in enumerate(SIZES)]


def cells(arms: list[tuple[np.ndarray, np.ndarray]]) -> list[Cell]:
    return [
        Cell(metric="m", variant=name, phase=number, moments=Moments.from_columns(*columns.T))
        for number, pair in enumerate(arms, 1)
        for name, columns in zip("BA", pair, strict=True)
    ]


@pytest.mark.parametrize("kind", ["proportion", "mean", "ratio"])
def test_without_covariates_it_is_post_stratification(kind):
    arms = units(kind)
    if kind == "mean":
        arms = [(v[:, :1], b[:, :1]) for v, b in arms]
    design = plan(MetricPlan(name="m", kind=kind, role="primary"))
    (found,) = compare(design, cells(arms))
    mine = plain_contrast(design, found)
    strata = [tuple(Moments.from_columns(*arm.T) for arm in pair) for pair in arms]
    theirs = post_stratified(strata, kind=kind).contrast
    for name in ("variant", "baseline", "var_variant", "var_baseline", "covariance", "df"):
        assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=1e-12), name
    assert found.counts is None
    assert (found.n_variant, found.n_baseline) == tuple(map(sum, zip(*SIZES, strict=True)))


def test_an_adjusted_ratio_is_cuped_of_linearised_units_within_phases():
    draw = np.random.default_rng(5)
    arms = []
    for place, sizes in enumerate(SIZES):
        pair = []
        for n in sizes:
            before = draw.integers(1, 6, n).astype(float)
            size = draw.integers(1, 5, n).astype(float)
            value = size * (1 + place) + before + draw.normal(0, 1, n)
            pair.append(np.column_stack([value, size, before]))
        arms.append(tuple(pair))
    metric = MetricPlan(name="m", kind="ratio", role="primary", covariates=1)
    (found,) = compare(plan(metric), cells(arms))
    share = np.array([v + b for v, b in SIZES]) / sum(map(sum, SIZES))
    scaled = []
    for side in (0, 1):
        top, bottom = (
            sum(w * pair[side][:, column].mean() for w, pair in zip(share, arms, strict=True))
            for column in (0, 1)
        )
        scaled.append([top / bottom + (p[side][:, 0] - top / bottom * p[side][:, 1]) / bottom for p in arms])
    parts = [
        contrasts.adjusted(*(Moments.from_columns(scaled[s][k], arms[k][s][:, 2]) for s in (0, 1)))
        for k in range(3)
    ]
    expected = sum(w * part.estimate for w, part in zip(share, parts, strict=True))
    head = found.estimators[0]
    assert isinstance(head, Contrast)
    assert head.method == "cuped"
    assert head.estimate == pytest.approx(expected, rel=1e-10)
    assert 0 < head.variance_reduction < 1


def test_given_the_phases_it_is_the_regression_with_phases_and_their_interactions():
    arms = [(v[:, :1], b[:, :1]) for v, b in units("mean")]
    (found,) = compare(plan(MetricPlan(name="m", kind="mean", role="primary")), cells(arms))
    share = np.array([v + b for v, b in SIZES]) / sum(map(sum, SIZES))
    y = np.concatenate([np.concatenate([v[:, 0], b[:, 0]]) for v, b in arms])
    treated = np.concatenate([np.repeat([1.0, 0.0], sizes) for sizes in SIZES])
    phase = np.repeat(np.arange(3), [v + b for v, b in SIZES])
    dummies = np.column_stack([phase == k for k in range(3)]).astype(float)
    centred = dummies[:, 1:] - share[1:]
    x = np.column_stack([dummies, treated, treated[:, None] * centred])
    fit = sm.OLS(y, x).fit()
    assert found.estimators[0].estimate == pytest.approx(fit.params[3], rel=1e-10)


def test_the_joint_variance_is_that_of_resampled_units():
    draw = np.random.default_rng(11)
    arms = units("ratio")
    (found,) = compare(plan(MetricPlan(name="m", kind="ratio", role="primary")), cells(arms))
    pool = [np.concatenate([v, b]) for v, b in arms]
    n = sum(map(len, pool))
    estimates = []
    for _ in range(4_000):
        totals = draw.multinomial(n, [len(each) / n for each in pool])
        share = totals / n
        sums = np.zeros((2, 2))
        for k, (v, b) in enumerate(arms):
            for side, arm in enumerate((v, b)):
                chosen = draw.integers(0, len(arm), len(arm))
                sums[side] += share[k] * arm[chosen].mean(axis=0)
        estimates.append(sums[:, 0] / sums[:, 1])
    cov = np.cov(np.array(estimates).T)
    head = found.estimators[0]
    # Resampled variances are (n - 1) / n of the estimated ones, and have an error of 2 %.
    for mine, theirs in ((head.var_variant, cov[0, 0]), (head.var_baseline, cov[1, 1])):
        assert mine == pytest.approx(theirs, rel=0.1)
    assert head.covariance == pytest.approx(cov[0, 1], rel=0.25)


def test_a_phase_with_one_unit_in_an_arm_waits_and_is_not_pooled():
    arms = [(v[:, :1], b[:, :1]) for v, b in units("mean")]
    arms[2] = (arms[2][0][:1], arms[2][1])
    metric = MetricPlan(name="m", kind="mean", role="primary")
    (found,) = compare(plan(metric), cells(arms))
    (without,) = compare(plan(metric), cells(arms[:2]))
    assert found.notes == ("phase_left_out",)
    assert found.estimators == without.estimators
    assert (found.n_variant, found.n_baseline) == (without.n_variant, without.n_baseline)


def test_few_conversions_wait_under_a_sequential_horizon():
    few = [
        Cell(metric="m", variant=name, phase=phase, moments=Moments.from_columns([1.0] * 3 + [0.0] * 400))
        for phase in (1, 2)
        for name in "AB"
    ]
    metric = MetricPlan(name="m", kind="proportion", role="primary")
    found = analyse(plan(metric, horizon="anytime"), few, counts=None, as_of=None, ended=False)
    heads = [row for row in found.results if row.headline]
    assert {row.status for row in heads} == {"withheld"}
    assert all("too_few" in row.reasons for row in heads)


def test_a_ratio_that_fails_in_one_phase_only_is_found_although_all_phases_look_right():
    weights = {1: {"A": 1, "B": 1}, 2: {"A": 1, "B": 9}}
    counts = {1: {"A": 5_200, "B": 4_800}, 2: {"A": 800, "B": 9_200}}
    whole = sample_ratio_over(counts, weights)
    each = [sample_ratio(counts[phase], weights[phase]) for phase in (1, 2)]
    assert whole.chi2 == pytest.approx(each[0].chi2 + each[1].chi2)
    assert (whole.df, whole.failed) == (2, True)
    assert whole.observed == {"A": 6_000, "B": 14_000}
    assert whole.expected == {"A": pytest.approx(6_000), "B": pytest.approx(14_000)}


def test_a_phase_of_few_units_is_tested_exactly_beside_the_sum():
    weights = {1: {"A": 1, "B": 1}, 2: {"A": 1, "B": 9}}
    found = sample_ratio_over({1: {"A": 5_000, "B": 5_010}, 2: {"A": 9, "B": 0}}, weights)
    assert found.method == "mixed"
    assert found.p_value == pytest.approx(2 * 0.1**9)
    assert found.failed


def test_at_any_time_phases_of_one_weight_are_as_one_look_each_and_a_mismatch_is_found():
    days = [{"A": 400, "B": 420}, {"A": 390, "B": 380}]
    totals = [days[0], {"A": 790, "B": 800}]
    one = always_valid(totals, {"A": 1, "B": 1})
    assert always_valid_over([(day, 1) for day in days], {1: {"A": 1, "B": 1}}) == one
    weights = {1: {"A": 1, "B": 1}, 2: {"A": 1, "B": 9}}
    assert always_valid_over([(days[0], 1), ({"A": 100, "B": 900}, 2)], weights)[-1].p_value > 0.5
    assert always_valid_over([(days[0], 1), ({"A": 400, "B": 900}, 2)], weights)[-1].p_value < FLAG_BELOW


def test_no_phase_is_refused():
    with pytest.raises(StatsError, match="0 phases"):
        phases.combined([], [])
