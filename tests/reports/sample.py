"""Readouts like those of a real shop: a clear winner of three, a failed split, one of every status."""

import datetime as dt
import math
from typing import Any

import msgspec
from scipy import stats as scipy_stats

from reports.readout import (
    DailyExposure,
    Exclusion,
    InputFile,
    LookedAt,
    Looks,
    LookTaken,
    MetricDefinition,
    Readout,
)
from stats.results import Decision, Finding, Outcome, Result, Srm, Status, Verdict

START = dt.date(2026, 2, 2)
DAYS = 21
HOSTILE = '</script><img src=x onerror="alert(1)">{{ 7*7 }} <b>&'


def metric(name: str, kind: str, role: str, **extra: Any) -> MetricDefinition:
    """A metric with a definition and a query that look like the real ones."""
    values: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "role": role,
        "direction": "increase",
        "definition": f'[{name}]\nkind = "{kind}"\nevent = "purchase"\n',
        "sql": f"SELECT unit_key, SUM(value_sum) AS {name}\nFROM unit_days\nWHERE events < 3 & 4\n",
        "owner": "growth",
    } | extra
    return MetricDefinition(**values)


METRICS = (
    metric(
        "checkout_conversion",
        "conversion",
        "primary",
        window="7d",
        goal=0.05,
        description="Bought within a week.",
    ),
    metric("revenue_per_user", "revenue", "secondary", unit="JPY", window="14d"),
    metric("orders_per_user", "count", "secondary", unit="events"),
    metric("page_latency", "ratio", "guardrail", direction="decrease", margin=0.02),
    metric("support_tickets", "count", "guardrail", direction="decrease", unit="events"),
)
# metric → control mean, standard deviation, relative lift per variant
TRUTH: dict[str, tuple[float, float, dict[str, float]]] = {
    "checkout_conversion": (0.0412, 0.199, {"B": 0.018, "対照群C": 0.171}),
    "revenue_per_user": (1834.2, 9120.0, {"B": -0.112, "対照群C": 0.064}),
    "orders_per_user": (0.512, 1.21, {"B": 0.009, "対照群C": 0.052}),
    "page_latency": (0.8421, 0.41, {"B": 0.003, "対照群C": -0.008}),
    "support_tickets": (0.0071, 0.09, {"B": 0.09, "対照群C": 0.04}),
}


def rows(
    name: str,
    role: str,
    variant: str,
    n: int,
    *,
    day: dt.date,
    segment: str | None = None,
    wiggle: float = 0.0,
) -> tuple[Result, ...]:
    """Absolute headline, its relative twin and a second method, with numbers that belong together."""
    mean, deviation, lifts = TRUTH[name]
    lift = lifts[variant] * (1 + wiggle)
    error = deviation * math.sqrt(2 / n)
    estimate, z = mean * lift, 1.959964
    p = float(2 * scipy_stats.norm.sf(abs(estimate) / error))
    base = Result(
        experiment="checkout-button",
        iteration=1,
        metric=name,
        role=role,
        segment=segment,
        as_of=day,
        variant=variant,
        baseline="A",
        method="welch_t",
        scale="absolute",
        horizon="anytime",
        headline=True,
        estimate=estimate,
        std_error=error,
        lower=estimate - z * error,
        upper=estimate + z * error,
        p_value=p,
        log10_p=math.log10(p),
        p_adjusted=min(1.0, 3 * p) if role != "guardrail" and segment is None else None,
        n_variant=n,
        n_baseline=n + 17,
        n_immature=1204 if name == "checkout_conversion" and segment is None else 0,
        mean_variant=mean + estimate,
        mean_baseline=mean,
        provisional=day > START + dt.timedelta(days=DAYS - 3),
        fingerprint="0123456789abcdef",
    )
    relative = msgspec.structs.replace(
        base,
        scale="relative",
        method="fieller",
        estimate=lift,
        std_error=None,
        lower=(estimate - z * error) / mean,
        upper=(estimate + z * error) / mean,
    )
    other = msgspec.structs.replace(base, method="pooled_z", headline=False, p_value=p * 1.01)
    return base, relative, other


def winner() -> Readout:
    """Three arms over three weeks, with segments, series and everything else filled."""
    variants = ("A", "B", "対照群C")
    last = START + dt.timedelta(days=DAYS - 1)
    results: list[Result] = []
    series: list[Result] = []
    for item in METRICS:
        for variant in variants[1:]:
            results += rows(item.name, item.role, variant, 16_402, day=last)
            for dimension in ("device=phone", "device=desktop", "country=日本", "country=Zoë's"):
                results += rows(
                    item.name,
                    item.role,
                    variant,
                    4_100,
                    day=last,
                    segment=dimension,
                    wiggle=len(dimension) / 20,
                )
            for index in range(DAYS):
                day = START + dt.timedelta(days=index)
                wiggle = math.sin(index * 1.7 + len(item.name)) * 3 / (index + 1)
                series += rows(item.name, item.role, variant, 780 * (index + 1), day=day, wiggle=wiggle)[:2]
    exposures = tuple(
        DailyExposure(
            day=START + dt.timedelta(days=index),
            variant=variant,
            units=int(780 + 190 * math.sin(index * 0.9) + 13 * place - 6 * index),
        )
        for index in range(DAYS)
        for place, variant in enumerate(variants)
    )
    return Readout(
        workspace="shop 天秤",
        experiment="checkout-button",
        iteration=1,
        title="Checkout button: one tap, 対照群 against two designs",
        hypothesis="A single tap removes the step at which most phone users leave.",
        owner="growth",
        control="A",
        variants=variants,
        weights={"A": 1.0, "B": 1.0, "対照群C": 1.0},
        unit_type="user",
        population="exposed",
        environment="production",
        horizon="anytime",
        alpha=0.05,
        start=START,
        end=last,
        planned_end=last + dt.timedelta(days=9),
        planned_units=60_000,
        as_of=last,
        provisional=True,
        decision=Decision(
            verdict=Verdict.SHIP,
            sentence="Ship 対照群C: checkout_conversion is better by 17.1%, and no guardrail is worse.",
            reasons=(
                "checkout_conversion rose in 対照群C (adjusted p 0.0040 after Holm over 3 success metrics)",
                "page_latency is within its margin of 2%",
                "the units are split as planned",
            ),
        ),
        srm=Srm(
            observed={"A": 16_419, "B": 16_402, "対照群C": 16_377},
            expected={"A": 16_399.33, "B": 16_399.33, "対照群C": 16_399.33},
            chi2=0.0542,
            df=2,
            p_value=0.9732,
            method="chi2",
            failed=False,
        ),
        checks=(
            Finding(
                name="duplicates",
                status=Outcome.PASSED,
                message="Duplicate events were left out.",
                numbers={"duplicates": 412, "share": 0.0013},
            ),
            Finding(
                name="quarantine_share",
                status=Outcome.WARNING,
                message="1.2% of the rows of purchases.csv are malformed.",
                numbers={"rows": 3_811, "share": 0.012},
            ),
            Finding(
                name="mixed_variants",
                status=Outcome.PASSED,
                message="21 units were seen in two variants and are left out.",
            ),
            Finding(
                name="assignment_rederived",
                status=Outcome.NOT_APPLICABLE,
                message="No ruleset is known for these assignments.",
            ),
        ),
        units={"A": 16_419, "B": 16_402, "対照群C": 16_377},
        exclusions=(
            Exclusion(reason="seen in two variants", count=21, of="units"),
            Exclusion(reason="value is not a number", count=3_811, of="rows"),
        ),
        exposures=exposures,
        results=tuple(results),
        series=tuple(series),
        metrics=METRICS,
        definition='key = "checkout-button"\ncontrol = "A"\n\n[metrics]\nprimary = ["checkout_conversion"]\n',
        inputs=(
            InputFile(
                source="purchases",
                path="landing/events/2026-02-22.ndjson.gz",
                sha256="9f" * 32,
                rows=318_204,
                quarantined=3_811,
            ),
            InputFile(
                source="groups",
                path="landing/exposures/ぐるーぷ.csv",
                sha256="0a" * 32,
                rows=49_219,
                quarantined=0,
            ),
        ),
        fingerprint="5c8d1fe0a77b21d4",
    )


def broken_split() -> Readout:
    """The split failed, so nothing else may be believed."""
    base = winner()
    return msgspec.structs.replace(
        base,
        experiment="Banner 😀",
        title=None,
        iteration=2,
        variants=("A", "B"),
        weights={"A": 1.0, "B": 1.0},
        decision=Decision(
            verdict=Verdict.INVESTIGATE,
            sentence="Investigate: the units are not split as planned, so the numbers can't be compared.",
            reasons=("sample ratio mismatch (p < 0.0001)",),
        ),
        srm=Srm(
            observed={"A": 16_419, "B": 14_902},
            expected={"A": 15_660.5, "B": 15_660.5},
            chi2=73.47,
            df=1,
            p_value=1.02e-17,
            method="chi2",
            failed=True,
        ),
        checks=(
            *base.checks,
            Finding(
                name="unknown_variant",
                status=Outcome.FAILED,
                message="9 exposures name a variant that the experiment does not have.",
            ),
        ),
        units={"A": 16_419, "B": 14_902},
        results=tuple(row for row in base.results if row.variant == "B"),
        series=tuple(row for row in base.series if row.variant == "B"),
        exposures=tuple(item for item in base.exposures if item.variant != "対照群C"),
    )


def withheld() -> Readout:
    """A fixed horizon before its end: estimates and counts, and nothing to test with."""
    base = winner()

    def hide(row: Result) -> Result:
        return msgspec.structs.replace(
            row, horizon="fixed", status=Status.WITHHELD, reasons=("before_planned_end",), std_error=None,
            lower=None, upper=None, p_value=None, log10_p=None, p_adjusted=None,
        )  # fmt: skip

    return msgspec.structs.replace(
        base,
        experiment="zoë",
        title="Zoë's free delivery",
        horizon="fixed",
        variants=("A", "B"),
        weights={"A": 1.0, "B": 1.0},
        decision=Decision(
            verdict=Verdict.KEEP_RUNNING,
            sentence="Keep running until 2026-03-03: significance is read once, at the planned end.",
            reasons=("the horizon is fixed and the experiment has not ended",),
        ),
        results=tuple(hide(row) for row in base.results if row.variant == "B"),
        series=tuple(hide(row) for row in base.series if row.variant == "B"),
        exposures=tuple(item for item in base.exposures if item.variant != "対照群C"),
    )


def looked_at() -> Readout:
    """A group-sequential experiment after two looks, the first of which came too early for one comparison."""
    base = winner()

    def look(number: int, n: int, *shown: LookedAt) -> LookTaken:
        as_of = START + dt.timedelta(days=7 * number - 1)
        spent = (0.000_003, 0.000_788)[number - 1]
        return LookTaken(
            number=number, as_of=as_of, n=n, information=n / 100_000, alpha_spent=spent, comparisons=shown
        )

    def saw(variant: str, z: float | None, boundary: float, *, crossed: bool) -> LookedAt:
        return LookedAt(
            metric="checkout_conversion",
            variant=variant,
            baseline="A",
            z=z,
            boundary=boundary,
            crossed=crossed,
        )

    return msgspec.structs.replace(
        base,
        experiment="looked-at",
        title="One page checkout",
        horizon="group_sequential",
        looks=Looks(
            cadence="7d",
            spending="obrien_fleming",
            taken=(
                look(1, 20_000, saw("B", 3.21, 4.876888, crossed=False)),
                look(
                    2,
                    40_000,
                    saw("B", 4.5678, 3.356953, crossed=True),
                    saw("対照群C", None, 3.356953, crossed=False),
                    LookedAt(
                        metric="orders_per_user",
                        variant="B",
                        baseline="A",
                        z=1.0,
                        boundary=3.4,
                        crossed=False,
                    ),
                ),
            ),
            next_day=START + dt.timedelta(days=20),
        ),
        results=tuple(
            msgspec.structs.replace(row, horizon="group_sequential", method="group_sequential")
            for row in base.results
        ),
    )


def statuses() -> Readout:
    """Every status, nulls wherever a number may be missing, and a metric that nobody defined."""
    base = withheld()
    template = next(row for row in winner().results if row.scale == "relative")
    numbers = ("estimate", "std_error", "lower", "upper", "p_value", "log10_p", "p_adjusted")
    unknown = dict.fromkeys((*numbers, "mean_variant", "mean_baseline"))
    undefined: dict[str, Any] = unknown | {"status": Status.UNDEFINED, "n_variant": 0, "n_baseline": 0}
    bare = dict.fromkeys(("lower", "upper", "p_value", "p_adjusted"))
    replace = msgspec.structs.replace
    absolute = next(row for row in winner().results if row.scale == "absolute")
    return replace(
        base,
        experiment="every-status",
        decision=Decision(verdict=Verdict.INCONCLUSIVE, sentence="Inconclusive.", reasons=()),
        results=(
            replace(template, metric="undefined_metric", reasons=("no_kept_shard",), **undefined),
            replace(absolute, metric="revenue_per_user", role="secondary"),
            replace(
                template,
                metric="revenue_per_user",
                role="secondary",
                headline=False,
                status=Status.UNBOUNDED,
                reasons=("baseline_not_positive",),
                lower=None,
                upper=None,
            ),
            replace(template, metric="checkout_conversion", status=Status.WITHHELD, **bare),
            replace(absolute, metric="page_latency", role="guardrail", upper=math.inf, lower=None),
        ),
        series=(),
        exposures=(),
        exclusions=(),
        checks=(),
        inputs=(),
        srm=Srm(observed={}, expected={}, chi2=None, df=1, p_value=None, method="chi2", failed=False),
        units={},
        end=None,
        planned_end=None,
    )  # fmt: skip


def hostile() -> Readout:
    """Markup, template syntax and path tricks in every text that a person or a file can set."""
    base = winner()
    variant = f"B{HOSTILE}"

    def rename(row: Result) -> Result:
        return msgspec.structs.replace(
            row,
            variant=variant if row.variant == "B" else row.variant,
            metric=HOSTILE,
            segment=row.segment and f"{HOSTILE}={HOSTILE}",
            reasons=(HOSTILE,),
        )

    return msgspec.structs.replace(
        base,
        workspace=HOSTILE,
        experiment="../../etc/passwd\n" + HOSTILE,
        title=HOSTILE,
        hypothesis=HOSTILE,
        owner=HOSTILE,
        variants=("A", variant),
        weights={"A": 1.0, variant: 1.0},
        decision=Decision(verdict=Verdict.SHIP, sentence=HOSTILE, reasons=(HOSTILE,)),
        srm=msgspec.structs.replace(
            base.srm, observed={"A": 5, variant: 6}, expected={"A": 5.5, variant: 5.5}
        ),
        checks=(Finding(name=HOSTILE, status=Outcome.FAILED, message=HOSTILE, numbers={HOSTILE: HOSTILE}),),
        exclusions=(Exclusion(reason=HOSTILE, count=1, of=HOSTILE),),
        exposures=(DailyExposure(day=START, variant=variant, units=4),),
        results=tuple(rename(row) for row in base.results[:24]),
        series=tuple(rename(row) for row in base.series[:12]),
        metrics=(metric(HOSTILE, "conversion", "primary", description=HOSTILE, owner=HOSTILE),),
        definition=HOSTILE,
        inputs=(InputFile(source=HOSTILE, path=HOSTILE, sha256=HOSTILE, rows=1, quarantined=1),),
        warnings=(HOSTILE,),
    )


ALL = (winner, broken_split, withheld, looked_at, statuses, hostile)
