"""Metrics as data: one frozen struct per table of `metrics/*.toml` (DESIGN 4.5), and what it measures.

A metric is one or two *parts* (a ratio has two). A part is a *measure*, a partial per unit and day that any
number of metrics share (events of one name, under one filter, with one value), and the way in which the days
of a window are added up: whether anything happened, how many events, how many days, what total.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from assignments.model import Experiment
from workspace import UserError, seconds, suggest

# Raised by hand whenever the compiler gives another number for the same definition: fingerprints and the
# names of the stored partials change with it, so that everything is computed anew.
METHOD_VERSION = 2

Kind = Literal["conversion", "revenue", "sum", "count", "engagement", "ratio", "retention"]
PartKind = Literal["conversion", "revenue", "sum", "count", "engagement"]
Direction = Literal["increase", "decrease"]
Engagement = Literal["events", "active_days"]
Aggregate = Literal["any", "at_least", "events", "active_days", "total"]

# Kinds with a value per event; the others only count events.
VALUED: frozenset[str] = frozenset({"revenue", "sum"})
# Kinds that are 1 or 0 of a unit.
SHARES: frozenset[str] = frozenset({"conversion", "retention"})


class MetricsError(UserError):
    """A metric's definition, or what it asks of the data, can't be used as it is."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept per unit and day: the number of matching events and the sum of their values."""

    event: str
    where: dict[str, Any] | None = None  # one condition in the grammar of `tenbin_sdk.conditions`
    value: str | None = None  # "value" or "properties.NAME"; None: events are only counted
    currency: str | None = None  # rows that state another currency are left out

    @property
    def id(self) -> str:
        """Name of the measure in `unit_days`: a hash, so that equal definitions share their partials."""
        return "m" + _digest({"measure": msgspec.to_builtins(self), "method": METHOD_VERSION})


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numerator or denominator of a ratio."""

    kind: PartKind
    event: str
    where: dict[str, Any] | None = None
    value: str | None = None
    currency: str | None = None
    measure: Engagement = "events"
    at_least: int = 1  # of a conversion: so many events

    @property
    def partial(self) -> Measure:
        """The measure that the part is made from."""
        valued = self.kind in VALUED
        return Measure(
            event=self.event,
            where=self.where,
            value=(self.value or "value") if valued else None,
            currency=self.currency if valued else None,
        )

    @property
    def aggregate(self) -> Aggregate:
        """How the days of the window become the unit's number."""
        if self.kind == "conversion":
            return "any" if self.at_least == 1 else "at_least"
        if self.kind in VALUED:
            return "total"
        return "active_days" if self.kind == "engagement" and self.measure == "active_days" else "events"


class Before(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further covariate: what a unit did in this long before first exposure."""

    before: str

    @property
    def before_s(self) -> int:
        return _seconds(self.before)


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit's number is made from: a part, and the time after first exposure in which it counts."""

    part: Part
    after_s: int = 0
    window_s: int | None = None  # the end of that time; None: the as-of day
    first_s: int | None = None  # it is 0 where an event happened in this long before first exposure


class Metric(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric. Durations stay as written ("7d"); properties ending in `_s` are in seconds."""

    name: str
    kind: Kind
    event: str | None = None
    where: dict[str, Any] | None = None
    value: str | None = None
    currency: str | None = None
    measure: Engagement = "events"
    at_least: int = 1  # of a conversion or retention: so many events
    first: str | None = None  # of a conversion: only units without the event in this long before exposure
    numerator: Part | None = None
    denominator: Part | None = None
    after: str | None = None  # of a retention: events count from this long after first exposure on
    window: str | None = None  # and until this long after it; None: until the as-of day
    winsorize: float | None = None  # the quantile, over all variants together, above which values are capped
    covariate: str | None = None  # the same measure in this long before first exposure
    covariates: tuple[Before, ...] = ()  # other measures before it, beside that one
    direction: Direction = "increase"
    equivalence: float | None = None  # the relative change, up or down, that makes no practical difference
    goal: float | None = None
    owner: str | None = None
    description: str | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Numerator, and for a ratio the denominator."""
        if self.numerator is not None and self.denominator is not None:
            return (self.numerator, self.denominator)
        return (
            Part(
                kind=_PART_KINDS[self.kind],
                event=self.event or "",
                where=self.where,
                value=self.value,
                currency=self.currency,
                measure=self.measure,
                at_least=self.at_least,
            ),
        )

    @property
    def outcomes(self) -> tuple[Term, ...]:
        """The parts with the time in which they count: a column of the moments each."""
        return tuple(
            Term(part=part, after_s=self.after_s, window_s=self.window_s, first_s=self.first_s)
            for part in self.parts
        )

    @property
    def has_days(self) -> bool:
        """Whether the unit's number is made from a number per day, so that days can be followed."""
        return len(self.parts) == 1 and self.kind != "retention" and self.at_least == 1 and self.first is None

    @property
    def measured(self) -> tuple[Part, ...]:
        """Everything that is measured of a unit, after exposure or before it."""
        return (*self.parts, *self.covariates)

    @property
    def window_s(self) -> int | None:
        return None if self.window is None else _seconds(self.window)

    @property
    def after_s(self) -> int:
        return 0 if self.after is None else _seconds(self.after)

    @property
    def first_s(self) -> int | None:
        return None if self.first is None else _seconds(self.first)

    @property
    def covariate_s(self) -> int | None:
        return None if self.covariate is None else _seconds(self.covariate)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the metric's moments, in their order."""
        names = ("numerator", "denominator")[: len(self.parts)]
        pre = ("covariate", "covariate_denominator")[: len(self.parts)] if self.covariate is not None else ()
        more = (f"covariate_{number}" for number in range(2, len(self.covariates) + 2))
        return (*names, *pre, *more)

    @property
    def unit(self) -> str | None:
        """What the numbers are in, for people: a currency, "events", "days", "units"; else None."""
        if self.kind in SHARES:
            return "units"
        if self.kind in VALUED:
            return self.currency
        if self.kind == "ratio":
            return None
        return "days" if self.parts[0].aggregate == "active_days" else "events"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything that can change a number, and the compiler's version.

        Only what is said counts: a key that a later version adds leaves the metrics alone that do not use it.
        """
        words = {"owner", "description", "goal"}
        said = {
            field.name: value
            for field in msgspec.structs.fields(self)
            if field.name not in words and (value := getattr(self, field.name)) != field.default
        }
        return _digest({"metric": _told(said), "method": METHOD_VERSION})


# What the one part of a metric is; those of a ratio say it themselves.
_PART_KINDS: dict[Kind, PartKind] = {
    "conversion": "conversion",
    "retention": "conversion",
    "revenue": "revenue",
    "sum": "sum",
    "count": "count",
    "engagement": "engagement",
    "ratio": "count",
}
# Keys that parts did not have from the beginning: unsaid, they are no part of a fingerprint.
_ADDED = {"at_least": 1}
_PARTS = ("numerator", "denominator", "covariates")


def metrics_of(experiment: Experiment, metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """The experiment's metrics by name, in reading order.

    Raises:
        MetricsError: the experiment names a metric that no file defines.
    """
    for name in experiment.metrics.names:
        if name not in metrics:
            raise MetricsError(
                f'experiment "{experiment.key}": metric "{name}" is defined in no file of metrics/; '
                f"{suggest(name, list(metrics))}"
            )
    return {name: metrics[name] for name in experiment.metrics.names}


def _seconds(duration: str) -> int:
    return seconds(duration, where="duration", error=MetricsError)


def _told(said: dict[str, Any]) -> dict[str, Any]:
    """What a definition says, in plain values, as if keys that were added later did not exist unless said."""

    def without(value: object) -> object:
        if isinstance(value, list | tuple):
            return [without(one) for one in value]
        if isinstance(value, dict) and "kind" in value:
            return {key: one for key, one in value.items() if key not in _ADDED or one != _ADDED[key]}
        return value

    plain = msgspec.to_builtins(said)
    return {key: without(value) if key in _PARTS else value for key, value in plain.items()}


def _digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]
