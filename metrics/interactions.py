"""Experiments that run at once on the same units: was each assigned apart from the others, do effects mix?

Other experiments are those of the registry with the same unit type and environment and days in common.
"""

import datetime as dt
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb
import msgspec

from assignments.model import Experiment
from assignments.phases import weight_phases
from metrics.analysis import plan_of
from metrics.engines.engine import Engine
from metrics.evidence import moments_of
from stats import inference
from stats.contrasts import Contrast
from stats.interactions import difference_in_differences, independence
from stats.moments import Moments
from stats.multiplicity import holm
from stats.plan import AnyCell, Cell, MetricPlan
from stats.references import StudentT, p_value
from stats.results import Finding, Outcome
from stats.srm import FLAG_BELOW

MOST = 20  # other experiments that one is compared with: those with the most days in common

_SEEN = "(second_variant_at IS NULL OR CAST(second_variant_at AS DATE) > $as_of) AND exposed_on <= $as_of"


class _Asked(NamedTuple):
    """Of whom effects are asked, and where."""

    con: duckdb.DuckDBPyConnection
    engine: Engine
    experiment: Experiment
    as_of: dt.date


class _Question(msgspec.Struct, frozen=True):
    """One difference in differences."""

    other: str
    what: str
    contrast: Contrast

    @property
    def p_value(self) -> float:
        contrast = self.contrast
        if not contrast.variance_against(1.0) > 0:
            return math.nan
        return float(p_value(inference.log10_p(contrast, StudentT(contrast.df))))


def interaction_findings(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    experiment: Experiment,
    as_of: dt.date,
    cells: Sequence[AnyCell],
    *,
    readable: bool,
) -> list[Finding]:
    """One finding per other experiment and question; p-values are Holm's, over all others.

    Args:
        con: a connection of the lake.
        engine: with the definitions.
        experiment: the one whose page it is.
        as_of: its latest day, of which the lake has unit metrics.
        cells: of that day: caps.
        readable: whether significance may be read; before, only the assignment is tested.
    """
    others, left_out = _others(con, engine, experiment)
    if not others:
        return []
    tables = _cross_tables(con, experiment, others, as_of)
    found = [*_splits(experiment, tables)]
    shared = [other for other in others if other.key in tables]
    if readable and shared:
        found += _effects(_Asked(con, engine, experiment, as_of), shared, cells)
    if left_out:
        found.append(
            Finding(
                name="interactions_left_out",
                status=Outcome.NOTED,
                message=f"{left_out:,} more experiments run at once on the same kind of units; compared are "
                f"the {MOST} with the most days in common.",
                numbers={"left_out": left_out},
            )
        )
    return found


def _others(
    con: duckdb.DuckDBPyConnection, engine: Engine, experiment: Experiment
) -> tuple[list[Experiment], int]:
    """The experiments that may share units, the most days in common first; how many are left out.

    Where weights changed the arms are not alike over time, so that such experiments are not compared.
    """
    rows = con.execute(
        "SELECT definition FROM registry WHERE experiment <> $key "
        "AND CAST(json_extract_string(definition, '$.experiment.start') AS DATE) <= $last "
        "AND COALESCE(CAST(json_extract_string(definition, '$.experiment.end') AS DATE) >= $first, TRUE) "
        "ORDER BY experiment",
        {"key": experiment.key, "first": experiment.start, "last": experiment.end or dt.date.max},
    ).fetchall()
    known = [msgspec.json.decode(row[0], type=_Registered).experiment for row in rows]
    zone = engine.workspace.timezone
    found = [
        other
        for other in known
        if (other.unit_type, other.environment) == (experiment.unit_type, experiment.environment)
        and _days_in_common(experiment, other) > 0
        and not _is_same_split(experiment, other)
        and len(weight_phases(other, zone)) == len(weight_phases(experiment, zone)) == 1
    ]
    found.sort(key=lambda other: (-_days_in_common(experiment, other), other.key))
    return found[:MOST], len(found[MOST:])


def _is_same_split(one: Experiment, other: Experiment) -> bool:
    """Whether it is one experiment, analysed by exposure and by assignment."""
    return one.population != other.population and set(one.variants) == set(other.variants)


class _Registered(msgspec.Struct):
    experiment: Experiment


def _days_in_common(one: Experiment, other: Experiment) -> int:
    last = min(one.end or dt.date.max, other.end or dt.date.max)
    return (last - max(one.start, other.start)).days + 1


def _cross_tables(
    con: duckdb.DuckDBPyConnection, experiment: Experiment, others: Sequence[Experiment], as_of: dt.date
) -> dict[str, list[list[int]]]:
    """Units by own variant (rows) and the other's (columns), of each experiment with units in common."""
    rows = con.execute(
        "WITH seen AS (SELECT *, CAST(exposed_at AS DATE) AS exposed_on FROM first_exposures "
        "WHERE excluded_by IS NULL), "
        f"own AS (SELECT unit_key, variant FROM seen WHERE experiment = $key AND iteration = $iteration "
        f"AND {_SEEN}) SELECT o.experiment, o.iteration, own.variant, o.variant, COUNT(*) FROM seen AS o "
        f"JOIN own ON own.unit_key = o.unit_key WHERE list_contains($others, o.experiment) AND {_SEEN} "
        "GROUP BY ALL ORDER BY ALL",
        {
            "key": experiment.key,
            "iteration": experiment.iteration,
            "others": [other.key for other in others],
            "as_of": as_of,
        },
    ).fetchall()
    tables: dict[str, list[list[int]]] = {}
    by_key = {other.key: other for other in others}
    for key, iteration, own, variant, count in rows:
        other = by_key[key]
        if iteration != other.iteration or own not in experiment.variants or variant not in other.variants:
            continue
        table = tables.setdefault(key, [[0] * len(other.variants) for _ in experiment.variants])
        table[experiment.variants.index(own)][other.variants.index(variant)] += count
    return tables


def _splits(experiment: Experiment, tables: Mapping[str, list[list[int]]]) -> Iterator[Finding]:
    """Whether both experiments assigned their common units independently of each other."""
    found = {key: independence(table) for key, table in tables.items()}
    p_values = [math.nan if one.p_value is None else one.p_value for one in found.values()]
    for (key, one), p in zip(found.items(), holm(p_values), strict=True):
        if one.p_value is None:
            continue
        failed = p < FLAG_BELOW
        said = (
            f'the variants of "{experiment.key}" and "{key}" hang together'
            if failed
            else f'"{experiment.key}" and "{key}" were assigned independently of each other'
        )
        yield Finding(
            name=f"mutual_split:{key}",
            status=Outcome.FAILED if failed else Outcome.PASSED,
            message=f"Of {one.units:,} units in both, {said} (chi-squared {one.chi2:.3g}, df {one.df}, "
            f"p = {one.p_value:.2g}, adjusted {p:.2g}).",
            numbers={
                "units": one.units, "chi2": one.chi2, "df": one.df, "p_value": one.p_value, "p_adjusted": p,
            },
        )  # fmt: skip


def _effects(asked: _Asked, others: Sequence[Experiment], cells: Sequence[AnyCell]) -> Iterator[Finding]:
    """Whether effects on the primary metrics of both depend on the other experiment's variant."""
    experiment = asked.experiment
    plans = {one.name: one for one in plan_of(experiment, asked.engine.metrics).metrics}
    caps = {cell.metric: cell.cap for cell in cells if isinstance(cell, Cell) and cell.cap is not None}
    questions = [
        question
        for other in others
        for name in experiment.metrics.primary
        if name in other.metrics.primary and plans[name].kind != "quantile"
        for question in _questions(
            experiment,
            other,
            plans[name],
            _moments(asked, other, plans[name], caps.get(name)),
        )
    ]
    adjusted = holm([question.p_value for question in questions])
    tested = [pair for pair in zip(questions, adjusted, strict=True) if not math.isnan(pair[1])]
    for key, group in itertools.groupby(tested, key=lambda pair: pair[0].other):
        own = list(group)
        question, p = min(own, key=lambda pair: pair[1])
        on, off = float(question.contrast.variant), float(question.contrast.baseline)
        mixes = p <= experiment.alpha
        yield Finding(
            name=f"interaction:{key}",
            status=Outcome.WARNING if mixes else Outcome.NOTED,
            message=f'{question.what} of "{key}" {on:+.3g}, without it {off:+.3g} (adjusted p = {p:.2g}): '
            + ("the effects depend on each other." if mixes else "no interaction is shown."),
            numbers={
                f"{one.what}: {name}": value
                for one, each in own
                for name, value in (
                    ("difference", float(one.contrast.estimate)),
                    ("std_error", float(one.contrast.variance_against(1.0)) ** 0.5),
                    ("p_value", one.p_value),
                    ("p_adjusted", each),
                )
            },
        )


def _questions(
    experiment: Experiment, other: Experiment, metric: MetricPlan, cells: Mapping[tuple[str, str], Moments]
) -> Iterator[_Question]:
    """One for every variant of the one and every variant of the other, each against its control."""
    for variant, its in itertools.product(experiment.variants[1:], other.variants[1:]):
        places = [(variant, its), (experiment.control, its), (variant, other.control)]
        places.append((experiment.control, other.control))
        if any(place not in cells for place in places):
            continue
        on, on_control, off, off_control = (cells[place] for place in places)
        contrast = difference_in_differences((on, on_control), (off, off_control), kind=metric.kind)
        if contrast is not None:
            what = f"{metric.name}: the effect of {variant} is with {its}"
            yield _Question(other.key, what, contrast)


def _moments(
    asked: _Asked, other: Experiment, metric: MetricPlan, cap: float | None
) -> dict[tuple[str, str], Moments]:
    """Moments of a metric's mature units by own variant and the other's, centred and in order of units."""
    con, engine, experiment, as_of = asked
    (planned,) = (one for one in engine.plan(experiment).metrics if one.metric.name == metric.name)
    names = [f'"{column.name}"' for column in planned.columns[: metric.width]]
    names[0] = names[0] if cap is None else f"LEAST({names[0]}, $cap)"
    width = range(len(names))
    values = ", ".join(f"{name} AS x{place}" for place, name in enumerate(names))
    means = ", ".join(f"SUM(x{i} ORDER BY unit_id) / COUNT(*) AS m{i}" for i in width)
    products = ", ".join(
        f"SUM((x{i} - m{i}) * (x{j} - m{j}) ORDER BY unit_id) / NULLIF(MAX(n) - 1, 0)"
        for i in width
        for j in width
    )
    rows = con.execute(
        "WITH o AS (SELECT unit_key, variant, second_variant_at, CAST(exposed_at AS DATE) AS exposed_on "
        "FROM first_exposures WHERE experiment = $other AND iteration = $its_iteration "
        "AND excluded_by IS NULL), "
        f"y AS (SELECT u.unit_id, u.variant AS own, o.variant AS its, {values} FROM unit_metrics AS u "
        "JOIN o ON o.unit_key = u.unit_key WHERE u.experiment = $key AND u.iteration = $iteration "
        f'AND u.as_of = $as_of AND u."{planned.mature}" AND {_SEEN}), '
        f"m AS (SELECT own, its, COUNT(*) AS n, {means} FROM y GROUP BY own, its) "
        f"SELECT own, its, MAX(n), {', '.join(f'MAX(m{i})' for i in width)}, {products} "
        "FROM y JOIN m USING (own, its) GROUP BY own, its ORDER BY own, its",
        {
            "key": experiment.key,
            "iteration": experiment.iteration,
            "other": other.key,
            "its_iteration": other.iteration,
            "as_of": as_of,
            **({} if cap is None else {"cap": cap}),
        },
    ).fetchall()
    k = len(names)
    return {
        (own, its): moments_of(n, numbers[:k], [number or 0.0 for number in numbers[k:]])
        for own, its, n, *numbers in rows
    }
