"""The policy that turns results into a verdict, with its reasons in words.

Broken data outrank every result. A variant ships when a primary metric is significantly better (corrected
over the success metrics), none is worse, no guardrail is harmed, and every guardrail with a margin is shown
to be within it (non-inferiority, one-sided at alpha / 2). It is rolled back when a primary metric or a
guardrail is significantly worse: for a guardrail with a margin, worse than the margin allows.
"""

from collections.abc import Mapping, Sequence

import msgspec

from stats.plan import MetricPlan, Plan
from stats.results import Decision, Result, Srm, Verdict

_PROCEDURES = {
    "holm": "Holm",
    "hochberg": "Hochberg",
    "benjamini_hochberg": "Benjamini-Hochberg",
    "benjamini_yekutieli": "Benjamini-Yekutieli",
}


_CONTRADICTED = "its looks contradict each other"


class _Variant(msgspec.Struct):
    """What the headline rows say of one variant against the control."""

    name: str
    better: list[str]
    worse: list[str]
    open: list[str]
    best_lift: float = 0.0  # of the primary metrics that are better, in the good direction

    @property
    def verdict(self) -> Verdict | None:
        if self.worse:
            return Verdict.ROLL_BACK
        return Verdict.SHIP if self.better and not self.open else None


class _Rows(msgspec.Struct, frozen=True):
    """The rows of one metric and variant that the policy reads."""

    absolute: Result
    relative: Result | None
    margin: Result | None


def decide(
    plan: Plan, results: Sequence[Result], srm: Srm, *, ended: bool, failed_checks: Sequence[str] = ()
) -> Decision:
    """The verdict on an experiment."""
    broken = [*_broken_split(srm), *failed_checks]
    if broken:
        return Decision(
            verdict=Verdict.INVESTIGATE,
            sentence="Investigate: the data can't be trusted, so read no result until the cause is known.",
            reasons=tuple(broken),
        )
    if srm.observed and not any(srm.observed.values()):
        return _without_result(plan, [], ended=ended, why="no unit has been seen yet")
    rows = _by_comparison(plan, results)
    found = [_variant(plan, variant, rows) for variant in plan.variants if variant != plan.control]
    shipping = [variant for variant in found if variant.verdict is Verdict.SHIP]
    if shipping:
        return _ship(plan, max(shipping, key=lambda variant: variant.best_lift), found, srm)
    if any(variant.verdict is Verdict.ROLL_BACK for variant in found):
        return _roll_back(found)
    return _without_result(plan, found, ended=ended)


def _broken_split(srm: Srm) -> list[str]:
    if not srm.failed or srm.p_value is None:
        return []
    seen = ", ".join(
        f"{name} {count:,} (expected {srm.expected[name]:,.0f})" for name, count in srm.observed.items()
    )
    return [f"sample ratio mismatch, p = {srm.p_value:.2g}: {seen}"]


def _by_comparison(plan: Plan, results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    """The rows over everyone, against the control, by metric and variant."""
    found: dict[tuple[str, str], list[Result]] = {}
    for row in results:
        if row.segment is None and row.baseline == plan.control:
            found.setdefault((row.metric, row.variant), []).append(row)
    return found


def _variant(plan: Plan, variant: str, results: Mapping[tuple[str, str], Sequence[Result]]) -> _Variant:
    found = _Variant(name=variant, better=[], worse=[], open=[])
    for metric in plan.metrics:
        rows = _rows(results.get((metric.name, variant), ()))
        if rows is None:
            continue
        if metric.role == "primary":
            _read_primary(found, metric, rows, plan.settings.correction)
        elif metric.role == "guardrail":
            _read_guardrail(found, metric, rows)
    return found


def _rows(own: Sequence[Result]) -> _Rows | None:
    heads = {row.scale: row for row in own if row.headline}
    if "absolute" not in heads:
        return None
    margin = next((row for row in own if row.method == "non_inferiority"), None)
    return _Rows(heads["absolute"], heads.get("relative"), margin)


def _read_primary(found: _Variant, metric: MetricPlan, rows: _Rows, correction: str) -> None:
    row = rows.absolute
    if row.p_adjusted is None or row.p_adjusted > row.alpha or not row.estimate:
        return
    way = direction(row)
    if not way:
        found.open.append(f"{metric.name} in {found.name}: {_CONTRADICTED}")
        return
    good = metric.sign * way > 0
    lift = rows.relative.estimate if rows.relative is not None else None
    moved = f"{metric.name} {'rose' if way > 0 else 'fell'} in {found.name}"
    by = "" if lift is None or lift * way < 0 else f" by {abs(lift):.1%}"
    said = f"{moved}{by} ({_tested(row, correction)})"
    (found.better if good else found.worse).append(said)
    if good:
        found.best_lift = max(found.best_lift, abs(lift if lift is not None else row.estimate))


def direction(row: Result) -> float:
    """Which way the effect goes: the side of 0 of its interval, as looks may have shown it before today.

    0 where looks contradict each other on it.
    """
    if _contradicted(row):
        return 0.0
    if row.lower is not None and row.lower >= 0:
        return row.lower or 1.0
    if row.upper is not None and row.upper <= 0:
        return row.upper or -1.0
    return row.estimate or 0.0


def _contradicted(row: Result) -> bool:
    """Whether the looks do not even agree on the side of 0."""
    return "looks_disagree" in row.reasons and row.lower is None and row.upper is None


def _tested(row: Result, correction: str) -> str:
    if correction == "none":
        return f"p {row.p_adjusted:.2g}, not corrected"
    return f"adjusted p {row.p_adjusted:.2g}, {_PROCEDURES[correction]}, {row.family}"


def _read_guardrail(found: _Variant, metric: MetricPlan, rows: _Rows) -> None:
    row = rows.absolute
    if metric.margin is None:
        against = metric.sign * direction(row) < 0
        if row.p_value is not None:
            if against and row.p_value <= row.alpha:
                found.worse.append(f"guardrail {metric.name} is worse in {found.name} (p {row.p_value:.2g})")
            elif _contradicted(row):
                found.open.append(f"guardrail {metric.name} in {found.name}: {_CONTRADICTED}")
        elif against or "zero_variance" not in row.reasons:
            # Two arms in which nothing ever happened are no sign of harm; anything else that can't be
            # tested is not known to be safe.
            found.open.append(f"guardrail {metric.name} can't be judged in {found.name}: {_why(row)}")
        return
    relative, margin = rows.relative, rows.margin
    best = None if relative is None else (relative.upper if metric.sign > 0 else relative.lower)
    if best is not None and metric.sign * best < -metric.margin:
        found.worse.append(
            f"guardrail {metric.name} is worse in {found.name} than its margin of {metric.margin:.3g} allows"
        )
    elif margin is None or margin.p_value is None or margin.p_value > margin.alpha:
        found.open.append(
            f"guardrail {metric.name} is not shown to be within its margin of "
            f"{metric.margin:.3g} in {found.name}"
        )


def _why(row: Result) -> str:
    return ", ".join(code.replace("_", " ") for code in row.reasons) or row.status.value


def _split(srm: Srm) -> str:
    return "the units are split as planned" if srm.observed else "the split of the units was not tested"


def _ship(plan: Plan, best: _Variant, found: Sequence[_Variant], srm: Srm) -> Decision:
    guarded = ", and no guardrail is worse" if any(m.role == "guardrail" for m in plan.metrics) else ""
    others = [
        reason for variant in found if variant is not best for reason in (*variant.better, *variant.worse)
    ]
    return Decision(
        verdict=Verdict.SHIP,
        sentence=f"Ship {best.name}: {best.better[0].split(' (')[0]}{guarded}.",
        reasons=(*best.better, *others, _split(srm)),
    )


def _roll_back(found: Sequence[_Variant]) -> Decision:
    bad = [variant for variant in found if variant.verdict is Verdict.ROLL_BACK]
    names = ", ".join(variant.name for variant in bad)
    reasons = [reason for variant in bad for reason in (*variant.worse, *variant.better)]
    return Decision(
        verdict=Verdict.ROLL_BACK,
        sentence=f"Roll back {names}: {bad[0].worse[0].split(' (')[0]}.",
        reasons=tuple(reasons),
    )


def _without_result(
    plan: Plan, found: Sequence[_Variant], *, ended: bool, why: str | None = None
) -> Decision:
    reasons = [reason for variant in found for reason in (*variant.better, *variant.open)]
    if ended:
        text = why or "no primary metric is significantly better or worse"
        if any(variant.better for variant in found):
            text = "a primary metric is better, but a guardrail is not shown to be safe"
        return Decision(
            verdict=Verdict.INCONCLUSIVE, sentence=f"Inconclusive: {text}.", reasons=tuple(reasons or [text])
        )
    text = why or (
        "significance is read once, at the planned end"
        if plan.horizon == "fixed"
        else "no primary metric is significantly better or worse yet"
    )
    return Decision(
        verdict=Verdict.KEEP_RUNNING, sentence=f"Keep running: {text}.", reasons=tuple(reasons or [text])
    )
