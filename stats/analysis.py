"""One experiment as of one day: cells in, result rows, sample ratio, findings and decision out."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import msgspec

from stats.beside import beside
from stats.comparisons import Comparison, compare
from stats.contrasts import Contrast
from stats.corrections import Correction, Question, corrected
from stats.decision import decide
from stats.doubts import doubts, quantile_doubts
from stats.findings import Places, before_exposure, futility, result_findings, split_findings
from stats.looks import Evidence, Taken
from stats.plan import (
    AnyCell,
    Cell,
    DailyCell,
    MetricPlan,
    Plan,
    QuantileCell,
    Settings,
    UnitCell,
    check_plan,
)
from stats.readings import TUNED_FOR, Reading, readings
from stats.reasons import REASONS, WARNED
from stats.results import Decision, Finding, Outcome, Result, Srm
from stats.rows import (
    base_row,
    beside_rows,
    pooled_rows,
    reading_rows,
    rounded,
    rounded_finding,
    undefined_rows,
)
from stats.srm import NOT_TESTED, sample_ratio, sample_ratio_over

__all__ = [
    "TUNED_FOR", "Analysis", "AnyCell", "Cell", "DailyCell", "MetricPlan", "Plan", "QuantileCell", "Settings",
    "UnitCell",
    "analyse", "evidence", "mature_units",
]  # fmt: skip


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What the statistics say of one experiment as of one day."""

    results: tuple[Result, ...]
    srm: Srm
    decision: Decision
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()


class _Read(msgspec.Struct, frozen=True):
    """A comparison with how it is read; the first reading is the headline."""

    comparison: Comparison
    readings: tuple[Reading, ...]


def analyse(
    plan: Plan,
    cells: Iterable[AnyCell],
    *,
    counts: Mapping[str, int] | Mapping[int, Mapping[str, int]] | None,
    as_of: dt.date | None,
    ended: bool,
    provisional: bool = False,
    failed_checks: Sequence[str] = (),
    taken: Sequence[Taken] = (),
    places: Places | None = None,
) -> Analysis:
    """Compare the variants by every metric, and decide.

    Args:
        plan: the experiment.
        cells: its data, one cell per metric, variant and segment; an absent cell is one without units.
        counts: units by variant, as they were first seen, for the sample ratio; where the weights changed, so
            by phase; None: nobody knows them.
        as_of: the day that the cells are cut at; None for data without days.
        ended: whether the planned end is reached, from which on a fixed horizon may be read.
        provisional: whether late rows may still change the cells.
        failed_checks: what is wrong with the data, a sentence each; the verdict is then `investigate`.
        taken: the looks of a group-sequential experiment, in order; those after `as_of` do not count.
        places: units by variant per day (`findings.DAY`) and per value of a segment: a mismatch's cause.

    Raises:
        StatsError: the plan or the cells contradict themselves; never for numbers that are not defined.
    """
    check_plan(plan)
    cells = tuple(cells)
    taken = [one for one in taken if as_of is None or one.look.as_of <= as_of]
    comparisons = compare(plan, cells)
    read = [_Read(one, readings(plan, one, taken, ended=ended)) for one in comparisons]
    corrections = corrected(plan, [_question(one) for one in read])
    base = Result(
        experiment=plan.experiment, iteration=plan.iteration, metric="", role="", variant="", baseline="",
        method="", scale="", horizon="", headline=False, n_variant=0, n_baseline=0,
        as_of=as_of, population=plan.population, alpha=plan.alpha, provisional=provisional,
    )  # fmt: skip
    results = tuple(
        rounded(row)
        for place, one in enumerate(read)
        for row in _rows(plan, one, corrections.get(place), base, ended=ended)
    )
    srm = NOT_TESTED if counts is None else _sample_ratio(plan, counts)
    found = tuple(
        rounded_finding(one) for one in _findings(plan, read, cells, places or {}, taken, ended=ended)
    )
    failed = [*failed_checks, *(one.message for one in found if one.status is Outcome.FAILED)]
    return Analysis(
        results=results,
        srm=srm,
        decision=decide(plan, results, srm, ended=ended, failed_checks=failed),
        findings=found,
        warnings=tuple(_warnings(plan, read)),
    )


def _sample_ratio(plan: Plan, counts: Mapping[str, int] | Mapping[int, Mapping[str, int]]) -> Srm:
    by_phase = {phase: units for phase, units in counts.items() if isinstance(phase, int)}
    if not by_phase:
        return sample_ratio(cast("Mapping[str, int]", counts), plan.weights)
    return sample_ratio_over(
        cast("Mapping[int, Mapping[str, int]]", by_phase),
        {phase: plan.weights_of(phase) for phase in by_phase},
    )


def mature_units(plan: Plan, cells: Iterable[AnyCell]) -> int:
    """Units of all arms that a look counts: the smallest mature number over the primary metrics."""
    units = {metric.name: 0 for metric in plan.metrics if metric.role == "primary"}
    for cell in cells:
        if isinstance(cell, Cell | QuantileCell) and cell.segment is None and cell.metric in units:
            units[cell.metric] += cell.moments.n if isinstance(cell, Cell) else cell.n
    return min(units.values(), default=0)


def evidence(plan: Plan, cells: Iterable[AnyCell]) -> tuple[Evidence, ...]:
    """What every comparison over everyone shows, for a look that is taken now.

    Comparisons that can't be made yet, or whose counts are too small for the normal law, have none.
    """
    return tuple(
        Evidence(
            metric=one.metric.name, variant=one.variant, baseline=one.baseline, contrast=one.estimators[0]
        )
        for one in compare(plan, cells)
        if one.segment is None
        and one.estimators
        and not one.too_few
        and isinstance(one.estimators[0], Contrast)
    )


def _question(read: _Read) -> Question:
    """The headline of a comparison; without a pair where it may not be read."""
    head = read.readings[0] if read.readings else None
    return Question(
        metric=read.comparison.metric,
        segment=read.comparison.segment,
        pair=None if head is None or head.withheld is not None else head.pair,
    )


def _rows(
    plan: Plan, read: _Read, correction: Correction | None, base: Result, *, ended: bool
) -> Iterator[Result]:
    comparison = read.comparison
    metric, base = comparison.metric, base_row(comparison, base)
    if not read.readings:
        yield from undefined_rows(plan, comparison, base)
        return

    def doubting(method: str) -> Result:
        return msgspec.structs.replace(base, reasons=(*_doubts(comparison, method), *comparison.notes))

    for reading in read.readings:
        row = doubting(reading.estimator)
        yield from reading_rows(plan, metric, reading, correction if reading.headline else None, row)
    yield from pooled_rows(comparison, doubting("z_pooled"), ended=ended)
    if plan.settings.methods:
        plain = read.readings[-1].contrast
        shown = {(reading.pair.method if reading.pair else "") for reading in read.readings}
        for found in beside(plan, comparison, plain):
            if found.method not in shown:
                yield from beside_rows(plan, metric, found, doubting(found.method), ended=ended)


def _doubts(comparison: Comparison, method: str) -> tuple[str, ...]:
    """Why a method's p-value and interval may be less good than they look."""
    metric = comparison.metric
    if metric.kind == "quantile":
        return quantile_doubts(metric.quantile or 0.5, comparison.n_variant, comparison.n_baseline)
    v, b = comparison.moments
    positive = metric.non_negative and min(v.mean[0], b.mean[0]) >= 0
    kind = "ratio" if metric.width > 1 else metric.kind
    return doubts(kind, method, v, b, non_negative=positive)


def _findings(
    plan: Plan,
    read: Sequence[_Read],
    cells: Sequence[AnyCell],
    places: Places,
    taken: Sequence[Taken],
    *,
    ended: bool,
) -> Iterator[Finding]:
    comparisons = [one.comparison for one in read]
    yield from split_findings(plan, places)
    yield from before_exposure(plan, comparisons)
    if ended or plan.horizon == "anytime":
        daily = {(cell.metric, cell.variant): cell for cell in cells if isinstance(cell, DailyCell)}
        yield from result_findings(plan, comparisons, daily)
    yield from futility(plan, [(one.comparison, one.readings[0]) for one in read if one.readings], taken)


def _warnings(plan: Plan, read: Sequence[_Read]) -> Iterator[str]:
    """What a reader must know, a sentence per metric and cause; only of comparisons over everyone."""
    said: dict[str, dict[str, None]] = {}
    for one in read:
        if one.comparison.segment is None and one.readings:
            head = one.readings[0]
            codes = (*head.notes, *_doubts(one.comparison, head.estimator), *one.comparison.notes)
            if head.withheld == "too_few":
                codes = ("too_few", *codes)
            for code in codes:
                if code in WARNED:
                    said.setdefault(code, {})[one.comparison.metric.name] = None
    for code, names in said.items():
        yield f"{', '.join(names)}: {REASONS[code]}."
    if len(plan.phases) > 1 and plan.kept is None:
        yield (
            "The weights changed, and who was moved is not known: every unit stays in the variant and phase "
            "of its first exposure, so an effect is diluted by those who were moved afterwards."
        )
    if not plan.settings.planned_segments and any(one.comparison.segment is not None for one in read):
        yield "Segments are for exploration: their p-values are corrected within a dimension only."
