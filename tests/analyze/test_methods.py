"""Every method of the statistics by option, against SciPy, statsmodels and published numbers."""

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from stats.choices import Method
from tests.support import DATA

COOKIE_CATS = DATA / "cookie_cats" / "cookie_cats.csv.gz"
CLUSTERED = ("cluster_delta", "cluster_cr1", "cluster_cr2")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """900 units in unequal arms, with two covariates, strata, groups and a ratio with its own past."""
    rng = np.random.default_rng(20261125)
    n = 900
    frame = pd.DataFrame({"group": np.arange(n) // 6, "x": rng.gamma(2.0, 3.0, n), "z": rng.normal(2, 1, n)})
    frame["v"] = np.where(frame["group"] % 5 < 2, "B", "A")
    treated = frame["v"] == "B"
    frame["y"] = 5 + frame["x"] + 2 * frame["z"] + rng.normal(0.5 * treated, 1.0 + treated)
    frame["hit"] = rng.random(n) < np.where(treated, 0.3, 0.2)
    frame["country"] = rng.choice(["JP", "US", "DE"], n)
    frame["views_before"] = rng.poisson(5.0, n) + 1
    frame["clicks_before"] = rng.binomial(frame["views_before"], 0.2)
    frame["views"] = frame["views_before"] + rng.poisson(1.0, n)
    frame["clicks"] = rng.binomial(frame["views"], 0.1 + 0.1 * frame["clicks_before"] / frame["views_before"])
    return frame


@pytest.fixture(scope="module")
def path(frame: pd.DataFrame, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("methods") / "data.parquet"
    frame.to_parquet(path)
    return path


def arms(frame: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(frame.loc[frame["v"] == name, column].to_numpy(float) for name in "BA")


def methods_of(done) -> set[str]:
    return {row["method"] for row in done.json["results"]}


def test_every_method_has_its_rows_where_it_applies(analyze, path):
    """So that what options refuse is what `stats.beside` would pass over."""
    asked = [option for name in get_args(Method) if name not in CLUSTERED for option in ("--method", name)]
    metrics = ("--mean", "y", "--conversion", "hit", "--covariate", "y=x", "--strata", "country")
    assert set(get_args(Method)) - set(CLUSTERED) <= methods_of(analyze(path, *metrics, *asked))
    asked = [option for name in CLUSTERED for option in ("--method", name)]
    grouped = analyze(path, "--mean", "y", "--cluster", "group", *asked)
    assert set(CLUSTERED) <= methods_of(grouped)
    assert grouped.row("y")["method"] == "cluster_cr2"


@pytest.mark.parametrize("name", get_args(Method))
def test_a_method_that_applies_to_none_of_the_metrics_is_refused(run, path, name):
    done = run(path, "--variant", "v", "--control", "A", "--quantile", "y@0.5", "--method", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"tenbin: --method {name} applies to none of the metrics; it needs ")


def test_a_method_that_is_none_gets_the_nearest_name(run, path):
    done = run(path, "--variant", "v", "--control", "A", "--mean", "y", "--method", "newcomb")
    assert done.err == 'tenbin: --method newcomb: there is no method "newcomb"; did you mean "newcombe"?\n'


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data (../shared/data) is not on this machine")
@pytest.mark.parametrize(
    ("method", "theirs", "compare", "digits"),
    [
        ("newcombe", "newcomb", "diff", 1e-9),
        ("agresti_caffo", "agresti-caffo", "diff", 1e-9),
        # The statistic at statsmodels' own bounds is 1.9596 and 1.95994, not 1.95996: its search ends early.
        ("miettinen_nurminen", "score", "diff", 1e-4),
        ("miettinen_nurminen", "score", "ratio", 1e-5),
        ("log_relative", "log", "ratio", 1e-9),
    ],
)
def test_intervals_of_cookie_cats_are_those_of_statsmodels(run, method, theirs, compare, digits):
    found = run(
        COOKIE_CATS, "--unit", "userid", "--variant", "version", "--control", "gate_30",
        "--conversion", "retention_7", "--method", method,
    )  # fmt: skip
    counts = pd.read_csv(COOKIE_CATS).groupby("version")["retention_7"].agg(["sum", "count"])
    (hits_v, n_v), (hits_b, n_b) = counts.loc["gate_40"], counts.loc["gate_30"]
    expected = confint_proportions_2indep(hits_v, n_v, hits_b, n_b, method=theirs, compare=compare)
    scale, shift = ("relative", 1) if compare == "ratio" else ("absolute", 0)
    row = found.row("retention_7", variant="gate_40", method=method, scale=scale)
    assert (row["lower"] + shift, row["upper"] + shift) == pytest.approx(expected, rel=digits)


def test_ranks_and_fisher_are_scipys(analyze, frame, path):
    found = analyze(
        path, "--mean", "y", "--conversion", "hit",
        "--method", "mann_whitney", "--method", "brunner_munzel", "--method", "fisher",
    )  # fmt: skip
    v, b = arms(frame, "y")
    ranks = stats.mannwhitneyu(v, b, method="asymptotic").pvalue
    assert found.row("y", method="mann_whitney")["p_value"] == pytest.approx(ranks, rel=1e-6)
    superiority = stats.brunnermunzel(b, v).pvalue
    assert found.row("y", method="brunner_munzel")["p_value"] == pytest.approx(superiority, rel=1e-6)
    hits = pd.crosstab(frame["v"], frame["hit"])
    fisher = found.row("hit", method="fisher")["p_value"]
    assert fisher == pytest.approx(stats.fisher_exact(hits).pvalue, rel=1e-6)


def test_resampling_agrees_with_welch_and_is_seeded(analyze, path):
    """999 replicates know an error to 3 %, 9,999 shuffles a p-value of 0.5 to 0.005."""
    options = ("--mean", "z", "--method", "bootstrap", "--method", "permutation")
    found, again, other = (analyze(path, *options, "--seed", seed) for seed in (1, 1, 2))
    welch = found.row("z")
    assert found.row("z", method="bootstrap")["std_error"] == pytest.approx(welch["std_error"], rel=0.1)
    assert found.row("z", method="permutation")["p_value"] == pytest.approx(welch["p_value"], abs=0.03)
    assert found.out == again.out
    assert found.row("z", method="bootstrap") != other.row("z", method="bootstrap")


@pytest.mark.parametrize(
    ("correction", "theirs"),
    [
        ("holm", "holm"),
        ("hochberg", "simes-hochberg"),
        ("benjamini_hochberg", "fdr_bh"),
        ("benjamini_yekutieli", "fdr_by"),
    ],
)
def test_corrections_are_those_of_statsmodels(analyze, path, correction, theirs):
    metrics = ("y", "z", "x")
    options = [option for name in metrics for option in ("--mean", name)]
    found = analyze(path, *options, "--conversion", "hit", "--correction", correction)
    rows = [found.row(name) for name in (*metrics, "hit")]
    expected = multipletests([row["p_value"] for row in rows], method=theirs)[1]
    assert [row["p_adjusted"] for row in rows] == pytest.approx(list(expected), rel=1e-9)


def test_families_may_be_by_role_and_nothing_corrected(analyze, path):
    options = ("--mean", "y", "--mean", "z", "--conversion", "hit")
    by_role = analyze(path, *options, "--families", "role", "--primary", "z")
    assert [by_role.row(name)["family"] for name in ("z", "y", "hit")] == [
        "primary (1)", "secondary (2)", "secondary (2)",
    ]  # fmt: skip
    plain = analyze(path, *options, "--correction", "none").row("hit")
    assert (plain["p_adjusted"], plain["family"]) == (plain["p_value"], "none")


def test_one_sided_is_a_test_for_an_improvement(analyze, frame, path):
    found = analyze(path, "--mean", "y", "--mean", "z", "--one-sided", "--decrease", "z")
    for name, alternative in (("y", "greater"), ("z", "less")):
        expected = stats.ttest_ind(*arms(frame, name), equal_var=False, alternative=alternative)
        row = found.row(name)
        assert (row["alternative"], row["p_value"]) == (
            alternative, pytest.approx(expected.pvalue, rel=1e-9),
        )  # fmt: skip
        interval = expected.confidence_interval(0.95)
        assert row["lower"] == (pytest.approx(interval.low) if alternative == "greater" else None)
        assert row["upper"] == (pytest.approx(interval.high) if alternative == "less" else None)


def test_the_prior_is_the_one_that_was_stated(analyze, path):
    """Normal times normal, by precision, from what the flat prior says of the same file."""
    options = ("--mean", "y", "--method", "normal_posterior")

    def posterior(prior: str) -> tuple[float, float]:
        row = analyze(path, *options, "--prior", prior).row("y", method="normal_posterior", scale="relative")
        return row["estimate"], (row["upper"] - row["lower"]) / (2 * stats.norm.ppf(0.975))

    lift, sd = posterior("0,inf")
    assert lift == pytest.approx(analyze(path, "--mean", "y").row("y", scale="relative")["estimate"])
    weights = np.array([sd**-2, 0.02**-2])
    assert posterior("0.1,0.02") == pytest.approx(
        (weights @ [lift, 0.1] / weights.sum(), weights.sum() ** -0.5), rel=1e-9
    )


def test_all_pairs_compares_variants_among_themselves(analyze, table):
    rng = np.random.default_rng(2)
    rows = [("ABC"[n % 3], rng.normal(n % 3, 1)) for n in range(600)]
    found = analyze(table("v,y", rows), "--mean", "y", "--all-pairs")
    pairs = {(row["variant"], row["baseline"]) for row in found.json["results"]}
    assert pairs == {("B", "A"), ("C", "A"), ("C", "B")}
    assert {row["family"] for row in found.json["results"] if row["headline"]} == {"success (3)"}
    values = {name: [y for v, y in rows if v == name] for name in "BC"}
    expected = stats.ttest_ind(values["C"], values["B"], equal_var=False)
    (row,) = (
        row
        for row in found.json["results"]
        if row["headline"] and row["baseline"] == "B" and row["scale"] == "absolute"
    )
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    best = next(one for one in found.json["findings"] if one["name"] == "best_arm:y")
    assert best["message"].startswith("y: C is the best arm with probability 100.0%")


def test_a_finding_of_several_variants_says_which_it_is_about(analyze, table):
    rng = np.random.default_rng(3)
    rows = [("ABC"[n % 3], rng.normal(5, 1), n % 2, rng.normal(9, 1)) for n in range(300)]
    options = ("--mean", "y", "--segment", "s", "--covariate", "y=x", "--equivalence", "y=0.1")
    findings = analyze(table("v,y,s,x", rows), *options).json["findings"]
    said = [one["message"] for one in findings if one["name"].endswith(":y:C:A")]
    assert {one.partition(": ")[0] for one in said} == {"y, C against A", "y by s, C against A"}
    two = table("v,y,s,x", [row for row in rows if row[0] != "C"])
    messages = [one["message"] for one in analyze(two, *options).json["findings"]]
    assert not any("against" in one for one in messages)


def test_cr1_is_that_of_statsmodels(analyze, frame, path):
    row = analyze(path, "--mean", "y", "--cluster", "group", "--clusters", "cr1").row("y")
    fit = smf.ols("y ~ v", data=frame).fit(
        cov_type="cluster", cov_kwds={"groups": frame["group"]}, use_t=True
    )
    assert row["method"] == "cluster_cr1"
    found = [row[name] for name in ("estimate", "std_error", "p_value")]
    expected = [fit.params["v[T.B]"], fit.bse["v[T.B]"], fit.pvalues["v[T.B]"]]
    assert found == pytest.approx(expected, rel=1e-8)


def test_few_groups_are_a_warning(analyze, frame, tmp_path):
    few = frame[frame["group"] < 40]
    few.to_parquet(tmp_path / "few.parquet")
    found = analyze(tmp_path / "few.parquet", "--mean", "y", "--cluster", "group", "--clusters", "delta")
    assert "few_clusters" in found.row("y")["reasons"]
    assert any(text.startswith("y: too few clusters in an arm") for text in found.json["warnings"])


def test_strata_are_compared_within_and_put_together(analyze, frame, path):
    """By hand: the difference in each stratum, weighted by the stratum's share of the units."""
    found = analyze(path, "--mean", "y", "--strata", "country")
    means = frame.pivot_table(index="country", columns="v", values="y", aggfunc="mean")
    shares = frame["country"].value_counts(normalize=True)
    row = found.row("y")
    assert row["method"] == "post_stratified"
    assert row["estimate"] == pytest.approx(((means["B"] - means["A"]) * shares).sum(), rel=1e-9)
    assert found.row("y", segment="country=JP")["headline"]


def test_segments_are_tested_against_each_other_and_planned_only_where_said(analyze, path):
    """Cochran's Q over the three countries' differences."""
    found = analyze(path, "--mean", "y", "--segment", "country")
    rows = [found.row("y", segment=f"country={name}") for name in ("DE", "JP", "US")]
    effect = np.array([row["estimate"] for row in rows])
    weight = np.array([row["std_error"] ** -2 for row in rows])
    q = float((weight * (effect - weight @ effect / weight.sum()) ** 2).sum())
    (finding,) = (one for one in found.json["findings"] if one["name"] == "segments:country:y:B:A")
    assert finding["numbers"]["q"] == pytest.approx(q, rel=1e-6)
    assert "after the fact" in finding["message"]
    planned = analyze(path, "--mean", "y", "--segment", "country", "--planned-segments").json["findings"]
    assert not any("after the fact" in one["message"] for one in planned)


def test_the_split_is_tested_by_segment(analyze, frame, path):
    """Pearson's statistic of each country, summed."""
    finding = next(
        one
        for one in analyze(path, "--mean", "y", "--segment", "country", "--weights", "A=3,B=2").json[
            "findings"
        ]
        if one["name"] == "sample_ratio_by:country"
    )
    counts = pd.crosstab(frame["country"], frame["v"])
    parts = [stats.chisquare(row, row.sum() * np.array([0.6, 0.4])) for row in counts.to_numpy()]
    assert finding["numbers"]["chi2"] == pytest.approx(sum(part.statistic for part in parts))
    assert finding["numbers"]["p_value"] == pytest.approx(
        stats.chi2.sf(sum(part.statistic for part in parts), 3), rel=1e-9
    )


def test_a_unit_that_carries_the_result_is_found(analyze, table):
    rows = [("AB"[n % 2], n % 7) for n in range(400)] + [("B", 100_000)]
    found = analyze(table("v,y", rows), "--mean", "y")
    (finding,) = (one for one in found.json["findings"] if one["name"] == "few_units_decide:y:B:A")
    assert finding["status"] == "warning"
    assert "4 units of 401 carry 100% of the variance" in finding["message"]
