"""SDK, Polars and DuckDB give every unit the same shard and the same variant."""

import datetime as dt

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from assignments import AssignmentsError, parse_experiment
from assignments.bulk import assign_frame, shard_expr
from assignments.compile import compile_ruleset
from assignments.sql import assigned_variant_sql, shard_sql
from tenbin_sdk.evaluate import Evaluator
from tenbin_sdk.hashing import shard

NOW = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
ids = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=30)


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def experiment(definition):
    """Half of the layer and a holdout, so that every way to be left out occurs among few units."""
    definition["phases"][1]["slice"] = [[0, 2500], [7000, 9500]]
    definition["bucketing"]["holdout"] = [[0, 1500]]
    return parse_experiment(definition, where="test")


def by_sql(con, expression, units):
    con.register(
        "units",
        pl.DataFrame({"n": range(len(units)), "unit id": pl.Series(units, dtype=pl.String)}).to_arrow(),
    )
    rows = con.execute(f"SELECT {expression.sql('duckdb')} FROM units ORDER BY n").fetchall()
    con.unregister("units")
    return [row[0] for row in rows]


def test_published_vectors_in_polars_and_sql(con, hash_vectors):
    """The empty subject, which is no unit, has no shard in either."""
    for vector in hash_vectors:
        salt, unit = vector["salt"], vector["subject"]
        expected = vector["shard_10000"] if unit else None
        assert by_sql(con, shard_sql(salt, "unit id"), [unit]) == [expected]
        assert pl.select(shard_expr(salt, pl.lit(unit))).item() == expected


@settings(deadline=None)
@given(
    units=ids,
    salt=st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    total=st.integers(1, 1_000_000),
)
def test_shards_are_equal_for_any_text(con, units, salt, total):
    expected = [shard(salt, unit, total) if unit else None for unit in units]
    assert by_sql(con, shard_sql(salt, "unit id", total), units) == expected
    frame = pl.DataFrame({"u": pl.Series(units, dtype=pl.String)})
    assert frame.select(shard_expr(salt, pl.col("u"), total)).to_series().to_list() == expected


def test_variants_are_equal(con, experiment):
    units = [f"{prefix}{number}" for number in range(1_500) for prefix in ("u", "ユニット", "😀")] + [
        "",
        None,
    ]
    bulk = assign_frame(experiment, pl.Series(units))["variant"].to_list()
    evaluator = Evaluator(compile_ruleset([experiment], version=1))
    assert bulk == [evaluator.assign(experiment.key, unit, {}, NOW).variant for unit in units]
    assert bulk == by_sql(con, assigned_variant_sql(experiment, "unit id"), units)
    assert set(bulk) == {"A", "B 😀", None}
    share = sum(variant is not None for variant in bulk) / len(bulk)
    assert share == pytest.approx(0.85 * 0.5, abs=0.03)


def test_traffic_of_an_earlier_phase(experiment):
    """SQL derives the split whichever phase let the unit in, since a phase only changes the traffic."""
    units = pl.Series("unit_id", [f"u{number}" for number in range(2_000)])
    early = assign_frame(experiment, units, phase=1)["variant"]
    late = assign_frame(experiment, units)["variant"]
    evaluator = Evaluator(compile_ruleset([experiment], version=1))
    before = dt.datetime(2026, 1, 26, tzinfo=dt.UTC)
    assert early.to_list() == [evaluator.assign(experiment.key, unit, {}, before).variant for unit in units]
    assert (early.is_null() | (early == late)).all()
    assert early.is_not_null().sum() < late.is_not_null().sum()


def test_integers_are_decimal_text(experiment):
    numbers = assign_frame(experiment, pl.Series("unit_id", [7, 10_000_000_019, -3]))["variant"].to_list()
    assert (
        numbers
        == assign_frame(experiment, pl.Series("unit_id", ["7", "10000000019", "-3"]))["variant"].to_list()
    )


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (pl.DataFrame({"unit_id": [1.5]}), {}, 'column "unit_id" is of type Float64'),
        (pl.DataFrame({"unit_id": [True]}), {}, "a unit is text or an integer"),
        (pl.DataFrame({"user": ["a"]}), {}, 'no column "unit_id"; it has user'),
        (pl.DataFrame({"unit_id": ["a"]}), {"phase": 3}, "has no phase 3; it has 2"),
    ],
)
def test_frames_that_cant_be_assigned(experiment, frame, options, message):
    with pytest.raises(AssignmentsError, match=message):
        assign_frame(experiment, frame, **options)


def test_without_bucketing_nothing_is_derived(experiment):
    foreign = replace(experiment, bucketing=None)
    with pytest.raises(AssignmentsError, match=r"has no \[bucketing\] table"):
        assigned_variant_sql(foreign, "unit_id")
    with pytest.raises(AssignmentsError, match=r"has no \[bucketing\] table"):
        assign_frame(foreign, pl.Series("unit_id", ["a"]))
    assert compile_ruleset([foreign], version=1).experiments == {}


def test_hostile_names_stay_text(con, experiment):
    """A quote in a variant, a salt or a column name is data, not SQL."""
    name = "B'); DROP TABLE x; --"
    phases = tuple(
        replace(
            phase, weights={"A": 1.0, name: 1.0}, ranges={"A": phase.ranges["A"], name: phase.ranges["B 😀"]}
        )
        for phase in experiment.phases
    )
    odd = replace(experiment, phases=phases, bucketing=replace(experiment.bucketing, split_salt="s'\"\\"))
    units = [f"u{number}" for number in range(50)]
    assert (
        by_sql(con, assigned_variant_sql(odd, "unit id"), units)
        == assign_frame(odd, pl.Series(units))["variant"].to_list()
    )
    con.execute('CREATE OR REPLACE TEMP TABLE odd AS SELECT \'u1\' AS "a "" b"')
    sql = shard_sql("s", 'a " b').sql("duckdb")
    assert con.execute(f"SELECT {sql} FROM odd").fetchall() == [(shard("s", "u1"),)]
