"""The metric options of one call → metrics in terms of the file's columns."""

import math
from collections.abc import Sequence

import msgspec

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


def metric_specs(request: Request, table: Table) -> tuple[MetricSpec, ...]:
    """Every metric with its columns, covariates, role and margins.

    Raises:
        AnalyzeError: no metric, an unknown or ambiguous name, two metrics of one name, or a number that is
            none.
    """
    specs = _named(request.metrics, table)
    for text in request.covariates:
        _add_covariate(text, specs, table)
    for name in request.decrease:
        known_metric("decrease", name, name, list(specs))
        specs[name] = msgspec.structs.replace(specs[name], direction="decrease")
    for text in request.equivalences:
        _add_equivalence(text, specs)
    _assign_roles(request, specs)
    return tuple(specs.values())


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


def _add_equivalence(text: str, specs: dict[str, MetricSpec]) -> None:
    for name, number in metric_and_rest("equivalence", text, list(specs), "METRIC=LIFT, as in spent=0.01"):
        lift = _number(number)
        if 0 < lift < 1:
            specs[name] = msgspec.structs.replace(specs[name], equivalence=lift)
            return
    raise AnalyzeError(
        f"--equivalence {text}: the lift that makes no difference is a number between 0 and 1, both "
        "excluded, as in spent=0.01"
    )


def _assign_roles(request: Request, specs: dict[str, MetricSpec]) -> None:
    """Guardrails with their margins; of the others those named as primary, else the first one."""
    for text in request.guardrails:
        name, margin = _guardrail(text, specs)
        specs[name] = msgspec.structs.replace(specs[name], role="guardrail", margin=margin)
    for name in request.primary:
        known_metric("primary", name, name, list(specs))
        if specs[name].role == "guardrail":
            raise AnalyzeError(f'--primary {name}: "{name}" is a guardrail; name another one')
    success = [name for name, spec in specs.items() if spec.role != "guardrail"]
    for name in request.primary or success[:1]:
        specs[name] = msgspec.structs.replace(specs[name], role="primary")


def _guardrail(text: str, specs: dict[str, MetricSpec]) -> tuple[str, float | None]:
    if text in specs:
        return text, None
    if "=" not in text:
        known_metric("guardrail", text, text, list(specs))
    for name, number in metric_and_rest(
        "guardrail", text, list(specs), "METRIC or METRIC=MARGIN, as in latency=0.02"
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
