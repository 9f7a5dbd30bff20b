"""`--cluster`: when groups were randomised, groups are what counts for errors and for the split."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats


@pytest.fixture
def schools() -> pd.DataFrame:
    """120 schools of 5 to 60 pupils, who are more alike within a school than between."""
    rng = np.random.default_rng(7)
    sizes = rng.integers(5, 61, 120)
    school = np.repeat(np.arange(120), sizes)
    frame = pd.DataFrame({"school": school, "v": np.where(school % 2 == 0, "A", "B")})
    level = rng.normal(0, 2, 120)[school]
    frame["before"] = level + rng.normal(10, 1, len(frame))
    frame["score"] = level + rng.normal(0.3 * (frame["v"] == "B"), 1, len(frame))
    frame["passed"] = frame["score"] > 0
    frame["tries"] = rng.poisson(3, len(frame)) + 1
    frame["right"] = rng.binomial(frame["tries"], 1 / (1 + np.exp(-level)))
    frame["pupil"] = np.arange(len(frame))
    return frame


@pytest.fixture
def found(schools, analyze, tmp_path):
    schools.to_parquet(tmp_path / "schools.parquet")
    return analyze(
        tmp_path / "schools.parquet", "--unit", "pupil", "--cluster", "school", "--mean", "score",
        "--conversion", "passed", "--ratio", "right/tries", "--quantile", "score@0.5",
    )  # fmt: skip


@pytest.mark.parametrize("column", ["score", "passed"])
def test_the_delta_method_is_a_cluster_robust_regression(analyze, schools, found, tmp_path, column):
    """The regression without its small-sample factor; ours is n / (n - 1) in each arm of 60 schools."""
    schools["y"] = schools[column].astype(float)
    fit = smf.ols("y ~ v", data=schools).fit(
        cov_type="cluster", cov_kwds={"groups": schools["school"], "use_correction": False}
    )
    row = analyze(
        tmp_path / "schools.parquet", "--unit", "pupil", "--cluster", "school", "--clusters", "delta",
        "--mean", "score", "--conversion", "passed",
    ).row(column)  # fmt: skip
    assert row["method"] == "cluster_delta"
    assert row["estimate"] == found.row(column)["estimate"]
    assert row["estimate"] == pytest.approx(fit.params["v[T.B]"], rel=1e-9)
    assert row["std_error"] == pytest.approx(fit.bse["v[T.B]"] * np.sqrt(60 / 59), rel=1e-9)
    assert (row["n_baseline"], row["n_variant"]) == (60, 60)


@pytest.mark.parametrize("column", ["score", "passed"])
def test_the_headline_is_bell_and_mccaffreys(found, schools, column):
    """By hand: squared residuals of schools, each over 1 less the school's share of the arm's pupils."""
    parts = []
    for _, arm in schools.groupby("v"):
        sums = arm.groupby("school")[column].agg(["sum", "size"]).astype(float)
        left = sums["sum"] - arm[column].mean() * sums["size"]
        parts.append((left**2 / (1 - sums["size"] / len(arm))).sum() / len(arm) ** 2)
    row = found.row(column)
    assert row["method"] == "cluster_cr2"
    assert row["std_error"] == pytest.approx(np.sqrt(sum(parts)), rel=1e-9)


def test_a_ratio_is_summed_by_group(found, schools):
    sums = schools.groupby(["v", "school"])[["right", "tries"]].sum()
    line = []
    for name in "BA":
        right, tries = sums.loc[name, "right"], sums.loc[name, "tries"]
        ratio = right.sum() / tries.sum()
        line.append(ratio + (right - ratio * tries) / tries.mean())
    expected = stats.ttest_ind(*line, equal_var=False)
    row = found.row("right/tries")
    assert row["estimate"] == pytest.approx(line[0].mean() - line[1].mean())
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_error_of_a_quantile_grows_with_the_groups(found, analyze, tmp_path):
    alone = analyze(tmp_path / "schools.parquet", "--unit", "pupil", "--quantile", "score@0.5")
    row = found.row("score@0.5")
    assert row["estimate"] == alone.row("score@0.5")["estimate"]
    assert row["std_error"] > 2 * alone.row("score@0.5")["std_error"]
    assert (row["n_baseline"], row["n_variant"]) == (60, 60)


def test_the_split_is_of_groups(found, schools):
    srm = found.json["srm"]
    assert srm["observed"] == {"A": 60, "B": 60}
    assert srm["p_value"] == 1.0
    assert found.json["units"]["units"] == len(schools)


def test_a_covariate_helps_groups_too(analyze, found, tmp_path):
    better = analyze(
        tmp_path / "schools.parquet", "--unit", "pupil", "--cluster", "school", "--mean", "score",
        "--covariate", "score=before",
    ).row("score")  # fmt: skip
    assert better["method"] == "cuped"
    assert better["std_error"] < found.row("score")["std_error"]


def test_a_group_of_two_variants_is_left_out_whole(analyze, table):
    rows = [(n, n // 10, "AB"[n // 10 % 2], n % 3) for n in range(400)] + [(400, 0, "B", 1)]
    found = analyze(table("u,g,v,y", rows), "--unit", "u", "--cluster", "g", "--mean", "y")
    assert found.json["units"] == {"rows": 401, "units": 390, "mixed_variant": 11, "null_variant": 0}
    assert found.json["srm"]["observed"] == {"A": 19, "B": 20}
    assert (
        "11 units in groups of several variants left out: a group has one variant when groups are randomised."
        in found.json["warnings"]
    )


def test_a_unit_in_groups_of_two_variants_is_left_out_alone(analyze, table):
    """It was in both arms; the others of its groups were not."""
    rows = [(n, n // 10, "AB"[n // 10 % 2], n % 3) for n in range(400)] + [(0, 1, "B", 1)]
    found = analyze(table("u,g,v,y", rows), "--unit", "u", "--cluster", "g", "--mean", "y")
    assert found.json["units"]["mixed_variant"] == 1
    assert found.json["srm"]["observed"] == {"A": 20, "B": 20}


def test_a_unit_in_two_groups_of_one_variant_is_refused(run, table):
    path = table("u,g,v,y", [(1, "x", "A", 1), (2, "y", "A", 1), (3, "z", "B", 1), (1, "y", "A", 1)])
    done = run(path, "--variant", "v", "--control", "A", "--unit", "u", "--cluster", "g", "--mean", "y")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"tenbin: {path}: row 4 (header not counted): its unit was in another group in row 1; with --cluster "
        "a unit belongs to one group\n"
    )


def test_a_row_without_its_group_is_refused(run, table):
    path = table("g,v,y", [("x", "A", 1), (None, None, 1), (None, "B", 1)])
    done = run(path, "--variant", "v", "--control", "A", "--cluster", "g", "--mean", "y")
    assert (done.code, done.out) == (2, "")
    assert f'{path}: row 3 (header not counted), column "g": is empty' in done.err


def test_groups_are_counted_by_segment_where_their_first_unit_is(analyze, table):
    """Ten groups of three, of which the first unit alone is in segment "first"."""
    rows = [(n, n // 3, "AB"[n // 3 % 2], n % 5, "other" if n % 3 else "first") for n in range(30)]
    found = analyze(
        table("u,g,v,y,s", rows), "--unit", "u", "--cluster", "g", "--mean", "y", "--segment", "s"
    )
    split = next(one for one in found.json["findings"] if one["name"] == "sample_ratio_by:s")
    assert split["status"] == "passed"
    assert split["numbers"]["df"] == 1
    assert found.row("y", segment="s=other")["n_variant"] == 5
