"""Ingestion works in bounded memory: what does not fit is spilled, however large the input."""

import duckdb
import pytest

from lake.sql import literal
from tests.lake.support import Shop, finish, start

LIMIT_MB = 128
# On top of the limit: Python with its libraries (some 130 MB), and what DuckDB does not count.
BESIDES_MB = 250

PROGRAM = """
import re, sys
from pathlib import Path
from lake.ingest import ingest
from workspace import load_workspace
report = ingest(load_workspace(sys.argv[1]))
print(*(f"{s.rows} {s.accepted} {s.duplicates} {s.quarantined}" for s in report.sources))
# Of this program alone: ru_maxrss begins with the peak of the process that started it.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""

ROWS = 1_200_000
EVENTS = f"""
SELECT i // 100 * 100 + least(i % 100, 98) AS n,  -- every hundredth row repeats the id before it
       uuid_of(n) AS event_id, 'view' AS event, uuid_of(n % {ROWS // 2} + 1000000000) AS unit_id,
       strftime(TIMESTAMP '2026-01-01' + to_seconds(n), '%Y-%m-%dT%H:%M:%SZ') AS occurred_at,
       {{'page': repeat('ページ ' || n, 56)}} AS properties
FROM range({ROWS}) AS r(i)
"""


@pytest.mark.slow
def test_an_input_ten_times_the_memory_limit_passes_in_bounded_memory(tmp_path):
    shop = Shop(tmp_path / "big")
    shop.configure("", f'memory_limit = "{LIMIT_MB}MB"')
    landed = shop.root / "landing" / "events" / "big.ndjson"
    landed.parent.mkdir(parents=True)
    with duckdb.connect() as con:
        con.execute("CREATE MACRO uuid_of(i) AS md5(i::VARCHAR)::UUID::VARCHAR")
        con.execute(f"COPY (SELECT * EXCLUDE n FROM ({EVENTS})) TO {literal(str(landed))} (FORMAT json)")
    assert landed.stat().st_size >= 10 * LIMIT_MB * 1_000_000
    code, out, err = finish(start(PROGRAM, shop.root))
    assert code == 0, err
    counts, peak_mb = out.splitlines()
    assert counts == f"{ROWS} {ROWS - ROWS // 100} {ROWS // 100} 0"
    assert int(peak_mb) <= LIMIT_MB + BESIDES_MB
    assert shop.query("SELECT count(*), count(DISTINCT event_id) FROM events") == [(ROWS - ROWS // 100,) * 2]
    # Nothing is left of what was spilled.
    assert list((shop.root / "lake" / ".scratch").iterdir()) == []
