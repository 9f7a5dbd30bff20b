"""SQL of what surrounds the results: who is counted, who is left out and why, and what looks wrong."""

from zoneinfo import ZoneInfo

from sqlglot import exp

from assignments.model import Experiment
from metrics.model import Measure
from metrics.sql.exposures import outside_enrolment, without_variant
from metrics.sql.partials import matches
from metrics.sql.plan import Slot, UnitPlan
from metrics.sql.tree import build, expression, fill_list
from metrics.sql.units import ENROLLED, enrolled, happened

_OF_EXPERIMENT = (
    "FROM first_exposures AS f WHERE f.experiment = $experiment AND f.iteration = $iteration "
    "AND CAST(f.exposed_at AS DATE) <= $as_of"
)
_NOT_MIXED = "(f.second_variant_at IS NULL OR CAST(f.second_variant_at AS DATE) > $as_of)"


def exposures_by_day(experiment: Experiment) -> exp.Select:
    """Day, variant, units: the first exposures of units that are analysed; bound: `$as_of`."""
    query = _first(
        experiment, f"SELECT CAST(f.exposed_at AS DATE) AS day, f.variant, COUNT(*) AS units {_OF_EXPERIMENT} "
        f"AND {_NOT_MIXED} AND f.variant IN ($variants) GROUP BY day, f.variant ORDER BY day, f.variant"
    )  # fmt: skip
    fill_list(query, "variants", experiment.variants)
    return query


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


def exclusions(plan: UnitPlan, zone: ZoneInfo) -> list[tuple[str, str, exp.Select]]:
    """What is left out, of what ("units", "rows"), and the statement that counts it; bound: `$as_of`."""
    experiment = plan.experiment
    counted = [
        ("seen in more than one variant", "units", mixed_units(experiment)),
        ("in a variant that the definition does not have", "units", unknown_variants(experiment)),
        ("only seen before the start or after the end", "units", outside_enrolment(experiment, zone)),
        ("without a variant", "rows", without_variant(experiment)),
    ]
    slots = {(slot.measure.event, slot.measure.currency, slot.window_s): slot for slot in plan.slots}
    counted += [
        (
            f'events "{slot.measure.event}" not in {slot.measure.currency}',
            "rows",
            _other_currencies(plan, slot),
        )
        for slot in slots.values()
        if slot.measure.currency is not None and slot.before_s is None
    ]
    return counted


def before_and_after(plan: UnitPlan, slot: Slot) -> exp.Select:
    """Units analysed, those with an outcome, and those whose outcomes all lie before exposure; bound: `$as_of`."""
    any_time = build(
        "SELECT u.unit_key, COUNT(*) FILTER (WHERE $after) AS after_exposure FROM events AS e "
        f"JOIN {ENROLLED} AS u ON u.unit_key = e.unit_key WHERE e.unit_type = $unit_type "
        "AND e.environment = $environment AND e.occurred_on <= $as_of AND $matches GROUP BY u.unit_key",
        after=happened(Slot(measure=slot.measure)),
        unit_type=plan.experiment.unit_type,
        environment=plan.experiment.environment,
        matches=matches(slot.measure, "e"),
    )
    return build(
        "SELECT COUNT(*) AS with_event, COUNT(*) FILTER (WHERE after_exposure = 0) AS only_before FROM found"
    ).with_("found", as_=any_time)


def _other_currencies(plan: UnitPlan, slot: Slot) -> exp.Select:
    """Rows of the units' windows that state another currency than the metric's."""
    wanted = slot.measure.currency
    anyhow = Measure(event=slot.measure.event, where=slot.measure.where, value=slot.measure.value)
    query = build(
        f"SELECT COUNT(*) AS n FROM events AS e JOIN {ENROLLED} AS u ON u.unit_key = e.unit_key "
        "WHERE e.unit_type = $unit_type AND e.environment = $environment AND e.occurred_on <= $as_of "
        "AND u.exposed_on <= $as_of AND (u.second_on IS NULL OR u.second_on > $as_of) AND $other AND $matches "
        "AND $happened",
        unit_type=plan.experiment.unit_type,
        environment=plan.experiment.environment,
        other=expression("e.currency <> $wanted", wanted=wanted),
        matches=matches(anyhow, "e"),
        happened=happened(slot),
    )
    return query.with_(ENROLLED, as_=enrolled(plan))


def _first(experiment: Experiment, template: str) -> exp.Select:
    return build(template, experiment=experiment.key, iteration=experiment.iteration)
