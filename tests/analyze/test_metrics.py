"""Each kind of metric against SciPy and statsmodels; CUPED against a regression; quantiles by unit."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.proportion import proportions_ztest


@pytest.fixture
def frame() -> pd.DataFrame:
    """3,000 units in unequal arms, spread unequally, with a covariate."""
    rng = np.random.default_rng(20260131)
    n = 3_000
    frame = pd.DataFrame({"v": np.where(rng.random(n) < 0.4, "B", "A"), "x": rng.gamma(2.0, 3.0, n)})
    treated = frame["v"] == "B"
    frame["y"] = frame["x"] + rng.normal(0.4 * treated, 1.0 + treated)
    frame["hit"] = rng.random(n) < np.where(treated, 0.25, 0.2)
    frame["views"] = rng.poisson(5.0, n) + 1
    frame["clicks"] = rng.binomial(frame["views"], np.where(treated, 0.22, 0.2))
    return frame


@pytest.fixture
def found(frame, analyze, tmp_path):
    frame.to_parquet(tmp_path / "data.parquet")
    return analyze(
        tmp_path / "data.parquet", "--mean", "y", "--revenue", "x", "--conversion", "hit",
        "--ratio", "clicks/views", "--quantile", "y@0.9",
    )  # fmt: skip


def arms(frame: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(frame.loc[frame["v"] == name, column].to_numpy(float) for name in "BA")


@pytest.mark.parametrize("column", ["x", "y"])
def test_mean_and_revenue_are_welch(found, frame, column):
    expected = stats.ttest_ind(*arms(frame, column), equal_var=False)
    interval = expected.confidence_interval(0.95)
    row = found.row(column)
    assert row["method"] == "welch_t"
    assert [row["p_value"], row["lower"], row["upper"]] == pytest.approx(
        [expected.pvalue, interval.low, interval.high], rel=1e-9
    )


def test_conversion_is_an_unpooled_z_with_the_pooled_beside_it(found, frame):
    hits = frame.groupby("v")["hit"].agg(["sum", "count"]).loc[["B", "A"]]
    share = hits["sum"] / hits["count"]
    unpooled = share.diff().iloc[1] / np.sqrt((share * (1 - share) / hits["count"]).sum())
    assert found.row("hit")["p_value"] == pytest.approx(2 * stats.norm.sf(abs(unpooled)), rel=1e-9)
    pooled = found.row("hit", method="z_pooled")
    assert pooled["p_value"] == pytest.approx(proportions_ztest(hits["sum"], hits["count"])[1], rel=1e-9)
    assert (pooled["lower"], pooled["upper"], pooled["headline"]) == (None, None, False)


def test_ratio_is_of_sums_by_the_delta_method(found, frame):
    """Welch on the linearised units, which SciPy can do."""
    line = []
    for clicks, views in zip(arms(frame, "clicks"), arms(frame, "views"), strict=True):
        ratio = clicks.sum() / views.sum()
        line.append(ratio + (clicks - ratio * views) / views.mean())
    expected = stats.ttest_ind(*line, equal_var=False)
    row = found.row("clicks/views")
    assert row["estimate"] == pytest.approx(line[0].mean() - line[1].mean(), rel=1e-9)
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)


def test_a_ratio_over_many_rows_is_that_of_their_sums(analyze, table):
    rows = [(1, "A", 1, 4), (1, "A", 3, 4), (2, "A", 1, 2), (3, "B", 2, 3), (3, "B", 1, 1), (4, "B", 0, 2)]
    row = analyze(table("u,v,a,b", rows), "--unit", "u", "--ratio", "a/b").row("a/b")
    assert (row["mean_baseline"], row["mean_variant"]) == (5 / 10, 3 / 6)
    assert (row["n_baseline"], row["n_variant"]) == (2, 2)


def test_a_ratio_without_denominator_is_undefined_and_stops_nothing(analyze, table):
    rows = [("A", 1, 0), ("A", 2, 0), ("B", 1, 2), ("B", 2, 3)]
    found = analyze(table("v,a,b", rows), "--ratio", "a/b", "--mean", "a")
    row = found.row("a/b")
    assert (row["status"], row["reasons"]) == ("undefined", ["zero_denominator"])
    assert [row[name] for name in ("estimate", "p_value", "lower", "upper")] == [None] * 4
    assert found.row("a")["status"] == "ok"


def test_a_covariate_reduces_variance_as_a_regression_does(found, frame, analyze, tmp_path):
    """ANCOVA with HC3 errors is the same estimator to first order; the plain rows stay beside it."""
    adjusted = analyze(tmp_path / "data.parquet", "--mean", "y", "--covariate", "y=x")
    row, plain = adjusted.row("y"), adjusted.row("y", method="welch_t")
    fit = smf.ols("y ~ v + x", data=frame).fit(cov_type="HC3")
    assert row["method"] == "cuped"
    assert row["estimate"] == pytest.approx(fit.params["v[T.B]"], abs=0.02 * fit.bse["v[T.B]"])
    assert row["std_error"] == pytest.approx(fit.bse["v[T.B]"], rel=0.005)
    assert row["variance_reduction"] == pytest.approx(1 - (row["std_error"] / plain["std_error"]) ** 2)
    assert row["variance_reduction"] > 0.8
    assert plain["p_value"] == found.row("y")["p_value"]
    assert plain["headline"] is False


def test_a_constant_covariate_changes_nothing_and_is_said(frame, analyze, tmp_path):
    frame["x"] = 7
    frame.to_parquet(tmp_path / "data.parquet")
    found = analyze(tmp_path / "data.parquet", "--mean", "y", "--covariate", "y=x")
    assert found.row("y")["method"] == "welch_t"
    assert found.json["warnings"] == ["y: the covariate does not vary, so nothing could be adjusted."]


def test_a_quantile_is_numpys(found, frame):
    row = found.row("y@0.9")
    variant, baseline = (np.quantile(values, 0.9) for values in arms(frame, "y"))
    assert (row["mean_variant"], row["mean_baseline"]) == pytest.approx((variant, baseline), rel=1e-11)
    assert row["estimate"] == pytest.approx(variant - baseline)


def test_the_error_of_a_quantile_is_that_of_a_bootstrap(found, frame):
    """Both read the density at the quantile from the same values; 4,000 resamples add an error of 1.1 %."""
    rng = np.random.default_rng(5)
    draws = [
        np.quantile(rng.choice(values, (4_000, len(values))), 0.9, axis=1) for values in arms(frame, "y")
    ]
    assert found.row("y@0.9")["std_error"] == pytest.approx((draws[0] - draws[1]).std(), rel=0.05)


def test_a_quantile_reads_rows_and_clusters_them_by_unit(analyze, frame, tmp_path):
    """Each row four times over says nothing new: with the unit, the error stays; as rows, it halves."""
    frame["u"] = np.arange(len(frame))
    pd.concat([frame] * 4).to_parquet(tmp_path / "four.parquet")
    frame.to_parquet(tmp_path / "one.parquet")
    one = analyze(tmp_path / "one.parquet", "--unit", "u", "--quantile", "y@0.5").row("y@0.5")
    four = analyze(tmp_path / "four.parquet", "--unit", "u", "--quantile", "y@0.5").row("y@0.5")
    rows = analyze(tmp_path / "four.parquet", "--quantile", "y@0.5").row("y@0.5")
    assert (one["n_variant"], four["n_variant"]) == ((frame["v"] == "B").sum(),) * 2
    assert four["std_error"] == pytest.approx(one["std_error"], rel=0.02)
    assert rows["std_error"] == pytest.approx(one["std_error"] / 2, rel=0.1)


def test_a_quantile_leaves_units_without_a_value_out_and_says_so(analyze, table):
    rows = [(n, "AB"[n % 2], None if n < 10 else n) for n in range(200)]
    found = analyze(table("u,v,y", rows), "--unit", "u", "--quantile", "y@0.5")
    assert found.row("y@0.5")["n_variant"] == 95
    assert found.json["warnings"] == [
        (
            "y@0.5: 10 units without a value left out; this conditions on behaviour after assignment, so the "
            "units that remain may not be alike."
        )
    ]


def test_the_relative_row_has_the_p_value_of_the_absolute_one(found):
    for metric in ("y", "x", "hit", "clicks/views", "y@0.9"):
        absolute, relative = found.row(metric), found.row(metric, scale="relative")
        assert relative["p_value"] == absolute["p_value"]
        assert relative["estimate"] == pytest.approx(absolute["estimate"] / absolute["mean_baseline"])
        assert (relative["lower"] > 0 or relative["upper"] < 0) == (absolute["p_value"] < 0.05)


def test_alpha_sets_the_level_of_intervals(analyze, frame, tmp_path):
    frame.to_parquet(tmp_path / "data.parquet")
    row = analyze(tmp_path / "data.parquet", "--mean", "y", "--alpha", "0.1").row("y")
    interval = stats.ttest_ind(*arms(frame, "y"), equal_var=False).confidence_interval(0.9)
    assert (row["alpha"], row["lower"], row["upper"]) == pytest.approx((0.1, interval.low, interval.high))


def test_the_first_metric_typed_is_the_primary_one(analyze, frame, tmp_path):
    frame.to_parquet(tmp_path / "data.parquet")
    found = analyze(tmp_path / "data.parquet", "--revenue", "x", "--conversion", "hit", "--mean", "y")
    roles = {row["metric"]: row["role"] for row in found.json["results"]}
    assert roles == {"x": "primary", "hit": "secondary", "y": "secondary"}


def test_a_finished_file_is_fixed_and_says_otherwise_when_asked(analyze, frame, tmp_path):
    """An anytime interval is wider; the fixed row stays, and is not the headline."""
    frame.to_parquet(tmp_path / "data.parquet")
    fixed = analyze(tmp_path / "data.parquet", "--mean", "y")
    anytime = analyze(tmp_path / "data.parquet", "--mean", "y", "--horizon", "anytime")
    assert {row["horizon"] for row in fixed.json["results"]} == {"fixed"}
    assert anytime.row("y")["horizon"] == "anytime"
    assert anytime.row("y")["lower"] < fixed.row("y")["lower"]
    beside = anytime.row("y", method="welch_t")
    assert (beside["horizon"], beside["headline"]) == ("fixed", False)
    assert beside["lower"] == fixed.row("y")["lower"]
