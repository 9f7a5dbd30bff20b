"""Aggregates that others published: 78 experiments of ASOS, 4,873 headline tests of Upworthy."""

import os
from pathlib import Path

import polars as pl
import pytest
from scipy import stats

from tests.support import DATA

ASOS = DATA / "asos" / "asos_digital_experiments_dataset.csv.gz"
UPWORTHY = DATA / "upworthy" / "upworthy_exploratory_packages.parquet"
EVERY = 1 if os.environ.get("TENBIN_TEST_FULL") else 12

there = {
    path: pytest.mark.skipif(not path.is_file(), reason=f"../shared/data/{path.parent.name} is not there")
    for path in (ASOS, UPWORTHY)
}


@there[ASOS]
def test_asos(run, tmp_path):
    """Every stream at its last checkpoint: Welch's t by SciPy, and no p-value where the README finds none."""
    wide = pl.read_csv(ASOS).sort("time_since_start")
    keys = ("experiment_id", "variant_id", "metric_id")
    last = wide.group_by(keys, maintain_order=True).last()
    arms = [
        last.select(
            experiment=pl.format("{}/{}", "experiment_id", "variant_id"),
            metric=pl.format("metric {}", "metric_id"),
            variant=pl.lit(name),
            n=f"count_{arm}",
            mean=f"mean_{arm}",
            variance=f"variance_{arm}",
        )
        for arm, name in (("c", "control"), ("t", "treatment"))
    ]
    path = tmp_path / "asos.parquet"
    pl.concat(arms).write_parquet(path)
    found = run(path, "--moments", "--control", "control").json
    assert len(found) == len(last.unique(keys[:2])) == 99
    rows = {
        (row["experiment"], row["metric"]): row
        for one in found
        for row in one["results"]
        if row["headline"] and row["scale"] == "absolute"
    }
    assert len(rows) == len(last) == 396
    undefined = 0
    for stream in last.iter_rows(named=True):
        row = rows[f"{stream['experiment_id']}/{stream['variant_id']}", f"metric {stream['metric_id']}"]
        sides = [[stream[f"{name}_{arm}"] for name in ("mean", "variance", "count")] for arm in "tc"]
        if any(variance is None for _, variance, _ in sides) or not sum(v for _, v, _ in sides):
            undefined += 1
            assert (row["p_value"], row["status"]) == (None, "undefined"), row["reasons"]
            continue
        test = stats.ttest_ind_from_stats(
            *((m, v**0.5, n)[i] for m, v, n in sides for i in range(3)), equal_var=False
        )
        assert row["p_value"] == pytest.approx(test.pvalue, rel=1e-8, abs=1e-290)
    assert undefined == 15


@there[UPWORTHY]
def test_upworthy(run, tmp_path: Path):
    """Tests of 2 to 14 headlines: clicks by SciPy, the split against equal shares as the README counted."""
    tests = pl.read_parquet(UPWORTHY)
    path = tmp_path / "upworthy.parquet"
    keep = tests["clickability_test_id"].unique(maintain_order=True).gather_every(EVERY)
    tests = tests.filter(pl.col("clickability_test_id").is_in(keep.implode()))
    tests.select(
        experiment="clickability_test_id", variant="row", metric=pl.lit("click"), n="impressions",
        successes="clicks", units="impressions",
    ).write_parquet(path)  # fmt: skip
    done = run(path, "--moments", "--proportions", "z_unpooled")
    found = {one["experiment"]: one for one in done.json}
    assert list(found) == keep.to_list()
    for (key,), test in tests.group_by("clickability_test_id", maintain_order=True):
        shown = test["impressions"].to_numpy()
        expected = stats.chisquare(shown).pvalue if len(shown) > 1 else None
        assert found[key]["srm"]["p_value"] == pytest.approx(expected, rel=1e-9, abs=1e-290)
        pooled = [row for row in found[key]["results"] if row["method"] == "z_pooled" and row["p_value"]]
        clicks = dict(zip(map(str, test["row"]), zip(test["clicks"], shown, strict=True), strict=True))
        for row in pooled:
            (a, n), (b, m) = clicks[row["variant"]], clicks[row["baseline"]]
            p = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False).pvalue
            assert row["p_value"] == pytest.approx(p, rel=1e-8)
        base = test["clicks"][0]
        assert len(pooled) == sum(bool(base + clicks) for clicks in test["clicks"][1:])
    assert done.code == any((one["srm"]["p_value"] or 1) < 0.001 for one in found.values())
