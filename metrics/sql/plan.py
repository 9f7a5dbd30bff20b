"""What an experiment's metrics need of its units, without repetition: slots, windows, columns, segments."""

import functools
from collections.abc import Mapping, Sequence

import msgspec

from assignments.model import Experiment
from metrics.model import VALUED, Aggregate, Measure, Metric, Term, Values, metrics_of
from metrics.sql.partials import MICRO, stored_name

DAY_S = 86_400
UTC = "UTC"


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A measure over one stretch of a unit's time: a window after its first exposure, or one before it."""

    measure: Measure
    after_s: int = 0  # when the window begins, counted from first exposure
    window_s: int | None = None  # when it ends, counted so too; None: on the as-of day
    before_s: int | None = None  # instead: this long before first exposure


class UnitTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A slot whose days are added up to a whole number."""

    slot: int
    aggregate: Aggregate
    at_least: int = 1  # events, of the aggregate of that name
    unless: int | None = None  # the slot in which an event makes it 0
    factor: int = 1  # what it is multiplied with, so that all terms have the scale of their column


class UnitColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of the unit metrics: terms added up, in whole numbers of 1 / `scale`."""

    name: str
    terms: tuple[UnitTerm, ...]
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
    def delays(self) -> tuple[int, ...]:
        """The seconds from exposure to the beginning of all windows that begin later."""
        return tuple(sorted({slot.after_s for slot in self.slots if slot.after_s}))

    @property
    def pre_periods(self) -> tuple[int, ...]:
        """The lengths, in seconds, of all periods before exposure."""
        return tuple(sorted({slot.before_s for slot in self.slots if slot.before_s is not None}))

    @functools.cached_property
    def measures(self) -> tuple[Measure, ...]:
        unique = {slot.measure.id: slot.measure for slot in self.slots}
        return tuple(unique.values())

    @functools.cached_property
    def added(self) -> dict[int, Slot]:
        """By number, the slots whose days are added up."""
        return {n: slot for n, slot in enumerate(self.slots) if not isinstance(slot.measure, Values)}

    @functools.cached_property
    def listed(self) -> dict[int, tuple[Slot, Values]]:
        """By number, the slots of which every value is kept."""
        return {
            n: (slot, slot.measure) for n, slot in enumerate(self.slots) if isinstance(slot.measure, Values)
        }

    @functools.cached_property
    def quantiles(self) -> dict[int, MetricColumns]:
        """By place, the metrics that are quantiles."""
        return {n: planned for n, planned in enumerate(self.metrics) if planned.metric.kind == "quantile"}

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
    """The measures of many metrics that `unit_days` keeps, each once, in an order of their own."""
    return tuple(measure for measure in _unique(metrics) if not isinstance(measure, Values))


def values_of(metrics: Sequence[Metric]) -> tuple[Values, ...]:
    """Likewise those that `unit_values` keeps."""
    return tuple(measure for measure in _unique(metrics) if isinstance(measure, Values))


def _unique(metrics: Sequence[Metric]) -> list[Measure]:
    unique = {part.partial.id: part.partial for metric in metrics for part in metric.measured}
    return [unique[key] for key in sorted(unique)]


def days_of(seconds: int) -> int:
    """A length at day precision: begun days count whole."""
    return -(-seconds // DAY_S)


def _columns(metric: Metric, slots: list[Slot]) -> MetricColumns:
    """What each outcome is after exposure, and what it was before, where that is asked for."""
    columns = [
        _column(f"{metric.name}{suffix}", terms, slots)
        for terms, suffix in zip(metric.outcomes, ("", "__denominator"), strict=False)
    ]
    if (before_s := metric.covariate_s) is not None:
        columns += [
            _column(f"{metric.name}__covariate{suffix}", terms, slots, before_s)
            for terms, suffix in zip(metric.outcomes, ("", "_denominator"), strict=False)
        ]
    columns += [
        _column(f"{metric.name}__covariate_{number}", (Term(part=part),), slots, part.before_s)
        for number, part in enumerate(metric.covariates, start=2)
    ]
    return MetricColumns(metric=metric, columns=tuple(columns))


def _column(name: str, terms: Sequence[Term], slots: list[Slot], before_s: int | None = None) -> UnitColumn:
    """The terms brought to one scale: the finest of their values, times that of their weights."""
    digits = max(-int(term.weight.as_tuple().exponent) for term in terms)
    weights = 10 ** max(digits, 0)
    scales = [_scale(term) for term in terms]
    return UnitColumn(
        name=name,
        terms=tuple(
            _term(term, slots, before_s, factor=int(term.weight * weights) * (max(scales) // scale))
            for term, scale in zip(terms, scales, strict=True)
        ),
        scale=weights * max(scales),
    )


def _scale(term: Term) -> int:
    """A sum of values is in millionths, a time in microseconds."""
    if term.part.aggregate == "first":
        return MICRO * term.unit_s
    return MICRO if term.part.kind in VALUED else 1


def _term(term: Term, slots: list[Slot], before_s: int | None, *, factor: int) -> UnitTerm:
    """After exposure, or, as a covariate, in that long before it."""
    measure = term.part.partial
    if before_s is not None:
        slot, unless = Slot(measure=measure, before_s=before_s), None
    else:
        slot = Slot(measure=measure, after_s=term.after_s, window_s=term.window_s)
        unless = None if term.first_s is None else Slot(measure=measure, before_s=term.first_s)
    return UnitTerm(
        slot=_slot(slots, slot),
        aggregate=term.part.aggregate,
        at_least=term.part.at_least,
        unless=None if unless is None else _slot(slots, unless),
        factor=factor,
    )


def _slot(slots: list[Slot], slot: Slot) -> int:
    if slot not in slots:
        slots.append(slot)
    return slots.index(slot)
