"""One row per id: which of several rows of one event or exposure stays, whatever the order of arrival.

Rows are the same record when id, environment and name (of event or experiment) are equal and their days are at
most `dedup_days` apart. Of these the smallest (`received_at`, else the record's own time; file hash; row) stays.
"""

import duckdb

from lake.sql import identifier

# Kind → (id, name, time) columns.
IDENTITY = {
    "events": ("event_id", "event", "occurred_at"),
    "exposures": ("exposure_id", "experiment", "exposed_at"),
    "assignments": ("exposure_id", "experiment", "exposed_at"),
}


def find_losers(con: duckdb.DuckDBPyConnection, kind: str, *, batch: int, dedup_days: int) -> None:
    """Make the temporary table losers_KIND (file_hash, file_row, occurred_on, path) of rows to leave out.

    Reads `staged_KIND` (the batch) and `lake_KIND` (the lake, with `filename`); `path` is null for rows of the
    batch, else the lake's file that holds the row.
    """
    id_, name, at = (identifier(column) for column in IDENTITY[kind])
    ids = f"SELECT hash({id_}) AS h FROM staged_{kind}"
    days = con.execute(
        f"SELECT min(occurred_on) - $1::INTEGER, max(occurred_on) + $1::INTEGER FROM staged_{kind}",
        [dedup_days],
    ).fetchall()[0]
    # Ids are compared as 64-bit hashes first: most are unique, and only the rest is worth an exact look.
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE suspects AS "
        f"SELECT h FROM ({ids}) GROUP BY h HAVING count(*) > 1 "
        f"UNION SELECT h FROM (SELECT hash({id_}) AS h FROM lake_{kind} "
        f"WHERE occurred_on BETWEEN $low AND $high AND batch <> $batch) WHERE h IN ({ids})",
        {"low": days[0], "high": days[1], "batch": batch},
    )
    shared = f"{id_} AS id, environment, {name} AS name, coalesce(received_at, {at}) AS stamp, occurred_on"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE losers_{kind} AS "
        f"WITH contenders AS ("
        f"SELECT {shared}, source, file_hash, file_row, NULL AS path FROM staged_{kind} "
        f"WHERE hash({id_}) IN (SELECT h FROM suspects) "
        f"UNION ALL SELECT {shared}, source, file_hash, file_row, filename FROM lake_{kind} "
        f"WHERE occurred_on BETWEEN $low AND $high AND batch <> $batch "
        f"AND hash({id_}) IN (SELECT h FROM suspects)"
        "), ranked AS ("
        "SELECT *, struct_pack(stamp := stamp, file_hash := file_hash, file_row := file_row, source := source) AS standing "
        "FROM contenders), best AS ("
        "SELECT *, min(standing) OVER (PARTITION BY id, environment, name ORDER BY occurred_on "
        f"RANGE BETWEEN INTERVAL {int(dedup_days)} DAY PRECEDING AND INTERVAL {int(dedup_days)} DAY FOLLOWING) "
        "AS winner FROM ranked) "
        "SELECT source, file_hash, file_row, occurred_on, path FROM best WHERE standing > winner",
        {"low": days[0], "high": days[1], "batch": batch},
    )
