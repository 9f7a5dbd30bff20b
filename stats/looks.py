"""The looks that a group-sequential experiment takes, one after the other.

A look is taken once, when an as-of day of its cadence is closed, and is never computed again: its units,
boundary and the alpha that it spent stand. A later change of end, cadence or planned units moves the looks
to come and the alpha that is left (`spending.increments`). A day without more information is no look, and
after the final look nothing is tested again.
"""

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from stats import inference
from stats.arrays import Real
from stats.boundaries import grown
from stats.contrasts import Contrast
from stats.errors import StatsError
from stats.sequential import GroupSequential
from stats.spending import OBrienFleming, Spending, increments

_SIDES = 2
_LARGEST_ALPHA = 0.5


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look, as it was taken. The z of every comparison is kept beside it."""

    number: int  # from 1
    as_of: dt.date
    n: int  # units of all arms: the smallest mature count over the primary metrics
    information: float  # n as a share of the units planned then; 1 at the final look, whatever n is
    alpha_spent: float  # by this look and those before it, on both sides
    boundary: float  # the |z| from which a two-sided test at the experiment's alpha is significant

    @property
    def final(self) -> bool:
        return self.information >= 1


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What one comparison showed at a look; it stands, whatever late data do to the estimate."""

    metric: str
    variant: str
    baseline: str
    contrast: Contrast

    @property
    def z(self) -> float:
        """The standardised difference, which the boundary is compared with."""
        return float(inference.statistic(self.contrast))


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A look with its evidence; comparisons that had too few conversions then have none."""

    look: Look
    evidence: tuple[Evidence, ...]


class LookPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the looks to come are taken by. Alpha and spending stay as they were at the first look."""

    alpha: float  # two-sided
    planned_units: int  # over all arms
    last_day: dt.date  # the planned end: the day by which the last unit is mature; its look is the final one
    spending: Spending = OBrienFleming()

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= _LARGEST_ALPHA:
            raise StatsError(f"alpha must be above 0 and at most {_LARGEST_ALPHA}, not {self.alpha}")
        if self.planned_units < 1:
            raise StatsError(f"planned_units must be at least 1, not {self.planned_units}")


def days_due(
    looks: Sequence[Look], plan: LookPlan, *, start: dt.date, every_days: int, closed: dt.date
) -> Iterator[dt.date]:
    """The as-of days whose looks are due: of the cadence, closed, and after the last look.

    Args:
        looks: those taken so far.
        plan: what is in force.
        start: the experiment's first day; the first look is `every_days` days of data later.
        every_days: days from look to look.
        closed: the latest day that no late data can change any more.

    Yields:
        Days in order; the planned end is always among them. Where it was moved to before the last look, the
        day after that look takes its place.

    Raises:
        StatsError: a cadence shorter than a day.
    """
    if every_days < 1:
        raise StatsError(f"the cadence of looks must be a day at least, not {every_days} days")
    if looks and looks[-1].final:
        return
    after = looks[-1].as_of if looks else start - dt.timedelta(days=1)
    end = max(plan.last_day, after + dt.timedelta(days=1))
    for day in range(1, (min(end, closed) - after).days + 1):
        as_of = after + dt.timedelta(days=day)
        if as_of == end or ((as_of - start).days + 1) % every_days == 0:
            yield as_of


def next_look(looks: Sequence[Look], plan: LookPlan, *, as_of: dt.date, n: int) -> Look | None:
    """The look of an as-of day, or None where there is none.

    There is none when the day was looked at before, brings nothing new, comes after the final look, or so
    early that the boundary is infinite: no evidence would do.

    Args:
        looks: those taken so far, in order.
        plan: what is in force.
        as_of: the day.
        n: units of all arms by then: the smallest mature count over the primary metrics.
    """
    if n < 1 or (looks and (looks[-1].final or as_of <= looks[-1].as_of or not grown(looks[-1].n, n))):
        return None
    share = 1.0 if as_of >= plan.last_day else min(n / plan.planned_units, 1.0)
    units, shares = [*(look.n for look in looks), n], [*(look.information for look in looks), share]
    law = GroupSequential(units, shares, spending=plan.spending)
    boundary = float(law.critical(plan.alpha))
    if math.isinf(boundary):
        return None
    steps = increments(plan.spending, plan.alpha / _SIDES, units, shares)
    return Look(
        number=len(looks) + 1,
        as_of=as_of,
        n=n,
        information=share,
        alpha_spent=plan.alpha if share >= 1 else _SIDES * float(steps.sum()),
        boundary=boundary,
    )


def take(looks: Sequence[Look], plan: LookPlan, days: Iterable[tuple[dt.date, int]]) -> tuple[Look, ...]:
    """All looks, those taken so far and those of further as-of days with their units."""
    taken = list(looks)
    for as_of, n in days:
        look = next_look(taken, plan, as_of=as_of, n=n)
        if look is not None:
            taken.append(look)
    return tuple(taken)


def law(
    looks: Sequence[Look],
    *,
    spending: Spending = OBrienFleming(),  # noqa: B008 - frozen
    df: Real = math.inf,
) -> GroupSequential:
    """The reference law of the latest look.

    Raises:
        StatsError: no look was taken.
    """
    if not looks:
        raise StatsError("before the first look there is nothing to test; withhold the result")
    return GroupSequential(
        [look.n for look in looks], [look.information for look in looks], spending=spending, df=df
    )
