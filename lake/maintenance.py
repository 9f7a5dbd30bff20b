"""What keeps a lake small and fast over the years: compaction, vacuum, and a look for late duplicates."""

import msgspec

from lake.compaction import compact
from lake.dedup import IDENTITY, late_duplicates
from lake.lake import open_lake
from lake.locks import exclusive
from lake.tables import TABLES
from lake.vacuum import vacuum
from lake.warehouse import published_versions
from workspace import Workspace


class MaintenanceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass did and found."""

    compacted: dict[str, int]  # table → small files that were written together
    vacuumed: int  # files deleted
    late_duplicates: dict[str, int]  # kind → rows whose id came again after more than `dedup_days`


def maintain(workspace: Workspace) -> MaintenanceReport:
    """Write small files together, delete what was replaced longer ago than `retention`, count duplicates.

    No row of any table changes. What the published warehouse reads stays, however old it is.

    Raises:
        LakeError: the disk is full or can't be written, or another process keeps a lock.
    """
    lake = open_lake(workspace)
    compacted, repeated = {}, {}
    with exclusive(lake.root):
        with lake.connect() as con:
            begun = con.execute("SELECT count(*) FROM ingested WHERE rows IS NULL").fetchall()[0][0]
            for table in TABLES.values():
                # The files of a batch that was begun are told by their names.
                if table.name != "ingested" or not begun:
                    compacted[table.name] = compact(lake, con, table)
            for kind in IDENTITY:
                repeated[kind] = late_duplicates(con, kind)
        deleted = vacuum(
            lake, TABLES.values(), retention_s=workspace.retention_s, keep=published_versions(workspace)
        )
    return MaintenanceReport(
        compacted={name: files for name, files in compacted.items() if files},
        vacuumed=deleted,
        late_duplicates=repeated,
    )
