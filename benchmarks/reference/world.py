"""The reference data of DESIGN 8, made anew from its sizes alone: plain Parquet as a user would have it.

A file a day of events and one of exposures, rows in the order of time, 36-character ids. An experiment begins
after a pre-period, its units arrive evenly over its days; a third of them is seen again a day later, and of
these some in the other variant. One day is made at a time, so that memory does not grow with the data.
"""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import duckdb
import msgspec

from lake.sql import literal

ALL_UNITS = "everyone"  # the experiment that has every unit
SHARE = 10  # every other experiment has one unit in so many
FIRST = dt.date(2026, 1, 1)  # of the experiments; the pre-period lies before it
VARIANTS = ("control", "treatment")


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes. `events` and `units` are those of the experiments' days; the pre-period has as many a day."""

    events: int
    units: int
    days: int = 28
    before: int = 7
    experiments: int = 20  # beside the one with all units

    @property
    def keys(self) -> tuple[str, ...]:
        """The experiments with a share of the units each."""
        return tuple(f"share_{number:02d}" for number in range(1, self.experiments + 1))

    @property
    def all_days(self) -> tuple[dt.date, ...]:
        """Days that have events, in order."""
        return tuple(self.day(number) for number in range(1 - self.before, self.days + 1))

    def day(self, number: int) -> dt.date:
        """The experiments' day of that number, from 1."""
        return FIRST + dt.timedelta(days=number - 1)


def generate(world: World, folder: Path, days: Iterable[dt.date] | None = None) -> None:
    """Write `events/DAY.parquet` and `exposures/DAY.parquet` for these days (all of them when absent)."""
    for kind in ("events", "exposures"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        con.execute(_MACROS)
        con.execute(_ENROLLED, _enrolment_sizes(world))
        for day in world.all_days if days is None else days:
            number = (day - FIRST).days  # from 0
            _write(con, _EVENTS, _file(folder, "events", day), _event_sizes(world, number))
            if number >= 0:
                _write(con, _EXPOSURES, _file(folder, "exposures", day), {"number": number})


def files(folder: Path, kind: str, days: Iterable[dt.date]) -> list[Path]:
    """The files of these days that are there."""
    paths = (_file(folder, kind, day) for day in days)
    return [path for path in paths if path.exists()]


def _file(folder: Path, kind: str, day: dt.date) -> Path:
    return folder / kind / f"{day.isoformat()}.parquet"


def _event_sizes(world: World, number: int) -> dict[str, object]:
    rows = world.events // world.days
    start = (number + world.before) * rows
    return {"first": start, "end": start + rows, "rows": rows, "number": number, "units": world.units}


def _enrolment_sizes(world: World) -> dict[str, object]:
    sizes = {"units": world.units, "days": world.days, "experiments": world.experiments}
    return sizes | {"share": SHARE, "everyone": ALL_UNITS}


def _write(con: duckdb.DuckDBPyConnection, select: str, target: Path, params: dict[str, object]) -> None:
    con.execute(f"COPY ({select}) TO {literal(str(target))} (FORMAT parquet)", params)


# `drawn` is an even number in [0, 1) that depends on a row and a purpose alone.
_MACROS = """
CREATE MACRO drawn(i, purpose) AS (hash(i, purpose) >> 11)::DOUBLE / 9007199254740992;
CREATE MACRO id_of(kind, i) AS md5(kind || i)::UUID::VARCHAR;
CREATE MACRO midnight(number) AS TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_days(number::INTEGER);
"""
# Some units do far more than others, and buy far more: what a shop's events look like.
_EVENTS = """
SELECT id_of('event', i) AS event_id,
       CASE WHEN kind < 0.60 THEN 'view' WHEN kind < 0.82 THEN 'click' WHEN kind < 0.90 THEN 'search'
            WHEN kind < 0.96 THEN 'add_to_cart' ELSE 'purchase' END AS event,
       id_of('unit', floor($units * power(drawn(i, 'unit'), 1.25))::BIGINT) AS user_id,
       midnight($number) + to_microseconds(((i - $first) * (86400000000 // $rows))::BIGINT) AS occurred_at,
       CASE WHEN kind >= 0.96
            THEN round(5 - 40 * ln(1 - drawn(i, 'amount')), 2)::DECIMAL(12, 2) END AS amount,
       CASE WHEN drawn(i, 'platform') < 0.7 THEN 'mobile' ELSE 'desktop' END AS platform
FROM (SELECT i, drawn(i, 'kind') AS kind FROM range($first, $end) AS r(i))
"""
# Made once: each unit's arrival in each of its experiments.
_ENROLLED = """
CREATE TEMP TABLE enrolled AS
SELECT unit, CASE WHEN number = 0 THEN $everyone ELSE format('share_{:02d}', number) END AS experiment,
       (hash(unit, number, 'day') % $days)::INTEGER AS arrives,
       (hash(unit, number, 'variant') % 2)::INTEGER AS arm,
       (hash(unit, number, 'again') % 900)::INTEGER AS again,
       (hash(unit, number, 'time') % 86400000000)::BIGINT AS since_midnight
FROM range($units) AS u(unit), range(0, $experiments + 1) AS e(number)
WHERE number = 0 OR hash(unit, number) % $share = 0
"""
_EXPOSURES = """
WITH seen AS (
    SELECT * FROM enrolled WHERE arrives = $number
    UNION ALL
    SELECT * REPLACE (CASE WHEN again = 0 THEN 1 - arm ELSE arm END AS arm)
    FROM enrolled WHERE arrives = $number - 1 AND again < 300
)
SELECT experiment, id_of('unit', unit) AS user_id,
       CASE arm WHEN 0 THEN 'control' ELSE 'treatment' END AS variant,
       midnight($number) + to_microseconds(since_midnight) AS exposed_at
FROM seen ORDER BY exposed_at, user_id, experiment
"""
