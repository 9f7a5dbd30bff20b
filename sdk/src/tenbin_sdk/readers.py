"""How the condition grammar reads a value: as a number, an instant, a version; each None when it is none.

The patterns are within what RE2 and SQL engines understand, so that the same text is read alike everywhere.
"""

import datetime as dt
import decimal
import math
import re
from typing import Final

NUMBER_PATTERN: Final = r"^-?[0-9]{1,40}(\.[0-9]{1,40})?$"
INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?$"
)
SEMVER_PATTERN: Final = (
    r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})"
    r"(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)


_NUMBER = re.compile(NUMBER_PATTERN.replace("$", r"\Z"))
_INSTANT = re.compile(INSTANT_PATTERN.replace("$", r"\Z"))
_SEMVER = re.compile(SEMVER_PATTERN.replace("$", r"\Z"))
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def as_number(value: object) -> float | None:
    """The finite double that a number or a text of `NUMBER_PATTERN` stands for; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return float(value) if _NUMBER.match(value) else None
    if isinstance(value, int | float | decimal.Decimal):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def as_instant(value: object) -> int | None:
    """Microseconds since 1970-01-01T00:00Z of a date or instant in text; None when it is neither."""
    if not isinstance(value, str) or not _INSTANT.match(value):
        return None
    try:
        instant = dt.datetime.fromisoformat(value)
    except ValueError:  # the 31st of April, the year 0000
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=dt.UTC)
    return (instant - _EPOCH) // _MICROSECOND


def as_semver(value: object) -> tuple[object, ...] | None:
    """A key that orders as Semantic Versioning 2.0.0 section 11 says; None when the text is no version."""
    match = _SEMVER.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    core = tuple(int(match[group]) for group in (1, 2, 3))
    if match[5] is None:
        return (core, 1, ())
    # Numbers come before words; a longer list of equal beginnings comes after, as tuples do.
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[5].split("."))
    return (core, 0, parts)
