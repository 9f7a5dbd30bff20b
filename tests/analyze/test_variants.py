"""More than two variants, weights, the sample ratio, Holm's correction, and which way is good."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"v": rng.choice(["A", "B", "C", "D"], 8_000, p=[0.5, 0.25, 0.15, 0.1])})
    rate = frame["v"].map({"A": 0.10, "B": 0.13, "C": 0.11, "D": 0.06})
    frame["hit"] = rng.random(len(frame)) < rate
    frame["amount"] = rng.exponential(1 + rate)
    return frame


@pytest.fixture
def found(frame, analyze, tmp_path):
    frame.to_csv(tmp_path / "data.csv", index=False)
    return analyze(
        tmp_path / "data.csv", "--conversion", "hit", "--mean", "amount",
        "--weights", "A=0.5,B=0.25,C=0.15,D=0.1",
    )  # fmt: skip


def test_every_variant_is_compared_with_the_control(found, frame):
    for variant in "BCD":
        arms = [frame.loc[frame["v"] == name, "amount"] for name in (variant, "A")]
        expected = stats.ttest_ind(*arms, equal_var=False)
        assert found.row("amount", variant=variant)["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert {row["baseline"] for row in found.json["results"]} == {"A"}


def test_holm_is_over_all_metrics_and_variants(found):
    rows = [found.row(metric, variant=variant) for metric in ("hit", "amount") for variant in "BCD"]
    expected = multipletests([row["p_value"] for row in rows], method="holm")[1]
    assert [row["p_adjusted"] for row in rows] == pytest.approx(list(expected), rel=1e-9)
    assert {row["family"] for row in rows} == {"success (6)"}


def test_the_sample_ratio_is_against_the_weights(found, frame):
    observed = frame["v"].value_counts().sort_index()
    expected = stats.chisquare(observed, 8_000 * np.array([0.5, 0.25, 0.15, 0.1]))
    srm = found.json["srm"]
    assert srm["observed"] == observed.to_dict()
    assert srm["expected"] == pytest.approx({"A": 4_000, "B": 2_000, "C": 1_200, "D": 800})
    assert srm["chi2"] == pytest.approx(expected.statistic, rel=1e-12)
    assert srm["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.code == 0


def test_without_weights_shares_are_equal_and_a_broken_split_is_found_wrong(frame, analyze, tmp_path):
    """Exit code 1; the object on standard output is whole all the same."""
    frame.to_csv(tmp_path / "data.csv", index=False)
    found = analyze(tmp_path / "data.csv", "--conversion", "hit")
    assert found.code == 1
    assert found.json["srm"]["expected"] == {"A": 2_000, "B": 2_000, "C": 2_000, "D": 2_000}
    assert found.json["srm"]["p_value"] < 1e-100
    assert found.err == ""


def test_weights_are_relative_and_names_may_hold_their_marks(analyze, table):
    rows = [("A", n % 3) for n in range(200)] + [("x=1,y", n % 4) for n in range(100)]
    found = analyze(table("v,y", rows), "--mean", "y", "--weights", "A=2,x=1,y=1")
    assert found.json["srm"]["expected"] == {"A": 200, "x=1,y": 100}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("A=1,B=0,C=1,D=1", 'variant "B" has weight "0"; a weight is a number above 0'),
        ("A=1,B=-2,C=1,D=1", 'variant "B" has weight "-2"; a weight is a number above 0'),
        ("A=1,B=nan,C=1,D=1", 'variant "B" has weight "nan"; a weight is a number above 0'),
        ("A=1,B=much,C=1,D=1", 'variant "B" has weight "much"; a weight is a number above 0'),
        (
            "A=1e308,B=1e308,C=1,D=1",
            'variant "A" has weight 1e+308; a weight is a number above 0, from 1e-30 to 1e+30',
        ),
        (
            "A=1,B=1e-7,C=1,D=1",
            (
                'variant "A" has weight 1 and "B" has 1e-07; the largest may be at most 1,000,000 times '
                "the smallest"
            ),
        ),
        ("A=1,B=1", 'variant "C" of {path} has no weight; give one to each of A, B, C, D'),
        ("A=1,B=1,C=1,D=1,E=1", '{path} has no variant "E"; known: A, B, C, D'),
        ("A=1,A=2,B=1,C=1,D=1", 'variant "A" is named twice; name it once'),
    ],
)
def test_wrong_weights_are_refused(frame, run, tmp_path, weights, said):
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    done = run(path, "--variant", "v", "--control", "A", "--conversion", "hit", "--weights", weights)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"tenbin: --weights {weights}: {said.format(path=path)}\n"


def test_malformed_weights_are_refused(frame, run, tmp_path):
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    done = run(path, "--variant", "v", "--control", "A", "--conversion", "hit", "--weights", "1:1:1:1")
    assert (done.code, done.out) == (2, "")
    assert "is not of the form VARIANT=NUMBER,VARIANT=NUMBER, as in a=1,b=1" in done.err


def test_less_can_be_better(run, table):
    """The same data: a rise is shipped, or rolled back when less is better."""
    rng = np.random.default_rng(2)
    path = table("v,slow", [("AB"[n % 2], rng.normal(n % 2, 1)) for n in range(400)])
    options = ("--variant", "v", "--control", "A", "--mean", "slow")
    more = run(path, *options, output=())
    less = run(path, *options, "--decrease", "slow", output=())
    assert more.out.startswith("Ship B: slow rose in B")
    assert less.out.startswith("Roll back B: slow rose in B")


def test_decrease_names_a_metric(run, table):
    path = table("v,y", [("A", 1), ("B", 2)])
    done = run(path, "--variant", "v", "--control", "A", "--mean", "y", "--decrease", "z")
    assert (done.code, done.out) == (2, "")
    assert done.err == 'tenbin: --decrease z: "z" is not among the metrics asked for; known: y\n'
