"""Erasure: what Tenbin holds of a unit is removed for good, store by store, and a receipt says so.

model       units, what a store says, the protocol of a store, the receipt
mentions    ids in free text
landing     landing files, written again under new names; foreign files, named
replaced    old content → new content, in `ingested`
tables      rows of the lake's tables, their replaced files and old versions
leftovers   whatever else in the workspace mentions the units
forget      all of it, under the locks, in the order in which a kill loses nothing
"""

from lake.erasure.forget import forget
from lake.erasure.model import Receipt, Removed, Store, Units, Unreached, units_of

__all__ = ["Receipt", "Removed", "Store", "Units", "Unreached", "forget", "units_of"]
