"""An A/A test whose weights go from 50/50 to 10/90 half-way, on the same road as any other experiment.

Units come back, and both who comes and how often they buy change over time; so arms that are pooled differ by
tens of per cent without any effect. Units whose shard moved are left out by shard, and effects are those of
the phases, put together.
"""

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl
import pytest

from assignments.allocation import allocate
from assignments.bulk import assign_frame
from assignments.model import Bucketing, Phase
from assignments.sql import shard_sql
from metrics.analysis import plan_of
from metrics.checks import assignment_rederived, mixed_variants
from metrics.checks import srm as srm_check
from metrics.inputs import places
from metrics.model import Metric, Part
from metrics.sql.exposures import first_exposures
from metrics.sql.tree import render
from stats.analysis import Cell, analyse
from stats.results import Outcome

START = dt.date(2026, 1, 1)
DAYS, EDIT = 14, 7
AS_OF = START + dt.timedelta(days=DAYS - 1)
UNITS, SALTS = 4_000, 12
BEFORE = allocate({"A": 1, "B": 1})
AFTER = allocate({"A": 1, "B": 9}, previous=BEFORE)
METRICS = (
    Metric(name="bought", kind="conversion", event="purchase", window="2d"),
    Metric(name="spent", kind="revenue", event="purchase", window="2d", covariate="2d"),
    Metric(
        name="per_order",
        kind="ratio",
        numerator=Part(kind="revenue", event="purchase"),
        denominator=Part(kind="count", event="purchase"),
        window="2d",
    ),
)


def noon(day: int) -> dt.datetime:
    return dt.datetime.combine(START + dt.timedelta(days=day), dt.time(12), dt.UTC)


def definition(experiment_of, salt: str, *, known: bool = True):
    split = (
        (dt.datetime.combine(START, dt.time(), dt.UTC), {"A": 1.0, "B": 1.0}, BEFORE),
        (
            dt.datetime.combine(START + dt.timedelta(days=EDIT), dt.time(), dt.UTC),
            {"A": 1.0, "B": 9.0},
            AFTER,
        ),
    )
    phases = tuple(
        Phase(
            from_=at,
            weights=weights,
            slice=((0, 10_000),) if known else None,
            ranges=ranges if known else None,
        )
        for at, weights, ranges in split
    )
    bucketing = Bucketing(layer="own", layer_salt=f"layer {salt}", split_salt=salt) if known else None
    made = experiment_of(*(metric.name for metric in METRICS), phases=phases, from_exposure=("device",))
    return msgspec.structs.replace(made, bucketing=bucketing)


@pytest.fixture(scope="module")
def visits() -> pl.DataFrame:
    """Unit, day, whether it buys and for how much: regulars come often and from the start, others later."""
    draw = np.random.default_rng(7)
    regular = draw.random(UNITS) < 0.3
    arrives = np.where(regular, draw.integers(0, 3, UNITS), draw.integers(0, DAYS, UNITS))
    comes = draw.random((UNITS, DAYS)) < np.where(regular, 0.7, 0.1)[:, None]
    comes[np.arange(UNITS), arrives] = True
    comes &= np.arange(DAYS) >= arrives[:, None]
    unit, day = np.nonzero(comes)
    rate = np.where(regular[unit], 0.15, 0.05) * np.where(day < EDIT, 1.0, 4.0)  # a sale in the second week
    buys = draw.random(len(unit)) < rate
    return pl.DataFrame({"unit": unit, "day": day, "buys": buys, "value": draw.integers(1, 50, len(unit))})


def assigned(experiment, visits: pl.DataFrame) -> pl.DataFrame:
    """The visits with the variant that was in force on their day."""
    ids = pl.DataFrame({"unit": np.arange(UNITS)}).with_columns(
        unit_id=pl.concat_str(pl.lit("u"), pl.col("unit").cast(pl.String))
    )
    for number in (1, 2):
        ids = assign_frame(experiment, ids, phase=number).rename({"variant": f"phase_{number}"})
    return visits.join(ids, on="unit").with_columns(
        variant=pl.when(pl.col("day") < EDIT).then("phase_1").otherwise("phase_2")
    )


@pytest.fixture(scope="module")
def shop(make_bench, visits):
    """A bench with the purchases of all visits, from which `unit_days` are made once."""
    bench = make_bench()
    times = [noon(day) for day in range(-3, DAYS)]
    first = pl.col("day").min().over("unit")
    earlier = visits.filter(pl.col("day") - 3 < first).with_columns(pl.col("day") - 3)  # for the covariate
    rows = pl.concat([visits, earlier]).filter("buys").with_row_index("number")
    frame = rows.select(
        environment=pl.lit("production"),
        event_id=pl.concat_str(pl.lit("e"), pl.col("number").cast(pl.String)),
        event=pl.lit("purchase"),
        unit_type=pl.lit("user"),
        unit_id=pl.concat_str(pl.lit("u"), pl.col("unit").cast(pl.String)),
        unit_key=pl.col("unit"),
        occurred_at=pl.Series([times[day + 3] + dt.timedelta(minutes=5) for day in rows["day"]]),
        value=pl.col("value"),
        properties=pl.lit("{}"),
        batch=pl.lit(1),
    ).with_columns(occurred_on=pl.col("occurred_at").dt.date())
    bench.con.register("given", frame)
    bench.con.execute("INSERT INTO events BY NAME SELECT * FROM given")
    bench.engine(*METRICS).refresh_unit_days(bench.con)
    yield bench
    bench.con.close()


def expose(bench, experiment, seen: pl.DataFrame) -> None:
    """The exposures of the visits, and the first ones of each unit, in place of those before."""
    times = [noon(day) for day in range(DAYS)]
    frame = (
        seen.with_row_index("number")
        .select(
            environment=pl.lit("production"),
            exposure_id=pl.concat_str(pl.lit("x"), pl.col("number").cast(pl.String)),
            experiment=pl.lit("banner"),
            iteration=pl.lit(1),
            variant="variant",
            unit_type=pl.lit("user"),
            unit_id="unit_id",
            unit_key=pl.col("unit"),
            exposed_at=pl.Series([times[day] for day in seen["day"]]),
            attributes=pl.when(pl.col("unit") % 3 == 0)
            .then(pl.lit('{"device": "phone"}'))
            .otherwise(pl.lit("{}")),
            batch=pl.lit(1),
        )
        .with_columns(occurred_on=pl.col("exposed_at").dt.date())
    )
    bench.con.execute("DELETE FROM exposures")
    bench.con.register("given", frame)
    bench.con.execute("INSERT INTO exposures BY NAME SELECT * FROM given")
    bench.engine(*METRICS).refresh_first_exposures(bench.con, [experiment])


def analysis(bench, experiment, as_of=AS_OF):
    engine = bench.engine(*METRICS)
    plan = plan_of(experiment, engine.metrics, as_of=as_of)
    cells = [
        Cell(
            metric=row.metric, variant=row.variant, phase=row.phase, segment=row.segment, moments=row.moments,
            n_immature=row.n_immature,
        )
        for row in engine.moments(bench.con, experiment, as_of)
    ]  # fmt: skip
    enrolment = engine.enrolment(bench.con, experiment)
    counts = enrolment.counts_by_phase(as_of) if plan.phases else enrolment.counts(as_of)
    engine.write_unit_metrics(bench.con, experiment, as_of)
    found = places(bench.con, engine.plan(experiment), enrolment, as_of, plan.phases)
    return analyse(plan, cells, counts=counts, as_of=as_of, ended=True, places=found)


def head(found, metric, scale="absolute", segment=None):
    (row,) = [
        row
        for row in found.results
        if row.metric == metric and row.headline and row.scale == scale and row.segment == segment
    ]
    return row


def pooled_lift(seen: pl.DataFrame, *, without_switchers: bool) -> float:
    """What pooled arms say: units by their first variant, with those seen in two or without them."""
    units = (
        seen.sort("day")
        .group_by("unit", maintain_order=True)
        .agg(pl.col("variant").first(), pl.col("variant").n_unique().alias("variants"), pl.col("day").first())
    )
    bought = seen.filter("buys").join(units.select("unit", first="day"), on="unit")
    within = bought.filter(pl.col("day") - pl.col("first") < 2)["unit"].unique()
    units = units.filter(pl.col("day") < DAYS - 2).with_columns(bought=pl.col("unit").is_in(within.implode()))
    if without_switchers:
        units = units.filter(pl.col("variants") == 1)
    rate = {name: frame["bought"].mean() for (name,), frame in units.group_by("variant")}
    return rate["B"] / rate["A"] - 1


def test_without_an_effect_the_estimate_is_within_its_error_of_0_where_pooled_arms_are_not(
    shop, visits, experiment_of
):
    z = {metric.name: [] for metric in METRICS}
    naive, by_behaviour = [], []
    for number in range(SALTS):
        experiment = definition(experiment_of, f"salt {number}")
        seen = assigned(experiment, visits)
        expose(shop, experiment, seen)
        found = analysis(shop, experiment)
        for name, values in z.items():
            row = head(found, name)
            values.append(row.estimate / row.std_error)
        naive.append(pooled_lift(seen, without_switchers=False))
        by_behaviour.append(pooled_lift(seen, without_switchers=True))
        assert not found.srm.failed
    assert np.mean(naive) > 0.2
    assert abs(np.mean(by_behaviour)) > 0.1
    for name, values in z.items():
        # Standard normal, if the errors are what they say: mean within 4 of its errors, and the variance too.
        assert abs(np.mean(values)) < 4 / np.sqrt(SALTS), (name, values)
        assert 0.35 < np.mean(np.square(values)) < 2.2, (name, values)


@pytest.fixture(scope="module")
def changed(shop, visits, experiment_of):
    """One of the experiments, its visits and its analysis."""
    experiment = definition(experiment_of, "one")
    seen = assigned(experiment, visits)
    expose(shop, experiment, seen)
    return experiment, seen, analysis(shop, experiment)


def test_the_estimate_is_the_one_of_phases_put_together_by_hand(changed):
    _, seen, found = changed
    units = seen.sort("day").group_by("unit", maintain_order=True).first()
    units = units.filter((pl.col("phase_1") == pl.col("phase_2")) & (pl.col("day") < DAYS - 2))
    bought = seen.filter("buys").join(units.select("unit", first="day"), on="unit")
    within = bought.filter(pl.col("day") - pl.col("first") < 2)["unit"].unique()
    units = units.with_columns(
        bought=pl.col("unit").is_in(within.implode()).cast(pl.Float64), phase=pl.col("day") >= EDIT
    )
    n, effect, variance = len(units), [], []
    for _, phase in units.group_by("phase", maintain_order=True):
        arms = [phase.filter(pl.col("variant") == name)["bought"].to_numpy() for name in "BA"]
        effect.append((len(phase) / n, arms[0].mean() - arms[1].mean()))
        variance.append((len(phase) / n) ** 2 * sum(arm.var() / len(arm) for arm in arms))
    whole = sum(share * each for share, each in effect)
    between = sum(share * (each - whole) ** 2 for share, each in effect) / n
    row = head(found, "bought")
    assert row.estimate == pytest.approx(whole, rel=1e-10)
    assert row.std_error == pytest.approx((sum(variance) + between) ** 0.5, rel=1e-10)
    assert (row.n_variant + row.n_baseline, row.mean_variant - row.mean_baseline) == (
        n, pytest.approx(whole, rel=1e-10),
    )  # fmt: skip
    relative = head(found, "bought", "relative")
    assert (relative.lower <= 0 <= relative.upper) == (row.lower <= 0 <= row.upper)


def test_the_split_is_tested_by_phase_of_first_exposure_before_moved_shards_are_left_out(shop, changed):
    experiment, seen, found = changed
    first = seen.sort("day").group_by("unit", maintain_order=True).first()
    chi2 = 0.0
    for days, share in ((pl.col("day") < EDIT, 0.5), (pl.col("day") >= EDIT, 0.1)):
        variants = first.filter(days)["variant"]
        expected = {"A": len(variants) * share, "B": len(variants) * (1 - share)}
        chi2 += sum(((variants == name).sum() - each) ** 2 / each for name, each in expected.items())
    assert (found.srm.chi2, found.srm.df) == (pytest.approx(chi2), 2)
    assert sum(found.srm.observed.values()) == UNITS
    by_phase = next(one for one in found.findings if one.name == "sample_ratio_by:phase")
    assert (by_phase.status, by_phase.numbers["chi2"]) == (Outcome.PASSED, pytest.approx(chi2))
    engine = shop.engine(*METRICS)
    assert srm_check(shop.con, engine, experiment, AS_OF).numbers["chi2"] == pytest.approx(chi2)
    for name in ("sample_ratio_by:day", "sample_ratio_by:device", "sample_ratio_at_any_time"):
        assert next(one for one in found.findings if one.name == name).status is Outcome.PASSED


def test_moved_units_are_counted_and_are_no_mixed_ones(shop, changed):
    experiment, seen, _ = changed
    moved = seen.filter(pl.col("phase_1") != pl.col("phase_2"))["unit"].n_unique()
    engine = shop.engine(*METRICS)
    found = {one.reason: one.count for one in engine.exclusions(shop.con, experiment, AS_OF)}
    assert found == {"whose shard moved when the weights changed": moved}
    before = {one.reason for one in engine.exclusions(shop.con, experiment, AS_OF - dt.timedelta(days=EDIT))}
    assert not before
    assert mixed_variants(shop.con, engine, experiment, AS_OF).status is Outcome.PASSED
    rederived = assignment_rederived(shop.con, engine, experiment, AS_OF)
    assert (rederived.status, rederived.numbers["different"]) == (Outcome.PASSED, 0)


def test_before_the_change_there_is_one_phase_with_every_unit(shop, changed):
    experiment, seen, _ = changed
    day = AS_OF - dt.timedelta(days=EDIT)
    found = analysis(shop, experiment, day)
    units = seen.filter(pl.col("day") <= EDIT - 1)["unit"].n_unique()
    assert found.srm.df == 1
    assert sum(found.srm.observed.values()) == units
    row = head(found, "bought")
    assert row.n_variant + row.n_baseline + row.n_immature == units


def test_segments_are_compared_within_phases_too(changed):
    _, _, found = changed
    (row,) = [
        one
        for one in found.results
        if (one.segment, one.metric, one.method) == ("device=phone", "bought", "z_unpooled")
        and one.scale == "absolute"
    ]
    assert abs(row.estimate) < 4 * row.std_error


def test_unknown_shards_leave_units_where_they_were_first_seen_and_warn(shop, visits, experiment_of):
    known = definition(experiment_of, "one")
    seen = assigned(known, visits)
    unknown = definition(experiment_of, "one", known=False)
    expose(shop, unknown, seen)
    found = analysis(shop, unknown)
    row = head(found, "bought")
    assert any("who was moved is not known" in warning for warning in found.warnings)
    first = seen.sort("day").group_by("unit", maintain_order=True).first()
    assert row.n_variant + row.n_baseline == (first["day"] < DAYS - 2).sum()
    assert abs(row.estimate) < 4 * row.std_error


def test_an_arm_without_kept_shards_is_undefined(shop, visits, experiment_of):
    experiment = definition(experiment_of, "one")
    swapped = {"A": ((1_000, 2_000),), "B": ((0, 1_000), (2_000, 10_000))}
    first = msgspec.structs.replace(
        experiment.phases[0], weights={"A": 1, "B": 9}, ranges={"A": ((0, 1_000),), "B": ((1_000, 10_000),)}
    )
    second = msgspec.structs.replace(experiment.phases[1], weights={"A": 1.001, "B": 9}, ranges=swapped)
    experiment = msgspec.structs.replace(experiment, phases=(first, second))
    expose(shop, experiment, assigned(experiment, visits))
    row = head(analysis(shop, experiment), "bought")
    assert (row.status, row.reasons) == ("undefined", ("no_kept_shard",))


def test_spark_derives_the_same_shard(experiment_of):
    experiment = definition(experiment_of, "salt")
    sql = render(shard_sql("salt", "unit_id", 10_000), "spark", pretty=False)
    assert "CAST(CONV(SUBSTRING(MD5('salt-' || NULLIF(`unit_id`, '')), 1, 8), 16, 10) AS BIGINT)" in sql
    whole = render(first_exposures(experiment, ZoneInfo("UTC")), "spark")
    assert "0x" not in whole
    assert "UBIGINT" not in whole
