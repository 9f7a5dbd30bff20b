"""Reason codes in words: why a row has no number, or why the one that it has deserves a doubt.

Whatever says a reason (pages, the terminal, warnings) says it in these words.
"""

REASONS = {
    "no_kept_shard": "no shard of this variant stayed in place since the weights changed",
    "phase_left_out": "a phase with fewer than two units in an arm waits until it has them",
    "zero_variance": "every unit has the same value",
    "too_few_units": "there are too few units",
    "no_units": "there are no units",
    "baseline_not_positive": "the control mean is not clearly above zero, so a ratio to it says nothing",
    "before_planned_end": "significance is read at the planned end, not before",
    "immature": "no unit's window is over yet",
    "zero_denominator": "an arm's denominator is 0",
    "not_a_proportion": "the share of conversions does not lie between 0 and 1",
    "tied_values": "so many values are equal beside the quantile that it has no error",
    "collapsed_interval": "so many values are equal that both ends of the interval are one value",
    "units_without_value": "units without a value are left out; this conditions on behaviour after "
    "assignment, so the units that remain may not be alike",
    "not_finite": "a mean or a variance is not finite",
    "negative_baseline": "the control mean is negative, so the lift is relative to its size",
    "few_conversions": "an arm has fewer than 30 units with or without a conversion: interval and "
    "p-value are doubtful",
    "covariate_constant": "the covariate does not vary, so nothing could be adjusted",
    "columns_differ": "the moments do not have the columns that the metric asks for",
    "impossible_moments": "the covariances are none: negative variances, or more than variances allow",
    "constant_arm": "every unit of one arm has the same value, so its variance is not known",
    "unequal_arms": "the arms are of very different size for what was observed: errors fall mostly on "
    "one side",
    "heavy_tail": "few large values decide for arms of this size, so errors fall mostly on one side; "
    "cap the metric, or wait for more units",
    "small_sample": "too few units for this kind of metric: intervals may be too short",
    "few_clusters": "too few clusters in an arm: intervals are too short",
    "few_units_for_adjustment": "fewer than 30 units per covariate in an arm: the adjusted interval is "
    "too short",
    "noisy_baseline": "the control mean is less than 40 standard errors from 0: this lift errs on one side",
    "few_beyond_quantile": "few values lie beyond the quantile for arms of this size: its error is not "
    "well known",
    "score_for_few": "an arm has fewer than 30 units with or without a conversion, too few for the "
    "normal approximation: compared by the score test",
    "exact_for_few": "fewer than 5 conversions are expected in an arm: compared by an exact test",
    "too_few": "too few conversions for a sequential test, so the headline waits for more",
    "before_first_look": "the first look was not taken yet",
    "looks_disagree": "the looks leave no effect possible together: it was another one at each of them",
    "strata_merged": "strata with fewer than two units in an arm were taken together",
    "not_stratified": "only one stratum is left, or nothing varies within them: nothing could be adjusted",
    "strata_incomplete": "some units are in no stratum, so nothing could be adjusted",
    "units_not_at_hand": "the method needs units, and only moments are there",
    "not_defined": "the method has no value for these data",
}

# Those that a reader must know of a metric whatever else is read; the others stand at their rows.
WARNED = frozenset(
    {
        "too_few",
        "score_for_few",
        "exact_for_few",
        "few_conversions",
        "unequal_arms",
        "heavy_tail",
        "small_sample",
        "few_clusters",
        "few_units_for_adjustment",
        "few_beyond_quantile",
        "covariate_constant",
        "strata_incomplete",
        "constant_arm",
        "units_without_value",
    }
)
