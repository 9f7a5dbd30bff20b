"""Erasure from beginning to end, under the locks of ingestion and analysis.

The suppression list comes first: from then on no late copy gets in, whatever happens. Each later step can be
run again, and a kill anywhere leaves whole rows, whole files and whole versions; run again, it is finished.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

from lake import batch, faults
from lake.erasure.landing import PREPARED, LandingFiles
from lake.erasure.leftovers import Leftovers
from lake.erasure.model import Progress, Receipt, Removed, Store, Units
from lake.erasure.replaced import settle
from lake.erasure.tables import QUARANTINE, LakeRows, unit_tables
from lake.lake import Lake, open_lake
from lake.locks import exclusive
from lake.manifest import unfinished
from lake.sources import landing_files
from lake.suppression import suppress_units
from lake.tables import TABLES
from lake.vacuum import clean_log, vacuum
from lake.warehouse import publish
from workspace import Workspace


def forget(
    workspace: Workspace,
    units: Units,
    *,
    now: dt.datetime,
    dry_run: bool = False,
    more: Sequence[Store] = (),
    progress: Progress | None = None,
) -> Receipt:
    """Remove what Tenbin holds of the units, for good.

    Moments, results and pages are not touched: the next run of the pipelines makes them again from what is
    left.

    Args:
        workspace: its landing files, lake and warehouse.
        units: whom to forget.
        now: the instant that the receipt and the suppression list say.
        dry_run: only count.
        more: stores beyond the workspace's own.
        progress: told what is being done.

    Raises:
        LakeError: a file or table can't be written, a batch that was begun can't be finished, or another
            process keeps a lock.
    """
    lake = open_lake(workspace)
    with exclusive(lake.root):
        hashes = () if dry_run else _begin(lake, units, now)
        found = landing_files(workspace)
        stores: list[Store] = [LandingFiles(lake, found, progress), LakeRows(lake), *more]
        removed = [part for store in stores for part in store.forget(units, dry_run=dry_run)]
        if not dry_run:
            removed += _purge(lake)
        removed += Leftovers(lake, found).forget(units, dry_run=dry_run)
    return Receipt(
        workspace=workspace.root,
        erased_at=now,
        dry_run=dry_run,
        unit_type=units.unit_type,
        units=hashes,
        stores=tuple(removed),
    )


def _begin(lake: Lake, units: Units, now: dt.datetime) -> tuple[str, ...]:
    """Keep late copies out from now on, and finish what was begun; returns the hashes of the units."""
    hashes = suppress_units(lake, units.unit_type, units.ids, now=now)
    faults.reached("erasure: suppressed")
    for path in lake.workspace.landing.rglob(f"{PREPARED}*"):
        path.unlink()
    settle(lake)
    # A batch's plan names files that are about to be replaced.
    if (begun := unfinished(lake, landing_files(lake.workspace))) is not None:
        batch.run(lake, begun, None)
    return hashes


def _purge(lake: Lake) -> Iterator[Removed]:
    """Delete replaced files and old versions of every table that may have had rows of units.

    The warehouse is published first, so that who opens it afterwards reads files and versions that stay.
    """
    if lake.workspace.warehouse.exists():
        publish(lake.workspace)
    tables = (*unit_tables(), QUARANTINE, TABLES["ingested"])
    files = vacuum(lake, tables, retention_s=0)
    yield Removed(store="replaced files of the lake", rows=0, files=files)
    versions = sum(clean_log(lake, table) for table in tables)
    yield Removed(store="old versions of the lake", rows=0, files=versions)
