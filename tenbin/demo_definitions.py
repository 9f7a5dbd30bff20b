"""What the demo measures and tests: its settings, metrics, four experiments, and the truth behind each."""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from assignments import Bucketing, Experiment, Guardrail, MetricRoles, Phase, Segments
from assignments.allocation import allocate, grow_slice
from stats.choices import Horizon
from stats.results import Verdict

START = dt.date(2026, 3, 2)
HISTORY_DAYS = 14  # of events before the experiments, which the covariates read
TAIL_DAYS = 7  # of events after them, which the windows of the last units reach into
GROWTH_DAY = 4  # days after the start on which `hd_images` goes from half to all of its layer
SHARDS = 10_000

WINNER = "one_page_checkout"
NO_EFFECT = "検索の並び順"
GUARDRAIL = "hd_images"
BROKEN = "new_onboarding"

# What a treatment really does, as factors on what the unit would have done.
PURCHASE_FACTOR = 1.25
CART_FACTOR = 1.15
LOAD_TIME_FACTOR = 1.25
LOST_SHARE = 0.12

TENBIN_TOML = """\
# A shop that never was. Everything in this directory was made by `tenbin demo` and can be made again.
[workspace]
name = "demo"
timezone = "UTC"
lateness = "2d"

# No [sources]: the files in landing/ have the form of Tenbin's own records and need no mapping.
"""

METRICS: Mapping[str, str] = {
    "shop.toml": """\
# What the shop is judged by. A duration is exact time after a unit's first exposure.

[purchase_conversion]
kind = "conversion"
event = "purchase"
window = "3d"
goal = 0.10
owner = "growth"
description = "Units that bought something within three days"

[add_to_cart_conversion]
kind = "conversion"
event = "add_to_cart"
window = "3d"
owner = "growth"
description = "Units that put something into the cart within three days"

[orders_per_user]
kind = "count"
event = "purchase"
window = "7d"
owner = "growth"

[items_per_user]
kind = "sum"
event = "purchase"
value = "properties.items"
window = "7d"
owner = "growth"

[revenue_per_user]
kind = "revenue"
event = "purchase"
value = "value"
currency = "JPY"
window = "7d"
winsorize = 0.999            # over all variants together
covariate = "14d"            # what the unit spent in the fortnight before
owner = "finance"

[average_order_value]
kind = "ratio"
window = "7d"
numerator = { kind = "revenue", event = "purchase", value = "value", currency = "JPY" }
denominator = { kind = "count", event = "purchase" }
owner = "finance"
""",
    "experience.toml": """\
# How it feels to use the shop.

[page_views_per_user]
kind = "count"
event = "page_view"
window = "7d"
covariate = "14d"
owner = "web"

[views_per_session]
kind = "ratio"
window = "7d"
numerator = { kind = "count", event = "page_view" }
denominator = { kind = "count", event = "session" }
owner = "web"

[active_days]
kind = "engagement"
event = "session"
measure = "active_days"
window = "7d"
owner = "web"

[sessions_per_user]
kind = "engagement"
event = "session"
measure = "events"
window = "7d"
owner = "web"

[slow_pages_per_user]
kind = "count"
event = "page_view"
where = { field = "properties.load_ms", op = "gt", value = 3000 }
window = "3d"
direction = "decrease"
owner = "web"
description = "Pages that took more than three seconds to load"

[support_contacts]
kind = "conversion"
event = "support_contact"
window = "7d"
direction = "decrease"
owner = "support"
""",
}


class TrueExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """What is really so of one experiment, and the verdict that its readout must come to."""

    key: str
    title: str
    truth: str  # in a sentence
    effects: dict[str, float]  # metric → true relative effect of the treatment, where it is known exactly
    lost_share: float = 0.0  # of the treatment's exposures
    verdict: Verdict


TRUTHS: tuple[TrueExperiment, ...] = (
    TrueExperiment(
        key=WINNER,
        title="One-page checkout",
        truth="The treatment turns 25 % more carts into purchases; pages load as before.",
        effects={
            "orders_per_user": PURCHASE_FACTOR - 1,
            "views_per_session": 0.0,
            "slow_pages_per_user": 0.0,
        },
        verdict=Verdict.SHIP,
    ),
    TrueExperiment(
        key=NO_EFFECT,
        title="検索結果の並び順",
        truth="The three orders of search results change nothing.",
        effects={"purchase_conversion": 0.0, "orders_per_user": 0.0, "active_days": 0.0},
        verdict=Verdict.INCONCLUSIVE,
    ),
    TrueExperiment(
        key=GUARDRAIL,
        title="High-resolution images",
        truth="The treatment fills 15 % more carts, but every page takes 25 % longer to load.",
        effects={"orders_per_user": CART_FACTOR - 1},
        verdict=Verdict.ROLL_BACK,
    ),
    TrueExperiment(
        key=BROKEN,
        title="New onboarding",
        truth="Nothing changes, but 12 % of the treatment's units lose their exposures on the way.",
        effects={"active_days": 0.0},
        lost_share=LOST_SHARE,
        verdict=Verdict.INVESTIGATE,
    ),
)


def experiments(days: int, seed: int) -> dict[str, Experiment]:
    """The four experiments by key; `days` of enrolment, salts from the seed."""
    equal = {"control": 1.0, "treatment": 1.0}
    half = grow_slice((), SHARDS // 2)
    growth = [half, grow_slice(half, SHARDS)] if days > GROWTH_DAY else [half]
    whole = [((0, SHARDS),)]
    defined = (
        _experiment(
            WINNER,
            days=days,
            seed=seed,
            weights=equal,
            slices=whole,
            owner="growth",
            hypothesis="A checkout on one page loses fewer buyers on the way.",
            metrics=MetricRoles(
                primary=("purchase_conversion",),
                secondary=("revenue_per_user", "orders_per_user", "average_order_value"),
                guardrail=(
                    Guardrail("views_per_session", margin=0.05),
                    Guardrail("slow_pages_per_user"),
                    Guardrail("support_contacts"),
                ),
            ),
            segments=Segments(from_exposure=("device",), from_units=("country",)),
        ),
        _experiment(
            NO_EFFECT,
            days=days,
            seed=seed,
            horizon="anytime",
            weights={"対照群": 1.0, "人気順": 1.0, "新着順": 1.0},
            slices=whole,
            owner="検索",
            hypothesis="人気の商品を先に見せると、購入が増える。",
            metrics=MetricRoles(
                primary=("purchase_conversion",),
                secondary=("page_views_per_user", "items_per_user"),
                guardrail=(Guardrail("active_days"),),
            ),
            segments=Segments(from_units=("plan",)),
        ),
        _experiment(
            GUARDRAIL,
            days=days,
            seed=seed,
            horizon="anytime",  # so that harm is seen on the day on which it can be known
            weights=equal,
            slices=growth,
            owner="web",
            hypothesis="Sharper pictures make people want things.",
            metrics=MetricRoles(
                primary=("add_to_cart_conversion",),
                secondary=("revenue_per_user",),
                guardrail=(Guardrail("slow_pages_per_user"), Guardrail("views_per_session", margin=0.05)),
            ),
            segments=Segments(from_exposure=("device",)),
        ),
        _experiment(
            BROKEN,
            days=days,
            seed=seed,
            weights=equal,
            slices=whole,
            owner="growth",
            hypothesis="Three steps less to the first page bring people back more often.",
            metrics=MetricRoles(
                primary=("active_days",),
                secondary=("sessions_per_user",),
                guardrail=(Guardrail("support_contacts"),),
            ),
            segments=Segments(from_exposure=("device",), from_units=("country",)),
        ),
    )
    return {experiment.key: experiment for experiment in defined}


def _experiment(
    key: str,
    *,
    days: int,
    seed: int,
    weights: dict[str, float],
    slices: Sequence[tuple[tuple[int, int], ...]],
    owner: str,
    hypothesis: str,
    metrics: MetricRoles,
    segments: Segments,
    horizon: Horizon = "fixed",
) -> Experiment:
    title = next(truth.title for truth in TRUTHS if truth.key == key)
    ranges = allocate(weights, SHARDS)
    midnight = dt.datetime.combine(START, dt.time(), dt.UTC)
    return Experiment(
        key=key,
        title=title,
        hypothesis=hypothesis,
        owner=owner,
        control=next(iter(weights)),
        horizon=horizon,
        start=START,
        end=START + dt.timedelta(days=days - 1),
        phases=tuple(
            Phase(
                from_=midnight + dt.timedelta(days=GROWTH_DAY * number),
                weights=weights,
                since_version=number + 1,
                slice=part,
                ranges=ranges,
            )
            for number, part in enumerate(slices)
        ),
        metrics=metrics,
        segments=segments,
        bucketing=Bucketing(
            layer=f"{key} layer",
            layer_salt=_salt(seed, key, "layer"),
            split_salt=_salt(seed, key, "split"),
            total_shards=SHARDS,
            holdout_salt=_salt(seed, "", "holdout"),  # one for all: 2 % of the units see no experiment
            holdout=((0, SHARDS // 50),),
        ),
    )


def _salt(seed: int, key: str, use: str) -> str:
    """Salts hold no user text; the demo's come from its seed so that it can be made again."""
    return hashlib.sha256(f"tenbin demo {seed} {key} {use}".encode()).hexdigest()[:24]
