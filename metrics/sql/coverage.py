"""SQL of how many events each measure has, by unit type, environment and day."""

from collections.abc import Sequence

from sqlglot import exp

from metrics.model import Measure
from metrics.sql.partials import matches, value_of
from metrics.sql.tree import alias, build, column, expression, fill_list, literal


def coverage(measures: Sequence[Measure]) -> exp.Select:
    """One pass over the events from `$since` (bound) on.

    Columns: `unit_type`, `environment`, `day`, then three per measure, in their order: events of its name,
    of these the ones that match, and of these the ones without a number where one is summed up.
    """
    query = build(
        "SELECT e.unit_type, e.environment, e.occurred_on AS day FROM events AS e "
        "WHERE e.occurred_on >= $since AND e.event IN ($names) "
        "GROUP BY e.unit_type, e.environment, e.occurred_on ORDER BY day, e.unit_type, e.environment"
    )
    fill_list(query, "names", sorted({measure.event for measure in measures}))
    for number, measure in enumerate(measures):
        named = column("event", "e").eq(literal(measure.event))
        match = matches(measure, "e")
        tests = {"named": named, "matched": match, "no_number": exp.false()}
        if measure.value is not None:
            none = expression("$value IS NULL", value=value_of(measure, "e"))
            tests["no_number"] = exp.and_(match, none)
        for name, test in tests.items():
            counted = expression("COUNT(*) FILTER (WHERE $test)", test=test)
            query = query.select(alias(counted, f"{name}__{number}"), copy=False)
    return query


def stated_currencies(names: Sequence[str]) -> exp.Select:
    """The currencies that events state, by event, unit type and environment, from `$since` (bound) on."""
    query = build(
        "SELECT e.event, e.unit_type, e.environment, e.currency FROM events AS e "
        "WHERE e.occurred_on >= $since AND NOT e.currency IS NULL AND e.event IN ($names) "
        "GROUP BY e.event, e.unit_type, e.environment, e.currency ORDER BY e.event, e.currency"
    )
    fill_list(query, "names", names)
    return query
