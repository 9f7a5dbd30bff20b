"""Numbers as people read them."""

import math

import pytest

from reports import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (math.nan, "—"), (3e-9, "< 0.0001"), (0.0, "< 0.0001"), (0.0312, "0.0312"), (0.5, "0.500")],
)
def test_a_p_value_is_never_zero(value, text):
    assert fmt.p_value(value) == text


@pytest.mark.parametrize(
    ("triple", "text"),
    [
        ((0.084, 0.031, 0.139), ("+8.4%", "+3.1% to +13.9%")),
        ((-0.001, -0.0021, 0.0001), ("−0.10%", "−0.21% to +0.01%")),
        ((0.05, 0.0004, 0.1), ("+5.00%", "+0.04% to +10.00%")),
        ((0.0, -0.01, 0.01), ("0.0%", "−1.0% to +1.0%")),
        ((0.05, None, None), ("+5.0%", "—")),
        ((0.05, 0.01, math.inf), ("+5.0%", "+1.0% to ∞")),
        ((None, None, None), ("—", "—")),
    ],
)
def test_a_lift_has_the_decimals_that_its_interval_deserves(triple, text):
    assert fmt.lift(*triple) == text


@pytest.mark.parametrize(
    ("kind", "unit", "mean", "difference"),
    [
        ("conversion", "units", "4.63%", ("+0.71 pp", "+0.44 to +0.98 pp")),
        ("revenue", "JPY", "0.0463 JPY", ("+0.0071 JPY", "+0.0044 to +0.0098 JPY")),
        ("count", "events", "0.0463", ("+0.0071", "+0.0044 to +0.0098")),
    ],
)
def test_values_are_written_in_the_unit_of_their_metric(kind, unit, mean, difference):
    scale = fmt.Scale(kind, unit)
    assert scale.value(0.046305) == mean
    assert scale.difference(0.0071, 0.0044, 0.0098) == difference


def test_thousands_small_shares_and_null_means():
    assert fmt.Scale("revenue", "USD").value(12345.678) == "12,345.68 USD"
    assert fmt.percent(0.000123) == "0.0123%"
    assert fmt.Scale("conversion", None).value(None) == "—"


@pytest.mark.parametrize(
    ("value", "text"), [(3811, "3,811"), (0.0123456789, "0.0123457"), (-2.5, "−2.5"), ("é", "é"), (None, "—")]
)
def test_raw_numbers_keep_six_digits(value, text):
    assert fmt.raw(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(3e-12, "< 0.01%"), (0.0617, "6.17%"), (0.99987, "99.99%"), (1.0, "> 99.99%"), (None, fmt.MISSING)],
)
def test_a_probability_is_never_none_or_all(value, text):
    assert fmt.probability(value) == text
