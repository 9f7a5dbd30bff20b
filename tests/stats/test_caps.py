"""Caps: one order statistic over all variants, the same that SQL finds, and what it clipped."""

import math

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stats import contrasts, inference
from stats.caps import pooled_cap, winsorised
from stats.errors import StatsError
from stats.moments import Moments
from stats.references import StudentT, p_value
from tests.stats.conftest import outputs, param

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60)


def arms_of(case: dict) -> dict[str, np.ndarray]:
    return {name: np.array(values, dtype=float) for name, values in case["inputs"]["raw"].items()}


def capped_test(case: dict, cap: float) -> contrasts.Contrast:
    capped = winsorised(arms_of(case), cap).values
    return contrasts.difference_of_means(
        *(Moments.from_columns(capped[arm]) for arm in ("treatment", "control"))
    )


@param("winsorized", "winsor")
def test_the_cap_is_the_order_statistic_of_sql(case: dict):
    params = case["params"]
    for expected in outputs(case, "cap by numpy.quantile method='inverted_cdf'"):
        over = "nonzero" if params.get("ignore_zeros") else "all"
        assert pooled_cap(arms_of(case).values(), params["percentile"], over=over) == expected["cap_value"]


@param("winsorized", "winsor")
def test_with_their_cap_the_test_is_theirs(case: dict):
    """Caps that lie between order statistics; clipped units as tea-tasting's row counts them."""
    for call in ("numpy.quantile 'linear' pooled cap, Welch t", "uncapped, Welch t"):
        for expected in outputs(case, call, library="reference"):
            cap = expected.get("cap_value", math.inf)
            found = capped_test(case, cap)
            law = StudentT(found.df)
            assert found.estimate == pytest.approx(expected["estimate"], rel=1e-9)
            assert math.sqrt(found.variance_against(1.0)) == pytest.approx(expected["se"], rel=1e-9)
            assert found.df == pytest.approx(expected["df"], rel=1e-9)
            assert p_value(inference.log10_p(found, law)) == pytest.approx(expected["p_value"], rel=1e-9)
            interval = inference.difference_interval(found, law, case["params"]["alpha"])
            assert interval == pytest.approx(expected["ci"], rel=1e-9)
    for expected in outputs(case, "cap = "):
        clipped = winsorised(arms_of(case), expected["cap_value"])
        assert clipped.clipped == {
            "control": expected["n_capped_control"],
            "treatment": expected["n_capped_treatment"],
        }
        assert (
            clipped.clipped_share("control") == expected["n_capped_control"] / case["inputs"]["control"]["n"]
        )


@pytest.mark.parametrize("share", [0.01, 0.07, 0.29, 0.5, 0.56, 0.57, 0.9, 0.95, 0.99, 0.999, 1.0])
def test_every_cap_is_quantile_disc(share):
    """DuckDB, 1 to 300 values; NumPy's inverted_cdf is too high where a product rounds up, as 0.07 x 100."""
    with duckdb.connect() as connection:
        for n in range(1, 301):
            (expected,) = connection.execute(
                f"SELECT quantile_disc(value, {share}) FROM range(1, {n + 1}) AS t(value)"
            ).fetchone()
            assert pooled_cap([np.arange(1.0, n + 1)], share) == expected


@given(VALUES, VALUES, st.sampled_from([0.5, 0.9, 0.95, 0.999, 1.0]))
def test_the_cap_is_blind_to_the_variants(left, right, share):
    together = np.array(left + right)
    cap = pooled_cap([np.array(left), np.array(right)], share)
    assert cap == pooled_cap([together], share)
    assert cap in together
    assert (together <= cap).mean() >= share - 1e-12
    assert (together < cap).mean() < share


@given(VALUES, st.floats(-1e9, 1e9))
def test_clipping_changes_what_is_above_and_nothing_else(values, cap):
    array = np.array(values)
    found = winsorised({"a": array, "b": array[:0]}, cap)
    assert (found.values["a"] == np.where(array > cap, cap, array)).all()
    assert found.clipped["a"] == (array > cap).sum()
    assert math.isnan(found.clipped_share("b"))
    assert winsorised(found.values, cap).clipped == {"a": 0, "b": 0}


def test_zeros_are_left_out_where_that_is_asked():
    values = np.array([0.0] * 90 + list(range(1, 11)))
    assert pooled_cap([values], 0.9) == 0.0
    assert pooled_cap([values], 0.9, over="nonzero") == 9.0


def test_without_values_there_is_no_cap():
    assert math.isnan(pooled_cap([], 0.9))
    assert math.isnan(pooled_cap([np.zeros(5)], 0.9, over="nonzero"))
    with pytest.raises(StatsError, match="must be a number"):
        winsorised({"a": np.ones(3)}, math.nan)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_quantiles_lie_above_0_and_at_most_at_1(share):
    with pytest.raises(StatsError, match="above 0 and at most 1"):
        pooled_cap([np.ones(3)], share)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(StatsError, match="finite"):
        pooled_cap([np.array([1.0, value])], 0.9)


def test_capped_means_keep_their_level():
    """4,000 A/A tests of 300 Pareto values an arm, capped at P99; Monte-Carlo error 0.35 %.

    The cap is of both arms, so it does not tell them apart. Its own error is not in the interval, and need
    not be: under the null it moves both means alike.
    """
    draw = np.random.default_rng(5)
    runs, accepted = 4_000, 0
    for _ in range(runs):
        arms = {"v": draw.pareto(1.5, 300), "b": draw.pareto(1.5, 300)}
        capped = winsorised(arms, pooled_cap(arms.values(), 0.99)).values
        found = contrasts.difference_of_means(*(Moments.from_columns(one) for one in capped.values()))
        accepted += p_value(inference.log10_p(found, StudentT(found.df))) > 0.05
    assert accepted / runs == pytest.approx(0.95, abs=0.003 + 3 * math.sqrt(0.05 * 0.95 / runs))
