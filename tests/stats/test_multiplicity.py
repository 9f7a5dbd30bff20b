"""Multiplicity: other engines' adjusted p-values, published examples, and simulated error rates."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from stats.errors import StatsError
from stats.multiplicity import (
    PROCEDURES,
    benjamini_hochberg,
    benjamini_yekutieli,
    by_family,
    fcr_alphas,
    hochberg,
    holm,
    holm_lower_bounds,
    preferred_levels,
    role_levels,
)
from tests.stats.conftest import outputs, param

QUANTILES = {0.05 / m: float(scipy_stats.norm.isf(0.05 / m)) for m in (1, 2, 3)}
P_VALUES = st.lists(st.floats(0, 1), max_size=30)
ADJUSTMENTS = {
    "statsmodels multipletests(method='holm',": holm,
    "statsmodels multipletests(method='simes-hochberg'": hochberg,
    "statsmodels multipletests(method='fdr_bh'": benjamini_hochberg,
    "statsmodels multipletests(method='fdr_by'": benjamini_yekutieli,
    "tt.adjust_fdr(alpha=0.05, {'arbitrary_dependence': False})": benjamini_hochberg,
    "tt.adjust_fdr(alpha=0.05, {'arbitrary_dependence': True})": benjamini_yekutieli,
    "tt.adjust_fwer(alpha=0.05, {'arbitrary_dependence': True, 'method': 'bonferroni'})": holm,
    "tt.adjust_fwer(alpha=0.05, {'arbitrary_dependence': False, 'method': 'bonferroni'})": hochberg,
}


@param("multiplicity")
def test_adjusted_p_values_of_other_engines(case: dict):
    if "pvalues" not in case["inputs"]:
        pytest.skip(f"{case['id']} is about metric roles")
    for call, procedure in ADJUSTMENTS.items():
        (expected,) = outputs(case, call)
        found = procedure(case["inputs"]["pvalues"])
        assert found == pytest.approx(expected["p_adjusted"], rel=1e-9)
        assert [p <= case["inputs"]["alpha"] for p in found] == expected["rejected"]


def test_the_example_of_benjamini_and_hochberg():
    """JRSS-B 57:289, section 4: of 15, their procedure rejects 4, Hochberg's 3, Bonferroni's 3."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
         0.6528, 0.7590, 1.0]  # fmt: skip
    rejected = {name: sum(each <= 0.05 for each in procedure(p)) for name, procedure in PROCEDURES.items()}
    assert rejected == {"holm": 3, "hochberg": 3, "benjamini_hochberg": 4, "benjamini_yekutieli": 3}
    assert sum(each <= 0.05 / 15 for each in p) == 3


@given(P_VALUES)
@settings(deadline=None)
def test_procedures_keep_the_order_and_each_other(p):
    found = {name: procedure(p) for name, procedure in PROCEDURES.items()}
    for adjusted in found.values():
        assert all(1 >= a >= raw for a, raw in zip(adjusted, p, strict=True))
        for i in range(len(p)):
            assert all(adjusted[i] <= adjusted[j] for j in range(len(p)) if p[i] < p[j])
            assert all(adjusted[i] == adjusted[j] for j in range(len(p)) if p[i] == p[j])
    for smaller, larger in (
        ("hochberg", "holm"),
        ("benjamini_hochberg", "hochberg"),
        ("benjamini_hochberg", "benjamini_yekutieli"),
    ):
        assert all(a <= b + 1e-15 for a, b in zip(found[smaller], found[larger], strict=True))


@given(P_VALUES, st.integers(0, 30))
@settings(deadline=None)
def test_a_test_that_is_not_defined_counts_in_no_family(p, place):
    place = min(place, len(p))
    for procedure in PROCEDURES.values():
        found = procedure([*p[:place], math.nan, *p[place:]])
        assert math.isnan(found.pop(place))
        assert found == procedure(p)


def test_families_are_adjusted_on_their_own():
    p = {("a", "B"): 0.01, ("a", "C"): 0.02, ("b", "B"): math.nan, ("g", "B"): 0.03, ("g", "C"): 0.2,
         ("s", "B"): 0.5}  # fmt: skip
    families = {key: {"a": "success", "b": "success", "g": "guardrail"}[key[0]] for key in p if key[0] != "s"}
    found = by_family(p, families)
    assert found[("a", "B")] == (0.02, "success (2)", 2)
    assert found[("g", "B")] == (0.06, "guardrail (2)", 2)
    assert math.isnan(found[("b", "B")].p_adjusted)
    assert ("s", "B") not in found
    assert by_family(p, families, hochberg)[("a", "B")].p_adjusted == 0.02
    assert by_family({}, {}) == {}


def test_intervals_of_what_is_selected():
    """R = 4 of the 15 of Benjamini and Hochberg's example: level 4 x 0.05 / 15."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
         0.6528, 0.7590, 1.0]  # fmt: skip
    found = fcr_alphas(p, 0.05)
    assert found[:4] == [4 * 0.05 / 15] * 4
    assert np.isnan(found[4:]).all()
    assert all(raw <= level for raw, level in zip(p[:4], found[:4], strict=True))
    assert np.isnan(fcr_alphas([0.5, math.nan], 0.05)).all()
    assert fcr_alphas([0.04, math.nan], 0.05)[0] == 0.05
    assert fcr_alphas([], 0.05) == []


@pytest.mark.parametrize("spread", [0.0, 1.0, 3.0])
def test_of_the_selected_intervals_few_miss(spread):
    """False coverage rate at most q, where unadjusted intervals of what is selected miss far more often."""
    draw, runs, m, q = np.random.default_rng(2), 3_000, 20, 0.1
    adjusted, plain = [], []
    for _ in range(runs):
        truth = draw.normal(0, spread, m)
        z = truth + draw.normal(0, 1, m)
        levels = np.array(fcr_alphas(2 * scipy_stats.norm.sf(np.abs(z)), q))
        selected = ~np.isnan(levels)
        miss = np.abs(z - truth)[selected]
        count = max(1, selected.sum())
        half = scipy_stats.norm.isf(levels[selected] / 2)
        assert (np.abs(z[selected]) >= half - 1e-12).all()  # none of them contains 0
        adjusted.append((miss > half).sum() / count)
        plain.append((miss > scipy_stats.norm.isf(q / 2)).sum() / count)
    assert np.mean(adjusted) <= q + 4 * np.std(adjusted) / math.sqrt(runs)
    if spread == 1:
        assert np.mean(plain) > 2 * q


def test_lower_bounds_are_those_of_gmcp():
    """R package gMCPLite, example of simConfint: Holm over three t tests at a one-sided 0.025."""
    estimate, sd = [0.860382, 0.9161474, 0.9732953], [0.8759528, 1.291310, 0.8570892]

    def bound(place: int, level: float) -> float:
        return estimate[place] - scipy_stats.t.isf(level, 9) * sd[place] / math.sqrt(10)

    found = holm_lower_bounds([0.01260 / 2, 0.05154 / 2, 0.02124 / 2], 0.025, bound)
    assert found == pytest.approx([0.0, -0.007600126, 0.0], abs=5e-10)


@given(
    st.lists(st.floats(-2, 6), min_size=1, max_size=8),
    st.sampled_from([0.025, 0.1]),
    st.sampled_from([0.0, -1.0]),
)
@settings(deadline=None)
def test_lower_bounds_reach_the_null_exactly_where_holm_rejects(z, alpha, null):
    p = [float(scipy_stats.norm.sf(each - null)) for each in z]
    found = holm_lower_bounds(p, alpha, lambda i, level: z[i] - scipy_stats.norm.isf(level), null=null)
    adjusted = holm(p)
    for lower, each in zip(found, adjusted, strict=True):
        if abs(each - alpha) > 1e-9:
            assert (lower >= null) == (each < alpha)
    plain = [each - scipy_stats.norm.isf(alpha / len(z)) for each in z]
    for lower, each, simple in zip(found, adjusted, plain, strict=True):
        if each > alpha:
            assert lower >= simple - 1e-12  # tighter than Bonferroni's where something is open
    undefined = holm_lower_bounds([*p, math.nan], alpha, lambda i, level: z[i] - scipy_stats.norm.isf(level),
                                  null=null)  # fmt: skip
    assert undefined[:-1] == found
    assert math.isnan(undefined[-1])


@pytest.mark.parametrize("effects", [(0.0, 0.0, 0.0), (3.0, 0.1, -1.0), (0.2, 0.4, 5.0), (4.0, 4.0, 4.0)])
def test_all_lower_bounds_hold_at_once(effects):
    draw, runs, alpha = np.random.default_rng(4), 20_000, 0.05
    z = draw.normal(effects, 1, (runs, 3))
    held = 0
    for row in z:
        p = [0.5 * math.erfc(x / math.sqrt(2)) for x in row]
        found = holm_lower_bounds(p, alpha, lambda i, level, at=row: at[i] - QUANTILES[level])
        held += all(lower < true for lower, true in zip(found, effects, strict=True))
    error = math.sqrt(alpha * (1 - alpha) / runs)
    assert held / runs >= 1 - alpha - 4 * error
    if effects == (0.0, 0.0, 0.0):
        assert held / runs < 1 - alpha + 0.01


def test_alpha_is_split_over_success_metrics_only():
    roles = {"orders": "primary", "revenue": "secondary", "latency": "guardrail", "errors": "guardrail",
             "returns": "guardrail", "surveys": "quality"}  # fmt: skip
    found = role_levels(roles, alpha=0.05, beta=0.2)
    assert found.alpha == {"orders": 0.025, "revenue": 0.025, "latency": 0.05, "errors": 0.05,
                           "returns": 0.05, "surveys": 0.05}  # fmt: skip
    assert found.beta == 0.05
    assert role_levels(roles, alpha=0.05, beta=0.2, comparisons=2).alpha["orders"] == 0.0125
    only = role_levels({"latency": "guardrail", "errors": "guardrail"}, alpha=0.05, beta=0.2)
    assert (only.alpha["errors"], only.beta) == (0.05, 0.1)
    assert role_levels({}, alpha=0.05, beta=0.2).beta == 0.2


def test_the_decision_errs_as_often_as_alpha_and_beta_say():
    """Two success metrics and three guardrails, all independent and at their worst."""
    draw, runs, alpha, beta = np.random.default_rng(5), 200_000, 0.05, 0.2
    levels = role_levels({"a": "primary", "b": "secondary", "x": "guardrail", "y": "guardrail",
                          "z": "guardrail"}, alpha=alpha, beta=beta)  # fmt: skip
    cut = np.array([scipy_stats.norm.isf(level) for level in levels.alpha.values()])
    shift = cut + scipy_stats.norm.isf(levels.beta)  # what each test is planned to find

    def ships(means: np.ndarray) -> float:
        better = draw.normal(means, 1, (runs, 5)) > cut
        return float((better[:, :2].any(axis=1) & better[:, 2:].all(axis=1)).mean())

    error = 4 * math.sqrt(0.25 / runs)
    safe = np.array([0, 0, 9, 9, 9])  # nothing to gain, nothing to lose: alpha is used up
    assert ships(safe) == pytest.approx(1 - (1 - alpha / 2) ** 2, abs=error)
    harmed = np.array([9, 9, 9, 9, 0])  # a guardrail at its margin
    assert ships(harmed) == pytest.approx(alpha, abs=error)
    planned = np.where([True, False, True, True, True], shift, 0)  # one success, as planned
    assert 1 - beta - error < ships(planned) < 1 - beta + 0.03


def test_statsigs_example_of_preferred_metrics():
    """60 % of 0.05 for 2 primary metrics, the rest for 4 others: 0.015 and 0.005; two groups halve both."""
    roles = dict.fromkeys("ab", "primary") | dict.fromkeys("cdef", "secondary")
    found = preferred_levels(roles, alpha=0.05, share=0.6)
    assert [found["a"], found["f"]] == pytest.approx([0.015, 0.005])
    assert math.fsum(found.values()) == pytest.approx(0.05)
    halved = preferred_levels(roles, alpha=0.05, share=0.6, comparisons=2)
    assert [halved["b"], halved["c"]] == pytest.approx([0.0075, 0.0025])
    assert preferred_levels({"a": "primary"}, alpha=0.05, share=0.6) == {"a": 0.05}
    assert preferred_levels({"a": "guardrail"}, alpha=0.05, share=0.6) == {"a": 0.05}


def test_arguments_without_meaning_are_refused():
    for p in ([-0.1], [1.1], [0.5, math.inf]):
        for procedure in PROCEDURES.values():
            with pytest.raises(StatsError):
                procedure(p)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(StatsError):
            fcr_alphas([0.1], level)
        with pytest.raises(StatsError):
            holm_lower_bounds([0.1], level, lambda _place, _level: 0.0)
        with pytest.raises(StatsError):
            role_levels({"a": "primary"}, alpha=level, beta=0.2)
        with pytest.raises(StatsError):
            role_levels({"a": "primary"}, alpha=0.05, beta=level)
        with pytest.raises(StatsError):
            preferred_levels({"a": "primary"}, alpha=0.05, share=level)
    with pytest.raises(StatsError):
        role_levels({"a": "star"}, alpha=0.05, beta=0.2)
    for levels in (role_levels, preferred_levels):
        rest = {"beta": 0.2} if levels is role_levels else {"share": 0.6}
        with pytest.raises(StatsError):
            levels({"a": "primary"}, alpha=0.05, comparisons=0, **rest)
