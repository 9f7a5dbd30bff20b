"""W9: landing → lake (validated, de-duplicated, keyed, ordered) beside DuckDB's own NDJSON → Parquet.

Both read the same sealed segments in the same run, turn and turn about; the fastest turn of each counts. The
peer is what somebody would type who wants Parquet and nothing else:
`COPY (SELECT * FROM read_json(...)) TO ... (FORMAT parquet)`. Ingestion does on top: a reason for every bad
row, the content hash, one row per id, a dense key per unit, a file per day ordered by it, atomic commits.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from lake.ingest import ingest
from lake.sql import file_list, literal
from workspace import load_workspace

AIM = 2.5
ROWS_PER_SEGMENT = 200_000
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
        _write_workspace(root, options)
        _write_segments(root, options)
        size = sum(path.stat().st_size for path in _segments(root)) / 1e6
        turns = [
            (_took(lambda: _copy(root, options)), _took(lambda: _ingest(root, options)))
            for _ in range(options.turns)
        ]
    (peer, peer_cpu), (ours, our_cpu) = map(min, zip(*turns, strict=True))
    print(f"W9 landing → lake: {options.rows:,} rows, {size:,.0f} MB of NDJSON")
    print(f"  DuckDB COPY to Parquet {peer:8.2f} s  {options.rows / peer:12,.0f} rows/s")
    print(f"  tenbin ingest          {ours:8.2f} s  {options.rows / ours:12,.0f} rows/s")
    print(
        f"  ratio {ours / peer:.2f} (aim: at most {AIM}); of processor time {our_cpu / peer_cpu:.2f}, ours "
        f"{our_cpu / options.rows * 1e6:.1f} µs a row"
    )
    return int(ours / peer > AIM)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.ingestion", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--memory-limit", default="2GB", help="of DuckDB, for both")
    parser.add_argument(
        "--directory", default=None, help="where the work is done; the system's own if absent"
    )
    return parser.parse_args(argv)


def _write_workspace(root: Path, options: argparse.Namespace) -> None:
    settings = f'[workspace]\nname = "bench"\nmemory_limit = "{options.memory_limit}"\n'
    (root / "tenbin.toml").write_text(settings, encoding="utf-8")


def _write_segments(root: Path, options: argparse.Namespace) -> None:
    """Files of about 64 MB, as the collector seals them."""
    folder = root / "landing" / "events"
    folder.mkdir(parents=True)
    with duckdb.connect() as con:
        con.execute(
            f"CREATE TABLE events AS {_EVENTS}",
            {"rows": options.rows, "units": max(1, options.rows // 10)},
        )
        for number, first in enumerate(range(0, options.rows, ROWS_PER_SEGMENT)):
            target = literal(str(folder / f"{number:06d}.ndjson"))
            last = first + ROWS_PER_SEGMENT - 1
            con.execute(
                f"COPY (FROM events WHERE rowid BETWEEN {first} AND {last}) TO {target} (FORMAT json)"
            )


def _segments(root: Path) -> list[Path]:
    return sorted((root / "landing" / "events").iterdir())


def _copy(root: Path, options: argparse.Namespace) -> None:
    target = literal(str(root / "peer.parquet"))
    with duckdb.connect() as con:
        con.execute(f"SET memory_limit = {literal(options.memory_limit)}")
        con.execute(
            f"COPY (SELECT * FROM read_json({file_list(_segments(root))})) TO {target} (FORMAT parquet)"
        )


def _ingest(root: Path, options: argparse.Namespace) -> None:
    workspace = load_workspace(root)
    shutil.rmtree(workspace.lake, ignore_errors=True)
    report = ingest(workspace)
    assert sum(source.accepted for source in report.sources) == options.rows


def _took(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and processor time of all threads, which other programs on the machine change least."""
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - cpu


if __name__ == "__main__":
    raise SystemExit(main())
