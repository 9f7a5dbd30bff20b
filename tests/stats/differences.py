"""Where other engines' numbers are not ours, and why: one entry per choice, for `docs/engines.md`.

An entry covers the numbers in ../shared/stats-vectors that its `where` names. `test_engines.py` fails for a
number that is neither made again to its last digits (`replay/`) nor covered here, and for an entry that
covers nothing.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple


class Where(NamedTuple):
    """Regular expressions, each for the beginning of what it is about; empty for any."""

    library: str = ""
    call: str = ""
    number: str = ""
    case: str = ""
    version: str = ""
    scale: str = ""

    def covers(self, case: Mapping[str, Any], result: Mapping[str, Any], number: str) -> bool:
        said = (
            result["library"],
            result["call"],
            number,
            case["id"],
            result["version"],
            result.get("scale") or "",
        )
        return all(re.match(pattern, text) for pattern, text in zip(self, said, strict=True))


class Difference(NamedTuple):
    """One difference: who, what they do, what we do, and why."""

    name: str
    engine: str
    theirs: str
    ours: str
    why: str
    where: tuple[Where, ...]
    # Whether our functions give the same digits when they are asked for that method, so that only the
    # default is another.
    named: bool = False


GROWTHBOOK = "gbstats"
TEA = "tea-tasting"
SPOTIFY = "spotify-confidence"

DIFFERENCES = (
    Difference(
        "sentinels",
        "GrowthBook",
        "where nothing can be computed: estimate 0, interval [0, 0], p = 1, chance to win 0.5, and an "
        "error code",
        "status `undefined`, the reason, and no number",
        "a reader, a chart or a correction takes a sentinel for a result; 0 of 1,000 against 8 of 1,000 "
        "is not p = 1",
        (
            Where(GROWTHBOOK, case="edge_(?!extreme|cancell)"),
            Where(GROWTHBOOK, case="edge_cancellation"),
            Where(GROWTHBOOK, case="quantile_suff_collapsed", version="main"),
        ),
    ),
    Difference(
        "raises",
        "tea-tasting, Spotify, statsmodels",
        "an exception, or NaN, for an arm with fewer than two units, conversions above n, or no variation",
        "status `undefined` with the reason; the other metrics go on",
        "one metric without data must not stop a report",
        (Where(number="raised"), Where(case="edge_n[01]")),
    ),
    Difference(
        "without_variance",
        "tea-tasting, Spotify, closed forms",
        "an interval of no width, or NaN bounds around an estimate, where no unit differs from another",
        "status `undefined`, reason `zero_variance`",
        "500 of 500 against 500 of 500 does not show that both rates are exactly 1",
        (
            Where(TEA, case="edge_all_convert"),
            Where(SPOTIFY, case="edge_all_convert"),
            Where("reference", "closed form: relative lift", case="edge_all_convert"),
        ),
    ),
    Difference(
        "infinite_lift",
        "tea-tasting, Spotify",
        "a lift of infinity over a control without conversions",
        "the lift is not defined; the difference is, and so is the lower end of the exact lift",
        "infinity is no estimate, and no chart can draw it",
        (
            Where(TEA, number="(estimate|ci)_relative", case="edge_zero_conv"),
            Where(SPOTIFY, number="estimate", case="edge_zero_conv", scale="relative"),
        ),
    ),
    Difference(
        "cancellation",
        "every engine that is fed sums of squares",
        "variance as (sum of squares - sum² / n) / (n - 1)",
        "centred moments, merged by Chan's formulas; exact integers in SQL",
        "at values of 1e9 ± 1 all seven digits that are left are wrong; GrowthBook then finds no "
        "variance at all",
        (Where(f"reference|{TEA}|{SPOTIFY}", case="edge_cancellation"),),
    ),
    Difference(
        "cuped_lift_over_raw_mean",
        "GrowthBook",
        "lift with a covariate = adjusted difference / raw control mean, with that quotient's variance "
        "(0.8.0: with another variance, corrected since)",
        "adjusted difference / adjusted control mean, Fieller with what both adjusted means share",
        "numerator and denominator belong to the same units' covariate mean; with the raw mean an "
        "imbalance that "
        "CUPED takes out of the difference stays in the lift",
        (
            Where(GROWTHBOOK, number="estimate|se|ci|p_value", case="(seq_)?cuped", scale="relative"),
            Where("reference", r"closed form: \(adjusted difference\)/\(RAW"),
        ),
    ),
    Difference(
        "cuped_binary",
        "GrowthBook",
        "with a covariate, the variance of a 0/1 measure has the divisor n, its covariances n - 1",
        "n - 1 throughout",
        "one divisor for one covariance matrix; else a perfect covariate leaves a negative variance",
        (Where(GROWTHBOOK, number="theta|df|.*unit_variance|estimate|se|ci|p_value", case="cuped_binary"),),
    ),
    Difference(
        "cuped_ratio_theta",
        "tea-tasting",
        "for ratios: theta from both arms' totals as if they were one arm, re-centred at the ratio of totals",
        "theta = Σ cov/n over Σ var/n within the arms (means and ratios alike); re-centred at pooled means",
        "it is the theta of the least variance of the difference; totals mix the effect into it. The "
        "difference "
        "and its test agree when the same theta is given; only where both means are re-centred differs",
        (Where(TEA, number="control|treatment|estimate_relative|ci_relative", case="cuped_ratio"),),
    ),
    Difference(
        "linear_regression_z",
        "Spotify",
        "`ZTestLinreg`: z of the regression's residuals; lifts by dividing by the observed control",
        "CUPED with Welch's t, or Lin's regression with HC2",
        "its standard error is off at small n",
        (Where(SPOTIFY, "ZTestLinreg"),),
    ),
    Difference(
        "lift_over_observed_control",
        "Spotify",
        "relative bounds = absolute bounds / observed control mean",
        "Fieller, dual to the absolute test",
        "the control is not known either; the larger the lift, the less such an interval covers",
        (Where(SPOTIFY, number="(adjusted_)?ci_", scale="relative"),),
    ),
    Difference(
        "post_hoc_power",
        "Spotify",
        "`powered_effect` beside the result: what could have been found",
        "not in results; `tenbin power` plans with it beforehand",
        "after the fact it says nothing that the interval does not",
        (Where(SPOTIFY, number="powered_effect"),),
    ),
    Difference(
        "pooled_interval",
        "tea-tasting",
        "the pooled z's standard error for the interval as well",
        "the pooled z is a test without interval; Wald's interval stands beside its own test, the unpooled z",
        "an interval is about differences other than 0, for which the rates are not pooled",
        (Where(TEA, "tt.Proportion.*method='norm'.*equal_var=True", number="ci_"),),
    ),
    Difference(
        "tests_without_interval",
        "tea-tasting",
        "Pearson's and the likelihood-ratio test, without intervals (NaN)",
        "score tests with Miettinen and Nurminen's intervals, exact tests with their own",
        "a p-value alone says nothing of size",
        (Where(TEA, "tt.Proportion.*method='(pearson|log-likelihood)'", number="ci_"),),
    ),
    Difference(
        "continuity_correction",
        "tea-tasting (its default), SciPy (its default)",
        "Yates's correction of the pooled z, of chi-squared and of the sample ratio",
        "no correction; score or exact tests where counts are small",
        "the correction makes p too large everywhere, and the interval with it belongs to no test",
        (
            Where(TEA, "tt.(Proportion|SampleRatio).*correction=True", number="p_value"),
            Where("reference", r"scipy chi2_contingency\(correction=True\)"),
        ),
    ),
    Difference(
        "likelihood_ratio",
        "tea-tasting",
        "the likelihood-ratio (G) test of two proportions",
        "the score test",
        "the same to first order, and further from its level where counts are small",
        (Where(TEA, "tt.Proportion.*log-likelihood", number="p_value"),),
    ),
    Difference(
        "open_bounds",
        "tea-tasting",
        "the open end of a one-sided interval of a proportion is -1",
        "it is minus infinity",
        "what is not bounded by the data is not bounded; both say the same",
        (Where(TEA, "tt.Proportion.*alternative='less'", number="ci_(absolute|relative)_lower"),),
    ),
    Difference(
        "student_lift",
        "tea-tasting",
        "with equal variances assumed: the logarithm's interval with one variance for both arms' "
        "relative errors",
        "Student's test on the absolute scale only; lifts by Fieller under Welch",
        "one variance of y is not one variance of ln y; arms of different means contradict it",
        (Where(TEA, "tt.Mean.*equal_var=True, use_t=True", number="ci_relative"),),
    ),
    Difference(
        "one_sided_upper",
        "GrowthBook 0.8.0",
        'the upper bound of "less" is estimate minus the half-width (a known mistake, corrected since)',
        "plus",
        "the bound must be dual to its test",
        (Where(GROWTHBOOK, "OneSidedTreatmentLesser", "ci", version="0.8.0"),),
    ),
    Difference(
        "score_cubic",
        "statsmodels",
        "score interval of the difference (0.15): its cubic has conversions where it needs units; and "
        "of 500 of "
        "500 the ratio's interval ends at the estimate itself",
        "Miettinen and Nurminen 1985, which agrees with Newcombe's published table and with 50-digit "
        "arithmetic",
        "its restricted rates are not the most likely ones (tests/stats/test_proportions.py shows it)",
        (
            Where("reference", "statsmodels confint_proportions_2indep.*'diff', method='score'", "ci"),
            Where(
                "reference",
                "statsmodels confint_proportions_2indep.*'ratio', method='score'",
                "ci",
                "edge_all",
            ),
        ),
    ),
    Difference(
        "quantile_floor",
        "GrowthBook 0.8.0",
        "the variance of a quantile whose interval is one value is set to 1e-5",
        "status `undefined`, reason `collapsed_interval` (GrowthBook refuses since, too)",
        "a floor in the metric's unit is a made-up number",
        (Where(GROWTHBOOK, case="quantile_suff_collapsed", version="0.8.0"),),
    ),
    Difference(
        "quantile_bootstrap",
        "tea-tasting",
        'quantiles by 10,000 resamples, "basic" interval',
        "Deng's outer interval; the bootstrap is there for other statistics, percentile",
        "no Monte-Carlo error, no data needed again, and basic intervals cover less for skewed metrics",
        (Where(TEA, "tt.Quantile"),),
    ),
    Difference(
        "monte_carlo",
        "GrowthBook (bandits), Spotify (BetaBinomial), the bootstrap of a ratio",
        "draws, or resamples",
        "integrals (Gauss-Legendre): the same answer every time; tests compare within the draws' error",
        "a re-run must give the same bytes",
        (
            Where(GROWTHBOOK, "BanditsSimple", "weights|best_arm"),
            Where(SPOTIFY, "BetaBinomial"),
            Where("reference", "user-level bootstrap"),
        ),
    ),
    Difference(
        "bandit_interval",
        "GrowthBook",
        "a bandit arm's interval has the posterior's width around the sample mean",
        "around the posterior's mean",
        "one law, one interval",
        (Where(GROWTHBOOK, "BanditsSimple", "ci"),),
    ),
    Difference(
        "statsig_mixture",
        "Statsig",
        "a mixture whose variance tau shrinks with the data, at alpha / 2: for equal arms the critical "
        "value is "
        "3.5845 for ever; its p-value is by another formula (with its tau our `msprt` has its interval)",
        "a mixture that is fixed beforehand, with its dual p-value and interval",
        "it is valid, and takes 2.35 times the units of a fixed horizon where group-sequential takes 1.04",
        (Where("reference", "closed form: Statsig", "p_value|tau"),),
    ),
    Difference(
        "coarse_grid",
        "Spotify",
        "group-sequential bounds integrated on a coarse grid",
        "a finer one; rpact and gsDesign agree with it, ldbounds but for a last digit (look 2 of five of "
        "O'Brien and Fleming's spending: 3.3570, published 3.3569)",
        "the fourth digit of a bound is shown to people",
        (
            Where(SPOTIFY, "sequential_bound_solver", "z_bounds"),
            Where(SPOTIFY, r"ZTest\(\.\.\., ordinal", "adjusted"),
        ),
    ),
    Difference(
        "sample_ratio_zero_weight",
        "GrowthBook",
        "an arm of weight 0 counts as a degree of freedom of the sample-ratio test",
        "only arms with a positive weight do",
        "it makes mismatches look likely",
        (Where(GROWTHBOOK, "gbstats.utils.check_srm", case="srm_zero_weight"),),
    ),
    Difference(
        "sample_ratio_exact",
        "tea-tasting, SciPy",
        "the exact binomial test at any size",
        "chi-squared; exact where an arm expects fewer than 5 units",
        "one test for any number of arms that adds up over days and phases",
        (Where(TEA, "tt.SampleRatio.*binom"), Where("reference", "scipy binomtest")),
    ),
    Difference(
        "other_procedures",
        "tea-tasting, statsmodels",
        "Bonferroni, Šidák, Holm-Šidák, Hommel and two-stage Benjamini-Hochberg procedures; adjusted levels "
        "beside adjusted p-values",
        "Holm by default; Hochberg, Benjamini-Hochberg, Benjamini-Yekutieli; adjusted intervals instead "
        "of levels",
        "Holm needs no assumption and rejects whatever Bonferroni does; Šidák's gain is in the third "
        "digit and "
        "needs independence; Hommel and two-stage procedures have no simultaneous intervals",
        (
            Where(TEA, "tt.adjust_fwer.*sidak"),
            Where(TEA, "tt.adjust", "alpha_adjusted"),
            Where("reference", "statsmodels multipletests"),
        ),
    ),
    Difference(
        "whole_units",
        "tea-tasting, Spotify",
        "sizes rounded to whole totals, from their own start",
        "exact sizes, rounded up arm by arm where they are shown",
        "two units",
        (Where(TEA, r"tt\.(Mean|RatioOfMeans)\(\.\.\.", "n_total"), Where(SPOTIFY, "SampleSizeCalculator")),
    ),
    Difference(
        "power_of_the_wrong_side",
        "statsmodels",
        "power of a two-sided t test counts significance in the wrong direction too, by its noncentral t",
        "the right direction only; checked by integration over the law of the variance",
        "a significant loss is no success; and at many units its noncentral t is one unit off",
        (Where("reference", "statsmodels TTestIndPower"),),
    ),
    Difference(
        "arcsine",
        "statsmodels",
        "proportions planned by the arcsine (Cohen's h), or by its own one-tailed formula",
        "by the test that will be made: unpooled z; Fleiss and Evan Miller's as named methods",
        "a plan must belong to its analysis",
        (Where("reference", "statsmodels (NormalIndPower|samplesize_proportions)"),),
    ),
    Difference(
        "mid_experiment",
        "GrowthBook",
        "power at mid-experiment counts the wrong direction, and the search ends within 1e-5 of the power",
        "the right direction only; solved to the last digit",
        "tests/stats/test_planning.py reproduces its numbers with both added",
        (Where(GROWTHBOOK, "MidExperimentPower"),),
    ),
    Difference(
        "uncorrected_sandwich",
        "statsmodels",
        "cluster-robust errors without small-sample correction, on request",
        "CR2 with Bell and McCaffrey's degrees of freedom, CR1 (its default) as a named method",
        "uncorrected errors are too small with few clusters",
        (Where("reference", r"statsmodels OLS y ~ 1 \+ T, cluster-robust \(no"),),
    ),
    Difference(
        "caps",
        "tea-tasting users, NumPy",
        'caps between two order statistics ("linear" and others)',
        "the order statistic that SQL's quantile_disc finds, pooled over the arms",
        "the same cap in SQL and in Python, whatever the order of rows; with their cap the test is theirs",
        (Where("reference", "(numpy.quantile 'linear'|cap by numpy.quantile)", "cap_value"),),
    ),
    Difference(
        "difference_of_expectations",
        "the vectors' own closed forms",
        "expected losses in a far tail as a difference of expectations, or from an expansion",
        "as one integral, or by the tail's own continued fraction",
        "at 1e-122 nothing is left of a difference",
        (
            Where("reference", "closed form: normal-normal", "log10_risk", "bayes_extreme"),
            Where("reference", "exact Beta", "expected_loss", "bayes_extreme"),
        ),
    ),
    Difference(
        "tails",
        "GrowthBook, Spotify",
        "tails as 1 - cdf: p is 0, or a multiple of 1e-16, where it is below 1e-16",
        "tails as such, and their base-10 logarithm beside them",
        "p = 0 is not a probability of anything that happened, and Holm needs an order",
        (Where(f"{GROWTHBOOK}|{SPOTIFY}", number="p_value"),),
    ),
    # The same digits when asked for; another default.
    Difference(
        "proportion_t",
        "GrowthBook",
        "proportions by Welch's t on p (1 - p)",
        "the normal law (unpooled z); score or exact below 30 conversions",
        "the variance of a proportion is known once its rate is: there is nothing for Student's law to "
        "allow for",
        (Where(GROWTHBOOK, "TwoSided", "p_value|ci", "prop_", scale="absolute"),),
        named=True,
    ),
    Difference(
        "proportion_pooled",
        "tea-tasting, Spotify (ChiSquared), statsmodels",
        "the pooled z as the test of two proportions",
        "shown as a row of its own, `z_pooled`; the headline is the unpooled z with its dual interval",
        "test and interval must not contradict each other",
        (
            Where(TEA, "tt.Proportion.*'norm'.*correction=False, equal_var=True", "p_value", "prop_"),
            Where("reference", "statsmodels proportions_ztest", "p_value", "prop_"),
        ),
        named=True,
    ),
    Difference(
        "linear_lift",
        "GrowthBook, Eppo, PostHog",
        "lifts by the linear delta method, with a p-value of their own",
        "Fieller, whose interval holds 0 exactly when the absolute test accepts; `linear_delta` by name",
        "GrowthBook's own unit tests have absolute p = 0.020 beside relative p = 0.062 for one experiment",
        (Where(GROWTHBOOK, "TwoSided", "p_value|ci", "(prop|mean|ratio)_", scale="relative"),),
        named=True,
    ),
    Difference(
        "log_lift",
        "tea-tasting",
        "lifts by the delta method on the logarithm, beside an absolute p-value; its t has degrees of "
        "freedom of "
        "its own",
        "Fieller; `log_delta` by name",
        "its tails are equal only where both arms' relative errors are alike; its p-value is another test's",
        (Where(TEA, "tt.(Mean|RatioOfMeans).*", "ci_relative", "(mean|ratio)_"),),
        named=True,
    ),
    Difference(
        "cuped_theta",
        "GrowthBook, tea-tasting",
        "for means: theta from both arms' totals as if they were one arm",
        "theta = Σ cov/n over Σ var/n within the arms",
        "the least variance of the difference; totals mix the effect into theta",
        (
            Where(GROWTHBOOK, "TwoSided", "theta|estimate|se|p_value|ci", "cuped_mean", scale="absolute"),
            Where(TEA, "tt.Mean", "estimate_absolute|p_value|ci_absolute", "cuped_(mean|binary)"),
        ),
        named=True,
    ),
    Difference(
        "cuped_ratio_sum",
        "GrowthBook",
        "for ratios: theta = sum of the arms' covariances / sum of the arms' variances, whatever their sizes",
        "each arm weighted by 1/n",
        "with arms of unequal size the unweighted theta leaves variance in the difference",
        (
            Where(GROWTHBOOK, "TwoSided", "theta|estimate|se|p_value|ci", "cuped_ratio", scale="absolute"),
            Where(
                "reference", "closed form: CUPED ratio, theta = unweighted", "theta|estimate|se|p_value|ci"
            ),
        ),
        named=True,
    ),
    Difference(
        "cuped_independent",
        "tea-tasting",
        "lift of adjusted means as if they shared nothing",
        "with the covariance of the shared pooled mean in Fieller",
        "without it the interval is too narrow, the more the larger the lift and the correlation",
        (Where(TEA, "tt.Mean", "ci_relative", "cuped_(mean|binary)"),),
        named=True,
    ),
    Difference(
        "quantile_units",
        "GrowthBook",
        "a quantile's unit variance times n - 1, divided by n: (n - 1) / n of the interval's",
        "the interval's own width",
        "the outer interval stands for n values; there is no mean whose degree of freedom is lost",
        (Where(GROWTHBOOK, "TwoSided", "se|ci|p_value", "quantile_", scale="absolute"),),
        named=True,
    ),
    Difference(
        "stratified_df",
        "GrowthBook",
        "post-stratified differences read by the unstratified test's degrees of freedom",
        "Satterthwaite's over the strata",
        "the variance that is read is that of the strata",
        (Where(GROWTHBOOK, r"TwoSidedTTest\(strata.*post_stratify=True", "p_value|ci", scale="absolute"),),
        named=True,
    ),
    Difference(
        "tuning",
        "the exact rho (drconfseq), GrowthBook's approximation",
        "rho by Lambert's W",
        "the paper's approximation, as GrowthBook; the exact one by name (`exact_rho2`)",
        "numbers people know, at a boundary that differs in the fifth digit at its best point",
        (Where("reference", "closed form: same, exact rho", "multiplier|halfwidth"),),
        named=True,
    ),
    Difference(
        "margin_as_known",
        "GrowthBook, Spotify",
        "a relative margin is multiplied with the observed control and then taken as known",
        "a test of the ratio: variant against (1 - margin) x the true control",
        "the other is conservative for a lower margin and anti-conservative for an upper one",
        (
            Where(GROWTHBOOK, "OneSided", "p_value", "ni_", "main", "absolute"),
            Where(SPOTIFY, "ZTest", "p_value", "ni_", scale="absolute"),
            Where("reference", "closed form: margin fixed", "p_value"),
        ),
        named=True,
    ),
    Difference(
        "planned_pooled",
        "R's power.prop.test (Fleiss), Evan Miller's calculator",
        "proportions planned with the variance pooled, or the control's, under no difference",
        "the variance of the test that will be made (unpooled); theirs as `z_pooled` and `z_baseline`",
        "a plan must belong to its analysis",
        (Where("reference", "closed form: (pooled-null|Evan Miller)", "n_total"),),
        named=True,
    ),
)
