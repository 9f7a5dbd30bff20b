"""Looks of a group-sequential experiment: taken once, in order, whatever happens to runs, rows and plans."""

import datetime as dt
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

import tenbin as tenbin_package
from assignments import load_experiments
from lake import faults, open_lake
from lake.ingest import ingest
from lake.lake import Lake
from metrics import load_metrics
from metrics.analysis import as_of_days
from metrics.engines.engine import Engine
from metrics.looks import due_days
from metrics.model import MetricsError
from metrics.results import refresh_results
from reports.assemble import build_readout
from reports.readout import Looks
from stats.analysis import Analysis, analyse, evidence, mature_units
from stats.looks import LookPlan, Taken, next_look
from stats.moments import Moments
from stats.plan import Cell, MetricPlan, Plan, Settings
from stats.spending import Pocock
from tests.pipelines.conftest import exposure, purchase
from tests.support import tenbin
from workspace import load_workspace

START = dt.date(2026, 3, 2)
PER_DAY = 480
DAYS = 5
UNITS = PER_DAY * DAYS
# Lan and DeMets' O'Brien-Fleming boundaries of five equal looks, two-sided 0.05 (R's ldbounds).
PUBLISHED = [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]
METRICS = """
[bought]
kind = "conversion"
event = "purchase"
window = "1d"

[spent]
kind = "revenue"
event = "purchase"
currency = "JPY"
"""
EXPERIMENT = f"""
key = "検索"
control = "対照群"
horizon = "group_sequential"
planned_units = {UNITS}
start = {START}
end = {START + dt.timedelta(days=DAYS - 1)}

[[phases]]
from = {START}T00:00:00Z
weights = {{ "対照群" = 1, "zoë" = 1 }}

[metrics]
primary = ["bought"]
secondary = ["spent"]

[segments]
from_exposure = ["device"]
"""


def day(number: int) -> dt.date:
    """The experiment's first, second … day."""
    return START + dt.timedelta(days=number - 1)


def noon(number: int) -> dt.datetime:
    return dt.datetime.combine(day(number), dt.time(12), dt.UTC)


def morning(number: int) -> dt.datetime:
    return dt.datetime.combine(day(number), dt.time(4, 30), dt.UTC)


# By when everything is closed: the last as-of day is the planned end, day 8, which stays open for two days.
AT_LAST = morning(12)


def records(number: int, *, converting: int = 12) -> dict[str, list[dict]]:
    """What happens on a day: units that come, and those of the day before who buy, in time or too late.

    Of 24 units of the control 8 buy, and of the variant `converting`.
    """
    came = range((number - 1) * PER_DAY, number * PER_DAY) if number <= DAYS else range(0)
    before = range((number - 2) * PER_DAY, (number - 1) * PER_DAY) if 2 <= number <= DAYS + 1 else range(0)
    buyers = [unit for unit in before if unit // 2 % 24 < (converting if unit % 2 else 8)]
    early, late = noon(number) - dt.timedelta(hours=1), noon(number) + dt.timedelta(hours=1)
    return {
        "exposures": [exposure(unit, noon(number)) for unit in came],
        "events": [
            *(purchase(unit, unit, early, 100 + unit % 7) for unit in buyers),
            *(purchase(10_000 + unit, unit, late, 90) for unit in before[:4]),
        ],
    }


class Bench:
    """A workspace that is run in this process, at any moment of its time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = 0
        for folder, text in (("metrics", METRICS), ("experiments", EXPERIMENT)):
            (root / folder).mkdir(parents=True)
            (root / folder / "検索.toml").write_text(text, encoding="utf-8")
        (root / "tenbin.toml").write_text('[workspace]\nname = "店"\nlateness = "2d"\n', encoding="utf-8")

    @property
    def lake(self) -> Lake:
        return open_lake(load_workspace(self.root))

    def edit(self, *changes: tuple[str, str], folder: str = "experiments") -> None:
        path = self.root / folder / "検索.toml"
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def land(self, landed: dict[str, list[dict]]) -> "Bench":
        for kind, rows in landed.items():
            if not rows:
                continue
            self.files += 1
            path = self.root / "landing" / kind / f"{self.files:04}.ndjson"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return self

    def land_all(self) -> "Bench":
        for number in range(1, DAYS + 2):
            self.land(records(number))
        return self

    def run(self, now: dt.datetime, *, first: dt.date = START) -> "Bench":
        """What `tenbin run` does, as of `now`."""
        workspace = load_workspace(self.root)
        ingest(workspace)
        (experiment,) = load_experiments(workspace).values()
        engine = Engine(workspace, self.lake, load_metrics(workspace))
        last = now.date() - dt.timedelta(days=1)
        with self.lake.connect() as con:
            engine.refresh_unit_days(con)
            engine.refresh_first_exposures(con, [experiment])
            days = as_of_days(experiment, engine.metrics, workspace, first=first, last=last)
            due = due_days(con, engine, experiment, until=last, now=now)
            engine.refresh(con, experiment, [*days, *due])
            refresh_results(con, engine, experiment, now=now)
        return self

    def query(self, sql: str) -> list[tuple]:
        with self.lake.connect() as con:
            return con.execute(sql).fetchall()

    def looks_readout(self) -> Looks:
        """What the page says of them."""
        workspace = load_workspace(self.root)
        (experiment,) = load_experiments(workspace).values()
        with self.lake.connect() as con:
            readout = build_readout(con, Engine(workspace, self.lake, load_metrics(workspace)), experiment)
        assert readout.looks is not None
        return readout.looks

    def looks(self) -> list[tuple]:
        return self.query("SELECT * FROM looks ORDER BY ALL")

    def schedule(self) -> list[tuple[int, dt.date, int]]:
        return self.query("SELECT DISTINCT look, as_of, n FROM looks WHERE iteration = 1 ORDER BY look")

    def results(self) -> list[tuple]:
        return self.query("SELECT * FROM results ORDER BY ALL")

    def p_values(self) -> dict[dt.date, float | None]:
        """Of the primary metric by as-of day, at its latest revision."""
        return dict(
            self.query(
                "SELECT as_of, p_value FROM results WHERE metric = 'bought' AND headline AND segment IS NULL "
                "AND scale = 'absolute' QUALIFY revision = max(revision) OVER (PARTITION BY as_of) ORDER BY 1"
            )
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "店 😀")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("undisturbed") / "店").land_all().run(AT_LAST)


def test_five_equal_looks_have_the_published_boundaries(undisturbed: Bench):
    """The units of a day are mature on the next."""
    found = undisturbed.query(
        "SELECT look, as_of, n, information, boundary, alpha_spent FROM looks WHERE metric = 'bought' "
        "ORDER BY look"
    )
    assert [row[:3] for row in found] == [(look, day(look + 1), look * PER_DAY) for look in range(1, 6)]
    assert [row[3] for row in found] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [row[4] for row in found] == pytest.approx(PUBLISHED, abs=1.5e-4)
    assert found[-1][5] == 0.05


def test_a_look_keeps_what_was_seen(undisturbed: Bench):
    """Its z and what that is made of, against the counts of the records; late purchases are in no window."""
    ((z, p, q, var_p, var_q, covariance, df, method),) = undisturbed.query(
        "SELECT z, estimate_variant, estimate_baseline, var_variant, var_baseline, covariance, df, method "
        "FROM looks WHERE look = 5 AND metric = 'bought'"
    )
    arm = UNITS // 2
    assert (p, q) == pytest.approx((12 / 24, 8 / 24), rel=1e-12)
    assert (var_p, var_q) == pytest.approx((p * (1 - p) / arm, q * (1 - q) / arm), rel=1e-12)
    assert (covariance, df, method) == (0, math.inf, "z_unpooled")
    assert z == pytest.approx((p - q) / math.sqrt(var_p + var_q), rel=1e-12)


def test_runs_day_by_day_end_where_one_run_does(bench: Bench, undisturbed: Bench):
    for number in range(1, 13):
        if number <= DAYS + 1:
            bench.land(records(number))
        bench.run(morning(number + 1))
        assert len(bench.schedule()) == min(max(number - 3, 0), 5), "a look waits until its day is closed"
    assert bench.looks() == undisturbed.looks()
    assert bench.results() == undisturbed.results()
    assert {row[0] for row in bench.query("SELECT revision FROM results")} == {0}


def test_a_look_does_not_depend_on_the_days_that_runs_were_asked_for(bench: Bench, undisturbed: Bench):
    bench.land_all().run(AT_LAST, first=day(8))
    assert bench.looks() == undisturbed.looks()
    everything = undisturbed.p_values()
    assert bench.p_values() == {day(number): everything[day(number)] for number in (1, 2, 3, 4, 5, 6, 8)}


def test_a_second_run_writes_nothing(undisturbed: Bench):
    before = {name: undisturbed.lake.version(name) for name in ("looks", "moments", "results", "findings")}
    undisturbed.run(AT_LAST)
    assert {name: undisturbed.lake.version(name) for name in before} == before


def test_late_rows_leave_the_looks_and_revise_the_estimates(bench: Bench):
    bench.land_all().run(AT_LAST)
    looks, p_values = bench.looks(), bench.p_values()
    late = [
        purchase(20_000 + unit, unit, noon(1) + dt.timedelta(hours=2), 5) for unit in range(0, PER_DAY, 2)
    ]
    bench.land({"events": late}).run(AT_LAST)
    assert bench.looks() == looks
    assert bench.p_values() == p_values, "the sequential p-value is that of the looks"
    estimates = bench.query(
        "SELECT revision, estimate FROM results WHERE metric = 'bought' AND headline AND segment IS NULL "
        f"AND scale = 'absolute' AND as_of = DATE '{day(4)}' ORDER BY revision"
    )
    assert [revision for revision, _ in estimates] == [0, 1]
    assert estimates[1][1] < estimates[0][1]


def test_what_has_crossed_stays_crossed(bench: Bench):
    """The effect turns: the last z are below their boundaries, and the result stands."""
    for number in range(1, DAYS + 2):
        bench.land(records(number, converting=12 if number <= 3 else 6))
    bench.run(AT_LAST)
    crossed = [
        abs(z) >= limit
        for z, limit in bench.query("SELECT z, boundary FROM looks WHERE metric = 'bought' ORDER BY look")
    ]
    p_values = [p for p in bench.p_values().values() if p is not None]
    assert all(later <= earlier for earlier, later in itertools.pairwise(p_values))
    assert crossed == [False, True, True, False, False]
    assert p_values[-1] <= 0.05
    ((verdict,),) = bench.query("SELECT status FROM findings WHERE name = 'verdict'")
    assert verdict == "ship"


def test_before_the_first_look_nothing_may_be_read(bench: Bench):
    bench.land_all().run(morning(4))
    assert bench.looks() == []
    assert set(bench.p_values().values()) == {None}
    reasons = bench.query(
        "SELECT DISTINCT unnest(reasons) FROM results WHERE headline AND metric = 'bought' "
        "AND status = 'withheld'"
    )
    assert ("before_first_look",) in reasons


class Killed(BaseException):
    """As if the process had ended here."""


@pytest.mark.parametrize(
    "step", ["looks: made", "looks: before commit", "looks: after commit", "results: before commit"]
)
def test_a_killed_run_neither_loses_nor_doubles_a_look(
    bench: Bench, undisturbed: Bench, monkeypatch: pytest.MonkeyPatch, step: str
):
    def reached(name: str) -> None:
        if name == step:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(faults, "reached", reached)
        with pytest.raises(Killed):
            bench.land_all().run(AT_LAST)
    bench.run(AT_LAST)
    assert bench.looks() == undisturbed.looks()
    assert bench.results() == undisturbed.results()


def test_a_changed_plan_moves_the_looks_to_come(bench: Bench):
    bench.land_all().run(morning(6))
    before = bench.looks()
    assert bench.schedule() == [(1, day(2), PER_DAY), (2, day(3), 2 * PER_DAY)]
    bench.edit((f"planned_units = {UNITS}", f'planned_units = {2 * UNITS}\ncadence = "2d"'))
    bench.run(AT_LAST)
    assert bench.looks()[: len(before)] == before
    assert bench.schedule()[2:] == [(3, day(4), 3 * PER_DAY), (4, day(6), UNITS)]
    shares = bench.query("SELECT DISTINCT look, information, alpha_spent FROM looks ORDER BY look")
    assert [share for _, share, _ in shares] == pytest.approx([0.2, 0.4, 0.3, 1.0]), "the end spends the rest"
    assert shares[-1][2] == 0.05


def test_an_end_that_is_moved_to_the_front_makes_the_next_look_the_final_one(bench: Bench):
    bench.land_all().run(morning(7))
    assert len(bench.schedule()) == 3
    bench.edit((f"end = {day(5)}", f"end = {day(3)}"))
    bench.run(AT_LAST)
    # Units of the days after the new end are left out, so that nothing is added to the look as of day 4.
    assert len(bench.schedule()) == 3
    bench.edit((f"end = {day(3)}", f"end = {day(1)}"))
    with pytest.raises(
        MetricsError, match=f"its last as-of day is {day(4)}, but it was looked at as of {day(4)} already"
    ):
        bench.run(AT_LAST)


def test_after_the_final_look_nothing_is_tested_again(bench: Bench):
    bench.edit((f"planned_units = {UNITS}", f"planned_units = {2 * PER_DAY}"))
    bench.land_all().run(AT_LAST)
    assert bench.schedule() == [(1, day(2), PER_DAY), (2, day(3), 2 * PER_DAY)]
    (final,) = {p for as_of, p in bench.p_values().items() if as_of >= day(3)}
    assert final is not None


def test_level_and_spending_are_settled_at_the_first_look(bench: Bench):
    bench.land_all().run(morning(6))
    bench.edit(('horizon = "group_sequential"', 'horizon = "group_sequential"\nalpha = 0.1'))
    with pytest.raises(MetricsError, match=f"alpha was 0.05 at its first look .{day(2)}. and is 0.1 now"):
        bench.run(AT_LAST)
    bench.edit(("\nalpha = 0.1", ""), ("[segments]", '[analysis]\nspending = "pocock"\n\n[segments]'))
    with pytest.raises(MetricsError, match=r"spending was .*obrien_fleming.* and is .*pocock"):
        bench.run(AT_LAST)


def test_the_spending_of_the_file_is_used(bench: Bench):
    bench.edit(("[segments]", '[analysis]\nspending = "pocock"\n\n[segments]'))
    bench.land_all().run(AT_LAST)
    boundaries = [
        row[0] for row in bench.query("SELECT boundary FROM looks WHERE metric = 'bought' ORDER BY look")
    ]
    assert boundaries == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=1.5e-4)  # ldbounds


def test_a_metric_that_is_defined_otherwise_has_no_evidence_of_before(bench: Bench):
    bench.land_all().run(morning(7))
    assert bench.p_values()[day(4)] is not None
    bench.edit(('window = "1d"', 'window = "12h"'), folder="metrics")
    bench.run(morning(7))
    assert bench.p_values()[day(4)] is None
    assert len(bench.schedule()) == 3


def test_a_new_iteration_has_looks_of_its_own(bench: Bench):
    bench.land_all().run(AT_LAST)
    first = bench.looks()
    bench.edit(("control =", "iteration = 2\ncontrol ="))
    again = [
        exposure(unit, noon(1 + unit // PER_DAY), exposure_id=f"y{unit}", iteration=2)
        for unit in range(2 * PER_DAY)
    ]
    bench.land({"exposures": again})
    bench.run(AT_LAST)
    assert [row for row in bench.looks() if row[1] == 1] == first
    found = bench.query("SELECT DISTINCT look, as_of, n FROM looks WHERE iteration = 2 ORDER BY look")
    assert found == [(1, day(2), PER_DAY), (2, day(3), 2 * PER_DAY)]


def test_a_changed_analysis_revises_results_from_the_moments_that_are_there(bench: Bench):
    bench.land_all().run(AT_LAST)
    moments, looks = bench.lake.version("moments"), bench.looks()
    bench.edit(("[segments]", '[analysis]\nmethods = ["newcombe"]\n\n[segments]'))
    bench.run(AT_LAST)
    assert bench.lake.version("moments") == moments
    assert bench.looks() == looks
    found = bench.query(
        "SELECT DISTINCT revision, count(*) FILTER (method = 'newcombe') > 0 FROM results "
        "GROUP BY as_of, revision"
    )
    assert set(found) >= {(0, False), (1, True)}


@pytest.mark.slow
def test_the_command_takes_and_publishes_all_whatever_its_range(bench: Bench, undisturbed: Bench):
    bench.land_all()
    (outcome,) = json.loads(tenbin("run", str(bench.root), "--from", str(day(8)), "--json").stdout)[
        "experiments"
    ]
    with tenbin_package.open(bench.root) as con:
        assert con.execute("SELECT * FROM looks ORDER BY ALL").fetchall() == undisturbed.looks()
    looks = json.loads(Path(outcome["result_json"]).read_text(encoding="utf-8"))["looks"]
    assert looks["spending"] == "obrien_fleming"
    assert "next_day" not in looks or looks["next_day"] is None
    bought = [
        (look["number"], look["as_of"], shown["boundary"], shown["z"], shown["crossed"])
        for look in looks["taken"]
        for shown in look["comparisons"]
        if shown["metric"] == "bought"
    ]
    kept = undisturbed.query(
        "SELECT look, as_of::VARCHAR, z FROM looks WHERE metric = 'bought' ORDER BY look"
    )
    assert [(number, as_of, z) for number, as_of, _, z, _ in bought] == kept
    assert [boundary for _, _, boundary, _, _ in bought] == pytest.approx(PUBLISHED, abs=1.5e-4)
    assert [crossed for *_, crossed in bought] == [False, True, True, True, True]


def test_the_next_look_is_on_a_day_that_is_not_closed_yet(bench: Bench):
    bench.edit(("control =", 'cadence = "2d"\ncontrol ='))
    bench.land_all().run(morning(6))
    assert bench.looks_readout().next_day == day(4)
    bench.run(morning(7))
    assert [look.as_of for look in bench.looks_readout().taken] == [day(2), day(4)]
    assert bench.looks_readout().next_day == day(6)
    bench.run(AT_LAST)
    assert bench.looks_readout().next_day is None


PLAN = Plan(
    experiment="e",
    iteration=1,
    control="A",
    variants=("A", "B"),
    alpha=0.1,
    horizon="group_sequential",
    planned_units=1_000,
    weights={"A": 1, "B": 1},
    metrics=(MetricPlan(name="m", kind="mean", role="primary"),),
    settings=Settings(spending=Pocock()),
)
LOOKS = 5
REPLICATIONS = 500


def test_looks_at_every_day_of_no_effect_keep_alpha():
    """Of many A/A experiments as many cross as alpha says, and too many where z is just read."""
    rng = np.random.default_rng(20261125)
    crossed = naive = 0
    for _ in range(REPLICATIONS):
        found, z = peeked(rng.standard_normal((2, PLAN.planned_units // 2)))
        (row,) = [one for one in found.results if one.headline and one.scale == "absolute"]
        crossed += row.p_value <= PLAN.alpha
        naive += max(map(abs, z)) >= scipy_stats.norm.isf(PLAN.alpha / 2)
    low, high = scipy_stats.binom.interval(0.999, REPLICATIONS, PLAN.alpha)
    assert low <= crossed <= high
    assert naive > high


def peeked(units: np.ndarray) -> tuple[Analysis, list[float]]:
    """An experiment as of its end, with all of its looks, and their z."""
    end = day(LOOKS)
    plan = LookPlan(alpha=PLAN.alpha, planned_units=PLAN.planned_units, last_day=end, spending=Pocock())
    taken: list[Taken] = []
    for number in range(1, LOOKS + 1):
        seen = units[:, : units.shape[1] * number // LOOKS]
        cells = [
            Cell(metric="m", variant=variant, moments=Moments(len(arm), (arm.mean(),), ((arm.var(ddof=1),),)))
            for variant, arm in zip("AB", seen, strict=True)
        ]
        look = next_look([one.look for one in taken], plan, as_of=day(number), n=mature_units(PLAN, cells))
        assert look is not None
        taken.append(Taken(look=look, evidence=evidence(PLAN, cells)))
    counts = dict.fromkeys(PLAN.variants, units.shape[1])
    found = analyse(PLAN, cells, counts=counts, as_of=end, ended=True, taken=taken)
    return found, [one.evidence[0].z for one in taken]
