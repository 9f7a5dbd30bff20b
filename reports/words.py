"""Verdicts, readings, statuses and reasons in words, each with an icon: nothing is said by colour alone."""

import msgspec

from reports.readout import MetricDefinition
from stats.decision import direction
from stats.reasons import REASONS
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
# What asks for a person first.
URGENCY = (
    Verdict.INVESTIGATE,
    Verdict.ROLL_BACK,
    Verdict.SHIP,
    Verdict.INCONCLUSIVE,
    Verdict.KEEP_RUNNING,
)
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
