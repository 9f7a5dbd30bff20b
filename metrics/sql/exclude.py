"""Rules of the workspace → which units an experiment leaves out, in `first_exposures.excluded_by`.

A rule reads the unit's id, its attributes at first exposure and those of the exposure, or how much it did on
one day. No rule sees the variant. What a unit did after exposure may be moved by the variant, so a rule that
counts events counts those of days before the exposure, unless it says `period = "any"`.
"""

from collections.abc import Sequence

from sqlglot import exp

from assignments.model import Experiment
from metrics.model import MetricsError
from metrics.sql.conditions import Located, check_fields, compile_condition, compile_over
from metrics.sql.tree import alias, build, column, expression
from metrics.sql.units import attribute_at_exposure
from tenbin_sdk.conditions import Condition, fields, parse
from tenbin_sdk.errors import ConditionError
from workspace import ExclusionRule, Workspace

UNIT, EXPOSURE, UNIT_ID = "unit.", "exposure.", "unit_id"
_SEEN = "first_seen"


def check_rules(workspace: Workspace) -> None:
    """Refuse rules whose conditions can't be read.

    Raises:
        MetricsError: a condition is none, or names a field that such a rule does not have.
    """
    for rule in workspace.config.exclude:
        if rule.where is None:
            continue
        try:
            condition = parse(rule.where)
            if rule.events_per_day is not None:
                check_fields(condition)
            else:
                _check_unit_fields(condition)
        except (ConditionError, MetricsError) as reason:
            raise MetricsError(
                f'{workspace.toml}: exclude, rule "{rule.name}": key "where": {reason}'
            ) from None


def flagged(first: exp.Select, experiment: Experiment, rules: Sequence[ExclusionRule]) -> exp.Select:
    """First exposures with the name of the first rule that leaves the unit out; NULL for all others."""
    query = build(f"SELECT f.* FROM {_SEEN} AS f").with_(_SEEN, as_=first, copy=False)
    case = exp.Case()
    rules = [rule for rule in rules if rule.unit_type in (None, experiment.unit_type)]
    attributes: dict[str, str] = {}
    for number, rule in enumerate(rules):
        if rule.events_per_day is not None:
            name = f"busy_{number}"
            query = _joined(query, name, _busy(experiment, rule, rule.events_per_day))
            test = expression("NOT $key IS NULL", key=column("unit_key", name))
        else:
            condition = parse(rule.where or {})
            for field in sorted(fields(condition)):
                if field.startswith(UNIT) and field not in attributes:
                    attributes[field] = f"unit_{len(attributes)}"
                    known = attribute_at_exposure(experiment, field.removeprefix(UNIT), _SEEN)
                    query = _joined(query, attributes[field], known)
            test = compile_over(condition, lambda field: _located(field, attributes))
        case = case.when(test, expression("$name", name=rule.name), copy=False)
    excluded_by: exp.Expr = case if rules else exp.null()
    return query.select(alias(exp.cast(excluded_by, "VARCHAR"), "excluded_by"), copy=False)


def _check_unit_fields(condition: Condition) -> None:
    for field in sorted(fields(condition)):
        named = field.removeprefix(UNIT).removeprefix(EXPOSURE)
        if field != UNIT_ID and (named == field or not named):
            raise MetricsError(
                f'field "{field}" is not one of a unit; allowed are unit.NAME, exposure.NAME and unit_id'
            )


def _joined(query: exp.Select, name: str, part: exp.Select) -> exp.Select:
    on = expression("$key = f.unit_key", key=column("unit_key", name))
    return query.with_(name, as_=part, copy=False).join(
        exp.to_table(name), on=on, join_type="left", copy=False
    )


def _located(field: str, attributes: dict[str, str]) -> Located:
    if field == UNIT_ID:
        return Located.in_column(column("unit_id", "f"))
    if field.startswith(UNIT):
        return Located.in_column(column("value", attributes[field]))
    return Located.in_json(column("attributes", "f"), field.removeprefix(EXPOSURE).split("."))


def _busy(experiment: Experiment, rule: ExclusionRule, limit: int) -> exp.Select:
    """The units that did more than `limit` such events on one day (UTC)."""
    days = build(
        f"SELECT e.unit_key FROM events AS e JOIN {_SEEN} AS f ON f.unit_key = e.unit_key "
        "WHERE e.unit_type = $unit_type AND e.environment = $environment "
        "GROUP BY e.unit_key, e.occurred_on HAVING COUNT(*) > $limit",
        unit_type=experiment.unit_type,
        environment=experiment.environment,
        limit=limit,
    )
    if rule.event is not None:
        days = days.where(expression("e.event = $event", event=rule.event), copy=False)
    if rule.where is not None:
        days = days.where(compile_condition(parse(rule.where), "e"), copy=False)
    if rule.period == "before_exposure":
        days = days.where(expression("e.occurred_on < CAST(f.exposed_at AS DATE)"), copy=False)
    return build("SELECT unit_key FROM days GROUP BY unit_key").with_("days", as_=days)
