"""Data that nobody here wrote, against published answers and pandas, SciPy, statsmodels."""

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from tests.support import DATA

COOKIE_CATS = DATA / "cookie_cats" / "cookie_cats.csv.gz"
UDACITY = DATA / "udacity_landing" / "ab_data.csv.gz"

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real data (../shared/data beside the project) is not on this machine"
)


@pytest.fixture
def cookie_cats(run):
    return run(
        COOKIE_CATS, "--unit", "userid", "--variant", "version", "--control", "gate_30",
        "--conversion", "retention_7", "--conversion", "retention_1", "--mean", "sum_gamerounds",
    )  # fmt: skip


@pytest.fixture
def players() -> pd.DataFrame:
    return pd.read_csv(COOKIE_CATS)


def test_cookie_cats_published(cookie_cats):
    """The numbers that were published of this experiment, digit by digit."""
    assert cookie_cats.code == 0
    assert cookie_cats.json["units"] == {
        "rows": 90_189, "units": 90_189, "mixed_variant": 0, "null_variant": 0,
    }  # fmt: skip
    assert f"{cookie_cats.json['srm']['p_value']:.4f}" == "0.0086"
    row = cookie_cats.row("retention_7", variant="gate_40")
    assert (f"{row['mean_baseline']:.2%}", f"{row['mean_variant']:.2%}") == ("19.02%", "18.20%")
    pooled = cookie_cats.row("retention_7", variant="gate_40", method="z_pooled")
    assert f"{pooled['estimate'] / pooled['std_error']:.3f}" == "-3.164"


def test_cookie_cats_sample_ratio(cookie_cats, players):
    observed = players["version"].value_counts()
    expected = stats.chisquare(observed)
    srm = cookie_cats.json["srm"]
    assert srm["observed"] == observed.to_dict()
    assert srm["expected"] == {"gate_30": 45_094.5, "gate_40": 45_094.5}
    assert srm["chi2"] == pytest.approx(expected.statistic, rel=1e-12)
    assert srm["p_value"] == pytest.approx(expected.pvalue, rel=1e-12)


@pytest.mark.parametrize("column", ["retention_1", "retention_7"])
def test_cookie_cats_conversions(cookie_cats, players, column):
    """Pooled z and the unpooled interval, by statsmodels from the raw file."""
    arms = players.groupby("version")[column].agg(["sum", "count"]).loc[["gate_40", "gate_30"]]
    z, p = proportions_ztest(arms["sum"], arms["count"])
    pooled = cookie_cats.row(column, variant="gate_40", method="z_pooled")
    assert pooled["p_value"] == pytest.approx(p, rel=1e-9)
    assert pooled["estimate"] / pooled["std_error"] == pytest.approx(z, rel=1e-9)
    (hits_v, hits_b), (n_v, n_b) = arms["sum"], arms["count"]
    lower, upper = confint_proportions_2indep(hits_v, n_v, hits_b, n_b, method="wald", compare="diff")
    row = cookie_cats.row(column, variant="gate_40")
    assert (row["lower"], row["upper"]) == pytest.approx((lower, upper), rel=1e-9)


def test_cookie_cats_mean(cookie_cats, players):
    """Welch's t and its interval by SciPy, with the player of 49,854 rounds in it."""
    arms = dict(list(players.groupby("version")["sum_gamerounds"]))
    expected = stats.ttest_ind(arms["gate_40"], arms["gate_30"], equal_var=False)
    row = cookie_cats.row("sum_gamerounds", variant="gate_40")
    interval = expected.confidence_interval(0.95)
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert (row["lower"], row["upper"]) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_udacity_excludes_and_counts_units_of_both_arms(run):
    found = run(
        UDACITY,
        "--unit",
        "user_id",
        "--variant",
        "group",
        "--control",
        "control",
        "--conversion",
        "converted",
    )
    rows = pd.read_csv(UDACITY)
    arms_of_user = rows.groupby("user_id")["group"].nunique()
    mixed = arms_of_user.index[arms_of_user > 1]
    kept = rows[~rows["user_id"].isin(mixed)].groupby("user_id").agg({"group": "first", "converted": "max"})
    arms = kept.groupby("group")["converted"].agg(["sum", "count"]).loc[["treatment", "control"]]
    assert found.json["units"] == {
        "rows": 294_478, "units": len(kept), "mixed_variant": 1_895, "null_variant": 0,
    }  # fmt: skip
    assert len(mixed) == 1_895
    assert found.json["srm"]["observed"] == arms["count"].to_dict()
    pooled = found.row("converted", variant="treatment", method="z_pooled")
    assert pooled["p_value"] == pytest.approx(proportions_ztest(arms["sum"], arms["count"])[1], rel=1e-9)


@pytest.mark.parametrize(
    ("published", "keep", "options"),
    [
        pytest.param("0.2161", lambda rows: rows, (), id="every row is a unit"),
        pytest.param(
            "0.1899",
            lambda rows: rows[(rows["group"] == "control") == (rows["landing_page"] == "old_page")],
            ("--unit", "user_id"),
            id="without rows whose page contradicts their arm",
        ),
        pytest.param(
            "0.1876",
            lambda rows: rows.sort_values("timestamp").drop_duplicates("user_id"),
            ("--unit", "user_id"),
            id="the first row of each user",
        ),
        pytest.param(
            "0.2323",
            lambda rows: rows[~rows["user_id"].duplicated(keep=False)],
            ("--unit", "user_id"),
            id="users with one row",
        ),
    ],
)
def test_udacity_published(run, tmp_path: Path, published, keep, options):
    """The four defensible answers, each from the rows that it is about."""
    path = tmp_path / "rows.parquet"
    keep(pd.read_csv(UDACITY)).to_parquet(path)
    found = run(path, *options, "--variant", "group", "--control", "control", "--conversion", "converted")
    pooled = found.row("converted", variant="treatment", method="z_pooled")
    assert f"{pooled['p_value']:.4f}" == published
