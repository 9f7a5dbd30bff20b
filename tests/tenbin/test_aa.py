"""`tenbin aa`: a healthy log passes, and what makes p-values wrong on a log is found."""

import csv
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from metrics.model import Metric
from stats import contrasts
from stats.inference import statistic
from stats.moments import Moments
from stats.references import ConfidenceSequence
from stats.sequential import GroupSequential
from tenbin.aa import runs as aa_runs
from tenbin.aa.assign import arms_by_run, salts
from tenbin.aa.file import read_file
from tenbin.aa.lake import read_day
from tenbin.aa.runs import simulate
from tenbin.analyze.command import analyze_file
from tenbin.analyze.request import MetricOption, Request
from tenbin.cli import app
from tenbin_sdk.hashing import shard
from tests.metrics.conftest import Bench, make_experiment
from tests.support import DATA, globox_workspace

USERS, VISITS = 1_500, 4
COLUMNS = "user,pages,bought,spent,before,rare"
METRICS = ("--conversion", "bought", "--mean", "pages", "--revenue", "spent", "--ratio", "spent/pages")
REQUEST = Request(
    variant=None,
    unit="user",
    metrics=(
        MetricOption("conversion", "bought"), MetricOption("mean", "pages"), MetricOption("revenue", "spent"),
        MetricOption("ratio", "spent/pages"), MetricOption("conversion", "rare"),
    ),
    covariates=("spent=before",),
)  # fmt: skip


@pytest.fixture
def aa() -> Callable[..., Result]:
    def call(*arguments: object) -> Result:
        done = CliRunner().invoke(app, ["aa", *map(str, arguments)], prog_name="tenbin")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


@pytest.fixture
def answer(aa) -> Callable[..., dict]:
    """The JSON, after checking that the exit code says the same."""

    def call(*arguments: object) -> dict:
        done = aa(*arguments, "--json")
        assert done.stderr == ""
        found = json.loads(done.stdout)
        assert done.exit_code == (0 if found["healthy"] else 1)
        return found

    return call


def write(path: Path, header: str, rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


def visits() -> list[list]:
    """Several visits of each user, who differ: some look at much and spend much."""
    draw = np.random.default_rng(11)
    taste, rare = draw.gamma(2, 1, USERS), (np.arange(USERS) % 40 == 3).astype(int)
    before, rows = taste.round(3), []
    for _ in range(VISITS):
        pages = 1 + draw.poisson(3 * taste)
        bought = draw.random(USERS) < np.minimum(0.15 * taste, 0.9)
        spent = bought * draw.gamma(3, 10, USERS).round(2)
        rows += [
            [
                f"ユーザー{user}",
                pages[user],
                int(bought[user]),
                spent[user],
                before[user],
                rare[user],
            ]
            for user in range(USERS)
        ]
    return rows


@pytest.fixture(scope="module")
def log_file(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("aa") / "visits.csv", COLUMNS, visits())


def verdicts(found: dict) -> dict[str, str]:
    return {each["metric"]: each["verdict"] for each in found["metrics"]}


# The runs are experiments as the product would make and analyse them


def test_arms_are_those_of_the_sdks_bucketing():
    ids = ["u1", "2", "ユーザー3", "O'Brien", "ß x", " "]
    found = list(arms_by_run(ids, (2, 1, 1), runs=30, seed=5))
    expected = [
        [0 if place < 5_000 else 1 if place < 7_500 else 2 for place in (shard(salt, name) for name in ids)]
        for salt, _ in zip(salts(5), range(30), strict=False)
    ]
    assert np.array_equal(found, expected)
    assert len({salt for salt, _ in zip(salts(5), range(1_000), strict=False)}) == 1_000


def test_every_run_says_what_analyze_says_of_the_same_arms(log_file, tmp_path):
    """Conversions, some few, mean, covariate, ratio and sample ratio; three arms, several rows of a unit."""
    weights = (2.0, 1.0, 1.0)
    log = read_file(log_file, REQUEST)
    found = simulate(log, weights, runs=2, seed=3, alpha=0.05)
    *_, arms = arms_by_run(log.ids, weights, runs=2, seed=3)
    of = dict(zip(log.ids, arms, strict=True))
    rows = [[*row, "ABC"[of[row[0]]]] for row in visits()]
    path = write(tmp_path / "assigned.csv", f"{COLUMNS},arm", rows)
    request = msgspec.structs.replace(REQUEST, variant="arm", control="A", weights="A=2,B=1,C=1")
    said = analyze_file(path, request).analysis
    headlines = {
        (row.metric, row.variant): row.p_value
        for row in said.results
        if row.headline and row.scale == "absolute"
    }
    ours = {(each.metric.name, " BC"[each.variant]): each.p_value[1] for each in found.analysed}
    assert ours == pytest.approx(headlines, rel=1e-8)
    assert len(ours) == 10
    assert found.srm_p_value[1] == pytest.approx(said.srm.p_value, rel=1e-12)


def test_the_looks_are_those_of_the_engine(log_file):
    """Whether any look rejects, from the units and their arms anew."""
    log = read_file(log_file, REQUEST)
    found = simulate(log, (1, 1), runs=40, seed=9, alpha=0.3)
    pages = next(each for each in found.analysed if each.metric.name == "pages")
    (column,) = pages.metric.columns
    seen = [USERS * look // 10 for look in range(1, 11)]
    crossed = []
    for ids in arms_by_run(log.ids, (1, 1), runs=40, seed=9):
        arms, z, bound = ids[log.of], [], []
        for look, n in enumerate(seen, 1):
            v, b = (Moments.from_columns(column[:n][arms[:n] == arm]) for arm in (1, 0))
            contrast = contrasts.difference_of_means(v, b)
            z.append(abs(statistic(contrast)))
            law = GroupSequential(seen[:look], [n / USERS for n in seen[:look]], df=contrast.df)
            sequence = ConfidenceSequence(n, tuned_for=USERS, alpha=0.3)
            bound.append((law.critical(0.3), sequence.critical(0.3)))
        crossed.append((np.array(z)[:, None] >= bound).any(axis=0))
    assert np.array_equal(np.stack([pages.group_sequential, pages.sequence], axis=1), crossed)
    assert 0 < np.sum(pages.sequence) < np.sum(pages.group_sequential) < 40


def test_the_seed_decides(log_file, aa):
    arguments = (log_file, "--unit", "user", "--mean", "pages", "--runs", 100, "--json")
    said = aa(*arguments).stdout
    assert aa(*arguments).stdout == said
    assert aa(*arguments, "--seed", 1).stdout != said


# Healthy logs


def test_units_as_they_were_randomised_are_healthy(log_file, answer):
    found = answer(log_file, "--unit", "user", *METRICS, "--covariate", "spent=before", "--runs", 300)
    assert set(verdicts(found).values()) == {"healthy"}
    assert (found["units"], found["looks"], found["alpha"]) == (USERS, 10, 0.05)
    assert [each["level"] for each in found["split"]] == [0.05, 0.01]
    assert found["warnings"] == []


def test_groups_analysed_as_groups_are_healthy(log_file, answer):
    found = answer(log_file, "--cluster", "user", *METRICS, "--runs", 300)
    assert found["healthy"]
    assert found["units"] == USERS
    assert {each["kind"] for each in found["metrics"]} == {"ratio"}


def test_several_variants_are_each_compared_with_the_control(log_file, answer):
    found = answer(log_file, "--unit", "user", "--mean", "pages", "--weights", "2,1,1", "--runs", 200)
    assert [each["variant"] for each in found["metrics"]] == [1, 2]
    assert found["healthy"]


def test_few_successes_need_only_be_super_uniform(tmp_path, answer):
    path = write(tmp_path / "rare.csv", "y", [[int(row % 100 == 7)] for row in range(5_000)])
    (found,) = answer(path, "--conversion", "y", "--runs", 300)["metrics"]
    assert (found["successes"], found["verdict"]) == (50, "healthy")
    assert found["uniformity"]["one_sided"]
    assert found["uniformity"]["allowed"] == pytest.approx(0.1128, abs=2e-3)  # 1 / sqrt(2 pi 50 / 4 0.99)


def test_what_never_varies_is_undefined_and_nothing_to_worry_about(tmp_path, answer):
    path = write(tmp_path / "flat.csv", "y,x", [[0.1, row] for row in range(200)])
    found = answer(path, "--mean", "y", "--mean", "x", "--runs", 100)
    assert verdicts(found) == {"y": "undefined", "x": "healthy"}
    assert found["metrics"][0]["undefined"] == 100


@pytest.mark.skipif(not (DATA / "cookie_cats").is_dir(), reason="../shared/data/cookie_cats is not there")
def test_cookie_cats(answer):
    """Two retention rates are healthy; of the rounds, 72 % of the variance is one player's."""
    found = answer(
        DATA / "cookie_cats" / "cookie_cats.csv.gz", "--unit", "userid", "--conversion", "retention_1",
        "--conversion", "retention_7", "--mean", "sum_gamerounds", "--runs", 200,
    )  # fmt: skip
    assert verdicts(found) == {"retention_1": "healthy", "retention_7": "healthy", "sum_gamerounds": "off"}
    assert found["metrics"][0]["successes"] == 40_153  # of 90,189; published: 44.5 %
    assert found["metrics"][2]["reasons"][-1] == "one unit has 72% of the metric's variance: cap the metric"
    rates = [each["flagged"] for each in found["split"]]
    assert all(each["lower"] <= each["rate"] <= each["upper"] for each in rates)


# What is off is found


def test_rows_as_units_where_users_are_randomised(log_file, answer, aa):
    arguments = (log_file, "--randomised", "user", *METRICS, "--runs", 300)
    found = answer(*arguments)
    rates = {each["metric"]: each["false_positives"]["rate"] for each in found["metrics"]}
    assert verdicts(found)["pages"] == verdicts(found)["bought"] == "off"
    # Of four rows that correlate by r, the variance is 1 + 3 r times as large as it is taken for.
    assert rates["pages"] > 0.2
    assert [each["flagged"]["rate"] > each["flagged"]["upper"] for each in found["split"]] == [True, True]
    done = aa(*arguments)
    assert done.exit_code == 1
    assert done.stdout.startswith("Off: ")
    assert "false positives: " in done.stdout


def test_a_heavy_tail(tmp_path, answer):
    draw = np.random.default_rng(2)
    spent = draw.gamma(2, 5, 2_000).round(2)
    spent[17] = 2_000
    path = write(tmp_path / "whale.csv", "spent", [[each] for each in spent])
    found = answer(path, "--revenue", "spent", "--runs", 400)
    assert verdicts(found) == {"spent": "off"}
    assert found["metrics"][0]["reasons"][0].startswith("p-values are not uniform: ")


@pytest.mark.parametrize(("share", "is_off"), [(0.6, True), (1.6, True), (1.0, False)])
def test_a_variance_that_is_wrong(log_file, answer, monkeypatch, share, is_off):
    right = contrasts.difference_of_means

    def wrong(variant, baseline):
        found = right(variant, baseline)
        return msgspec.structs.replace(
            found, var_variant=share * found.var_variant, var_baseline=share * found.var_baseline
        )

    monkeypatch.setattr(contrasts, "difference_of_means", wrong)
    found = answer(log_file, "--unit", "user", "--mean", "pages", "--conversion", "bought", "--runs", 1_000)
    assert verdicts(found) == {"pages": "off" if is_off else "healthy", "bought": "healthy"}


def test_a_bias_in_one_direction(log_file, answer, monkeypatch):
    right = contrasts.difference_of_means

    def biased(variant, baseline):
        found = right(variant, baseline)
        return msgspec.structs.replace(found, variant=found.variant + np.sqrt(found.var_variant))

    monkeypatch.setattr(contrasts, "difference_of_means", biased)
    (found,) = answer(log_file, "--unit", "user", "--mean", "pages", "--runs", 300)["metrics"]
    assert found["upper_tail"]["rate"] > found["upper_tail"]["upper"]
    assert found["lower_tail"]["rate"] <= found["lower_tail"]["upper"]


def test_peeking_at_a_fixed_boundary(log_file, answer, monkeypatch):
    """Ten looks at 1.96 find something in 19.3 % of A/A tests (Armitage, McPherson, Rowe 1969)."""
    monkeypatch.setattr(aa_runs, "_boundary", lambda seen, *_: np.full(len(seen), 1.959964))
    (found,) = answer(log_file, "--unit", "user", "--mean", "pages", "--runs", 1_000)["metrics"]
    assert found["group_sequential"]["rate"] == pytest.approx(0.193, abs=3 * 0.0125)
    assert found["group_sequential"]["rate"] > found["group_sequential"]["upper"]
    assert found["false_positives"]["rate"] <= found["false_positives"]["upper"]
    assert found["verdict"] == "off"


def test_a_split_that_is_not_as_planned(log_file, answer, monkeypatch):
    right = aa_runs.arms_by_run
    monkeypatch.setattr(aa_runs, "arms_by_run", lambda ids, _, **more: right(ids, (1.1, 1), **more))
    found = answer(log_file, "--unit", "user", "--mean", "pages", "--runs", 200)
    assert verdicts(found) == {"pages": "healthy"}
    assert not found["healthy"]


# A workspace


def test_a_workspace_that_was_run(globox, answer):
    root, _ = globox
    found = answer(root, "checkout_conversion", "orders_per_user", "--runs", 100)
    assert found["source"] == 'experiment "food_and_drink_banner" as of 2023-02-08'
    assert found["units"] == 48_943
    assert [each["successes"] for each in found["metrics"]] == [955 + 1_139] * 2
    assert found["healthy"]


def test_the_lakes_units_count_as_in_its_moments():
    """Mature units alone, capped at what all variants together say, with their covariate."""
    metrics = (
        Metric(name="spent", kind="revenue", event="purchase", winsorize=0.9, covariate="3d", window="4d"),
        Metric(name="orders", kind="count", event="purchase"),
    )
    bench, experiment = Bench(), make_experiment("spent", "orders")
    first = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    for unit in range(120):
        at = first + dt.timedelta(hours=unit)
        bench.exposure(unit, at, "AB"[unit % 2])
        for hours in (-30, 5, 50)[: unit % 4]:
            bench.event(unit, at + dt.timedelta(hours=hours), value=unit % 13 + 0.25)
    engine = bench.engine(*metrics)
    bench.prepare(engine, experiment)
    as_of = dt.date(2026, 1, 10)
    engine.refresh(bench.con, experiment, [as_of])
    log = read_day(bench.con, experiment, as_of, engine.metrics, ("spent", "orders"))
    for metric in log.metrics:
        columns = [column[metric.present] for column in metric.columns]
        cells = bench.con.execute("SELECT n, means FROM moments WHERE metric = $1", [metric.name]).fetchall()
        assert 0 < len(columns[0]) == sum(n for n, _ in cells)
        sums = np.sum([n * np.array(means) for n, means in cells], axis=0)
        np.testing.assert_allclose([column.sum() for column in columns], sums, rtol=1e-12)
    assert len(log.metrics[0].columns) == 2
    assert log.metrics[0].present.sum() < log.units == 120
    bench.con.close()


# Wrong use


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{log}",), "no metric was asked for"),
        (("{log}", "--mean", "page"), 'there is no column "page"; did you mean "pages"?'),
        (("{log}", "--mean", "pages", "--randomised", "usr"), 'no one column "usr"; did you mean "user"?'),
        (("{log}", "--mean", "pages", "--unit", "bought", "--randomised", "user"), "had another value"),
        (("{log}", "--mean", "pages", "--unit", "bought"), "has 2 units; an A/A test of fewer than 100 says"),
        (("{log}", "pages", "--mean", "pages"), "are for a workspace"),
        (("{log}", "--mean", "pages", "--experiment", "x"), "are for a workspace"),
        (("{log}", "--mean", "pages", "--runs", 3), "--runs 3 tells nothing"),
        (("{log}", "--mean", "pages", "--seed", -1), "--seed -1 must be"),
        (("{log}", "--mean", "pages", "--weights", "1"), '--weights "1" is not of the form'),
        (("{log}", "--mean", "pages", "--alpha", 0), "--alpha: 0 must lie between"),
        (("{log}", "--quantile", "pages@0.9"), "No such option: --quantile"),
        (("{root}", "checkout_conversion"), "the lake has no unit metrics"),
        (("{root}", "checkout"), 'there is no metric "checkout"'),
        (("{root}", "--mean", "pages"), "a workspace's units and metrics are defined in it"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence(aa, log_file, tmp_path, arguments, said):
    root = globox_workspace(tmp_path / "shop") if "{root}" in arguments else tmp_path
    done = aa(*(str(each).format(log=log_file, root=root) for each in arguments), "--json")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
