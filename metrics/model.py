"""Metrics as data: one frozen struct per table of `metrics/*.toml` (DESIGN 4.5), and what it measures.

A metric is one or two *parts* (a ratio has two). A part is a *measure*, a partial per unit and day that any
number of metrics share (events of one name, under one filter, with one value), and the way in which the days
of a window are added up: whether anything happened, how many events, how many days, what total.
"""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from assignments.model import Experiment
from workspace import UserError, seconds, suggest

# Raised by hand whenever the compiler gives another number for the same definition: fingerprints and the
# names of the stored partials change with it, so that everything is computed anew.
METHOD_VERSION = 2

Kind = Literal[
    "conversion", "revenue", "sum", "count", "count_distinct", "engagement", "ratio", "retention",
    "composite", "time_to_event", "quantile",
]  # fmt: skip
PartKind = Literal[
    "conversion", "revenue", "sum", "count", "count_distinct", "engagement", "time_to_event", "quantile"
]
Direction = Literal["increase", "decrease"]
Engagement = Literal["events", "active_days"]
Aggregate = Literal["any", "at_least", "events", "active_days", "total", "first"]
TimeUnit = Literal["seconds", "minutes", "hours", "days"]
Keep = Literal["numbers", "texts"]

# Kinds that add up a value per event.
VALUED: frozenset[str] = frozenset({"revenue", "sum"})
# Kinds that are 1 or 0 of a unit.
SHARES: frozenset[str] = frozenset({"conversion", "retention"})
TIME_UNITS: dict[TimeUnit, int] = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
# Kinds that read a number of each event; of the others, a distinct count reads a text, the rest nothing.
NUMERIC = VALUED | {"quantile"}
SIGNIFICANT_DIGITS = 3  # of the values that a quantile is made from


class MetricsError(UserError):
    """A metric's definition, or what it asks of the data, can't be used as it is."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept per unit and day: the number of matching events and the sum of their values."""

    event: str
    where: dict[str, Any] | None = None  # one condition in the grammar of `tenbin_sdk.conditions`
    value: str | None = None  # "value" or "properties.NAME"; None: events are only counted
    currency: str | None = None  # rows that state another currency are left out
    first: bool = False  # also when the first of them happened

    @property
    def id(self) -> str:
        """Name of the measure in `unit_days`: a hash, so that equal definitions share their partials."""
        said = msgspec.to_builtins(self)
        if not self.first:
            del said["first"]  # as partials were called before there was the key
        return "m" + _digest({"measure": said, "method": METHOD_VERSION})


class Values(Measure, frozen=True, kw_only=True):
    """What is kept per unit and day where a sum would not do: each value, with the number of its events.

    Numbers are whole millionths, rounded to `digits` significant decimal digits (None: as they are), half
    away from zero, so that every engine puts them into the same buckets: an error of at most
    0.5 * 10^(1 - digits) of the value, and none for values of few digits.
    """

    keep: Keep
    digits: int | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numerator or denominator of a ratio: a measure, or the name of another metric."""

    kind: PartKind = "count"  # loading sees to it that it is said, or a metric named
    event: str = ""
    where: dict[str, Any] | None = None
    value: str | None = None
    currency: str | None = None
    measure: Engagement = "events"
    at_least: int = 1  # of a conversion: so many events
    metric: str | None = None  # instead of all that: the numbers of the metric of this name

    @property
    def partial(self) -> Measure:
        """The measure that the part is made from."""
        if self.kind == "count_distinct":
            return Values(event=self.event, where=self.where, value=self.value or "value", keep="texts")
        valued = self.kind in VALUED
        return Measure(
            event=self.event,
            where=self.where,
            value=(self.value or "value") if valued else None,
            currency=self.currency if valued else None,
            first=self.kind == "time_to_event",
        )

    @property
    def aggregate(self) -> Aggregate:
        """How the days of the window become the unit's number."""
        if self.kind == "conversion":
            return "any" if self.at_least == 1 else "at_least"
        if self.kind in VALUED:
            return "total"
        if self.kind == "time_to_event":
            return "first"
        return "active_days" if self.kind == "engagement" and self.measure == "active_days" else "events"


class Spread(Part, frozen=True, kw_only=True):
    """What a quantile is made from: every value, and as a number of the unit how many it has."""

    digits: int | None = None

    @property
    def partial(self) -> Measure:
        return Values(
            event=self.event,
            where=self.where,
            value=self.value or "value",
            currency=self.currency,
            keep="numbers",
            digits=self.digits,
        )


class Before(Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further covariate: what a unit did in this long before first exposure."""

    before: str

    @property
    def before_s(self) -> int:
        return _seconds(self.before)


class Weighted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A summand of a composite: another metric, and what it is multiplied with."""

    metric: str
    weight: float = 1.0


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """A summand of a unit's number: a part, and the time after first exposure in which it counts."""

    part: Part
    weight: Decimal = Decimal(1)
    after_s: int = 0
    window_s: int | None = None  # the end of that time; None: the as-of day
    unit_s: int = 1  # the seconds in which a time to the event is told
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
    time_unit: TimeUnit = "seconds"  # of a time to event
    combine: tuple[Weighted, ...] = ()  # of a composite: the metrics that are added up
    quantile: float | None = None  # the share of values at or below it
    significant_digits: int | Literal["exact"] = SIGNIFICANT_DIGITS  # of the values of a quantile
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
    named: dict[str, "Metric"] = {}  # the metrics that it is built from, found by loading; no key of a file

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything that is measured of a unit after exposure."""
        return tuple(term.part for terms in self.outcomes for term in terms)

    @property
    def own_parts(self) -> tuple[Part, ...]:
        """Numerator, and for a ratio the denominator, as the definition has them."""
        if self.numerator is not None and self.denominator is not None:
            return (self.numerator, self.denominator)
        if self.kind == "quantile":
            return (
                Spread(
                    kind="quantile",
                    event=self.event or "",
                    where=self.where,
                    value=self.value,
                    currency=self.currency,
                    digits=None if self.significant_digits == "exact" else self.significant_digits,
                ),
            )
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
    def outcomes(self) -> tuple[tuple[Term, ...], ...]:
        """What is added up for each column of the unit's numbers: one, of a ratio two."""
        if self.kind == "composite":
            return (self._combined,)
        return tuple(
            self.named[part.metric].outcomes[0]
            if part.metric is not None
            else (
                Term(
                    part=part,
                    after_s=_seconds(self.after) if self.after is not None else 0,
                    window_s=_seconds(self.window) if self.window is not None else None,
                    first_s=self.first_s,
                    unit_s=TIME_UNITS[self.time_unit],
                ),
            )
            for part in self.own_parts
        )

    @property
    def _combined(self) -> tuple[Term, ...]:
        return tuple(
            msgspec.structs.replace(term, weight=term.weight * Decimal(str(one.weight)))
            for one in self.combine
            for term in self.named[one.metric].outcomes[0]
        )

    @property
    def has_days(self) -> bool:
        """Whether the unit's number is made from a number per day, so that days can be followed."""
        (first, *others), *more = self.outcomes
        is_plain = not (others or more or self.named or first.after_s or first.first_s)
        is_listed = isinstance(first.part.partial, Values)
        return is_plain and first.part.at_least == 1 and not self.leaves_out and not is_listed

    @property
    def leaves_out(self) -> bool:
        """Whether a unit in which nothing happened has no number, instead of 0."""
        return self.kind == "time_to_event"

    @property
    def measured(self) -> tuple[Part, ...]:
        """Everything that is measured of a unit, after exposure or before it."""
        return (*self.parts, *self.covariates)

    @property
    def non_negative(self) -> bool:
        """Whether no unit's number can be below 0."""
        if self.kind == "composite":
            return all(one.weight > 0 and self.named[one.metric].non_negative for one in self.combine)
        return self.kind != "sum"

    @property
    def window_s(self) -> int | None:
        """When the last of its windows is over; None: never."""
        ends = {term.window_s for terms in self.outcomes for term in terms}
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def first_s(self) -> int | None:
        return None if self.first is None else _seconds(self.first)

    @property
    def longest_window(self) -> str | None:
        """The same as it is written."""
        if not self.named:
            return self.window
        windows = [one.longest_window for one in self.named.values()]
        ends = [window for window in windows if window is not None]
        return max(ends, key=_seconds) if len(ends) == len(windows) else None

    @property
    def covariate_s(self) -> int | None:
        return None if self.covariate is None else _seconds(self.covariate)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the metric's moments, in their order."""
        if self.kind == "quantile":
            return ("quantile",)
        width = len(self.outcomes)
        names = ("numerator", "denominator")[:width]
        pre = ("covariate", "covariate_denominator")[:width] if self.covariate is not None else ()
        more = (f"covariate_{number}" for number in range(2, len(self.covariates) + 2))
        return (*names, *pre, *more)

    @property
    def unit(self) -> str | None:
        """What the numbers are in, for people: a currency, "events", "days", "units"; else None."""
        if self.kind in SHARES:
            return "units"
        if self.kind in NUMERIC:
            return self.currency
        if self.kind == "composite":
            units = {self.named[one.metric].unit for one in self.combine}
            return units.pop() if len(units) == 1 else None
        fixed = {"ratio": None, "time_to_event": self.time_unit, "count_distinct": "values"}
        if self.kind in fixed:
            return fixed[self.kind]
        return "days" if self.parts[0].aggregate == "active_days" else "events"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything that can change a number, and the compiler's version.

        Only what is said counts: a key that a later version adds leaves the metrics alone that do not use it.
        """
        words = {"owner", "description", "goal", "named"}
        said = {
            field.name: value
            for field in msgspec.structs.fields(self)
            if field.name not in words and (value := getattr(self, field.name)) != field.default
        }
        if self.named:
            said = {key: value for key, value in said.items() if key not in _BUILT_FROM}
            said["outcomes"] = self.outcomes
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
    "composite": "count",
    "time_to_event": "time_to_event",
    "count_distinct": "count_distinct",
    "quantile": "quantile",
}
# Keys that parts did not have from the beginning: unsaid, they are no part of a fingerprint.
_ADDED = {"at_least": 1, "metric": None}
_PARTS = ("numerator", "denominator", "covariates")
# Of a metric that is built from others counts what they are, and not what they are called.
_BUILT_FROM = ("numerator", "denominator", "combine")


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
