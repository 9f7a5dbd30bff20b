"""The verdict: broken data outrank results, guardrails outrank successes, and reasons are words."""

import datetime as dt
import math

import pytest
from scipy.stats import norm

from stats.analysis import MetricPlan, Settings, analyse, evidence
from stats.looks import Look, LookPlan, Taken, next_look
from stats.moments import Moments
from stats.results import Status, Verdict
from tests.stats.test_analysis import Analysis, Cell, bought, cell, plan, share

N = 20_000
PRIMARY = MetricPlan(name="bought", kind="proportion", role="primary")


def decide(*arms: tuple[MetricPlan, int, int], **more: object) -> Analysis:
    """Metrics with the successes of control and treatment out of 20,000 each."""
    cells: list[Cell] = [
        cell(metric.name, name, share(successes, N))
        for metric, *both in arms
        for name, successes in zip("AB", both, strict=True)
    ]
    changes = {"horizon": more.pop("horizon")} if "horizon" in more else {}
    counts = more.pop("counts", {"A": N, "B": N})
    design = plan(*(metric for metric, *_ in arms), **changes)
    return analyse(design, cells, counts=counts, as_of=None, **{"ended": True} | more)


def guardrail(margin: float | None = None, direction: str = "decrease") -> MetricPlan:
    return MetricPlan(name="tickets", kind="proportion", role="guardrail", direction=direction, margin=margin)


@pytest.mark.parametrize(
    ("arms", "verdict", "said"),
    [
        ([(PRIMARY, 2_000, 2_300)], Verdict.SHIP, "bought rose in B by 15.0%"),
        ([(PRIMARY, 2_300, 2_000)], Verdict.ROLL_BACK, "bought fell in B"),
        ([(PRIMARY, 2_000, 2_010)], Verdict.INCONCLUSIVE, "no primary metric"),
        ([(PRIMARY, 2_000, 2_300), (guardrail(), 400, 405)], Verdict.SHIP, "rose"),
        ([(PRIMARY, 2_000, 2_300), (guardrail(), 400, 520)], Verdict.ROLL_BACK, "tickets is worse"),
        ([(PRIMARY, 2_000, 2_300), (guardrail(), 520, 400)], Verdict.SHIP, "rose"),
        # With a margin it is not enough that nothing bad was seen: it must be shown to stay within.
        ([(PRIMARY, 2_000, 2_300), (guardrail(0.05), 400, 405)], Verdict.INCONCLUSIVE, "not shown to be"),
        ([(PRIMARY, 2_000, 2_300), (guardrail(0.3), 400, 405)], Verdict.SHIP, "rose"),
        ([(PRIMARY, 2_000, 2_300), (guardrail(0.05), 400, 620)], Verdict.ROLL_BACK, "than its margin"),
        # Significantly worse than nothing, but shown to stay within the margin.
        ([(PRIMARY, 2_000, 2_300), (guardrail(0.2), 10_000, 10_400)], Verdict.SHIP, "rose"),
    ],
)
def test_the_policy(arms, verdict, said):
    decision = decide(*arms).decision
    assert decision.verdict is verdict
    assert said in " ".join((decision.sentence, *decision.reasons))


def test_a_failed_split_outranks_every_result():
    found = decide((PRIMARY, 2_000, 2_600), counts={"A": 20_000, "B": 18_000})
    assert found.decision.verdict is Verdict.INVESTIGATE
    assert "sample ratio mismatch" in found.decision.reasons[0]


def test_a_split_that_nobody_counted_is_not_called_sound():
    """Aggregates may not say how many units were randomised; their results stand all the same."""
    found = decide((PRIMARY, 2_000, 2_300), counts=None)
    assert found.decision.verdict is Verdict.SHIP
    assert found.decision.reasons[-1] == "the split of the units was not tested"
    assert (found.srm.observed, found.srm.p_value, found.srm.failed) == ({}, None, False)
    assert decide((PRIMARY, 2_000, 2_300)).decision.reasons[-1] == "the units are split as planned"


def test_failed_checks_outrank_every_result():
    found = decide((PRIMARY, 2_000, 2_600), failed_checks=["9 exposures name an unknown variant"])
    assert found.decision.verdict is Verdict.INVESTIGATE
    assert found.decision.reasons == ("9 exposures name an unknown variant",)


def test_an_open_experiment_keeps_running_and_an_ended_one_is_inconclusive():
    running = decide((PRIMARY, 2_000, 2_010), horizon="anytime", ended=False).decision
    assert running.verdict is Verdict.KEEP_RUNNING
    assert decide((PRIMARY, 2_000, 2_010), horizon="anytime").decision.verdict is Verdict.INCONCLUSIVE
    assert decide((PRIMARY, 2_000, 2_600), ended=False).decision.verdict is Verdict.KEEP_RUNNING


def test_less_is_better_where_the_metric_says_so():
    metric = MetricPlan(name="latency", kind="mean", role="primary", direction="decrease")
    cells = [cell("latency", name, Moments(N, (mean,), ((1.0,),))) for name, mean in (("A", 5.0), ("B", 4.8))]
    found = analyse(plan(metric), cells, counts={"A": N, "B": N}, as_of=None, ended=True)
    assert found.decision.verdict is Verdict.SHIP
    assert "latency fell in B by 4.0%" in found.decision.sentence


def test_the_better_of_two_winners_is_shipped_and_the_harm_of_a_third_is_told():
    design = plan(PRIMARY, variants=("A", "B", "C", "D"), weights=dict.fromkeys("ABCD", 1.0))
    cells = [
        cell("bought", name, share(successes, N))
        for name, successes in (("A", 2_000), ("B", 2_250), ("C", 2_400), ("D", 1_700))
    ]
    decision = analyse(design, cells, counts=dict.fromkeys("ABCD", N), as_of=None, ended=True).decision
    assert (decision.verdict, decision.sentence[:7]) == (Verdict.SHIP, "Ship C:")
    assert any("fell in D" in reason for reason in decision.reasons)


def test_a_secondary_metric_alone_ships_nothing():
    secondary = MetricPlan(name="more", kind="proportion", role="secondary")
    found = decide((PRIMARY, 2_000, 2_010), (secondary, 2_000, 2_600))
    assert found.decision.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("control", "treatment", "verdict"),
    [
        (Moments(N, (1.0,), ((0.0,),)), Moments(N, (0.0,), ((0.0,),)), Verdict.INCONCLUSIVE),
        (Moments(0, (0.0,), ((0.0,),)), Moments(0, (0.0,), ((0.0,),)), Verdict.INCONCLUSIVE),
        (None, None, Verdict.INCONCLUSIVE),
        # Nothing ever happened in either arm: no sign of harm.
        (Moments(N, (0.0,), ((0.0,),)), Moments(N, (0.0,), ((0.0,),)), Verdict.SHIP),
        (Moments(N, (0.0,), ((0.0,),)), Moments(N, (1.0,), ((0.0,),)), Verdict.SHIP),
    ],
)
def test_a_guardrail_that_can_not_be_computed_does_not_ship(control, treatment, verdict):
    metric = MetricPlan(name="active", kind="mean", role="guardrail")
    cells = [cell("bought", "A", share(2_000, N)), cell("bought", "B", share(2_400, N))]
    if control is not None:
        cells += [cell("active", "A", control), cell("active", "B", treatment)]
    found = analyse(plan(PRIMARY, metric), cells, counts={"A": N, "B": N}, as_of=None, ended=True)
    assert found.decision.verdict is verdict
    assert ("can't be judged" in " ".join(found.decision.reasons)) == (verdict is not Verdict.SHIP)


def test_guardrails_are_spoken_of_only_where_there_are_some():
    assert "guardrail" not in decide((PRIMARY, 2_000, 2_400)).decision.sentence
    assert (
        "no guardrail is worse" in decide((PRIMARY, 2_000, 2_400), (guardrail(), 400, 400)).decision.sentence
    )


@pytest.mark.parametrize(
    ("correction", "said"),
    [
        ("holm", ", Holm, success (1))"),
        ("benjamini_hochberg", ", Benjamini-Hochberg, success (1))"),
        ("none", "(p 1.3e-06, not corrected)"),
    ],
)
def test_the_reasons_name_the_correction_that_was_used(correction, said):
    cells = [
        cell(PRIMARY.name, name, share(count, N)) for name, count in zip("AB", (2_000, 2_300), strict=True)
    ]
    design = plan(PRIMARY, settings=Settings(correction=correction))
    found = analyse(design, cells, counts={"A": N, "B": N}, as_of=None, ended=True)
    assert said in found.decision.reasons[0]


def test_what_a_look_has_shown_is_not_turned_round_by_a_later_estimate():
    design = plan(horizon="group_sequential", planned_units=40_000)
    then, now = bought(800, 1_000, 10_000), bought(1_600, 1_590, 15_000)
    look = Look(
        number=1, as_of=dt.date(2026, 3, 1), n=20_000, information=0.5, alpha_spent=0.003, boundary=2.96
    )
    taken = [Taken(look=look, evidence=evidence(design, then))]
    found = analyse(design, now, counts={"A": 15_000, "B": 15_000}, as_of=None, ended=False, taken=taken)
    head = next(row for row in found.results if row.headline)
    assert head.estimate < 0 < head.lower
    assert found.decision.verdict is Verdict.SHIP
    assert found.decision.sentence.startswith("Ship B: bought rose in B.")


def looked_at(*treated: int, planned: int = 3, metric: MetricPlan = PRIMARY) -> Analysis:
    """A group-sequential experiment by the metric's successes of treatment at looks of 20,000 more an arm."""
    design = plan(
        *dict.fromkeys((PRIMARY, metric)), horizon="group_sequential", planned_units=planned * 2 * N
    )
    looks = LookPlan(alpha=0.05, planned_units=planned * 2 * N, last_day=dt.date(2026, 1, planned))
    taken: list[Taken] = []
    for k, successes in enumerate(treated, 1):
        cells = [
            cell(one.name, arm, share(count, k * N))
            for one in design.metrics
            for arm, count in (("A", 2_000 * k), ("B", successes if one == metric else 2_000 * k))
        ]
        look = next_look([one.look for one in taken], looks, as_of=dt.date(2026, 1, k), n=2 * k * N)
        assert look is not None
        taken.append(Taken(look=look, evidence=evidence(design, cells)))
    counts = dict.fromkeys("AB", len(treated) * N)
    return analyse(design, cells, counts=counts, as_of=look.as_of, ended=look.final, taken=taken)


def test_looks_that_agree_on_the_side_alone_keep_it():
    """First +6 points, then +2 over all: not one effect, but never none."""
    found = looked_at(2_600, 4_400)
    heads = [row for row in found.results if row.headline]
    for row in heads:
        assert row.reasons[0] == "looks_disagree"
        assert row.upper is None
        assert row.lower > 0
    assert found.decision.verdict is Verdict.SHIP


def test_looks_that_contradict_each_other_decide_nothing():
    found = looked_at(2_600, 3_300)
    heads = [row for row in found.results if row.headline]
    assert len(heads) == 2
    for row in heads:
        assert (row.lower, row.upper, row.status) == (None, None, Status.OK)
        assert row.reasons[0] == "looks_disagree"
        assert row.p_value <= 0.05
    assert found.decision.verdict is Verdict.KEEP_RUNNING
    assert "its looks contradict each other" in found.decision.reasons[0]


def test_a_guardrail_is_judged_by_what_its_looks_have_shown():
    held = MetricPlan(name="tickets", kind="proportion", role="guardrail")
    assert looked_at(1_500, metric=held).decision.verdict is Verdict.ROLL_BACK
    assert looked_at(1_750, 4_010, metric=held).decision.verdict is Verdict.ROLL_BACK
    assert looked_at(2_600, 3_990, metric=held).decision.verdict is Verdict.KEEP_RUNNING
    contradicted = looked_at(1_500, 4_700, metric=held).decision
    assert contradicted.verdict is Verdict.KEEP_RUNNING
    assert "its looks contradict each other" in contradicted.reasons[0]


def test_futility_is_the_conditional_power_against_the_boundary_of_the_final_look():
    """Lan and Wittes 1988, with 1.9686: gsDesign's and rpact's final boundary of two looks at halves."""
    found = looked_at(2_040, planned=2)
    (finding,) = (one for one in found.findings if one.name.startswith("futility"))
    p, q = 0.102, 0.1
    z = (p - q) / math.sqrt((p * (1 - p) + q * (1 - q)) / N)
    power = norm.sf((1.9686 - z / math.sqrt(0.5)) / math.sqrt(0.5))
    assert finding.numbers["conditional_power"] == pytest.approx(power, rel=1e-4)
    assert finding.numbers["information"] == 0.5
