"""The lake: landing files → Delta tables, exactly once; the sessions that read them; the published warehouse.

tables     what lies in the lake            delta, lake   commits, snapshots, sessions
sources    tenbin.toml → files              readers       files → typed rows with reasons
dedup      one row per id                   ingest        plan → keys → rows, resumed after a crash
warehouse  what people open                 vacuum        what nobody reads any more
"""

from lake.errors import LakeError
from lake.lake import Lake, open_lake

__all__ = ["Lake", "LakeError", "open_lake"]
