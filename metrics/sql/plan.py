"""What an experiment's metrics need of its units, without repetition: slots, windows, columns, segments."""

import functools
from collections.abc import Mapping, Sequence

import msgspec

from assignments.model import Experiment
from metrics.model import VALUED, Aggregate, Measure, Metric, metrics_of
from metrics.sql.partials import stored_name

DAY_S = 86_400
UTC = "UTC"
MICRO = 1_000_000  # values are DECIMAL(., 6): in millionths they are whole numbers


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A measure over one stretch of a unit's time: a window after its first exposure, or one before it."""

    measure: Measure
    window_s: int | None = None  # after first exposure; None: until the as-of day
    before_s: int | None = None  # instead: this long before first exposure


class UnitColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the unit metrics: a slot whose days are added up to whole numbers of 1 / `scale`."""

    name: str
    slot: int
    aggregate: Aggregate
    scale: int


class MetricColumns(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of one metric, in the order of its moments."""

    metric: Metric
    columns: tuple[UnitColumn, ...]

    @property
    def mature(self) -> str:
        return f"{self.metric.name}__mature"


class UnitPlan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that is computed per unit of an experiment."""

    experiment: Experiment
    zone: str  # of the workspace: whose days are meant where one side of a comparison has only a date
    slots: tuple[Slot, ...]
    metrics: tuple[MetricColumns, ...]

    @property
    def segments(self) -> tuple[str, ...]:
        """Dimensions, those of the exposure first; a name in both is read from the exposure."""
        segments = self.experiment.segments
        return tuple(dict.fromkeys((*segments.from_exposure, *segments.from_units)))

    @property
    def windows(self) -> tuple[int, ...]:
        """The lengths, in seconds, of all windows after exposure."""
        return tuple(sorted({slot.window_s for slot in self.slots if slot.window_s is not None}))

    @property
    def pre_periods(self) -> tuple[int, ...]:
        """The lengths, in seconds, of all periods before exposure."""
        return tuple(sorted({slot.before_s for slot in self.slots if slot.before_s is not None}))

    @functools.cached_property
    def measures(self) -> tuple[Measure, ...]:
        unique = {slot.measure.id: slot.measure for slot in self.slots}
        return tuple(unique.values())

    def stored(self, slot: Slot) -> str:
        return stored_name(slot.measure, self.experiment.environment)


def plan_units(experiment: Experiment, metrics: Mapping[str, Metric], zone: str) -> UnitPlan:
    """The plan of an experiment's metrics, in a workspace of the time zone `zone`.

    Raises:
        MetricsError: the experiment names a metric that no file defines.
    """
    slots: list[Slot] = []
    planned = [_columns(metric, slots) for metric in metrics_of(experiment, metrics).values()]
    return UnitPlan(experiment=experiment, zone=zone, slots=tuple(slots), metrics=tuple(planned))


def measures_of(metrics: Sequence[Metric]) -> tuple[Measure, ...]:
    """The measures of many metrics, each once, in an order of their own."""
    unique = {part.partial.id: part.partial for metric in metrics for part in metric.measured}
    return tuple(unique[key] for key in sorted(unique))


def days_of(seconds: int) -> int:
    """A length at day precision: begun days count whole."""
    return -(-seconds // DAY_S)


def _columns(metric: Metric, slots: list[Slot]) -> MetricColumns:
    """What each part is after exposure, and what it was before, where that is asked for."""
    periods: list[tuple[str, dict[str, int | None]]] = [("", {"window_s": metric.window_s})]
    if metric.covariate_s is not None:
        periods.append(("__covariate", {"before_s": metric.covariate_s}))
    columns = [
        UnitColumn(
            name=f"{metric.name}{period}{suffix}",
            slot=_slot(slots, Slot(measure=part.partial, **bounds)),
            aggregate=part.aggregate,
            scale=MICRO if part.kind in VALUED else 1,
        )
        for period, bounds in periods
        for part, suffix in zip(
            metric.parts, ("", "_denominator" if period else "__denominator"), strict=False
        )
    ]
    columns += [
        UnitColumn(
            name=f"{metric.name}__covariate_{number}",
            slot=_slot(slots, Slot(measure=part.partial, before_s=part.before_s)),
            aggregate=part.aggregate,
            scale=MICRO if part.kind in VALUED else 1,
        )
        for number, part in enumerate(metric.covariates, start=2)
    ]
    return MetricColumns(metric=metric, columns=tuple(columns))


def _slot(slots: list[Slot], slot: Slot) -> int:
    if slot not in slots:
        slots.append(slot)
    return slots.index(slot)
