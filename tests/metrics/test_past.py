"""What a metric was like before: the control's moments of the latest day, and how fast units arrived."""

import datetime as dt

import numpy as np
import pytest

from assignments.model import Phase
from metrics.model import Metric
from metrics.past import past_of
from stats.moments import Moments

METRIC = Metric(name="spent", kind="revenue", event="purchase", covariate="7d")
LAST = dt.date(2026, 1, 9)


def moments_row(measured, moments: Moments, **more):
    return {
        "experiment": measured.key,
        "iteration": measured.iteration,
        "phase": 1,
        "variant": "A",
        "metric": METRIC.name,
        "as_of": LAST,
        "n": moments.n,
        "means": list(moments.mean),
        "covariances": [number for row in moments.cov for number in row],
        "fingerprint": METRIC.fingerprint,
    } | more


@pytest.fixture
def experiment(experiment_of):
    return experiment_of(METRIC.name)


def test_it_is_the_controls_on_the_latest_day_over_everyone(bench, experiment):
    wanted, other = (
        Moments.from_columns([1.0, 2.0, 4.0], [3.0, 0.0, 1.0]),
        Moments(5, (9.0, 9.0), ((1, 0), (0, 1))),
    )
    bench.insert(
        "moments",
        [
            moments_row(experiment, other, variant="B"),
            moments_row(experiment, other, as_of=LAST - dt.timedelta(days=1)),
            moments_row(experiment, other, segment="device=phone"),
            moments_row(experiment, other, metric="visits"),
            moments_row(experiment, other, iteration=2, as_of=LAST + dt.timedelta(days=1)),
            moments_row(experiment, other, experiment="menu", as_of=LAST + dt.timedelta(days=1)),
            moments_row(experiment, wanted),
        ],
    )
    found = past_of(bench.con, experiment, METRIC)
    assert (found.moments, found.as_of, found.control) == (wanted, LAST, "A")
    assert found.daily_units is None


def test_phases_are_put_together(bench, experiment_of):
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    phases = (Phase(from_=start, weights={"A": 1, "B": 1}), Phase(from_=start, weights={"A": 3, "B": 1}))
    experiment = experiment_of(METRIC.name, phases=phases)
    draw = np.random.default_rng(4).gamma(2, 5, (2, 40))
    parts = [Moments.from_columns(*draw[:, :25]), Moments.from_columns(*draw[:, 25:])]
    bench.insert(
        "moments", [moments_row(experiment, part, phase=place) for place, part in enumerate(parts, 1)]
    )
    found = past_of(bench.con, experiment, METRIC).moments
    assert found.n == 40
    np.testing.assert_allclose(found.mean, draw.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.cov, np.cov(draw), rtol=1e-12)


def test_moments_of_an_older_definition_are_none(bench, experiment):
    bench.insert("moments", [moments_row(experiment, Moments(2, (1.0,), ((1.0,),)), fingerprint="old")])
    assert past_of(bench.con, experiment, METRIC) is None


def test_arrivals_are_first_exposures_per_day_until_the_moments_day(bench, experiment):
    days = [2, 2, 2, 4, 5, 11]  # of January; the last one is after the moments
    bench.insert(
        "first_exposures",
        [
            {
                "experiment": "banner",
                "iteration": 1,
                "unit_key": unit,
                "exposed_at": dt.datetime(2026, 1, day, 23, tzinfo=dt.UTC),
            }
            for unit, day in enumerate(days)
        ],
    )
    bench.insert("moments", [moments_row(experiment, Moments(2, (1.0,), ((1.0,),)))])
    assert past_of(bench.con, experiment, METRIC).daily_units == 5 / 4
