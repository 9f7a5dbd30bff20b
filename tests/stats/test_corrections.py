"""Families and corrections: adjusted p-values are statsmodels', and intervals agree with them."""

import math

import msgspec
import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from stats.contrasts import Contrast
from stats.corrections import Correction, Question, corrected
from stats.pairs import Linear
from stats.plan import MetricPlan, Plan, Settings
from stats.references import StudentT
from stats.results import Status
from tests.stats.test_analysis import bought, cell, plan, rows, run, share

THEIRS = {
    "holm": "holm", "hochberg": "simes-hochberg", "benjamini_hochberg": "fdr_bh",
    "benjamini_yekutieli": "fdr_by",
}  # fmt: skip
Z = (3.1, -2.6, 0.4, 2.2, -1.1)


def pair(z: float) -> Linear:
    return Linear(
        Contrast(method="z", variant=100 + z, baseline=100.0, var_variant=0.5, var_baseline=0.5), StudentT()
    )


def metric(place: int, **more: object) -> MetricPlan:
    return MetricPlan(**{"name": f"m{place}", "kind": "mean", "role": "secondary"} | more)


def questions(*values: float | None, **more: object) -> list[Question]:
    return [
        Question(metric=metric(place, **more), segment=None, pair=None if z is None else pair(z))
        for place, z in enumerate(values)
    ]


def design(asked: list[Question], **settings: object) -> Plan:
    metrics = {one.metric.name: one.metric for one in asked}
    return plan(*metrics.values(), settings=Settings(**settings))


def correct(asked: list[Question], **settings: object) -> dict[int, Correction]:
    return corrected(design(asked, **settings), asked)


@pytest.mark.parametrize("correction", THEIRS)
@pytest.mark.parametrize("alternative", ["two-sided", "better"])
def test_adjusted_p_values_are_those_of_statsmodels(correction, alternative):
    sides = 1 if alternative == "better" else 2
    p = [10 ** pair(z).log10_p(sides) for z in Z]
    found = correct(questions(*Z), correction=correction, alternative=alternative)
    expected = multipletests(p, method=THEIRS[correction])[1]
    assert [found[place].p_adjusted for place in range(len(Z))] == pytest.approx(list(expected), rel=1e-12)
    assert {one.family for one in found.values()} == {"success (5)"}


@pytest.mark.parametrize("correction", ["holm", "hochberg"])
def test_two_sided_intervals_share_alpha_evenly(correction):
    found = correct(questions(*Z), correction=correction)
    for place, z in enumerate(Z):
        assert found[place].difference == pytest.approx(pair(z).difference(0.05 / 5), rel=1e-12)
        assert found[place].relative == pytest.approx(pair(z).relative(0.05 / 5), rel=1e-12)


@pytest.mark.parametrize("correction", ["benjamini_hochberg", "benjamini_yekutieli"])
def test_what_is_selected_has_an_interval_at_the_share_that_is_selected_and_all_else_none(correction):
    found = correct(questions(*Z), correction=correction)
    selected = [place for place in range(5) if found[place].p_adjusted <= 0.05]
    harmonic = 1 if correction == "benjamini_hochberg" else 1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5
    assert 0 < len(selected) < 5
    for place in range(5):
        bounds = found[place].difference
        if place not in selected:
            assert math.isnan(bounds.lower)
            continue
        assert bounds == pytest.approx(pair(Z[place]).difference(0.05 * len(selected) / 5 / harmonic))
        assert bounds.lower > 0 or bounds.upper < 0


def test_without_a_correction_nothing_is_changed_and_the_family_says_so():
    found = correct(questions(*Z), correction="none")
    for place, z in enumerate(Z):
        assert found[place].p_adjusted == pytest.approx(10 ** pair(z).log10_p())
        assert found[place].difference == pair(z).difference(0.05)
        assert found[place].family == "none"


@pytest.mark.parametrize("scale", ["difference", "relative"])
@pytest.mark.parametrize("direction", ["increase", "decrease"])
def test_one_sided_holm_has_bounds_that_agree_with_it(scale, direction):
    """Strassburger and Bretz 2008: 0 for what is rejected, alpha / (how many are not) for all else."""
    sign = 1 if direction == "increase" else -1
    asked = questions(*(sign * z for z in Z), direction=direction)
    found = correct(asked, alternative="better")
    open_side = [getattr(found[place], scale)[sign > 0] for place in range(5)]
    assert open_side == [sign * math.inf] * 5
    left = sum(one.p_adjusted > 0.05 for one in found.values())
    assert left == 4
    for place in range(5):
        bound = sign * getattr(found[place], scale)[sign < 0]
        if found[place].p_adjusted <= 0.05:
            assert bound == 0
        else:
            own = getattr(asked[place].pair, scale)(0.05 / left, 1)
            assert bound == pytest.approx(sign * own[sign < 0])
            assert bound < 0


def test_where_all_are_rejected_each_bound_is_at_an_equal_share():
    asked = questions(4.0, 5.0)
    found = correct(asked, alternative="better")
    for place in range(2):
        assert found[place].difference.lower == pytest.approx(asked[place].pair.difference(0.025, 1).lower)


def test_what_can_not_be_tested_keeps_its_place():
    nothing = msgspec.structs.replace(pair(1.0).contrast, var_variant=0.0, var_baseline=0.0)
    asked = questions(2.5, None, 1.0)
    asked[2] = msgspec.structs.replace(asked[2], pair=Linear(nothing, StudentT()))
    found = correct(asked)
    assert set(found) == {0}
    assert found[0].family == "success (3)"
    assert found[0].p_adjusted == pytest.approx(3 * 10 ** pair(2.5).log10_p())
    assert found[0].difference == pytest.approx(pair(2.5).difference(0.05 / 3))


def test_families_by_role_and_by_segment_and_guardrails_in_none():
    roles = ["primary", "secondary", "secondary", "guardrail", "quality"]
    asked = [
        Question(metric=metric(place, role=role), segment=None, pair=pair(2.5))
        for place, role in enumerate(roles)
    ]
    asked += [Question(metric=asked[3].metric, segment=f"device={name}", pair=pair(2.5)) for name in "ab"]
    found = correct(asked, families="role")
    assert {place: one.family for place, one in found.items()} == {
        0: "primary (1)", 1: "secondary (2)", 2: "secondary (2)", 5: "m3 by device (2)",
        6: "m3 by device (2)",
    }  # fmt: skip
    assert {one.family for place, one in correct(asked).items() if place < 3} == {"success (3)"}


def test_a_one_sided_plan_reads_guardrails_on_both_sides():
    tickets = MetricPlan(name="tickets", kind="proportion", role="guardrail", direction="decrease")
    one = plan(
        MetricPlan(name="bought", kind="proportion", role="primary"),
        tickets,
        settings=Settings(alternative="better"),
    )
    found = run(
        one, *bought(), cell("tickets", "A", share(400, 10_000)), cell("tickets", "B", share(480, 10_000))
    )
    head, harmed = (
        rows(found, metric=name, headline=True, scale="absolute")[0] for name in ("bought", "tickets")
    )
    assert (head.alternative, head.upper, head.upper_adjusted) == ("greater", None, None)
    assert (harmed.alternative, harmed.p_adjusted) == ("two-sided", None)
    assert harmed.lower < harmed.upper
    assert found.decision.verdict == "roll_back"


def test_a_named_test_without_a_value_is_undefined_and_decides_nothing():
    """Barnard's test does not go through arms of millions: no p-value is no significant one."""
    settings = Settings(proportions="barnard")
    found = run(plan(settings=settings), *bought(40_000, 60_000, 2_000_000))
    for row in rows(found, headline=True):
        assert (row.status, row.reasons[0]) == (Status.UNDEFINED, "not_defined")
        assert (row.p_value, row.p_adjusted, row.lower) == (None, None, None)
        assert row.estimate is not None
    assert found.decision.verdict == "inconclusive"


def test_family_wise_error_and_simultaneous_coverage_are_kept():
    """Five true nulls and one effect, 4,000 experiments: within 3.5 standard errors of alpha."""
    rng = np.random.default_rng(8)
    repeats, alpha = 4_000, 0.05
    errors = dict.fromkeys(("holm", "hochberg"), 0)
    missed = 0
    for z in rng.normal([0, 0, 0, 0, 0, 3.0], 1, (repeats, 6)):
        asked = questions(*z)
        for name in errors:
            found = correct(asked, correction=name)
            errors[name] += any(found[place].p_adjusted <= alpha for place in range(5))
        truths = (0, 0, 0, 0, 0, 3.0)
        held = [found[place].difference for place in range(6)]
        missed += any(not low <= truth <= high for truth, (low, high) in zip(truths, held, strict=True))
    highest = alpha + 3.5 * math.sqrt(alpha * (1 - alpha) / repeats)
    assert max(errors.values()) / repeats <= highest
    assert alpha / 2 <= missed / repeats <= highest
