"""The engine on the real lake: Delta tables in, Delta tables out, names in any script."""

import datetime as dt

import pytest

from lake import open_lake
from metrics.engines.engine import Engine
from metrics.model import Metric
from workspace import load_workspace

DAYS = [dt.date(2026, 1, 10) + dt.timedelta(days=day) for day in range(4)]


@pytest.fixture
def lake(tmp_path):
    root = tmp_path / "仕事 場"
    root.mkdir()
    (root / "tenbin.toml").write_text('[workspace]\nname = "shop"\n', encoding="utf-8")
    return open_lake(load_workspace(root))


def rows_sql(rows):
    """A SELECT of literal rows in the columns of a record."""
    lines = []
    for row in rows:
        cells = ", ".join(f"{_text(value)} AS {name}" for name, value in row.items())
        lines.append(f"SELECT {cells}")
    return " UNION ALL BY NAME ".join(lines)


def _text(value):
    if isinstance(value, dt.datetime):
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def test_from_events_to_moments_in_the_lake(lake, experiment_of, rows_of):
    metrics = {
        "売上": Metric(name="売上", kind="revenue", event="purchase", window="2d", covariate="1d"),
        "😀": Metric(name="😀", kind="conversion", event="purchase"),
    }
    experiment = experiment_of(*metrics, key="対照群's 50%", from_exposure=["端末"])
    engine = Engine(lake.workspace, lake, metrics)
    exposures = [
        rows_of.exposure(
            unit, DAYS[0], "AB"[unit % 2], unit, experiment=experiment.key, attributes='{"端末": "i"}'
        )
        for unit in range(6)
    ]
    events = [rows_of.event(unit, DAYS[unit % 3], unit, value=10 + unit) for unit in range(4)]
    with lake.connect() as con:
        lake.append(con, "exposures", rows_sql(exposures))
        lake.append(con, "events", rows_sql(events))
        assert engine.refresh_unit_days(con, until=DAYS[-1]).rows == 4 * 2 + 3
        assert engine.refresh_unit_days(con, until=DAYS[-1]).rows == 0
        assert engine.refresh_first_exposures(con, [experiment]).rows == 6
        units, moments = engine.refresh(con, experiment, DAYS)
        assert (units.rows, moments.rows) == (6, 4 * (2 * 2 * 2))
        found = engine.moments(con, experiment, DAYS[-1])
    with lake.connect() as con:
        stored = con.execute(
            "SELECT n, means, covariances, columns FROM moments WHERE as_of = $1 AND metric = '売上' "
            "AND variant = 'A' AND segment IS NULL",
            [DAYS[-1]],
        ).fetchall()
        (row,) = [r for r in found if (r.metric, r.variant, r.segment) == ("売上", "A", None)]
        assert stored == [
            (
                3,
                list(row.moments.mean),
                [number for line in row.moments.cov for number in line],
                ["numerator", "covariate"],
            )
        ]
        values = con.execute(
            'SELECT unit_id, "売上", "😀__mature", segments FROM unit_metrics ORDER BY 1'
        ).fetchall()
        assert values[1] == ("u1", 11.0, True, '{"端末":"i"}')
        # A metric that comes later adds its columns; the others stay.
        more = Engine(
            lake.workspace, lake, metrics | {"views": Metric(name="views", kind="count", event="view")}
        )
        other = experiment_of("views", key="other")
        more.refresh_unit_days(con)
        more.refresh_first_exposures(con, [other])
        more.refresh(con, other, DAYS)
        assert con.execute('SELECT COUNT("売上") FROM unit_metrics').fetchall() == [(6,)]
        # So do partials, to a table that was made before; and a metric that goes again leaves them.
        until = Metric(name="until", kind="time_to_event", event="purchase", window="3d", time_unit="days")
        timed, third = Engine(lake.workspace, lake, metrics | {"until": until}), experiment_of("until")
        lake.append(con, "exposures", rows_sql([rows_of.exposure(1, DAYS[0], "B", 99)]))
        timed.refresh_unit_days(con)
        timed.refresh_first_exposures(con, [third])
        cells = {row.variant: row for row in timed.moments(con, third, DAYS[-1])}
        assert (cells["B"].moments.n, cells["B"].moments.mean) == (1, (1.0,))
        assert engine.refresh_unit_days(con).rows == 4 * 2 + 3
