"""From cells to rows and a verdict: what is shown, withheld, undefined and decided."""

import math

import msgspec
import numpy as np
import pytest
from scipy import stats as scipy_stats

from stats import contrasts
from stats.analysis import (
    Analysis,
    Cell,
    DailyCell,
    MetricPlan,
    Plan,
    QuantileCell,
    Settings,
    analyse,
    mature_units,
)
from stats.errors import StatsError
from stats.moments import Moments
from stats.results import Result, Status, Verdict


def share(successes: int, n: int) -> Moments:
    p = successes / n
    return Moments(n, (p,), ((p * (1 - p) * n / (n - 1),),))


def plan(*metrics: MetricPlan, **changes: object) -> Plan:
    base = Plan(
        experiment="e", iteration=1, control="A", variants=("A", "B"), weights={"A": 1.0, "B": 1.0},
        metrics=metrics or (MetricPlan(name="bought", kind="proportion", role="primary"),),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def cell(metric: str, variant: str, moments: Moments, **more: object) -> Cell:
    return Cell(metric=metric, variant=variant, moments=moments, **more)


def run(design: Plan, *cells: Cell | QuantileCell, ended: bool = True, **more: object) -> Analysis:
    counts = more.pop("counts", dict.fromkeys(design.variants, 10_000))
    return analyse(design, cells, counts=counts, as_of=None, ended=ended, **more)


def bought(control: int = 1_000, treatment: int = 1_150, n: int = 10_000) -> list[Cell]:
    return [cell("bought", "A", share(control, n)), cell("bought", "B", share(treatment, n))]


def rows(analysis: Analysis, **where: object) -> list[Result]:
    return [
        row for row in analysis.results if all(getattr(row, key) == value for key, value in where.items())
    ]


def test_a_proportion_has_both_scales_and_the_pooled_test_without_interval():
    found = run(plan(), *bought())
    absolute, relative, pooled = found.results
    assert (absolute.method, relative.method, pooled.method) == ("z_unpooled", "fieller", "z_pooled")
    assert absolute.headline
    assert relative.headline
    assert not pooled.headline
    assert (pooled.lower, pooled.upper) == (None, None)
    assert absolute.p_value == relative.p_value
    z = 0.015 / math.sqrt(0.1 * 0.9 / 1e4 + 0.115 * 0.885 / 1e4)
    assert absolute.p_value == pytest.approx(2 * scipy_stats.norm.sf(z), rel=1e-11)


def test_numbers_carry_twelve_digits_so_that_order_of_summation_does_not_show():
    for row in run(plan(), *bought(1_003, 1_147, 9_973)).results:
        for value in msgspec.structs.astuple(row):
            if isinstance(value, float):
                assert value == float(f"{value:.12g}")


@pytest.mark.parametrize(
    ("moments", "kind", "reason"),
    [
        (Moments(0, (0.0,), ((0.0,),)), "mean", "no_units"),
        (Moments(1, (3.0,), ((0.0,),)), "mean", "too_few_units"),
        (Moments(50, (3.0,), ((0.0,),)), "mean", "zero_variance"),
        (Moments(50, (1.5,), ((0.2,),)), "proportion", "not_a_proportion"),
        (Moments(50, (math.inf,), ((1.0,),)), "mean", "not_finite"),
        (Moments(50, (1.0, 0.0), ((1.0, 0.0), (0.0, 0.0))), "ratio", "zero_denominator"),
    ],
)
def test_what_is_not_defined_is_null_with_a_reason_and_stops_nothing_else(moments, kind, reason):
    design = plan(
        MetricPlan(name="odd", kind=kind, role="primary"),
        MetricPlan(name="bought", kind="proportion", role="secondary"),
    )
    found = run(design, cell("odd", "A", moments), cell("odd", "B", moments), *bought())
    odd = rows(found, metric="odd")
    assert {row.scale for row in odd} == {"absolute", "relative"}
    for row in odd:
        assert (row.status, row.reasons) == (Status.UNDEFINED, (reason,))
        assert (row.p_value, row.lower, row.upper, row.std_error) == (None, None, None, None)
    assert rows(found, metric="bought", status=Status.OK)


def test_a_metric_without_cells_is_there_and_says_so():
    found = run(plan(), counts={"A": 0, "B": 0})
    assert {row.reasons for row in found.results} == {("no_units",)}
    assert found.srm.p_value is None


def test_units_whose_window_is_open_are_the_reason_when_none_is_mature():
    empty = Moments(0, (0.0,), ((0.0,),))
    found = run(plan(), cell("bought", "A", empty, n_immature=4), cell("bought", "B", empty, n_immature=3))
    assert {(row.reasons, row.n_immature) for row in found.results} == {(("immature",), 7)}


def test_before_the_planned_end_a_fixed_horizon_shows_estimates_and_nothing_to_test_with():
    found = run(plan(), *bought(), ended=False)
    assert found.decision.verdict is Verdict.KEEP_RUNNING
    for row in found.results:
        assert (row.status, row.estimate is not None, row.n_variant) == (Status.WITHHELD, True, 10_000)
        assert row.reasons == ("before_planned_end",)
        hidden = (row.std_error, row.lower, row.upper, row.p_value, row.log10_p, row.p_adjusted)
        assert hidden == (None,) * 6


def test_anytime_is_read_at_every_look_and_the_fixed_row_stands_beside_it_withheld():
    found = run(plan(horizon="anytime"), *bought(1_000, 1_400), ended=False)
    heads = [row for row in found.results if row.headline]
    assert {(row.method, row.horizon, row.status) for row in heads} == {
        ("confidence_sequence", "anytime", Status.OK),
        ("fieller", "anytime", Status.OK),
    }
    assert {row.status for row in found.results if row.horizon == "fixed"} == {Status.WITHHELD}
    assert found.decision.verdict is Verdict.SHIP


def test_group_sequential_is_refused_rather_than_read_as_something_else():
    with pytest.raises(StatsError, match="group_sequential"):
        run(plan(horizon="group_sequential"), *bought())


def test_holm_is_over_success_metrics_and_pairs_but_not_over_guardrails_or_segments():
    design = plan(
        MetricPlan(name="bought", kind="proportion", role="primary"),
        MetricPlan(name="more", kind="proportion", role="secondary"),
        MetricPlan(name="tickets", kind="proportion", role="guardrail"),
    )
    named = [
        cell(name, variant, share(successes, 10_000), segment=segment)
        for name, a, b in (("bought", 1_000, 1_080), ("more", 500, 560), ("tickets", 100, 130))
        for variant, successes in (("A", a), ("B", b))
        for segment in (None, "device=phone")
    ]
    found = run(design, *named)
    heads = {row.metric: row for row in rows(found, headline=True, scale="absolute", segment=None)}
    p = sorted((heads["bought"].p_value, heads["more"].p_value))
    expected = [2 * p[0], max(2 * p[0], p[1])]
    assert sorted((heads["bought"].p_adjusted, heads["more"].p_adjusted)) == pytest.approx(expected)
    assert heads["bought"].family == "success (2)"
    assert heads["bought"].lower_adjusted < heads["bought"].lower
    assert heads["tickets"].p_adjusted is None
    segments = {row.metric: row for row in found.results if row.segment and row.headline}
    assert {name: row.family for name, row in segments.items()} == {
        name: f"{name} by device (1)" for name in ("bought", "more", "tickets")
    }
    assert all(row.p_adjusted == row.p_value for row in segments.values())
    assert not found.warnings
    after = run(plan(settings=Settings(planned_segments=False)), *named[:4])
    assert any("exploration" in warning for warning in after.warnings)


def test_the_family_is_that_of_the_plan_and_not_of_the_metrics_that_are_mature():
    more = MetricPlan(name="more", kind="proportion", role="secondary")
    alone = run(plan(), *bought())
    waiting = run(plan(MetricPlan(name="bought", kind="proportion", role="primary"), more), *bought())
    p = rows(alone, headline=True)[0].p_value
    assert rows(alone, headline=True)[0].p_adjusted == pytest.approx(p)
    assert rows(waiting, metric="bought", headline=True)[0].p_adjusted == pytest.approx(2 * p)


def test_an_adjusted_row_is_the_headline_and_the_plain_one_stands_beside_it():
    draw = np.random.default_rng(1)
    x = draw.gamma(2, 2, (2, 3_000))
    y = x + draw.normal(0, 1, (2, 3_000))
    metric = MetricPlan(name="spend", kind="mean", role="primary", covariates=1)
    cells = [cell("spend", name, Moments.from_columns(y[i], x[i])) for i, name in enumerate("AB")]
    found = run(plan(metric), *cells)
    (head,) = rows(found, headline=True, scale="absolute")
    (plain,) = rows(found, method="welch_t")
    assert head.method == "cuped"
    assert head.variance_reduction == pytest.approx(1 - (head.std_error / plain.std_error) ** 2, rel=1e-9)
    test = scipy_stats.ttest_ind(y[1], y[0], equal_var=False)
    assert plain.p_value == pytest.approx(test.pvalue, rel=1e-9)
    flat = [cell("spend", name, Moments.from_columns(y[i], 0 * x[i])) for i, name in enumerate("AB")]
    found = run(plan(metric), *flat)
    assert rows(found, headline=True)[0].reasons == ("covariate_constant",)
    assert any("does not vary" in warning for warning in found.warnings)


def test_a_control_that_can_not_be_told_from_zero_has_no_bounded_lift():
    arms = [Moments(100, (0.1,), ((4.0,),)), Moments(100, (1.0,), ((4.0,),))]
    metric = MetricPlan(name="spend", kind="mean", role="primary")
    found = run(plan(metric), cell("spend", "A", arms[0]), cell("spend", "B", arms[1]))
    (relative,) = rows(found, scale="relative")
    assert (relative.status, relative.reasons[0]) == (Status.UNBOUNDED, "baseline_not_positive")
    assert (relative.lower, relative.upper) == (None, None)
    assert relative.estimate == pytest.approx(9)
    zero = run(plan(metric), cell("spend", "A", Moments(100, (0.0,), ((4.0,),))), cell("spend", "B", arms[1]))
    assert rows(zero, scale="relative")[0].estimate is None
    assert rows(zero, scale="relative")[0].status is Status.UNDEFINED


def test_few_conversions_are_compared_by_a_method_for_small_counts():
    """0 of 1,000 against 8 of 1,000, which some engines give p = 1."""
    found = run(plan(), *bought(0, 8, 1_000))
    exact, relative = found.results[:2]
    assert (exact.method, exact.headline, exact.reasons) == ("barnard", True, ("exact_for_few",))
    theirs = scipy_stats.barnard_exact([[8, 0], [992, 1_000]], alternative="greater").pvalue
    assert 1.8 * theirs < exact.p_value <= 2 * (theirs + 1e-6)  # SciPy searches impossible rates too
    assert exact.lower > 0
    assert relative.status is Status.UNDEFINED
    plain = rows(found, method="z_unpooled", scale="absolute")[0]
    assert "few_conversions" in plain.reasons
    assert any("by an exact test" in warning for warning in found.warnings)


def test_fewer_than_thirty_conversions_are_compared_by_the_score_test():
    found = run(plan(), *bought(20, 36, 1_000))
    score, relative = found.results[:2]
    assert (score.method, score.reasons) == ("miettinen_nurminen", ("score_for_few",))
    assert score.p_value <= 0.05
    assert score.lower > 0
    assert relative.lower > 0
    wide = run(plan(settings=Settings(proportions="z_unpooled")), *bought(20, 36, 1_000))
    assert wide.results[0].method == "z_unpooled"


def test_under_a_sequential_horizon_small_counts_wait():
    found = run(plan(horizon="anytime"), *bought(20, 36, 1_000), ended=False)
    head = rows(found, headline=True, scale="absolute")[0]
    assert (head.status, head.reasons[0], head.p_value) == (Status.WITHHELD, "too_few", None)
    assert head.estimate == pytest.approx(0.016)


def test_quantiles_are_compared_on_the_same_road():
    draw = np.random.default_rng(6)
    metric = MetricPlan(name="latency@0.9", kind="quantile", role="primary", quantile=0.9)
    values = [draw.lognormal(0, 1, 4_000), draw.lognormal(0.3, 1, 4_000)]
    found = run(
        plan(metric),
        *(QuantileCell(metric="latency@0.9", variant=v, values=values[i]) for i, v in enumerate("AB")),
    )
    absolute, relative = found.results
    assert absolute.estimate == pytest.approx(np.quantile(values[1], 0.9) - np.quantile(values[0], 0.9))
    assert relative.lower > 0


def test_all_pairs_compares_treatments_with_each_other_too():
    design = plan(variants=("A", "B", "C"), weights={"A": 1.0, "B": 1.0, "C": 1.0}, compare="all_pairs")
    found = run(design, *bought(), cell("bought", "C", share(1_200, 10_000)))
    assert {(row.variant, row.baseline) for row in found.results} == {("B", "A"), ("C", "A"), ("C", "B")}


def test_two_cells_of_one_arm_are_never_pooled_in_silence():
    with pytest.raises(StatsError, match="two cells"):
        run(plan(), *bought(), *bought())


def test_a_capped_metric_says_its_cap_and_the_shares_that_it_clipped():
    metric = MetricPlan(name="spend", kind="mean", role="primary")
    moments = Moments(200, (1.0,), ((4.0,),))
    found = run(
        plan(metric),
        cell("spend", "A", moments, cap=9.5, clipped=2),
        cell("spend", "B", moments, cap=9.5, clipped=4),
    )
    row = found.results[0]
    assert (row.cap, row.clipped_baseline, row.clipped_variant) == (9.5, 0.01, 0.02)


def test_a_ratio_is_adjusted_by_the_ratio_before():
    draw = np.random.default_rng(21)
    arms = []
    for lift in (1.0, 1.1):
        views_before, views = draw.poisson(20, (2, 3_000)) + 1
        rate = draw.beta(4, 30, 3_000)
        arms.append(
            Moments.from_columns(
                draw.binomial(views, np.minimum(1, rate * lift)), views,
                draw.binomial(views_before, rate), views_before,
            )
        )  # fmt: skip
    metric = MetricPlan(name="ctr", kind="ratio", role="primary", covariates=2, ratio_covariate=True)
    found = run(plan(metric), cell("ctr", "A", arms[0]), cell("ctr", "B", arms[1]))
    head, plain = rows(found, scale="absolute")
    expected = contrasts.adjusted(*(contrasts.linearised(arm, pairs=2) for arm in reversed(arms)))
    assert (head.method, plain.method) == ("cuped", "delta")
    assert head.estimate == pytest.approx(expected.estimate, rel=1e-11)
    assert head.std_error == pytest.approx(math.sqrt(expected.variance_against(1.0)), rel=1e-11)
    assert head.std_error < plain.std_error
    assert head.variance_reduction > 0.1


def test_a_confidence_sequence_of_few_units_keeps_its_level_at_all_looks():
    """With the normal law in the place of Student's, 5.8 % of A/A tests would be significant at some look."""
    draw = np.random.default_rng(12)
    metric = MetricPlan(name="spend", kind="mean", role="primary")
    design = plan(metric, horizon="anytime", planned_units=100)
    repeats, looks = 600, (2, 3, 4, 6, 10, 20, 50)
    errors = 0
    for values in draw.normal(0, 1, (repeats, 2, looks[-1])):
        seen = (
            run(design, *(cell("spend", v, Moments.from_columns(values[i, :n])) for i, v in enumerate("AB")))
            for n in looks
        )
        errors += any(rows(one, headline=True)[0].p_value <= 0.05 for one in seen)
    assert errors / repeats <= 0.03


def test_a_plan_that_contradicts_itself_is_refused():
    twice = MetricPlan(name="bought", kind="proportion", role="primary")
    for design, said in (
        (plan(alpha=1.5), "alpha must lie between 0 and 0.5"),
        (plan(control="C"), 'control "C" must be among'),
        (plan(variants=("A", "B", "B")), "variants that differ"),
        (plan(weights={"A": 1.0}), "weights say nothing of B"),
        (plan(twice, twice), "listed more than once: bought"),
    ):
        with pytest.raises(StatsError, match=said):
            run(design, *bought())


def test_looks_count_the_independent_units_of_a_quantile():
    metric = MetricPlan(name="latency", kind="quantile", role="primary", quantile=0.9)
    values, users = np.arange(6.0), np.array([0, 0, 1, 1, 2, 2], dtype=np.int64)
    cells = [
        QuantileCell(metric="latency", variant="A", values=values, clusters=users),
        QuantileCell(metric="latency", variant="B", values=values),
        QuantileCell(metric="latency", variant="B", segment="device=phone", values=values),
    ]
    assert mature_units(plan(metric), cells) == 3 + 6


def test_days_since_exposure_that_differ_between_arms_stop_nothing():
    daily = [
        DailyCell(metric="bought", variant=name, moments=Moments.from_columns(*np.eye(4)[:days] + 1.0))
        for name, days in (("A", 3), ("B", 2))
    ]
    found = run(plan(), *bought(), *daily)
    assert not any(one.name.startswith("by_day") for one in found.findings)
    assert found.results[0].p_value is not None


def test_strata_within_which_nothing_varies_adjust_nothing():
    metric = MetricPlan(name="spend", kind="mean", role="primary")
    cells = [
        cell("spend", variant, Moments(20, (mean,), ((0.0,),)), segment=f"device={device}")
        for variant in "AB"
        for device, mean in (("phone", 1.0), ("desktop", 3.0))
    ]
    everyone = [cell("spend", variant, Moments.from_columns(np.repeat([1.0, 3.0], 20))) for variant in "AB"]
    found = run(plan(metric, settings=Settings(strata="device")), *cells, *everyone)
    (head,) = rows(found, headline=True, scale="absolute", segment=None)
    assert head.method == "welch_t"
    assert "not_stratified" in head.reasons
