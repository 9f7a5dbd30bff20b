"""Published results that need no vectors: documentation of R, SAS and tea-tasting, courses and notebooks.

What other files test is not repeated: boundaries, planning, sample ratios, multiplicity.
"""

import math

import numpy as np
import pytest

from stats import contrasts, inference
from stats.boundaries import POCOCK, Region, wang_tsiatis
from stats.moments import Moments
from stats.references import StudentT, p_value
from stats.stopping import cost
from tests.stats.test_analysis import share

NORMAL = StudentT()


def p_of(contrast: contrasts.Contrast) -> float:
    return float(p_value(inference.log10_p(contrast, StudentT(contrast.df))))


def test_rs_sleep():
    """?t.test, Student's sleep data: t = -1.8608, df = 17.776, p = 0.07939."""
    first = Moments.from_columns([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = Moments.from_columns([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    found = contrasts.difference_of_means(first, second)
    assert f"{inference.statistic(found):.4f}" == "-1.8608"
    assert f"{found.df:.3f}" == "17.776"
    assert f"{p_of(found):.5f}" == "0.07939"
    interval = inference.difference_interval(found, StudentT(found.df), 0.05)
    assert interval == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)


def test_cookie_cats_after_one_day():
    """Retention of 20,119 of 45,489 against 20,034 of 44,700: z = -1.78409, p = 0.0744097."""
    found = contrasts.pooled_proportions(share(20_119, 45_489), share(20_034, 44_700))
    assert f"{inference.statistic(found):.5f}" == "-1.78409"
    assert f"{p_value(inference.log10_p(found, NORMAL)):.7f}" == "0.0744097"


@pytest.mark.parametrize(
    ("experiment", "control", "published"),
    [(3_423, 3_785, (-0.0206, -0.0291, -0.0120)), (1_945, 2_033, (-0.0049, -0.0116, 0.0019))],
    ids=["gross", "net"],
)
def test_udacitys_funnel(experiment, control, published):
    """Free-trial screener, 17,260 and 17,293 clicks: gross conversion (enrolments) and net (payments)."""
    found = contrasts.difference_of_proportions(share(experiment, 17_260), share(control, 17_293))
    bounds = inference.difference_interval(found, NORMAL, 0.05)
    assert (found.estimate, *bounds) == pytest.approx(published, abs=6e-5)


def test_growthbooks_absolute_difference():
    """packages/stats/tests: 0.29 with p = 0.02016, where its relative test says 0.06191."""

    def arm(n: int, total: float, squares: float) -> Moments:
        return Moments(n, (total / n,), (((squares - total * total / n) / (n - 1),),))

    found = contrasts.difference_of_means(arm(3_461, 2_422.7, 134_698.29), arm(3_407, 1_396.87, 52_377.9767))
    assert f"{found.estimate:.2f}" == "0.29"
    assert f"{p_of(found):.5f}" == "0.02016"


def test_sas_seqdesign():
    """SAS/STAT, Pocock, 4 stages, power 0.9: maximum 118.3143 % of the fixed design, on average 69.74805 %
    with the effect and 115.6074 % without.
    """  # noqa: D205
    information = np.arange(1, 5) / 4
    region = Region.of(information, wang_tsiatis(information, 0.05, POCOCK))
    found = cost(region, alpha=0.05, power=0.9)
    percent = [100 * share_ for share_ in (found.inflation, found.average, found.average_null)]
    assert percent == pytest.approx([118.3143, 69.74805, 115.6074], rel=2e-6)


def users(seed: int, *, covariates: bool) -> dict[str, np.ndarray]:
    """tea-tasting 1.14's simulated users (datasets.py, defaults), draw for draw."""
    draw, n, log_sd = np.random.default_rng(seed), 4_000, 0.5
    variant = draw.binomial(1, 0.5, n)
    sessions = 1 + draw.poisson(1.0, n)
    more_orders, more_revenue = 1 + 0.1 * variant, (1 + 0.1 * variant) / (1 + 0.1 * variant)
    rate = draw.beta(0.25 * more_orders, 1 - 0.25 * more_orders, n)
    orders = draw.binomial(sessions, rate)
    worth = draw.lognormal(np.log(10 * more_revenue) - log_sd**2 / 2, log_sd, n)
    found = {"variant": variant, "sessions": sessions, "orders": orders, "revenue": (orders * worth).round(2)}
    if covariates:
        before = draw.poisson(sessions / 1.0, n)
        ordered = draw.binomial(before, rate / more_orders)
        paid = draw.lognormal(np.log(worth / more_revenue) - log_sd**2 / 2, log_sd, n)
        found |= {"orders_before": ordered, "revenue_before": (ordered * paid).round(2)}
    return found


def arms(data: dict[str, np.ndarray], *columns: str) -> tuple[Moments, Moments]:
    return tuple(
        Moments.from_columns(*(data[name][data["variant"] == arm] for name in columns)) for arm in (1, 0)
    )


def test_tea_tastings_documentation():
    """Its user guide with rng=42: p-values without covariates, and with, where theta alone is another."""
    data = users(42, covariates=False)
    means = {
        name: p_of(contrasts.difference_of_means(*arms(data, name)))
        for name in ("sessions", "orders", "revenue")
    }
    assert {name: f"{p:.3g}" for name, p in means.items()} == {
        "sessions": "0.674",
        "orders": "0.118",
        "revenue": "0.123",
    }
    assert f"{p_of(contrasts.difference_of_ratios(*arms(data, 'orders', 'sessions'))):.3g}" == "0.0762"
    data = users(42, covariates=True)
    for name, published in (("orders", "0.00733"), ("revenue", "0.00674")):
        v, b = arms(data, name, f"{name}_before")
        together = v.merge(b)
        theta = together.cov[0][1] / together.cov[1][1]
        assert f"{p_of(contrasts.adjusted(v, b, theta=[theta])):.3g}" == published
        assert math.isclose(p_of(contrasts.adjusted(v, b)), float(published), rel_tol=0.02)
