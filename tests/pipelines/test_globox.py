"""Real data that nobody here wrote, from landing to report, gives the published answers to all digits."""

import json
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats as scipy_stats

from tests.support import DATA, tenbin

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def readout(globox: tuple[Path, dict]) -> dict:
    (experiment,) = globox[1]["experiments"]
    return json.loads(Path(experiment["result_json"]).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def units() -> pd.DataFrame:
    """One row per unit, made by pandas alone from the raw files."""
    groups = pd.read_csv(DATA / "globox" / "groups.csv.gz", dtype={"uid": str})
    people = pd.read_csv(DATA / "globox" / "users.csv.gz", dtype={"id": str}, keep_default_na=False)
    activity = pd.read_csv(DATA / "globox" / "activity.csv", encoding="utf-8-sig", dtype={"uid": str})
    # Values have six decimals in the lake; some of the file are binary fractions with fifteen.
    spent = activity["spent"].round(6).groupby(activity["uid"]).sum()
    units = groups.merge(people, left_on="uid", right_on="id", how="left", validate="one_to_one")
    units["revenue"] = units["uid"].map(spent).fillna(0.0)
    units["bought"] = units["uid"].isin(spent.index)
    return units


def rows(readout: dict, **where: object) -> list[dict]:
    return [row for row in readout["results"] if all(row[name] == value for name, value in where.items())]


def row(readout: dict, **where: object) -> dict:
    (found,) = rows(readout, **where)
    return found


def test_the_command_lists_the_experiment_with_its_verdict_and_its_result(globox: tuple[Path, dict]):
    root, printed = globox
    (experiment,) = printed["experiments"]
    assert experiment["verdict"] == "ship"
    assert Path(experiment["result_json"]).is_file()
    assert Path(experiment["result_json"]).is_relative_to(root)


def test_sample_ratio(readout: dict):
    assert readout["srm"]["observed"] == {"A": 24_343, "B": 24_600}
    assert f"{readout['srm']['chi2']:.4f}" == "1.3495"
    assert f"{readout['srm']['p_value']:.4f}" == "0.2454"


def test_conversion(readout: dict):
    found = row(readout, metric="checkout_conversion", segment=None, scale="absolute", method="z_unpooled")
    assert f"{found['mean_baseline']:.5f}" == "0.03923"
    assert f"{found['mean_variant']:.5f}" == "0.04630"
    assert (found["n_baseline"], found["n_variant"]) == (24_343, 24_600)
    assert round(found["mean_baseline"] * 24_343) == 955
    assert round(found["mean_variant"] * 24_600) == 1_139
    assert [f"{100 * found[name]:.3f}" for name in ("estimate", "lower", "upper")] == [
        "0.707",
        "0.349",
        "1.065",
    ]


def test_the_pooled_test_is_a_row_of_its_own_without_an_interval(readout: dict):
    found = row(readout, metric="checkout_conversion", segment=None, method="z_pooled")
    assert f"{found['p_value']:.7f}" == "0.0001114"
    assert f"{scipy_stats.norm.isf(found['p_value'] / 2):.5f}" == "3.86429"
    assert found["lower"] is None
    assert not found["headline"]


def test_revenue_per_user(readout: dict):
    found = row(readout, metric="revenue_per_user", segment=None, scale="absolute", method="welch_t")
    assert f"{found['mean_baseline']:.5f}" == "3.37452"
    assert f"{found['mean_variant']:.5f}" == "3.39087"
    assert f"{found['estimate']:.6f}" == "0.016348"
    assert [f"{found[name]:.5f}" for name in ("lower", "upper")] == ["-0.43865", "0.47135"]
    assert f"{found['p_value']:.4f}" == "0.9439"


@pytest.mark.parametrize("dimension", ["device", "country", "gender"])
def test_every_segment_is_what_pandas_and_scipy_make_of_the_raw_files(
    readout: dict, units: pd.DataFrame, dimension: str
):
    values = units[dimension].fillna("").replace("", "(missing)")
    seen = 0
    for value, part in units.groupby(values):
        control, variant = part[part["group"] == "A"], part[part["group"] == "B"]
        segment = f"{dimension}={value}"
        found = row(readout, metric="revenue_per_user", segment=segment, scale="absolute", method="welch_t")
        test = scipy_stats.ttest_ind(variant["revenue"], control["revenue"], equal_var=False)
        interval = test.confidence_interval(0.95)
        assert (found["n_baseline"], found["n_variant"]) == (len(control), len(variant))
        expected = [
            test.pvalue,
            interval.low,
            interval.high,
            variant["revenue"].mean() - control["revenue"].mean(),
        ]
        assert [found[name] for name in ("p_value", "lower", "upper", "estimate")] == pytest.approx(
            expected, rel=1e-8
        )
        bought = rows(readout, metric="checkout_conversion", segment=segment, scale="absolute", headline=True)
        assert bought[0]["mean_baseline"] == pytest.approx(control["bought"].mean(), rel=1e-11)
        assert bought[0]["mean_variant"] == pytest.approx(variant["bought"].mean(), rel=1e-11)
        seen += len(part)
    assert seen == 48_943  # a missing attribute loses no unit


def test_a_second_run_changes_nothing(globox: tuple[Path, dict]):
    root, _ = globox
    before = {path: path.read_bytes() for path in (root / "reports").rglob("*") if path.is_file()}
    versions = sorted(path.name for path in (root / "lake").rglob("_delta_log/*.json"))
    tenbin("run", str(root))
    after = {path: path.read_bytes() for path in (root / "reports").rglob("*") if path.is_file()}
    assert {path for path in after if before.get(path) != after[path]} == set()
    assert before.keys() == after.keys()
    assert sorted(path.name for path in (root / "lake").rglob("_delta_log/*.json")) == versions
