"""Two experiments on the same units, from the lake's tables to findings on both pages."""

import datetime as dt

import msgspec
import numpy as np
import polars as pl
import pytest

from metrics.interactions import MOST, interaction_findings
from metrics.model import Metric
from stats.results import Outcome

DAY, AS_OF = dt.date(2026, 1, 2), dt.date(2026, 1, 9)
UNITS = 1_200
SPENT = Metric(name="spent", kind="revenue", event="purchase", window="3d")
BOUGHT = Metric(name="bought", kind="conversion", event="purchase", window="3d")


def world(bench, experiment_of, rows_of, *, interaction=0.0, dependent=False, **more):
    """Both experiments with everyone in them; the second one's variants are X (control) and Y."""
    draw = np.random.default_rng(3)
    own = draw.integers(0, 2, UNITS)
    its = (
        np.where(draw.random(UNITS) < 0.8, own, draw.integers(0, 2, UNITS))
        if dependent
        else draw.integers(0, 2, UNITS)
    )
    value = np.round(draw.gamma(4, 5, UNITS) + 2 * own + its + interaction * own * its, 2)
    exposures = [rows_of.exposure(unit, DAY, "AB"[arm], unit) for unit, arm in enumerate(own)]
    exposures += [
        rows_of.exposure(unit, DAY, "XY"[arm], UNITS + unit, experiment="other")
        for unit, arm in enumerate(its)
    ]
    fill(bench, "exposures", exposures)
    fill(bench, "events", [rows_of.event(u, DAY, u, value=float(v)) for u, v in enumerate(value) if u % 3])
    one = experiment_of("spent", "bought")
    (phase,) = one.phases
    other = msgspec.structs.replace(
        one, key="other", control="X",
        phases=(msgspec.structs.replace(phase, weights={"X": 1, "Y": 1}),), **more,
    )  # fmt: skip
    engine = bench.engine(SPENT, BOUGHT)
    bench.prepare(engine, one, other)
    register(bench, one, other)
    for each in (one, other):
        engine.unit_metrics(bench.con, each, AS_OF)
        engine.write_unit_metrics(bench.con, each, AS_OF)
    return engine, one, other, own, its, np.where(np.arange(UNITS) % 3 > 0, value, 0.0)


def fill(bench, table, rows):
    bench.con.register("given", pl.DataFrame(rows))
    bench.con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM given")


def register(bench, *experiments):
    bench.insert(
        "registry",
        [
            {
                "experiment": each.key,
                "iteration": each.iteration,
                "fingerprint": "f",
                "definition": msgspec.json.encode({"experiment": each, "metrics": {}}).decode(),
            }
            for each in experiments
        ],
    )


def findings(bench, engine, experiment, *, readable=True):
    found = interaction_findings(bench.con, engine, experiment, AS_OF, (), readable=readable)
    return {one.name: one for one in found}


def test_both_pages_say_that_assignment_is_independent_and_no_effect_depends(bench, experiment_of, rows_of):
    engine, one, other, own, its, value = world(bench, experiment_of, rows_of)
    found, mirrored = findings(bench, engine, one), findings(bench, engine, other)
    assert {name: each.status for name, each in found.items()} == {
        "mutual_split:other": Outcome.PASSED, "interaction:other": Outcome.NOTED,
    }  # fmt: skip
    assert mirrored["mutual_split:banner"].numbers["chi2"] == pytest.approx(
        found["mutual_split:other"].numbers["chi2"]
    )
    mean = {(a, b): value[(own == a) & (its == b)].mean() for a in (0, 1) for b in (0, 1)}
    expected = mean[1, 1] - mean[0, 1] - mean[1, 0] + mean[0, 0]
    numbers = found["interaction:other"].numbers
    assert numbers["spent: the effect of B is with Y: difference"] == pytest.approx(expected)
    assert mirrored["interaction:banner"].numbers[
        "spent: the effect of Y is with B: difference"
    ] == pytest.approx(expected)
    assert "no interaction is shown" in found["interaction:other"].message


def test_a_planted_interaction_is_found_and_told_in_a_sentence(bench, experiment_of, rows_of):
    engine, one, *_ = world(bench, experiment_of, rows_of, interaction=12.0)
    found = findings(bench, engine, one)["interaction:other"]
    assert found.status is Outcome.WARNING
    assert found.message.startswith('spent: the effect of B is with Y of "other" +')
    assert found.message.endswith("the effects depend on each other.")
    assert set(findings(bench, engine, one, readable=False)) == {"mutual_split:other"}


def test_variants_that_hang_together_are_no_two_experiments(bench, experiment_of, rows_of):
    engine, one, *_ = world(bench, experiment_of, rows_of, dependent=True)
    found = findings(bench, engine, one)["mutual_split:other"]
    assert found.status is Outcome.FAILED
    assert 'the variants of "banner" and "other" hang together' in found.message


@pytest.mark.parametrize(
    "more",
    [
        {"unit_type": "account"},
        {"environment": "staging"},
        {"start": dt.date(2025, 1, 1), "end": dt.date(2025, 2, 1)},
    ],
)
def test_only_experiments_on_the_same_units_at_the_same_time_are_compared(
    bench, experiment_of, rows_of, more
):
    engine, one, *_ = world(bench, experiment_of, rows_of, **more)
    assert not findings(bench, engine, one)


def test_many_experiments_are_compared_up_to_a_stated_number(bench, experiment_of, rows_of):
    engine, one, other, *_ = world(bench, experiment_of, rows_of)
    register(bench, *(msgspec.structs.replace(other, key=f"z{n:02}") for n in range(MOST + 2)))
    found = findings(bench, engine, one)
    assert found["interactions_left_out"].numbers == {"left_out": 3}
    assert "mutual_split:other" in found
