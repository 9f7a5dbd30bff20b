"""Roles, margins, looks, and the sentences about options that can't be used."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(11)
    n = 2_000
    frame = pd.DataFrame({"v": np.where(np.arange(n) % 2, "B", "A"), "x": rng.normal(10, 2, n)})
    treated = frame["v"] == "B"
    frame["hit"] = rng.random(n) < np.where(treated, 0.42, 0.4)
    frame["wait"] = frame["x"] + rng.normal(0.02 * treated, 1)
    frame["g"] = np.arange(n) // 2 * 2 + treated
    frame["s"] = rng.choice(["p", "q"], n)
    frame.to_parquet(tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


def test_a_guardrail_takes_no_part_in_the_family_and_may_have_a_margin(analyze, path):
    """One-sided at alpha / 2, against the margin times the true baseline."""
    found = analyze(path, "--mean", "wait", "--conversion", "hit", "--guardrail", "hit=0.1")
    row = found.row("hit", method="non_inferiority", scale="relative")
    v, b, n = row["mean_variant"], row["mean_baseline"], 1_000
    z = (v - 0.9 * b) / np.sqrt(v * (1 - v) / n + 0.81 * b * (1 - b) / n)
    assert row["p_value"] == pytest.approx(stats.norm.sf(z), rel=1e-9)
    assert (row["role"], row["alpha"], row["alternative"]) == ("guardrail", 0.025, "greater")
    assert found.row("hit")["family"] is None
    assert found.row("wait")["family"] == "success (1)"
    plain = analyze(path, "--mean", "wait", "--conversion", "hit", "--guardrail", "hit")
    assert "non_inferiority" not in {row["method"] for row in plain.json["results"]}


def test_the_first_metric_that_is_no_guardrail_is_primary(analyze, path):
    roles = {
        row["metric"]: row["role"]
        for row in analyze(
            path, "--mean", "wait", "--conversion", "hit", "--mean", "x", "--guardrail", "wait"
        ).json["results"]
    }
    assert roles == {"wait": "guardrail", "hit": "primary", "x": "secondary"}


def test_several_metrics_may_be_primary(analyze, path):
    found = analyze(path, "--mean", "wait", "--conversion", "hit", "--primary", "hit", "--primary", "wait")
    assert {row["role"] for row in found.json["results"]} == {"primary"}


def test_a_difference_that_does_not_matter_is_shown_by_two_one_sided_tests(analyze, path):
    found = analyze(path, "--mean", "x", "--equivalence", "x=0.05")
    row, plain = found.row("x", method="equivalence", scale="relative"), found.row("x")
    v, b = plain["mean_variant"], plain["mean_baseline"]
    frame = pd.read_parquet(path)
    arms = [frame.loc[frame["v"] == name, "x"] for name in "BA"]
    variances, df = [arm.var() / len(arm) for arm in arms], stats.ttest_ind(*arms, equal_var=False).df
    sides = [
        stats.t.sf(sign * (v - ratio * b) / np.sqrt(variances[0] + ratio**2 * variances[1]), df)
        for sign, ratio in ((1, 0.95), (-1, 1.05))
    ]
    assert row["p_value"] == pytest.approx(max(sides), rel=1e-6)
    (finding,) = (one for one in found.json["findings"] if one["name"].startswith("practical_equivalence"))
    assert finding["numbers"]["within"] > 0.99


SEQUENTIAL = ("--conversion", "hit", "--horizon", "group_sequential")


@pytest.mark.parametrize(
    ("options", "boundary"),
    [
        # Lan and DeMets' O'Brien-Fleming at halves: gsDesign and rpact print 2.963 and 1.969.
        (("--planned-units", "4000"), 2.9626),
        (("--planned-units", "2000", "--looks", "1000"), 1.9686),
        # Pocock's at halves: 2.157 and 2.201.
        (("--planned-units", "4000", "--spending", "pocock"), 2.157),
        (("--planned-units", "2000", "--looks", "1000", "--spending", "pocock"), 2.201),
        # All that is planned, looked at once.
        (("--planned-units", "2000"), 1.95996),
    ],
)
def test_boundaries_of_looks_are_the_published_ones(analyze, path, options, boundary):
    row = analyze(path, *SEQUENTIAL, *options).row("hit")
    assert (row["upper"] - row["lower"]) / 2 / row["std_error"] == pytest.approx(boundary, abs=5e-4)
    assert row["horizon"] == "group_sequential"


def test_a_look_before_the_last_one_keeps_running_and_says_what_is_likely(analyze, path):
    found = analyze(path, *SEQUENTIAL, "--planned-units", "4000")
    assert found.row("hit")["information"] == 0.5
    assert found.row("hit", method="z_unpooled")["status"] == "withheld"
    assert any(one["name"] == "futility:hit:B:A" for one in found.json["findings"])


def test_the_final_look_spends_what_is_left(analyze, path):
    """Half of the units, then no more: all of alpha at this look."""
    row = analyze(path, *SEQUENTIAL, "--planned-units", "4000", "--final").row("hit")
    assert row["information"] == 1
    assert (row["upper"] - row["lower"]) / 2 / row["std_error"] == pytest.approx(1.95996, abs=1e-4)


def test_a_look_that_is_too_early_is_withheld(analyze, path):
    row = analyze(path, *SEQUENTIAL, "--planned-units", "100000000").row("hit")
    assert (row["status"], row["reasons"], row["p_value"]) == ("withheld", ["before_first_look"], None)


def test_the_terminal_shows_a_look(run, path):
    done = run(
        path, "--variant", "v", "--control", "A", *SEQUENTIAL, "--planned-units", "4000", output=()
    )  # fmt: skip
    assert done.out.startswith("Keep running: no primary metric is significantly better or worse yet.")


def test_anytime_may_be_the_mixture_test_tuned_by_hand(analyze, path):
    options = ("--mean", "wait", "--horizon", "anytime")
    mixture = analyze(path, *options, "--msprt", "0.05").row("wait")
    assert mixture["method"] == "msprt"
    sequence, tuned = analyze(path, *options).row("wait"), analyze(path, *options, "--planned-units", "2000")
    assert sequence["method"] == "confidence_sequence"
    assert tuned.row("wait")["upper"] < sequence["upper"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--guardrail", "hits"), '--guardrail hits: "hits" is not among the metrics asked for; did'),
        (("--guardrail", "wait=2"), "--guardrail wait=2: a margin is the relative worsening that is"),
        (("--guardrail", "wait=some"), "--guardrail wait=some: a margin is"),
        (("--primary", "x"), '--primary x: "x" is not among the metrics asked for'),
        (("--primary", "hit", "--guardrail", "hit"), '--primary hit: "hit" is a guardrail; name another one'),
        (("--equivalence", "wait"), "--equivalence wait: write METRIC=LIFT, as in spent=0.01"),
        (("--equivalence", "wait=0"), "--equivalence wait=0: the lift that makes no difference is a number"),
        (("--equivalence", "wait=1%"), "--equivalence wait=1%: the lift"),
        (("--adjustment", "lin"), "--adjustment lin applies to none of the metrics; it needs a metric"),
        (("--adjustment", "post_stratified"), "--adjustment post_stratified applies to none of the metrics"),
        (("--strata", "nope"), '--strata nope: there is no column "nope"'),
        (("--clusters", "cr1"), "--clusters cr1 is about randomised groups; name their column"),
        (("--planned-segments",), "--planned-segments is about segments; name them with --segment"),
        (("--planned-units", "9"), "--planned-units 9 is what a test with several looks is tuned to"),
        (("--horizon", "anytime", "--planned-units", "0"), "--planned-units 0 is no number of units"),
        (("--horizon", "group_sequential"), "--horizon group_sequential needs --planned-units"),
        (("--looks", "100"), "--looks 100 is about looks; it needs --horizon group_sequential"),
        (("--final",), "--final is about looks; it needs --horizon group_sequential"),
        (("--spending", "pocock"), "--spending pocock is about looks"),
        (("--msprt", "0.1"), "--msprt 0.1 replaces the boundary of --horizon anytime, and needs it"),
        (("--horizon", "anytime", "--msprt", "0"), "--msprt 0.0 is no standard deviation"),
        (("--horizon", "anytime", "--proportions", "barnard"), "--proportions barnard has no sequential"),
        (("--prior", "0.3"), "--prior 0.3: write MEAN,SD of the lift"),
        (("--prior", "0,-1"), "--prior 0,-1: write MEAN,SD of the lift"),
        (("--seed", "-1"), "--seed -1 is no seed"),
        (("--seed", "1"), "--seed 1 is of resampling; it needs --method permutation or --method bootstrap"),
        (("--correction", "bonferroni"), "Invalid value for '--correction': 'bonferroni' is not one of"),
    ],
)  # fmt: skip
def test_an_option_that_can_not_be_used_is_said_in_one_sentence(run, path, options, said):
    done = run(path, "--variant", "v", "--control", "A", "--mean", "wait", "--conversion", "hit", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--looks", "900,300"), "--looks 900,300: write the units at each look before this one, growing"),
        (("--looks", "many"), "--looks many: write the units"),
        (
            ("--looks", "4000"),
            "--looks 4000: write the units at each look before this one, growing and below",
        ),
        (("--looks", "2500"), "--looks 2500: the file has 2,000 units, no more than the look before"),
        (("--spending", "power"), "--spending power: write obrien_fleming, pocock, power=RHO"),
        (("--spending", "power=-1"), "--spending power=-1: write"),
        (("--spending", "pocock=1"), "--spending pocock=1: write"),
        (("--guardrail", "hit"), "--horizon group_sequential: looks count the units of primary metrics"),
    ],
)
def test_looks_that_can_not_be_are_said_in_one_sentence(run, path, options, said):
    done = run(path, "--variant", "v", "--control", "A", *SEQUENTIAL, "--planned-units", "4000", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    "options",
    [
        ("--one-sided",),
        ("--alpha", "0.1"),
        ("--guardrail", "hit"),
        ("--guardrail", "hit=0.1"),
        ("--equivalence", "hit=0.1"),
        ("--decrease", "hit"),
        ("--proportions", "boschloo"),
        ("--covariate", "hit=x"),
        ("--covariate", "hit=x", "--adjustment", "lin"),
        ("--strata", "s"),
        ("--cluster", "g"),
        ("--cluster", "g", "--clusters", "delta"),
        ("--correction", "hochberg"),
        ("--families", "role"),
        ("--method", "newcombe"),
        ("--prior", "0,0.1"),
        ("--method", "permutation", "--seed", "1"),
        ("--horizon", "anytime"),
        ("--horizon", "anytime", "--msprt", "0.1"),
        ("--horizon", "anytime", "--planned-units", "3000"),
        ("--horizon", "group_sequential", "--planned-units", "3000"),
        ("--horizon", "group_sequential", "--planned-units", "3000", "--looks", "1000"),
        ("--horizon", "group_sequential", "--planned-units", "3000", "--spending", "pocock"),
        ("--horizon", "group_sequential", "--planned-units", "3000", "--final"),
        ("--weights", "A=1.01,B=1"),
        ("--all-pairs",),
        ("--segment", "s", "--planned-segments"),
    ],
)
def test_a_fingerprint_changes_with_every_option_that_changes_numbers(analyze, path, options):
    prints = {
        analyze(path, "--conversion", "hit", "--mean", "wait", *more).row("hit")["fingerprint"]
        for more in ((), options)
    }
    assert len(prints) == 2
