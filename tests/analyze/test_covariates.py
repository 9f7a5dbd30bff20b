"""Several covariates, those of ratios, and those that are missing: against regressions of statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from stats import contrasts
from stats.moments import Moments
from stats.regression import Sample, complete


@pytest.fixture
def frame() -> pd.DataFrame:
    """1,000 units in unequal arms; of a third nothing is known from before, of some only one thing."""
    rng = np.random.default_rng(31)
    n = 1_000
    frame = pd.DataFrame({"v": np.where(rng.random(n) < 0.4, "B", "A"), "x": rng.gamma(2.0, 3.0, n)})
    frame["z"] = 0.5 * frame["x"] + rng.normal(2, 1, n)
    treated = (frame["v"] == "B").to_numpy()
    frame["y"] = 5 + frame["x"] * (1 + 0.3 * treated) + 2 * frame["z"] + rng.normal(0.5 * treated, 1.0)
    frame["views_before"] = rng.poisson(5.0, n) + 1
    frame["clicks_before"] = rng.binomial(frame["views_before"], 0.3)
    frame["views"] = frame["views_before"] + rng.poisson(1.0, n)
    frame["clicks"] = rng.binomial(frame["views"], 0.1 + 0.2 * frame["clicks_before"] / frame["views_before"])
    return frame


@pytest.fixture
def holes(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(32)
    nothing, some = rng.random(len(frame)) < 0.3, rng.random(len(frame)) < 0.1
    frame.loc[nothing, ["x", "z"]] = np.nan
    frame.loc[some, "z"] = np.nan
    return frame


@pytest.fixture
def ask(analyze, tmp_path):
    def call(frame: pd.DataFrame, *options: str):
        frame.to_parquet(tmp_path / "data.parquet")
        return analyze(tmp_path / "data.parquet", *options)

    return call


BOTH = ("--mean", "y", "--covariate", "y=x", "--covariate", "y=z")


def test_several_covariates_are_a_regression_on_all_of_them(ask, frame):
    row = ask(frame, *BOTH, "--adjustment", "ancova").row("y")
    fit = smf.ols("y ~ v + x + z", data=frame).fit()
    found = [row[name] for name in ("estimate", "std_error", "p_value")]
    expected = [fit.params["v[T.B]"], fit.bse["v[T.B]"], fit.pvalues["v[T.B]"]]
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("errors", ["HC2", "HC3"])
def test_lin_is_the_regression_with_all_interactions(ask, frame, errors):
    """For the population: what the covariates' mean itself is uncertain by comes on top of the sandwich."""
    row = ask(frame, *BOTH, "--adjustment", f"lin_{errors.lower()}").row("y")
    for name in ("x", "z"):
        frame[f"c{name}"] = frame[name] - frame[name].mean()
    fit = smf.ols("y ~ v * (cx + cz)", data=frame).fit(cov_type=errors)
    apart = fit.params[["v[T.B]:cx", "v[T.B]:cz"]].to_numpy()
    within = sum(arm[["x", "z"]].cov().to_numpy() * len(arm) for _, arm in frame.groupby("v"))
    variance = fit.bse["v[T.B]"] ** 2 + apart @ within @ apart / len(frame) ** 2
    assert row["estimate"] == pytest.approx(fit.params["v[T.B]"], rel=1e-8)
    assert row["std_error"] == pytest.approx(np.sqrt(variance), rel=1e-8)


def test_missing_covariates_cost_no_unit_and_are_covariates_themselves(ask, holes):
    """The regression on the filled columns and an indicator per pattern of missing."""
    found = ask(holes, *BOTH, "--adjustment", "ancova")
    row, plain = found.row("y"), found.row("y", method="welch_t")
    filled = holes.assign(no_x=holes["x"].isna() * 1, no_z=holes["z"].isna() * 1).fillna({"x": 0, "z": 0})
    fit = smf.ols("y ~ v + x + z + no_x + no_z", data=filled).fit()
    assert row["n_variant"] + row["n_baseline"] == len(holes)
    assert row["estimate"] == pytest.approx(fit.params["v[T.B]"], rel=1e-8)
    assert row["std_error"] == pytest.approx(fit.bse["v[T.B]"], rel=1e-8)
    assert row["std_error"] < plain["std_error"]
    absent = int(holes[["x", "z"]].isna().any(axis=1).sum())
    assert found.json["warnings"] == [
        f"y: {absent} units without a covariate kept: that it is missing is a covariate too."
    ]


def test_what_is_filled_is_what_the_statistics_fill(ask, holes):
    """The same numbers as from arrays, by `stats.regression.complete` and CUPED."""
    samples = [
        Sample.of(*(arm[name].to_numpy() for name in ("y", "x", "z")))
        for arm in (holes[holes["v"] == name] for name in "BA")
    ]
    done = complete(*samples)
    moments = [Moments.from_columns(one.y, *one.x.T) for one in (done.variant, done.baseline)]
    expected = contrasts.adjusted(*moments)
    row = ask(holes, *BOTH).row("y")
    assert row["method"] == "cuped"
    assert row["estimate"] == pytest.approx(float(expected.estimate), rel=1e-9)
    assert row["std_error"] == pytest.approx(float(expected.variance_against(1.0)) ** 0.5, rel=1e-9)


def test_a_covariate_that_nobody_has_is_left_out(ask, frame):
    frame["x"] = np.nan
    found = ask(frame, *BOTH)
    alone = ask(frame, "--mean", "y", "--covariate", "y=z")
    assert found.json["warnings"] == ['y: no unit has a value of covariate "x", so it is left out.']
    for name in ("estimate", "std_error", "method"):
        assert found.row("y")[name] == alone.row("y")[name]
    none = ask(frame, "--mean", "y", "--covariate", "y=x")
    assert none.row("y")["method"] == "welch_t"


def linear(frame: pd.DataFrame, numerator: str, denominator: str) -> pd.Series:
    """Each arm's ratio, and how its units move it."""
    sums = frame.groupby("v")[[numerator, denominator]].transform("mean")
    ratio = sums[numerator] / sums[denominator]
    return ratio + (frame[numerator] - ratio * frame[denominator]) / sums[denominator]


def test_a_ratio_is_adjusted_by_its_own_past(ask, frame):
    """The regression of the linearised units on what they were before."""
    frame["line"] = linear(frame, "clicks", "views")
    frame["before"] = linear(frame, "clicks_before", "views_before")
    fit = smf.ols("line ~ v + before + x", data=frame).fit()
    ratio = ("--ratio", "clicks/views", "--covariate", "clicks/views=x", "--adjustment", "ancova")
    row = ask(frame, *ratio, "--covariate", "clicks/views=clicks_before/views_before").row("clicks/views")
    assert row["estimate"] == pytest.approx(fit.params["v[T.B]"], rel=1e-8)
    assert row["std_error"] == pytest.approx(fit.bse["v[T.B]"], rel=1e-8)
    assert row["std_error"] < ask(frame, *ratio).row("clicks/views")["std_error"]


def test_half_a_past_of_a_ratio_is_none(ask, frame):
    """Who misses one of the two is without a past; the ratio before is that of the others."""
    gone = np.random.default_rng(5).random(len(frame)) < 0.2
    halved = frame.assign(views_before=frame["views_before"].where(~gone))
    both = halved.assign(clicks_before=frame["clicks_before"].where(~gone))
    options = ("--ratio", "clicks/views", "--covariate", "clicks/views=clicks_before/views_before")
    one, other = (ask(data, *options) for data in (halved, both))
    assert one.row("clicks/views")["std_error"] == other.row("clicks/views")["std_error"]
    assert one.json["warnings"] == other.json["warnings"]
    assert f"{gone.sum()} units without a covariate kept" in one.json["warnings"][0]


def test_the_covariate_of_a_group_is_free_of_its_size(ask):
    """Unequal groups that differ in level only: what was before takes nearly all of the error away."""
    rng = np.random.default_rng(6)
    sizes = rng.integers(3, 60, 200)
    group = np.repeat(np.arange(200), sizes)
    level = rng.normal(100, 5, 200)[group]
    frame = pd.DataFrame(
        {"g": group, "v": np.where(group % 2, "B", "A"), "x": level + rng.normal(0, 1, len(group))}
    )
    frame["y"] = level + rng.normal(0, 1, len(group))
    found = ask(frame, "--mean", "y", "--cluster", "g", "--covariate", "y=x")
    assert found.row("y")["variance_reduction"] > 0.98


def test_a_past_that_can_be_read_in_two_ways_is_refused(run, table):
    path = table("v,a,b,a/b,c,d", [("AB"[n % 2], n % 3, 2, 1, n % 2, 3) for n in range(20)])
    done = run(
        path, "--variant", "v", "--control", "A", "--ratio", "c/d", "--covariate", "c/d=a/b",
    )  # fmt: skip
    assert done.err == (
        'tenbin: --covariate c/d=a/b can be read as the column "a/b" or "a" over "b"; rename a column\n'
    )
