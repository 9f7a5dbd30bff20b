"""The record contracts (DESIGN 4.3): the fields of every record that crosses into the lake.

A landing file in this form needs no mapping: NDJSON with these names as keys, CSV or Parquet with them as
columns. `properties` and `attributes` are JSON objects (in CSV: their JSON text). A `units` record is one
unit with an object of attributes; every attribute becomes a row of its own in the lake. A `moments` record is
one metric in one variant as of a day; what its columns say is read by `stats.aggregates`.
"""

from typing import Literal

import msgspec

from stats import aggregates, forms

FieldType = Literal["text", "instant", "integer", "decimal", "object"]
RecordKind = Literal["events", "exposures", "assignments", "units", "moments"]


class RecordField(msgspec.Struct, frozen=True):
    """One field of a record.

    An instant is ISO 8601 text with an offset (UTC when it has none), or a date, which is compared at day
    precision; a decimal has at most 22 digits before the point and 6 after it.
    """

    name: str
    type: FieldType
    required: bool = False
    default: str | int | None = None  # what an absent field means, where it is not "unknown"


_COMMON = (
    RecordField("environment", "text", default="production"),
    RecordField("unit_type", "text", default="user"),
    RecordField("unit_id", "text", required=True),
)
_TIMES = (RecordField("sent_at", "instant"), RecordField("received_at", "instant"))

EVENT = (
    *_COMMON,
    RecordField("event_id", "text", required=True),
    RecordField("event", "text", required=True),
    RecordField("occurred_at", "instant", required=True),
    *_TIMES,
    RecordField("value", "decimal"),
    RecordField("currency", "text"),
    RecordField("properties", "object"),
)
EXPOSURE = (
    *_COMMON,
    RecordField("exposure_id", "text", required=True),
    RecordField("experiment", "text", required=True),
    RecordField("iteration", "integer", default=1),
    RecordField("variant", "text", required=True),
    RecordField("exposed_at", "instant", required=True),
    *_TIMES,
    RecordField("ruleset_version", "integer"),
    RecordField("attributes", "object"),
)
UNIT = (
    *_COMMON,
    RecordField("attributes", "object", required=True),
    RecordField("valid_from", "instant"),
)

_STATED_ALWAYS = ("experiment", "as_of", *aggregates.REQUIRED)
MOMENTS = tuple(
    RecordField(name, "text", required=name in _STATED_ALWAYS)
    for name in (*aggregates.REQUIRED, *aggregates.OPTIONAL, *forms.STATISTICS)
)

CONTRACTS: dict[RecordKind, tuple[RecordField, ...]] = {
    "events": EVENT,
    "exposures": EXPOSURE,
    "assignments": EXPOSURE,  # the same record, at decision time
    "units": UNIT,
    "moments": MOMENTS,
}


def columns(kind: RecordKind) -> tuple[str, ...]:
    """Names of the fields of a kind of record."""
    return tuple(field.name for field in CONTRACTS[kind])


def required(kind: RecordKind) -> tuple[str, ...]:
    """Names of the fields without which a record goes to quarantine."""
    return tuple(field.name for field in CONTRACTS[kind] if field.required)
