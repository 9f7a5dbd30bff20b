"""The lake: landing files → Delta tables, exactly once; the sessions that read them; the published warehouse.

tables      what lies in the lake           delta, lake   commits, snapshots, sessions
sources     tenbin.toml → files             readers       files → typed rows, with reasons for the bad ones
manifest    which files, in which batch     batch         one batch: keys, winners, rows, each one commit
ingest      all new files, and a report     warehouse     what people open
erasure     units, out of all of it         suppression   who stays out
maintenance what keeps it small             compaction, vacuum   small files, files nobody reads
"""

from lake.errors import LakeError
from lake.lake import Lake, open_lake

__all__ = ["Lake", "LakeError", "open_lake"]
