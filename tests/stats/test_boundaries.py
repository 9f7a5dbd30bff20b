"""Boundaries to the published tables and to other engines; their recursion against independent integrals."""

import json
import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special
from scipy import stats as scipy_stats

from stats.boundaries import (
    LEAST_GROWTH,
    OBRIEN_FLEMING,
    POCOCK,
    Region,
    exit_probabilities,
    futility_boundary,
    spending_boundary,
    wang_tsiatis,
)
from stats.errors import StatsError
from stats.spending import HwangShihDeCani, OBrienFleming, Pocock, Power, Spending
from tests.stats.conftest import VECTORS, outputs, param


def equal(looks: int) -> np.ndarray:
    return np.arange(1, looks + 1) / looks


def boundary(spending: Spending, t, alpha: float, sides=2) -> np.ndarray:
    """The boundary of one spending function on a plan that stands; alpha over all sides."""
    t = np.asarray(t, dtype=float)
    return spending_boundary(t, np.diff(spending.spent(alpha / sides, t), prepend=0), sides)


def spending_of(inputs: dict) -> Spending:
    return {
        "ldobf": OBrienFleming(),
        "ldpocock": Pocock(),
        "power": Power(inputs.get("phi", 1.0)),
        "hsd": HwangShihDeCani(inputs.get("gamma", 0.0)),
    }[inputs["design"]]


def published(name: str) -> dict:
    path = VECTORS / "reference_numbers.json"
    if not path.is_file():
        pytest.skip("../shared/stats-vectors/reference_numbers.json is not there")
    entries = json.loads(path.read_text(encoding="utf-8"))["references"]
    return next(entry for entry in entries if entry["id"] == name)


@param("group_sequential")
def test_vectors(case):
    inputs = case["inputs"]
    if "t" in inputs:
        t, sides, spending = inputs["t"], inputs["sides"], spending_of(inputs)
        of_sides = {1: "upper bound only", 2: "two-sided symmetric region"}
        for side, call in of_sides.items():
            for expected in outputs(case, f"independent recursion, {call}"):
                steps = np.diff(spending.spent(inputs["alpha"] / sides, np.array(t)), prepend=0)
                # The vectors print 1/14 with 12 digits, and 1 minus that is not what they computed with.
                assert np.cumsum(steps) == pytest.approx(expected["cumulative_alpha_per_side"], rel=1e-9)
                found = spending_boundary(np.array(t), steps, side)
                assert found == pytest.approx(expected["z_bounds"], abs=1e-6)
        for expected in outputs(case, "sequential_bound_solver.bounds"):
            found = boundary(spending, t, inputs["alpha"], sides)
            assert found == pytest.approx(expected["z_bounds"], abs=2e-4)
    elif "ks" in inputs:
        (expected,) = outputs(case, "independent recursion")
        for looks in inputs["ks"]:
            if inputs["design"] == "naive":
                z = -special.ndtri(inputs["alpha"] / 2)
                exits = exit_probabilities(Region.of(equal(looks), np.full(looks, z)))
                assert np.sum(exits) == pytest.approx(expected[str(looks)], abs=1e-9)
            else:
                shape = {"pocock": POCOCK, "obf": OBRIEN_FLEMING}[inputs["design"]]
                found = wang_tsiatis(equal(looks), inputs["alpha"], shape, inputs["sides"])
                assert found[-1] == pytest.approx(expected[str(looks)], abs=1e-6)
    else:
        (expected,) = outputs(case, "independent recursion (power family rho=2")
        found = boundary(Power(2.0), expected["information"], 0.05)
        assert found == pytest.approx(expected["z_bounds"], abs=1e-6)
        assert 2 * special.ndtr(-found) == pytest.approx(expected["adjusted_alpha"], abs=1e-6)


@pytest.mark.parametrize(("looks", "constant"), [(2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (10, 2.555)])
def test_pocock_constants(looks, constant):
    """Jennison and Turnbull 2000, table 2.1."""
    found = wang_tsiatis(equal(looks), 0.05, POCOCK)
    assert found == pytest.approx(np.full(looks, constant), abs=5e-4)


@pytest.mark.parametrize(("looks", "constant"), [(2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040), (10, 2.087)])
def test_obrien_fleming_constants(looks, constant):
    """Jennison and Turnbull 2000, table 2.3."""
    found = wang_tsiatis(equal(looks), 0.05, OBRIEN_FLEMING)
    assert found * np.sqrt(equal(looks)) == pytest.approx(np.full(looks, constant), abs=5e-4)


@pytest.mark.parametrize(
    ("looks", "rate"), [(1, 0.05), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193), (20, 0.248)]
)
def test_what_repeated_testing_costs(looks, rate):
    """Armitage, McPherson, Rowe 1969: looking at 1.96 again and again."""
    exits = exit_probabilities(Region.of(equal(looks), np.full(looks, 1.959964)))
    assert np.sum(exits) == pytest.approx(rate, abs=6e-4)


def test_rpact_obrien_fleming():
    """As in rpact's own test: three looks, one-sided 0.025, critical values and cumulative alpha."""
    found = wang_tsiatis(equal(3), 0.025, OBRIEN_FLEMING, 1)
    assert found == pytest.approx([3.4710914, 2.4544323, 2.0040356], abs=1e-7)
    exits = exit_probabilities(Region.of(equal(3), found, 1))
    assert np.cumsum(exits.upper) == pytest.approx([0.00025917372, 0.0071600594, 0.025], rel=1e-7)
    assert found == pytest.approx(published("rpact_of3")["recomputed_here"], abs=1e-9)


def test_rpact_wang_tsiatis():
    found = wang_tsiatis(np.array([0.2, 0.5, 1]), 0.025, 0.3, 1)
    assert found == pytest.approx([2.8688923, 2.3885055, 2.0793148], abs=1e-7)
    assert found == pytest.approx(published("rpact_wt03")["recomputed_here"], abs=1e-9)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (0.1, [3.144191, 2.382851, 2.026098]),
        (0.25, [2.741137, 2.305012, 2.082813]),
        (0.4, [2.439505, 2.276139, 2.185695]),
    ],
)
def test_rpact_wang_tsiatis_family(shape, expected):
    """The column of rpact in graphicalMCP's validation."""
    assert wang_tsiatis(equal(3), 0.025, shape, 1) == pytest.approx(expected, abs=1e-6)


def test_gsdesign_obrien_fleming():
    found = wang_tsiatis(equal(4), 0.025, OBRIEN_FLEMING, 1)
    assert found == pytest.approx([4.05, 2.86, 2.34, 2.02], abs=5e-3)


def test_lan_demets_obrien_fleming():
    """ldbounds; it has 3.3569 for the second look, where the recursion gives 3.35701."""
    found = boundary(OBrienFleming(), equal(5), 0.05)
    assert found == pytest.approx([4.8769, 3.35701, 2.6803, 2.2898, 2.0310], abs=5e-5)


def test_lan_demets_obrien_fleming_as_gsdesign_has_it():
    found = boundary(OBrienFleming(), equal(3), 0.025, 1)
    assert found == pytest.approx([3.710303, 2.511427, 1.993048], abs=1e-6)


def test_lan_demets_pocock():
    found = boundary(Pocock(), equal(5), 0.05)
    assert found == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=1.5e-4)
    assert found == pytest.approx(published("ldpocock5")["recomputed_here"], abs=1e-9)


def test_gsdesign_hwang_shih_decani():
    found = boundary(HwangShihDeCani(-4), equal(5), 0.025, 1)
    assert found == pytest.approx([3.2527, 2.9860, 2.6917, 2.3737, 2.0253], abs=5e-5)


@given(
    st.lists(st.floats(0.05, 1), min_size=2, max_size=4),
    st.lists(st.floats(0.5, 3), min_size=4, max_size=4),
    st.floats(-2, 4),
)
@settings(max_examples=25, deadline=None)
def test_the_recursion_is_the_multivariate_normal_integral(gaps, bounds, drift):
    """SciPy's quasi-Monte-Carlo integral over the same region, irregular looks, with drift."""
    times = np.cumsum(gaps)
    upper = np.array(bounds[: len(times)])
    exits = exit_probabilities(Region.of(times, upper), drift)
    share = times / times[-1]
    inside = scipy_stats.multivariate_normal(
        drift * np.sqrt(share),
        np.sqrt(np.minimum.outer(share, share) / np.maximum.outer(share, share)),
        abseps=1e-6,
        releps=1e-6,
        maxpts=200_000,
        seed=1,
    ).cdf(upper, lower_limit=-upper)
    assert np.sum(exits) == pytest.approx(1 - inside, abs=2e-5)


@pytest.mark.parametrize("growth", [LEAST_GROWTH, 1e-3, 0.05, 1.0, 50.0])
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("steps", [(0.0125, 0.0125), (1e-6, 0.02), (1e-40, 1e-38), (1e-200, 1e-201)])
def test_two_looks_close_together_far_apart_and_far_out_in_the_tails(growth, sides, steps):
    """The second critical value against adaptive quadrature of the bivariate normal, to the last digits."""
    first, second = spending_boundary(np.array([1.0, 1.0 + growth]), np.array(steps), sides)
    assert first == pytest.approx(-special.ndtri(steps[0]), rel=1e-13)
    rho = math.sqrt(1 / (1 + growth))
    spread = math.sqrt(1 - rho * rho)

    def integrand(u: float) -> float:
        log = -u * u / 2 + special.log_ndtr((rho * u - second) / spread) - math.log(steps[1])
        return math.exp(log) / math.sqrt(2 * math.pi)

    # Where the integrand is: about the bridge's middle, and up to the boundary.
    middle = min(second * rho, first)
    low = max(middle - 12 * max(spread, 0.02), -first if sides == 2 else -40.0)
    points = np.linspace(low, first, 60)
    whole = sum(integrate.quad(integrand, *piece, epsabs=0, epsrel=1e-12)[0] for piece in pairwise(points))
    assert whole == pytest.approx(1, rel=1e-8)


@given(
    st.lists(st.floats(LEAST_GROWTH * 2, 3), min_size=0, max_size=5),
    st.lists(st.floats(0, 1), min_size=6, max_size=6),
    st.sampled_from([1, 2]),
)
@settings(max_examples=50, deadline=None)
def test_a_boundary_spends_what_it_was_told_to(growths, weights, sides):
    times = np.cumprod([1.0, *(1 + growth for growth in growths)])
    steps = 0.025 * np.array(weights[: len(times)]) / len(times)
    found = spending_boundary(times, steps, sides)
    exits = exit_probabilities(Region.of(times, found, sides))
    assert exits.upper == pytest.approx(steps, abs=1e-13)
    assert np.all(np.isinf(found) == (steps == 0))


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_the_unit_of_information_does_not_matter(unit):
    found = boundary(Pocock(), equal(5), 0.05)
    steps = np.diff(Pocock().spent(0.025, equal(5)), prepend=0)
    assert spending_boundary(equal(5) * unit, steps) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(
    ("information", "steps"),
    [
        ([], []),
        ([1.0, 1.0], [0.01, 0.01]),
        ([2.0, 1.0], [0.01, 0.01]),
        ([0.0, 1.0], [0.01, 0.01]),
        ([1.0, math.nan], [0.01, 0.01]),
        ([1.0, 2.0], [0.01, -0.01]),
        ([1.0, 2.0], [0.01]),
        ([1.0, 2.0], [0.3, 0.3]),
    ],
)
def test_arguments_without_meaning(information, steps):
    with pytest.raises(StatsError):
        spending_boundary(np.array(information), np.array(steps))


def test_exits_want_one_boundary_a_look():
    with pytest.raises(StatsError, match="one number per look"):
        exit_probabilities(Region.of(equal(3), np.array([2.0, 2.0])))


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_a_level_is_a_probability(alpha):
    with pytest.raises(StatsError, match="between 0 and 1"):
        wang_tsiatis(equal(3), alpha, POCOCK)


def test_an_effect_that_cannot_be_missed_or_found():
    sure = exit_probabilities(Region.of(equal(4), np.full(4, 2.0), 1), 1e3)
    assert sure.upper == pytest.approx([1, 0, 0, 0])
    never = exit_probabilities(Region.of(equal(4), np.full(4, 2.0), 1), -1e3)
    assert never.upper == pytest.approx([0, 0, 0, 0])


def test_futility_is_never_above_the_boundary_for_success():
    upper = boundary(OBrienFleming(), equal(4), 0.025, 1)
    lower = futility_boundary(equal(4), upper, np.array([0.0, 0.05, 0.3, 0.5]), 3.0)
    assert lower[0] == -math.inf
    assert np.all(lower <= upper)
    assert lower[-1] == upper[-1]  # asked for more than there is left


def test_futility_spends_the_chance_of_missing_the_effect():
    upper = boundary(OBrienFleming(), equal(4), 0.025, 1)
    steps = np.array([0.01, 0.02, 0.03, 0.04])
    lower = futility_boundary(equal(4), upper, steps, 3.2)
    exits = exit_probabilities(Region(equal(4), upper, lower), 3.2)
    assert exits.lower == pytest.approx(steps, abs=1e-12)


def test_fourteen_looks_take_less_than_fifty_milliseconds():
    def once() -> float:
        begin = time.perf_counter()
        boundary(OBrienFleming(), equal(14), 0.05)
        return time.perf_counter() - begin

    assert min(once() for _ in range(5)) < 0.05
