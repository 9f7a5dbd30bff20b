"""The sections of the page: what each table measures, and what is said of it."""

from typing import Literal

import msgspec

from benchmarks.calibration.looks import LOOKS
from benchmarks.calibration.methods import ALPHA

Kind = Literal["two-sided", "one-sided", "at most", "plain"]


class Column(msgspec.Struct, frozen=True):
    """A measured column. Two-sided ones have the measures `…_below` and `…_above`."""

    header: str
    measure: str
    kind: Kind = "plain"
    nominal: float = ALPHA


class Section(msgspec.Struct, frozen=True):
    """One table of the page."""

    key: str
    title: str
    text: str
    columns: tuple[Column, ...]


_FALSE = Column("false positives", "false", "two-sided")
_ABSOLUTE = Column("difference missed", "absolute", "two-sided")
_RELATIVE = Column("lift missed", "relative", "two-sided")
_POWER = Column("power", "power")
_READ_ONCE = (
    _FALSE,
    _ABSOLUTE,
    _RELATIVE,
    _POWER,
    Column("warned", "warned"),
    Column("no result", "undefined"),
)

SECTIONS = (
    Section(
        "means",
        "Means",
        """\
Welch's test with Fieller's lift. With arms of one size the false-positive rate is right or cautious
however heavy the tail, since skewness cancels. Two things do not cancel. Arms of unequal size: the
smaller arm's errors fall on one side, and a rate of 5 % can become 12 %, or 25 % where few units have a
value at all. And an effect: then the arms' spreads differ, the interval of the difference is lopsided,
while that of the lift is not, as it compares the variant with the *scaled* baseline. Winsorising brings
both back sooner than more units do. The engine knows neither the tail nor its third moment; it warns
(`heavy_tail`) from the coefficient of variation and the sizes of the arms.""",
        _READ_ONCE,
    ),
    Section(
        "lifts",
        "Three intervals for a lift",
        """\
Fieller's is dual to the test of the difference and errs equally on both sides. The linear delta method,
which GrowthBook, Eppo and PostHog report, has the right total, but nearly all on one side where the
baseline is noisy (`noisy_baseline`); the logarithmic one is cautious there. The normal worlds may be
negative, so nothing is assumed of their tails.""",
        _READ_ONCE,
    ),
    Section(
        "proportions",
        "Proportions",
        """\
The unpooled z, the score test with Miettinen and Nurminen's intervals, and what `exact.choose` picks
for the table at hand: the unpooled z from 30 units with and without a conversion in each arm, Barnard's
exact test below 5 expected, the score test between. Small tables are cautious because counts are whole
numbers. With arms of very unequal size both approximations err on one side, in opposite directions
(`unequal_arms`).""",
        _READ_ONCE,
    ),
    Section(
        "ratios",
        "Ratios",
        """\
Revenue per session, where units with more sessions also spend more in each. The delta method takes the
ratio for known when it computes the residuals, so that with few effective units the intervals are too
short (`small_sample`); the tails are those of sums of revenue (`heavy_tail`).""",
        _READ_ONCE,
    ),
    Section(
        "clusters",
        "Clusters",
        """\
Units randomised in groups. The sizes are the numbers of clusters. From moments alone the delta method
and CR1 need some thirty to sixty clusters in each arm; CR2 with Bell and McCaffrey's degrees of freedom
is right with five against five, but not with five against fifty. Taking the units for independent is
shown for contrast.""",
        _READ_ONCE,
    ),
    Section(
        "covariates",
        "Covariates",
        """\
The lift multiplies every value, so the arms' slopes differ. CUPED's coefficients are fitted to the
units they adjust, which makes its intervals too short with few of them (`few_units_for_adjustment`);
Lin's regression pays for them. Analysis of covariance assumes one slope and one variance, and is off
where arms of unequal size differ in them (`unequal_arms`). CUPED's Fieller lift carries what both
adjusted means share, and stays right at large lifts.""",
        _READ_ONCE,
    ),
    Section(
        "strata",
        "Post-stratification",
        "Four strata known before exposure, which explain most of the variance.",
        _READ_ONCE,
    ),
    Section(
        "margins",
        "Margins",
        """\
The true lift lies exactly on the margin of 10 %, so that passing is an error, at 2.5 % one-sided:
against a lower margin (more is better) and an upper one (less is better). The margin is a share of the
true baseline. Taking it as a share of the observed one, as if that were known, is shown for contrast:
too cautious below, too many above. Equivalence (both margins at once) passes at most as often.""",
        (
            Column("passes at a lower margin", "passes_lower", "one-sided", ALPHA / 2),
            Column("passes at an upper margin", "passes_upper", "one-sided", ALPHA / 2),
            Column("equivalence passes", "passes_both", "at most", ALPHA / 2),
        ),
    ),
    Section(
        "quantiles",
        "Quantiles",
        """\
Of a lognormal measure, the error read off the outer interval. With few values beyond the quantile it is
cautious; with arms of unequal size it errs on one side, for longer than means do
(`few_beyond_quantile`).""",
        _READ_ONCE,
    ),
    Section(
        "ranks",
        "Ranks",
        """\
Mann and Whitney's test, and Brunner and Munzel's of the probability of superiority, whose interval errs
on one side where that probability is far from a half and units are few.""",
        (_FALSE, Column("probability missed", "absolute", "two-sided"), _POWER),
    ),
    Section(
        "peeking",
        "Looking every day",
        f"""\
{LOOKS} looks at arms that grow by the same number of units each, every look able to stop the
experiment. *False at any look*: the share of A/A tests that are ever significant. *Missed at any look*:
the share of A/B tests in which an interval ever leaves out the truth. The last columns are for an
effect that the fixed test finds in 80 % of the runs: the power, and the units used on average as a
share of all. Group-sequential tests spend 5 % over all looks; confidence sequence and mSPRT are valid
for ever, and so stay below it within {LOOKS} looks. With 1 % conversions the first looks have one or
two each: intervals by the unpooled z are not to be trusted there under any law.""",
        (
            Column("false at any look", "ever_false", "at most"),
            Column("missed at any look", "ever_missed", "at most"),
            _POWER,
            Column("units used", "average_n"),
        ),
    ),
    Section(
        "families",
        "Families of metrics",
        """\
Eight metrics. *Any false (all null)*: the chance of at least one false positive where nothing has an
effect; *any false (half null)* where four have one, which a test alone finds in 80 % of the runs.
*False share*: the false discovery rate, the expected share of errors among rejections, half null;
*intervals that miss*: the same share among the intervals of what Benjamini and Hochberg's procedure
selects. That procedure promises the last two, not the second; the first follows, as all rejections are
false there.""",
        (
            Column("any false (all null)", "any_of_null", "at most"),
            Column("any false (half null)", "any_of_half", "at most"),
            Column("false share", "false_share", "at most"),
            Column("intervals that miss", "interval_share", "at most"),
            _POWER,
        ),
    ),
    Section(
        "srm",
        "Sample ratio",
        """\
A split as planned, at three levels; 0.1 % is the one that blocks a verdict. Fixed tests are run ten
times as often. The always-valid test is looked at every day, and its power is that of finding a broken
split at 0.1 % at any of them.""",
        (
            Column("p ≤ 5 %", "p05", "at most", 0.05),
            Column("p ≤ 1 %", "p01", "at most", 0.01),
            Column("p ≤ 0.1 %", "p001", "at most", 0.001),
            _POWER,
        ),
    ),
    Section(
        "priors",
        "Bayesian readings",
        """\
True lifts are drawn from a normal law; a 95 % credible interval should hold 95 % of them where the
prior is that law. *Sure and wrong*: of the runs that give the variant 95 % or more to be better, the
share in which it is not. The posterior of the lift uses the delta method, so it shares its lopsidedness
with a noisy baseline.""",
        (
            _ABSOLUTE,
            _RELATIVE,
            Column("sure and wrong", "overconfident", "at most"),
        ),
    ),
)  # fmt: skip
