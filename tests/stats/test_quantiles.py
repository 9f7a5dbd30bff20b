"""Quantiles: Deng's outer interval, and clusters that count as one."""

import math

import numpy as np
import pytest

from stats.quantiles import quantile
from tests.stats.conftest import outputs, param


@param("quantile", "quantile_unit")
def test_the_outer_interval_is_that_of_the_reference(case: dict):
    for expected in outputs(case, "closed form: Deng et al. 2018 outer CI"):
        for arm, values in case["inputs"]["raw"].items():
            found = quantile(np.array(values), case["params"]["quantile"], alpha=case["params"]["alpha"])
            assert found.value == pytest.approx(expected["arms"][arm]["quantile"], rel=1e-12)
            assert found.variance is not None
            assert math.sqrt(found.variance) == pytest.approx(expected["arms"][arm]["se"], rel=1e-9)


def test_every_value_copied_is_no_more_evidence():
    """Ten equal values per unit: the error with clusters is that of one value per unit."""
    draw = np.random.default_rng(4)
    values = draw.lognormal(3, 1, 400)
    single = quantile(values, 0.75, alpha=0.05)
    copied = quantile(np.repeat(values, 10), 0.75, alpha=0.05, clusters=np.repeat(np.arange(400), 10))
    naive = quantile(np.repeat(values, 10), 0.75, alpha=0.05)
    assert copied.n == 400
    assert single.variance is not None
    assert copied.variance is not None
    assert naive.variance is not None
    assert math.sqrt(copied.variance) == pytest.approx(math.sqrt(single.variance), rel=0.05)
    assert naive.variance < 0.2 * copied.variance


def test_the_error_with_clusters_is_that_of_resampled_clusters():
    draw = np.random.default_rng(9)
    sizes = draw.integers(1, 12, 300)
    clusters = np.repeat(np.arange(300), sizes)
    values = draw.normal(0, 1, 300)[clusters] + draw.normal(0, 1, sizes.sum())
    found = quantile(values, 0.5, alpha=0.05, clusters=clusters)
    members = np.split(values, np.cumsum(sizes)[:-1])
    resampled = [
        np.median(np.concatenate([members[place] for place in draw.integers(0, 300, 300)]))
        for _ in range(1_500)
    ]
    assert found.variance is not None
    assert math.sqrt(found.variance) == pytest.approx(np.std(resampled), rel=0.12)


@pytest.mark.parametrize(
    ("values", "q", "reason"),
    [([], 0.5, "no_units"), ([1.0], 0.5, "too_few_units"), (range(10), 0.99, "too_few_units"),
     ([3.0] * 50, 0.5, "zero_variance")],
)  # fmt: skip
def test_what_has_no_error_says_why(values, q, reason):
    found = quantile(np.array(list(values), dtype=float), q, alpha=0.05)
    assert (found.variance, found.reason) == (None, reason)
