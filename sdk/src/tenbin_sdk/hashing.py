"""Bucketing `md5-32/v1`: from a salt and a unit to a shard, the same in every language and SQL engine.

u32   = big-endian uint32 of MD5(utf8(salt + "-" + unit))[0:4]
shard = u32 % total_shards

No floats, no Unicode normalisation, no case folding, no trimming.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from tenbin_sdk.errors import TargetingKeyMissingError

ALGORITHM: Final = "md5-32/v1"
DEFAULT_SHARDS: Final = 10_000
MAX_SHARDS: Final = 1_000_000

Range = tuple[int, int]
"""Shards `[start, end)`."""


def unit_text(value: object) -> str:
    """The text under which a unit is hashed: a string as it is, an integer as decimal text.

    Raises:
        TargetingKeyMissingError: null, "", a boolean, a float, text that is not valid Unicode, or another
            type: none of them identifies a unit the same way everywhere.
    """
    if isinstance(value, str):
        if not value:
            raise TargetingKeyMissingError('the unit is ""; give the id of the unit as text')
        try:
            value.encode()
        except UnicodeEncodeError:
            raise TargetingKeyMissingError(
                f"the unit {value!r} holds half of a surrogate pair; give valid Unicode"
            ) from None
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    raise TargetingKeyMissingError(
        f"the unit {value!r} is of type {type(value).__name__}; give the id of the unit as text or an integer"
    )


def bucket(salt: str, unit: str) -> int:
    """The 32-bit number of a unit under a salt, 0 to 2**32 - 1."""
    digest = hashlib.md5(f"{salt}-{unit}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big")


def shard(salt: str, unit: str, total_shards: int = DEFAULT_SHARDS) -> int:
    """The shard of a unit under a salt, 0 to `total_shards` - 1."""
    return bucket(salt, unit) % total_shards


def in_ranges(number: int, ranges: Iterable[Range]) -> bool:
    """Whether a shard lies in one of the ranges `[start, end)`."""
    return any(start <= number < end for start, end in ranges)
