"""Unit metrics and moments against a recomputation that goes through every event of every unit."""

import datetime as dt
import math
import os
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from metrics.build import build_metrics
from metrics.model import Before, Metric, Part, Weighted

EXAMPLES = 200 if os.environ.get("TENBIN_TEST_FULL") else 12  # for each of three time zones
BASE = dt.datetime(2026, 1, 10, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MICRO = dt.timedelta(microseconds=1)
WHERE = {"field": "properties.country", "op": "equals", "value": "JP"}

PLAIN = (
    Metric(name="bought", kind="conversion", event="purchase"),
    Metric(name="bought_2d", kind="conversion", event="purchase", window="2d", covariate="2d"),
    Metric(name="bought_6h", kind="conversion", event="purchase", window="6h"),
    Metric(name="売上", kind="revenue", event="purchase", currency="JPY", window="36h", covariate="3d"),
    Metric(name="revenue_jp", kind="sum", event="purchase", value="properties.amount", where=WHERE),
    Metric(
        name="views", kind="count", event="view", window="3d",
        covariates=(
            Before(kind="sum", event="purchase", value="properties.amount", before="2d"),
            Before(kind="conversion", event="view", before="4d"),
        ),
    ),
    Metric(name="active", kind="engagement", event="view", measure="active_days", covariate="1d"),
    Metric(
        name="value_per_view",
        kind="ratio",
        numerator=Part(kind="sum", event="purchase", currency="JPY"),
        denominator=Part(kind="count", event="view"),
        window="1d",
        covariate="2d",
    ),
    Metric(name="back_d1", kind="retention", event="view", after="1d", window="2d", covariate="2d"),
    Metric(name="back_h12", kind="retention", event="purchase", after="12h", window="60h", where=WHERE),
    Metric(name="back_twice", kind="retention", event="view", after="6h", window="9h", at_least=2),
    Metric(name="bought_twice", kind="conversion", event="purchase", window="3d", at_least=2, covariate="3d"),
    Metric(name="first_purchase", kind="conversion", event="purchase", first="2d", window="36h"),
    Metric(
        name="repeats_per_view",
        kind="ratio",
        numerator=Part(kind="conversion", event="purchase", at_least=2),
        denominator=Part(kind="conversion", event="view"),
    ),
    Metric(
        name="until_purchase",
        kind="time_to_event",
        event="purchase",
        window="3d",
        time_unit="hours",
        covariates=(Before(kind="count", event="view", before="2d"),),
    ),
    Metric(name="until_jp", kind="time_to_event", event="purchase", window="30h", where=WHERE),
    Metric(
        name="net",
        kind="composite",
        combine=(
            Weighted(metric="売上"),
            Weighted(metric="views", weight=-2.25),
            Weighted(metric="back_d1", weight=1e-6),
        ),
        covariate="2d",
    ),
    Metric(name="per_net", kind="ratio", numerator=Part(metric="back_twice"), denominator=Part(metric="net")),
    Metric(
        name="loyal",
        kind="composite",
        combine=(Weighted(metric="bought", weight=3), Weighted(metric="active", weight=0.5)),
    ),
)  # fmt: skip
METRICS = tuple(
    build_metrics({m.name: m for m in PLAIN}, {m.name: Path("m.toml") for m in PLAIN})[0].values()
)
BY_NAME = {metric.name: metric for metric in METRICS}

# On the edges of days (Los Angeles: 8:00 of UTC, Tokyo: 15:00) and windows, and a microsecond beside them.
OFFSETS = st.builds(
    lambda quarter, hours, micro: BASE + (6 * quarter + hours) * HOUR + dt.timedelta(microseconds=micro),
    st.integers(-14, 16),
    st.sampled_from([0, 0, 2, 3]),
    st.sampled_from([0, 0, -1, 1]),
)
WHEN = st.one_of(OFFSETS, OFFSETS.map(lambda at: at.date()))
UNITS = st.integers(0, 2)
EXPOSURES = st.lists(
    st.fixed_dictionaries(
        {
            "unit": UNITS,
            "at": WHEN,
            "variant": st.sampled_from([*["A"] * 6, *["B"] * 5, "ghost"]),
            "environment": st.sampled_from([*["production"] * 7, "staging"]),
            "iteration": st.sampled_from([*[1] * 7, 2]),
        }
    ),
    min_size=1,
    max_size=4,
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "unit": UNITS,
            "at": WHEN,
            "event": st.sampled_from(["purchase", "purchase", "view", "other"]),
            "environment": st.sampled_from([*["production"] * 7, "staging"]),
            "value": st.one_of(st.none(), st.decimals("-99", "9999", places=6)),
            "currency": st.sampled_from(["JPY", "JPY", "EUR", None]),
            "properties": st.sampled_from(
                [
                    "{}",
                    '{"country": "JP", "amount": 12.5}',
                    '{"country": "JP", "amount": "3.25"}',
                    '{"country": "JP", "amount": "much"}',
                    '{"country": "US", "amount": 7}',
                ]
            ),
        }
    ),
    min_size=8,
    max_size=30,
)
AMOUNTS = {
    '{"country": "JP", "amount": 12.5}': Decimal("12.5"),
    '{"country": "JP", "amount": "3.25"}': Decimal("3.25"),
    '{"country": "US", "amount": 7}': Decimal(7),
}


def is_date(at):
    return not isinstance(at, dt.datetime)


def day_of(at):
    return at if is_date(at) else at.astimezone(dt.UTC).date()


def instant_of(at):
    return dt.datetime.combine(at, dt.time(), dt.UTC) if is_date(at) else at


def local_day_of(at, zone):
    return at if is_date(at) else at.astimezone(zone).date()


def days(length):
    """A length in begun days; before exposure it is below 0."""
    begun = math.ceil(abs(length) / (24 * HOUR))
    return dt.timedelta(days=begun if length > dt.timedelta() else -begun)


def between(exposed, at, begin, end, zone):
    """Whether an event lies in [exposure + begin, exposure + end), at the precision that both sides have."""
    if is_date(exposed) or is_date(at):
        exposed_on, day = local_day_of(exposed, zone), local_day_of(at, zone)
        return day >= exposed_on + days(begin) and (end is None or day < exposed_on + days(end))
    return at >= exposed + begin and (end is None or at < exposed + end)


def happened(event, part):
    if event["event"] != part.event or event["environment"] != "production":
        return False
    if part.where is not None and '"JP"' not in event["properties"]:
        return False
    return part.currency is None or event["currency"] in (part.currency, None)


def measured(events, part):
    """The number of a part, from the events that count."""
    found = [event for event in events if happened(event, part)]
    match part.kind, part.measure:
        case "conversion", _:
            return Fraction(len(found) >= part.at_least)
        case "count", _:
            return Fraction(len(found))
        case "engagement", "active_days":
            return Fraction(len({day_of(event["at"]) for event in found}))
        case _:
            if part.value == "properties.amount":
                return sum((Fraction(AMOUNTS.get(event["properties"], 0)) for event in found), Fraction(0))
            return sum((Fraction(event["value"] or 0) for event in found), Fraction(0))


def expected_units(exposures, events, as_of, zone):
    """Unit → (variant, {metric: (mature, values)})."""
    units = {}
    for unit in {row["unit"] for row in exposures}:
        mine = [
            row
            for row in exposures
            if row["unit"] == unit and row["environment"] == "production" and row["iteration"] == 1
        ]
        if not mine:
            continue
        # Insertion order is the order of ids, which decides between rows of one instant.
        first = min(mine, key=lambda row: instant_of(row["at"]))
        others = [row for row in mine if row["variant"] != first["variant"] and day_of(row["at"]) <= as_of]
        if day_of(first["at"]) > as_of or others or first["variant"] == "ghost":
            continue
        own = [event for event in events if event["unit"] == unit and day_of(event["at"]) <= as_of]
        units[unit] = (
            first["variant"],
            {metric.name: expected_values(metric, first["at"], own, as_of, zone) for metric in METRICS},
        )
    return units


def length(duration):
    """A duration as it is written ("36h")."""
    return dt.timedelta(**{{"h": "hours", "d": "days"}[duration[-1]]: int(duration[:-1])})


def outcome_of(metric, exposed, events, zone, before=None):
    """The numbers of a unit: after exposure, or in so long before it."""
    if metric.kind == "composite":
        summands = [outcome_of(BY_NAME[one.metric], exposed, events, zone, before) for one in metric.combine]
        weights = [Fraction(str(one.weight)) for one in metric.combine]
        return [sum((w * value for w, (value,) in zip(weights, summands, strict=True)), Fraction(0))]
    if metric.numerator is not None and metric.numerator.metric is not None:
        named = (metric.numerator.metric, metric.denominator.metric)
        return [outcome_of(BY_NAME[name], exposed, events, zone, before)[0] for name in named]
    begin = length(metric.after) if metric.after else dt.timedelta()
    end = length(metric.window) if metric.window else None
    if before is not None:
        begin, end = -before, dt.timedelta()
    inside = [event for event in events if between(exposed, event["at"], begin, end, zone)]
    if metric.kind == "time_to_event":
        times = [time_to(exposed, event["at"], zone) for event in inside if happened(event, metric.parts[0])]
        unit = HOUR if metric.time_unit == "hours" else dt.timedelta(seconds=1)
        return [Fraction(min(times) // MICRO, unit // MICRO)] if times else [None]
    values = [measured(inside, part) for part in metric.parts]
    if metric.first is not None and before is None:
        span = (-length(metric.first), dt.timedelta())
        earlier = [event for event in events if between(exposed, event["at"], *span, zone)]
        values = [value * (not measured(earlier, metric.parts[0])) for value in values]
    return values


def time_to(exposed, at, zone):
    """From exposure to an event; whole days where either has only a date."""
    if is_date(exposed) or is_date(at):
        return local_day_of(at, zone) - local_day_of(exposed, zone)
    return at - exposed


def window_of(metric):
    """When the last of a metric's windows is over."""
    if metric.kind == "composite":
        windows = [window_of(BY_NAME[one.metric]) for one in metric.combine]
    elif metric.numerator is not None and metric.numerator.metric is not None:
        windows = [window_of(BY_NAME[part.metric]) for part in (metric.numerator, metric.denominator)]
    else:
        windows = [length(metric.window) if metric.window else None]
    return None if None in windows else max(windows)


def expected_values(metric, exposed, events, as_of, zone):
    values = outcome_of(metric, exposed, events, zone)
    if metric.covariate is not None:
        values += outcome_of(metric, exposed, events, zone, before=length(metric.covariate))
    for part in metric.covariates:
        span = (-length(part.before), dt.timedelta())
        earlier = [event for event in events if between(exposed, event["at"], *span, zone)]
        values.append(measured(earlier, part))
    end = dt.datetime.combine(as_of + dt.timedelta(days=1), dt.time(), dt.UTC)
    window = window_of(metric)
    if window is None:
        return True, values
    over_on = local_day_of(exposed, zone) + days(window)
    over_at = dt.datetime.combine(over_on, dt.time(), zone) if is_date(exposed) else exposed + window
    return over_on <= end.date() and over_at <= end, values


def moments_of(rows):
    """n, means and covariances (n - 1), in fractions."""
    n = len(rows)
    if not n:
        return 0, None, None
    width = range(len(rows[0]))
    means = [sum((row[i] for row in rows), Fraction(0)) / n for i in width]
    if n == 1:
        return n, means, None
    cov = [
        [
            sum(((row[i] - means[i]) * (row[j] - means[j]) for row in rows), Fraction(0)) / (n - 1)
            for j in width
        ]
        for i in width
    ]
    return n, means, cov


@pytest.fixture(scope="module", params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def shared(make_bench, request):
    """One connection for all examples: making the tables takes longer than using them."""
    made = make_bench(timezone=request.param)
    yield made
    made.con.close()


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    exposures=EXPOSURES, events=EVENTS, as_of=st.integers(-3, 6).map(lambda d: (BASE + d * 24 * HOUR).date())
)
@example(exposures=[], events=[], as_of=BASE.date())
def test_moments_are_those_of_going_through_every_event(  # noqa: PLR0917
    shared, experiment_of, rows_of, exposures, events, as_of
):
    """Windows, precision, filters, currencies, covariates, mixed and unknown variants at once."""
    bench = shared.emptied()
    bench.insert(
        "exposures", [rows_of.exposure(number=number, **row) for number, row in enumerate(exposures)]
    )
    bench.insert("events", [rows_of.event(number=number, **row) for number, row in enumerate(events)])
    engine, experiment = bench.engine(*METRICS), experiment_of(*(metric.name for metric in METRICS))
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, as_of)
    units = expected_units(exposures, events, as_of, bench.workspace.timezone)
    assert engine.enrolment(bench.con, experiment).counts(as_of) == {
        arm: sum(variant == arm for variant, _ in units.values()) for arm in "AB"
    }
    for metric in METRICS:
        for arm in "AB":
            rows = [values[metric.name] for variant, values in units.values() if variant == arm]
            counted = [values for mature, values in rows if mature and None not in values]
            n, means, cov = moments_of(counted)
            cell = cells[metric.name, arm, None]
            immature = sum(not mature for mature, _ in rows)
            assert (cell.moments.n, cell.n_immature) == (n, immature), metric.name
            if n:
                assert cell.moments.mean == pytest.approx([float(mean) for mean in means], rel=1e-14), (
                    metric.name
                )
            if n > 1:
                got = [number for line in cell.moments.cov for number in line]
                want = [float(number) for line in cov for number in line]
                assert got == pytest.approx(want, rel=1e-12), metric.name


EXPOSED = BASE + 14 * HOUR


@pytest.mark.parametrize(
    ("at", "counts", "counts_before"),
    [
        (EXPOSED, True, False),
        (EXPOSED - MICRO, False, True),
        (EXPOSED + 36 * HOUR - MICRO, True, False),
        (EXPOSED + 36 * HOUR, False, False),
        (EXPOSED + 36 * HOUR + MICRO, False, False),
        (BASE + 24 * HOUR, True, False),
        (EXPOSED - 48 * HOUR, False, True),
        (EXPOSED - 48 * HOUR - MICRO, False, False),
        (BASE - 24 * HOUR, False, True),
        (BASE.date(), True, False),
        ((BASE + 24 * HOUR).date(), True, False),
        ((BASE + 48 * HOUR).date(), False, False),
        ((BASE - 24 * HOUR).date(), False, True),
        ((BASE - 48 * HOUR).date(), False, True),
        ((BASE - 72 * HOUR).date(), False, False),
    ],
)
def test_the_edges_of_a_window_and_of_the_period_before(bench, experiment_of, at, counts, counts_before):
    """Exposed at 14:00; the window ends at 02:00 two days later; dated events count by days."""
    metric = Metric(name="bought", kind="count", event="purchase", window="36h", covariate="2d")
    engine, experiment = bench.engine(metric), experiment_of("bought")
    bench.exposure(1, EXPOSED, "A")
    bench.event(1, at)
    bench.prepare(engine, experiment)
    cell = bench.cells(engine, experiment, (BASE + 72 * HOUR).date())["bought", "A", None]
    assert cell.moments.mean == (float(counts), float(counts_before))


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        (EXPOSED + 24 * HOUR - MICRO, False),
        (EXPOSED + 24 * HOUR, True),
        (BASE + 48 * HOUR, True),
        (EXPOSED + 48 * HOUR - MICRO, True),
        (EXPOSED + 48 * HOUR, False),
        (BASE.date(), False),
        ((BASE + 24 * HOUR).date(), True),
        ((BASE + 48 * HOUR).date(), False),
    ],
)
def test_retention_begins_and_ends_as_long_after_exposure_as_it_says(bench, experiment_of, at, counts):
    """Day 1 of a unit exposed at 14:00 goes from 14:00 to 14:00; a dated event counts on the next day."""
    metric = Metric(name="day_1", kind="retention", event="visit", after="1d", window="2d")
    engine, experiment = bench.engine(metric), experiment_of("day_1")
    bench.exposure(1, EXPOSED, "A")
    bench.event(1, at, event="visit")
    bench.prepare(engine, experiment)
    early, late = ((BASE + days * 24 * HOUR).date() for days in (1, 2))
    assert bench.cells(engine, experiment, early)["day_1", "A", None].n_immature == 1
    assert bench.cells(engine, experiment, late)["day_1", "A", None].moments.mean == (float(counts),)


def test_a_time_to_an_event_leaves_units_without_it_out_and_counts_them(bench, experiment_of):
    metric = Metric(name="until", kind="time_to_event", event="purchase", window="7d", time_unit="hours")
    engine, experiment = bench.engine(metric), experiment_of("until")
    for unit in range(4):
        bench.exposure(unit, EXPOSED, "A")
    bench.exposure(4, EXPOSED + 24 * HOUR, "A")  # not over yet
    bench.event(0, EXPOSED + HOUR)
    bench.event(0, EXPOSED + 90 * HOUR)  # the first alone counts
    bench.event(1, EXPOSED + 48 * HOUR)  # on a whole day of the window
    bench.event(1, EXPOSED + 50 * HOUR)
    bench.event(2, EXPOSED + 7 * 24 * HOUR)  # too late
    bench.event(3, EXPOSED - HOUR)  # too early
    bench.prepare(engine, experiment)
    as_of = EXPOSED.date() + dt.timedelta(days=7)
    cell = bench.cells(engine, experiment, as_of)["until", "A", None]
    assert (cell.moments.n, cell.moments.mean, cell.n_immature) == (2, (24.5,), 1)
    (left_out,) = engine.exclusions(bench.con, experiment, as_of)
    assert (left_out.count, left_out.of) == (2, "units")
    assert "this conditions on behaviour after assignment" in left_out.reason
    engine.write_unit_metrics(bench.con, experiment, as_of)
    rows = bench.rows("unit_metrics", "unit_key, until, until__mature")
    assert sorted(rows) == [
        (0, 1.0, True),
        (1, 48.0, True),
        (2, None, True),
        (3, None, True),
        (4, None, False),
    ]


def test_a_unit_that_bought_before_stays_in_the_denominator_of_first_purchases(bench, experiment_of):
    metric = Metric(name="new", kind="conversion", event="purchase", first="30d", window="7d")
    engine, experiment = bench.engine(metric), experiment_of("new")
    for unit in range(4):
        bench.exposure(unit, BASE, "A")
    bench.event(1, BASE + HOUR)
    bench.event(2, BASE + HOUR)
    bench.event(2, BASE - 29 * 24 * HOUR)  # bought before: not for the first time
    bench.event(3, BASE + HOUR)
    bench.event(3, BASE - 31 * 24 * HOUR)  # longer ago than is looked back
    bench.prepare(engine, experiment)
    moments = bench.cells(engine, experiment, (BASE + 240 * HOUR).date())["new", "A", None].moments
    assert (moments.n, moments.mean) == (4, (0.5,))


@pytest.mark.parametrize(
    ("exposed", "first_mature"),
    [
        (BASE, BASE + 24 * HOUR),  # over at midnight, as the day is
        (BASE + MICRO, BASE + 48 * HOUR),
        (BASE - MICRO, BASE + 24 * HOUR),
        (BASE.date(), BASE + 24 * HOUR),
    ],
)
def test_a_unit_is_mature_when_its_window_is_over_by_the_end_of_the_day(
    bench, experiment_of, exposed, first_mature
):
    metric = Metric(name="bought", kind="conversion", event="purchase", window="2d")
    engine, experiment = bench.engine(metric), experiment_of("bought")
    bench.exposure(1, exposed, "A")
    bench.prepare(engine, experiment)
    for as_of, n in ((first_mature - 24 * HOUR, 0), (first_mature, 1)):
        cell = bench.cells(engine, experiment, as_of.date())["bought", "A", None]
        assert (cell.moments.n, cell.n_immature) == (n, 1 - n)


def test_many_days_at_once_are_the_days_one_by_one(bench, experiment_of):
    metric = Metric(name="bought", kind="conversion", event="purchase", window="2d", covariate="1d")
    engine, experiment = bench.engine(metric), experiment_of("bought")
    for unit in range(12):
        bench.exposure(unit, BASE + unit * 7 * HOUR, "AB"[unit % 2])
        bench.event(unit, BASE + unit * 13 * HOUR)
    bench.prepare(engine, experiment)
    days = [(BASE + day * 24 * HOUR).date() for day in range(8)]
    at_once = engine.moments(bench.con, experiment, days)
    one_by_one = [row for day in days for row in engine.moments(bench.con, experiment, day)]
    assert at_once == one_by_one
    assert len({row.moments.mean for row in at_once}) > 2


def test_a_purchase_on_the_day_of_a_dated_exposure_counts(bench, experiment_of):
    metric = Metric(name="bought", kind="conversion", event="purchase", window="1d")
    engine, experiment = bench.engine(metric), experiment_of("bought")
    bench.exposure(1, BASE.date(), "A")
    bench.event(1, BASE.date())
    bench.exposure(2, BASE + 23 * HOUR, "B")
    bench.event(2, BASE.date())
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, (BASE + 48 * HOUR).date())
    assert cells["bought", "A", None].moments.mean == (1.0,)
    assert cells["bought", "B", None].moments.mean == (1.0,)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Chatham"])
def test_a_date_is_compared_with_the_days_of_the_workspaces_time_zone(make_bench, experiment_of, zone):
    """Everyone is exposed on a date and buys at some hour of it, or the other way round."""
    bench = make_bench(timezone=zone)
    day_1 = Metric(name="day_1", kind="conversion", event="purchase", window="1d")
    ever = Metric(name="ever", kind="conversion", event="purchase")
    engine, experiment = bench.engine(day_1, ever), experiment_of("day_1", "ever")
    midnight = dt.datetime(2026, 1, 10, tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    for hour in range(24):
        bench.exposure(hour, BASE.date(), "A")
        bench.event(hour, midnight + hour * HOUR)
        bench.exposure(100 + hour, midnight + hour * HOUR, "B")
        bench.event(100 + hour, BASE.date())
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, (BASE + 72 * HOUR).date())
    for metric in ("day_1", "ever"):
        for arm in "AB":
            moments = cells[metric, arm, None].moments
            assert (moments.n, moments.mean) == (24, (1.0,)), (metric, arm)


def test_enrolment_ends_with_the_experiment_in_the_time_zone_of_the_workspace(make_bench, experiment_of):
    """A roll-out afterwards gives everybody the treatment; that makes nobody mixed, and enrols nobody."""
    bench = make_bench(timezone="Asia/Tokyo")
    metric = Metric(name="bought", kind="conversion", event="purchase")
    experiment = experiment_of("bought", start=dt.date(2026, 1, 10), end=dt.date(2026, 1, 11))
    engine = bench.engine(metric)
    last = dt.datetime(2026, 1, 11, 14, 59, 59, tzinfo=dt.UTC)  # 23:59:59 in Tokyo
    bench.exposure(1, last, "A")
    bench.exposure(1, last + dt.timedelta(seconds=1), "B")
    bench.exposure(2, last + dt.timedelta(seconds=1), "B")
    bench.exposure(3, dt.datetime(2026, 1, 9, 15, tzinfo=dt.UTC), "B")
    bench.exposure(4, dt.datetime(2026, 1, 9, 14, 59, tzinfo=dt.UTC), "B")
    bench.prepare(engine, experiment)
    assert engine.enrolment(bench.con, experiment).counts(dt.date(2026, 1, 20)) == {"A": 1, "B": 1}
    (left_out,) = engine.exclusions(bench.con, experiment, dt.date(2026, 1, 20))
    assert (left_out.reason, left_out.count, left_out.of) == (
        "only seen before the start or after the end",
        2,
        "units",
    )


def test_assigned_population_starts_with_the_assignment(bench, experiment_of, rows_of):
    metric = Metric(name="bought", kind="conversion", event="purchase")
    experiment = experiment_of("bought", population="assigned")
    engine = bench.engine(metric)
    bench.insert("assignments", [rows_of.exposure(1, BASE, "A", 1)])
    bench.exposure(1, BASE + 2 * HOUR, "A")
    bench.exposure(2, BASE + 2 * HOUR, "B")
    bench.event(1, BASE + HOUR)
    bench.prepare(engine, experiment)
    cells = bench.cells(engine, experiment, BASE.date())
    assert engine.enrolment(bench.con, experiment).counts(BASE.date()) == {"A": 1, "B": 0}
    assert cells["bought", "A", None].moments.mean == (1.0,)
    assert cells["bought", "B", None].moments.n == 0


def test_order_of_arrival_does_not_decide_which_exposure_was_first(make_bench, experiment_of, rows_of):
    experiment = experiment_of("bought")
    found = []
    for reverse in (False, True):
        bench = make_bench()
        rows = [
            rows_of.exposure(1, BASE, "A", 1, attributes='{"device": "ios"}'),
            rows_of.exposure(1, BASE, "A", 2, attributes='{"device": "web"}'),
        ]
        bench.insert("exposures", rows[::-1] if reverse else rows)
        engine = bench.engine(Metric(name="bought", kind="conversion", event="purchase"))
        bench.prepare(engine, experiment)
        found.append(bench.rows("first_exposures", "unit_key, exposed_at, attributes"))
    assert found[0] == found[1]
    assert found[0][0][2] == '{"device": "ios"}'


def test_experiments_by_user_by_account_and_by_device_read_their_own_events(bench, experiment_of, rows_of):
    """Keys of units are dense within their type, so that the same number is another unit of each."""
    metric = Metric(name="orders", kind="count", event="purchase", window="3d", covariate="2d")
    types = ("user", "account", "device")
    engine = bench.engine(metric)
    experiments = [experiment_of("orders", key=f"by_{kind}", unit_type=kind) for kind in types]
    exposures, events = [], []
    for times, kind in enumerate(types, start=1):
        for unit in (1, 2):
            of = {"unit_type": kind, "unit_id": f"{kind} {unit}"}
            number = len(exposures)
            exposures.append(
                rows_of.exposure(unit, EXPOSED, "AB"[unit - 1], number, experiment=f"by_{kind}", **of)
            )
            hours = [unit * day * 24 + 1 for day in range(times)][: times if unit == 1 else 1]
            for hour in (-20, *hours):
                events.append(rows_of.event(unit, EXPOSED + hour * HOUR, len(events), **of))
    bench.insert("exposures", exposures)
    bench.insert("events", events)
    bench.prepare(engine, *experiments)
    as_of = EXPOSED.date() + dt.timedelta(days=5)
    for times, experiment in enumerate(experiments, start=1):
        cells = bench.cells(engine, experiment, as_of)
        assert engine.enrolment(bench.con, experiment).counts(as_of) == {"A": 1, "B": 1}
        assert cells["orders", "A", None].moments.mean == (float(times), 1.0)
        assert cells["orders", "B", None].moments.mean == (1.0, 1.0)
