"""What must hold whatever the numbers are: of every estimator under every reference law, of whole analyses.

Estimators stand in a table, so that a new one is held to all of it by one more line. What is particular to
counts, exact tests, quantiles and ranks stands beside their numbers, in the tests of those modules.
"""

import itertools
import math
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stats import clusters, contrasts, inference, lifts, regression
from stats.analysis import Cell, MetricPlan, Plan, QuantileCell, analyse
from stats.clusters import Clusters
from stats.contrasts import Contrast
from stats.exact import barnard
from stats.moments import Moments, Stack
from stats.proportions import Counts, agresti_caffo, miettinen_nurminen_difference, newcombe, score_statistic
from stats.quantiles import quantile
from stats.references import ConfidenceSequence, NormalMixture, Reference, StudentT, p_value
from stats.regression import Sample
from stats.results import Result, Status
from stats.sequential import GroupSequential
from stats.strata import post_stratified

EXAMPLES = 200 if os.environ.get("TENBIN_TEST_FULL") else 8
SOME = settings(max_examples=EXAMPLES, deadline=None)
SCALES = st.sampled_from([1e-12, 1e-3, 7.0, 1e12])
STRATA = 3


class Units(NamedTuple):
    """One arm, a number per unit (or cluster of units)."""

    y: np.ndarray
    hit: np.ndarray  # 0 or 1
    size: np.ndarray  # a denominator, or units of a cluster
    size_before: np.ndarray
    x: np.ndarray  # (n, 3), from before exposure
    stratum: np.ndarray

    def of(self, place: np.ndarray) -> "Units":
        return Units(*(column[place] for column in self))


Pair = tuple[Units, Units]


def some_units(draw: np.random.Generator, n: int, effect: float) -> Units:
    x = draw.normal(0, 1, (n, 3))
    size = draw.integers(1, 9, n).astype(float)
    return Units(
        y=10 + effect + x @ [1.0, 0.5, 0.1] + size + draw.normal(0, 2, n),
        hit=(draw.random(n) < 0.4 + effect / 10).astype(float),
        size=size,
        size_before=size + draw.integers(0, 4, n),
        x=x,
        stratum=np.arange(n) % STRATA,
    )


def some_pair(seed: int, n: int, m: int, effect: float) -> Pair:
    draw = np.random.default_rng(seed)
    return some_units(draw, n, effect), some_units(draw, m, 0.0)


PAIRS = st.builds(
    some_pair,
    st.integers(0, 2**32 - 1),
    st.integers(24, 60),
    st.integers(24, 60),
    st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]),
)

Columns = Callable[[Units], tuple[np.ndarray, ...]]


class FromMoments(NamedTuple):
    """An estimator that needs no more than moments of some columns."""

    columns: Columns
    estimate: Callable[..., Contrast]

    def moments(self, units: Units) -> Moments:
        return Moments.from_columns(*self.columns(units))

    def __call__(self, variant: Units, baseline: Units) -> Contrast:
        return self.estimate(self.moments(variant), self.moments(baseline))


def adjusted_ratio(pairs: int) -> Callable[..., Contrast]:
    return lambda *arms: contrasts.adjusted(*(contrasts.linearised(arm, pairs=pairs) for arm in arms))


def sample_lin(variant: Moments, baseline: Moments) -> Contrast:
    return regression.lin(variant, baseline, estimand="sample")


def covariates(count: int) -> Columns:
    return lambda u: (u.y, *u.x[:, :count].T)


def a_share(u: Units) -> tuple[np.ndarray, ...]:
    return (u.hit,)


def a_ratio(u: Units) -> tuple[np.ndarray, ...]:
    return u.y, u.size


MOMENTS = {
    "means": FromMoments(covariates(0), contrasts.difference_of_means),
    "proportions": FromMoments(a_share, contrasts.difference_of_proportions),
    "pooled proportions": FromMoments(a_share, contrasts.pooled_proportions),
    "ratios": FromMoments(a_ratio, contrasts.difference_of_ratios),
    "cuped, 1 covariate": FromMoments(covariates(1), contrasts.adjusted),
    "cuped, 2 covariates": FromMoments(covariates(2), contrasts.adjusted),
    "cuped, 3 covariates": FromMoments(covariates(3), contrasts.adjusted),
    "cuped, ratio, 1 covariate": FromMoments(lambda u: (u.y, u.size, u.x[:, 0]), adjusted_ratio(1)),
    "cuped, ratio on ratio": FromMoments(
        lambda u: (u.y, u.size, 10 + u.x[:, 0], u.size_before), adjusted_ratio(2)
    ),
    "clusters, delta": FromMoments(a_ratio, clusters.delta_means),
    "clusters, CR1": FromMoments(a_ratio, clusters.cr1_means),
    "lin, no covariate": FromMoments(covariates(0), regression.lin),
    "lin, 3 covariates": FromMoments(covariates(3), regression.lin),
    "lin, the sample's effect": FromMoments(covariates(2), sample_lin),
    "ancova": FromMoments(covariates(2), regression.ancova),
}


def cr2(variant: Units, baseline: Units) -> Contrast:
    return clusters.cr2_means(*(Clusters(arm.y, arm.size) for arm in (variant, baseline)))


def robust(errors: regression.Errors) -> Callable[[Units, Units], Contrast]:
    return lambda *arms: regression.lin_robust(*(Sample(arm.y, arm.x) for arm in arms), errors=errors)


def within_strata(kind: str, columns: Columns) -> Callable[[Units, Units], Contrast]:
    def estimate(*arms: Units) -> Contrast:
        strata = [
            tuple(Moments.from_columns(*columns(arm.of(arm.stratum == k))) for arm in arms)
            for k in range(STRATA)
        ]
        return post_stratified(strata, kind=kind).contrast

    return estimate


def medians(variant: Units, baseline: Units) -> Contrast:
    found = [quantile(arm.y, 0.5, alpha=0.2) for arm in (variant, baseline)]
    return contrasts.of_quantiles(*(contrasts.Arm(q.value, q.variance * q.n, q.n) for q in found))


ESTIMATORS = MOMENTS | {
    "clusters, CR2": cr2,
    "lin, HC2": robust("hc2"),
    "lin, HC3": robust("hc3"),
    "strata of means": within_strata("mean", covariates(0)),
    "strata of proportions": within_strata("proportion", a_share),
    "strata of ratios": within_strata("ratio", a_ratio),
    "medians": medians,
}
RATIOS = [name for name in ESTIMATORS if "ratio" in name or "clusters" in name]
MEASURES = [name for name in ESTIMATORS if "proportions" not in name]  # what can be shifted and scaled
ADJUSTED = [name for name in ESTIMATORS if "covariate" in name or name in ("ancova", "lin, HC2", "lin, HC3")]
LAWS: dict[str, Callable[[Contrast], Reference]] = {
    "normal": lambda _: StudentT(),
    "t": lambda c: StudentT(c.df),
    "confidence sequence": lambda _: ConfidenceSequence(90, tuned_for=500, alpha=0.05),
    "confidence sequence of t": lambda c: ConfidenceSequence(90, tuned_for=500, alpha=0.05, df=c.df),
    "normal mixture": lambda c: NormalMixture(3.0, c.df),
    "group sequential": lambda _: GroupSequential([100, 200], [0.5, 1.0]),
    "group sequential of t": lambda c: GroupSequential([100, 200], [0.5, 1.0], df=c.df),
}
every_estimator = pytest.mark.parametrize("estimate", ESTIMATORS.values(), ids=ESTIMATORS)
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


def named(names: Sequence[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("estimate", [ESTIMATORS[name] for name in names], ids=names)


def close(value: object) -> object:
    """Equal but for rounding; what is not defined is equal to nothing else."""
    return value if value is None else pytest.approx(value, rel=1e-8, abs=1e-10, nan_ok=True)


def same(one: Contrast, other: Contrast) -> None:
    """Both say the same of the difference."""
    size = math.sqrt(one.variance_against(1.0))
    assert other.estimate == pytest.approx(one.estimate, rel=1e-7, abs=1e-8 * size)
    assert other.variance_against(1.0) == pytest.approx(one.variance_against(1.0), rel=1e-7)
    assert other.df == pytest.approx(one.df, rel=1e-6)


@every_law
@every_estimator
@SOME
@given(pair=PAIRS, alpha=st.sampled_from([0.001, 0.05, 0.3]))
def test_p_is_below_alpha_exactly_when_each_interval_leaves_out_no_difference(estimate, law, pair, alpha):
    contrast = estimate(*pair)
    reference = law(contrast)
    two, one = reference.critical(alpha), reference.critical(alpha, 1)
    z = inference.statistic(contrast)
    assume(min(abs(abs(z) - two), abs(abs(z) - one)) > 1e-9 * abs(z))
    assert (p_value(inference.log10_p(contrast, reference)) < alpha) == (abs(z) > two)
    lift, sided = (inference.lift_interval(contrast, reference, alpha, sides=sides) for sides in (2, 1))
    for found in (inference.difference_interval(contrast, reference, alpha), lift):
        if not math.isnan(found.lower):
            assert (found.lower > 0 or found.upper < 0) == (abs(z) > two)
            assert found.lower < found.upper
    assert (p_value(inference.log10_p(contrast, reference, sides=1)) < alpha) == (z > one)
    if not math.isnan(sided.lower):
        assert (sided.lower > 0, sided.upper < 0) == (z > one, -z > one)
    # A simultaneous interval is one at a smaller level: it never says more than the plain one.
    wide = inference.difference_interval(contrast, reference, alpha / 7)
    plain = inference.difference_interval(contrast, reference, alpha)
    assert wide.lower < plain.lower < plain.upper < wide.upper


@every_law
@every_estimator
@SOME
@given(pair=PAIRS)
def test_arms_exchanged_mirror_effect_interval_and_one_sided_p(estimate, law, pair):
    one, other = estimate(*pair), estimate(*reversed(pair))
    assert other.estimate == close(-one.estimate)
    assert other.df == close(one.df)
    a, b = law(one), law(other)
    assert inference.log10_p(other, b) == close(inference.log10_p(one, a))
    assert b.log10_p(-inference.statistic(other), 1) == close(inference.log10_p(one, a, sides=1))
    plain, mirrored = (inference.difference_interval(c, x, 0.05) for c, x in ((one, a), (other, b)))
    assert mirrored == close((-plain.upper, -plain.lower))
    for name in ("fieller", "log_delta"):  # ratios turn over; the linear interval is lopsided, and does not
        lift, turned = (lifts.RELATIVE[name].interval(c, x, 0.05, 2) for c, x in ((one, a), (other, b)))
        if lift.lower > -1 and turned.lower > -1:
            assert turned == close((1 / (1 + lift.upper) - 1, 1 / (1 + lift.lower) - 1))


@named(MEASURES)
@SOME
@given(pair=PAIRS, shift=st.floats(-1e3, 1e3))
def test_a_constant_added_to_all_values_leaves_the_difference(estimate, pair, shift):
    """For ratios and clusters: so much per unit of the denominator."""
    size = [arm.size if estimate in (ESTIMATORS[name] for name in RATIOS) else 1.0 for arm in pair]
    moved = [arm._replace(y=arm.y + shift * by) for arm, by in zip(pair, size, strict=True)]
    same(estimate(*pair), estimate(*moved))


@named(ADJUSTED)
@SOME
@given(pair=PAIRS, shift=st.floats(-1e3, 1e3), scale=SCALES)
def test_units_and_zero_of_covariates_do_not_matter(estimate, pair, shift, scale):
    moved = [arm._replace(x=scale * (arm.x + shift)) for arm in pair]
    same(estimate(*pair), estimate(*moved))


@SOME
@given(pair=PAIRS, top=SCALES, bottom=SCALES)
def test_units_of_a_covariates_ratio_do_not_matter(pair, top, bottom):
    def estimate(*factors: float) -> Contrast:
        columns = [(u.y, u.size, factors[0] * (10 + u.x[:, 0]), factors[1] * u.size_before) for u in pair]
        return adjusted_ratio(2)(*(Moments.from_columns(*each) for each in columns))

    same(estimate(1.0, 1.0), estimate(top, bottom))


@named(MEASURES)
@SOME
@given(pair=PAIRS, scale=SCALES, sign=st.sampled_from([1, -1]))
def test_values_in_another_unit_scale_differences_and_leave_lifts_and_p(estimate, pair, scale, sign):
    one = estimate(*pair)
    other = estimate(*(arm._replace(y=sign * scale * arm.y) for arm in pair))
    assert other.estimate / scale == close(sign * one.estimate)
    assert other.df == close(one.df)
    law = StudentT(one.df)
    assert inference.statistic(other) == close(sign * inference.statistic(one))
    plain, scaled = (inference.difference_interval(c, law, 0.05) for c in (one, other))
    assert (scaled.lower / scale, scaled.upper / scale) == close(plain if sign > 0 else mirror(plain))
    assert inference.lift(other) == close(sign * inference.lift(one))
    for pair_of_lifts in lifts.RELATIVE.values():
        plain, scaled = (pair_of_lifts.interval(c, law, 0.05, 2) for c in (one, other))
        assert scaled == close(plain if sign > 0 else mirror(plain))
        z = [pair_of_lifts.statistic(c, 0.0) for c in (one, other)]
        assert z[1] == close(sign * z[0])


def mirror(interval: Sequence[float]) -> tuple[float, float]:
    return -interval[1], -interval[0]


@named([name for name in RATIOS if name != "clusters, CR1"])  # which corrects by the number of units itself
@SOME
@given(pair=PAIRS, scale=SCALES)
def test_denominators_in_another_unit_leave_lifts_and_p(estimate, pair, scale):
    one = estimate(*pair)
    other = estimate(*(arm._replace(size=scale * arm.size) for arm in pair))
    law = StudentT(one.df)
    assert inference.log10_p(other, law) == close(inference.log10_p(one, law))
    found, expected = (inference.lift_interval(c, law, 0.05) for c in (other, one))
    assert found == close(expected)


@pytest.mark.parametrize("estimate", MOMENTS.values(), ids=MOMENTS)
@SOME
@given(pair=PAIRS, cut=st.integers(0, 24))
def test_moments_merged_in_any_order_give_what_all_units_give(estimate, pair, cut):
    def merged(arm: Units, *order: int) -> Moments:
        place = np.arange(len(arm.y))
        parts = [
            estimate.moments(arm.of(part)) for part in (place[:cut], place[cut : cut + 5], place[cut + 5 :])
        ]
        first, second, third = (parts[at] for at in order)
        return first.merge(second).merge(third)

    for order in itertools.permutations(range(3)):
        same(estimate(*pair), estimate.estimate(*(merged(arm, *order) for arm in pair)))


@every_estimator
@SOME
@given(pair=PAIRS, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_units_does_not_matter(estimate, pair, seed):
    draw = np.random.default_rng(seed)
    same(estimate(*pair), estimate(*(arm.of(draw.permutation(len(arm.y))) for arm in pair)))


@pytest.mark.parametrize("estimate", MOMENTS.values(), ids=MOMENTS)
@SOME
@given(pairs=st.lists(PAIRS, min_size=1, max_size=7))
def test_many_comparisons_at_once_are_each_what_they_are_alone(estimate, pairs):
    arms = [[estimate.moments(units) for units in side] for side in zip(*pairs, strict=True)]
    many = estimate.estimate(*(Stack.of(side) for side in arms))
    alone = [estimate.estimate(*each) for each in zip(*arms, strict=True)]
    for law in LAWS.values():
        reference = law(many)
        bulk = (
            *inference.difference_interval(many, reference, 0.05),
            *inference.lift_interval(many, reference, 0.05),
            inference.log10_p(many, reference),
            inference.log10_p(many, reference, sides=1),
        )
        for place, contrast in enumerate(alone):
            one = law(contrast)
            expected = (
                *inference.difference_interval(contrast, one, 0.05),
                *inference.lift_interval(contrast, one, 0.05),
                inference.log10_p(contrast, one),
                inference.log10_p(contrast, one, sides=1),
            )
            found = [float(np.broadcast_to(each, len(pairs))[place]) for each in bulk]
            # Linear algebra on many small matrices adds up in another order than on one.
            assert found == pytest.approx(expected, rel=1e-13, abs=1e-15, nan_ok=True)


COUNTS = st.tuples(*(st.tuples(st.integers(0, 20), st.integers(0, 20)) for _ in "VB")).filter(
    lambda arms: all(sum(arm) > 0 for arm in arms)
)


@SOME
@given(COUNTS, st.sampled_from([0.01, 0.05, 0.2]))
def test_exchanged_arms_and_exchanged_outcomes_mirror_every_interval_of_counts(arms, alpha):
    """To count who did not convert is to look at the same data from the other side."""
    (x, x_left), (y, y_left) = arms
    counts = Counts(x, x + x_left, y, y + y_left)
    turned = Counts(x_left, x + x_left, y_left, y + y_left)
    for interval in (newcombe, agresti_caffo, miettinen_nurminen_difference):
        found = interval(counts, StudentT(), alpha)
        for other in (turned, counts.swapped):
            assert interval(other, StudentT(), alpha) == pytest.approx(mirror(found), abs=1e-9)
    assert score_statistic(turned) == pytest.approx(-score_statistic(counts), abs=1e-12)
    found, other = barnard(counts, alpha=alpha), barnard(turned, alpha=alpha)
    assert other.p_value == pytest.approx(found.p_value, rel=1e-6)
    assert (other.p_greater, other.p_less) == pytest.approx((found.p_less, found.p_greater), rel=1e-6)
    assert other.difference == pytest.approx(mirror(found.difference), abs=1e-5)


# Whole analyses.

METRICS = (
    MetricPlan(name="bought", kind="proportion", role="primary"),
    MetricPlan(name="spend", kind="mean", role="secondary", covariates=2),
    MetricPlan(name="rate", kind="ratio", role="guardrail", margin=0.2),
    MetricPlan(name="rate_adjusted", kind="ratio", role="secondary", covariates=1, direction="decrease"),
    MetricPlan(name="latency", kind="quantile", role="secondary", quantile=0.5),
)
OF: dict[str, Columns] = {
    "bought": a_share,
    "spend": covariates(2),
    "rate": a_ratio,
    "rate_adjusted": lambda u: (u.y, u.size, u.x[:, 0]),
}
PLAN = Plan(
    experiment="e",
    iteration=1,
    control="A",
    variants=("A", "B"),
    weights={"A": 1.0, "B": 1.0},
    metrics=METRICS,
)
SEGMENTS = (None, *(f"stratum={k}" for k in range(STRATA)))
HORIZONS = st.sampled_from(["fixed", "anytime"])
OF_THE_FAMILY = ("p_adjusted", "lower_adjusted", "upper_adjusted", "family")


def cells_of(units: dict[str, Units]) -> list[Cell | QuantileCell]:
    """Everyone and every stratum, metric by metric."""
    found: list[Cell | QuantileCell] = []
    for (variant, arm), (place, segment) in itertools.product(units.items(), enumerate(SEGMENTS)):
        part = arm if segment is None else arm.of(arm.stratum == place - 1)
        found += [
            Cell(metric=name, variant=variant, segment=segment, moments=Moments.from_columns(*columns(part)))
            for name, columns in OF.items()
        ]
        found.append(QuantileCell(metric="latency", variant=variant, segment=segment, values=part.y))
    return found


def rows_of(plan: Plan, cells: Sequence[Cell | QuantileCell], **changes: object) -> tuple[Result, ...]:
    counts = dict.fromkeys(plan.variants, 100)
    return analyse(plan, cells, counts=counts, as_of=None, ended=True, **changes).results


def keyed(rows: Sequence[Result]) -> dict[tuple[object, ...], Result]:
    """Rows by what they are rows of, whichever way round they were compared."""
    found = {
        (
            row.metric, row.segment, *sorted((row.variant, row.baseline)), row.method, row.scale, row.horizon
        ): row
        for row in rows
    }  # fmt: skip
    assert len(found) == len(rows)
    return found


@SOME
@given(pair=PAIRS, horizon=HORIZONS)
def test_every_row_has_a_p_value_that_agrees_with_its_interval(pair, horizon):
    found = rows_of(
        msgspec.structs.replace(PLAN, horizon=horizon), cells_of(dict(zip("BA", pair, strict=True)))
    )
    assert any(row.status is Status.OK for row in found)
    for row in found:
        if row.p_value is None:
            continue
        assert row.p_value == close(10**row.log10_p)
        margin = next(metric.margin for metric in METRICS if metric.name == row.metric)
        zero = -margin if row.method == "non_inferiority" else 0.0
        if (row.lower, row.upper) != (None, None):
            low, high = (
                -math.inf if row.lower is None else row.lower,
                math.inf if row.upper is None else row.upper,
            )
            assert (low > zero or high < zero) == (row.p_value < row.alpha)
        if row.lower_adjusted is not None and (row.lower_adjusted > 0 or row.upper_adjusted < 0):
            # Holm rejects whatever the simultaneous intervals do, and possibly more.
            assert row.p_adjusted < row.alpha


@SOME
@given(pair=PAIRS, horizon=HORIZONS, order=st.randoms(use_true_random=False))
def test_the_order_of_cells_metrics_and_variants_does_not_matter(pair, horizon, order):
    plan = msgspec.structs.replace(PLAN, horizon=horizon)
    cells = cells_of(dict(zip("BA", pair, strict=True)))
    metrics, mixed = list(METRICS), list(cells)
    order.shuffle(metrics)
    order.shuffle(mixed)
    other = msgspec.structs.replace(plan, metrics=tuple(metrics), variants=("B", "A"))
    assert keyed(rows_of(other, mixed)) == keyed(rows_of(plan, cells))


@SOME
@given(pair=PAIRS, horizon=HORIZONS)
def test_control_and_treatment_exchanged_mirror_every_row(pair, horizon):
    plan = msgspec.structs.replace(PLAN, horizon=horizon)
    cells = cells_of(dict(zip("BA", pair, strict=True)))
    one, other = (keyed(rows_of(msgspec.structs.replace(plan, control=c), cells)) for c in "AB")
    for key, row in one.items():
        turned = other[key]
        assert (turned.variant, turned.baseline) == (row.baseline, row.variant)
        if row.method == "non_inferiority":
            continue  # of another hypothesis
        assert turned.p_value == close(row.p_value)
        assert turned.log10_p == close(row.log10_p)
        assert turned.p_adjusted == close(row.p_adjusted)
        if row.scale == "absolute":
            assert turned.estimate == close(-row.estimate)
            assert turned.std_error == close(row.std_error)
            for low, high in (("lower", "upper"), ("lower_adjusted", "upper_adjusted")):
                if getattr(row, low) is not None:
                    mirrored = -getattr(row, high), -getattr(row, low)
                    assert (getattr(turned, low), getattr(turned, high)) == close(mirrored)
        elif row.lower is not None and turned.lower is not None and min(row.lower, turned.lower) > -1:
            turned_over = 1 / (1 + row.upper) - 1, 1 / (1 + row.lower) - 1
            assert (turned.lower, turned.upper) == pytest.approx(turned_over, rel=1e-6, abs=1e-9)


@SOME
@given(pair=PAIRS, horizon=HORIZONS, scale=SCALES)
def test_values_in_another_unit_change_only_what_has_a_unit(pair, horizon, scale):
    plan = msgspec.structs.replace(PLAN, horizon=horizon)
    units = dict(zip("BA", pair, strict=True))
    scaled = {name: arm._replace(y=scale * arm.y) for name, arm in units.items()}
    one, other = rows_of(plan, cells_of(units)), rows_of(plan, cells_of(scaled))
    for row, found in zip(one, other, strict=True):
        by = scale if row.metric != "bought" else 1.0
        for name in ("estimate", "std_error", "lower", "upper", "lower_adjusted", "upper_adjusted"):
            expected = getattr(row, name)
            if expected is not None and row.scale == "absolute":
                expected *= by
            small = 1e-9 * (by if row.scale == "absolute" else 1.0)
            if expected is not None:
                expected = pytest.approx(expected, rel=1e-8, abs=small)
            assert getattr(found, name) == expected
        for name in ("p_value", "log10_p", "p_adjusted", "variance_reduction"):
            assert getattr(found, name) == close(getattr(row, name))
        assert (found.status, found.reasons, found.method) == (row.status, row.reasons, row.method)


@SOME
@given(pair=PAIRS, horizon=HORIZONS)
def test_what_has_no_units_changes_nothing_elsewhere(pair, horizon):
    """A segment no one is in, and an arm no one was sent to; both count in their own family of tests."""
    plan = msgspec.structs.replace(PLAN, horizon=horizon)
    cells = cells_of(dict(zip("BA", pair, strict=True)))
    nobody = Moments.from_columns([], [], [])
    before = rows_of(plan, cells)
    for segment in ("device=none", "stratum=none"):
        empty = [Cell(metric="spend", variant=name, segment=segment, moments=nobody) for name in "AB"]
        after = [row for row in rows_of(plan, [*empty, *cells]) if row.segment != segment]
        assert [*map(unadjusted, after)] == [*map(unadjusted, before)]
        assert segment == "stratum=none" or after == [*before]
    more = msgspec.structs.replace(plan, variants=("A", "C", "B"), weights={"A": 1.0, "B": 1.0, "C": 0.0})
    found = rows_of(more, cells)
    assert tuple(map(unadjusted, (row for row in found if row.variant != "C"))) == tuple(
        map(unadjusted, before)
    )
    assert {row.status for row in found if row.variant == "C"} == {Status.UNDEFINED}


def unadjusted(row: Result) -> Result:
    return msgspec.structs.replace(row, **dict.fromkeys(OF_THE_FAMILY))


@SOME
@given(pair=PAIRS, horizon=HORIZONS, cut=st.integers(3, 20))
def test_cells_merged_from_parts_give_the_rows_of_the_whole(pair, horizon, cut):
    metrics = tuple(metric for metric in METRICS if metric.kind != "quantile")
    plan = msgspec.structs.replace(PLAN, horizon=horizon, metrics=metrics)
    whole, parts = [], []
    for (name, columns), (variant, arm) in itertools.product(OF.items(), zip("BA", pair, strict=True)):
        place = np.arange(len(arm.y))
        first, rest = (Moments.from_columns(*columns(arm.of(p))) for p in (place[:cut], place[cut:]))
        parts.append(Cell(metric=name, variant=variant, moments=rest.merge(first)))
        whole.append(Cell(metric=name, variant=variant, moments=Moments.from_columns(*columns(arm))))
    for row, found in zip(rows_of(plan, whole), rows_of(plan, parts), strict=True):
        for name in Result.__struct_fields__:
            expected = getattr(row, name)
            assert getattr(found, name) == (close(expected) if isinstance(expected, float) else expected)
