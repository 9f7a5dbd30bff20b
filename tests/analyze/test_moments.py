"""`analyze --moments`: aggregates say what the units behind them say, in whatever form they are stated."""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lake.tables import TABLES
from stats.aggregates import READ_PAST, is_known

Rows = list[dict[str, object]]

# Metric → its measure and its covariates.
COLUMNS = {
    "bought": ("bought",),
    "spent": ("spent", "history", "age"),
    "clicks/views": ("clicks", "views", "clicks_before", "views_before", "age"),
}
COVARIATES = (
    "--covariate", "spent=history", "--covariate", "spent=age",
    "--covariate", "clicks/views=clicks_before/views_before", "--covariate", "clicks/views=age",
)  # fmt: skip
METRICS = ("--mean", "spent", "--conversion", "bought", "--ratio", "clicks/views")


@pytest.fixture(scope="module")
def units() -> pl.DataFrame:
    """3,000 units in three unequal arms, in 150 groups."""
    rng = np.random.default_rng(41)
    n = 3_000
    variant = rng.choice(["A", "B", "C"], n, p=[0.5, 0.25, 0.25])
    history, age, before = rng.gamma(2.0, 9.0, n), rng.normal(40.0, 9.0, n), rng.poisson(4.0, n) + 1
    views = before + rng.poisson(2.0, n)
    return pl.DataFrame(
        {
            "v": variant,
            "country": rng.choice(["JP", "US"], n, p=[0.3, 0.7]),
            "bought": rng.binomial(1, np.where(variant == "B", 0.14, 0.1)),
            "spent": rng.gamma(2.0, 5.0, n) + 0.7 * history + np.where(variant == "C", 2.0, 0.0),
            "history": history,
            "age": age,
            "views": views,
            "clicks": rng.binomial(views, 0.2),
            "views_before": before,
            "clicks_before": rng.binomial(before, 0.2),
            "group": rng.integers(0, 150, n),
        }
    )


def aggregated(units: pl.DataFrame, columns: dict[str, Sequence[str]], *segments: str) -> Rows:
    """What a warehouse would say of the units, computed by NumPy."""
    return [
        {"metric": metric, "variant": variant, "segment": segment, "n": len(part), **_stated(part, names)}
        for metric, names in columns.items()
        for segment, whole in _parts(units, segments)
        for (variant,), part in whole.group_by("v", maintain_order=True)
    ]


def _parts(units: pl.DataFrame, segments: Sequence[str]) -> Iterator[tuple[str | None, pl.DataFrame]]:
    yield None, units
    for name in segments:
        for (level,), part in units.group_by(name, maintain_order=True):
            yield f"{name}={level}", part


def _stated(part: pl.DataFrame, names: Sequence[str]) -> dict[str, object]:
    data = part.select(names).to_numpy().astype(np.float64)
    cov = np.atleast_2d(np.cov(data, rowvar=False))
    return {"means": data.mean(axis=0).tolist(), "covariances": cov.ravel().tolist()}


@pytest.fixture
def ndjson(tmp_path: Path) -> Callable[[Rows], Path]:
    def write(rows: Rows) -> Path:
        path = tmp_path / "moments.ndjson"
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return path

    return write


@pytest.fixture
def moments(run):
    """`moments(path, *options)`: the object; there must be one."""

    def call(path: Path, *options: object) -> dict:
        done = run(path, "--moments", *options)
        assert done.code in {0, 1}, done.err
        return done.json

    return call


def compare(found: dict, expected: dict) -> None:
    """The same rows and split. Both are rounded to 12 digits, so that the last one may differ by one."""
    assert found["srm"] == expected["srm"]
    assert len(found["results"]) == len(expected["results"]) > 0
    for row, other in zip(found["results"], expected["results"], strict=True):
        for name in row.keys() - {"experiment", "fingerprint"}:
            mine, units = row[name], other[name]
            if name == "reasons":  # what a single unit weighs can't be seen in moments
                units = [code for code in units if code != "influential_unit"]
            is_number = isinstance(units, float)
            same = pytest.approx(units, rel=2e-12, abs=1e-300) if is_number else units
            assert mine == same, (row["metric"], row["method"], row["segment"], name)


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--all-pairs", "--weights", "A=2,B=1,C=1", "--alpha", "0.1", "--correction", "hochberg"),
        ("--guardrail", "bought=0.02", "--equivalence", "spent=0.05", "--decrease", "clicks/views"),
        ("--one-sided", "--primary", "bought", "--families", "role"),
        ("--horizon", "anytime", "--planned-units", "5000", "--msprt", "0.1"),
        ("--horizon", "group_sequential", "--planned-units", "6000", "--looks", "1000,2000"),
        ("--strata", "country", "--adjustment", "post_stratified"),
        ("--adjustment", "lin", "--method", "ancova", "--method", "cuped", "--method", "log_delta"),
        ("--proportions", "miettinen_nurminen", "--method", "fisher", "--method", "beta_posterior"),
    ],
    ids=" ".join,
)
def test_aggregates_say_what_units_say(analyze, moments, ndjson, units, options):
    path = ndjson([]).with_name("units.parquet")
    units.write_parquet(path)
    rows = aggregated(units, COLUMNS, "country")
    kinds = {"bought": "proportion", "spent": "mean", "clicks/views": "ratio"}
    for row in rows:
        row |= {"kind": kinds[str(row["metric"])], "ratio_covariate": row["metric"] == "clicks/views"}
    whole = ("--segment", "country") if "--strata" not in options else ()
    expected = analyze(path, *METRICS, *COVARIATES, *whole, *options)
    compare(moments(ndjson(rows), *METRICS, "--control", "A", *options), expected.json)


def test_randomised_groups_are_clustered_moments(analyze, moments, tmp_path, ndjson, units):
    """A row is about groups: n of them, with the sum of each and how many units it has."""
    units = units.with_columns(v=pl.when(pl.col("group") % 2 == 0).then(pl.lit("A")).otherwise(pl.lit("B")))
    units.write_parquet(tmp_path / "units.parquet")
    groups = units.group_by("group", "v", maintain_order=True).agg(pl.sum("spent"), size=pl.len())
    rows = aggregated(groups, {"spent": ("spent", "size")})
    for row in rows:
        row |= {"clustered": True, "kind": "mean"}
    clustered = ("--mean", "spent", "--clusters", "delta")
    expected = analyze(tmp_path / "units.parquet", *clustered, "--cluster", "group")
    compare(moments(ndjson(rows), *clustered, "--control", "A"), expected.json)


# Forms

LISTS = {
    "metric,variant,kind,n,means,covariances": [
        ("paid", "A", "", 100, "[0.5]", "[0.25]"),
        ("paid", "B", "", 120, "[0.75]", "[[0.5]]"),
        ("rate", "A", "ratio", 100, "[1.5, 3.0]", "[1.0, 0.5, 0.5, 2.0]"),
        ("rate", "B", "ratio", 120, "[2.25, 3.5]", "[[1.25, 0.5], [0.5, 2.0]]"),
    ]
}
FORMS = {
    "flat": {
        "metric,variant,n,mean,variance,mean_numerator,mean_denominator,var_numerator,var_denominator,"
        "covariance": [
            ("paid", "A", 100, 0.5, 0.25, *[None] * 5),
            ("paid", "B", 120, 0.75, 0.5, *[None] * 5),
            ("rate", "A", 100, None, None, 1.5, 3, 1, 2, 0.5),
            ("rate", "B", 120, None, None, 2.25, 3.5, 1.25, 2, 0.5),
        ]
    },
    "numbered": {
        "metric,variant,n,covariates,mean_1,mean_2,covariance_1_1,covariance_1_2,covariance_2_2": [
            ("paid", "A", 100, "", 0.5, None, 0.25, None, None),
            ("paid", "B", "120.0", 0, 0.75, None, 0.5, None, None),
            ("rate", "A", 100, 0, 1.5, 3, 1, 0.5, 2),
            ("rate", "B", 120, 0, 2.25, 3.5, 1.25, 0.5, 2),
        ]
    },
    "standard deviations": {
        "metric,variant,n,mean,std,means,covariances,kind": [
            ("paid", "A", 100, 0.5, 0.5, None, None, None),
            ("paid", "B", 120, 0.75, 0.5**0.5, None, None, None),
            ("rate", "A", 100, None, None, "[1.5,3]", "[1,0.5,0.5,2]", "ratio"),
            ("rate", "B", 120, None, None, "[2.25,3.5]", "[1.25,0.5,0.5,2]", "ratio"),
        ]
    },
}  # fmt: skip


@pytest.fixture
def answered(moments, table):
    def call(content: dict, *options: str) -> dict:
        ((header, rows),) = content.items()
        return moments(table(header, rows), *options)

    return call


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_says_the_same(answered, form):
    compare(answered(FORMS[form]), answered(LISTS))


def test_lists_of_parquet_are_those_of_json(moments, tmp_path, answered):
    rows = [
        {
            "metric": m,
            "variant": v,
            "kind": k or None,
            "n": n,
            "means": json.loads(a),
            "covariances": _flat(b),
        }
        for m, v, k, n, a, b in next(iter(LISTS.values()))
    ]
    path = tmp_path / "data.parquet"
    pl.DataFrame(rows).with_columns(pl.lit("x").alias("fingerprint")).write_parquet(path)
    compare(moments(path), answered(LISTS))


def _flat(text: str) -> list[float]:
    return [x for part in json.loads(text) for x in (part if isinstance(part, list) else [part])]


def test_conversions_are_counted_and_shares_have_their_variance(answered):
    counted = {"metric,variant,n,successes": [("y", "A", 1000, 100), ("y", "B", 990, 133)]}
    share = {"metric,variant,n,mean,kind": [("y", "A", 1000, 0.1, "proportion"),
                                            ("y", "B", 990, 133 / 990, "proportion")]}  # fmt: skip
    compare(answered(share), answered(counted))
    assert answered(counted)["results"][0]["method"] == "z_unpooled"
    said = answered({"metric,variant,n,mean": [row[:4] for row in share.popitem()[1]]}, "--conversion", "y")
    compare(said, answered(counted))


def test_sums_of_squares_are_exact_and_said(answered):
    """Values around 10^9 with a variance of about 1: in doubles nothing of it would be left."""
    data = {"A": [10**9 + d for d in (0, 1, 2, 3)], "B": [10**9 + d for d in (2, 3, 5, 4, 4)]}
    sums = {"metric,variant,n,sum,sum_squares": [
        ("y", v, len(x), sum(x), sum(i * i for i in x)) for v, x in data.items()]}  # fmt: skip
    plain = {BASE: [("y", v, len(x), sum(x) / len(x), statistics.variance(x)) for v, x in data.items()]}
    found = answered(sums)
    compare(found, answered(plain))
    assert any("2 rows from sums of squares" in warning for warning in found["warnings"])


# Roles, splits, days, experiments

BASE = "metric,variant,n,mean,variance"
TWO = [("m", "A", 100, 1.0, 2.0), ("m", "B", 110, 1.9, 2.1)]


def test_what_the_file_says_of_its_metrics(answered):
    header = f"{BASE},role,direction,margin,equivalence"
    rows = [
        *((*row, "guardrail", "decrease", 0.05, None) for row in TWO),
        ("k", "A", 100, 3.0, 1.0, None, None, None, None),
        ("k", "B", 110, 3.1, 1.0, None, None, None, 0.1),
    ]
    found = answered({header: rows})
    assert {row["metric"]: row["role"] for row in found["results"]} == {"m": "guardrail", "k": "primary"}
    assert {row["metric"] for row in found["results"] if row["method"] == "non_inferiority"} == {"m"}
    assert {row["metric"] for row in found["results"] if row["method"] == "equivalence"} == {"k"}
    asked = answered({header: rows}, "--mean", "m", "--guardrail", "m=0.01", "--decrease", "m")
    assert {row["metric"] for row in asked["results"]} == {"m"}


def test_the_first_row_names_the_control(answered):
    assert {row["baseline"] for row in answered({BASE: TWO})["results"]} == {"A"}
    assert {row["baseline"] for row in answered({BASE: TWO}, "--control", "B")["results"]} == {"A", "B"} - {
        "A"
    }


def test_the_split_is_of_units_that_all_metrics_share(answered):
    more = [*TWO, ("k", "A", 90, 1.0, 1.0), ("k", "B", 110, 1.0, 1.0)]
    assert answered({BASE: TWO})["srm"]["observed"] == {"A": 100, "B": 110}
    untested = answered({BASE: more})
    assert untested["srm"] == {"observed": {}, "expected": {}, "chi2": None, "p_value": None}
    assert any(warning.startswith("The split was not tested") for warning in untested["warnings"])
    said = answered({f"{BASE},units": [(*row, {"A": 500, "B": 900}[row[1]]) for row in more]})
    assert said["srm"]["observed"] == {"A": 500, "B": 900}


def test_immature_units_were_randomised_too(answered):
    found = answered({f"{BASE},n_immature": [(*TWO[0], 40), (*TWO[1], 30)]})
    assert found["srm"]["observed"] == {"A": 140, "B": 140}
    assert {row["n_immature"] for row in found["results"]} == {70}


def test_a_broken_split_is_found_and_an_unknown_one_is_said(run, table):
    broken = run(table(BASE, [("m", "A", 1000, 1, 2), ("m", "B", 1300, 3, 2)]), "--moments")
    assert (broken.code, broken.json["srm"]["p_value"] < 1e-6) == (1, True)
    path = table(BASE, [*TWO, ("k", "A", 90, 1.0, 1.0), ("k", "B", 110, 1.0, 1.0)])
    shown = run(path, "--moments", output=())
    assert shown.code == 0
    assert "Split not tested" in shown.out
    assert "the split of the units was not tested" in shown.out
    assert "as planned" not in shown.out
    out = path.with_name("out.html")
    run(path, "--moments", "--report", out)
    assert "The split can&#39;t be tested: nobody said how many were randomised." in out.read_text("utf-8")


def test_the_latest_day_is_analysed(answered):
    days = {f"{BASE},as_of": [
        *((*row, "2026-01-01") for row in [("m", "A", 10, 5, 1), ("m", "B", 10, 5, 1)]),
        *((*row, "2026-01-02 00:00:00") for row in TWO),
    ]}  # fmt: skip
    found = answered(days)
    assert {(row["n_baseline"], row["as_of"]) for row in found["results"]} == {(100, "2026-01-02")}
    assert any("latest of 2 days" in warning for warning in found["warnings"])


def test_an_unknown_variance_hides_no_other_result(answered):
    found = answered({BASE: [*TWO, ("k", "A", 100, 1.0, None), ("k", "B", 110, 1.0, 1.0)]})
    status = {row["metric"]: (row["status"], row["reasons"]) for row in found["results"]}
    assert status["m"][0] == "ok"
    assert status["k"] == ("undefined", ["not_finite"])
    assert "1 row without a variance: nothing can be compared with it." in found["warnings"]


def test_a_variant_without_units_is_said(answered):
    found = answered({BASE: [*TWO, ("m", "C", 0, None, None)]})
    reasons = {row["variant"]: row["reasons"] for row in found["results"]}
    assert reasons["C"] == ["no_units"]
    assert found["srm"]["observed"] == {"A": 100, "B": 110, "C": 0}


def test_each_experiment_has_its_answer(run, table):
    rows = [("x", *row) for row in TWO] + [("y", "k", v, 1000 * n, 1.0, 2.0) for v, n in (("Q", 1), ("R", 2))]
    path = table(f"experiment,{BASE}", rows)
    done = run(path, "--moments")
    assert done.code == 1  # of y, whose split is broken
    x, y = done.json
    assert (x["experiment"], x["verdict"], y["experiment"], y["verdict"]) == ("x", "ship", "y", "investigate")
    assert {row["experiment"] for row in x["results"]} == {"x"}
    assert [row["baseline"] for row in y["results"][:1]] == ["Q"]
    shown = run(path, "--moments", output=())
    assert [line for line in shown.out.splitlines() if line in {"x", "y"}] == ["x", "y"]
    alone = run(table(f"experiment,{BASE}", rows[:2], "one.csv"), "--moments").json
    assert alone[0]["results"] == x["results"]


def test_an_experiment_of_one_variant_hides_no_other(run, table):
    rows = [*(("x", *row) for row in TWO), ("y", "m", "A", 100, 1.0, 1.0)]
    x, y = run(table(f"experiment,{BASE}", rows), "--moments").json
    assert x["results"]
    assert y["results"] == []


def test_what_is_not_read_is_said(answered):
    found = answered({f"{BASE},owner": [(*row, "ann") for row in TWO]})
    assert found["warnings"][0] == 'Columns that mean nothing here were not read: "owner".'


def test_a_page(run, table, tmp_path):
    out = tmp_path / "out.html"
    done = run(table(BASE, TWO), "--moments", "--report", out)
    assert done.code == 0
    page = out.read_text(encoding="utf-8")
    assert "seen in more than one variant" not in page
    assert "the aggregates are stated in the file" in page


def test_the_same_file_gives_the_same_bytes(run, ndjson, units):
    path = ndjson(aggregated(units, {"spent": ("spent",)}, "country"))
    first, again = (run(path, "--moments").out for _ in range(2))
    assert first == again


def test_order_of_rows_changes_no_number(moments, ndjson, units):
    rows = aggregated(units, {"spent": ("spent",)}, "country")
    forth, back = (moments(ndjson(some), "--control", "A") for some in (rows, rows[::-1]))
    assert sorted(map(str, forth["results"])) == sorted(map(str, back["results"]))


def test_the_table_of_the_lake_is_such_a_file():
    """All of its columns are read, or are known to be of no use here."""
    assert [name for name in TABLES["moments"].names if not is_known(name)] == list(READ_PAST)
