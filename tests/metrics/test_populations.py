"""Who is analysed: nobody of a pause or a holdout; exposed and assigned units are two questions."""

import datetime as dt

import msgspec
import polars as pl
import pytest

from assignments.bulk import assign_frame
from assignments.model import Bucketing, Pause
from metrics.checks import assignment_rederived
from metrics.model import Metric
from stats.results import Outcome

DAY = dt.date(2026, 1, 5)
AS_OF = dt.date(2026, 1, 20)
BOUGHT = Metric(name="bought", kind="conversion", event="purchase")


def at(day: int, hour: int) -> dt.datetime:
    return dt.datetime(2026, 1, day, hour, tzinfo=dt.UTC)


def test_a_pause_enrols_nobody_and_is_counted(bench, experiment_of):
    paused = experiment_of("bought", pauses=(Pause(from_=at(5, 9), to=at(7, 9)),))
    bench.exposure(1, at(5, 8), "A")
    bench.exposure(2, at(5, 9), "B")  # only then: not enrolled
    bench.exposure(3, at(6, 0), "A")  # then, and in another variant afterwards, which is its own
    bench.exposure(3, at(7, 9), "B")
    bench.exposure(4, dt.date(2026, 1, 5), "A")  # a part of that day was no pause
    bench.exposure(5, dt.date(2026, 1, 6), "B")
    engine = bench.engine(BOUGHT)
    bench.prepare(engine, paused)
    units = sorted(bench.rows("first_exposures", "unit_key, variant, second_variant_at"))
    assert units == [(1, "A", None), (3, "B", None), (4, "A", None)]
    (found,) = engine.exclusions(bench.con, paused, AS_OF)
    assert (found.reason, found.count) == ("only seen before the start, in a pause or after the end", 2)


def test_a_unit_of_the_holdout_in_the_experiment_is_found(bench, experiment_of):
    bucketing = Bucketing(
        layer="l", layer_salt="layer", split_salt="split", holdout_salt="held", holdout=((0, 2_000),)
    )
    plain = experiment_of("bought")
    (phase,) = plain.phases
    halves = {"A": ((0, 5_000),), "B": ((5_000, 10_000),)}
    phases = (msgspec.structs.replace(phase, slice=((0, 10_000),), ranges=halves),)
    experiment = msgspec.structs.replace(plain, phases=phases, bucketing=bucketing)
    without = msgspec.structs.replace(experiment, bucketing=msgspec.structs.replace(bucketing, holdout=()))
    ids = [f"u{unit}" for unit in range(60)]

    variants = assign_frame(without, pl.Series(ids))["variant"]
    held = assign_frame(experiment, pl.Series(ids))["variant"].is_null()
    for unit, variant in enumerate(variants):
        bench.exposure(unit, at(5, 9), variant)
    engine = bench.engine(BOUGHT)
    found = assignment_rederived(bench.con, engine, experiment, AS_OF)
    assert (found.status, found.numbers["different"]) == (Outcome.FAILED, held.sum())
    assert held.sum() > 0
    assert assignment_rederived(bench.con, engine, without, AS_OF).status is Outcome.PASSED


def test_the_effect_per_assigned_unit_is_that_per_exposed_one_times_the_share_of_the_exposed(
    bench, experiment_of, rows_of
):
    """400 assigned, half of them exposed; buyers: 20 of 100 exposed in A, 40 in B, nobody else."""
    units = range(400)
    rows = {unit: rows_of.exposure(unit, at(5, 8), "AB"[unit % 2], unit) for unit in units}
    exposed = [unit for unit in units if unit < 200]
    bench.insert("assignments", rows.values())
    bench.insert("exposures", [rows[unit] | {"exposed_at": at(5, 9)} for unit in exposed])
    for unit in (*range(0, 40, 2), *range(1, 80, 2)):
        bench.event(unit, at(6, 0))
    engine, effect, n = bench.engine(BOUGHT), {}, {}
    for population in ("exposed", "assigned"):
        experiment = experiment_of("bought", population=population)
        bench.prepare(engine, experiment)
        cells = bench.cells(engine, experiment, AS_OF)
        arms = [cells["bought", variant, None].moments for variant in "BA"]
        effect[population], n[population] = arms[0].mean[0] - arms[1].mean[0], arms[0].n + arms[1].n
    assert n == {"exposed": 200, "assigned": 400}
    assert effect["exposed"] == pytest.approx(0.2)
    assert effect["assigned"] == pytest.approx(0.2 * n["exposed"] / n["assigned"])
