"""Tables as data, so that the page and the Markdown show the same cells."""

import re
from collections.abc import Sequence

import msgspec

from reports import format as fmt
from reports import words
from reports.readout import MetricDefinition, Readout
from reports.select import Pair
from reports.words import Badge
from stats.results import Finding, Result


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Plain cells under a caption; the first column names the row, `numeric` columns are set to the right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of the summary table, as text."""

    metric: str
    role: str
    variant: str
    baseline: str
    mean_baseline: str
    mean_variant: str
    absolute: str
    absolute_interval: str
    relative: str
    relative_interval: str
    p: str
    p_adjusted: str
    n_baseline: str
    n_variant: str
    level: str  # of the interval, e.g. "95%"
    about: str  # kind, unit and window of the metric
    reading: Badge
    notes: tuple[str, ...]
    bar: "Bar | None" = None


class Bar(msgspec.Struct, frozen=True):
    """A relative interval as positions from 0 to 100, zero always inside."""

    zero: float
    lower: float
    upper: float
    estimate: float


def line(pair: Pair, metric: MetricDefinition | None) -> Line:
    """The cells of one comparison, and in words whatever is missing from them."""
    head, absolute, relative = pair.head, pair.absolute, pair.relative
    scale = scale_of(metric)
    difference = scale.difference(*_triple(absolute))
    ratio = fmt.lift(*_triple(relative))
    return Line(
        metric=head.metric,
        role=head.role,
        variant=head.variant,
        baseline=head.baseline,
        mean_baseline=scale.value(head.mean_baseline),
        mean_variant=scale.value(head.mean_variant),
        absolute=difference[0],
        absolute_interval=difference[1],
        relative=ratio[0],
        relative_interval=ratio[1],
        p=fmt.p_value(head.p_value),
        p_adjusted=fmt.p_value(head.p_adjusted),
        n_baseline=fmt.count(head.n_baseline),
        n_variant=fmt.count(head.n_variant),
        level=fmt.plain_percent(1 - head.alpha),
        about=_about(metric),
        reading=words.reading(head, relative, metric),
        notes=(*states(pair, scale), *targets(pair, metric, scale)),
        bar=bar(relative),
    )


def states(pair: Pair, scale: fmt.Scale) -> tuple[str, ...]:
    """Why a number is missing, and what was left out or capped on the way to it."""
    head, found = pair.head, []
    for row in (head, pair.absolute, pair.relative):
        if row is None:
            continue
        why = [words.reason(code) for code in row.reasons]
        if row.status.value != "ok":
            which = "relative lift " if row is pair.relative and row is not head else ""
            why = [f"{which}{row.status.value}{': ' if why else ''}{'; '.join(why)}"]
        found += why
    if head.n_immature:
        found.append(f"{fmt.count(head.n_immature)} units left out: their window is not over yet")
    if head.cap is not None:
        shares = [share for share in (head.clipped_baseline, head.clipped_variant) if share is not None]
        share = f" ({fmt.percent(max(shares))} of an arm's units at most)" if shares else ""
        found.append(f"values capped at {scale.value(head.cap)}{share}")
    return tuple(dict.fromkeys(found))


def targets(pair: Pair, metric: MetricDefinition | None, scale: fmt.Scale) -> tuple[str, ...]:
    """How the estimate stands to the metric's margin and goal."""
    found = []
    if metric is not None and metric.margin is not None:
        found.append(f"may get worse by at most {fmt.plain_percent(metric.margin)}")
    if metric is not None and metric.goal is not None:
        found.append(_goal(metric, metric.goal, pair.head.mean_variant, scale))
    return tuple(found)


def bar(row: Result | None) -> Bar | None:
    """Positions for the small picture of one relative interval; None where there is no interval."""
    if row is None or row.estimate is None or row.lower is None or row.upper is None:
        return None
    low, high = min(row.lower, 0.0), max(row.upper, 0.0)
    room = 0.08 * (high - low) or 1.0
    low, high = low - room, high + room

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    return Bar(place(0.0), place(row.lower), place(row.upper), place(row.estimate))


def scale_of(metric: MetricDefinition | None) -> fmt.Scale:
    """How the metric's values are written."""
    return fmt.Scale(metric.kind, metric.unit) if metric is not None else fmt.Scale("", None)


def lifts(pairs: Sequence[Pair], metrics: dict[str, MetricDefinition]) -> Table:
    """The numbers behind the forest plot."""
    lines = [line(pair, metrics.get(pair.head.metric)) for pair in pairs]
    return Table(
        caption="Relative lift of each metric and variant, as drawn above",
        columns=("Metric", "Variant", "Lift", "Interval", "Level", "Reading"),
        rows=tuple(
            (item.metric, item.variant, item.relative, item.relative_interval, item.level, item.reading.word)
            for item in lines
        ),
        numeric=frozenset({2, 3, 4}),
    )


def days(pairs: Sequence[Pair], metric: MetricDefinition | None, name: str) -> Table:
    """The numbers behind one chart of lift over time."""
    mine = [pair for pair in pairs if pair.head.metric == name]
    lines = [(pair, line(pair, metric)) for pair in mine]
    return Table(
        caption=f"Cumulative lift of {name} by as-of day",
        columns=(
            "As of",
            "Variant",
            "Relative lift",
            "Interval",
            "Absolute lift",
            "Interval (absolute)",
            "n",
            "State",
        ),
        rows=tuple(
            (
                fmt.day(pair.head.as_of),
                item.variant,
                item.relative,
                item.relative_interval,
                item.absolute,
                item.absolute_interval,
                f"{item.n_baseline} / {item.n_variant}",
                _state(pair.head),
            )
            for pair, item in lines
        ),
        numeric=frozenset({2, 3, 4, 5, 6}),
    )


def exposures(readout: Readout, variants: Sequence[str]) -> Table:
    """Units first exposed, a row per day and a column per variant."""
    counts = {(item.day, item.variant): item.units for item in readout.exposures}
    found = sorted({day for day, _ in counts})
    return Table(
        caption="Units first exposed per day and variant",
        columns=("Day", *variants),
        rows=tuple(
            (fmt.day(day), *(fmt.count(counts.get((day, variant), 0)) for variant in variants))
            for day in found
        ),
        numeric=frozenset(range(1, len(variants) + 1)),
    )


def looks(readout: Readout) -> Table:
    """The looks of a group-sequential experiment, a row per primary comparison."""
    primary = {metric.name for metric in readout.metrics if metric.role == "primary"}
    rows: list[tuple[str, ...]] = []
    for look in readout.looks.taken if readout.looks else ():
        taken = (str(look.number), fmt.day(look.as_of), fmt.count(look.n), fmt.percent(look.information))
        shown = [one for one in look.comparisons if one.metric in primary]
        rows += [
            (
                *taken,
                one.metric,
                one.variant,
                f"{one.boundary:.4f}",
                fmt.MISSING if one.z is None else f"{one.z:.4f}",
                "yes" if one.crossed else "no",
            )
            for one in shown
        ] or [(*taken, *[fmt.MISSING] * 4, "nothing to compare yet")]
    return Table(
        caption="Looks: what was seen of the primary metrics, and what it was held against",
        columns=("Look", "As of", "Units", "Of the plan", "Metric", "Variant", "Boundary", "z", "Crossed"),
        rows=tuple(rows),
        numeric=frozenset({2, 3, 6, 7}),
    )


def segments(pairs: Sequence[Pair], metric: MetricDefinition | None, name: str) -> Table:
    """One metric by segment value: exploratory, so without adjusted p-values."""
    scale = scale_of(metric)
    lines = [(pair, line(pair, metric)) for pair in pairs if pair.head.metric == name]
    return Table(
        caption=f"{name} by segment",
        columns=(
            "Segment",
            "Variant",
            "Control",
            "Variant mean",
            "Relative lift",
            "Interval",
            "p",
            "n",
            "Notes",
        ),
        rows=tuple(
            (
                (pair.head.segment or "").replace("=", ": ", 1),
                item.variant,
                item.mean_baseline,
                item.mean_variant,
                item.relative if item.relative != fmt.MISSING else item.absolute,
                item.relative_interval if item.relative != fmt.MISSING else item.absolute_interval,
                item.p,
                f"{item.n_baseline} / {item.n_variant}",
                "; ".join(states(pair, scale)),
            )
            for pair, item in lines
        ),
        numeric=frozenset({2, 3, 4, 5, 6, 7}),
    )


def methods(results: Sequence[Result]) -> Table:
    """Every row without segment, of every method, in the units of the result row."""
    rows = [row for row in results if row.segment is None]
    return Table(
        caption="All methods, everyone (segment rows are in result.json)",
        columns=(
            *("Metric", "Variant", "Method", "Scale", "Alternative", "Horizon", "Headline", "Estimate"),
            *(
                "Std. error",
                "Lower",
                "Upper",
                "Level",
                "p",
                "Adjusted p",
                "log10 p",
                "n control",
                "n variant",
            ),
            *("Status", "Reasons"),
        ),
        rows=tuple(
            (
                *(row.metric, row.variant, row.method, row.scale, row.alternative, row.horizon),
                "yes" if row.headline else "no",
                *(fmt.raw(value) for value in (row.estimate, row.std_error, row.lower, row.upper)),
                fmt.plain_percent(1 - row.alpha),
                *(fmt.p_value(value) for value in (row.p_value, row.p_adjusted)),
                *(fmt.raw(value) for value in (row.log10_p, row.n_baseline, row.n_variant)),
                row.status.value,
                "; ".join(words.reason(code) for code in row.reasons),
            )
            for row in rows
        ),
        numeric=frozenset(range(7, 17)),
    )


def _triple(row: Result | None) -> tuple[float | None, float | None, float | None]:
    return (row.estimate, row.lower, row.upper) if row is not None else (None, None, None)


def _state(row: Result) -> str:
    parts = [] if row.status.value == "ok" else [row.status.value]
    parts += ["provisional"] if row.provisional else []
    return ", ".join(parts) or "final"


def _about(metric: MetricDefinition | None) -> str:
    if metric is None:
        return ""
    window = f"within {metric.window}" if metric.window else ""
    better = "less is better" if metric.direction == "decrease" else ""
    return ", ".join(part for part in (metric.kind, window, better) if part)


def _goal(metric: MetricDefinition, goal: float, mean: float | None, scale: fmt.Scale) -> str:
    wish = f"goal {'≤' if metric.direction == 'decrease' else '≥'} {scale.value(goal)}"
    if mean is None:
        return wish
    reached = mean <= goal if metric.direction == "decrease" else mean >= goal
    return f"{wish}: {'reached' if reached else 'not reached'} ({scale.value(mean)})"


_PARTS = (
    ("Shrunk to what the segments have in common", "Segment", ("shrunk", "shrunk_lower", "shrunk_upper")),
    ("Day by day", "Day since exposure", ("estimate", "lower", "upper")),
)


def parts(finding: Finding) -> tuple[Table | None, dict[str, int | float | str | None]]:
    """A finding's estimates by segment or by day as a table, and its other numbers.

    Those of a part are named "PART NAME", as in "device=mobile shrunk" or "day 3 lower".
    """
    for caption, first, names in _PARTS:
        found = {
            key.removesuffix(f" {names[0]}"): key for key in finding.numbers if key.endswith(f" {names[0]}")
        }
        if found:
            rows = []
            for part in sorted(found, key=_natural):
                value, lower, upper = (finding.numbers.get(f"{part} {name}") for name in names)
                interval = (
                    fmt.MISSING if lower is None or upper is None else f"{fmt.raw(lower)} to {fmt.raw(upper)}"
                )
                rows.append((part, fmt.raw(value), interval))
            taken = {f"{part} {name}" for part in found for name in names}
            rest = {key: value for key, value in finding.numbers.items() if key not in taken}
            columns = (first, "Estimate", "Interval")
            return Table(caption=caption, columns=columns, rows=tuple(rows), numeric=frozenset({1, 2})), rest
    return None, dict(finding.numbers)


def _natural(name: str) -> list[str | int]:
    """Sorts "day 2" before "day 10": every other piece is a number."""
    return [int(piece) if place % 2 else piece for place, piece in enumerate(re.split(r"([0-9]+)", name))]
