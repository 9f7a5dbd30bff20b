"""What the analysis of the latest as-of day reads beside the moments: splits, units, days since exposure.

Unit metrics are kept for the latest day only, so rows and findings that need them are made for that day.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np

from assignments.model import Experiment
from metrics.model import Metric, metrics_of
from metrics.sql.moments import MAX_SEGMENT_VALUES, OTHER
from metrics.sql.partials import stored_name
from metrics.sql.plan import MetricColumns, UnitPlan
from metrics.steps import Enrolment
from stats.findings import DAY, PHASE, Places, day_of_phase
from stats.moments import Moments
from stats.plan import Cell, DailyCell, PhasePlan, UnitCell

DAY_S = 86_400
MOST_UNITS = 2_000_000  # of which single values are read; more are judged by their moments alone
MOST_DAYS = 14  # since exposure, that effects are followed over
_ENOUGH = 0.5  # share of the units that must have been exposed long enough for a day to be followed

_OF_DAY = "FROM unit_metrics WHERE experiment = $experiment AND iteration = $iteration AND as_of = $as_of"


def places(
    con: duckdb.DuckDBPyConnection,
    plan: UnitPlan,
    enrolment: Enrolment,
    as_of: dt.date,
    phases: Sequence[PhasePlan] = (),
) -> Places:
    """Units by variant per day of first exposure, per phase where there are several, and per segment."""
    changed = len(phases) > 1
    days: dict[str, dict[str, int]] = {}
    for row in enrolment.by_day(as_of):
        day = day_of_phase(row.day, row.phase) if changed else row.day.isoformat()
        days.setdefault(day, dict.fromkeys(enrolment.variants, 0))[row.variant] += row.units
    found: dict[str, dict[str, dict[str, int]]] = {DAY: days}
    if changed:
        counted = enrolment.counts_by_phase(as_of)
        found[PHASE] = {f"{PHASE} {number}": units for number, units in sorted(counted.items())}
    # Without known shards the kept units of a segment have no split of their own that could be tested.
    tested = plan.segments if not changed or plan.experiment.bucketing is not None else ()
    for dimension in tested:
        found[dimension] = _by_segment(con, plan.experiment, dimension, as_of)
    return found


def _by_segment(
    con: duckdb.DuckDBPyConnection, experiment: Experiment, dimension: str, as_of: dt.date
) -> dict[str, dict[str, int]]:
    rows = con.execute(
        "SELECT json_extract_string(segments, $path) AS value, variant, COUNT(*) "
        f"{_OF_DAY} GROUP BY value, variant ORDER BY value NULLS LAST, variant",
        {**_bound(experiment, as_of), "path": f'$."{dimension}"'},
    ).fetchall()
    sizes: Counter[str] = Counter()
    for value, _, units in rows:
        sizes[value or ""] += units
    shown = {value for value, _ in sizes.most_common(MAX_SEGMENT_VALUES)}
    found: dict[str, dict[str, int]] = {}
    for value, variant, units in rows:
        name = (value or "") if (value or "") in shown else OTHER
        counts = found.setdefault(name, dict.fromkeys(experiment.variants, 0))
        counts[variant] = counts.get(variant, 0) + units
    return found


def unit_cells(
    con: duckdb.DuckDBPyConnection, plan: UnitPlan, as_of: dt.date, cells: Sequence[Cell]
) -> Iterator[UnitCell]:
    """The mature units behind the cells over everyone, capped as their moments are, ordered by unit id."""
    overall = {(cell.metric, cell.variant): cell for cell in cells if cell.segment is None}
    units: Counter[str] = Counter()
    for (metric, _), known in overall.items():
        units[metric] += known.moments.n
    if not 0 < max(units.values(), default=0) <= MOST_UNITS:
        return
    names = [column for planned in plan.metrics for column in (*_names(planned), planned.mature)]
    quoted = ", ".join(f'"{name}"' for name in names)
    for variant in plan.experiment.variants:
        columns = con.execute(
            f"SELECT {quoted} {_OF_DAY} AND variant = $variant ORDER BY unit_id",
            {**_bound(plan.experiment, as_of), "variant": variant},
        ).fetchnumpy()
        for planned in plan.metrics:
            if planned.metric.kind == "quantile":  # of single values, not of units
                continue
            cell = overall.get((planned.metric.name, variant))
            if cell is not None and cell.moments.n:
                yield from _units_of(planned, cell, columns)


def _names(planned: MetricColumns) -> list[str]:
    return [column.name for column in planned.columns]


def _units_of(planned: MetricColumns, cell: Cell, columns: Mapping[str, Any]) -> Iterator[UnitCell]:
    """One metric's mature units; none where the moments are of another state of the lake."""
    chosen = slice(None) if planned.metric.window_s is None else columns[planned.mature].astype(bool)
    if planned.metric.leaves_out:
        chosen = columns[planned.mature].astype(bool) & ~np.ma.getmaskarray(columns[_names(planned)[0]])
    values = [np.asarray(columns[name][chosen], dtype=np.float64) for name in _names(planned)]
    if cell.cap is not None:
        values[0] = np.minimum(values[0], cell.cap)
    if len(values[0]) == cell.moments.n:
        yield UnitCell(metric=cell.metric, variant=cell.variant, columns=tuple(values))


def daily_cells(
    con: duckdb.DuckDBPyConnection,
    plan: UnitPlan,
    metrics: Mapping[str, Metric],
    enrolment: Enrolment,
    as_of: dt.date,
) -> Iterator[DailyCell]:
    """The primary metrics by day since exposure and within their windows, over units exposed long enough ago.

    Days are those of the calendar, the first one from exposure on; a ratio, a quantile and a distinct
    count have no daily value per unit.
    """
    followed = _days_followed(enrolment, as_of)
    used = metrics_of(plan.experiment, metrics)
    for name in plan.experiment.metrics.primary:
        metric = used[name]
        in_window = MOST_DAYS if metric.window_s is None else metric.window_s // DAY_S
        days = min(followed, in_window)
        if metric.has_days and days >= 2:  # noqa: PLR2004 - a slope
            yield from _of_metric(con, plan, metric, as_of, days)


def _days_followed(enrolment: Enrolment, as_of: dt.date) -> int:
    """How many days since exposure at least half of the units have behind them."""
    ages = Counter[int]()
    for row in enrolment.by_day(as_of):
        ages[(as_of - row.day).days + 1] += row.units
    total = sum(ages.values())
    found = 0
    for days in range(1, MOST_DAYS + 1):
        if total and sum(units for age, units in ages.items() if age >= days) >= _ENOUGH * total:
            found = days
    return found


def _of_metric(
    con: duckdb.DuckDBPyConnection, plan: UnitPlan, metric: Metric, as_of: dt.date, days: int
) -> Iterator[DailyCell]:
    part = metric.outcomes[0][0].part
    value = {"any": "1", "events": "d.events", "active_days": "1", "total": "d.value_sum"}[part.aggregate]
    rows = con.execute(
        "WITH u AS (SELECT unit_key, variant, CAST(exposed_at AS DATE) AS first_day "
        f"{_OF_DAY} AND CAST(exposed_at AS DATE) + $days - 1 <= $as_of), "
        f"y AS (SELECT u.variant, u.unit_key, d.occurred_on - u.first_day AS day, "
        f"CAST({value} AS DOUBLE) AS y "
        "FROM u JOIN unit_days AS d ON d.unit_key = u.unit_key AND d.unit_type = $unit_type "
        "AND d.measure = $measure AND d.occurred_on >= u.first_day AND d.occurred_on < u.first_day + $days) "
        "SELECT variant, -1, -1, COUNT(*)::DOUBLE FROM u GROUP BY variant UNION ALL "
        "SELECT variant, day, -1, SUM(y ORDER BY unit_key) FROM y GROUP BY variant, day UNION ALL "
        "SELECT a.variant, a.day, b.day, SUM(a.y * b.y ORDER BY a.unit_key) FROM y AS a JOIN y AS b "
        "ON a.unit_key = b.unit_key AND a.variant = b.variant AND a.day <= b.day "
        "GROUP BY a.variant, a.day, b.day",
        {
            **_bound(plan.experiment, as_of),
            "days": days,
            "unit_type": plan.experiment.unit_type,
            "measure": stored_name(part.partial, plan.experiment.environment),
        },
    ).fetchall()
    for variant in plan.experiment.variants:
        moments = _moments([row[1:] for row in rows if row[0] == variant], days)
        if moments is not None:
            yield DailyCell(metric=metric.name, variant=variant, moments=moments)


def _moments(sums: Iterable[tuple[int, int, float]], days: int) -> Moments | None:
    """Moments of the columns day 0, 1, … from their sums and sums of products; a unit without a row has 0."""
    n, total, product = 0.0, np.zeros(days), np.zeros((days, days))
    for first, second, value in sums:
        if first < 0:
            n = value
        elif second < 0:
            total[first] = value
        else:
            product[first, second] = product[second, first] = value
    if n < 2:  # noqa: PLR2004 - a variance
        return None
    mean = total / n
    cov = (product - n * np.outer(mean, mean)) / (n - 1)
    return Moments(int(n), tuple(map(float, mean)), tuple(tuple(map(float, row)) for row in cov))


def _bound(experiment: Experiment, as_of: dt.date) -> dict[str, object]:
    return {"experiment": experiment.key, "iteration": experiment.iteration, "as_of": as_of}
