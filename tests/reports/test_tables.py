"""What a readout says, as cells."""

from reports import tables
from stats.results import Finding, Outcome


def test_days_stand_in_their_order_whatever_order_their_numbers_came_in():
    days = {f"day {day} {name}": float(day) for day in (10, 2, 1) for name in ("estimate", "lower", "upper")}
    finding = Finding(name="by_day", status=Outcome.NOTED, message="", numbers={"slope": 0.5, **days})
    table, rest = tables.parts(finding)
    assert [row[0] for row in table.rows] == ["day 1", "day 2", "day 10"]
    assert rest == {"slope": 0.5}
