"""The view model of one experiment's page: every word and number as it is shown, nothing left to compute."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from reports import charts, tables, words
from reports import format as fmt
from reports.charts import Chart
from reports.readout import MetricDefinition, Readout
from reports.select import ROLE_ORDER, Pair, pairs
from reports.slugs import slug
from reports.tables import Line, Table
from reports.words import Badge
from stats.findings import is_about_results
from stats.results import Finding, Outcome, Status

_MAX_HEROES = 6
_STATES = {
    Outcome.PASSED: "passed",
    Outcome.NOTED: "noted",
    Outcome.WARNING: "with a warning",
    Outcome.FAILED: "failed",
    Outcome.NOT_APPLICABLE: "not applicable",
}


class Share(msgspec.Struct, frozen=True):
    """One variant in the table of the split."""

    variant: str
    planned: str
    expected: str
    observed: str
    difference: str


class CheckLine(msgspec.Struct, frozen=True):
    """A data-quality check as shown."""

    name: str
    badge: Badge
    message: str
    numbers: tuple[tuple[str, str], ...]
    parts: Table | None = None  # estimates by segment or day, where it has them


class Trend(msgspec.Struct, frozen=True):
    """One metric over time: its chart, its table, and what to know about it."""

    metric: str
    role: str
    chart: Chart | None
    table: Table
    note: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """All that the templates and the Markdown say."""

    readout: Readout
    title: str
    facts: tuple[tuple[str, str], ...]
    verdict: Badge
    sentence: str
    reasons: tuple[str, ...]
    pulse: str  # health in a few words
    cautions: tuple[str, ...]  # provisional, withheld, immature: in words, beside the verdict
    srm_badge: Badge
    srm_sentence: str
    shares: tuple[Share, ...]
    checks: tuple[CheckLine, ...]  # of the data
    findings: tuple[CheckLine, ...]  # about the results, warnings first
    heroes: tuple[Line, ...]
    groups: tuple[tuple[str, tuple[tuple[str, tuple[Line, ...]], ...]], ...]  # role word → metric → lines
    forest: Chart | None
    forest_table: Table
    trends: tuple[Trend, ...]
    exposures: Chart | None
    exposures_table: Table
    looks: Table | None  # of a group-sequential experiment
    looks_note: str
    segments: tuple[Table, ...]
    methods: Table
    several: bool

    @property
    def warned(self) -> tuple[CheckLine, ...]:
        """The findings that ask for attention."""
        return tuple(found for found in self.findings if found.badge == words.CHECKS[Outcome.WARNING])

    @property
    def noted(self) -> tuple[CheckLine, ...]:
        """All other findings."""
        return tuple(found for found in self.findings if found not in self.warned)

    @property
    def figures(self) -> str:
        """The charts as JSON that can stand inside a script element."""
        drawn = [self.forest, *(trend.chart for trend in self.trends), self.exposures]
        return script_json({chart.id: chart.figure for chart in drawn if chart is not None})


def build_page(readout: Readout) -> Page:
    """The view model of a readout; a pure function."""
    metrics = {metric.name: metric for metric in readout.metrics}
    overall = pairs((row for row in readout.results if row.segment is None), readout)
    series = pairs((row for row in readout.series if row.segment is None), readout)
    by_segment = pairs((row for row in readout.results if row.segment is not None), readout)
    lines = tuple(tables.line(pair, metrics.get(pair.head.metric)) for pair in overall)
    several = len({(line.variant, line.baseline) for line in lines}) > 1 or len(readout.variants) > 2  # noqa: PLR2004 - two arms
    badge, sentence = _split(readout)
    variants = charts.exposed_variants(readout)
    return Page(
        readout=readout,
        title=readout.title or readout.experiment,
        facts=_facts(readout),
        verdict=words.VERDICTS[readout.decision.verdict],
        sentence=readout.decision.sentence,
        reasons=readout.decision.reasons,
        pulse=_pulse(readout),
        cautions=_cautions(readout, overall),
        srm_badge=badge,
        srm_sentence=sentence,
        shares=_shares(readout),
        checks=tuple(_check(check) for check in _ranked(_of_data(readout))),
        findings=tuple(_check(found) for found in _ranked(readout.checks) if is_about_results(found)),
        heroes=tuple(line for line in lines if line.role == "primary")[:_MAX_HEROES],
        groups=_groups(lines),
        forest=charts.forest(overall, metrics, several=several),
        forest_table=tables.lifts(overall, metrics),
        trends=_trends(readout, series, metrics),
        exposures=charts.exposures(readout),
        exposures_table=tables.exposures(readout, variants),
        looks=tables.looks(readout) if readout.looks else None,
        looks_note=_looks_note(readout),
        segments=_segments(by_segment, metrics),
        methods=tables.methods(readout.results),
        several=several,
    )


def script_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON that no HTML parser can take for markup."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def health_of(readout: Readout) -> Badge:
    """Everything about health in one badge: the worst of the split and the checks."""
    states = {check.status for check in _of_data(readout)}
    if readout.srm.failed or Outcome.FAILED in states:
        return Badge("Failed", "✕", "bad")
    if Outcome.WARNING in states:
        return Badge("Warnings", "!", "warn")
    if readout.srm.p_value is None and Outcome.PASSED not in states:
        return Badge("Not tested", "–", "neutral")
    return Badge("Healthy", "✓", "good")


def _facts(readout: Readout) -> tuple[tuple[str, str], ...]:
    plan = f" of {fmt.count(readout.planned_units)} planned" if readout.planned_units else ""
    total = sum(readout.units.values())
    facts = [
        ("As of", fmt.day(readout.as_of) + (" (provisional)" if readout.provisional else "")),
        ("Runs", f"{fmt.day(readout.start)} to {fmt.day(readout.end) if readout.end else 'no planned end'}"),
        ("Final result", fmt.day(readout.planned_end)),
        ("Units", f"{fmt.count(total)}{plan}"),
        ("Unit", readout.unit_type),
        ("Population", words.POPULATIONS.get(readout.population, readout.population)),
        ("Horizon", words.HORIZONS.get(readout.horizon, readout.horizon)),
        ("Level", f"{fmt.plain_percent(1 - readout.alpha)} intervals"),
        ("Environment", readout.environment),
        ("Owner", readout.owner or ""),
    ]
    undated = {"As of", "Runs"} if readout.start is None and readout.as_of is None else set()
    return tuple(
        (name, value) for name, value in facts if value not in {"", fmt.MISSING} and name not in undated
    )


def _cautions(readout: Readout, overall: Sequence[Pair]) -> tuple[str, ...]:
    found = []
    if readout.provisional:
        found.append("Provisional: rows may still arrive late for the last days, and the numbers may move.")
    held = {
        next(iter(pair.head.reasons), "before_planned_end")
        for pair in overall
        if pair.head.status is Status.WITHHELD
    }
    if "before_planned_end" in held:
        until = f" on {readout.planned_end}" if readout.planned_end else ""
        found.append(
            f"Withheld: with a fixed horizon, intervals and p-values are read once, at the end{until}. "
            "Until then only estimates and counts are shown."
        )
    found += [f"Withheld: {words.reason(code)}." for code in sorted(held - {"before_planned_end"})]
    if any(pair.head.n_immature for pair in overall):
        found.append(
            "Immature: for metrics with a window, units whose window is not over yet are left out for now."
        )
    return (*found, *readout.warnings)


def _split(readout: Readout) -> tuple[Badge, str]:
    srm = readout.srm
    if srm.p_value is None:
        why = (
            "nobody said how many were randomised" if srm.method == "none" else "there are no units to count"
        )
        return Badge("Not tested", "–", "neutral"), f"The split can't be tested: {why}."
    statistic = f"χ² = {srm.chi2:.2f}, df {srm.df}, " if srm.chi2 is not None else ""
    numbers = f"{statistic}p {_equals(fmt.p_value(srm.p_value))}"
    if srm.failed:
        return (
            Badge("Failed", "✕", "bad"),
            (
                f"The variants did not get the units that their weights make expect ({numbers}). Something "
                "assigns or loses units unevenly, so no result below can be trusted until it is found."
            ),
        )
    return (
        Badge("Passed", "✓", "good"),
        f"The units are split as planned; differences this large are expected by chance ({numbers}).",
    )


def _pulse(readout: Readout) -> str:
    counts = {status: sum(check.status is status for check in _of_data(readout)) for status in words.CHECKS}
    split = "split failed" if readout.srm.failed else "split as planned"
    if readout.srm.p_value is None:
        split = "split not tested"
    parts = [
        f"{number} check{'' if number == 1 else 's'} {_STATES[status]}"
        for status, number in counts.items()
        if number
    ]
    return ", ".join([split, *parts])


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def _shares(readout: Readout) -> tuple[Share, ...]:
    srm, weights = readout.srm, readout.weights
    total, all_weights = sum(srm.observed.values()), sum(weights.values())
    found = []
    for variant in dict.fromkeys([*readout.variants, *srm.observed]):
        observed, expected = srm.observed.get(variant, 0), srm.expected.get(variant)
        got = f" ({fmt.percent(observed / total)})" if total else ""
        gap = fmt.signed_count(observed - expected) if expected is not None else fmt.MISSING
        # Where the weights changed, the share is that of all phases together.
        share = weights.get(variant, 0.0) / all_weights if all_weights else None
        share = expected / total if expected is not None and total else share
        found.append(
            Share(variant, fmt.percent(share), fmt.count(expected), f"{fmt.count(observed)}{got}", gap)
        )
    return tuple(found)


def _of_data(readout: Readout) -> list[Finding]:
    return [check for check in readout.checks if not is_about_results(check)]


def _ranked(checks: Sequence[Finding]) -> list[Finding]:
    rank = list(words.CHECKS)
    return sorted(checks, key=lambda check: (-_severity(check.status), rank.index(check.status), check.name))


def _severity(status: Outcome) -> int:
    return {Outcome.FAILED: 2, Outcome.WARNING: 1}.get(status, 0)


def _check(check: Finding) -> CheckLine:
    parts, rest = tables.parts(check)
    numbers = tuple((_spaced(name), _number(name, value)) for name, value in sorted(rest.items()))
    name, *whose = check.name.split(":")
    title = " · ".join([_capital(_spaced(name)), *whose])
    return CheckLine(title, words.CHECKS[check.status], check.message, numbers, parts)


def _number(name: str, value: float | str | None) -> str:
    if isinstance(value, float) and name.endswith(("share", "rate")):
        return fmt.percent(value)
    return fmt.raw(value)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _groups(lines: Sequence[Line]) -> tuple[tuple[str, tuple[tuple[str, tuple[Line, ...]], ...]], ...]:
    groups: dict[str, dict[str, list[Line]]] = {}
    for line in lines:
        groups.setdefault(line.role, {}).setdefault(line.metric, []).append(line)
    return tuple(
        (words.ROLES.get(role, role), tuple((metric, tuple(found)) for metric, found in metrics.items()))
        for role, metrics in groups.items()
    )


def _trends(
    readout: Readout, series: Sequence[Pair], metrics: dict[str, MetricDefinition]
) -> tuple[Trend, ...]:
    names = dict.fromkeys(pair.head.metric for pair in series)
    found = []
    for number, name in enumerate(names, start=1):
        mine = [pair for pair in series if pair.head.metric == name]
        metric, role = metrics.get(name), mine[0].head.role
        chart = charts.over_time(mine, name, readout.variants, number=number, scale=tables.scale_of(metric))
        note = []
        if any(pair.head.status is Status.WITHHELD for pair in mine):
            note.append("No band where the interval is withheld until the planned end.")
        if any(pair.head.provisional for pair in mine):
            note.append("Open markers are provisional.")
        drawn = [pair.shown for pair in mine if pair.shown.estimate is not None]
        if chart is not None and any(row.scale != "relative" for row in drawn):
            note.append("Absolute lift: the relative lift is not defined on every day.")
        found.append(
            Trend(name, words.ROLES.get(role, role), chart, tables.days(mine, metric, name), " ".join(note))
        )
    return tuple(found)


def _looks_note(readout: Readout) -> str:
    """The law of the looks, how many there were, and when the next one is."""
    looks = readout.looks
    if looks is None:
        return ""
    number = len(looks.taken)
    taken = "No look was taken yet" if not number else f"{number} look{'' if number == 1 else 's'} taken"
    if looks.taken and looks.taken[-1].information >= 1:
        then = "the last one was the final look, so nothing is tested again"
    elif looks.next_day is None:
        then = "no day is left to look at"
    else:
        then = f"the next one is as of {fmt.day(looks.next_day)}, once it is closed"
    return (
        f"Looks every {looks.cadence} spend the level of {fmt.plain_percent(readout.alpha)} "
        f"by {words.SPENDING.get(looks.spending, looks.spending)}; what was significant at a look stays so. "
        f"The boundaries are those of each comparison by itself. {taken}; {then}."
    )


def _segments(by_segment: Sequence[Pair], metrics: dict[str, MetricDefinition]) -> tuple[Table, ...]:
    names = dict.fromkeys(pair.head.metric for pair in by_segment)
    return tuple(tables.segments(by_segment, metrics.get(name), name) for name in names)


__all__ = ["ROLE_ORDER", "Page", "build_page", "health_of", "script_json", "slug"]
