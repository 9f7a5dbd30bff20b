"""What erasure is asked for, what each store says of it, and the protocol by which a store takes part."""

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from lake.errors import LakeError
from lake.expressions import MAX_ID_CHARS

Progress = Callable[[str, float], None]  # what is being done, and which share of it is


class Units(msgspec.Struct, frozen=True):
    """The units to forget: ids of one type, each once, in their order."""

    unit_type: str
    ids: tuple[str, ...]


class Unreached(msgspec.Struct, frozen=True, kw_only=True):
    """A place that holds the units, or may, and was left as it is."""

    place: str
    rows: int | None  # of the units; null: not known
    why: str


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What one store gave up; in a dry run, what it would."""

    store: str
    rows: int  # that were the units'
    files: int  # written again without them, or deleted
    unreached: tuple[Unreached, ...] = ()


class Store(Protocol):
    """A place that holds rows of units. A new one joins the list that `forget` is handed."""

    def forget(self, units: Units, *, dry_run: bool) -> Iterable[Removed]:
        """Remove what the store has of the units for good; with `dry_run`, only count it.

        It is run again after a kill, from its beginning, and must then finish what is left.
        """
        ...


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did, store by store. Units are named by their keyed hashes, never by their ids."""

    workspace: Path
    erased_at: dt.datetime
    dry_run: bool
    unit_type: str
    units: tuple[str, ...]  # hashes, as in the lake's table `suppressed`; none in a dry run
    stores: tuple[Removed, ...]

    @property
    def rows(self) -> int:
        """Rows that were removed, over all stores."""
        return sum(store.rows for store in self.stores)

    @property
    def unreached(self) -> tuple[Unreached, ...]:
        """Every place that was left as it is."""
        return tuple(place for store in self.stores for place in store.unreached)


def units_of(ids: Iterable[str], unit_type: str) -> Units:
    """The units that are asked for, checked.

    Raises:
        LakeError: there is none, or one that no record can have.
    """
    listed = tuple(dict.fromkeys(ids))
    if not listed:
        raise LakeError("no unit was named; give its id, or a file with an id per line")
    for id_ in listed:
        if not id_ or len(id_) > MAX_ID_CHARS or "\x00" in id_:
            raise LakeError(
                f'"{id_[:40]}" is no unit id: one has from 1 to {MAX_ID_CHARS} characters, none of them NUL'
            )
    if not unit_type:
        raise LakeError('the unit type is empty; name one, as in "user"')
    return Units(unit_type, listed)
