"""SQL of what surrounds the results: who is counted, who is left out and why, and what looks wrong."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec
from sqlglot import exp

from assignments.model import Experiment, MetricRoles, Segments
from assignments.phases import weight_phases
from assignments.sql import assigned_variant_sql
from metrics.model import Measure, Values
from metrics.sql.conditions import number_sql, text_sql
from metrics.sql.exposures import RECORDS, in_enrolment, outside_enrolment, records, without_variant
from metrics.sql.partials import matches
from metrics.sql.phases import moved_on, phase_of_record
from metrics.sql.plan import UTC, MetricColumns, Slot, UnitPlan, plan_units
from metrics.sql.tree import alias, build, column, expression, fill_list
from metrics.sql.units import ENROLLED, UNITS, enrolled, happened, in_one_statement, local_day
from workspace import ExclusionRule

_OF_EXPERIMENT = (
    "FROM first_exposures AS f WHERE f.experiment = $experiment AND f.iteration = $iteration "
    "AND f.excluded_by IS NULL AND CAST(f.exposed_at AS DATE) <= $as_of"
)
_NOT_MIXED = "(f.second_variant_at IS NULL OR CAST(f.second_variant_at AS DATE) > $as_of)"


def enrolment(experiment: Experiment) -> exp.Select:
    """Units by day of first exposure, day on which they became mixed (NULL: never), variant and phase."""
    return _first(
        experiment,
        "SELECT CAST(f.exposed_at AS DATE) AS day, CAST(f.second_variant_at AS DATE) AS second_on, "
        "f.variant, COUNT(*) AS units, f.phase FROM first_exposures AS f WHERE f.experiment = $experiment "
        "AND f.iteration = $iteration AND f.excluded_by IS NULL "
        "GROUP BY day, second_on, f.variant, f.phase "
        "ORDER BY day, second_on, f.variant, f.phase",
    )


def mixed_units(experiment: Experiment) -> exp.Select:
    """Units seen in a second variant by `$as_of` (bound)."""
    return _first(experiment, f"SELECT COUNT(*) AS n {_OF_EXPERIMENT} AND NOT {_NOT_MIXED}")


def unknown_variants(experiment: Experiment) -> exp.Select:
    """Units in a variant that the definition does not have; bound: `$as_of`."""
    query = _first(
        experiment,
        f"SELECT COUNT(*) AS n {_OF_EXPERIMENT} AND {_NOT_MIXED} AND NOT f.variant IN ($variants)",
    )
    fill_list(query, "variants", experiment.variants)
    return query


def exclusions(
    plan: UnitPlan, zone: ZoneInfo, rules: Sequence[ExclusionRule] = ()
) -> list[tuple[str, str, exp.Select]]:
    """What is left out, of what ("units", "rows"), and the statement that counts it; bound: `$as_of`."""
    experiment = plan.experiment
    counted = [
        ("seen in more than one variant", "units", mixed_units(experiment)),
        ("in a variant that the definition does not have", "units", unknown_variants(experiment)),
        (_outside(experiment), "units", outside_enrolment(experiment, zone)),
        ("without a variant", "rows", without_variant(experiment)),
    ]
    phases = weight_phases(experiment, zone)
    if (moves := moved_on(experiment, phases, column("unit_id", "f"))) is not None:
        counted.insert(
            1, ("whose shard moved when the weights changed", "units", _moved_units(experiment, moves))
        )
    counted += [
        (f'left out by the rule "{rule.name}": {rule.reason}', "units", excluded_units(experiment, rule.name))
        for rule in rules
    ]
    rows = _other_currencies(plan) + _no_numbers(plan) + _no_texts(plan)
    return counted + rows + _without_event(plan)


def _moved_units(experiment: Experiment, moves: exp.Expr) -> exp.Select:
    """Units whose shard was moved by `$as_of` (bound), whether they came back or not."""
    query = _first(experiment, f"SELECT COUNT(*) AS n {_OF_EXPERIMENT} AND {_NOT_MIXED}")
    return query.where(expression("$moves <= $as_of", moves=moves))


def _outside(experiment: Experiment) -> str:
    paused = ", in a pause" if experiment.pauses else ""
    return f"only seen before the start{paused} or after the end"


def excluded_units(experiment: Experiment, rule: str) -> exp.Select:
    """Units that a rule of the workspace leaves out, first seen by `$as_of` (bound)."""
    return build(
        "SELECT COUNT(*) AS n FROM first_exposures AS f WHERE f.experiment = $experiment "
        "AND f.iteration = $iteration AND CAST(f.exposed_at AS DATE) <= $as_of AND f.excluded_by = $rule",
        experiment=experiment.key,
        iteration=experiment.iteration,
        rule=rule,
    )


def excluded_by_variant(experiment: Experiment) -> exp.Select:
    """Units by phase and variant, and of them those that a rule leaves out; bound: `$as_of`."""
    query = _first(
        experiment,
        "SELECT f.phase, f.variant, COUNT(*) AS units, "
        "COUNT(*) FILTER (WHERE NOT f.excluded_by IS NULL) AS excluded "
        "FROM first_exposures AS f WHERE f.experiment = $experiment AND f.iteration = $iteration "
        f"AND CAST(f.exposed_at AS DATE) <= $as_of AND {_NOT_MIXED} AND f.variant IN ($variants) "
        "GROUP BY f.phase, f.variant ORDER BY f.phase, f.variant",
    )
    fill_list(query, "variants", experiment.variants)
    return query


def mixed_among_units(experiment: Experiment) -> exp.Select:
    """Units first seen, and of them those seen in a second variant; bound: `$as_of`."""
    return _first(
        experiment,
        f"SELECT COUNT(*) AS units, COUNT(*) FILTER (WHERE NOT {_NOT_MIXED}) AS mixed {_OF_EXPERIMENT}",
    )


def unknown_among_units(experiment: Experiment, zone: ZoneInfo) -> exp.Select:
    """Units seen, and of them those seen in a variant that the definition does not have; bound: `$as_of`.

    From the records themselves, so that it can be told as soon as they are there.
    """
    seen = _records_until(
        experiment,
        zone,
        "x.unit_key, MAX(CASE WHEN x.variant IN ($variants) THEN 0 ELSE 1 END) AS strange",
    )
    fill_list(seen, "variants", experiment.variants)
    seen = seen.group_by("x.unit_key", dialect="duckdb")
    query = build("SELECT COUNT(*) AS units, COUNT(*) FILTER (WHERE strange = 1) AS unknown FROM seen")
    return query.with_("seen", as_=seen)


def rederived_among_units(experiment: Experiment, zone: ZoneInfo) -> exp.Select:
    """Units seen, once per variant, and those to whom the hash gives another or none; bound: `$as_of`."""
    phases = weight_phases(experiment, zone)
    seen = _records_until(experiment, zone, "x.unit_id, x.variant")
    seen = seen.group_by("x.unit_id", "x.variant", dialect="duckdb")
    if len(phases) > 1:
        seen = seen.select(alias(phase_of_record(phases, zone), "phase"), copy=False)
        seen = seen.group_by(phase_of_record(phases, zone), copy=False)
    return build(
        "SELECT COUNT(*) AS units, COUNT(*) FILTER (WHERE NOT variant IS NOT DISTINCT FROM $derived) "
        "AS other FROM seen",
        derived=assigned_variant_sql(experiment, "unit_id", phases=phases, phase=column("phase")),
    ).with_("seen", as_=seen)


def sources_of_records(experiment: Experiment) -> exp.Select:
    """The sources of exposures (or assignments), and whether they hold any of the experiment."""
    return build(
        "SELECT x.source, MAX(CASE WHEN x.experiment = $experiment THEN 1 ELSE 0 END) AS is_read "
        f"FROM {RECORDS[experiment.population]} AS x GROUP BY x.source",
        experiment=experiment.key,
    )


def sources_of_events(plan: UnitPlan) -> exp.Select:
    """The sources of events, and whether they hold any that a metric counts."""
    query = build(
        "SELECT e.source, MAX(CASE WHEN e.event IN ($names) THEN 1 ELSE 0 END) AS is_read "
        "FROM events AS e GROUP BY e.source"
    )
    fill_list(query, "names", sorted({measure.event for measure in plan.measures}))
    return query


def currencies(plan: UnitPlan, slots: Sequence[Slot]) -> exp.Select:
    """What currencies the rows in slots of one measure state, the most frequent first; bound: `$until`."""
    query = _events_of_units(plan, "e.currency, COUNT(*) AS n", slots[0].measure.event)
    inside = exp.or_(*(exp.and_(matches(slot.measure, "e"), happened(slot)) for slot in slots))
    query = query.where(
        expression("e.occurred_on <= $until AND NOT e.currency IS NULL AND $inside", inside=inside)
    )
    return query.group_by("e.currency", dialect="duckdb").order_by("n DESC", "e.currency", dialect="duckdb")


def outcomes_around_exposure(plan: UnitPlan) -> exp.Select:
    """How many units have an outcome of a primary metric in the hour before exposure, and in the hour after.

    At day precision: on the day before exposure, and on its day. Bound: `$as_of`.
    """
    primary = set(plan.experiment.metrics.primary)
    # What a retention counts happens before and after exposure; only the later days are its outcome.
    metrics = [p.metric for p in plan.metrics if p.metric.name in primary and p.metric.kind != "retention"]
    parts = [term.part.partial for metric in metrics for term in metric.outcomes[0] if not term.after_s]
    unique = {measure.id: measure for measure in parts}
    outcome = (
        exp.or_(*(exp.paren(matches(measure, "e")) for measure in unique.values())) if unique else exp.false()
    )
    around = build(
        "SELECT e.unit_key, u.exposed_on, MIN(CASE WHEN u.day_precision OR e.day_precision "
        "THEN CASE WHEN $day = u.begins_on - 1 THEN u.exposed_on END "
        "WHEN e.occurred_at < u.exposed_at AND e.occurred_at >= u.exposed_at - INTERVAL '1' HOUR "
        "THEN u.exposed_on END) AS before_on, MIN(CASE WHEN u.day_precision OR e.day_precision "
        "THEN CASE WHEN $day = u.begins_on THEN u.exposed_on END "
        "WHEN e.occurred_at >= u.exposed_at AND e.occurred_at < u.exposed_at + INTERVAL '1' HOUR "
        f"THEN e.occurred_on END) AS after_on FROM events AS e JOIN {ENROLLED} AS u "
        "ON u.unit_key = e.unit_key WHERE e.unit_type = $unit_type AND e.environment = $environment "
        "AND e.occurred_on BETWEEN u.exposed_on - $around AND u.exposed_on + $around AND $outcome "
        "GROUP BY e.unit_key, u.exposed_on",
        unit_type=plan.experiment.unit_type,
        environment=plan.experiment.environment,
        outcome=outcome,
        day=expression(
            "CASE WHEN e.day_precision THEN e.occurred_on ELSE $day END",
            day=local_day(plan, column("occurred_at", "e")),
        ),
        around=1 if plan.zone == UTC else 2,
    )
    query = build(
        "SELECT COUNT(*) FILTER (WHERE before_on <= $as_of) AS n_before, "
        "COUNT(*) FILTER (WHERE after_on <= $as_of) AS n_after FROM around"
    )
    return query.with_(ENROLLED, as_=enrolled(plan), copy=False).with_("around", as_=around, copy=False)


def _records_until(experiment: Experiment, zone: ZoneInfo, select: str) -> exp.Select:
    """The records with a variant that enrol a unit, up to `$as_of`."""
    query = records(experiment, select=select).where(in_enrolment(experiment, zone))
    return query.where("NOT x.variant IS NULL AND x.occurred_on <= $as_of", dialect="duckdb")


def _other_currencies(plan: UnitPlan) -> list[tuple[str, str, exp.Select]]:
    """Rows of the units' windows that state another currency than the metrics'."""
    slots: dict[tuple[str, str], list[Slot]] = {}
    for slot in _after_exposure(plan):
        if slot.measure.currency is not None:
            slots.setdefault((slot.measure.event, slot.measure.currency), []).append(slot)
    return [
        (
            f'events "{event}" not in {currency}',
            "rows",
            _rows_in_windows(plan, among, expression("e.currency <> $wanted", wanted=currency)),
        )
        for (event, currency), among in slots.items()
    ]


def _no_numbers(plan: UnitPlan) -> list[tuple[str, str, exp.Select]]:
    """Rows of the units' windows that have no number where one is needed."""
    slots: dict[tuple[str, str], list[Slot]] = {}
    for slot in _after_exposure(plan):
        if slot.measure.value is not None and not _is_text(slot.measure):
            slots.setdefault((slot.measure.event, slot.measure.value), []).append(slot)
    return [
        (
            f'events "{event}" whose {field} is not a number',
            "rows",
            _rows_in_windows(plan, among, expression("$x IS NULL", x=number_sql(field, "e")), foreign=False),
        )
        for (event, field), among in slots.items()
    ]


def _without_event(plan: UnitPlan) -> list[tuple[str, str, exp.Select]]:
    """Mature units that a time to an event leaves out, because it did not happen in the window."""
    return [
        (
            (
                f'without "{planned.metric.event}" in the window of {planned.metric.name}, which tells of '
                "the others alone: this conditions on behaviour after assignment, so they may not be alike"
            ),
            "units",
            _units_without(plan, planned),
        )
        for planned in plan.metrics
        if planned.metric.leaves_out
    ]


def _units_without(plan: UnitPlan, planned: MetricColumns) -> exp.Select:
    metric = planned.metric
    alone = msgspec.structs.replace(
        plan.experiment, metrics=MetricRoles(primary=(metric.name,)), segments=Segments()
    )
    query = build(
        f"SELECT COUNT(*) AS n FROM {UNITS} WHERE $mature AND $time IS NULL",
        mature=column(planned.mature),
        time=column(planned.columns[0].name),
    )
    return in_one_statement(plan_units(alone, {metric.name: metric}, plan.zone), query)


def _no_texts(plan: UnitPlan) -> list[tuple[str, str, exp.Select]]:
    """Rows of the units' windows that have nothing where distinct values are counted."""
    slots: dict[tuple[str, str], list[Slot]] = {}
    for slot in _after_exposure(plan):
        if slot.measure.value is not None and _is_text(slot.measure):
            slots.setdefault((slot.measure.event, slot.measure.value), []).append(slot)
    return [
        (
            f'events "{event}" without {field}',
            "rows",
            _rows_in_windows(plan, among, expression("$x IS NULL", x=text_sql(field, "e")), foreign=False),
        )
        for (event, field), among in slots.items()
    ]


def _is_text(measure: Measure) -> bool:
    return isinstance(measure, Values) and measure.keep == "texts"


def _after_exposure(plan: UnitPlan) -> list[Slot]:
    return [slot for slot in plan.slots if slot.before_s is None]


def _rows_in_windows(
    plan: UnitPlan, slots: Sequence[Slot], test: exp.Expr, *, foreign: bool = True
) -> exp.Select:
    """How many events of analysed units pass a test and lie in one of the slots; each counts once.

    Args:
        plan: the experiment's plan.
        slots: with equal events.
        test: of a row `e`.
        foreign: whether a slot's rows are also those of other currencies than its own.
    """
    inside = []
    for slot in slots:
        measure = msgspec.structs.replace(slot.measure, currency=None) if foreign else slot.measure
        inside.append(exp.and_(matches(measure, "e"), happened(slot)))
    query = _events_of_units(plan, "COUNT(*) AS n", slots[0].measure.event).where(
        expression(
            "e.occurred_on <= $as_of AND u.exposed_on <= $as_of AND (u.second_on IS NULL OR "
            "u.second_on > $as_of) AND u.variant IN ($variants) AND $test AND $inside",
            test=test,
            inside=exp.or_(*inside),
        )
    )
    fill_list(query, "variants", plan.experiment.variants)
    return query.with_(ENROLLED, as_=enrolled(plan))


def _events_of_units(plan: UnitPlan, select: str, event: str) -> exp.Select:
    return build(
        f"SELECT {select} FROM events AS e JOIN {ENROLLED} AS u ON u.unit_key = e.unit_key "
        "WHERE e.unit_type = $unit_type AND e.environment = $environment AND e.event = $event",
        unit_type=plan.experiment.unit_type,
        environment=plan.experiment.environment,
        event=event,
    )


def _first(experiment: Experiment, template: str) -> exp.Select:
    return build(template, experiment=experiment.key, iteration=experiment.iteration)
