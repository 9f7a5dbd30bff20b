"""One row per id: which of several rows of one event or exposure stays, whatever the order of arrival.

Rows are the same record when id, environment, unit type and name (of event or experiment) are equal and
their days are at most `dedup_days` apart; so one file may be mapped twice, by user and by account.
The smallest (`received_at`, else the record's own time; file hash; row) stays.
"""

import duckdb

from lake.sql import identifier

# Kind → (id, name, time) columns.
IDENTITY = {
    "events": ("event_id", "event", "occurred_at"),
    "exposures": ("exposure_id", "experiment", "exposed_at"),
    "assignments": ("exposure_id", "experiment", "exposed_at"),
}


def late_duplicates(con: duckdb.DuckDBPyConnection, kind: str) -> int:
    """Rows of the lake whose record is there already: those that came back after more than `dedup_days`."""
    id_, name, _ = (identifier(column) for column in IDENTITY[kind])
    found: int = con.execute(
        f"SELECT count(*) - count(DISTINCT ({id_}, environment, unit_type, {name})) FROM {kind} "
        f"WHERE hash({id_}) IN (SELECT hash({id_}) AS h FROM {kind} GROUP BY h HAVING count(*) > 1)"
    ).fetchall()[0][0]
    return found


def find_losers(con: duckdb.DuckDBPyConnection, kind: str, *, batch: int, dedup_days: int) -> None:
    """Make the table losers_KIND of rows to leave out.

    Its columns are source, file_hash, file_row, occurred_on, staged_row and path. Reads `staged_KIND` (the
    batch) and `lake_KIND` (the lake's rows of the days around, with `filename`): a loser of the batch has its
    `staged_row`, one of the lake the `path` of the file that holds it.
    """
    id_, name, at = (identifier(column) for column in IDENTITY[kind])
    ids = f"SELECT hash({id_}) AS h FROM staged_{kind}"
    # Rows of this batch are in the lake already when a crash came after their commit.
    older = f"FROM lake_{kind} WHERE batch <> $batch"
    # Ids are compared as 64-bit hashes first: most are unique, and only the rest is worth an exact look.
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE suspects AS "
        f"SELECT h FROM ({ids}) GROUP BY h HAVING count(*) > 1 "
        f"UNION SELECT h FROM (SELECT hash({id_}) AS h {older}) WHERE h IN ({ids})",
        {"batch": batch},
    )
    contender = (
        f"{id_} AS id, environment, unit_type, {name} AS name, occurred_on, source, file_hash, file_row"
    )
    standing = (
        f"struct_pack(stamp := coalesce(received_at, {at}), file_hash := file_hash, "
        "file_row := file_row, source := source) AS standing"
    )
    is_suspect = f"hash({id_}) IN (SELECT h FROM suspects)"
    around = f"INTERVAL {int(dedup_days)} DAY"
    con.execute(
        f"CREATE OR REPLACE TABLE losers_{kind} AS "
        f"WITH contenders AS ("
        f"SELECT {contender}, {standing}, staged_row, NULL AS path FROM staged_{kind} WHERE {is_suspect} "
        f"UNION ALL SELECT {contender}, {standing}, NULL, filename {older} AND {is_suspect}"
        "), best AS ("
        "SELECT *, min(standing) OVER (PARTITION BY id, environment, unit_type, name ORDER BY occurred_on "
        f"RANGE BETWEEN {around} PRECEDING AND {around} FOLLOWING) AS winner FROM contenders) "
        "SELECT source, file_hash, file_row, occurred_on, staged_row, path FROM best WHERE standing > winner",
        {"batch": batch},
    )
