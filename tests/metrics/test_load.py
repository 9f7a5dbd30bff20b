"""Definitions: what a file may say, and what it is told when it says something else."""

from pathlib import Path

import msgspec
import pytest

from metrics import MetricsError, load_metrics, metric_to_toml
from metrics.build import build_metrics
from metrics.model import Before, Metric, Part, Weighted
from tests.metrics.test_units import METRICS
from workspace import load_workspace


@pytest.fixture
def write(tmp_path):
    """Write `metrics/NAME.toml` files into a workspace and open it."""
    (tmp_path / "tenbin.toml").write_text('[workspace]\nname = "shop"\n', encoding="utf-8")
    (tmp_path / "metrics").mkdir()

    def write(**files):
        for name, text in files.items():
            (tmp_path / "metrics" / f"{name}.toml").write_text(text, encoding="utf-8")
        return load_workspace(tmp_path)

    return write


def test_a_file_of_metrics_is_read_whole(write):
    found = load_metrics(
        write(
            shop="""
            [checkout_conversion]
            kind = "conversion"
            event = "purchase"
            where = { field = "properties.country", op = "in", value = ["JP"] }
            window = "7d"
            goal = 0.05
            owner = "growth"
            ["売上"]
            kind = "revenue"
            event = "purchase"
            value = "properties.amount"
            currency = "JPY"
            window = "14d"
            winsorize = 0.999
            covariate = "14d"
            [click_rate]
            kind = "ratio"
            numerator = { kind = "count", event = "click" }
            denominator = { kind = "count", event = "view" }
            covariate = "7d"
            covariates = [{ kind = "engagement", event = "visit", measure = "active_days", before = "28d" }]
            """
        )
    )
    assert list(found) == ["checkout_conversion", "売上", "click_rate"]
    assert found["checkout_conversion"].window_s == 604_800
    assert found["売上"].columns == ("numerator", "covariate")
    assert found["click_rate"].columns == (
        "numerator", "denominator", "covariate", "covariate_denominator", "covariate_2",
    )  # fmt: skip
    assert found["click_rate"].covariates[0].before_s == 28 * 86_400


def test_what_is_written_is_what_is_read(write):
    metrics = [
        Metric(
            name="売上 zoë".replace(" ", "_"), kind="revenue", event="p", value="properties.a", winsorize=0.9
        ),
        Metric(
            name="conv",
            kind="conversion",
            event="p",
            where={"not": {"field": "value", "op": "gt", "value": 3}},
            at_least=2,
            first="30d",
        ),
        Metric(name="d7", kind="retention", event="visit", after="7d", window="8d"),
        Metric(name="active", kind="engagement", event="v", measure="active_days", direction="decrease"),
        Metric(
            name="r",
            kind="ratio",
            numerator=Part(kind="sum", event="p", currency="JPY"),
            denominator=Part(kind="engagement", event="v", measure="active_days"),
            window="12h",
            covariates=(Before(kind="sum", event="p", value="properties.a", before="7d"),),
        ),
    ]
    metrics += [
        Metric(
            name="net",
            kind="composite",
            combine=(Weighted(metric="active", weight=0.5), Weighted(metric="conv")),
        ),
        Metric(name="rate", kind="ratio", numerator=Part(metric="conv"), denominator=Part(metric="active")),
    ]
    workspace = write(**{f"m{place}": metric_to_toml(metric) for place, metric in enumerate(metrics)})
    by_name = {metric.name: metric for metric in metrics}
    assert load_metrics(workspace) == build_metrics(by_name, dict.fromkeys(by_name, Path("m.toml")))[0]


BASE = 'kind = "conversion"\nevent = "purchase"\n'
WRONG = {
    "not toml": ("[a", "not valid TOML"),
    "a megabyte": ("# " + "x" * (1 << 20), "is larger than 1048576 bytes"),
    "no table": ("a = 1", r"\[a\]: a metric is a table"),
    "no kind": ('[a]\nevent = "x"', 'key "kind" is missing; allowed: conversion'),
    "unknown kind": ('[a]\nkind = "konversion"\nevent = "x"', r"is 'konversion'; allowed: conversion"),
    "later kind": ('[a]\nkind = "funnel"\nevent = "x"', 'kind "funnel" is not there yet'),
    "quantile without one": (
        '[a]\nkind = "quantile"\nevent = "x"',
        'key "quantile" is missing; write the share',
    ),
    "quantile of all": (
        '[a]\nkind = "quantile"\nevent = "x"\nquantile = 1.0',
        r'key "quantile" is 1\.0; .*below 1',
    ),
    "quantile of a count": ('[a]\nkind = "count"\nevent = "x"\nquantile = 0.5', 'belongs to kind "quantile"'),
    "digits of a count": (
        '[a]\nkind = "count"\nevent = "x"\nsignificant_digits = "exact"',
        'belongs to kind "quantile"',
    ),
    "one digit": (
        '[a]\nkind = "quantile"\nevent = "x"\nquantile = 0.5\nsignificant_digits = 1',
        'key "significant_digits" is 1; write 2 to 12',
    ),
    "covariate of a quantile": (
        '[a]\nkind = "quantile"\nevent = "x"\nquantile = 0.5\ncovariate = "7d"',
        "does not apply to kind",
    ),
    "ratio of a quantile": (
        '[a]\nkind = "ratio"\nnumerator = { kind = "quantile", event = "x" }',
        'numerator: key "kind" is "quantile", which is no number of a unit',
    ),
    "distinct of nothing": (
        '[a]\nkind = "count_distinct"\nevent = "x"\nvalue = "amount"',
        "is not a field of an event",
    ),
    "no event": ('[a]\nkind = "count"', 'key "event" is missing'),
    "unknown key": (f'[a]\n{BASE}windw = "7d"', 'unknown key "windw".*"window"'),
    "wrong type": ('[a]\nkind = "count"\nevent = 3', 'key "event"'),
    "duration": (f'[a]\n{BASE}window = "7 days"', '"7 days" is not a duration'),
    "no duration": (f'[a]\n{BASE}window = "0d"', '"0d" must be longer than nothing'),
    "a long time": (f'[a]\n{BASE}window = "3651d"', '"3651d" is too long; at most "3650d"'),
    "half days": (f'[a]\n{BASE}covariate = "36h"', 'key "covariate" is "36h"; write whole days'),
    "half days of another": (
        f'[a]\n{BASE}covariates = [{{ kind = "count", event = "x", before = "36h" }}]',
        'covariates, entry 1: key "before" is "36h"; write whole days',
    ),
    "no event before": (
        f'[a]\n{BASE}covariates = [{{ kind = "count", event = "", before = "7d" }}]',
        'covariates, entry 1: key "event" is empty',
    ),
    "quantile": ('[a]\nkind = "count"\nevent = "x"\nwinsorize = 99.9', 'key "winsorize" is 99.9'),
    "nan": ('[a]\nkind = "count"\nevent = "x"\nwinsorize = nan', 'key "winsorize" is nan'),
    "equivalence": (f"[a]\n{BASE}equivalence = 1", 'key "equivalence" is 1.0; write the relative change'),
    "no equivalence": (f"[a]\n{BASE}equivalence = 0", 'key "equivalence" is 0.0'),
    "cap of a rate": (f"[a]\n{BASE}winsorize = 0.9", 'does not apply to kind "conversion"'),
    "value of a rate": (f'[a]\n{BASE}value = "value"', 'key "value" belongs to kind'),
    "field": ('[a]\nkind = "sum"\nevent = "x"\nvalue = "amount"', '"amount" is not a field'),
    "operator": (f'[a]\n{BASE}where = {{ field = "value", op = "is" , value = 1 }}', "op 'is' is unknown"),
    "where": (
        f'[a]\n{BASE}where = {{ field = "country", op = "is_set" }}',
        r'"country".*properties\.country',
    ),
    "half a ratio": (
        '[a]\nkind = "ratio"\nnumerator = { kind = "count", event = "x" }',
        '"denominator" is missing',
    ),
    "ratio event": ('[a]\nkind = "ratio"\nevent = "x"', 'key "event" of a ratio belongs into'),
    "measure": ('[a]\nkind = "count"\nevent = "x"\nmeasure = "active_days"', 'belongs to kind "engagement"'),
    "no after": (f'[a]\n{BASE.replace("conversion", "retention")}window = "7d"', 'key "after" is missing'),
    "no end": (f'[a]\n{BASE.replace("conversion", "retention")}after = "1d"', 'key "window" is missing'),
    "after the end": (
        f'[a]\n{BASE.replace("conversion", "retention")}after = "7d"\nwindow = "7d"',
        'key "after" is "7d", and the window is over at "7d"',
    ),
    "after": (f'[a]\n{BASE}after = "1d"', 'key "after" belongs to kind "retention"'),
    "cap of a retention": (
        f'[a]\n{BASE.replace("conversion", "retention")}after = "1d"\nwindow = "7d"\nwinsorize = 0.9',
        'does not apply to kind "retention"',
    ),
    "time without end": (
        '[a]\nkind = "time_to_event"\nevent = "x"',
        'key "window" is missing; without one the time',
    ),
    "time before": (
        '[a]\nkind = "time_to_event"\nevent = "x"\nwindow = "7d"\ncovariate = "7d"',
        'key "covariate" does not apply to kind "time_to_event"',
    ),
    "time unit": (f'[a]\n{BASE}time_unit = "days"', 'key "time_unit" belongs to kind "time_to_event"'),
    "time in a ratio": (
        (
            '[a]\nkind = "ratio"\nnumerator = { kind = "time_to_event", event = "x" }\n'
            'denominator = { kind = "count", event = "x" }'
        ),
        'numerator: kind "time_to_event" is not one number of every unit',
    ),
    "at least nothing": (f"[a]\n{BASE}at_least = 0", 'key "at_least" is 0'),
    "at least so many": ('[a]\nkind = "count"\nevent = "x"\nat_least = 2', 'key "at_least" is 2'),
    "first of a count": ('[a]\nkind = "count"\nevent = "x"\nfirst = "7d"', 'key "first" belongs to kind'),
    "first in half days": (f'[a]\n{BASE}first = "36h"', 'key "first" is "36h"; write whole days'),
    "at least of a ratio": ('[a]\nkind = "ratio"\nat_least = 2', 'key "at_least" of a ratio belongs into'),
    "part of no kind": (
        '[a]\nkind = "ratio"\nnumerator = { event = "x" }\ndenominator = { kind = "count", event = "x" }',
        'numerator: key "kind" is missing; allowed: conversion',
    ),
    "metric and event": (
        '[a]\nkind = "ratio"\nnumerator = { metric = "b", event = "x" }\ndenominator = { metric = "b" }',
        'numerator: key "metric" stands alone',
    ),
    "half named": (
        '[a]\nkind = "ratio"\nnumerator = { metric = "b" }\ndenominator = { kind = "count", event = "x" }',
        'only one of "numerator" and "denominator" names a metric',
    ),
    "ratio of metrics with a window": (
        '[a]\nkind = "ratio"\nwindow = "1d"\nnumerator = { metric = "b" }\ndenominator = { metric = "b" }',
        'key "window" does not apply to a ratio of metrics',
    ),
    "nothing combined": ('[a]\nkind = "composite"', 'key "combine" is missing'),
    "composite event": (
        '[a]\nkind = "composite"\nevent = "x"',
        'key "event" does not apply to kind "composite"',
    ),
    "combined count": (
        f'[a]\n{BASE}combine = [{{ metric = "b" }}]',
        'key "combine" belongs to kind "composite"',
    ),
    "no weight": ('[a]\nkind = "composite"\ncombine = [{ metric = "b", weight = 0 }]', 'key "weight" is 0.0'),
    "fine weight": (
        '[a]\nkind = "composite"\ncombine = [{ metric = "b", weight = 0.1234567 }]',
        'entry 1: key "weight" is 0.1234567',
    ),
    "built on nothing": (
        '[a]\nkind = "composite"\ncombine = [{ metric = "oders" }]\n[orders]\nkind = "count"\nevent = "x"',
        r'\[a\]: names metric "oders", which is defined in no file.*"orders"',
    ),
    "built from itself": (
        (
            '[a]\nkind = "composite"\ncombine = [{ metric = "b" }]\n'
            '[b]\nkind = "composite"\ncombine = [{ metric = "a" }]'
        ),
        r"\[a\]: is built from itself: a → b → a",
    ),
    "built on a ratio": (
        (
            '[a]\nkind = "composite"\ncombine = [{ metric = "b" }]\n[b]\nkind = "ratio"\n'
            'numerator = { kind = "count", event = "x" }\ndenominator = { kind = "count", event = "y" }'
        ),
        'names metric "b" of kind "ratio"',
    ),
    "built on a cap": (
        (
            '[a]\nkind = "composite"\ncombine = [{ metric = "b" }]\n'
            '[b]\nkind = "count"\nevent = "x"\nwinsorize = 0.9'
        ),
        'names metric "b", whose values are capped',
    ),
    "open and closed": (
        (
            '[a]\nkind = "composite"\ncombine = [{ metric = "b" }, { metric = "c" }]\n'
            '[b]\nkind = "count"\nevent = "x"\n[c]\nkind = "count"\nevent = "x"\nwindow = "1d"'
        ),
        r"\[a\]: b has no window, and others",
    ),
    "two currencies": (
        (
            '[a]\nkind = "composite"\ncombine = [{ metric = "b" }, { metric = "c" }]\n'
            '[b]\nkind = "revenue"\nevent = "x"\ncurrency = "JPY"\n[c]\nkind = "revenue"\nevent = "x"\n'
            'currency = "EUR"'
        ),
        r"\[a\]: adds up money in EUR and JPY",
    ),
    "space": ('["a b"]\nkind = "count"\nevent = "x"', r"without spaces.*\(found ' '\)"),
    "reserved": (f"[variant]\n{BASE}", '"variant" is kept for a column'),
    "suffix": (f"[a__mature]\n{BASE}", '"a__mature" is kept for a column'),
    "name": (f'[a]\n{BASE}name = "b"', 'unknown key "name"'),
}


@pytest.mark.parametrize("case", WRONG, ids=WRONG)
def test_a_wrong_definition_is_told_where_and_what(write, case):
    text, message = WRONG[case]
    with pytest.raises(MetricsError, match=message) as caught:
        load_metrics(write(shop=text))
    assert "shop.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_metrics_of_one_name_are_told_with_both_files(write):
    with pytest.raises(MetricsError, match=r"b\.toml.*\[orders\].*a\.toml"):
        load_metrics(write(a=f"[orders]\n{BASE}", b=f"[orders]\n{BASE}"))
    with pytest.raises(MetricsError, match=r"\[Orders\]: the name is taken by \[orders\]"):
        load_metrics(write(a=f"[orders]\n{BASE}", b=f"[Orders]\n{BASE}"))


def test_metrics_of_earlier_versions_keep_their_fingerprints():
    """What was computed of them stays: keys that came later, unsaid, are no part of it."""
    known = {
        "bought_2d": "a651a121227d9971",
        "売上": "e0ae8dee2056171a",
        "revenue_jp": "0bf3209aa98beff1",
        "views": "6fc030a8961a5fd4",
        "active": "82d0510f5c26fc52",
        "value_per_view": "58645ecc4c538e8c",
    }
    assert {metric.name: metric.fingerprint for metric in METRICS if metric.name in known} == known
    measures = {metric.name: [part.partial.id for part in metric.measured] for metric in METRICS}
    assert measures["views"] == ["m30bf96ebb98b8da4", "mdcf2d2129461363e", "m30bf96ebb98b8da4"]
    assert measures["売上"] == ["m566adcef04e6215a"]


def test_a_metric_that_is_built_from_others_changes_with_their_numbers_and_not_with_their_words():
    def net(**changed):
        orders = Metric(name="orders", kind="count", event="order", window="7d")
        orders = msgspec.structs.replace(orders, **changed)
        built = Metric(name="net", kind="composite", combine=(Weighted(metric="orders", weight=2),))
        rate = Metric(
            name="rate", kind="ratio", numerator=Part(metric="net"), denominator=Part(metric="orders")
        )
        metrics = {metric.name: metric for metric in (built, orders, rate)}
        return build_metrics(metrics, dict.fromkeys(metrics, Path("m.toml")))[0]

    base, words, numbers = net(), net(owner="growth", direction="decrease"), net(window="8d")
    assert base["rate"].window_s == 7 * 86_400
    assert base["net"].unit == "events"
    for name in ("net", "rate"):
        assert base[name].fingerprint == words[name].fingerprint != numbers[name].fingerprint


def test_the_fingerprint_changes_with_what_changes_numbers_and_not_with_words():
    base = Metric(name="a", kind="conversion", event="purchase")
    same = Metric(name="a", kind="conversion", event="purchase", owner="growth", goal=0.1, description="…")
    assert base.fingerprint == same.fingerprint

    class Later(Metric, frozen=True, kw_only=True):
        added: str | None = None

    assert Later(name="a", kind="conversion", event="purchase").fingerprint == base.fingerprint
    changed = [
        Metric(name="a", kind="conversion", event="buy"),
        Metric(name="a", kind="conversion", event="purchase", window="7d"),
        Metric(name="a", kind="conversion", event="purchase", direction="decrease"),
        Metric(name="a", kind="conversion", event="purchase", where={"field": "value", "op": "is_set"}),
    ]
    assert len({metric.fingerprint for metric in (base, *changed)}) == 5
