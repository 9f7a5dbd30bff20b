"""The metric options of one call → metrics in terms of the file's columns."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from stats.multiplicity import SUCCESS
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.names import (
    column_pairs,
    either,
    known_column,
    known_metric,
    metric_and_rest,
    splits,
)
from tenbin.analyze.request import MetricOption, MetricSpec, Request
from tenbin.analyze.table import Table


class Said(NamedTuple):
    """What options say of metrics, by their names."""

    decrease: frozenset[str]
    equivalences: Mapping[str, float]
    guardrails: Mapping[str, float | None]  # with their margins
    primary: tuple[str, ...]


def metric_specs(request: Request, table: Table) -> tuple[MetricSpec, ...]:
    """Every metric with its columns, covariates, role and margins.

    Raises:
        AnalyzeError: no metric, an unknown or ambiguous name, two metrics of one name, or a number that is
            none.
    """
    specs = _named(request.metrics, table)
    for text in request.covariates:
        _add_covariate(text, specs, table)
    return as_said(specs.values(), said_of(request, list(specs)))


def said_of(request: Request, names: Sequence[str]) -> Said:
    """The options that are about metrics.

    Raises:
        AnalyzeError: no such metric, a number that is none, or a primary guardrail.
    """
    guardrails = dict(_guardrail(text, names) for text in request.guardrails)
    for name in request.primary:
        known_metric("primary", name, name, names)
        if name in guardrails:
            raise AnalyzeError(f'--primary {name}: "{name}" is a guardrail; name another one')
    return Said(
        decrease=frozenset(known_metric("decrease", name, name, names) for name in request.decrease),
        equivalences=dict(_equivalence(text, names) for text in request.equivalences),
        guardrails=guardrails,
        primary=request.primary,
    )


def as_said(specs: Iterable[MetricSpec], said: Said) -> tuple[MetricSpec, ...]:
    """The metrics with what is said of them; primary are those named so, else the first success metric."""
    found = [_one_as_said(spec, said) for spec in specs]
    primary = [spec.name for spec in found if spec.role == "primary"]
    success = [spec.name for spec in found if spec.role in SUCCESS]
    chosen = [name for name in said.primary if name in success] or primary or success[:1]
    return tuple(
        msgspec.structs.replace(spec, role="primary" if spec.name in chosen else "secondary")
        if spec.name in success
        else spec
        for spec in found
    )


def _one_as_said(spec: MetricSpec, said: Said) -> MetricSpec:
    if spec.name in said.guardrails:
        spec = msgspec.structs.replace(spec, role="guardrail", margin=said.guardrails[spec.name])
    if spec.name in said.equivalences:
        spec = msgspec.structs.replace(spec, equivalence=said.equivalences[spec.name])
    return msgspec.structs.replace(spec, direction="decrease") if spec.name in said.decrease else spec


def _named(options: Sequence[MetricOption], table: Table) -> dict[str, MetricSpec]:
    if not options:
        raise AnalyzeError(
            "no metric was asked for; name at least one column with --conversion, --mean, --revenue, "
            "--ratio or --quantile"
        )
    specs: dict[str, MetricSpec] = {}
    for option in options:
        spec = _metric(option, table)
        if spec.name in specs:
            raise AnalyzeError(
                f'--{option.kind} {option.text}: metric "{spec.name}" is named twice; name it once'
            )
        specs[spec.name] = spec
    return specs


def _metric(option: MetricOption, table: Table) -> MetricSpec:
    column, denominator, quantile = option.text, None, None
    if option.kind == "ratio":
        column, denominator = _split_ratio(option.text, table)
    elif option.kind == "quantile":
        column, quantile = _split_quantile(option.text)
    spec = MetricSpec(
        name=option.text,
        kind=option.kind,
        role="secondary",
        column=column,
        denominator=denominator,
        quantile=quantile,
    )
    for name in spec.measure:
        known_column(option.kind, name, table)
    return spec


def _split_quantile(text: str) -> tuple[str, float]:
    column, at, number = text.rpartition("@")
    quantile = _number(number)
    if not at or not column or not 0 < quantile < 1:
        raise AnalyzeError(
            f"--quantile {text}: write COLUMN@Q with Q between 0 and 1, both excluded, as in latency@0.9"
        )
    return column, quantile


def _split_ratio(text: str, table: Table) -> tuple[str, str]:
    """Numerator and denominator of `a/b`, where names themselves may hold a slash."""
    cuts = splits(text, "/")
    if not cuts:
        raise AnalyzeError(f"--ratio {text}: write NUMERATOR/DENOMINATOR, as in clicks/views")
    fitting = column_pairs(text, table)
    if len(fitting) > 1:
        raise AnalyzeError(f"--ratio {text} can be read as {either(fitting)}; rename a column")
    return fitting[0] if fitting else cuts[0]


def _add_covariate(text: str, specs: dict[str, MetricSpec], table: Table) -> None:
    """Give a metric what `metric=column` names, or a ratio what `ratio=column/column` does."""
    fitting = metric_and_rest("covariate", text, list(specs), "METRIC=COLUMN, as in spent=history")
    name, column = next((pair for pair in fitting if pair[1] in table.columns), fitting[0])
    spec = specs[name]
    if spec.kind == "quantile":
        raise AnalyzeError(f"--covariate {text}: a quantile has no covariate; leave it out")
    pairs = column_pairs(column, table) if spec.kind == "ratio" else []
    if pairs and (column in table.columns or len(pairs) > 1):
        ways = [f'the column "{column}"'] if column in table.columns else []
        raise AnalyzeError(
            f"--covariate {text} can be read as {' or '.join([*ways, either(pairs)])}; rename a column"
        )
    if pairs and spec.ratio_covariate is not None:
        raise AnalyzeError(
            f'--covariate {text}: ratio "{name}" already has {either([spec.ratio_covariate])}; name one pair'
        )
    columns = pairs[0] if pairs else (column,)
    for one in columns:
        known_column("covariate", one, table)
    if set(columns) & set(spec.measure):
        raise AnalyzeError(
            f"--covariate {text}: a metric can't be its own covariate; name what was measured before exposure"
        )
    if twice := [one for one in columns if one in spec.before]:
        raise AnalyzeError(
            f'--covariate {text}: metric "{name}" already has covariate "{twice[0]}"; name it once'
        )
    specs[name] = (
        msgspec.structs.replace(spec, ratio_covariate=pairs[0])
        if pairs
        else msgspec.structs.replace(spec, covariates=(*spec.covariates, column))
    )


def _equivalence(text: str, names: Sequence[str]) -> tuple[str, float]:
    for name, number in metric_and_rest("equivalence", text, names, "METRIC=LIFT, as in spent=0.01"):
        lift = _number(number)
        if 0 < lift < 1:
            return name, lift
    raise AnalyzeError(
        f"--equivalence {text}: the lift that makes no difference is a number between 0 and 1, both "
        "excluded, as in spent=0.01"
    )


def _guardrail(text: str, names: Sequence[str]) -> tuple[str, float | None]:
    if text in names:
        return text, None
    if "=" not in text:
        known_metric("guardrail", text, text, names)
    for name, number in metric_and_rest(
        "guardrail", text, names, "METRIC or METRIC=MARGIN, as in latency=0.02"
    ):
        margin = _number(number)
        if 0 <= margin < 1:
            return name, margin
    raise AnalyzeError(
        f"--guardrail {text}: a margin is the relative worsening that is acceptable, at least 0 and below 1, "
        "as in latency=0.02"
    )


def _number(text: str) -> float:
    """The number that is written; NaN for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan
