"""4,873 headline tests in one workspace, analysed in one run: the example as it lies, over the real file."""

import os
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from scipy import stats

import tenbin as tenbin_package
from tests.support import DATA, ROOT, tenbin

FILE = DATA / "upworthy" / "upworthy_exploratory_packages.parquet"
EVERY = 1 if os.environ.get("TENBIN_TEST_FULL") else 40


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason="../shared/data/upworthy is not there")
def test_every_test_is_an_experiment_and_a_second_run_writes_nothing(tmp_path: Path):
    root, landed = tmp_path / "upworthy", tmp_path / "tests.parquet"
    root.mkdir()
    tests = pl.read_parquet(FILE)
    keep = tests["clickability_test_id"].unique(maintain_order=True).gather_every(EVERY)
    tests = tests.filter(pl.col("clickability_test_id").is_in(keep.implode()))
    tests.write_parquet(landed)
    settings = (ROOT / "examples" / "upworthy" / "tenbin.toml").read_text(encoding="utf-8")
    original = "../../../shared/data/upworthy/upworthy_exploratory_packages.parquet"
    assert original in settings
    (root / "tenbin.toml").write_text(settings.replace(original, landed.as_posix()), encoding="utf-8")
    tenbin("run", str(root), "--json")
    with tenbin_package.open(root) as con:
        heads = con.execute(
            "SELECT experiment, variant, baseline, estimate FROM results "
            "WHERE headline AND scale = 'absolute' ORDER BY ALL"
        ).fetchall()
        splits = con.execute(
            "SELECT experiment, numbers->>'$.p_value' FROM findings WHERE name = 'srm' ORDER BY ALL"
        ).fetchall()
    assert [key for key, _ in splits] == sorted(keep)
    shown = {(key, str(row)): (n, hits) for key, row, n, hits in tests.select(
        "clickability_test_id", "row", "impressions", "clicks").iter_rows()}  # fmt: skip
    arms = Counter(key for key, _ in shown)
    assert Counter(key for key, *_ in heads) == {key: n - 1 for key, n in arms.items() if n > 1}
    for key, variant, baseline, estimate in heads:
        (n, hits), (m, base) = shown[key, variant], shown[key, baseline]
        assert estimate == pytest.approx(hits / n - base / m, rel=1e-9, abs=1e-12)
    for key, p_value in splits:
        counts = [n for (test, _), (n, _) in shown.items() if test == key]
        if len(counts) > 1:
            assert float(p_value) == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-9, abs=1e-290)
    versions = sorted((root / "lake" / "results" / "_delta_log").iterdir())
    tenbin("run", str(root), "--json")
    assert sorted((root / "lake" / "results" / "_delta_log").iterdir()) == versions
