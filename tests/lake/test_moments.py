"""Sources of kind `moments`: foreign aggregates come into the lake once, or into quarantine."""

import math

import polars as pl
import pytest

from lake.errors import LakeError
from lake.ingest import ingest
from tests.lake.support import Shop

SOURCE = """
[sources.tests]
kind = "moments"
path = "exports/*"
experiment = { column = "test_id" }
metric = "clicked"
as_of = { column = "day", format = "%d/%m/%Y" }
columns = { n = "users", successes = "clicks" }
"""
HEADER = "test_id,day,variant,users,clicks\n"


@pytest.fixture
def shop(tmp_path) -> Shop:
    return Shop(tmp_path / "shop", SOURCE)


def stated(shop: Shop) -> list[tuple]:
    return shop.query(
        "SELECT experiment, as_of::VARCHAR, metric, variant, n, means, covariances, kind FROM given_moments "
        "ORDER BY ALL"
    )


def test_rows_are_there_as_they_were_stated(shop):
    shop.write("exports/a.csv", f"{HEADER}x,31/01/2026,A,4,1\nx,31/01/2026,B,4,2\n")
    report = ingest(shop.workspace)
    assert [(s.kind, s.rows, s.accepted, s.quarantined) for s in report.sources] == [("moments", 2, 2, 0)]
    assert stated(shop) == [
        ("x", "2026-01-31", "clicked", "A", 4, [0.25], [0.25], "proportion"),
        ("x", "2026-01-31", "clicked", "B", 4, [0.5], [1 / 3], "proportion"),
    ]
    assert ingest(shop.workspace).sources == ()
    assert len(stated(shop)) == 2


def test_a_copy_of_a_file_says_nothing_new(shop):
    for name in ("a.csv", "b.csv"):
        shop.write(f"exports/{name}", f"{HEADER}x,31/01/2026,A,4,1\n")
    (count,) = ingest(shop.workspace).sources
    assert (count.files, count.rows, count.accepted, count.duplicates) == (2, 2, 1, 1)
    assert len(stated(shop)) == 1


def test_rows_that_state_no_moments_are_quarantined_with_line_and_reason(shop):
    shop.write(
        "exports/a.csv",
        f"{HEADER}x,31/01/2026,A,4,5\nx,2026-31-01,A,4,1\n,31/01/2026,A,4,1\nx,31/01/2026,A,-4,1\n"
        "x,31/01/2026,,4,1\nx,31/01/2026,B,4,2\n",
    )
    (count,) = ingest(shop.workspace).sources
    assert (count.accepted, count.quarantined) == (1, 5)
    assert shop.query("SELECT line, reason FROM quarantine ORDER BY line") == [
        (2, "clicks: 5 units of 4 can't have converted; n counts them all"),
        (3, 'day: "2026-31-01" is no day; write one like 2026-01-31'),
        (4, "test_id: is empty; every row needs it"),
        (5, "users: -4 is no whole number from 0 on"),
        (6, "variant: is empty; every row needs it"),
    ]


@pytest.mark.parametrize("ending", ["parquet", "ndjson"])
def test_the_lake_s_own_columns_need_no_mapping(tmp_path, ending):
    shop = Shop(tmp_path / "shop")
    row = {"experiment": "x", "metric": "spent", "variant": "A", "as_of": "2026-01-31", "n": 9,
           "means": [1.5, 0.1], "covariances": [2.0, 3e-4, 3e-4, 1e-7], "covariates": 1}  # fmt: skip
    path = shop.write(f"landing/moments/a.{ending}", b"")
    frame = pl.DataFrame([row, row | {"variant": "B", "n": None}])
    frame.write_parquet(path) if ending == "parquet" else frame.write_ndjson(path)
    (count,) = ingest(shop.workspace).sources
    assert (count.accepted, count.quarantined) == (1, 1)
    assert [row[4:] for row in stated(shop)] == [(9, [1.5, 0.1], [2.0, 3e-4, 3e-4, 1e-7], "mean")]


def test_a_variance_that_is_left_out_stays_unknown(tmp_path):
    shop = Shop(tmp_path / "shop")
    shop.write(
        "landing/moments/a.csv",
        "experiment,metric,variant,as_of,n,mean,variance\nx,m,A,2026-01-31,9,1.5,\n",
    )
    ingest(shop.workspace)
    ((*_, covariances, kind),) = stated(shop)
    assert math.isnan(covariances[0])
    assert kind == "mean"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('columns = { mena = "avg" }', '"mena" is no field of moments; did you mean "mean"?'),
        (
            'metric = "m"\ncolumns = { metric = "kpi" }',
            '"metric" is said by a key of its own too; say it once',
        ),
    ],
)
def test_a_mapping_that_names_no_field(tmp_path, more, said):
    shop = Shop(tmp_path / "shop", f'[sources.tests]\nkind = "moments"\npath = "a.csv"\n{more}')
    shop.write("a.csv", HEADER)
    with pytest.raises(LakeError) as error:
        ingest(shop.workspace)
    assert str(error.value).endswith(f"sources.tests.columns: {said}")


def test_a_column_that_is_not_there(shop):
    shop.write("exports/a.csv", "test_id,day,variant,visitors,clicks\n")
    with pytest.raises(
        LakeError, match=r'there is no column "users" that sources.tests in tenbin\.toml names'
    ):
        ingest(shop.workspace)
