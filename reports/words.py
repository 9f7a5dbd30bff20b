"""Verdicts, readings, statuses and reasons in words, each with an icon: nothing is said by colour alone."""

import msgspec

from reports.readout import MetricDefinition
from stats.decision import direction
from stats.results import Outcome, Result, Status, Verdict


class Badge(msgspec.Struct, frozen=True):
    """A word, the icon before it, and the tone that colours both."""

    word: str
    icon: str
    tone: str  # good | bad | warn | neutral


VERDICTS = {
    Verdict.SHIP: Badge("Ship", "✓", "good"),
    Verdict.ROLL_BACK: Badge("Roll back", "↩", "bad"),
    Verdict.KEEP_RUNNING: Badge("Keep running", "▶", "info"),
    Verdict.INCONCLUSIVE: Badge("Inconclusive", "≈", "neutral"),
    Verdict.INVESTIGATE: Badge("Investigate", "!", "warn"),
}
CHECKS = {
    Outcome.PASSED: Badge("Passed", "✓", "good"),
    Outcome.NOTED: Badge("Noted", "·", "neutral"),
    Outcome.WARNING: Badge("Warning", "!", "warn"),
    Outcome.FAILED: Badge("Failed", "✕", "bad"),
    Outcome.NOT_APPLICABLE: Badge("Not applicable", "–", "neutral"),
}
ROLES = {"primary": "Primary", "secondary": "Secondary", "guardrail": "Guardrail", "quality": "Data quality"}
POPULATIONS = {"exposed": "units that were exposed", "assigned": "units that were assigned"}
HORIZONS = {
    "fixed": "fixed (significance is read once, at the planned end)",
    "anytime": "anytime (valid at every look)",
    "group_sequential": "group sequential (significance is read at planned looks)",
}
SPENDING = {
    "obrien_fleming": "O'Brien and Fleming's spending function",
    "pocock": "Pocock's spending function",
    "power": "a power of the share of the plan",
    "hwang_shih_decani": "Hwang, Shih and DeCani's spending function",
}
BETTER = Badge("Better", "▲", "good")
WORSE = Badge("Worse", "▼", "bad")
UNCLEAR = Badge("No clear difference", "○", "neutral")
WITHHELD = Badge("Withheld", "◌", "neutral")
UNDEFINED = Badge("Not defined", "–", "neutral")
WITHIN = Badge("Within its margin", "✓", "good")
NOT_SHOWN = Badge("Margin not shown yet", "○", "neutral")

REASONS = {
    "no_kept_shard": "no shard of this variant stayed in place since the weights changed",
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
    "not_finite": "a mean or a variance is not finite",
    "negative_baseline": "the control mean is negative, so the lift is relative to its size",
    "few_conversions": "fewer than 30 units with or without a conversion: interval and p-value are doubtful",
    "covariate_constant": "the covariate does not vary, so nothing could be adjusted",
    "columns_differ": "the moments do not have the columns that the metric asks for",
    "impossible_moments": "the covariances are none: negative variances, or more than variances allow",
    "constant_arm": "every unit of one arm has the same value, so its variance is not known",
    "unequal_arms": "the arms are of very different size for what was observed: errors fall on one side",
    "heavy_tail": "few large values decide for arms of this size: errors fall mostly on one side",
    "small_sample": "too few units for this kind of metric: intervals may be too short",
    "few_clusters": "too few clusters in an arm: intervals are too short",
    "few_units_for_adjustment": "fewer than 30 units per covariate in an arm: the interval is too short",
    "noisy_baseline": "the control mean is less than 40 standard errors from 0: this lift errs on one side",
    "few_beyond_quantile": "few values lie beyond the quantile: its error is not well known",
    "score_for_few": "fewer than 30 units with or without a conversion: by the score test",
    "exact_for_few": "fewer than 5 conversions are expected: by an exact test",
    "too_few": "too few conversions for a sequential test: it waits for more",
    "before_first_look": "the first look was not taken yet",
    "looks_disagree": "the looks leave no effect possible together: it was another one at each of them",
    "strata_merged": "strata with fewer than two units in an arm were taken together",
    "not_stratified": "only one stratum is left, or nothing varies within them: nothing could be adjusted",
    "strata_incomplete": "some units are in no stratum, so nothing could be adjusted",
    "units_not_at_hand": "the method needs units, and only moments are there",
    "not_defined": "the method has no value for these data",
}


def reason(code: str) -> str:
    """A reason in words; codes that are not known here are shown with their underscores as spaces."""
    return REASONS.get(code) or (code if " " in code else code.replace("_", " "))


def reading(row: Result, relative: Result | None, metric: MetricDefinition | None) -> Badge:
    """What the headline row says about the metric, before anyone weighs it against the others.

    Args:
        row: the headline row.
        relative: its relative twin, which margins are compared with.
        metric: direction and margin; None reads as "more is better".
    """
    if row.status is Status.WITHHELD:
        return WITHHELD
    p = row.p_adjusted if row.p_adjusted is not None else row.p_value
    if row.status is Status.UNDEFINED or row.estimate is None or p is None:
        return UNDEFINED
    sign = -1 if metric is not None and metric.direction == "decrease" else 1
    if p <= row.alpha and (shown := sign * direction(row)) != 0:
        return BETTER if shown > 0 else WORSE
    if metric is None or metric.margin is None or relative is None:
        return UNCLEAR
    worst = relative.lower if sign > 0 else relative.upper
    return WITHIN if worst is not None and sign * worst > -metric.margin else NOT_SHOWN
