"""The demo's world: units, sessions, what they do, and who saw which variant. One seed, one world.

Every unit has a rate of coming by and a taste for buying; every session may show what an experiment tests.
From a unit's first exposure on, the treatment multiplies what the unit would have done by a known factor.
All of it is vectorised over sessions.
"""

import datetime as dt
from typing import NamedTuple

import numpy as np
import polars as pl

from assignments import Experiment
from assignments.bulk import assign_frame
from tenbin import demo_definitions as definitions
from tenbin.demo_definitions import BROKEN, GUARDRAIL, HISTORY_DAYS, NO_EFFECT, START, TAIL_DAYS, WINNER

_SECOND = 1_000  # of the millisecond clock that everything here runs on
_DAY = 86_400 * _SECOND
_EPOCH = dt.date(1970, 1, 1)

# Share of sessions that come by what an experiment tests.
_SURFACE = {WINNER: 0.85, NO_EFFECT: 0.80, GUARDRAIL: 0.90, BROKEN: 0.95}
_TREATMENT = "treatment"
_WEEK = np.array([0.9, 0.9, 0.95, 1.0, 1.05, 1.15, 1.05])  # Monday first
_COUNTRIES = ("JP", "US", "DE", "BR")
_PLANS = ("無料", "プラス", "プロ")
_CITIES = ("東京", "大阪", "札幌", "那覇", "New York", "München", "São Paulo", "Kraków")
_DEVICES = ("mobile", "desktop", "tablet")
_TOPICS = ("配送", "返品", "payment", "account")

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Seen(NamedTuple):
    """Who saw what of one experiment.

    `exposures`: one row per exposure that arrives; `assignments`: one per unit at its first decision.
    """

    exposures: pl.DataFrame
    assignments: pl.DataFrame


class World(NamedTuple):
    """Everything that happened, as frames with `at` in milliseconds since 1970.

    `events` by name: unit_id, at, value, currency and the properties as further columns.
    """

    units: pl.DataFrame
    events: dict[str, pl.DataFrame]
    seen: dict[str, Seen]


class _Sessions(NamedTuple):
    """Sessions in order of unit and time."""

    unit: Ints
    at: Ints
    device: Ints


class _Enrolment(NamedTuple):
    exposures: pl.DataFrame
    assignments: pl.DataFrame
    treated: Bools  # by session


def simulate(experiments: dict[str, Experiment], *, units: int, days: int, seed: int) -> World:
    """Let `units` units live through the experiments' `days`, some history before and a tail after."""
    rng = np.random.default_rng(seed)
    frame = _units(rng, units)
    sessions = _sessions(rng, units, days)
    enrolments = {
        key: _enrol(rng, experiment, frame["unit_id"], sessions, days)
        for key, experiment in experiments.items()
    }
    treated = {key: enrolment.treated for key, enrolment in enrolments.items()}
    events = _events(rng, frame["unit_id"], sessions, treated)
    seen = {key: Seen(item.exposures, item.assignments) for key, item in enrolments.items()}
    return World(frame, events, seen)


def milliseconds(day: dt.date) -> int:
    """Midnight UTC of a day on the world's clock."""
    return (day - _EPOCH).days * _DAY


def _units(rng: np.random.Generator, units: int) -> pl.DataFrame:
    """Ids (a few of them in other scripts) and attributes, some of which nobody knows."""
    number = pl.Series("number", np.arange(units)).cast(pl.String).str.zfill(len(str(units)))
    style = rng.choice(4, units, p=[0.97, 0.01, 0.01, 0.01])
    prefix = pl.Series(np.array(["user", "ゆき", "zoë", "😀"], dtype=object)[style].tolist(), dtype=pl.String)
    frame = pl.DataFrame({"unit_id": prefix + "-" + number})
    attributes = {
        "country": (_COUNTRIES, [0.55, 0.2, 0.15, 0.1], 0.03),
        "plan": (_PLANS, [0.7, 0.2, 0.1], 0.0),
        "city": (_CITIES, [0.25, 0.15, 0.1, 0.05, 0.15, 0.1, 0.1, 0.1], 0.1),
    }
    for name, (values, odds, missing) in attributes.items():
        chosen = _pick(values, rng.choice(len(values), units, p=odds))
        known = pl.Series(rng.random(units) >= missing)
        frame = frame.with_columns(pl.when(known).then(chosen).alias(name))
    return frame


def _pick(values: tuple[str, ...], index: Ints) -> pl.Series:
    return pl.Series(values, dtype=pl.String).gather(pl.Series(index))


def _sessions(rng: np.random.Generator, units: int, days: int) -> _Sessions:
    length = HISTORY_DAYS + days + TAIL_DAYS
    first = START - dt.timedelta(days=HISTORY_DAYS)
    rate = rng.gamma(1.5, 0.10 / 1.5, units)
    week = _WEEK[(np.arange(length) + first.weekday()) % 7]
    counts = rng.poisson(rate[:, None] * week[None, :]).ravel()
    cell = np.repeat(np.arange(units * length), counts)
    unit, day = np.divmod(cell, length)
    hour = rng.normal(11.0, 4.0, cell.size) % 24
    at = milliseconds(first) + day * _DAY + (hour * 3_600 * _SECOND).astype(np.int64)
    order = np.lexsort((at, unit))
    device = rng.choice(3, units, p=[0.6, 0.3, 0.1])
    # One session in ten is on another device than the unit's usual one.
    other = rng.random(cell.size) < 0.1  # noqa: PLR2004
    used = np.where(other, rng.integers(0, 3, cell.size), device[unit])
    return _Sessions(unit[order], at[order], used)


def _enrol(
    rng: np.random.Generator, experiment: Experiment, ids: pl.Series, sessions: _Sessions, days: int
) -> _Enrolment:
    """Who is assigned by the real bucketing, who is exposed when, and which sessions the treatment shapes."""
    start = milliseconds(START)
    open_ = (sessions.at >= start) & (sessions.at < start + days * _DAY)
    shown = open_ & (rng.random(sessions.at.size) < _SURFACE[experiment.key])
    late_phase = sessions.at >= int(experiment.phases[-1].from_.timestamp() * _SECOND)
    codes = np.stack(
        [_codes(experiment, ids, phase) for phase in (1, len(experiment.phases))]
    )  # −1: not in the experiment
    code = codes[late_phase.astype(np.int64), sessions.unit]
    enrolled = shown & (code >= 0)
    index = np.flatnonzero(enrolled)
    first = index[np.unique(sessions.unit[index], return_index=True)[1]]
    begin = np.full(ids.len(), np.iinfo(np.int64).max)
    begin[sessions.unit[first]] = sessions.at[first]
    treated = (
        (sessions.at >= begin[sessions.unit]) & (code == experiment.variants.index(_TREATMENT))
        if (_TREATMENT in experiment.variants)
        else np.zeros(sessions.at.size, dtype=np.bool_)
    )
    # A client that restarts tells of its exposure again: one later session in seven.
    again = enrolled & (rng.random(sessions.at.size) < 1 / 7)
    again[first] = True
    if experiment.key == BROKEN:
        # The treatment's page leaves before the exposure is sent, for the same units every time.
        lost = rng.random(ids.len()) < definitions.LOST_SHARE
        again &= ~(lost[sessions.unit] & (code == experiment.variants.index(_TREATMENT)))
    version = np.where(late_phase, len(experiment.phases), 1)

    def records(rows: Ints, delay_ms: int) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "unit_id": ids.gather(pl.Series(sessions.unit[rows])),
                "at": sessions.at[rows] + delay_ms + rng.integers(0, _SECOND, rows.size),
                "variant": _pick(experiment.variants, code[rows]),
                "ruleset_version": version[rows],
                "device": _pick(_DEVICES, sessions.device[rows]),
            }
        )

    return _Enrolment(records(np.flatnonzero(again), _SECOND), records(first, 0), treated)


def _codes(experiment: Experiment, ids: pl.Series, phase: int) -> Ints:
    variant = assign_frame(experiment, ids, phase=phase)["variant"]
    numbers = {name: number for number, name in enumerate(experiment.variants)}
    return variant.replace_strict(numbers, default=-1, return_dtype=pl.Int64).to_numpy()


def _events(
    rng: np.random.Generator, ids: pl.Series, sessions: _Sessions, treated: dict[str, Bools]
) -> dict[str, pl.DataFrame]:
    """What happens in each session, after the exposure that opens it (which is over in two seconds)."""
    size = sessions.at.size
    taste = rng.lognormal(-0.08, 0.4, ids.len())[sessions.unit]

    def happened(rows: Ints, after_s: Floats) -> dict[str, pl.Series]:
        return {
            "unit_id": ids.gather(pl.Series(sessions.unit[rows])),
            "at": pl.Series(sessions.at[rows] + (after_s * _SECOND).astype(np.int64)),
        }

    everyone = np.arange(size)
    session = pl.DataFrame(
        {
            **happened(everyone, np.full(size, 2.5)),
            "device": _pick(_DEVICES, sessions.device),
        }
    )
    views = 1 + rng.poisson(1.1, size)
    viewed = np.repeat(everyone, views)
    slower = np.where(treated[GUARDRAIL][viewed], definitions.LOAD_TIME_FACTOR, 1.0)
    load_ms = np.rint(rng.lognormal(np.log(900.0), 0.6, viewed.size) * slower).astype(np.int64)
    page_view = pl.DataFrame(
        {
            **happened(viewed, 3 + rng.exponential(60.0, viewed.size)),
            "path": _pick(("/", "/search", "/item", "/cart"), rng.integers(0, 4, viewed.size)),
            "load_ms": load_ms,
        }
    )
    cart_odds = 0.15 * taste * np.where(treated[GUARDRAIL], definitions.CART_FACTOR, 1.0)
    carts = np.flatnonzero(rng.random(size) < cart_odds)
    cart_after = 90 + rng.exponential(60.0, carts.size)
    add_to_cart = pl.DataFrame(
        {
            **happened(carts, cart_after),
            "item": pl.Series(rng.integers(1, 500, carts.size)).cast(pl.String).str.zfill(3),
        }
    )
    buy_odds = 0.45 * np.where(treated[WINNER][carts], definitions.PURCHASE_FACTOR, 1.0)
    buys = rng.random(carts.size) < buy_odds
    buyers = carts[buys]
    items = 1 + rng.poisson(0.5, buyers.size)
    yen = np.rint(rng.lognormal(np.log(2_400.0), 0.6, buyers.size) * items / 10).astype(np.int64) * 10
    purchase = pl.DataFrame(
        {
            **happened(buyers, cart_after[buys] + 45 + rng.exponential(30.0, buyers.size)),
            "value": yen,
            "currency": pl.repeat("JPY", buyers.size, eager=True),
            "items": items,
            "device": _pick(_DEVICES, sessions.device[buyers]),
        }
    )
    asking = np.flatnonzero(rng.random(size) < 0.012)  # noqa: PLR2004
    support_contact = pl.DataFrame(
        {
            **happened(asking, 200 + rng.exponential(100.0, asking.size)),
            "topic": _pick(_TOPICS, rng.integers(0, len(_TOPICS), asking.size)),
        }
    )
    return {
        "session": session,
        "page_view": page_view,
        "add_to_cart": add_to_cart,
        "purchase": purchase,
        "support_contact": support_contact,
    }
