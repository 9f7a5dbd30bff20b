"""Numbers that mean nothing, are absent or extreme: never a wrong result, and never someone else's loss.

A cell that nothing can be said of has rows without numbers and with a reason, and the rows of every other
metric stay what they are, bit for bit. The functions below give NaN for it, alone or among many.
"""

import math
from decimal import Decimal, localcontext

import msgspec
import numpy as np
import pytest
from scipy import integrate, special

from stats import inference, lifts
from stats.analysis import Cell, MetricPlan, Plan, QuantileCell, analyse
from stats.contrasts import Contrast
from stats.equivalence import equivalent_difference, equivalent_lift, non_inferior_lift
from stats.errors import StatsError
from stats.exact import barnard, boschloo, choose, fisher
from stats.moments import Moments, Stack
from stats.numerics import remainder
from stats.proportions import Counts
from stats.references import ConfidenceSequence, NormalMixture, StudentT
from stats.results import Result, Status
from tests.stats.test_invariants import LAWS, MOMENTS, some_units

BOUNDS = ("std_error", "lower", "upper", "lower_adjusted", "upper_adjusted")
TESTED = ("p_value", "log10_p", "p_adjusted")


# Laws.

ANY = Contrast(method="any", variant=1.0, baseline=1.0, var_variant=1.0, var_baseline=1.0, df=5.0)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_law_says_nothing_of_nothing(law, sides):
    reference = law(ANY)
    assert math.isnan(reference.log10_p(math.nan, sides))
    assert math.isnan(reference.critical(math.nan, sides))
    alone = reference.log10_p(3.0, sides)
    assert np.array_equal(
        reference.log10_p(np.array([math.nan, 3.0]), sides), [math.nan, alone], equal_nan=True
    )
    assert alone < reference.log10_p(0.0, sides) <= 0


@pytest.mark.parametrize("df", [math.nan, -1.0])
def test_a_law_that_is_none_says_nothing(df):
    assert math.isnan(StudentT(df).log10_p(2.0))
    assert math.isnan(StudentT(df).critical(0.05))
    assert math.isnan(NormalMixture(df).log10_p(2.0))
    assert math.isnan(NormalMixture(df).critical(0.05))
    assert math.isnan(ConfidenceSequence(df, tuned_for=100, alpha=0.05).log10_p(2.0))


def log10_tail(t: float, df: float) -> float:
    """P(T > t), the density integrated from t on, in steps of its own decay there."""
    step = (df + t * t) / ((df + 1) * t)

    def relative(v: float) -> float:
        u = v * step
        return math.exp(-(df + 1) / 2 * math.log1p(u / (df + t * t) * (2 * t + u)))

    density = -float(special.betaln(df / 2, 0.5)) - math.log(df) / 2 - (df + 1) / 2 * math.log1p(t * t / df)
    whole, error = integrate.quad(relative, 0, math.inf, epsabs=0, epsrel=1e-11, limit=200)
    assert error < 1e-9 * whole
    return (density + math.log(whole * step)) / math.log(10)


@pytest.mark.parametrize("df", [4.0, 30.0, 998.0, 1e6, 3e7, 1e9, 2e12, 1e16])
@pytest.mark.parametrize("t", [5.0, 36.5, 40.0, 300.0, 1e4])
def test_students_tail_is_right_however_far_out_and_whatever_the_degrees_of_freedom(t, df):
    assert StudentT(df).log10_p(t, 1) == pytest.approx(log10_tail(t, df), rel=1e-10, abs=1e-10)


def test_students_tail_where_squares_overflow():
    """Cauchy's tail is 1 / (pi t); two degrees of freedom have 1 / (2 t^2) of it."""
    assert StudentT(1.0).log10_p(1e200, 1) == pytest.approx(-200 - math.log10(math.pi), rel=1e-12)
    assert StudentT(2.0).log10_p(-1e200) == pytest.approx(-400, rel=1e-12)
    assert StudentT(5.0).log10_p(math.inf) == -math.inf
    assert StudentT(5.0).log10_p(-math.inf, 1) == 0.0


# Estimators and inference.


def changed(moments: Moments, *, n: int | None = None, mean: float = 0.0, cov: float = 0.0) -> Moments:
    """With another n, or something added to the measure's mean or variance."""
    first = (moments.mean[0] + mean, *moments.mean[1:])
    row = (moments.cov[0][0] + cov, *moments.cov[0][1:])
    return Moments(moments.n if n is None else n, first, (row, *moments.cov[1:]))


IMPOSSIBLE = {
    "no units": {"n": 0},
    "negative units": {"n": -4},
    "one unit": {"n": 1},
    "mean not a number": {"mean": math.nan},
    "infinite mean": {"mean": math.inf},
    "variance not a number": {"cov": math.nan},
    "negative variance": {"cov": -1e4},
}
OF_THE_MEAN_ONLY = {"proportions", "pooled proportions"}


def readings(contrast: Contrast, reference: StudentT) -> list[np.ndarray]:
    found = [
        inference.statistic(contrast),
        inference.log10_p(contrast, reference),
        *inference.difference_interval(contrast, reference, 0.05),
        *inference.lift_interval(contrast, reference, 0.05),
        *equivalent_lift(contrast, reference, lower=-0.1, upper=0.1, alpha=0.05),
        *non_inferior_lift(contrast, reference, margin=0.1, alpha=0.025),
        *(pair.statistic(contrast, 0.0) for pair in lifts.RELATIVE.values()),
    ]
    return [np.asarray(each) for each in found]


@pytest.mark.parametrize("what", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
@pytest.mark.parametrize("name", MOMENTS)
def test_an_impossible_arm_has_no_numbers_and_takes_none_from_others(name, what):
    if name in OF_THE_MEAN_ONLY and ("cov" in what or what.get("n") == 1):
        pytest.skip("a share has its variance from its mean, even of one unit")
    estimate = MOMENTS[name]
    draw = np.random.default_rng(5)
    good = [estimate.moments(some_units(draw, n, effect)) for n, effect in ((40, 1.0), (50, 0.0))]
    alone = estimate.estimate(*(Stack.of([arm]) for arm in good))
    expected = readings(alone, StudentT(alone.df))
    for bad in (changed(good[0], **what), good[1]), (good[0], changed(good[1], **what)):
        many = estimate.estimate(*(Stack.of(arms) for arms in zip(good, bad, strict=True)))
        for found, right in zip(readings(many, StudentT(many.df)), expected, strict=True):
            assert found[0] == right[0] or np.isnan([found[0], right[0]]).all()
            assert np.isnan(found[1])
        one = estimate.estimate(*bad)
        assert all(np.isnan(each) for each in readings(one, StudentT(one.df)))


@pytest.mark.parametrize(
    "name", ["ratios", "cuped, 1 covariate", "clusters, delta", "lin, 3 covariates", "ancova"]
)
def test_covariances_beyond_what_the_variances_allow_are_no_result(name):
    """Whatever is left of the variance would be negative, and 0 is a claim too."""
    estimate = MOMENTS[name]
    draw = np.random.default_rng(5)
    arms = [estimate.moments(some_units(draw, n, 0.0)) for n in (40, 50)]

    def beyond(arm: Moments) -> Moments:
        cov = np.array(arm.cov)
        cov[0, 1] = cov[1, 0] = 1.5 * math.sqrt(cov[0, 0] * cov[1, 1])
        return Moments(arm.n, arm.mean, tuple(map(tuple, cov.tolist())))

    found = estimate.estimate(*map(beyond, arms))
    assert math.isnan(inference.statistic(found))
    assert math.isnan(inference.lift_interval(found, StudentT(), 0.05).lower)


@pytest.mark.parametrize("name", ["cuped, 1 covariate", "lin, no covariate", "ancova"])
def test_a_covariate_that_is_the_measure_leaves_rounding_and_no_evidence(name):
    draw = np.random.default_rng(5)
    estimate = MOMENTS["lin, 3 covariates" if name.startswith("lin") else name].estimate
    for offset in (0.0, 1e6, 1e9):
        values = [offset + draw.normal(effect, 1, 200) for effect in (1.0, 0.0)]
        found = estimate(*(Moments.from_columns(each, 3 * each) for each in values))
        assert math.isnan(inference.statistic(found))
        assert math.isnan(inference.difference_interval(found, StudentT(), 0.05).lower)


def test_without_variance_nothing_is_tested_and_no_interval_has_no_width():
    none = Contrast(method="any", variant=2.0, baseline=1.0, var_variant=0.0, var_baseline=0.0)
    assert all(np.isnan(each) for each in readings(none, StudentT()))
    shown = equivalent_difference(none, StudentT(), lower=-3.0, upper=3.0, alpha=0.05)
    assert all(map(math.isnan, shown))


@pytest.mark.parametrize(
    ("variance", "left"),
    [(0.5, 0.5), (1e-13, 0.0), (-1e-13, 0.0), (-0.1, math.nan), (math.nan, math.nan)],
)
def test_what_a_subtraction_leaves_of_a_variance(variance, left):
    assert remainder(variance, 1.0) == pytest.approx(left, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    "counts", [Counts(2.5, 10, 3, 10), Counts(2, 10.5, 3, 10), Counts(math.nan, 9, 3, 9)]
)
def test_parts_of_a_unit_are_no_table(counts):
    """They were cut off once, and the result was that of another table."""
    for test in (barnard, boschloo):
        assert math.isnan(test(counts).p_value)
    assert math.isnan(fisher(counts).p_value)
    with pytest.raises(StatsError, match="whole"):
        choose(counts)


# Whole analyses.


def one(n: int, mean: float, variance: float) -> Moments:
    return Moments(n, (mean,), ((variance,),))


def share(conversions: int, n: int) -> Moments:
    rate = conversions / n if n else 0.0
    return one(n, rate, rate * (1 - rate))


def two(n: int, means: tuple[float, float], variances: tuple[float, float], covariance: float) -> Moments:
    return Moments(n, means, ((variances[0], covariance), (covariance, variances[1])))


HEALTHY = {
    "proportion": share(100, 1_000),
    "mean": one(1_000, 5.0, 4.0),
    "ratio": two(1_000, (5.0, 10.0), (4.0, 9.0), 1.0),
    "adjusted": two(1_000, (5.0, 10.0), (4.0, 9.0), 3.0),
}
NAN, INF = math.nan, math.inf
# Of what nothing can be said, whichever arm it is, with the reason.
UNDEFINED = [
    ("proportion", "no units", share(0, 0), "no_units"),
    ("proportion", "one unit", share(1, 1), "too_few_units"),
    ("proportion", "negative units", one(-5, 0.1, 0.1), "too_few_units"),
    ("proportion", "conversions above n", one(1_000, 1.1, 0.1), "not_a_proportion"),
    ("proportion", "negative conversions", one(1_000, -0.1, 0.1), "not_a_proportion"),
    ("proportion", "variance not a number", one(1_000, 0.1, NAN), "not_finite"),
    ("mean", "no units", one(0, 0.0, 0.0), "no_units"),
    ("mean", "one unit", one(1, 3.0, 0.0), "too_few_units"),
    ("mean", "negative units", one(-5, 3.0, 1.0), "too_few_units"),
    ("mean", "variance not a number", one(1_000, 3.0, NAN), "not_finite"),
    ("mean", "infinite variance", one(1_000, 3.0, INF), "not_finite"),
    ("mean", "negative variance", one(1_000, 3.0, -1.0), None),
    ("ratio", "no units", two(0, (0.0, 0.0), (0.0, 0.0), 0.0), "no_units"),
    ("ratio", "one unit", two(1, (1.0, 1.0), (0.0, 0.0), 0.0), "too_few_units"),
    ("ratio", "denominators of zero", two(1_000, (1.0, 0.0), (1.0, 0.0), 0.0), "zero_denominator"),
    ("ratio", "denominators that cancel", two(1_000, (1.0, 0.0), (1.0, 1.0), 0.0), "zero_denominator"),
    ("ratio", "impossible covariance", two(1_000, (1.0, 2.0), (1.0, 1.0), 5.0), None),
    ("ratio", "covariance not a number", two(1_000, (1.0, 2.0), (1.0, 1.0), NAN), "not_finite"),
    ("adjusted", "covariate not a number", two(1_000, (5.0, NAN), (4.0, 9.0), 1.0), "not_finite"),
]  # fmt: skip
# What can be said something of, or must be harmless at the least: what is said has to be numbers.
ODD = [
    ("proportion", "two units", share(1, 2)),
    ("proportion", "nobody", share(0, 1_000)),
    ("proportion", "everybody", share(1_000, 1_000)),
    ("proportion", "10^12 units", share(10**11, 10**12)),
    ("mean", "two units", one(2, 3.0, 1.0)),
    ("mean", "constant", one(1_000, 3.0, 0.0)),
    ("mean", "all zero", one(1_000, 0.0, 0.0)),
    ("mean", "10^12 units", one(10**12, 5.0, 4.0)),
    ("mean", "huge", one(1_000, 1e12, 1e20)),
    ("mean", "tiny", one(1_000, 1e-12, 1e-26)),
    ("mean", "about zero", one(1_000, 0.0, 1.0)),
    ("ratio", "constant", two(1_000, (1.0, 2.0), (0.0, 0.0), 0.0)),
    ("ratio", "numerator tied to denominator", two(1_000, (1.0, 2.0), (1.0, 4.0), 2.0)),
    ("ratio", "negative denominators", two(1_000, (1.0, -2.0), (1.0, 1.0), 0.0)),
    ("adjusted", "constant covariate", two(1_000, (5.0, 10.0), (4.0, 0.0), 0.0)),
    ("adjusted", "covariate is the measure", two(1_000, (5.0, 10.0), (4.0, 16.0), 8.0)),
    ("adjusted", "impossible covariance", two(1_000, (5.0, 10.0), (4.0, 9.0), 100.0)),
    ("adjusted", "two units", two(2, (5.0, 10.0), (4.0, 9.0), 6.0)),
]  # fmt: skip
SETTINGS = [("fixed", True), ("fixed", False), ("anytime", False), ("anytime", True)]
EVERYWHERE = pytest.mark.parametrize(
    "setting", [(*setting, where) for setting in SETTINGS for where in ("A", "B", "AB")], ids=str
)


def analysed(kind: str, cells: dict[str, Moments], horizon: str, *, ended: bool) -> tuple[Result, ...]:
    """The metric "bad" of these cells, and a healthy one in the same family of tests."""
    metrics = (
        MetricPlan(
            name="bad",
            kind="mean" if kind == "adjusted" else kind,
            role="secondary",
            covariates=1 if kind == "adjusted" else 0,
        ),
        MetricPlan(name="healthy", kind="mean", role="primary"),
    )
    plan = Plan(
        experiment="e", iteration=1, control="A", variants=("A", "B"), weights={"A": 1.0, "B": 1.0},
        horizon=horizon, metrics=metrics,
    )  # fmt: skip
    given = [Cell(metric="bad", variant=name, moments=moments) for name, moments in cells.items()]
    given += [
        Cell(metric="healthy", variant=name, moments=one(1_000, mean, 4.0))
        for name, mean in (("A", 5.0), ("B", 5.2))
    ]
    return analyse(plan, given, counts={"A": 1_000, "B": 1_000}, as_of=None, ended=ended).results


def split(rows: tuple[Result, ...]) -> tuple[list[Result], list[Result]]:
    return [row for row in rows if row.metric == "bad"], [row for row in rows if row.metric == "healthy"]


def are_numbers(rows: list[Result]) -> None:
    """Every number is one, is JSON, and stands only where the status says that it may be read."""
    assert rows
    for row in rows:
        for name in Result.__struct_fields__:
            value = getattr(row, name)
            assert not isinstance(value, float) or math.isfinite(value), (name, value)
        assert msgspec.json.decode(msgspec.json.encode(row), type=Result) == row
        if row.status is Status.OK:
            assert 0 <= row.p_value <= 1
            continue
        assert row.reasons
        # A lift that is not bounded, or has no baseline, is tested all the same: by its absolute twin.
        names = BOUNDS if row.reasons[0] == "baseline_not_positive" else (*BOUNDS, *TESTED)
        assert [getattr(row, name) for name in names] == [None] * len(names)


def mixed(kind: str, moments: Moments, where: str) -> dict[str, Moments]:
    return {name: moments if name in where else HEALTHY[kind] for name in "AB"}


@EVERYWHERE
@pytest.mark.parametrize(
    ("kind", "moments", "reason"),
    [(kind, moments, reason) for kind, _, moments, reason in UNDEFINED],
    ids=[f"{kind}, {what}" for kind, what, _, _ in UNDEFINED],
)
def test_what_means_nothing_has_a_reason_and_no_numbers_and_harms_nobody(kind, moments, reason, setting):
    horizon, ended, where = setting
    bad, healthy = split(analysed(kind, mixed(kind, moments, where), horizon, ended=ended))
    are_numbers(bad)
    assert {row.status for row in bad} == {Status.UNDEFINED}
    assert reason is None or {row.reasons for row in bad} == {(reason,)}
    assert healthy == split(analysed(kind, {}, horizon, ended=ended))[1]


@EVERYWHERE
@pytest.mark.parametrize(
    ("kind", "moments"),
    [(kind, moments) for kind, _, moments in ODD],
    ids=[f"{kind}, {what}" for kind, what, _ in ODD],
)
def test_what_is_extreme_has_numbers_or_a_reason_and_harms_nobody(kind, moments, setting):
    horizon, ended, where = setting
    bad, healthy = split(analysed(kind, mixed(kind, moments, where), horizon, ended=ended))
    are_numbers(bad)
    without = split(analysed(kind, {}, horizon, ended=ended))[1]
    # Holm's steps depend on the other p-values of the family; nothing else does.
    assert [msgspec.structs.replace(row, p_adjusted=None) for row in healthy] == [
        msgspec.structs.replace(row, p_adjusted=None) for row in without
    ]


@pytest.mark.parametrize("mean", [NAN, INF, -INF])
@pytest.mark.parametrize("kind", ["proportion", "mean"])
def test_a_mean_that_is_no_number_is_not_shown_either(kind, mean):
    bad, _ = split(analysed(kind, {"A": HEALTHY[kind], "B": one(1_000, mean, 1.0)}, "fixed", ended=True))
    assert {row.reasons for row in bad} == {("not_finite",)}
    are_numbers(bad)


@pytest.mark.parametrize("values", [[], [1.0], [3.0] * 500, [1.0, NAN, 2.0], [1.0, INF], [0.0] * 300 + [1.0]])
def test_quantiles_of_what_has_none(values):
    metrics = (
        MetricPlan(name="bad", kind="quantile", role="primary", quantile=0.9),
        MetricPlan(name="healthy", kind="mean", role="secondary"),
    )
    plan = Plan(
        experiment="e", iteration=1, control="A", variants=("A", "B"), weights={"A": 1.0, "B": 1.0},
        metrics=metrics,
    )  # fmt: skip
    healthy = [Cell(metric="healthy", variant=name, moments=HEALTHY["mean"]) for name in "AB"]
    bad = [QuantileCell(metric="bad", variant=name, values=np.array(values)) for name in "AB"]
    counts = {"A": 1_000, "B": 1_000}
    found = split(analyse(plan, [*bad, *healthy], counts=counts, as_of=None, ended=True).results)
    are_numbers(found[0])
    assert {row.status for row in found[0]} == {Status.UNDEFINED}
    assert found[1] == split(analyse(plan, healthy, counts=counts, as_of=None, ended=True).results)[1]


# Extremes, against fifty digits.

EXTREME = {
    "proportions, 10^12 units": ("proportion", share(10**11 + 10**6, 10**12), share(10**11, 10**12)),
    "rare conversions, 10^12 units": ("proportion", share(400, 10**12), share(300, 10**12)),
    "means, 10^12 units": ("mean", one(10**12, 5.000004, 4.0), one(10**12, 5.0, 4.0)),
    "an effect of 10^12": ("mean", one(1_000, 1e12, 1e20), one(1_000, 1.0, 1e-4)),
    "a lift of 10^12": ("mean", one(1_000, 3.0, 4.0), one(1_000, 3e-12, 1e-25)),
    "an effect of 10^-12": ("mean", one(1_000, 3e-12, 1e-24), one(1_000, 2e-12, 1e-24)),
    "a lift of 10^-12": ("mean", one(10**12, 1.0 + 1e-12, 1e-12), one(10**12, 1.0, 1e-12)),
    "a loss of all but 10^-12": ("mean", one(1_000, 5e-12, 1e-26), one(1_000, 5.0, 4.0)),
    "losses": ("mean", one(10**12, -4e12, 1e24), one(10**12, -5e12, 1e24)),
    "ratios, 10^12 units": (
        "ratio",
        two(10**12, (5.00001, 1e6), (4.0, 1e8), 3.0),
        two(10**12, (5.0, 1e6), (4.0, 1e8), 2.0),
    ),
}


def variance_of_mean(kind: str, arm: Moments) -> tuple[Decimal, Decimal]:
    """An arm's estimate and its variance, as defined."""
    m, c, n = [Decimal(x) for x in arm.mean], [[Decimal(x) for x in row] for row in arm.cov], Decimal(arm.n)
    if kind == "proportion":
        return m[0], m[0] * (1 - m[0]) / n
    if kind == "mean":
        return m[0], c[0][0] / n
    ratio = m[0] / m[1]
    return ratio, (c[0][0] - 2 * ratio * c[0][1] + ratio**2 * c[1][1]) / m[1] ** 2 / n


@pytest.mark.parametrize(("kind", "variant", "baseline"), EXTREME.values(), ids=EXTREME)
def test_extreme_numbers_are_those_of_fifty_digits(kind, variant, baseline):
    bad, _ = split(analysed(kind, {"A": baseline, "B": variant}, "fixed", ended=True))
    absolute, relative = (
        next(r for r in bad if r.headline and r.scale == s) for s in ("absolute", "relative")
    )
    with localcontext(prec=50):
        (v, a), (b, c) = (variance_of_mean(kind, arm) for arm in (variant, baseline))
        df = math.inf
        if kind != "proportion":
            df = float((a + c) ** 2 / (a**2 / (variant.n - 1) + c**2 / (baseline.n - 1)))
        law = StudentT(df)
        q, d, error = Decimal(float(law.critical(0.05))), v - b, (a + c).sqrt()
        assert absolute.estimate == pytest.approx(float(d), rel=1e-9)
        assert absolute.std_error == pytest.approx(float(error), rel=1e-9)
        assert (absolute.lower, absolute.upper) == pytest.approx(
            (float(d - q * error), float(d + q * error)), rel=1e-9
        )
        assert absolute.log10_p == pytest.approx(float(law.log10_p(float(d / error))), rel=1e-9)
        # (v - r b)^2 = q^2 (a + r^2 c), for the ratio r.
        two_a, half_b = b * b - q * q * c, v * b
        root = (half_b**2 - two_a * (v * v - q * q * a)).sqrt()
        bounds = sorted(
            float(((half_b + side * root) / two_a - 1) * (-1 if b < 0 else 1)) for side in (-1, 1)
        )
        assert relative.estimate == pytest.approx(float(d / abs(b)), rel=1e-9)
        assert (relative.lower, relative.upper) == pytest.approx(bounds, rel=1e-9)
