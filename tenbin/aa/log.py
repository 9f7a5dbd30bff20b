"""What is re-randomised: the ids that get an arm, and the units' numbers per metric."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stats.arrays import Codes, Numbers
from stats.measures import Kind
from workspace import UserError

Flags = npt.NDArray[np.bool_]

LEAST_UNITS = 100


class AaError(UserError):
    """There is nothing that an A/A test could be made of."""


class LoggedMetric(NamedTuple):
    """One metric of every unit, in the log's order."""

    name: str
    kind: Kind
    columns: tuple[Numbers, ...]  # the measure (of a ratio: numerator, denominator), then its covariates
    mature: Flags | None = None  # units that count; None: all

    @property
    def present(self) -> Flags:
        """Which units count."""
        return np.ones(len(self.columns[0]), dtype=np.bool_) if self.mature is None else self.mature


class Log(NamedTuple):
    """Units in order of first appearance, which is the order in which a running experiment sees them."""

    source: str  # for people
    ids: tuple[str, ...]  # who gets an arm
    of: Codes  # per unit: its index in `ids`
    metrics: tuple[LoggedMetric, ...]
    notes: tuple[str, ...] = ()  # what a reader must know of how the units were made

    @property
    def units(self) -> int:
        return len(self.of)


def require_enough(log: Log) -> Log:
    """The log, when there is enough of it.

    Raises:
        AaError: too few units.
    """
    if log.units < LEAST_UNITS:
        raise AaError(
            f"{log.source}: has {log.units:,} units; an A/A test of fewer than {LEAST_UNITS} says nothing"
        )
    return log
