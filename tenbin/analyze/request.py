"""What was asked of `tenbin analyze`, and what it means in the columns of the file at hand.

Column, metric and variant names may hold any character, also `/`, `@`, `=` and `,`: options are taken apart
with the names that are really there, so only a truly ambiguous one is refused.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.table import Table
from workspace import check_alpha, check_weights, suggest

MetricKind = Literal["conversion", "mean", "revenue", "ratio", "quantile"]
Horizon = Literal["fixed", "anytime"]


class MetricOption(msgspec.Struct, frozen=True):
    """One metric option as typed: `--ratio clicks/views`."""

    kind: MetricKind
    text: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call, as typed."""

    variant: str | None  # None: one sample, which nobody was assigned in
    control: str | None = None
    unit: str | None = None
    cluster: str | None = None
    metrics: tuple[MetricOption, ...] = ()  # in the order of the command line: the first is primary
    covariates: tuple[str, ...] = ()  # metric=column
    decrease: tuple[str, ...] = ()  # metrics of which less is better
    segments: tuple[str, ...] = ()
    weights: str | None = None  # a=1,b=2
    alpha: float = 0.05
    horizon: Horizon = "fixed"


class MetricSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A metric in terms of columns that exist."""

    name: str
    kind: MetricKind
    role: str  # primary | secondary
    column: str
    denominator: str | None = None  # of a ratio
    quantile: float | None = None
    covariate: str | None = None
    direction: str = "increase"  # which way is good

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it reads."""
        return tuple(name for name in (self.column, self.denominator, self.covariate) if name is not None)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the request reads of the file at hand; every column exists."""

    metrics: tuple[MetricSpec, ...]
    variant: str | None
    control: str | None
    unit: str | None
    cluster: str | None
    segments: tuple[str, ...]

    @property
    def conversions(self) -> frozenset[str]:
        """Columns with yes or no."""
        return frozenset(spec.column for spec in self.metrics if spec.kind == "conversion")

    @property
    def numbers(self) -> tuple[str, ...]:
        """Columns with numbers, conversions among them."""
        return tuple(dict.fromkeys(name for spec in self.metrics for name in spec.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column, once."""
        named = (self.variant, self.unit, self.cluster, *self.segments, *self.numbers)
        return tuple(dict.fromkeys(name for name in named if name is not None))


def resolve(request: Request, table: Table) -> Wanted:
    """The request in terms of the file's columns.

    Raises:
        AnalyzeError: no metric, an unknown or ambiguous column, two metrics of one name, a bad quantile or
            level.
    """
    check_alpha(request.alpha, where="--alpha", error=AnalyzeError)
    return Wanted(
        metrics=_metrics(request, table),
        variant=None if request.variant is None else _known("variant", request.variant, table),
        control=request.control,
        unit=None if request.unit is None else _known("unit", request.unit, table),
        cluster=None if request.cluster is None else _known("cluster", request.cluster, table),
        segments=tuple(dict.fromkeys(_segment(name, table) for name in request.segments)),
    )


def resolve_weights(text: str | None, variants: Sequence[str], path: Path) -> dict[str, float]:
    """The weight of every variant; equal ones where none are stated.

    Raises:
        AnalyzeError: malformed, not positive, for an unknown variant, or missing for a variant of the file.
    """
    if text is None:
        return dict.fromkeys(variants, 1.0)
    weights: dict[str, float] = {}
    rest = text
    while rest or not weights:
        name, number, rest = _next_weight(text, rest, variants)
        if name in weights:
            raise AnalyzeError(f'--weights {text}: variant "{name}" is named twice; name it once')
        if name not in variants:
            raise AnalyzeError(
                f'--weights {text}: {path} has no variant "{name}"; {suggest(name, list(variants))}'
            )
        weights[name] = _weight(name, number, text)
    if missing := [name for name in variants if name not in weights]:
        raise AnalyzeError(
            f'--weights {text}: variant "{missing[0]}" of {path} has no weight; give one to each of '
            + ", ".join(variants)
        )
    check_weights(weights, where=f"--weights {text}", error=AnalyzeError)
    return {name: weights[name] for name in variants}


def _next_weight(text: str, rest: str, variants: Sequence[str]) -> tuple[str, str, str]:
    """The first name and number of `rest`, and what follows; the longest variant that fits is the name."""
    fitting = [name for name in variants if rest.startswith(f"{name}=")]
    name = max(fitting, key=len) if fitting else rest.partition("=")[0]
    number, comma, after = rest[len(name) + 1 :].partition(",")
    if not name or not number or bool(comma) != bool(after):
        raise AnalyzeError(
            f'--weights "{text}" is not of the form VARIANT=NUMBER,VARIANT=NUMBER, as in a=1,b=1'
        )
    return name, number, after


def _weight(name: str, number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise AnalyzeError(
            f'--weights {text}: variant "{name}" has weight "{number.strip()}"; a weight is a number above 0'
        )
    return weight


def _metrics(request: Request, table: Table) -> tuple[MetricSpec, ...]:
    if not request.metrics:
        raise AnalyzeError(
            "no metric was asked for; name at least one column with --conversion, --mean, --revenue, "
            "--ratio or --quantile"
        )
    specs: list[MetricSpec] = []
    for number, option in enumerate(request.metrics):
        spec = _metric(option, table, role="secondary" if number else "primary")
        if any(spec.name == other.name for other in specs):
            raise AnalyzeError(
                f'--{option.kind} {option.text}: metric "{spec.name}" is named twice; name it once'
            )
        specs.append(spec)
    for text in request.covariates:
        specs = _with_covariate(text, specs, table)
    names = [spec.name for spec in specs]
    for name in request.decrease:
        if name not in names:
            raise AnalyzeError(
                f'--decrease {name}: "{name}" is not among the metrics asked for; {suggest(name, names)}'
            )
    return tuple(
        msgspec.structs.replace(spec, direction="decrease") if spec.name in request.decrease else spec
        for spec in specs
    )


def _known(option: str, name: str, table: Table) -> str:
    """`name` when the file has exactly one such column."""
    count = table.columns.count(name)
    if count == 1:
        return name
    where = f"{table.path}: --{option} {name}"
    if count:
        raise AnalyzeError(f'{where}: there are {count} columns named "{name}"; rename all but one')
    hint = suggest(name, list(table.columns))
    if len(table.columns) == 1 and table.file.format == "csv":
        hint = f'the header is one column, "{table.columns[0]}"; separate columns by , ; tab or |'
    raise AnalyzeError(f'{where}: there is no column "{name}"; {hint}')


def _segment(name: str, table: Table) -> str:
    column = _known("segment", name, table)
    if "=" in column:
        raise AnalyzeError(
            f'{table.path}: --segment {name}: the name holds "=", which stands between a segment and its '
            "value; rename the column"
        )
    return column


def _metric(option: MetricOption, table: Table, *, role: str) -> MetricSpec:
    if option.kind == "ratio":
        numerator, denominator = _split_ratio(option.text, table)
        return MetricSpec(
            name=option.text, kind="ratio", role=role, column=numerator, denominator=denominator
        )
    if option.kind == "quantile":
        column, at, number = option.text.rpartition("@")
        try:
            quantile = float(number)
        except ValueError:
            quantile = math.nan
        if not at or not column or not 0 < quantile < 1:
            raise AnalyzeError(
                f"--quantile {option.text}: write COLUMN@Q with Q between 0 and 1, both excluded, "
                "as in latency@0.9"
            )
        _known("quantile", column, table)
        return MetricSpec(name=option.text, kind="quantile", role=role, column=column, quantile=quantile)
    _known(option.kind, option.text, table)
    return MetricSpec(name=option.text, kind=option.kind, role=role, column=option.text)


def _split_ratio(text: str, table: Table) -> tuple[str, str]:
    """Numerator and denominator of `a/b`, where names themselves may hold a slash."""
    splits = _splits(text, "/")
    if not splits:
        raise AnalyzeError(f"--ratio {text}: write NUMERATOR/DENOMINATOR, as in clicks/views")
    fitting = [pair for pair in splits if pair[0] in table.columns and pair[1] in table.columns]
    if len(fitting) > 1:
        ways = " or ".join(f'"{left}" over "{right}"' for left, right in fitting)
        raise AnalyzeError(f"--ratio {text} can be read as {ways}; rename a column")
    numerator, denominator = fitting[0] if fitting else splits[0]
    for name in (numerator, denominator):
        _known("ratio", name, table)
    return numerator, denominator


def _with_covariate(text: str, specs: list[MetricSpec], table: Table) -> list[MetricSpec]:
    """The metrics, one of them with the covariate that `metric=column` names."""
    names = [spec.name for spec in specs]
    splits = _splits(text, "=")
    if not splits:
        raise AnalyzeError(f"--covariate {text}: write METRIC=COLUMN, as in spent=history")
    fitting = [pair for pair in splits if pair[0] in names]
    if not fitting:
        raise AnalyzeError(
            f'--covariate {text}: "{splits[0][0]}" is not among the metrics asked for; '
            f"{suggest(splits[0][0], names)}"
        )
    name, column = next((pair for pair in fitting if pair[1] in table.columns), fitting[0])
    _known("covariate", column, table)
    spec = specs[names.index(name)]
    if spec.covariate is not None:
        raise AnalyzeError(
            f'--covariate {text}: metric "{name}" already has covariate "{spec.covariate}"; name one'
        )
    if spec.kind == "quantile":
        raise AnalyzeError(f"--covariate {text}: a quantile has no covariate; leave it out")
    if column == spec.column:
        raise AnalyzeError(
            f"--covariate {text}: a metric can't be its own covariate; name what was measured before exposure"
        )
    replaced = msgspec.structs.replace(spec, covariate=column)
    return [replaced if other is spec else other for other in specs]


def _splits(text: str, mark: str) -> list[tuple[str, str]]:
    """Every way to cut `text` in two non-empty parts at `mark`."""
    cuts = [index for index, character in enumerate(text) if character == mark]
    return [(text[:cut], text[cut + 1 :]) for cut in cuts if 0 < cut < len(text) - 1]
