"""W9: landing → lake (validated, de-duplicated, keyed, ordered) beside DuckDB's own NDJSON → Parquet.

Both read the same sealed file in the same run. The peer is what somebody would type who wants Parquet and nothing
else: `COPY (SELECT * FROM read_json(...)) TO ... (FORMAT parquet)`. Ingestion does on top: a reason for every bad
row, the content hash, one row per id, a dense key per unit, a file per day ordered by it, atomic commits.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from lake.ingest import ingest
from lake.sql import literal
from workspace import load_workspace

AIM = 2.5
_EVENTS = """
SELECT uuid()::VARCHAR AS event_id,
       ['view', 'click', 'purchase'][1 + (i % 3)::INTEGER] AS event,
       md5((hash(i) % $units)::VARCHAR)::UUID::VARCHAR AS unit_id,
       strftime(moment, '%Y-%m-%dT%H:%M:%S.%fZ') AS occurred_at,
       strftime(moment + INTERVAL 1 SECOND, '%Y-%m-%dT%H:%M:%S.%fZ') AS sent_at,
       strftime(moment + INTERVAL 2 SECOND, '%Y-%m-%dT%H:%M:%S.%fZ') AS received_at,
       CASE WHEN i % 3 = 2 THEN round((hash(i + 1) % 10000) / 100, 2) END AS value,
       {'country': ['JP', 'DE', 'BR'][1 + (i % 3)::INTEGER], 'page': i % 100} AS properties
FROM (SELECT i, TIMESTAMP '2026-01-01' + to_microseconds((i * (28 * 86400000000 // $rows))::BIGINT) AS moment
      FROM range($rows) AS r(i))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print rows, seconds of both and their ratio; 0 when the aim is met, else 1."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        root = Path(folder)
        landed = root / "landing" / "events" / "all.ndjson"
        _write_workspace(root, landed, options)
        peer = _seconds(lambda: _copy(landed, root / "peer.parquet", options))
        ours = _seconds(lambda: _ingest(root, options.rows))
        size = landed.stat().st_size / 1e6
    ratio = ours / peer
    print(f"W9 landing → lake: {options.rows:,} rows, {size:,.0f} MB of NDJSON")
    print(f"  DuckDB COPY to Parquet {peer:8.2f} s  {options.rows / peer:12,.0f} rows/s")
    print(f"  tenbin ingest          {ours:8.2f} s  {options.rows / ours:12,.0f} rows/s")
    print(f"  ratio {ratio:.2f} (aim: at most {AIM})")
    return int(ratio > AIM)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.ingestion", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--memory-limit", default="2GB", help="of DuckDB, for both")
    parser.add_argument("--threads", type=int, default=None, help="of DuckDB, for both; all cores when absent")
    parser.add_argument("--directory", default=None, help="where the work is done; the system's own when absent")
    return parser.parse_args(argv)


def _write_workspace(root: Path, landed: Path, options: argparse.Namespace) -> None:
    threads = "" if options.threads is None else f"threads = {options.threads}\n"
    settings = f'[workspace]\nname = "bench"\nmemory_limit = "{options.memory_limit}"\n{threads}'
    (root / "tenbin.toml").write_text(settings, encoding="utf-8")
    landed.parent.mkdir(parents=True)
    with duckdb.connect() as con:
        con.execute(
            f"COPY ({_EVENTS}) TO {literal(str(landed))} (FORMAT json)",
            {"rows": options.rows, "units": max(1, options.rows // 10)},
        )


def _copy(landed: Path, target: Path, options: argparse.Namespace) -> None:
    with duckdb.connect() as con:
        con.execute(f"SET memory_limit = {literal(options.memory_limit)}")
        if options.threads is not None:
            con.execute(f"SET threads = {int(options.threads)}")
        con.execute(
            f"COPY (SELECT * FROM read_json({literal(str(landed))})) TO {literal(str(target))} (FORMAT parquet)"
        )


def _ingest(root: Path, rows: int) -> None:
    report = ingest(load_workspace(root))
    assert sum(source.accepted for source in report.sources) == rows


def _seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    raise SystemExit(main())
