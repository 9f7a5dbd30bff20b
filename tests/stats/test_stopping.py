"""What looking costs: published inflation factors, average sample sizes, futility, the table of methods."""

import math

import numpy as np
import pytest
from scipy import special

from stats.boundaries import (
    OBRIEN_FLEMING,
    POCOCK,
    Region,
    exit_probabilities,
    spending_boundary,
    wang_tsiatis,
)
from stats.errors import StatsError
from stats.references import ConfidenceSequence
from stats.spending import HwangShihDeCani, OBrienFleming, Pocock, Power
from stats.stopping import average_share, cost, drift_for, fixed_drift, power_at, with_futility
from tests.stats.test_boundaries import boundary, equal, published

DAYS = equal(14)


def steps(spending, t, total: float) -> np.ndarray:
    return np.diff(spending.spent(total, t), prepend=0)


def of_sequence(tuned_for: float) -> np.ndarray:
    """The boundary of a confidence sequence, tuned to a multiple of the largest sample size."""
    return np.array([ConfidenceSequence(t, tuned_for=tuned_for, alpha=0.05).critical(0.05) for t in DAYS])


BOUNDARIES = {
    "fixed": np.r_[np.full(13, np.inf), -special.ndtri(0.025)],
    "naive": np.full(14, -special.ndtri(0.025)),
    "ld_obf": boundary(OBrienFleming(), DAYS, 0.05),
    "power_3": boundary(Power(3.0), DAYS, 0.05),
    "power_2": boundary(Power(2.0), DAYS, 0.05),
    "ld_pocock": boundary(Pocock(), DAYS, 0.05),
    "bonferroni": np.full(14, -special.ndtri(0.025 / 14)),
    "sequence_1": of_sequence(1.0),
    "sequence_1/4": of_sequence(0.25),
    "sequence_4": of_sequence(4.0),
    "statsig": np.full(14, 3.5845),
}


@pytest.mark.parametrize(
    ("method", "inflation", "average", "rate"),
    [
        ("fixed", 1.00, 1.00, 0.050),
        ("naive", None, None, 0.220),
        ("ld_obf", 1.04, 0.79, 0.050),
        ("power_3", 1.05, 0.77, 0.050),
        ("power_2", 1.09, 0.76, 0.050),
        ("ld_pocock", 1.26, 0.78, 0.050),
        ("bonferroni", 1.62, 1.01, 0.022),
        ("sequence_1", 1.76, 1.16, 0.010),
        ("sequence_1/4", 1.82, 1.15, 0.013),
        ("sequence_4", 2.05, 1.51, 0.002),
        ("statsig", 2.35, 1.58, 0.002),
    ],
)
def test_the_cost_of_fourteen_daily_looks(method, inflation, average, rate):
    """Two-sided 0.05, power 0.8: to the printed digits of the table of methods."""
    found = cost(Region.of(DAYS, BOUNDARIES[method]), alpha=0.05, power=0.8)
    assert found.false_positive_rate == pytest.approx(rate, abs=5.001e-4)
    if inflation is not None:
        assert found.inflation == pytest.approx(inflation, abs=5.001e-3)
        assert found.average == pytest.approx(average, abs=5.001e-3)


@pytest.mark.parametrize("method", ["ld_obf", "ld_pocock", "sequence_1", "sequence_1/4", "sequence_4"])
def test_the_cost_is_what_a_simulation_shows(method):
    """200,000 experiments of 14 days: error, power and average within four standard errors."""
    runs, draw = 200_000, np.random.default_rng(20)
    region = Region.of(DAYS, BOUNDARIES[method])
    drift = drift_for(region, 0.8)
    walk = np.zeros(runs), np.zeros(runs)
    stopped = [np.full(runs, np.inf) for _ in walk]
    for day, bound in enumerate(BOUNDARIES[method], 1):
        for place, mean in enumerate((0.0, drift)):
            walk[place][:] += draw.normal(mean / 14, math.sqrt(1 / 14), runs)
            crossed = np.abs(walk[place]) * math.sqrt(14 / day) >= bound
            stopped[place][crossed & np.isinf(stopped[place])] = day / 14
    expected = cost(region, alpha=0.05, power=0.8)
    rate, power = (np.isfinite(times).mean() for times in stopped)
    chance = expected.false_positive_rate
    assert rate == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / runs))
    assert power == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / runs))
    times = np.minimum(stopped[1], 1)
    error = 4 * times.std() / math.sqrt(runs)
    assert times.mean() == pytest.approx(average_share(region, drift), abs=error)


@pytest.mark.parametrize(
    ("looks", "power", "shape", "expected"),
    [
        (4, 0.8, POCOCK, 1.202),
        (15, 0.9, POCOCK, 1.305),
        (5, 0.8, OBRIEN_FLEMING, 1.028),
        (20, 0.9, OBRIEN_FLEMING, 1.045),
    ],
)
def test_inflation_factors(looks, power, shape, expected):
    """Jennison and Turnbull 2000, tables 2.2 and 2.4, as gsDesign asserts them."""
    region = Region.of(equal(looks), wang_tsiatis(equal(looks), 0.05, shape))
    assert cost(region, alpha=0.05, power=power).inflation == pytest.approx(expected, abs=6e-4)


def test_sas_seqdesign_pocock():
    """SAS/STAT SEQDESIGN: four stages, alpha 0.05, power 0.9, alternative 0.4."""
    region = Region.of(equal(4), wang_tsiatis(equal(4), 0.05, POCOCK))
    found, expected = cost(region, alpha=0.05, power=0.9), published("sas_seqdesign_pocock4")["expected"]
    assert 100 * found.inflation == pytest.approx(expected["max_info_pct"], abs=2e-4)
    assert (drift_for(region, 0.9) / 0.4) ** 2 == pytest.approx(expected["max_info"], abs=2e-4)
    assert 100 * found.average_null == pytest.approx(expected["null_asn_pct"], abs=2e-4)
    assert 100 * found.average == pytest.approx(expected["alt_asn_pct"], abs=2e-4)


def test_gsdesign_crossing_probabilities_under_the_alternative():
    """As in gsDesign's snapshot: Hwang-Shih-DeCani -4, five looks, one-sided 0.025, power 0.9."""
    region = Region.of(equal(5), boundary(HwangShihDeCani(-4), equal(5), 0.025, 1), 1)
    drift = drift_for(region, 0.9)
    found = np.cumsum(exit_probabilities(region, drift).upper)
    assert found == pytest.approx([0.0370, 0.1883, 0.4530, 0.7229, 0.9], abs=5e-5)
    assert cost(region, alpha=0.025, power=0.9, sides=1).inflation == pytest.approx(1.02, abs=5e-3)


@pytest.mark.parametrize(
    ("looks", "gammas", "inflation", "lower", "upper"),
    [
        (3, (-4.0, -2.0), 1.070, [-0.2387, 0.9411, 1.9992], [3.0107, 2.5465, 1.9992]),
        (
            5,
            (-4.0, -2.0),
            1.101,
            [-0.9016, -0.0367, 0.6945, 1.3603, 2.0253],
            [3.2527, 2.9860, 2.6917, 2.3737, 2.0253],
        ),
        (4, (-2.0, 1.0), 1.297, [0.03, 0.88, 1.51, 2.09], [2.80, 2.58, 2.34, 2.09]),
    ],
)
def test_gsdesign_futility_that_is_not_binding(looks, gammas, inflation, lower, upper):
    """As gsDesign's default test type 4, alpha 0.025 and power 0.9: printed bounds and sample size ratios."""
    t = equal(looks)
    success = spending_boundary(t, steps(HwangShihDeCani(gammas[0]), t, 0.025), 1)
    found = with_futility(t, success, steps(HwangShihDeCani(gammas[1]), t, 0.1))
    digits = 5e-3 if looks == 4 else 1e-4
    assert found.region.lower == pytest.approx(lower, abs=digits)
    assert found.region.upper == pytest.approx(upper, abs=digits)
    assert (found.drift / fixed_drift(0.025, 0.9, 1)) ** 2 == pytest.approx(inflation, abs=5.001e-4)
    exits = exit_probabilities(found.region, found.drift)
    assert exits.upper.sum() == pytest.approx(0.9, abs=1e-9)
    assert exits.lower.sum() == pytest.approx(0.1, abs=1e-9)


def test_gsdesign_futility_crossing_probabilities():
    t = equal(3)
    success = spending_boundary(t, steps(HwangShihDeCani(-4), t, 0.025), 1)
    found = with_futility(t, success, steps(HwangShihDeCani(-2), t, 0.1))
    null, alternative = (exit_probabilities(found.region, drift) for drift in (0.0, found.drift))
    assert np.cumsum(null.upper) == pytest.approx([0.0013, 0.0062, 0.0233], abs=5.001e-5)
    assert np.cumsum(null.lower) == pytest.approx([0.4057, 0.8347, 0.9767], abs=5.001e-5)
    assert np.cumsum(alternative.upper) == pytest.approx([0.1412, 0.5815, 0.9], abs=5.001e-5)
    assert np.cumsum(alternative.lower) == pytest.approx([0.0148, 0.0437, 0.1], abs=5.001e-5)


def test_one_look_is_the_fixed_test():
    region = Region.of(np.array([100.0]), np.array([-special.ndtri(0.025)]))
    found = cost(region, alpha=0.05, power=0.8)
    assert found == pytest.approx((1, 1, 1, 0.05), rel=1e-9)
    assert power_at(region, fixed_drift(0.05, 0.8)) == pytest.approx(0.8, rel=1e-12)


@pytest.mark.parametrize("power", [0.01, 0.025, 1.0, math.nan])
def test_power_must_be_more_than_the_test_has_for_nothing(power):
    region = Region.of(equal(3), wang_tsiatis(equal(3), 0.05, POCOCK))
    with pytest.raises(StatsError, match="power must be"):
        drift_for(region, power)
    with pytest.raises(StatsError, match="power must be"):
        fixed_drift(0.05, power)
