"""What the steps of an engine hand back."""

import datetime as dt
from collections.abc import Sequence

import msgspec

from stats.moments import Moments


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a step did: rows written (or made), the SQL that made them, how long it took."""

    rows: int
    sql: str
    seconds: float

    @classmethod
    def total(cls, reports: Sequence["StepReport"]) -> "StepReport":
        """Many steps as one: rows and seconds added up, each statement once."""
        return cls(
            rows=sum(report.rows for report in reports),
            sql="\n\n".join(dict.fromkeys(report.sql for report in reports)),
            seconds=sum(report.seconds for report in reports),
        )


class MomentRow(msgspec.Struct, frozen=True, kw_only=True):
    """The moments of one metric in one cell, as of a day; in the columns of the lake's `moments`."""

    experiment: str
    iteration: int
    phase: int
    variant: str
    segment: str | None  # "dimension=value"; None: all units
    metric: str
    as_of: dt.date
    n_immature: int
    columns: tuple[str, ...]
    moments: Moments
    cap: float | None = None
    clipped: int | None = None
    n_without: int | None = None  # mature units without a value, left out of a quantile
    reason: str | None = None  # why a quantile has no variance
    fingerprint: str


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Units or rows that are in no result, and why."""

    reason: str
    count: int
    of: str  # "units" or "rows"


class DayCount(msgspec.Struct, frozen=True, kw_only=True):
    """Units first exposed to a variant on a day (UTC)."""

    day: dt.date
    variant: str
    units: int
    phase: int = 1


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment's units by first exposure, as of any day."""

    variants: tuple[str, ...]
    # Day, day of a second variant, variant, units, phase of first exposure.
    rows: tuple[tuple[dt.date, dt.date | None, str, int, int], ...]

    def by_day(self, as_of: dt.date) -> list[DayCount]:
        """By day, phase and variant of the definition, without units seen in two variants by `as_of`."""
        found: dict[tuple[dt.date, int, str], int] = {}
        for day, second_on, variant, units, phase in self.rows:
            if day <= as_of and variant in self.variants and (second_on is None or second_on > as_of):
                found[day, phase, variant] = found.get((day, phase, variant), 0) + units
        return [
            DayCount(day=day, variant=variant, units=count, phase=phase)
            for (day, phase, variant), count in sorted(found.items())
        ]

    def counts(self, as_of: dt.date) -> dict[str, int]:
        """By variant, without units seen in two variants by `as_of`: what SRM counts."""
        counted = dict.fromkeys(self.variants, 0)
        for row in self.by_day(as_of):
            counted[row.variant] += row.units
        return counted

    def counts_by_phase(self, as_of: dt.date) -> dict[int, dict[str, int]]:
        """The same by phase of first exposure, before any unit is left out because its shard was moved."""
        counted: dict[int, dict[str, int]] = {}
        for row in self.by_day(as_of):
            counted.setdefault(row.phase, dict.fromkeys(self.variants, 0))[row.variant] += row.units
        return counted
