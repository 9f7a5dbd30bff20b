"""`--segment`: the same comparison within each value of a column."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats


def test_a_segment_is_the_comparison_within_it(analyze, tmp_path):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "v": rng.choice(["A", "B"], 900),
            "country": rng.choice(["JP", "日本", "x=y", "a, b"], 900),
            "device": rng.choice(["web", "app"], 900),
            "y": rng.normal(size=900),
        }
    )
    frame.to_csv(tmp_path / "data.csv", index=False)
    found = analyze(
        tmp_path / "data.csv", "--mean", "y", "--quantile", "y@0.5", "--segment", "country",
        "--segment", "device",
    )  # fmt: skip
    for segment in ("country", "device"):
        for level, rows in frame.groupby(segment):
            variant, control = (rows.loc[rows["v"] == name, "y"] for name in "BA")
            expected = stats.ttest_ind(variant, control, equal_var=False)
            row = found.row("y", segment=f"{segment}={level}")
            assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
            assert (row["n_variant"], row["n_baseline"]) == (len(variant), len(control))
            middle = found.row("y@0.5", segment=f"{segment}={level}")
            assert middle["mean_variant"] == pytest.approx(np.median(variant), rel=1e-9)
    assert found.row("y")["n_variant"] == (frame["v"] == "B").sum()
    assert any("exploration" in warning for warning in found.json["warnings"])


def test_a_name_with_an_equals_sign_is_refused(run, table):
    """Column "a" with "b=c" and "a=b" with "c" would both be the segment "a=b=c"."""
    path = table("v,a,a=b,y", [("AB"[n % 2], "b=c", "c", n) for n in range(20)])
    done = run(path, "--variant", "v", "--mean", "y", "--segment", "a", "--segment", "a=b")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f'tenbin: {path}: --segment a=b: the name holds "=", which stands between a segment and its value; '
        "rename the column\n"
    )


def test_a_missing_segment_is_a_segment_and_loses_nobody(analyze, table):
    rows = [(n, "AB"[n % 2], [None, "JP", "US"][n % 3], n) for n in range(90)]
    found = analyze(table("u,v,country,y", rows), "--unit", "u", "--mean", "y", "--segment", "country")
    sizes = [found.row("y", segment=f"country={level}")["n_variant"] for level in ("JP", "US", "(missing)")]
    assert sizes == [15, 15, 15]


def test_a_unit_whose_segment_changes_keeps_its_first(analyze, table):
    """The first row is the nearest thing to exposure; it is said how many changed."""
    rows = [(n, "AB"[n % 2], "JP", n) for n in range(20)] + [(0, "A", "US", 0), (1, "B", "US", 0)]
    found = analyze(table("u,v,country,y", rows), "--unit", "u", "--mean", "y", "--segment", "country")
    assert found.row("y", segment="country=JP")["n_variant"] == 10
    assert (
        '2 units with several values of segment "country": the first row\'s counts.'
        in (found.json["warnings"])
    )


def test_segments_are_corrected_among_themselves(analyze, table):
    rows = [(n, "AB"[n % 2], "xyz"[n % 3], n % 7) for n in range(300)]
    found = analyze(table("u,v,s,y", rows), "--mean", "y", "--segment", "s")
    assert found.row("y")["family"] == "success (1)"
    segment = found.row("y", segment="s=x")
    assert segment["family"] == "y by s (3)"
    assert segment["p_value"] < segment["p_adjusted"] or segment["p_adjusted"] == 1.0


def test_a_segment_with_one_arm_is_undefined(analyze, table):
    rows = [(n, "AB"[n % 2], "all", n % 7) for n in range(100)] + [(n, "A", "only A", 1) for n in range(9)]
    row = analyze(table("u,v,s,y", rows), "--mean", "y", "--segment", "s").row("y", segment="s=only A")
    assert (row["status"], row["reasons"], row["p_value"]) == ("undefined", ["no_units"], None)
