"""Experiment files: what is read, what is written back, and what a wrong one is told."""

import datetime as dt
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assignments import (
    AssignmentsError,
    Experiment,
    Guardrail,
    MetricRoles,
    Phase,
    Segments,
    experiment_to_toml,
    load_experiments,
    parse_experiment,
)
from assignments.records import CONTRACTS, columns, required
from stats.bayes import Prior
from stats.plan import Settings
from stats.spending import Pocock, Power
from workspace import UserError, load_workspace


def test_the_whole_form_is_read(definition):
    experiment = parse_experiment(definition, where="f")
    assert experiment.variants == ("A", "B 😀")
    assert experiment.weights == {"A": 2.0, "B 😀": 2.0}
    assert experiment.horizon == "fixed", "an end is given, so the horizon is fixed"
    assert experiment.metrics.guardrail == (Guardrail("revenue_per_user", 0.02), Guardrail("latency"))
    assert experiment.metrics.names == (
        "checkout_conversion",
        "orders_per_user",
        "revenue_per_user",
        "latency",
    )
    assert experiment.phases[1].from_ == dt.datetime(2026, 1, 27, 0, 30, tzinfo=dt.UTC)
    assert experiment.phases[1].slice == ((0, 2000), (3000, 4000))


def test_without_an_end_the_horizon_is_anytime(definition):
    del definition["end"]
    assert parse_experiment(definition, where="f").horizon == "anytime"


def test_control_comes_first(definition):
    definition["control"] = "B 😀"
    assert parse_experiment(definition, where="f").variants == ("B 😀", "A")


def test_how_it_is_analysed_is_read(definition):
    definition["metrics"]["quality"] = ["crashes"]
    definition["analysis"] = {
        "alternative": "better",
        "correction": "hochberg",
        "strata": "country",
        "methods": ["newcombe", "boschloo"],
        "prior": {"mean": 0.01, "sd": 0.1},
        "spending": {"type": "power", "rho": 2},
    }
    experiment = parse_experiment(definition, where="f")
    assert experiment.analysis == Settings(
        alternative="better",
        correction="hochberg",
        strata="country",
        methods=("newcombe", "boschloo"),
        prior=Prior(mean=0.01, sd=0.1),
        spending=Power(rho=2),
    )
    assert experiment.metrics.by_role[-2:] == (("latency", "guardrail"), ("crashes", "quality"))
    assert parse_experiment(tomllib.loads(experiment_to_toml(experiment)), where="f") == experiment


def test_a_group_sequential_experiment_is_one_whose_file_says_so(definition):
    definition["cadence"] = "7d"
    assert parse_experiment(definition, where="f").horizon == "fixed"
    definition["horizon"] = "group_sequential"
    assert parse_experiment(definition, where="f").horizon == "group_sequential"


def test_a_spending_function_may_be_a_bare_name(definition):
    definition["analysis"] = {"spending": "pocock"}
    assert parse_experiment(definition, where="f").analysis == Settings(spending=Pocock())


def test_without_an_analysis_table_all_is_as_by_default(definition):
    experiment = parse_experiment(definition, where="f")
    assert experiment.analysis == Settings()
    assert "analysis" not in experiment_to_toml(experiment)


def test_round_trip(definition):
    experiment = parse_experiment(definition, where="f")
    text = experiment_to_toml(experiment)
    assert parse_experiment(tomllib.loads(text), where="f") == experiment
    assert experiment_to_toml(parse_experiment(tomllib.loads(text), where="f")) == text


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda text: text == text.strip()
)
free = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    key=words,
    title=free,
    variants=st.lists(words, min_size=2, max_size=4, unique=True),
    weight=st.floats(1e-6, 1e17) | st.integers(1, 10**20),
    names=st.lists(words.filter(lambda name: "=" not in name), min_size=4, max_size=4, unique=True),
    margin=st.none() | st.floats(0.001, 0.999),
    days=st.integers(0, 500),
)
def test_round_trip_of_any_experiment(**drawn):
    start = dt.date(2026, 1, 1)
    experiment = Experiment(
        key=drawn["key"],
        title=drawn["title"],
        hypothesis=drawn["title"],
        control=drawn["variants"][-1],
        horizon="fixed",
        start=start,
        end=start + dt.timedelta(days=drawn["days"]),
        phases=(
            Phase(
                from_=dt.datetime(2026, 1, 1, 3, 4, 5, 678, tzinfo=dt.UTC),
                weights=dict.fromkeys(drawn["variants"], float(drawn["weight"])),
            ),
        ),
        metrics=MetricRoles(
            primary=(drawn["names"][0],), guardrail=(Guardrail(drawn["names"][1], drawn["margin"]),)
        ),
        segments=Segments(from_exposure=(drawn["names"][2],), from_units=(drawn["names"][3],)),
    )
    text = experiment_to_toml(experiment)
    assert parse_experiment(tomllib.loads(text), where="f") == experiment


def test_the_fingerprint_follows_numbers_not_words(definition):
    experiment = parse_experiment(definition, where="f")
    assert experiment.fingerprint == replace(experiment, title="other", owner="x", hypothesis="y").fingerprint
    assert experiment.fingerprint != replace(experiment, alpha=0.01).fingerprint
    assert experiment.fingerprint != replace(experiment, control="B 😀").fingerprint
    assert experiment.fingerprint != replace(experiment, analysis=Settings(seed=1)).fingerprint
    assert len(experiment.fingerprint) == 16
    assert set(experiment.fingerprint) <= set("0123456789abcdef")


def test_what_only_the_statistics_read_makes_no_units_anew(definition):
    experiment = parse_experiment(definition, where="f")
    other = replace(
        experiment, alpha=0.01, compare="all_pairs", horizon="anytime", planned_units=9, cadence="7d",
        analysis=Settings(correction="none"),
    )  # fmt: skip
    assert other.units_fingerprint == experiment.units_fingerprint
    for moved in ({"end": None}, {"control": "B 😀"}, {"segments": Segments()}, {"bucketing": None}):
        assert replace(experiment, **moved).units_fingerprint != experiment.units_fingerprint


def change(path, value):
    """An edit of the parsed file: sets, or with `...` removes, what lies at a dotted path."""

    def edit(table):
        *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parts:
            table = table[part]
        if value is ...:
            del table[last]
        else:
            table[last] = value

    return edit


def changes(*each):
    """Several of them."""

    def edit(table):
        for path, value in each:
            change(path, value)(table)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("control", ...), 'key "control" is missing'),
        (change("control", "C"), 'control "C" is not among the variants; known: A, B 😀'),
        (
            change("phases.0.weights", {"A": 1, "B 😀": 0}),
            'variant "B 😀" has weight 0; a weight is a number above 0',
        ),
        (change("phases.0.weights", {"A": -1, "B 😀": 1}), 'variant "A" has weight -1'),
        (change("phases.0.weights", {"A": float("nan"), "B 😀": 1}), 'variant "A" has weight nan'),
        (
            change("phases.0.weights", {"A": "1", "B 😀": 1}),
            r"phases\[0\]\.weights.*Expected `float`, got `str`",
        ),
        (change("phases.0.weights", {"A": 1}), r"phases\[0\]\.weights: has 1 variants"),
        (
            change("phases.1.weights", {"A": 1, "B 😀": 2}),
            r"phases\[1\]\.ranges: \"A\" owns 5000 of 10000 shards, but its weight asks for 3333",
        ),
        (
            change("phases.1.since_version", 3),
            r"phases\[1\]\.since_version: 3 is not above 3 of the phase before",
        ),
        (
            change("phases.1.ranges", {"A": [[0, 4000]], "B 😀": [[4000, 10000]]}),
            "shards move between variants",
        ),
        (change("phases.1.from", dt.datetime(2026, 1, 1, tzinfo=dt.UTC)), "is not after 2026-01-25"),
        (change("phases.0.from", dt.datetime(2026, 1, 25)), "has no time zone"),  # noqa: DTZ001
        (
            change("pauses", [{"from": dt.datetime(2026, 1, 25)}]),  # noqa: DTZ001
            r"key \"pauses\[0\]\.to\" is missing",
        ),
        (
            change("pauses", [{"from": dt.datetime(2026, 1, 25), "to": dt.datetime(2026, 1, 26)}]),  # noqa: DTZ001
            r"pauses\[0\]: has no time zone",
        ),
        (
            change("pauses", [dict.fromkeys(("from", "to"), dt.datetime(2026, 1, 25, tzinfo=dt.UTC))]),
            r"pauses\[0\]: ends at .*, not after its begin",
        ),
        (change("phases", []), r"has 0 \[\[phases\]\] tables"),
        (change("phases", ...), 'key "phases" is missing'),
        (change("end", dt.date(2026, 1, 24)), "2026-01-24 lies before start = 2026-01-25"),
        (change("end", "soon"), 'key "end".*soon'),
        (
            changes(("horizon", "group_sequential"), ("end", ...)),
            'key "end" is missing; horizon "group_sequential" needs the last day',
        ),
        (
            changes(("horizon", "group_sequential"), ("planned_units", ...)),
            'key "planned_units" is missing; horizon "group_sequential" needs the units of all variants',
        ),
        (
            changes(("horizon", "group_sequential"), ("cadence", "36h")),
            'key "cadence": "36h" is not a number of days',
        ),
        (
            changes(("horizon", "group_sequential"), ("analysis", {"proportions": "barnard"})),
            'proportions "barnard" have no sequential form',
        ),
        (change("horizon", "sometimes"), 'key "horizon".*sometimes'),
        (
            change("phases.0.weights", {"A": 1e308, "B 😀": 1e308}),
            r'variant "A" has weight 1e\+308; a weight is a number above 0, from 1e-30 to 1e\+30',
        ),
        (
            change("phases.0.weights", {"A": 1, "B 😀": 2_000_000}),
            r'variant "B 😀" has weight 2e\+06 and "A" has 1; the largest may be at most 1,000,000 times',
        ),
        (
            change("start", dt.date(1969, 12, 31)),
            'key "start": 1969-12-31 is out of range; years from 1970 to',
        ),
        (
            change("end", dt.date(2200, 1, 1)),
            'key "end": 2200-01-01 is out of range; years from 1970 to 2199',
        ),
        (
            change("phases.0.from", dt.datetime(1, 1, 1, tzinfo=dt.UTC)),
            r"phases\[0\]\.from: .* is out of range",
        ),
        (change("alpha", 1.5), 'key "alpha": 1.5 must lie between 1e-12 and 0.5'),
        (change("alpha", 1e-320), 'key "alpha": 9.99989e-321 must lie between 1e-12 and 0.5'),
        (change("alpha", float("nan")), 'key "alpha": nan must lie'),
        (change("cadence", "daily"), '"daily" is not a duration'),
        (change("cadence", "0d"), '"0d" must be longer than nothing'),
        (change("cadence", "99999999999d"), '"99999999999d" is too long; at most "3650d"'),
        (change("planned_units", 0), 'key "planned_units": 0 must lie between 1 and 1000000000000'),
        (change("planned_units", 2**63 - 1), f'key "planned_units": {2**63 - 1} must lie'),
        (change("iteration", 0), 'key "iteration": 0 must lie between 1 and 2147483647'),
        (change("iteration", 2**31), 'key "iteration": 2147483648 must lie'),
        (change("key", " a"), "' a' must not be empty nor begin or end with a space"),
        (change("key", "a\nb"), "holds a control character"),
        (change("key", "a...b"), "range of partitions"),
        (change("key", "x" * 201), "has 201 characters; at most 200"),
        (change("hypotesis", "x"), 'unknown key "hypotesis"; did you mean "hypothesis"'),
        (change("metrics.primary", []), "name at least one metric that decides"),
        (change("metrics.secondary", ["checkout_conversion"]), '"checkout_conversion" is named twice'),
        (
            change("metrics.guardrail", [{"metric": "m", "margin": 2}]),
            r'"m": margin 2\.0 must lie between 0 and 1',
        ),
        (change("segments.from_units", ["device"]), 'segment "device" is in segments.from_exposure and in'),
        (
            change("segments.from_units", ["a=b"]),
            '"segments.from_units": "a=b" holds "=", which stands between',
        ),
        (change("segments.from_exposure", ["="]), '"segments.from_exposure": "=" holds "="'),
        (change("horizon", "fixd"), 'key "horizon" is "fixd"; did you mean "fixed"?'),
        (
            change("metrics.guardrail.0.margn", 1),
            'unknown key "metrics.guardrail.0..margn"; did you mean "margin"',
        ),
        (change("metrics.quality", ["latency"]), '"latency" is named twice'),
        (change("analysis", {"metods": []}), 'unknown key "analysis.metods"; did you mean "methods"?'),
        (
            change("analysis", {"methods": ["newcomb"]}),
            r'key "analysis.methods\[0\]" is "newcomb"; did you mean "newcombe"?',
        ),
        (change("analysis", {"methods": ["fisher", "fisher"]}), '"fisher" is named twice'),
        (
            change("analysis", {"correction": "holms"}),
            'key "analysis.correction" is "holms"; did you mean "holm"?',
        ),
        (change("analysis", {"spending": "pocok"}), 'is "pocok"; did you mean "pocock"?'),
        (change("analysis", {"spending": {"type": "power"}}), 'key "analysis.spending.rho" is missing'),
        (
            change("analysis", {"spending": {"type": "pocock", "rho": 1}}),
            'unknown key "analysis.spending.rho"',
        ),
        (
            change("analysis", {"spending": {"type": "power", "rho": 0}}),
            'key "analysis.spending": the power of a spending function must be positive',
        ),
        (change("analysis", {"prior": {"sd": 0.0}}), 'key "analysis.prior": a prior needs .* a positive sd'),
        (
            change("analysis", {"msprt": 0.0}),
            r"\[analysis\]: msprt is a standard deviation .* above 0, not 0.0",
        ),
        (change("analysis", {"seed": -1}), "seed must be a whole number from 0 on, not -1"),
        (
            change("analysis", {"strata": "contry"}),
            'strata "contry" is none of the segments .*; did you mean "country"',
        ),
        (change("analysis", {"adjustment": "post_stratified"}), '"post_stratified" needs strata'),
        (change("bucketing", ...), r"has no \[bucketing\] table"),
        (change("bucketing.algorithm", "murmur"), 'key "bucketing.algorithm".*murmur'),
        (change("bucketing.total_shards", 2_000_000), "must lie between 1 and 1000000"),
        (
            change("bucketing.split_salt", "layer-salt"),
            "two of layer_salt, split_salt and holdout_salt are equal",
        ),
        (change("bucketing.holdout_salt", ...), 'key "holdout_salt" is missing'),
        (change("phases.0.slice", ...), 'needs both "slice" and "ranges"'),
        (change("phases.0.slice", [[5, 5]]), r"\[5, 5\] is no range of shards"),
        (change("phases.0.slice", [[0, 20000]]), r"\[0, 20000\] is no range of shards"),
        (change("phases.0.slice", [[0, 10], [5, 20]]), r"\[5, 20\] overlaps"),
    ],
)
def test_what_is_wrong_is_said(definition, edit, message):
    edit(definition)
    with pytest.raises(AssignmentsError, match=message) as caught:
        parse_experiment(definition, where="experiments/f.toml")
    assert str(caught.value).startswith("experiments/f.toml: ")
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"A": [[0, 5000]], "B 😀": [[5000, 9999]]}, "leave shards to no variant"),
        ({"A": [[0, 4000]], "B 😀": [[4000, 10000]]}, '"A" owns 4000 of 10000 shards, .* asks for 5000'),
        ({"A": [[0, 10000]]}, "names the variants A; the weights name A, B 😀"),
    ],
)
def test_ranges_must_carry_out_the_weights(definition, ranges, message):
    for phase in definition["phases"]:
        phase["ranges"] = ranges
    with pytest.raises(AssignmentsError, match=message):
        parse_experiment(definition, where="f")


@pytest.fixture
def root(tmp_path):
    place = tmp_path / "店 with space"
    (place / "experiments").mkdir(parents=True)
    (place / "tenbin.toml").write_text('[workspace]\nname = "店"\n', encoding="utf-8")
    return place


def test_loading_a_workspace(root, definition):
    """The file may have any name; experiments come in the order of their keys."""
    assert load_experiments(load_workspace(root)) == {}
    experiment = parse_experiment(definition, where="f")

    def own_of(key):
        return replace(experiment.bucketing, layer=f"layer of {key}")

    for name, key in (("1.toml", "z"), ("対照.toml", "対照群"), ("a b.toml", "a")):
        text = experiment_to_toml(replace(experiment, key=key, bucketing=own_of(key)))
        (root / "experiments" / name).write_text("\ufeff" + text, encoding="utf-8")
    loaded = load_experiments(load_workspace(root))
    assert list(loaded) == ["a", "z", "対照群"]
    assert loaded["対照群"] == replace(experiment, key="対照群", bucketing=own_of("対照群"))


def test_two_files_with_one_key(root, definition):
    text = experiment_to_toml(parse_experiment(definition, where="f"))
    for name in ("one.toml", "two.toml"):
        (root / "experiments" / name).write_text(text, encoding="utf-8")
    with pytest.raises(
        AssignmentsError, match=r'two\.toml: key "banner 対照" is already the key of one\.toml'
    ):
        load_experiments(load_workspace(root))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"key = ", "is not valid TOML"),
        (b"key = " + b"[" * 100_000, "is not valid TOML"),
        (b"key = " + b"9" * 10_000, "is not valid TOML"),
        (b"\xff\xfe", "readable UTF-8 text file"),
        (b"# " + b"x" * (1 << 20), "is larger than 1048576 bytes"),
        (b"", 'key "control" is missing'),
    ],
)
def test_a_file_that_is_no_experiment(root, data, message):
    (root / "experiments" / "f.toml").write_bytes(data)
    with pytest.raises(AssignmentsError, match=rf"f\.toml: .*{message}"):
        load_experiments(load_workspace(root))


def test_record_contracts():
    """Every kind but aggregates names its unit, and an assignment is an exposure at decision time."""
    for kind in CONTRACTS.keys() - {"moments"}:
        assert {"environment", "unit_type", "unit_id"} <= set(columns(kind))
        assert "unit_id" in required(kind)
    assert CONTRACTS["assignments"] == CONTRACTS["exposures"]
