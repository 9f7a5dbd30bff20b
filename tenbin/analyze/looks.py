"""The looks of a group-sequential horizon, of which the file is the latest one.

Earlier looks are known by their units alone: they set the boundary of this one, and what they showed is not
at hand. A file has no days, so looks are numbered by days of their own.
"""

import datetime as dt
from collections.abc import Sequence

from stats.analysis import evidence, mature_units
from stats.looks import Look, LookPlan, Taken, next_look
from stats.plan import AnyCell, Plan
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.request import Request, Wanted


def taken_looks(request: Request, wanted: Wanted, plan: Plan, cells: Sequence[AnyCell]) -> tuple[Taken, ...]:
    """Every look so far; the last one has the evidence of the file. None under another horizon.

    Raises:
        AnalyzeError: no metric is primary, or the file has no more units than the look before.
    """
    if plan.horizon != "group_sequential" or plan.planned_units is None:
        return ()
    if not any(metric.role == "primary" for metric in plan.metrics):
        raise AnalyzeError(
            "--horizon group_sequential: looks count the units of primary metrics, and every metric is a "
            "guardrail; ask for one more metric"
        )
    now = mature_units(plan, cells)
    units = [*wanted.earlier_looks, now]
    if wanted.earlier_looks and now <= wanted.earlier_looks[-1]:
        raise AnalyzeError(
            f"--looks {request.looks}: the file has {now:,} units, no more than the look before; leave that "
            "look out"
        )
    last_day = _day(len(units)) if request.final else dt.date.max
    to_come = LookPlan(
        alpha=plan.alpha,
        planned_units=plan.planned_units,
        last_day=last_day,
        spending=plan.settings.spending,
    )
    looks: list[Look] = []
    for number, n in enumerate(units, 1):
        look = next_look(looks, to_come, as_of=_day(number), n=n)
        if look is not None:  # else so early that no evidence would do
            looks.append(look)
    if not looks or looks[-1].n != now:
        return tuple(Taken(look=look, evidence=()) for look in looks)
    before = [Taken(look=look, evidence=()) for look in looks[:-1]]
    return (*before, Taken(look=looks[-1], evidence=evidence(plan, cells)))


def _day(number: int) -> dt.date:
    return dt.date.min + dt.timedelta(days=number)
