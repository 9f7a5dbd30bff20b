"""What was asked of `tenbin analyze`, and what it means in the columns of the file at hand.

Column, metric and variant names may hold any character, also `/`, `@`, `=` and `,`: options are taken apart
with the names that are really there, so only a truly ambiguous one is refused.
"""

import math
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from tenbin.analyze.errors import AnalyzeError
from workspace import suggest

MetricKind = Literal["conversion", "mean", "revenue", "ratio", "quantile"]
Horizon = Literal["fixed", "anytime"]

_WEIGHT = re.compile(r"(?P<name>.+?)=(?P<number>[^,=]+)(?:,|$)", re.DOTALL)


class MetricOption(msgspec.Struct, frozen=True):
    """One metric option as typed: `--ratio clicks/views`."""

    kind: MetricKind
    text: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call, as typed."""

    variant: str
    control: str | None = None
    unit: str | None = None
    cluster: str | None = None
    metrics: tuple[MetricOption, ...] = ()  # in the order of the command line: the first is primary
    covariates: tuple[str, ...] = ()  # metric=column
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

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it reads."""
        return tuple(name for name in (self.column, self.denominator, self.covariate) if name is not None)


def resolve_metrics(request: Request, columns: Sequence[str]) -> tuple[MetricSpec, ...]:
    """The metrics of the request over the file's columns, in order, with their roles.

    Raises:
        AnalyzeError: no metric, an unknown or ambiguous column, two metrics of one name, a bad quantile.
    """
    if not request.metrics:
        raise AnalyzeError(
            "no metric was asked for; name at least one column with --conversion, --mean, --revenue, "
            "--ratio or --quantile"
        )
    specs: list[MetricSpec] = []
    for number, option in enumerate(request.metrics):
        spec = _metric(option, columns, role="secondary" if number else "primary")
        if any(spec.name == other.name for other in specs):
            raise AnalyzeError(f'--{option.kind} {option.text}: metric "{spec.name}" is named twice')
        specs.append(spec)
    for text in request.covariates:
        specs = _with_covariate(text, specs, columns)
    return tuple(specs)


def known(option: str, name: str, columns: Sequence[str]) -> str:
    """`name` when the file has exactly one such column.

    Raises:
        AnalyzeError: it has none, or several.
    """
    count = columns.count(name)
    if count == 0:
        raise AnalyzeError(
            f'--{option} {name}: the file has no column "{name}"; {suggest(name, list(columns))}'
        )
    if count > 1:
        raise AnalyzeError(
            f'--{option} {name}: the file has {count} columns named "{name}"; rename all but one'
        )
    return name


def resolve_weights(text: str | None, variants: Sequence[str]) -> dict[str, float]:
    """The weight of every variant; equal ones where none are stated.

    Raises:
        AnalyzeError: malformed, not positive, for an unknown variant, or missing for a variant of the file.
    """
    if text is None:
        return dict.fromkeys(variants, 1.0)
    weights: dict[str, float] = {}
    end = 0
    for match in _WEIGHT.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        name = match["name"]
        if name in weights:
            raise AnalyzeError(f'--weights {text}: variant "{name}" is named twice; name it once')
        weights[name] = _weight(name, match["number"], text)
    if end != len(text) or not weights:
        raise AnalyzeError(
            f'--weights "{text}" is not of the form VARIANT=NUMBER,VARIANT=NUMBER, as in a=1,b=1'
        )
    for name in weights:
        if name not in variants:
            raise AnalyzeError(
                f'--weights {text}: the file has no variant "{name}"; {suggest(name, list(variants))}'
            )
    if missing := [name for name in variants if name not in weights]:
        raise AnalyzeError(
            f'--weights {text}: variant "{missing[0]}" of the file has no weight; give one to each of '
            + ", ".join(variants)
        )
    return {name: weights[name] for name in variants}


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


def _metric(option: MetricOption, columns: Sequence[str], *, role: str) -> MetricSpec:
    if option.kind == "ratio":
        numerator, denominator = _split_ratio(option.text, columns)
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
        known("quantile", column, columns)
        return MetricSpec(name=option.text, kind="quantile", role=role, column=column, quantile=quantile)
    known(option.kind, option.text, columns)
    return MetricSpec(name=option.text, kind=option.kind, role=role, column=option.text)


def _split_ratio(text: str, columns: Sequence[str]) -> tuple[str, str]:
    """Numerator and denominator of `a/b`, where names themselves may hold a slash."""
    splits = _splits(text, "/")
    if not splits:
        raise AnalyzeError(f"--ratio {text}: write NUMERATOR/DENOMINATOR, as in clicks/views")
    fitting = [pair for pair in splits if pair[0] in columns and pair[1] in columns]
    if len(fitting) > 1:
        ways = " or ".join(f'"{left}" over "{right}"' for left, right in fitting)
        raise AnalyzeError(f"--ratio {text} can be read as {ways}; rename a column")
    numerator, denominator = fitting[0] if fitting else splits[0]
    for name in (numerator, denominator):
        if columns.count(name) != 1:
            known("ratio", name, columns)
    return numerator, denominator


def _with_covariate(text: str, specs: list[MetricSpec], columns: Sequence[str]) -> list[MetricSpec]:
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
    name, column = next((pair for pair in fitting if pair[1] in columns), fitting[0])
    known("covariate", column, columns)
    spec = specs[names.index(name)]
    if spec.covariate is not None:
        raise AnalyzeError(f'--covariate {text}: metric "{name}" already has covariate "{spec.covariate}"')
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
