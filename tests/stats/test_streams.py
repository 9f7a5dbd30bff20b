"""Other people's experiments in bulk: every stream and every test, through the rows and through the stacks.

ASOS: 78 experiments' moments over time. Upworthy: 4,873 headline tests. What the folder's README counted is
counted again here, and every number is computed a second time by SciPy.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from scipy import stats as scipy_stats

from stats import contrasts, inference
from stats.analysis import TUNED_FOR, Analysis, Cell, MetricPlan, Plan, analyse
from stats.contrasts import Contrast
from stats.exact import FEW
from stats.moments import Moments, Stack
from stats.references import ConfidenceSequence, Reference, StudentT, p_value
from stats.results import Result, Status, Verdict
from stats.srm import sample_ratio
from tests.support import DATA

EVERY = 1 if os.environ.get("TENBIN_TEST_FULL") else 12
ASOS = DATA / "asos" / "asos_digital_experiments_dataset.csv.gz"
UPWORTHY = DATA / "upworthy" / "upworthy_exploratory_packages.parquet"
ALPHA = 0.05
STREAM = ("experiment_id", "variant_id", "metric_id")

there = {
    path: pytest.mark.skipif(not path.is_file(), reason=f"../shared/data/{path.parent.name} is not there")
    for path in (ASOS, UPWORTHY)
}


class Bulk(NamedTuple):
    """Every comparison at once: estimate, p-value and both intervals."""

    estimate: np.ndarray
    p: np.ndarray
    difference: inference.Interval
    lift: inference.Interval

    @classmethod
    def of(cls, contrast: Contrast, law: Reference) -> "Bulk":
        return cls(
            contrast.estimate,
            p_value(inference.log10_p(contrast, law)),
            inference.difference_interval(contrast, law, ALPHA),
            inference.lift_interval(contrast, law, ALPHA),
        )


def same(found: Any, expected: Any, rel: float = 1e-9) -> None:
    """Equal to so many digits, NaN where NaN is expected; p-values below every double as 0."""
    np.testing.assert_allclose(found, expected, rtol=rel, atol=1e-300)


def numbers(rows: Sequence[Result], name: str) -> np.ndarray:
    """One column of the rows; NaN for None."""
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def check_every_row(rows: Sequence[Result]) -> None:
    """A row has all its numbers, or says why not."""
    assert rows
    for row in rows:
        shown = (row.std_error, row.p_value, row.lower, row.upper)
        if row.status is Status.OK:
            needed = {"absolute": (row.p_value,), "relative": (row.lower, row.upper)}
            assert None not in needed[row.scale], row
        else:
            assert row.reasons, row
        if row.status is Status.UNDEFINED:
            assert shown[2:] == (None, None), row
        assert np.isfinite([x for x in shown if x is not None]).all(), row


# ── ASOS ──


@pytest.fixture(scope="module")
def asos() -> pl.DataFrame:
    """A row per stream and checkpoint, in order of time; NaN where a variance is missing."""
    frame = pl.read_csv(ASOS).with_columns(pl.col("^variance_.*$").fill_null(float("nan")))
    return frame.sort(*STREAM, "time_since_start")


def asos_stacks(frame: pl.DataFrame) -> tuple[Stack, Stack]:
    """Treatment and control of every checkpoint."""
    return tuple(
        Stack(
            frame[f"count_{arm}"].to_numpy().astype(np.float64),
            (frame[f"mean_{arm}"].to_numpy(),),
            ((frame[f"variance_{arm}"].to_numpy(),),),
        )
        for arm in "tc"
    )


@pytest.fixture(scope="module")
def welch(asos: pl.DataFrame) -> Bulk:
    """Every checkpoint at a fixed horizon, by SciPy from the same moments."""
    n, m = (asos[f"count_{arm}"].to_numpy().astype(np.float64) for arm in "tc")
    mean, base = (asos[f"mean_{arm}"].to_numpy() for arm in "tc")
    s2, base_s2 = (asos[f"variance_{arm}"].to_numpy() for arm in "tc")
    with np.errstate(all="ignore"):
        test = scipy_stats.ttest_ind_from_stats(
            mean, np.sqrt(s2), n, base, np.sqrt(base_s2), m, equal_var=False
        )
        a, b = s2 / n, base_s2 / m
        t = scipy_stats.t.isf(ALPHA / 2, (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1)))
        half = t * np.sqrt(a + b)
        ratio, g = mean / base, t**2 * b / base**2
        # Fieller as the textbook has it.
        root = t / base * np.sqrt((1 - g) * a + ratio**2 * b)
        lift = [np.where(g < 1, (ratio + sign * root) / (1 - g) - 1, np.nan) for sign in (-1, 1)]
    defined = (n >= 2) & (m >= 2) & (a + b > 0)
    known = np.where(defined, 1.0, np.nan)
    return Bulk(
        (mean - base) * known,
        test.pvalue * known,
        inference.Interval((mean - base - half) * known, (mean - base + half) * known),
        inference.Interval(*(bound * known for bound in lift)),
    )


@pytest.fixture(scope="module")
def sequence(asos: pl.DataFrame, welch: Bulk) -> Bulk:
    """Every checkpoint by the confidence sequence, in the closed form of GrowthBook's code."""
    total = (asos["count_t"] + asos["count_c"]).to_numpy().astype(np.float64)
    with np.errstate(all="ignore"):
        variance = sum(asos[f"variance_{arm}"].to_numpy() / asos[f"count_{arm}"].to_numpy() for arm in "tc")
        log = -2 * np.log(ALPHA)
        size = total * (log + np.log(log + 1)) / TUNED_FOR
        half = np.sqrt(variance * 2 * (size + 1) / size * np.log(np.sqrt(size + 1) / ALPHA))
        evidence = np.exp(welch.estimate**2 / variance * size / (2 * (size + 1))) / np.sqrt(size + 1)
        p = np.minimum(1.0, 1 / evidence)
    unknown = np.full_like(p, np.nan)
    return Bulk(
        welch.estimate,
        p,
        inference.Interval(welch.estimate - half, welch.estimate + half),
        inference.Interval(unknown, unknown),
    )


@pytest.fixture(scope="module")
def student_sequence(asos: pl.DataFrame, welch: Bulk) -> Bulk:
    """For a t statistic: the mixture's likelihood ratio of Lindon and others 2022, solved for t^2."""
    n, m = (asos[f"count_{arm}"].to_numpy().astype(np.float64) for arm in "tc")
    with np.errstate(all="ignore"):
        a, b = asos["variance_t"].to_numpy() / n, asos["variance_c"].to_numpy() / m
        df = (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
        log = -2 * np.log(ALPHA)
        size = 1 + (n + m) * (log + np.log(log + 1)) / TUNED_FOR
        t2 = welch.estimate**2 / (a + b)
        power = (df + 1) / 2
        p = np.minimum(1.0, np.sqrt(size) * np.exp(power * (np.log1p(t2 / size / df) - np.log1p(t2 / df))))
        more = np.expm1(np.log(np.sqrt(size) / ALPHA) / power)
        half = np.sqrt(np.where(1 + more < size, df * more / (1 - (1 + more) / size) * (a + b), np.nan))
    unknown = np.full_like(p, np.nan)
    return Bulk(
        welch.estimate,
        p,
        inference.Interval(welch.estimate - half, welch.estimate + half),
        inference.Interval(unknown, unknown),
    )


@there[ASOS]
def test_every_checkpoint_at_once_at_a_fixed_horizon(asos: pl.DataFrame, welch: Bulk):
    assert asos.height == 24_153
    with np.errstate(all="ignore"):
        contrast = contrasts.difference_of_means(*asos_stacks(asos))
        found = Bulk.of(contrast, StudentT(contrast.df))
    defined = ~np.isnan(welch.p)
    same(found.p[defined], welch.p[defined])
    same(found.estimate[defined], welch.estimate[defined])
    for ours, theirs in zip(found.difference, welch.difference, strict=True):
        np.testing.assert_allclose(ours[defined], theirs[defined], rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(found.lift, welch.lift, strict=True):
        np.testing.assert_allclose(ours[defined], theirs[defined], rtol=1e-9, atol=1e-12)


@there[ASOS]
def test_every_checkpoint_at_once_at_any_time(asos: pl.DataFrame, sequence: Bulk):
    treatment, control = asos_stacks(asos)
    with np.errstate(all="ignore"):
        contrast = contrasts.difference_of_means(treatment, control)
        law = ConfidenceSequence(treatment.n + control.n, tuned_for=TUNED_FOR, alpha=ALPHA)
        found = Bulk.of(contrast, law)
    defined = ~np.isnan(sequence.p)
    same(found.p[defined], sequence.p[defined])
    for ours, theirs in zip(found.difference, sequence.difference, strict=True):
        np.testing.assert_allclose(ours[defined], theirs[defined], rtol=1e-9, atol=1e-12)


@there[ASOS]
def test_peeking_at_a_fixed_horizon_finds_twice_what_is_there_and_a_sequence_does_not(
    asos: pl.DataFrame, welch: Bulk, sequence: Bulk
):
    """The counts of the folder's README; NaN crosses nothing."""
    streams = (
        asos.with_columns(fixed=welch.p, anytime=sequence.p)
        .group_by(STREAM, maintain_order=True)
        .agg(
            pl.col("fixed").last().is_nan().alias("undefined"),
            *((pl.col(name) < ALPHA).last().alias(f"{name}_last") for name in ("fixed", "anytime")),
            *((pl.col(name) < ALPHA).any().alias(f"{name}_ever") for name in ("fixed", "anytime")),
        )
    )
    assert streams.height == 396
    assert asos["experiment_id"].n_unique() == 78
    counts = streams.select(pl.col(pl.Boolean).sum()).row(0, named=True)
    assert (counts["undefined"], counts["fixed_ever"], counts["fixed_last"]) == (15, 225, 105)
    assert counts["anytime_ever"] < counts["fixed_last"]
    assert counts["anytime_last"] <= counts["anytime_ever"]


def asos_analyses(frame: pl.DataFrame, horizon: str) -> Iterator[tuple[Sequence[int], Analysis]]:
    """Every experiment at one of `EVERY` checkpoints, as the pipeline would ask; the numbers of its rows."""
    keyed = frame.with_row_index("place").partition_by("experiment_id", "time_since_start")
    for looks in keyed[::EVERY]:
        rows = list(looks.iter_rows(named=True))
        control = {row["metric_id"]: row for row in rows}
        cells = [asos_cell(row, "c", "control") for row in control.values()]
        cells += [asos_cell(row, "t", str(row["variant_id"])) for row in rows]
        counts = {"control": rows[0]["count_c"]} | {str(row["variant_id"]): row["count_t"] for row in rows}
        plan = Plan(
            experiment=rows[0]["experiment_id"],
            iteration=1,
            control="control",
            variants=tuple(counts),
            weights=dict.fromkeys(counts, 1.0),
            horizon=horizon,
            metrics=tuple(
                MetricPlan(name=str(metric), kind="mean", role="secondary") for metric in sorted(control)
            ),
        )
        order = sorted(rows, key=lambda row: (row["metric_id"], list(counts).index(str(row["variant_id"]))))
        yield [row["place"] for row in order], analyse(plan, cells, counts=counts, as_of=None, ended=True)


def asos_cell(row: dict[str, Any], arm: str, variant: str) -> Cell:
    moments = Moments(row[f"count_{arm}"], (row[f"mean_{arm}"],), ((row[f"variance_{arm}"],),))
    return Cell(metric=str(row["metric_id"]), variant=variant, moments=moments)


@there[ASOS]
@pytest.mark.slow
@pytest.mark.parametrize("horizon", ["fixed", "anytime"])
def test_every_checkpoint_through_the_analysis(
    asos: pl.DataFrame, welch: Bulk, student_sequence: Bulk, horizon: str
):
    places: list[int] = []
    rows: list[Result] = []
    for place, found in asos_analyses(asos, horizon):
        places += place
        rows += found.results
    check_every_row(rows)
    heads = [row for row in rows if row.headline and row.scale == "absolute"]
    assert len(heads) == len(places) == len(set(places)) > 24_153 / (EVERY + 1)
    undefined = Counter(row.reasons for row in heads if row.status is Status.UNDEFINED)
    if EVERY == 1:
        assert len(heads) == 24_153
        assert undefined == {("not_finite",): 779, ("no_units",): 8}
    expected = {"fixed": welch, "anytime": student_sequence}[horizon]
    same(numbers(heads, "p_value"), expected.p[places])
    same(np.isnan(numbers(heads, "p_value")), [row.status is Status.UNDEFINED for row in heads])
    for name, bound in zip(("lower", "upper"), expected.difference, strict=True):
        known = ~np.isnan(expected.p[places])
        np.testing.assert_allclose(numbers(heads, name)[known], bound[places][known], rtol=1e-9, atol=1e-12)
    if horizon == "anytime":
        beside = [row for row in rows if row.method == "welch_t" and row.status is not Status.UNDEFINED]
        same(numbers(beside, "p_value"), welch.p[places][~np.isnan(welch.p[places])])


# ── Upworthy ──


class Headlines(NamedTuple):
    """One test of headlines: how often each was shown and clicked."""

    name: str
    week: int
    shown: list[int]
    clicked: list[int]

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(map(str, range(len(self.shown))))

    @property
    def counts(self) -> dict[str, int]:
        return dict(zip(self.arms, self.shown, strict=True))


@pytest.fixture(scope="module")
def upworthy() -> list[Headlines]:
    frame = pl.read_parquet(UPWORTHY).group_by("clickability_test_id", maintain_order=True)
    found = frame.agg(pl.col("test_week").first(), "impressions", "clicks")
    return [Headlines(*row) for row in found.iter_rows()]


@there[UPWORTHY]
def test_upworthy_splits_are_wrong_in_the_weeks_that_its_correction_names(upworthy: list[Headlines]):
    found = [(test.week, sample_ratio(test.counts, dict.fromkeys(test.arms, 1.0)), test) for test in upworthy]
    assert len(found) == 4_873
    for _, srm, test in found:
        assert srm.p_value == pytest.approx(scipy_stats.chisquare(test.shown).pvalue, rel=1e-9)
    named = [srm.p_value < 0.01 for week, srm, _ in found if 201_325 <= week <= 201_401]
    after = [srm.p_value < 0.01 for week, srm, _ in found if week > 201_401]
    assert (sum(named), len(named)) == (826, 1_058)
    assert (sum(after), len(after)) == (60, 3_476)


@there[UPWORTHY]
def test_every_pair_of_headlines_at_once(upworthy: list[Headlines]):
    """The unpooled z has SciPy's tail; the pooled one is chi-squared of the 2 x 2 table."""
    x, n, y, m = pairs(upworthy)
    variant, baseline = (Stack(units, (made / units,), ((np.zeros_like(units),),)) for made, units in
                         ((x, n), (y, m)))  # fmt: skip
    with np.errstate(all="ignore"):
        wald = Bulk.of(contrasts.difference_of_proportions(variant, baseline), StudentT())
        pooled = Bulk.of(contrasts.pooled_proportions(variant, baseline), StudentT())
    expected = unpooled(x, n, y, m)
    same(wald.p, expected.p)
    for ours, theirs in zip(wald.difference, expected.difference, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-14)
    some = x + y > 0
    assert np.isnan(pooled.p[~some]).all()
    table = [[x[some], (n - x)[some]], [y[some], (m - y)[some]]]
    chi2 = [scipy_stats.chi2_contingency(each, correction=False).pvalue for each in np.moveaxis(table, 2, 0)]
    same(pooled.p[some], chi2)


def pairs(tests: Sequence[Headlines]) -> np.ndarray:
    """Clicks and impressions of every later headline, then of the first one: 4 rows."""
    return np.array(
        [
            (clicked, shown, test.clicked[0], test.shown[0])
            for test in tests
            for clicked, shown in list(zip(test.clicked, test.shown, strict=True))[1:]
        ],
        dtype=np.float64,
    ).T


def unpooled(x: np.ndarray, n: np.ndarray, y: np.ndarray, m: np.ndarray) -> Bulk:
    """Wald's test and interval from counts; neither where nothing varies."""
    error = np.sqrt(x * (n - x) / n**3 + y * (m - y) / m**3)
    error = np.where(error > 0, error, np.nan)
    estimate = x / n - y / m
    half = scipy_stats.norm.isf(ALPHA / 2) * error
    nothing = inference.Interval(np.full_like(x, np.nan), np.full_like(x, np.nan))
    with np.errstate(all="ignore"):
        p = 2 * scipy_stats.norm.sf(np.abs(estimate) / error)
    return Bulk(estimate, p, inference.Interval(estimate - half, estimate + half), nothing)


@there[UPWORTHY]
@pytest.mark.slow
def test_every_headline_test_through_the_analysis(upworthy: list[Headlines]):
    """All of them take minutes, since a third has so few clicks that intervals are searched for."""
    heads: list[Result] = []
    tests = upworthy[::EVERY]
    for test in tests:
        found = analyse_headlines(test)
        check_every_row(found.results)
        assert found.srm.failed == (found.decision.verdict is Verdict.INVESTIGATE)
        own = [row for row in found.results if row.headline and row.scale == "absolute"]
        assert [row.variant for row in own] == list(test.arms[1:])
        heads += own
    x, n, y, m = pairs(tests)
    expected = unpooled(x, n, y, m)
    assert len(heads) == len(x)
    same(numbers(heads, "estimate"), expected.estimate, 1e-8)
    # With fewer clicks the row says so, and may be another test's.
    many = np.minimum(np.minimum(x, n - x), np.minimum(y, m - y)) >= FEW
    assert {heads[place].method for place in np.flatnonzero(many)} == {"z_unpooled"}
    few = [heads[place] for place in np.flatnonzero(~many & (x + y > 0))]
    assert all({"score_for_few", "exact_for_few"} & set(row.reasons) for row in few)
    same(numbers(heads, "p_value")[many], expected.p[many])
    for name, bound in zip(("lower", "upper"), expected.difference, strict=True):
        np.testing.assert_allclose(numbers(heads, name)[many], bound[many], rtol=1e-9, atol=1e-13)


def analyse_headlines(test: Headlines) -> Analysis:
    """Headlines against the first one, by clicks per impression."""
    plan = Plan(
        experiment=test.name,
        iteration=1,
        control="0",
        variants=test.arms,
        weights=dict.fromkeys(test.arms, 1.0),
        metrics=(MetricPlan(name="clicked", kind="proportion", role="primary"),),
    )
    cells = [
        Cell(metric="clicked", variant=arm, moments=Moments.from_exact_sums(shown, [made], [[made]], 1))
        for arm, shown, made in zip(test.arms, test.shown, test.clicked, strict=True)
    ]
    return analyse(plan, cells, counts=test.counts, as_of=None, ended=True)
