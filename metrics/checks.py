"""Data-quality checks: what may be wrong with the records behind an experiment, each told in a sentence.

Checks of the lake look at everything that was ingested; checks of an experiment look at its records up to an
as-of day. A check that can't be made says `not_applicable`, which is never a pass.
"""

import datetime as dt
from collections.abc import Callable, Sequence

import duckdb
import msgspec
import numpy as np
from scipy import stats
from sqlglot import exp

from assignments.model import Experiment
from assignments.phases import weight_phases
from metrics.engines.engine import Engine
from metrics.sql import health
from metrics.sql.exposures import RECORDS
from stats.results import Finding, Outcome
from stats.srm import FLAG_BELOW, sample_ratio, sample_ratio_over

Connection = duckdb.DuckDBPyConnection

# Duplicates are taken out, so a large share only says that a sender repeats itself.
DUPLICATES_WARN = 0.05
QUARANTINE_WARN, QUARANTINE_FAIL = 0.01, 0.1
# Units that are left out for what was recorded of them: above this share, those who stay may differ.
LEFT_OUT_FAIL = 0.01
# The hash gives every unit its variant, so that any other is a defect; a few may be overrides.
REDERIVED_FAIL = 0.001
# Fewer units than this with an outcome close before exposure are chance.
OUTCOMES_MIN = 30


class _Source(msgspec.Struct, frozen=True):
    """What was ingested from one source."""

    source: str
    kind: str
    rows: int
    quarantined: int
    duplicates: int

    @property
    def share(self) -> float:
        """Of rows that could not be read."""
        return _share(self.quarantined, self.rows)


LakeCheck = Callable[[Connection], Finding]
ExperimentCheck = Callable[[Connection, Engine, Experiment, dt.date], Finding]


def experiment_findings(
    con: Connection, engine: Engine, experiment: Experiment, as_of: dt.date
) -> list[Finding]:
    """Every check that concerns the experiment, that of the lake first."""
    return [duplicates(con), *(check(con, engine, experiment, as_of) for check in EXPERIMENT_CHECKS)]


def lake_findings(con: Connection) -> list[Finding]:
    """The checks of everything that was ingested."""
    return [check(con) for check in LAKE_CHECKS]


def duplicates(con: Connection) -> Finding:
    """The share of rows that were sent more than once; they are taken out."""
    sources = _sources(con)
    rows, repeated = sum(item.rows for item in sources), sum(item.duplicates for item in sources)
    share = _share(repeated, rows)
    return Finding(
        name="duplicates",
        status=Outcome.WARNING if share > DUPLICATES_WARN else Outcome.PASSED,
        message=f"{repeated:,} of {rows:,} rows ({share:.2%}) were sent more than once and count once",
        numbers={"rows": rows, "duplicates": repeated, "share": share},
    )


def quarantine_share(con: Connection) -> Finding:
    """The share of rows that could not be read, source by source."""
    return _quarantine(_sources(con))


def quarantine_behind(con: Connection, engine: Engine, experiment: Experiment, _as_of: dt.date) -> Finding:
    """The same of the sources that the experiment reads.

    A source of its kind without a single readable row may be one of them: nothing says that it is not.
    """
    plan = engine.plan(experiment)
    records = RECORDS[experiment.population]
    read = {
        records: _strangers(con, engine, health.sources_of_records(experiment)),
        "events": _strangers(con, engine, health.sources_of_events(plan)),
    }
    return _quarantine(
        [item for item in _sources(con) if item.kind in read and item.source not in read[item.kind]]
    )


def unknown_variant(con: Connection, engine: Engine, experiment: Experiment, as_of: dt.date) -> Finding:
    """Units in a variant that the experiment does not have."""
    query = health.unknown_among_units(experiment, engine.workspace.timezone)
    total, unknown = _two(con, engine, query, as_of)
    return _left_out(
        "unknown_variant", unknown, total, "units are in a variant that the definition does not have"
    )


def mixed_variants(con: Connection, engine: Engine, experiment: Experiment, as_of: dt.date) -> Finding:
    """Units seen in two variants; they are excluded and counted."""
    total, mixed = _two(con, engine, health.mixed_among_units(experiment), as_of)
    return _left_out("mixed_variants", mixed, total, "units were seen in more than one variant")


def excluded_units(con: Connection, engine: Engine, experiment: Experiment, as_of: dt.date) -> Finding:
    """Units that rules of the workspace leave out, and whether as many of every variant.

    Rules are blind to the variant, so that their shares may differ by chance alone: Pearson's chi-squared of
    left out by variant (SciPy's `chi2_contingency` without correction), added up over phases, whose weights
    differ; failed as a sample ratio is.
    """
    name, rules = "excluded_units", engine.workspace.config.exclude
    if not rules:
        return Finding(name=name, status=Outcome.NOT_APPLICABLE, message="the workspace has no rule")
    rows = engine.rows(con, health.excluded_by_variant(experiment), {"as_of": as_of})
    totals: dict[str, tuple[int, int]] = {}
    phases: dict[int, list[tuple[int, int]]] = {}
    for phase, variant, total, out in rows:
        before = totals.get(variant, (0, 0))
        totals[variant] = (before[0] + total, before[1] + out)
        phases.setdefault(phase, []).append((out, total - out))
    units, excluded = (sum(counts) for counts in zip(*totals.values(), strict=True)) if totals else (0, 0)
    shown = ", ".join(f"{variant} {_share(out, total):.2%}" for variant, (total, out) in totals.items())
    p_value = _p_independent(list(phases.values()))
    message = f"{excluded:,} of {units:,} units are left out by rules of tenbin.toml ({shown})"
    status = Outcome.PASSED
    if after := [rule.name for rule in rules if rule.period == "any"]:
        message += (
            f"; {', '.join(after)} also counts events after exposure, which the variant may have caused: who "
            "stays may then differ between the variants"
        )
        status = Outcome.WARNING if excluded else status
    if p_value is not None and p_value < FLAG_BELOW:
        message += f"; the shares differ by more than chance (p = {p_value:.2g})"
        status = Outcome.FAILED
    numbers = {"units": units, "left_out": excluded, "p_value": p_value}
    return Finding(name=name, status=status, message=message, numbers=numbers)


def assignment_rederived(con: Connection, engine: Engine, experiment: Experiment, as_of: dt.date) -> Finding:
    """The variant of every record, derived again from the hash."""
    name = "assignment_rederived"
    if experiment.bucketing is None:
        return Finding(
            name=name,
            status=Outcome.NOT_APPLICABLE,
            message="the units were assigned elsewhere, so their variants can't be derived again",
        )
    query = health.rederived_among_units(experiment, engine.workspace.timezone)
    total, other = _two(con, engine, query, as_of)
    share = _share(other, total)
    return Finding(
        name=name,
        status=_graded(share, 0, REDERIVED_FAIL),
        message=f"{other:,} of {total:,} units ({share:.2%}) have a variant that the hash does not give them",
        numbers={"units": total, "different": other, "share": share},
    )


def exposure_before_outcome(
    con: Connection, engine: Engine, experiment: Experiment, as_of: dt.date
) -> Finding:
    """Whether exposures are recorded too late.

    Outcomes shortly before exposure (an hour; the day before at day precision) should not outnumber those
    shortly after it: where they do, the exposure was probably logged after what it should have caused.
    """
    before, after = _two(con, engine, health.outcomes_around_exposure(engine.plan(experiment)), as_of)
    return Finding(
        name="exposure_before_outcome",
        status=Outcome.WARNING if before >= OUTCOMES_MIN and before > after else Outcome.PASSED,
        message=(
            f"{before:,} units have an outcome of a primary metric shortly before their first exposure, "
            f"{after:,} shortly after"
        ),
        numbers={"before": before, "after": after},
    )


def srm(con: Connection, engine: Engine, experiment: Experiment, as_of: dt.date) -> Finding:
    """Sample ratio mismatch: whether the variants got the units that their weights make expect."""
    enrolment = engine.enrolment(con, experiment)
    phases = weight_phases(experiment, engine.workspace.timezone, as_of=as_of)
    found = (
        sample_ratio_over(enrolment.counts_by_phase(as_of), {one.number: one.weights for one in phases})
        if len(phases) > 1
        else sample_ratio(enrolment.counts(as_of), phases[0].weights)
    )
    if found.p_value is None:
        return Finding(name="srm", status=Outcome.NOT_APPLICABLE, message="there are no units to count")
    observed = " / ".join(f"{count:,}" for count in found.observed.values())
    expected = " / ".join(f"{count:,.1f}" for count in found.expected.values())
    return Finding(
        name="srm",
        status=Outcome.FAILED if found.failed else Outcome.PASSED,
        message=f"{observed} units where {expected} are expected, p = {found.p_value:.4g}",
        numbers={"chi2": found.chi2, "df": found.df, "p_value": found.p_value},
    )


LAKE_CHECKS: tuple[LakeCheck, ...] = (duplicates, quarantine_share)
# Without `srm`, which the statistics find and the readout shows by itself.
EXPERIMENT_CHECKS: tuple[ExperimentCheck, ...] = (
    quarantine_behind,
    unknown_variant,
    mixed_variants,
    excluded_units,
    assignment_rederived,
    exposure_before_outcome,
)


def _left_out(name: str, count: int, total: int, what: str) -> Finding:
    share = _share(count, total)
    return Finding(
        name=name,
        status=_graded(share, 0, LEFT_OUT_FAIL),
        message=f"{count:,} of {total:,} {what} ({share:.2%})" + ("; they are left out" if count else ""),
        numbers={"units": total, "left_out": count, "share": share},
    )


def _graded(share: float, warn: float, fail: float) -> Outcome:
    if share > fail:
        return Outcome.FAILED
    return Outcome.WARNING if share > warn else Outcome.PASSED


def _p_independent(tables: Sequence[Sequence[tuple[int, int]]]) -> float | None:
    """Of the rows of each table being alike; None where nothing can be compared."""
    chi2, df = 0.0, 0
    for table in tables:
        counts = np.array(table, dtype=float)
        counts = counts[counts.sum(axis=1) > 0]
        if len(counts) > 1 and counts.sum(axis=0).all():
            found = stats.chi2_contingency(counts, correction=False)
            chi2, df = chi2 + float(found.statistic), df + int(found.dof)
    return float(stats.chi2.sf(chi2, df)) if df else None


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0


def _quarantine(sources: Sequence[_Source]) -> Finding:
    """Graded by the worst source: a good one must not hide it."""
    worst = max(sources, key=lambda item: item.share, default=_Source("", "", 0, 0, 0))
    bad = sorted((item for item in sources if item.share > QUARANTINE_WARN), key=lambda item: -item.share)
    rows, quarantined = sum(item.rows for item in sources), sum(item.quarantined for item in sources)
    told = [
        f"{item.quarantined:,} of {item.rows:,} rows ({item.share:.2%}) of source "
        f'"{item.source}" ({item.kind})'
        for item in bad
    ]
    told = told or [f"{quarantined:,} of {rows:,} rows ({_share(quarantined, rows):.2%})"]
    return Finding(
        name="quarantine_share",
        status=_graded(worst.share, QUARANTINE_WARN, QUARANTINE_FAIL),
        message=f"{' and '.join(told)} could not be read; they are in `quarantine`",
        numbers={"rows": rows, "quarantined": quarantined, "share": worst.share},
    )


def _sources(con: Connection) -> list[_Source]:
    found = con.execute(
        "SELECT source, kind, CAST(COALESCE(SUM(rows), 0) AS BIGINT), "
        "CAST(COALESCE(SUM(quarantined), 0) AS BIGINT), CAST(COALESCE(SUM(duplicates), 0) AS BIGINT) "
        "FROM ingested WHERE replaced_by IS NULL GROUP BY source, kind ORDER BY kind, source"
    ).fetchall()
    return [_Source(*row) for row in found]


def _strangers(con: Connection, engine: Engine, query: exp.Query) -> set[str]:
    """The sources that have rows, but none for the experiment."""
    return {source for source, is_read in engine.rows(con, query) if not is_read}


def _two(con: Connection, engine: Engine, query: exp.Query, as_of: dt.date) -> tuple[int, int]:
    first, second = engine.rows(con, query, {"as_of": as_of})[0]
    return first, second
