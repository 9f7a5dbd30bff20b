"""The lake as the pipeline uses it: sessions with a view per table, appends, replaced partitions."""

import datetime as dt
import threading

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from lake import LakeError, delta
from lake.locks import scratch
from lake.tables import DELTA_TYPES, TABLES
from tests.lake.support import Shop

LOOK = "SELECT $e AS experiment, 1 AS iteration, $n AS look, DATE '2026-01-01' AS as_of"
LOOKS = "SELECT experiment, look FROM looks ORDER BY ALL"


def look(con, shop, experiment, number):
    return shop.lake.append(con, "looks", LOOK, params={"e": experiment, "n": number})


def test_a_table_that_was_never_written_is_there_typed_and_empty(shop):
    with shop.lake.connect() as con:
        for name, table in TABLES.items():
            described = con.execute(f"DESCRIBE {name}").fetchall()
            assert [(row[0], row[1].replace(" WITH TIME ZONE", "TZ")) for row in described] == [
                (column.name, column.type) for column in table.columns
            ]
            assert con.execute(f"SELECT count(*) FROM {name}").fetchall() == [(0,)]
    assert shop.lake.version("events") is None
    assert shop.lake.paths("events") == ()


def test_every_declared_type_can_be_held(shop):
    assert {column.type for table in TABLES.values() for column in table.columns} <= DELTA_TYPES.keys()
    with shop.lake.connect() as con:
        for name, table in TABLES.items():
            values = {"DATE": "DATE '2026-01-01'", "VARCHAR": "'x'"}
            listed = ", ".join(
                f"{values.get(column.type, 'NULL')} AS {column.name}" for column in table.columns
            )
            assert shop.lake.append(con, name, f"SELECT {listed}").rows == 1
            assert con.execute(f"SELECT count(*) FROM {name}").fetchall() == [(1,)]


def test_other_readers_of_delta_see_the_same(tmp_path):
    """In a folder of plain letters: Polars takes the encoded path of any other for the path."""
    shop = Shop(tmp_path / "plain")
    with shop.lake.connect() as con:
        look(con, shop, "対照群", 1)
        look(con, shop, "b", 2)
        rows = con.execute("SELECT * FROM looks ORDER BY ALL").fetchall()
    assert pl.read_delta(str(shop.root / "lake" / "looks")).sort("experiment").rows() == rows
    found = DeltaTable(shop.root / "lake" / "looks").to_pyarrow_table().to_pylist()
    assert sorted(row["experiment"] for row in found) == ["b", "対照群"]


def test_a_session_keeps_its_snapshot_until_it_is_told(shop):
    with shop.lake.connect() as con, shop.lake.connect() as other:
        look(con, shop, "a", 1)
        assert con.execute(LOOKS).fetchall() == [("a", 1)]
        assert other.execute(LOOKS).fetchall() == []
        shop.lake.snapshot(other, "looks")
        assert other.execute(LOOKS).fetchall() == [("a", 1)]


def test_a_replaced_partition_is_replaced_alone(shop):
    with shop.lake.connect() as con:
        for experiment in ("a", "b 😀", "c"):
            look(con, shop, experiment, 1)
        before = shop.lake.paths("looks")
        written = shop.lake.overwrite(
            con, "looks", LOOK, params={"e": "b 😀", "n": 2}, partition={"experiment": "b 😀"}
        )
        assert con.execute(LOOKS).fetchall() == [("a", 1), ("b 😀", 2), ("c", 1)]
        assert len(set(before) & set(shop.lake.paths("looks"))) == 2
        assert written.rows == 1
        shop.lake.overwrite(
            con,
            "looks",
            "SELECT experiment, iteration, look + 10 AS look, as_of FROM looks WHERE experiment <> 'c'",
            partition={"experiment": ["a", "b 😀"]},
        )
        assert con.execute(LOOKS).fetchall() == [("a", 11), ("b 😀", 12), ("c", 1)]
        shop.lake.overwrite(
            con, "looks", f"{LOOK} WHERE false", params={"e": "", "n": 0}, partition={"experiment": "c"}
        )
        assert con.execute(LOOKS).fetchall() == [("a", 11), ("b 😀", 12)]


def test_a_whole_table_is_replaced_in_one_version(shop):
    with shop.lake.connect() as con:
        look(con, shop, "a", 1)
        version = shop.lake.version("looks")
        shop.lake.overwrite(con, "looks", "SELECT 'z' AS experiment, 1 AS look")
        assert con.execute(LOOKS).fetchall() == [("z", 1)]
    assert shop.lake.version("looks") == version + 1


@pytest.mark.parametrize(
    ("table", "sql", "partition", "says"),
    [
        ("nothing", "SELECT 1", None, 'the lake has no table "nothing"; it has events, '),
        (
            "looks",
            "SELECT 'a' AS experiment, 1 AS looked",
            None,
            'has no column "looked"; it has experiment, ',
        ),
        ("looks", "SELECT 1 AS look", None, "experiment is null in some rows"),
        ("looks", "SELECT 'b' AS experiment", {"experiment": "a"}, 'rows of experiment "b" were given'),
        ("looks", "SELECT 'a' AS experiment", {"as_of": "a"}, "is partitioned by experiment, not by as_of"),
    ],
)
def test_what_does_not_fit_a_table_is_one_sentence_and_changes_nothing(shop, table, sql, partition, says):
    with shop.lake.connect() as con:
        look(con, shop, "a", 1)
        with pytest.raises(LakeError) as raised:
            shop.lake.overwrite(con, table, sql, partition=partition)
        assert says in str(raised.value)
        assert con.execute(LOOKS).fetchall() == [("a", 1)]


def test_columns_are_added_once_and_older_rows_read_null(shop):
    with shop.lake.connect() as con:
        look(con, shop, "a", 1)
        for _ in range(2):
            shop.lake.add_columns(con, "looks", {"größe": "DOUBLE", "list": "BIGINT[]"})
        shop.lake.append(con, "looks", "SELECT 'b' AS experiment, 2 AS look, 1.5 AS größe, [1, 2] AS list")
        assert con.execute("SELECT experiment, größe, list FROM looks ORDER BY 1").fetchall() == [
            ("a", None, None),
            ("b", 1.5, [1, 2]),
        ]
        with pytest.raises(LakeError, match='column "x" can\'t have type JSON; allowed: VARCHAR, '):
            shop.lake.add_columns(con, "looks", {"x": "JSON"})


def test_writers_of_different_partitions_do_not_disturb_each_other(shop):
    """Each takes its own rows out and puts new ones in, while others commit."""
    errors = []

    def write(experiment: str) -> None:
        try:
            with shop.lake.connect() as con:
                for number in range(5):
                    shop.lake.overwrite(
                        con,
                        "looks",
                        LOOK,
                        params={"e": experiment, "n": number},
                        partition={"experiment": experiment},
                    )
        except Exception as error:  # noqa: BLE001  shown by the assertion below
            errors.append(error)

    with shop.lake.connect() as con:
        look(con, shop, "untouched", 7)
    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert shop.query(LOOKS) == [("a", 4), ("b", 4), ("c", 4), ("d", 4), ("untouched", 7)]


def test_a_commit_is_of_the_very_snapshot_and_a_batch_number_is_committed_once(shop):
    table = TABLES["unit_keys"]
    root = shop.root / "lake"
    first, second = delta.load(root, table), delta.load(root, table)
    delta.commit(root, table, first, [], app=("app", 1))
    with pytest.raises(CommitFailedError):
        delta.commit(root, table, second, [], app=("app", 2))  # the same snapshot is not the latest any more
    with pytest.raises(CommitFailedError, match="number 1 was committed before"):
        delta.commit(root, table, delta.load(root, table), [], app=("app", 1))
    delta.commit(root, table, delta.load(root, table), [], app=("app", 2))


def test_a_table_that_a_kill_left_without_a_first_commit_is_made(shop):
    (shop.root / "lake" / "looks" / "_delta_log").mkdir(parents=True)
    with shop.lake.connect() as con:
        look(con, shop, "a", 1)
        assert con.execute(LOOKS).fetchall() == [("a", 1)]


def test_sessions_are_in_utc_and_within_the_memory_that_they_were_given(shop):
    shop.configure("", 'memory_limit = "250MB"\nthreads = 3')
    with shop.lake.connect() as con, con.cursor() as cursor:
        for session in (con, cursor):
            assert session.execute("SELECT TIMESTAMPTZ '2026-01-01 00:00:00+09'::VARCHAR").fetchall() == [
                ("2025-12-31 15:00:00+00",)
            ]
        settings = "SELECT current_setting('threads'), current_setting('memory_limit')"
        assert con.execute(settings).fetchall() == [(3, "238.4 MiB")]
    shop.configure("", 'memory_limit = "100MB"')
    with shop.lake.connect() as con:
        assert con.execute("SELECT current_setting('threads')").fetchall() == [(1,)]


def test_scratch_space_is_cleared_of_the_dead_and_not_of_the_living(tmp_path):
    with scratch(tmp_path) as living:
        (living / "mine").touch()
        dead = tmp_path / ".scratch" / "dead"
        dead.mkdir()
        (dead / "spill").touch()
        with scratch(tmp_path) as other:
            assert not dead.exists()
            assert (living / "mine").exists()
            assert other != living
    assert list((tmp_path / ".scratch").iterdir()) == []


def test_days_are_partitions_that_other_tools_know(shop):
    with shop.lake.connect() as con:
        shop.lake.append(
            con,
            "unit_days",
            "SELECT 'm' AS measure, DATE '2026-01-05' AS occurred_on, 1 AS unit_key, 2 AS events",
        )
    [path] = shop.lake.paths("unit_days")
    assert path.parent.name == "occurred_on=2026-01-05"
    [file] = delta.files(delta.load(shop.root / "lake", TABLES["unit_days"]))
    assert (file.partition, file.rows) == ("2026-01-05", 1)
    assert duckdb.sql(f"SELECT occurred_on FROM '{path}'").fetchall() == [(dt.date(2026, 1, 5),)]
