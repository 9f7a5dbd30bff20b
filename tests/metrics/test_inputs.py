"""What the last day's analysis reads beside the moments, against a plain Python count of the same rows."""

import datetime as dt

import numpy as np
import pytest

from metrics.inputs import daily_cells, places, unit_cells
from metrics.model import Metric
from stats.analysis import Cell
from stats.findings import DAY
from stats.moments import Moments

START = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
SPENT = Metric(name="spent", kind="revenue", event="buy", currency="JPY", winsorize=0.9)
BOUGHT = Metric(name="bought", kind="conversion", event="buy", window="2d")
AS_OF = dt.date(2026, 3, 9)


@pytest.fixture
def filled(bench):
    """40 units, five a day and arm over the first four days; each buys on some days after its exposure."""
    rng = np.random.default_rng(11)
    bought: dict[tuple[int, int], float] = {}
    arms: dict[int, str] = {}
    for unit in range(40):
        arms[unit] = "AB"[unit % 2]
        bench.exposure(
            unit, START + dt.timedelta(days=unit % 4), arms[unit], attributes=f'{{"device": "d{unit % 3}"}}'
        )
        for day in range(6):
            if rng.random() < 0.6:
                value = int(rng.integers(1, 50))
                bought[unit, day] = value
                at = START + dt.timedelta(days=unit % 4 + day, hours=1)
                bench.event(unit, at, event="buy", value=value, currency="JPY")
    return bench, bought, arms


def test_days_units_and_splits_are_those_of_the_rows(filled, experiment_of):
    bench, bought, arms = filled
    design = experiment_of("spent", "bought", from_exposure=("device",))
    engine = bench.engine(SPENT, BOUGHT)
    bench.prepare(engine, design)
    engine.refresh(bench.con, design, [AS_OF])
    plan, enrolment = engine.plan(design), engine.enrolment(bench.con, design)

    split = places(bench.con, plan, enrolment, AS_OF)
    assert split[DAY] == {
        f"2026-03-0{day + 1}": {"A": 10 if day % 2 == 0 else 0, "B": 10 if day % 2 else 0} for day in range(4)
    }
    assert sum(sum(counts.values()) for counts in split["device"].values()) == 40

    cells = [
        Cell(metric=row.metric, variant=row.variant, segment=row.segment, moments=row.moments, cap=row.cap)
        for row in engine.moments(bench.con, design, AS_OF)
    ]
    units = {(cell.metric, cell.variant): cell for cell in unit_cells(bench.con, plan, AS_OF, cells)}
    assert len(units) == 4
    for cell in cells:
        if cell.segment is None:
            own = Moments.from_columns(*units[cell.metric, cell.variant].columns)
            assert own.mean == pytest.approx(cell.moments.mean)
            assert own.cov[0] == pytest.approx(cell.moments.cov[0])

    daily = {
        (cell.metric, cell.variant): cell
        for cell in daily_cells(bench.con, plan, engine.metrics, enrolment, AS_OF)
    }
    assert {name for name, _ in daily} == {"spent", "bought"}
    assert len(daily["bought", "A"].moments.mean) == 2  # whole days of its window
    # Half of the units were exposed on the first two of nine days.
    assert len(daily["spent", "A"].moments.mean) == 8
    for (name, variant), cell in daily.items():
        found = cell.moments
        days = len(found.mean)
        last = (AS_OF - START.date()).days + 1
        own = [unit for unit, arm in arms.items() if arm == variant and unit % 4 + days <= last]
        table = np.array([[bought.get((unit, day), 0.0) for day in range(days)] for unit in own])
        expected = Moments.from_columns(*(table if name == "spent" else (table > 0).astype(float)).T)
        assert found.n == expected.n
        assert found.mean == pytest.approx(expected.mean)
        assert np.array(found.cov) == pytest.approx(np.array(expected.cov), abs=1e-9)


def test_before_anything_is_known_there_is_nothing(bench, experiment_of):
    design = experiment_of("spent")
    engine = bench.engine(SPENT)
    plan, enrolment = engine.plan(design), engine.enrolment(bench.con, design)
    assert places(bench.con, plan, enrolment, AS_OF) == {DAY: {}}
    assert list(unit_cells(bench.con, plan, AS_OF, [])) == []
    assert list(daily_cells(bench.con, plan, engine.metrics, enrolment, AS_OF)) == []
