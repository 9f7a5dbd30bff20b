"""Files that no reader needs any more: replaced ones, and orphans that killed writers left beside them.

Replaced files stay for a while, so that a notebook that was opened before goes on reading its snapshot.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

from lake import delta, faults
from lake.lake import Lake
from lake.tables import Table

_HOUR_S = 3_600


def vacuum(
    lake: Lake, tables: Iterable[Table], *, retention_s: int, keep: Mapping[str, int] | None = None
) -> int:
    """Delete what was replaced, or left by a kill, longer than `retention_s` ago; how many files.

    The files of a version in `keep`, by table, stay whatever their age.

    Under the ingestion lock and the evidence lock: a file that is placed and not committed yet looks like an
    orphan.

    Raises:
        LakeError: a folder can't be written.
    """
    hours = -(-retention_s // _HOUR_S)
    return sum(_vacuum(lake, table, hours, (keep or {}).get(table.name)) for table in tables)


def _vacuum(lake: Lake, table: Table, hours: int, kept: int | None) -> int:
    if not delta.exists(lake.root, table):
        return 0
    folder = lake.root / table.name
    with delta.writing(folder):
        # The library tells; were it to delete too, it would add two versions to the table each time.
        named = delta.load(lake.root, table).vacuum(
            hours,
            dry_run=True,
            enforce_retention_duration=False,
            full=True,
            keep_versions=None if kept is None else [kept],
        )
        gone = [path for path in (folder / unquote(name) for name in named) if path.exists()]
        for path in gone:
            path.unlink()
            faults.reached(f"{table.name}: file vacuumed")
    return len(gone)


def clean_log(lake: Lake, table: Table) -> int:
    """Write the table's state as a checkpoint and delete the log of every version before; how many files.

    Old versions can't be read any more; so what was published must not be one of them.
    """
    if not delta.exists(lake.root, table):
        return 0
    log = lake.root / table.name / "_delta_log"
    with delta.writing(log):
        found = delta.load(lake.root, table)
        version = found.version()
        old = [path for path in log.iterdir() if _is_before(path, version)]
        if not old:
            return 0
        found.create_checkpoint()
        delta.sync(log)
        faults.reached(f"{table.name}: checkpoint")
        for path in sorted(old):
            path.unlink()
        delta.sync(log)
    return len(old)


def _is_before(path: Path, version: int) -> bool:
    """Whether it is a log entry or checkpoint of an earlier version."""
    number = path.name.partition(".")[0]
    return number.isdecimal() and int(number) < version
