"""Landing → lake, exactly once: the new files in batches, one after the other; what each source brought."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from deltalake.exceptions import CommitFailedError

from lake.batch import Batch, Progress, run
from lake.errors import LakeError
from lake.lake import open_lake
from lake.locks import lock
from lake.manifest import plans
from lake.sources import landing_files
from workspace import Workspace

BATCH_BYTES = 1 << 30
BATCH_FILES = 2_000
_WAIT_S = 600.0
_ATTEMPTS = 5


class SourceCount(msgspec.Struct, frozen=True, kw_only=True):
    """What one source brought in one run."""

    source: str
    kind: str
    files: int
    rows: int  # in its files
    accepted: int
    duplicates: int
    quarantined: int
    suppressed: int = 0  # of erased units


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of ingestion did; nothing new gives no sources and no batches."""

    sources: tuple[SourceCount, ...] = ()
    days: dict[str, tuple[dt.date, ...]] = {}  # kind → event days whose rows changed
    batches: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return sum(source.rows for source in self.sources)

    @property
    def files(self) -> int:
        return sum(source.files for source in self.sources)

    def markdown(self) -> str:
        """The counts as a Markdown table."""
        lines = [
            "| source | kind | files | rows | accepted | duplicates | quarantined | suppressed |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {s.source.replace('|', chr(92) + '|')} | {s.kind} | {s.files} | {s.rows} | {s.accepted} "
            f"| {s.duplicates} | {s.quarantined} | {s.suppressed} |"
            for s in self.sources
        ]
        return "\n".join(lines if self.sources else ["Nothing new."])


def ingest(workspace: Workspace, progress: Progress | None = None) -> IngestReport:
    """Bring every new file of every source into the lake; a second run changes nothing.

    Args:
        workspace: its sources and lake.
        progress: called with a word, bytes done and bytes in all.

    Raises:
        LakeError: a file or a source can't be used as it is, the disk is full, or another process ingests.
    """
    lake = open_lake(workspace)
    done: list[Batch] = []
    with lock(lake.root / ".ingest.lock", wait_s=_WAIT_S, purpose="ingesting into this workspace"):
        found = landing_files(workspace)
        for _ in range(_ATTEMPTS):
            # The lock keeps others out; where it does not reach, on some network disks, the commits do.
            with suppress(CommitFailedError):
                for plan in plans(lake, found, limit_bytes=BATCH_BYTES, limit_files=BATCH_FILES):
                    done.append(run(lake, plan, progress))  # noqa: PERF401  what is done stays done
                return _report(done)
    raise LakeError(f"{lake.root}: another writer keeps changing the lake; run again when it has finished")


def _report(batches: Sequence[Batch]) -> IngestReport:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    days: dict[str, set[dt.date]] = defaultdict(set)
    warnings = []
    for batch in batches:
        for planned, read in zip(batch.plan.files, batch.read, strict=True):
            entry = counts[planned.file.source, planned.file.kind]
            duplicates = batch.duplicates[read.number]
            for index, value in enumerate((1, read.rows, duplicates, read.quarantined, read.suppressed)):
                entry[index] += value
            if read.rows and read.quarantined == read.rows:
                warnings.append(
                    f"{planned.file.name}: all of its {read.rows} rows went to quarantine; see the lake's "
                    "table quarantine for the reasons"
                )
        for kind, touched in batch.days.items():
            days[kind] |= touched
    return IngestReport(
        sources=tuple(
            SourceCount(
                source=source,
                kind=kind,
                files=files,
                rows=rows,
                accepted=rows - duplicates - quarantined - suppressed,
                duplicates=duplicates,
                quarantined=quarantined,
                suppressed=suppressed,
            )
            for (source, kind), (files, rows, duplicates, quarantined, suppressed) in sorted(counts.items())
        ),
        days={kind: tuple(sorted(touched)) for kind, touched in sorted(days.items()) if touched},
        batches=tuple(batch.plan.batch for batch in batches),
        warnings=tuple(warnings),
    )
