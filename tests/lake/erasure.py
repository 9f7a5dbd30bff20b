"""A workspace in which some units are everywhere, and a search of every byte that it has on disk."""

import datetime as dt
import gzip
import json
from pathlib import Path

import duckdb
import zstandard

from lake.erasure import Receipt, forget, units_of
from lake.ingest import ingest
from lake.tables import TABLES
from lake.warehouse import publish
from tests.lake.support import Shop, event

NOW = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
GONE = ("user1", 'ぞう \\ "9"', "0f8fad5b-d9cb-469f-a165-70867728950e")
STAY = ("user10", "user-user1", "ぞう", "0f8fad5b-d9cb-469f-a165-70867728950f", "u2")

EVERYONE = (*GONE, *STAY)
DERIVED = ("unit_days", "unit_values", "first_exposures", "unit_metrics")


def exposure(number: int, unit: str) -> dict:
    return {
        "exposure_id": f"x{number}",
        "experiment": "対照",
        "variant": "AB"[number % 2],
        "unit_id": unit,
        "exposed_at": f"2026-01-{1 + number % 4:02d}T09:00:00Z",
    }


def fill(shop: Shop) -> None:
    """Files of every kind, format and packing, good and bad rows; the lake; what is made from it."""
    events = [event(n, EVERYONE[n % len(EVERYONE)], 1 + n % 3, value=n) for n in range(40)]
    text = "".join(json.dumps(row, ensure_ascii=n % 2 == 0) + "\n" for n, row in enumerate(events[:20]))
    bad = '{"event_id": "b1", "unit_id": "user1"}\n{"event_id": "b2", "unit_id": "user10"}\n'
    torn = '{"event_id": "b3", "event": "purchase", "unit_id": "user1", "occurr'
    shop.write("landing/events/a.ndjson", f"\ufeff{text}\n{bad}{torn}")
    shop.write("landing/events/day/user1/b.ndjson.gz", "".join(json.dumps(row) + "\n" for row in events[20:]))
    shop.write("landing/events/only.ndjson", json.dumps(event(99, "user1")) + "\n")
    again = "".join(json.dumps(row) + "\n" for row in events[:9])  # all of them duplicates
    shop.write("landing/events/again.ndjson.zst", zstandard.compress(again.encode()))
    shop.write("landing/assignments/a.csv", _csv(range(8), '"', "\r\n"))
    shop.write("landing/assignments/b.csv.gz", _csv(range(8, 16), "", "\n"))
    shop.land("units", "u.ndjson", [{"unit_id": unit, "attributes": {"国": "日本"}} for unit in EVERYONE])
    _land_parquet(shop)
    shop.write(
        "landing/moments/m.csv", "experiment,metric,variant,as_of,n,successes\n外,m,A,2026-01-01,9,3\n"
    )
    ingest(shop.workspace)
    with shop.lake.connect() as con:
        for table in DERIVED:
            columns = {column.name: column.type for column in TABLES[table].columns}
            values = {"occurred_on": "DATE '2026-01-01'", "experiment": "'対照'"}
            listed = [
                name
                if name in {"unit_type", "unit_key"} or (name == "unit_id")
                else f"{values[name]} AS {name}"
                for name in columns
                if name in {"unit_type", "unit_key", "unit_id", *values}
            ]
            for _ in range(2):  # so that there is a replaced file with everybody in it
                shop.lake.overwrite(con, table, f"SELECT {', '.join(listed)} FROM unit_keys")
        # The stamp of a day is a row of no unit.
        stamp = "SELECT 'stamp@1' AS measure, DATE '2026-01-01' AS occurred_on"
        shop.lake.append(con, "unit_days", stamp)
    publish(shop.workspace)


def erase(shop: Shop, *ids: str, **more) -> Receipt:
    return forget(shop.workspace, units_of(ids or GONE, "user"), now=NOW, **more)


def holding(root: Path, unit: str) -> list[str]:
    """Every file below `root` that has the id in its name, its bytes, its packed text or its Parquet rows."""
    escaped = json.dumps(unit)[1:-1]
    forms = {unit.encode(), escaped.encode(), json.dumps(unit, ensure_ascii=False)[1:-1].encode()}
    forms.add(unit.replace('"', '""').encode())
    found = []
    for path in sorted(item for item in root.rglob("*") if item.is_file()):
        texts = [str(path.relative_to(root)).encode(), path.read_bytes()]
        if path.suffix == ".gz":
            texts.append(gzip.decompress(texts[1]))
        if path.suffix == ".zst":
            texts.append(zstandard.ZstdDecompressor().decompressobj().decompress(texts[1]))
        if path.suffix == ".parquet":
            with duckdb.connect(":memory:") as con:
                rows = con.read_parquet(str(path), hive_partitioning=False).fetchall()
            texts.append("\n".join(str(value) for row in rows for value in row).encode())
        if any(_has(text, form) for text in texts for form in forms):
            found.append(str(path.relative_to(root)))
    return found


def said_of_others(shop: Shop, table: str) -> list[tuple]:
    """What a table says of the units that stay, without where it was read."""
    left_out = {"file_hash", "file_row", "batch", "path", "line"}
    if "unit_id" in TABLES[table].names:
        left_out |= {"unit_key"}  # depends on the order of arrival
    columns = [name for name in TABLES[table].names if name not in left_out]
    condition = "unit_id NOT IN (SELECT unnest($1))" if "unit_id" in columns else "len($1) > 0"
    return shop.query(f"SELECT {', '.join(columns)} FROM {table} WHERE {condition} ORDER BY ALL", list(GONE))


def _has(text: bytes, form: bytes) -> bool:
    """As a whole: not as a part of the longer ids that stay."""
    for stays in STAY:
        if form in stays.encode():
            text = text.replace(stays.encode(), b"")
    return form in text


def _csv(numbers: range, quote: str, newline: str) -> str:
    rows = ["exposure_id,experiment,variant,unit_id,exposed_at,sent_at"]
    for number in numbers:
        row = exposure(number, EVERYONE[number % len(EVERYONE)])
        unit = '"' + row["unit_id"].replace('"', '""') + '"'
        # A bad time that breaks over two lines: the row goes to quarantine.
        sent = '"two\nlines"' if number % 8 in {0, 3} else ""
        rows.append(
            f"{row['exposure_id']},{quote}{row['experiment']}{quote},{row['variant']},{unit},"
            f"{row['exposed_at']},{sent}"
        )
    return newline.join(rows)


def _land_parquet(shop: Shop) -> None:
    rows = [exposure(100 + n, EVERYONE[n % len(EVERYONE)]) for n in range(16)]
    target = shop.root / "landing" / "exposures" / "p.parquet"
    target.parent.mkdir(parents=True)
    with duckdb.connect(":memory:") as con:
        columns = ", ".join(f"unnest(${name}) AS {name}" for name in rows[0])
        con.execute(
            f"COPY (SELECT {columns}) TO '{target}' (FORMAT parquet)",
            {name: [row[name] for row in rows] for name in rows[0]},
        )
