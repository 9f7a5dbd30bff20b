"""The engines agree: every kind of metric, on random data, in three time zones, to the last digit.

Hypothesis draws many examples; they go into one lake, each with units and a segment of its own, so that
few Spark jobs compare them all.
"""

import datetime as dt
import json
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metrics.checks import experiment_findings
from metrics.model import Metric
from metrics.sql.conditions import condition_sql
from metrics.sql.tree import alias, build
from tests.metrics import test_conditions as conditions
from tests.metrics import test_units as drawn
from tests.metrics.conftest import event_row, exposure_row, make_experiment

FULL = bool(os.environ.get("TENBIN_TEST_FULL"))
EXAMPLES = 48 if FULL else 12
ZONES = ("UTC", "Asia/Tokyo", "America/Los_Angeles")
DAYS = [drawn.BASE.date() + dt.timedelta(days=day) for day in (0, 1, 3)]

METRICS = (
    *drawn.METRICS,
    Metric(name="views_capped", kind="count", event="view", window="2d", winsorize=0.7),
    Metric(name="capped", kind="revenue", event="purchase", currency="JPY", winsorize=0.6, covariate="1d"),
)

pytestmark = [pytest.mark.slow]


def draw(strategy, examples=EXAMPLES):
    """That many examples; a failure names the one by its number, which is the same every time."""
    found = []

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found[:examples]


def records(examples):
    """The rows of all examples: unit u of example e is number 10 e + u."""
    events, exposures = [], []
    for number, (seen, happened) in enumerate(examples):
        for row in seen:
            more = {key: row[key] for key in ("environment", "iteration")}
            exposures.append(
                exposure_row(
                    10 * number + row["unit"], row["at"], row["variant"], len(exposures), source="s",
                    attributes=json.dumps({"例": f"{number:02}"}, ensure_ascii=False), **more,
                )
            )  # fmt: skip
        for row in happened:
            more = {key: row[key] for key in ("event", "environment", "value", "currency", "properties")}
            events.append(event_row(10 * number + row["unit"], row["at"], len(events), source="s", **more))
    return {"events": events, "exposures": exposures}


@pytest.mark.timeout(1_200)
def test_spark_gives_what_duckdb_gives(make_pair, subtests):
    """One test, so that one process of the test run starts one cluster."""
    for timezone in ZONES:
        with subtests.test("units, moments and findings", timezone=timezone):
            units_moments_and_findings(make_pair(timezone))
    with subtests.test("conditions"):
        conditions_and_documents(make_pair())
    with subtests.test("a killed executor"):
        if not FULL:
            pytest.skip("an executor was NOT killed: TENBIN_TEST_FULL=1 does it")
        with killing_executors() as killed:
            units_moments_and_findings(make_pair())
        assert killed


def units_moments_and_findings(pair):
    """From the same records to the same partials, unit metrics, moments, exclusions and checks."""
    pair.fill(**records(draw(st.tuples(drawn.EXPOSURES, drawn.EVENTS))))
    experiment = make_experiment(*(metric.name for metric in METRICS), from_exposure=["例"])

    def work(con, engine):
        engine.refresh_unit_days(con)
        engine.refresh_first_exposures(con, [experiment])
        engine.refresh(con, experiment, DAYS)
        tables = {
            name: con.execute(f"SELECT * EXCLUDE ({hidden}) FROM {name} ORDER BY ALL").fetchall()
            for name, hidden in (
                ("unit_days", "value_sum"), ("first_exposures", "attributes"), ("unit_metrics", "as_of"),
                ("moments", "inputs"),
            )
        }  # fmt: skip
        again = (
            engine.refresh_unit_days(con).rows,
            *(each.rows for each in engine.refresh(con, experiment, DAYS)),
        )
        return (
            tables,
            con.execute("SELECT SUM(value_sum) FROM unit_days").fetchall(),
            engine.enrolment(con, experiment),
            engine.exclusions(con, experiment, DAYS[-1]),
            [msgspec.to_builtins(each) for each in experiment_findings(con, engine, experiment, DAYS[-1])],
            again,
        )

    ours, sparks = pair.both(work, METRICS)
    for name, rows in ours[0].items():
        assert sparks[0][name] == rows, name
    assert sparks[1:] == ours[1:]
    assert ours[0]["moments"]
    assert ours[-1] == (0, 0, 0)


def conditions_and_documents(pair):
    """The same hold of the same; that DuckDB agrees with the SDK is another test's."""
    pairs = draw(st.tuples(conditions.CONDITIONS, conditions.ROWS), examples=200 if FULL else 40)
    documents = [document for _, rows in pairs for document in rows]
    rows = [
        event_row(
            1,
            dt.date(2026, 1, 1),
            number,
            file_row=number,
            properties=json.dumps(document, ensure_ascii=False),
        )
        for number, document in enumerate(documents)
    ]
    pair.fill(events=rows)
    query = build("SELECT file_row FROM events ORDER BY file_row")
    for number, (where, _) in enumerate(pairs):
        query = query.select(alias(condition_sql(where), f"c{number}"))

    ours, sparks = pair.both(lambda con, engine: engine.rows(con, query), ())
    for number, (where, _) in enumerate(pairs):
        for row, (mine, other) in enumerate(zip(ours, sparks, strict=True)):
            assert other[number + 1] == mine[number + 1], (where, documents[row])


@contextmanager
def killing_executors():
    """Kill one executor, as a lack of memory would, every time one has worked for a while; at most twice."""
    killed, stop = [], threading.Event()

    def kill():
        while len(killed) < 2 and not stop.wait(8):
            if found := executors():
                os.kill(found[0], signal.SIGKILL)
                killed.append(found[0])

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def executors():
    """Process numbers of the executors that belong to this process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_executor = b"CoarseGrainedExecutorBackend" in (folder / "cmdline").read_bytes()
            if is_executor and os.getpid() in ancestors(int(folder.name)):
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return sorted(found)


def ancestors(pid):
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        yield pid
