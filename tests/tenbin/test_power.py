"""`tenbin power`: what is missing is what is asked, and the answer says on what it rests."""

import io
import json
import math

import msgspec
import numpy as np
import pytest
from rich.console import Console

from stats.errors import StatsError
from stats.moments import Moments
from tenbin.failures import sentence_of
from tenbin.power import History, PowerError, PowerRequest, plan, to_json
from tenbin.show_power import show_power


def printed(request: PowerRequest, width: int = 100) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    show_power(plan(request), console)
    return console.export_text()


def test_an_effect_asks_for_units():
    """10 % to 11 %: 14,748.045 units per arm (unpooled), 14,750.79 as R's power.prop.test has it."""
    found = plan(PowerRequest(rate=0.1, lift=0.1))
    assert found.question == "sample_size"
    assert found.answer.units == 29_498
    assert found.answer.per_arm == (14_749, 14_749)
    assert found.sentence == "29,498 units show a lift of +10% with 80% power."
    assert plan(PowerRequest(rate=0.1, difference=0.01, method="z_pooled")).answer.units == 29_502


def test_units_ask_for_the_effect_that_they_show():
    found = plan(PowerRequest(rate=0.1, units=29_498))
    assert found.question == "detectable_effect"
    assert found.answer.lift == pytest.approx(0.1, rel=1e-4)
    assert found.answer.difference == pytest.approx(0.01, rel=1e-4)
    assert found.sentence.startswith("29,498 units show a lift of +10% or more")


def test_both_ask_for_the_power():
    """?power.t.test: 20 per arm, one standard deviation: .8689528."""
    found = plan(PowerRequest(mean=0.0, sd=1.0, difference=1.0, units=40))
    assert found.question == "power"
    assert found.answer.power == pytest.approx(0.8689528, abs=5e-8)
    assert found.answer.lift is None  # of a mean of 0 there is none
    assert found.sentence == "40 units show a difference of +1 with 86.9% power."


def test_a_margin_alone_asks_for_what_shows_non_inferiority_of_no_effect():
    found = plan(PowerRequest(rate=0.1, margin=0.02))
    assert found.question == "sample_size"
    assert found.alpha_per_test == 0.025
    assert found.answer.units == pytest.approx(692_412.47, abs=2)
    assert "non-inferiority within 2% at no true effect" in found.sentence
    assert found.assumptions[0] == "one-sided test at 0.025"


@pytest.mark.parametrize(
    ("request_", "sign"),
    [
        (PowerRequest(rate=0.1, units=5_000, decrease=True), -1),
        (PowerRequest(rate=0.1, units=5_000), 1),
        (PowerRequest(rate=0.1, lift=-0.2), -1),
    ],
)
def test_effects_have_a_direction(request_, sign):
    assert math.copysign(1, plan(request_).answer.lift) == sign


def test_days_are_units_that_are_mature_by_then():
    found = plan(PowerRequest(rate=0.1, days=21, daily_units=3_000, window_days=7))
    assert (found.answer.units, found.answer.days) == (42_000, 21)
    assert plan(PowerRequest(rate=0.1, units=10_001)).answer.per_arm == (5_000, 5_000)
    size = plan(PowerRequest(rate=0.1, lift=0.05, daily_units=3_000, window_days=7))
    assert size.answer.days == math.ceil(size.answer.units / 3_000) + 7


def test_alpha_is_split_over_metrics_and_variants_and_the_lightest_variant_decides():
    found = plan(PowerRequest(rate=0.1, lift=0.05, weights=(2, 1, 1), metrics=2))
    assert found.alpha_per_test == 0.05 / 4
    assert found.answer.per_arm[0] == pytest.approx(2 * found.answer.per_arm[1], abs=2)
    assert found.answer.per_arm[1] == found.answer.per_arm[2]
    assert "alpha 0.05 over 4 comparisons" in found.assumptions[0]


def test_a_metrics_past_gives_mean_noise_covariate_and_arrivals():
    draw = np.random.default_rng(1)
    before = draw.gamma(2, 5, 20_000)
    spent = before + draw.normal(0, 3, 20_000)
    history = History(
        metric="spent", kind="mean", moments=Moments.from_columns(spent, before), daily_units=500.0
    )
    found = plan(PowerRequest(lift=0.02), history)
    assert (found.mean, found.sd) == pytest.approx((spent.mean(), spent.std(ddof=1)), rel=1e-9)
    assert found.correlation == pytest.approx(np.corrcoef(spent, before)[0, 1], rel=1e-9)
    given = PowerRequest(mean=found.mean, sd=found.sd, correlation=found.correlation, lift=0.02)
    assert found.answer.units == plan(given).answer.units
    assert found.answer.days == math.ceil(found.answer.units / 500)
    other = plan(PowerRequest(lift=0.02, daily_units=1_000.0), history)
    assert other.answer.days == math.ceil(found.answer.units / 1_000)


def test_looks_multiply_the_units():
    """Lan and DeMets' O'Brien-Fleming at 80 %: 1.04 with 14 daily looks (a table of simulated designs)."""
    fixed = plan(PowerRequest(rate=0.1, lift=0.05)).answer.units
    group = plan(PowerRequest(rate=0.1, lift=0.05, horizon="group_sequential", looks=14))
    assert group.answer.units / fixed == pytest.approx(1.04, abs=5e-3)
    assert any("14 looks: at most 1.042 times the units" in phrase for phrase in group.assumptions)
    once = plan(PowerRequest(rate=0.1, lift=0.05, horizon="group_sequential", looks=1))
    assert once.answer.units == fixed


def test_an_anytime_horizon_is_tuned_for_what_it_asks():
    """Its boundary is 3.035 there (Waudby-Smith and others 2024), where a fixed test's is 1.960."""
    fixed = plan(PowerRequest(rate=0.1, lift=0.05)).answer.units
    request = PowerRequest(rate=0.1, lift=0.05, horizon="anytime")
    units = plan(request).answer.units
    assert units / fixed == pytest.approx(((3.035 + 0.8416) / (1.9600 + 0.8416)) ** 2, abs=2e-3)
    back = plan(msgspec.structs.replace(request, lift=None, units=float(units)))
    assert back.answer.lift == pytest.approx(0.05, rel=1e-4)
    assert any(f"tightest at {units:,} units" in phrase for phrase in back.assumptions)


def test_what_the_past_says_is_used_unless_it_is_said_otherwise():
    history = History(
        metric="lost", kind="proportion", moments=Moments(1_000, (0.1,), ((0.09009,),)),
        daily_units=100.0, window_days=7.0, decrease=True, source="a control",
    )  # fmt: skip
    found = plan(PowerRequest(days=21), history)
    assert (found.answer.units, found.answer.lift < 0) == (1_400, True)
    assert "mean, noise and arrivals of a control" in found.assumptions
    assert plan(PowerRequest(days=21, window_days=0, daily_units=50), history).answer.units == 1_050
    assert plan(PowerRequest(days=21, correlation=0.5), history).correlation == 0.5


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (PowerRequest(rate=0.9, units=50), "the rate would have to pass 0 or 1"),
        (PowerRequest(rate=0.9, lift=0.3), "A rate of 0.9 can't move by +0.3 (relative)."),
        (PowerRequest(rate=0.9, lift=0.3, units=900), "A rate of 0.9 can't move by +0.3 (relative)."),
        (PowerRequest(mean=1.0, sd=9.0, units=30), "the control's own mean is not told from 0"),
        (PowerRequest(rate=0.1, units=3), "an arm has fewer than two"),
        (PowerRequest(rate=0.1, lift=0.1, units=2), "2 units are too few for a test"),
        (PowerRequest(rate=0.1, lift=0.0), "An effect of 0 is no effect to show"),
        (PowerRequest(rate=0.1, margin=0.02, lift=-0.03), "at or beyond the margin"),
    ],
)
def test_where_there_is_no_answer_it_says_why(request_, said):
    found = plan(request_)
    assert found.answer is None
    assert found.around == ()
    assert said in found.sentence


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (PowerRequest(rate=0.1), "say what effect is worth showing"),
        (PowerRequest(lift=0.1), "describe the metric in one way"),
        (PowerRequest(rate=0.1, mean=3.0, sd=1.0, lift=0.1), "describe the metric in one way"),
        (PowerRequest(mean=3.0, lift=0.1), "both --mean and --sd"),
        (PowerRequest(mean=3.0, sd=-1.0, lift=0.1), "--sd -1 a finite number above 0"),
        (PowerRequest(rate=1.0, lift=0.1), "--rate 1 must lie between 0 and 1"),
        (PowerRequest(rate=0.1, lift=0.1, difference=0.01), "not both"),
        (PowerRequest(rate=0.1, days=7), "--days 7 needs --daily-units"),
        (PowerRequest(rate=0.1, days=7, daily_units=10, units=5), "not both"),
        (
            PowerRequest(rate=0.1, days=7, daily_units=10, window_days=7),
            "not longer than the window of 7 days",
        ),
    ],
)
def test_what_can_not_be_asked_is_refused_in_one_sentence(request_, said):
    with pytest.raises(PowerError) as error:
        plan(request_)
    assert said in sentence_of(error.value)


def test_settings_without_meaning_are_refused_in_one_sentence():
    with pytest.raises(StatsError) as error:
        plan(PowerRequest(rate=0.1, lift=0.1, power=1.5))
    assert "power must lie between 0 and 1" in sentence_of(error.value)


def test_the_table_has_smaller_and_larger_effects():
    text = printed(PowerRequest(rate=0.1, lift=0.1, daily_units=1_000, guardrails=2, correlation=0.5))
    lines = text.splitlines()
    assert lines[1].startswith("Units per arm, control first: ")
    assert [line.split()[0] for line in lines[4:9]] == ["+5.00%", "+7.50%", "+10.00%", "+15.00%", "+20.00%"]
    units = [int(line.split()[2].replace(",", "")) for line in lines[4:9]]
    assert units == sorted(units, reverse=True)
    assert "a covariate with correlation 0.5 takes away 25% of the variance" in text
    assert "power 0.9333 for each metric (guardrails: 2)" in text
    assert "days" not in printed(PowerRequest(rate=0.1, lift=0.1))


def test_json_is_one_object_with_twelve_digits():
    text = to_json(plan(PowerRequest(rate=0.1, lift=0.1)))
    assert text == to_json(plan(PowerRequest(rate=0.1, lift=0.1)))
    found = json.loads(text)
    assert found["answer"]["difference"] == 0.01
    assert list(found) == [
        "question", "sentence", "answer", "around", "mean", "sd", "correlation", "method", "alpha_per_test",
        "assumptions",
    ]  # fmt: skip
    assert found["method"] == "z_unpooled"
