"""Spending functions: published values, their ends, and what a changed plan does to what is left."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats.errors import StatsError
from stats.spending import HwangShihDeCani, OBrienFleming, Pocock, Power, Spending, increments

FUNCTIONS = [OBrienFleming(), Pocock(), Power(2.0), Power(0.5), HwangShihDeCani(-4.0), HwangShihDeCani(1.0)]
SPENDING = st.sampled_from(FUNCTIONS)


@pytest.mark.parametrize(
    ("spending", "expected"),
    [
        (OBrienFleming(), [0.0001035057, 0.0060483891, 0.025]),
        (Pocock(), [0.01132081, 0.01908456, 0.025]),
    ],
)
def test_lan_and_demets_as_gsdesign_has_them(spending, expected):
    """As sfLDOF and sfLDPocock at one-sided 0.025, as printed in graphicalMCP's validation."""
    assert spending.spent(0.025, np.array([1 / 3, 2 / 3, 1])) == pytest.approx(expected, abs=5e-9)


def test_hwang_shih_decani_as_gsdesign_has_it():
    """The cumulative crossing probabilities of gsDesign's snapshot: gamma -4, five looks, 0.025."""
    found = HwangShihDeCani(-4).spent(0.025, np.arange(1, 6) / 5)
    assert found == pytest.approx([0.0006, 0.0018, 0.0047, 0.0110, 0.0250], abs=5e-5)


def test_the_power_family():
    assert Power(3.0).spent(0.05, np.array([0.1, 0.5])) == pytest.approx([0.00005, 0.00625], rel=1e-12)


@given(SPENDING, st.floats(1e-12, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_spending_begins_with_nothing_ends_with_alpha_and_only_grows(spending, alpha, one, other):
    assert spending.spent(alpha, 0.0) == 0
    assert spending.spent(alpha, 1.0) == pytest.approx(alpha, rel=1e-12)
    assert spending.spent(alpha, 1.7) == spending.spent(alpha, 1.0)  # an overrun spends no more
    low, high = sorted((one, other))
    assert 0 <= spending.spent(alpha, low) <= spending.spent(alpha, high) <= alpha * (1 + 1e-12)


def test_hwang_shih_decani_goes_over_into_the_linear_function():
    assert HwangShihDeCani(0).spent(0.05, 0.3) == pytest.approx(0.015, rel=1e-12)
    assert HwangShihDeCani(1e-9).spent(0.05, 0.3) == pytest.approx(0.015, rel=1e-8)


@pytest.mark.parametrize("meaningless", [0.0, -1.0, math.nan, math.inf])
def test_a_power_must_be_positive(meaningless):
    with pytest.raises(StatsError, match="must be positive"):
        Power(meaningless)


@pytest.mark.parametrize("meaningless", [41.0, -41.0, math.nan])
def test_gamma_has_a_range(meaningless):
    with pytest.raises(StatsError, match="between -40 and 40"):
        HwangShihDeCani(meaningless)


@pytest.mark.parametrize("spending", FUNCTIONS, ids=repr)
def test_a_spending_function_survives_json(spending):
    assert msgspec.json.decode(msgspec.json.encode(spending), type=Spending) == spending


@pytest.mark.parametrize("spending", FUNCTIONS, ids=repr)
def test_while_the_plan_stands_a_look_spends_what_the_function_grows_by(spending):
    n = [1_000, 2_500, 7_000, 9_990]
    found = increments(spending, 0.025, n, [units / 10_000 for units in n])
    expected = np.diff(spending.spent(0.025, np.array(n) / 10_000), prepend=0)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_larger_plan_slows_down_what_is_left():
    """By hand: half of a linear plan is spent; of the new plan 1/4 is behind and 2/5 reached now."""
    found = increments(Power(1.0), 0.05, [500, 800], [0.5, 0.4])
    assert found == pytest.approx([0.025, 0.025 * (0.4 - 0.25) / (1 - 0.25)], rel=1e-12)


def test_the_final_look_spends_the_rest_whatever_was_planned():
    found = increments(OBrienFleming(), 0.025, [300, 700], [0.3, 1.0])
    assert found.sum() == pytest.approx(0.025, rel=1e-15)
    shrunk = increments(Pocock(), 0.025, [900, 950], [0.09, 1.0])  # the plan fell below what was there
    assert shrunk.sum() == pytest.approx(0.025, rel=1e-15)


@given(
    SPENDING,
    st.floats(1e-9, 0.3),
    st.lists(st.tuples(st.floats(0.001, 2), st.floats(0.001, 0.999)), min_size=1, max_size=8),
)
def test_no_change_of_plan_spends_more_than_alpha(spending, alpha, steps):
    n = np.cumsum([growth for growth, _ in steps]).tolist()
    found = increments(spending, alpha, n, [share for _, share in steps])
    assert np.all(found >= 0)
    assert found.sum() <= alpha * (1 + 1e-12)
