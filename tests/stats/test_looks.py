"""Looks: taken once, never computed again, whatever becomes of the plan."""

import datetime as dt
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats.boundaries import LEAST_GROWTH
from stats.errors import StatsError
from stats.looks import Look, LookPlan, days_due, law, next_look, take
from stats.references import p_value
from stats.spending import OBrienFleming, Pocock
from tests.stats.test_boundaries import boundary, equal

START = dt.date(2026, 3, 1)
PLAN = LookPlan(alpha=0.05, planned_units=14_000, last_day=dt.date(2026, 3, 14))


def day(number: int) -> dt.date:
    """The experiment's first, second … day."""
    return START + dt.timedelta(days=number - 1)


def growing(days: int, by: int = 1_000) -> list[tuple[dt.date, int]]:
    return [(day(number), number * by) for number in range(1, days + 1)]


def with_plan(**changes) -> LookPlan:
    return msgspec.structs.replace(PLAN, **changes)


def test_looks_as_planned_have_the_planned_boundaries():
    looks = take((), PLAN, growing(14))
    assert [look.number for look in looks] == list(range(1, 15))
    assert [look.information for look in looks] == pytest.approx(equal(14))
    expected = boundary(OBrienFleming(), equal(14), 0.05)
    assert [look.boundary for look in looks] == pytest.approx(expected, abs=1e-9)
    spent = 2 * OBrienFleming().spent(0.025, equal(14))
    assert [look.alpha_spent for look in looks] == pytest.approx(spent, rel=1e-9)
    assert [look.final for look in looks] == [False] * 13 + [True]


def test_a_look_survives_json():
    (look,) = take((), PLAN, growing(1, by=5_000))
    assert msgspec.json.decode(msgspec.json.encode(look), type=Look) == look


def test_it_does_not_matter_when_the_looks_are_taken():
    """Day by day, in one go after a week without runs, or from stored looks on."""
    at_once = take((), PLAN, growing(14))
    stored = take((), PLAN, growing(5))
    assert take(stored, PLAN, growing(14)) == at_once
    by_day: tuple[Look, ...] = ()
    for as_of, n in growing(14):
        by_day = take(by_day, PLAN, [(as_of, n)])
    assert by_day == at_once


def test_a_look_is_taken_once():
    looks = take((), PLAN, growing(5))
    assert next_look(looks, PLAN, as_of=day(5), n=9_999) is None  # late rows make it no second look
    assert next_look(looks, PLAN, as_of=day(3), n=9_999) is None


def test_a_day_without_more_information_is_no_look():
    looks = take((), PLAN, growing(5))
    assert next_look(looks, PLAN, as_of=day(6), n=5_000) is None
    assert next_look(looks, PLAN, as_of=day(6), n=4_000) is None  # units can be erased
    assert next_look(looks, PLAN, as_of=day(6), n=math.floor(5_000 * (1 + LEAST_GROWTH) - 1e-6)) is None
    later = next_look(looks, PLAN, as_of=day(7), n=5_200)
    assert later is not None
    assert later.number == 6


def test_before_the_first_unit_is_mature_there_is_no_look():
    assert next_look((), PLAN, as_of=day(1), n=0) is None
    with pytest.raises(StatsError, match="before the first look"):
        law(())


def test_a_day_so_early_that_no_evidence_would_do_is_no_look():
    """At a thousandth of the plan O'Brien and Fleming spend less than any double: an infinite boundary."""
    assert next_look((), PLAN, as_of=day(1), n=14) is None
    assert next_look((), with_plan(spending=Pocock()), as_of=day(1), n=14) is not None


def test_after_the_final_look_nothing_is_tested_again():
    looks = take((), PLAN, growing(14))
    assert next_look(looks, PLAN, as_of=day(15), n=20_000) is None
    longer = with_plan(planned_units=50_000, last_day=day(60))
    assert next_look(looks, longer, as_of=day(20), n=30_000) is None
    assert list(days_due(looks, longer, start=START, every_days=1, closed=day(40))) == []


def test_more_units_than_planned_before_the_end_are_the_final_look():
    """Overrunning: the look that reaches the plan spends the rest, with the units that it has."""
    looks = take((), PLAN, [(day(1), 6_000), (day(2), 15_500), (day(3), 17_000)])
    assert [(look.n, look.information, look.final) for look in looks] == [
        (6_000, pytest.approx(6 / 14), False),
        (15_500, 1.0, True),
    ]
    assert looks[-1].alpha_spent == 0.05


def test_fewer_units_than_planned_at_the_end_are_the_final_look_too():
    looks = take((), PLAN, [(day(7), 4_000), (day(14), 8_000)])
    assert looks[-1].final
    assert looks[-1].alpha_spent == 0.05
    # All that is left is spent at once, so it asks for little more than a test without looks.
    assert 1.959 < looks[-1].boundary < 1.97


def test_a_plan_that_changes_leaves_the_looks_that_were_taken():
    before = take((), PLAN, growing(7))
    larger = with_plan(planned_units=28_000, last_day=day(28))
    after = take(before, larger, growing(28))
    assert after[:7] == before
    assert after[7].information == pytest.approx(8 / 28)
    spent = np.array([look.alpha_spent for look in after])
    assert np.all(np.diff(spent) > 0)
    assert spent[-1] == 0.05
    # What was left is spent more slowly than without the change, and in the end all the same.
    unchanged = take((), PLAN, growing(8))
    assert after[7].alpha_spent < unchanged[7].alpha_spent


def test_a_plan_cut_short_below_what_is_there_ends_with_the_next_look():
    before = take((), PLAN, growing(7))
    after = take(before, with_plan(planned_units=5_000), growing(10))
    assert len(after) == 8
    assert after[-1].final
    assert after[-1].alpha_spent == 0.05


@given(
    st.lists(
        st.tuples(st.integers(0, 3_000), st.integers(2_000, 40_000), st.integers(1, 25)),
        min_size=1,
        max_size=10,
    ),
    st.sampled_from([OBrienFleming(), Pocock()]),
)
@settings(deadline=None, max_examples=40)
def test_whatever_happens_to_the_plan_alpha_is_kept(events, spending):
    """Units may stand still or jump, plan and end may change every day."""
    looks: tuple[Look, ...] = ()
    n = 0
    for number, (more, planned, last) in enumerate(events, 1):
        n += more
        plan = with_plan(planned_units=planned, last_day=day(last), spending=spending)
        taken = take(looks, plan, [(day(number), n)])
        assert taken[: len(looks)] == looks
        looks = taken
    assert [look.number for look in looks] == list(range(1, len(looks) + 1))
    spent = [look.alpha_spent for look in looks]
    assert spent == sorted(spent)
    assert all(value <= 0.05 for value in spent)
    assert not any(look.final for look in looks[:-1])
    if looks and looks[-1].final:
        assert spent[-1] == 0.05


def test_the_law_of_the_looks_is_that_of_the_boundary():
    looks = take((), with_plan(alpha=0.1, spending=Pocock()), growing(9))
    reference = law(looks, spending=Pocock())
    assert reference.critical(0.1) == looks[-1].boundary
    assert p_value(reference.log10_p(looks[-1].boundary)) == pytest.approx(0.1, rel=1e-9)
    few = law(looks, spending=Pocock(), df=4.0)
    assert few.critical(0.1) > reference.critical(0.1)


def test_days_of_a_daily_cadence():
    due = list(days_due((), PLAN, start=START, every_days=1, closed=day(4)))
    assert due == [day(1), day(2), day(3), day(4)]
    looks = take((), PLAN, growing(2))
    assert list(days_due(looks, PLAN, start=START, every_days=1, closed=day(4))) == [day(3), day(4)]


def test_days_of_a_weekly_cadence_count_from_the_start_and_end_with_the_plan():
    plan = with_plan(last_day=day(24))
    assert list(days_due((), plan, start=START, every_days=7, closed=day(6))) == []
    assert list(days_due((), plan, start=START, every_days=7, closed=day(60))) == [
        day(7), day(14), day(21), day(24),
    ]  # fmt: skip


def test_a_changed_cadence_applies_to_the_days_to_come():
    looks = take((), PLAN, growing(5))
    assert list(days_due(looks, PLAN, start=START, every_days=7, closed=day(30))) == [day(7), day(14)]


def test_an_end_moved_before_the_last_look_is_the_day_after_it():
    looks = take((), PLAN, growing(9))
    plan = with_plan(last_day=day(6))
    assert list(days_due(looks, plan, start=START, every_days=1, closed=day(9))) == []
    assert list(days_due(looks, plan, start=START, every_days=1, closed=day(12))) == [day(10)]
    after = take(looks, plan, [(day(10), 10_000)])
    assert after[-1].final


def test_a_cadence_is_a_day_at_least():
    with pytest.raises(StatsError, match="a day at least"):
        list(days_due((), PLAN, start=START, every_days=0, closed=day(4)))


@pytest.mark.parametrize(
    "changes", [{"alpha": 0.0}, {"alpha": 0.7}, {"alpha": math.nan}, {"planned_units": 0}]
)
def test_a_plan_without_meaning(changes):
    with pytest.raises(StatsError):
        with_plan(**changes)
