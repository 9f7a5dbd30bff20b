"""The demo's workspace: definitions that load, data with the stated truth and dirt, the same bytes again."""

import datetime as dt
import errno
import gzip
import json
import uuid
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pytest
from scipy import stats

from assignments import load_experiments
from assignments.compile import compile_ruleset
from metrics import load_metrics
from tenbin.demo import DemoError, make_demo
from tenbin.demo_definitions import BROKEN, GUARDRAIL, NO_EFFECT, START, WINNER, experiments
from tenbin_sdk.evaluate import Evaluator
from workspace import UserError, load_workspace

SMALL = {"units": 2_000, "days": 8, "seed": 3}


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def lines(root, kind):
    """Raw lines with the day of the file they are in."""
    for path in sorted((root / "landing" / kind).iterdir()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in data.decode().splitlines():
            yield path.name.removesuffix(".ndjson.gz"), line


def records(root, kind):
    """What can be read: each record once (the first to arrive), with the day of its file."""
    seen = {}
    for day, line in lines(root, kind):
        try:
            record = json.loads(line)
            key = record.get("event_id") or record["exposure_id"]
            time = record.get("occurred_at") or record["exposed_at"]
            record["at"], record["file"] = dt.datetime.fromisoformat(time), day
        except ValueError:
            continue
        if isinstance(record.get("unit_id"), str):
            seen.setdefault(key, record)
    return list(seen.values())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo") / "店 demo"
    return make_demo(root, **SMALL)


def test_the_definitions_load_and_fit(demo):
    workspace = load_workspace(demo.root)
    loaded, metrics = load_experiments(workspace), load_metrics(workspace)
    assert loaded == dict(sorted(experiments(8, 3).items()))
    assert {name for experiment in loaded.values() for name in experiment.metrics.names} <= metrics.keys()
    assert {metric.kind for metric in metrics.values()} == {
        "conversion", "revenue", "sum", "count", "engagement", "ratio",
    }  # fmt: skip
    assert set(demo.verdicts.values()) == {"ship", "inconclusive", "roll_back", "investigate"}
    assert demo.verdicts.keys() == loaded.keys()
    assert all(truth.effects.keys() <= metrics.keys() for truth in demo.experiments)
    assert all(experiment.end == START + dt.timedelta(days=7) for experiment in loaded.values())


def test_the_same_bytes_again(demo, tmp_path):
    make_demo(tmp_path / "other", **SMALL)
    assert contents(tmp_path / "other") == contents(demo.root)


def test_running_again_changes_nothing_and_keeps_what_came_from_it(demo):
    before = contents(demo.root)
    (demo.root / "lake").mkdir(exist_ok=True)
    (demo.root / "lake" / "table").write_text("derived")
    make_demo(demo.root, **SMALL)
    assert contents(demo.root) == {**before, "lake/table": b"derived"}
    (demo.root / "lake" / "table").unlink()


def test_a_cut_off_demo_is_made_whole(demo, tmp_path):
    root = tmp_path / "cut"
    make_demo(root, **SMALL)
    for path in list((root / "landing" / "events").iterdir())[::2]:
        path.unlink()
    (root / "tenbin.toml").write_text("half")
    make_demo(root, **SMALL)
    assert contents(root) == contents(demo.root)


def test_other_numbers_start_over(tmp_path):
    """Landing files are immutable: under other numbers, what was derived from the old ones must go."""
    root = tmp_path / "demo"
    make_demo(root, **SMALL)
    for name in ("lake/table", "reports/index.html", "warehouse.duckdb", "notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    make_demo(root, **{**SMALL, "seed": 4})
    left = contents(root)
    make_demo(tmp_path / "fresh", **{**SMALL, "seed": 4})
    assert left.pop("notes.txt") == b"x"
    assert left == contents(tmp_path / "fresh")


def test_other_peoples_directories_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DemoError, match="is not empty and holds no demo, so nothing was written") as caught:
        make_demo(tmp_path, **SMALL)
    assert contents(tmp_path) == {"mine.txt": b"precious"}
    assert isinstance(caught.value, UserError)
    with pytest.raises(DemoError, match="is a file"):
        make_demo(tmp_path / "mine.txt", **SMALL)


@pytest.mark.parametrize(
    ("numbers", "message"), [({"units": 10}, "units = 10"), ({"days": 1000}, "days = 1000")]
)
def test_numbers_are_bounded(tmp_path, numbers, message):
    with pytest.raises(DemoError, match=f"{message} is out of bounds; give a number from"):
        make_demo(tmp_path / "demo", **numbers)
    assert not (tmp_path / "demo").exists()


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DemoError, match=r"can't be written \(No space left on device\)"):
        make_demo(tmp_path / "demo", **SMALL)


def test_progress_is_told(tmp_path):
    told = []
    make_demo(tmp_path / "demo", **SMALL, progress=lambda text, share: told.append((text, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert all(text for text, _ in told)


def test_the_dirt_is_what_was_stated(demo):
    """Every line is a record, a repetition of one, or malformed; nothing is lost in between."""
    counted = Counter()
    for kind in ("events", "exposures", "assignments"):
        raw = list(lines(demo.root, kind))
        once = records(demo.root, kind)
        assert len(raw) == demo.rows[kind]
        counted["late"] += sum(
            dt.datetime.fromisoformat(record["received_at"]) - record["at"] >= dt.timedelta(days=1)
            for record in once
        )
        counted["good"] += len(once)
        assert all(record["received_at"][:10] == record["file"] for record in once), (
            "a file is a day of arrival"
        )
        assert all(record["sent_at"] <= record["received_at"] for record in once)
        assert all(record["environment"] == "production" and record["unit_type"] == "user" for record in once)
    total = sum(demo.rows[kind] for kind in ("events", "exposures", "assignments"))
    assert demo.malformed == 80
    assert counted["good"] == total - demo.repeated - demo.malformed
    assert counted["late"] == demo.late
    assert 0 < demo.repeated < 0.02 * total


def test_ids_scripts_and_gaps(demo):
    """Event ids are UUIDs of version 7, units have names in several scripts, some attributes are unknown."""
    events = records(demo.root, "events")
    assert all(uuid.UUID(record["event_id"]).version == 7 for record in events[::50])
    assert all(
        int(record["event_id"].replace("-", "")[:12], 16) == int(record["at"].timestamp() * 1000 + 0.5)
        for record in events[::50]
    )
    units = [json.loads(line) for _, line in lines(demo.root, "units")]
    assert len({unit["unit_id"] for unit in units}) == 2_000
    assert {unit["unit_id"].split("-")[0] for unit in units} == {"user", "ゆき", "zoë", "😀"}
    assert 0.8 < sum("city" in unit["attributes"] for unit in units) / 2_000 < 0.95
    assert "東京" in {unit["attributes"].get("city") for unit in units}
    assert min(record["at"].date() for record in events) == START - dt.timedelta(days=14)


def test_every_variant_is_what_the_sdk_decides(demo):
    evaluator = Evaluator(compile_ruleset(load_experiments(load_workspace(demo.root)).values(), version=1))
    for kind in ("assignments", "exposures"):
        for record in records(demo.root, kind):
            decision = evaluator.assign(record["experiment"], record["unit_id"], {}, record["at"])
            assert decision.variant == record["variant"]
            assert decision.phase == record["ruleset_version"]


# --- the truth, with the numbers that `make demo` uses ---------------------------------------------------


READ = "read_json('{}/landing/{}/*', format='newline_delimited', ignore_errors=true, columns={})"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """First exposures and events of the default demo, read by DuckDB as they lie there."""
    root = make_demo(tmp_path_factory.mktemp("full") / "demo").root
    unit = {"unit_id": "VARCHAR", "event_id": "VARCHAR", "event": "VARCHAR", "occurred_at": "VARCHAR"}
    exposed = {"unit_id": "VARCHAR", "experiment": "VARCHAR", "variant": "VARCHAR", "exposed_at": "VARCHAR"}
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"""
            CREATE TABLE exposures AS
            SELECT experiment, unit_id, variant, min(TRY_CAST(exposed_at AS TIMESTAMPTZ)) AS seen
            FROM {READ.format(root, "exposures", exposed)}
            WHERE unit_id NOT LIKE '{{%' GROUP BY ALL HAVING seen IS NOT NULL""")
        con.execute(f"""
            CREATE TABLE events AS
            SELECT DISTINCT ON (event_id) unit_id, TRY_CAST(occurred_at AS TIMESTAMPTZ) AS happened,
                CASE WHEN (properties ->> 'load_ms')::BIGINT > 3000 THEN 'slow' ELSE event END AS event
            FROM {READ.format(root, "events", unit | {"properties": "JSON"})}
            WHERE unit_id NOT LIKE '{{%' AND TRY_CAST(occurred_at AS TIMESTAMPTZ) IS NOT NULL""")
        yield con


def per_variant(full, experiment, event, days):
    """Number of events of each exposed unit within `days` of its first exposure, by variant."""
    rows = full.execute(
        """
        SELECT x.variant, count(e.happened) FROM exposures x LEFT JOIN events e
          ON e.unit_id = x.unit_id AND e.event = $event AND e.happened >= x.seen
          AND e.happened < x.seen + to_days($days)
        WHERE x.experiment = $experiment GROUP BY x.variant, x.unit_id""",
        {"experiment": experiment, "event": event, "days": days},
    ).fetchall()
    numbers = {}
    for variant, count in rows:
        numbers.setdefault(variant, []).append(count)
    return {variant: np.array(counts, dtype=float) for variant, counts in numbers.items()}


def p_value(groups, left="treatment", right="control"):
    return stats.ttest_ind(groups[left], groups[right], equal_var=False)


@pytest.mark.slow
def test_the_winner_wins_and_breaks_nothing(full):
    orders = per_variant(full, WINNER, "purchase", 7)
    assert orders["treatment"].mean() / orders["control"].mean() - 1 == pytest.approx(0.25, abs=0.07)
    bought = {variant: counts > 0 for variant, counts in per_variant(full, WINNER, "purchase", 3).items()}
    assert p_value(bought).statistic > 5
    for event, days in (("slow", 3), ("support_contact", 7)):
        assert p_value(per_variant(full, WINNER, event, days)).pvalue > 0.2


@pytest.mark.slow
def test_nothing_happens_where_nothing_was_done(full):
    for event, days in (("purchase", 3), ("page_view", 7), ("session", 7)):
        groups = per_variant(full, NO_EFFECT, event, days)
        for variant in ("人気順", "新着順"):
            assert p_value(groups, variant, "対照群").pvalue > 0.1


@pytest.mark.slow
def test_the_guardrail_breaks_while_the_primary_improves(full):
    carts = {
        variant: counts > 0 for variant, counts in per_variant(full, GUARDRAIL, "add_to_cart", 3).items()
    }
    assert p_value(carts).statistic > 4
    assert p_value(per_variant(full, GUARDRAIL, "slow", 3)).statistic > 15


@pytest.mark.slow
def test_only_the_broken_split_is_broken(full):
    rows = full.execute("SELECT experiment, variant, count(*) FROM exposures GROUP BY ALL").fetchall()
    counts = {(experiment, variant): n for experiment, variant, n in rows}
    for key in (WINNER, NO_EFFECT, GUARDRAIL, BROKEN):
        p = stats.chisquare([n for (experiment, _), n in counts.items() if experiment == key]).pvalue
        assert (p < 1e-12) if key == BROKEN else (p > 0.1)
    share = counts[BROKEN, "treatment"] / counts[BROKEN, "control"]
    assert share == pytest.approx(0.88, abs=0.03)
