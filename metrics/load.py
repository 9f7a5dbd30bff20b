"""`metrics/*.toml` into metrics, with errors that name file, table, key, value and what is allowed."""

from pathlib import Path
from typing import Any, get_args

import msgspec
import tomli_w

from metrics.build import build_metrics
from metrics.model import (
    NUMERIC,
    SHARES,
    SIGNIFICANT_DIGITS,
    Kind,
    Metric,
    MetricsError,
    Part,
    PartKind,
    Weighted,
)
from metrics.sql.conditions import check_fields
from tenbin_sdk.conditions import parse
from tenbin_sdk.errors import ConditionError
from workspace import Workspace, convert, read_toml, seconds

KINDS: tuple[Kind, ...] = get_args(Kind)
PART_KINDS: tuple[PartKind, ...] = tuple(
    kind for kind in get_args(PartKind) if kind not in {"time_to_event", "quantile"}
)
LATER_KINDS = ("funnel",)
MIN_DIGITS, MAX_DIGITS = 2, 12
MAX_NAME = 200
MAX_WEIGHT = 1_000_000
MIN_CAP_QUANTILE = 0.5
DAY_S = 86_400
# Delta and Parquet allow none of these in a column's name, and a metric is a column of `unit_metrics`.
_FORBIDDEN = ' ,;{}()\t\n\r="'
# The other columns of `unit_metrics`.
RESERVED = (
    "experiment", "iteration", "as_of", "unit_type", "unit_key", "unit_id", "variant", "phase", "exposed_at",
    "segments",
)  # fmt: skip
_SUFFIX = "__"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the files of a workspace define: metrics by name, where each is, what is wrong with the rest."""

    metrics: dict[str, Metric]
    files: dict[str, Path]
    errors: tuple[tuple[Path, MetricsError], ...]


def load_metrics(workspace: Workspace) -> dict[str, Metric]:
    """All metrics of a workspace by name.

    Raises:
        MetricsError: a file can't be read, a definition is wrong, or two metrics have one name.
    """
    found = find_metrics(workspace)
    for _, error in found.errors:
        raise error
    return found.metrics


def find_metrics(workspace: Workspace) -> Found:
    """The same, with every definition that is wrong instead of the first one alone."""
    metrics: dict[str, Metric] = {}
    origin: dict[str, tuple[str, Path]] = {}
    errors: list[tuple[Path, MetricsError]] = []
    for path in sorted(workspace.metrics.glob("*.toml")):
        try:
            tables = read_toml(path, MetricsError)
        except MetricsError as error:
            errors.append((path, error))
            continue
        for name, table in tables.items():
            try:
                metric = parse_metric(name, table, path)
                _claim(name, path, origin)
            except MetricsError as error:
                errors.append((path, error))
            else:
                metrics[name] = metric
    files = dict(origin.values())
    built, wrong = build_metrics(metrics, files)
    return Found(metrics=built, files=files, errors=(*errors, *wrong))


def _claim(name: str, path: Path, origin: dict[str, tuple[str, Path]]) -> None:
    """Column names of DuckDB are equal without regard to case, so metric names are too."""
    other, first = origin.setdefault(name.casefold(), (name, path))
    if first != path or other != name:
        raise MetricsError(
            f'{path}: [{name}]: the name is taken by [{other}] in "{first}"; two metrics need two '
            "names, and upper and lower case count as the same"
        )


def metric_to_toml(metric: Metric) -> str:
    """The metric as its table in a file of `metrics/`; loading it gives the metric back."""
    table = {key: value for key, value in _plain(metric).items() if key not in ("name", "named")}
    return tomli_w.dumps({metric.name: table})


def parse_metric(name: str, table: object, path: Path) -> Metric:
    """One `[name]` table of the file `path` as a checked metric."""
    where = f"{path}: [{name}]"
    _check_name(name, where)
    if not isinstance(table, dict):
        raise MetricsError(f"{where}: a metric is a table; write [{name}] and its keys below")
    if "name" in table or "named" in table:
        key = "name" if "name" in table else "named"
        raise MetricsError(f'{where}: unknown key "{key}"; a metric is named by its table header')
    kind = table.get("kind")
    if kind in LATER_KINDS:
        raise MetricsError(f'{where}: kind "{kind}" is not there yet; allowed now: {", ".join(KINDS)}')
    if kind not in KINDS:
        found = "is missing" if kind is None else f"is {kind!r}"
        raise MetricsError(f'{where}: key "kind" {found}; allowed: {", ".join(KINDS)}')
    _check_kinds_of_parts(table, where)
    metric = convert({"name": name, **table}, Metric, where=where, error=MetricsError)
    _check_metric(metric, where)
    return metric


def _check_kinds_of_parts(table: dict[str, Any], where: str) -> None:
    """A part says what it is, or names a metric, which says it."""
    parts = [(f"{where}: {key}", table.get(key)) for key in ("numerator", "denominator")]
    covariates = table.get("covariates")
    if isinstance(covariates, list):
        parts += [(f"{where}: covariates, entry {n}", part) for n, part in enumerate(covariates, start=1)]
    for at, part in parts:
        if not isinstance(part, dict):
            continue
        if "metric" in part:
            if len(part) > 1 or "covariates" in at:
                raise MetricsError(
                    f'{at}: key "metric" stands alone, in the "numerator" or "denominator" of a ratio, as in '
                    '{ metric = "orders" }; the metric of that name says everything else'
                )
        elif "kind" not in part:
            raise MetricsError(f'{at}: key "kind" is missing; allowed: {", ".join(PART_KINDS)}')


def _plain(struct: Metric | Part | Weighted) -> dict[str, Any]:
    """The fields that say something: neither absent nor what they are anyway."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(struct)}
    said = {key: value for key, value in msgspec.structs.asdict(struct).items() if value != defaults[key]}
    if isinstance(struct, Part) and struct.metric is None:
        said = {"kind": struct.kind} | said
    return {key: _plain_value(value) for key, value in said.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, Part | Weighted):
        return _plain(value)
    return [_plain_value(one) for one in value] if isinstance(value, tuple) else value


def _check_name(name: str, where: str) -> None:
    bad = sorted({char for char in name if char in _FORBIDDEN or not char.isprintable()})
    if bad or not name or len(name) > MAX_NAME:
        shown = f" (found {' '.join(repr(char) for char in bad)})" if bad else ""
        raise MetricsError(
            f"{where}: a metric's name has 1 to {MAX_NAME} characters of any script, without spaces and "
            f"without any of , ; {{ }} ( ) = and quotes{shown}"
        )
    if name.casefold() in RESERVED or _SUFFIX in name:
        raise MetricsError(
            f'{where}: "{name}" is kept for a column of the table of unit metrics; choose a name that '
            f'contains no "__" and is none of {", ".join(RESERVED)}'
        )


def _check_metric(metric: Metric, where: str) -> None:
    _check_belonging(metric, where)
    if metric.kind == "ratio":
        _check_ratio(metric, where)
    elif metric.kind == "composite":
        _check_composite(metric, where)
    else:
        if not metric.event:
            raise MetricsError(f'{where}: key "event" is missing; name the event that is measured')
        _check_part(metric.own_parts[0], where, is_alone=True)
        if metric.kind != "engagement" and metric.measure != "events":
            raise MetricsError(
                f'{where}: key "measure" belongs to kind "engagement", and kind is "{metric.kind}"'
            )
    _check_quantile(metric, where)
    _check_duration(metric.window, f'{where}: key "window"')
    _check_after(metric, where)
    _check_first(metric, where)
    _check_time(metric, where)
    _check_days(metric.covariate, f'{where}: key "covariate"')
    for number, part in enumerate(metric.covariates, start=1):
        at = f"{where}: covariates, entry {number}"
        _refuse_quantile(part, at)
        _check_part(part, at)
        _check_days(part.before, f'{at}: key "before"')
    _check_winsorize(metric, where)
    if metric.equivalence is not None and not 0 < metric.equivalence < 1:  # NaN is refused too
        raise MetricsError(
            f'{where}: key "equivalence" is {metric.equivalence}; write the relative change that makes no '
            "practical difference, above 0 and below 1, as in 0.01"
        )


def _check_after(metric: Metric, where: str) -> None:
    """A retention lies between two times after exposure; other kinds begin with exposure."""
    if metric.kind != "retention":
        if metric.after is not None:
            raise MetricsError(
                f'{where}: key "after" belongs to kind "retention", and kind is "{metric.kind}"'
            )
        return
    for key in ("after", "window"):
        if getattr(metric, key) is None:
            raise MetricsError(
                f'{where}: key "{key}" is missing; a retention says from when and until when after first '
                'exposure a unit must be active, as in after = "1d" and window = "8d" for days 1 to 7'
            )
    _check_duration(metric.after, f'{where}: key "after"')
    if seconds(metric.after or "0d", where=where, error=MetricsError) >= (metric.window_s or 0):
        raise MetricsError(
            f'{where}: key "after" is "{metric.after}", and the window is over at "{metric.window}" after '
            "first exposure; both count from there, so that it must begin before it ends"
        )


def _check_time(metric: Metric, where: str) -> None:
    """A time to an event ends with its window, and has nothing like it before exposure."""
    if metric.kind != "time_to_event":
        if metric.time_unit != "seconds":
            raise MetricsError(
                f'{where}: key "time_unit" belongs to kind "time_to_event", and kind is "{metric.kind}"'
            )
        return
    if metric.window is None:
        raise MetricsError(
            f'{where}: key "window" is missing; without one the time to an event grows with every day that '
            'units are watched: say until when it counts, as in window = "14d"'
        )
    if metric.covariate is not None:
        raise MetricsError(
            f'{where}: key "covariate" does not apply to kind "time_to_event", because before first exposure '
            "there is no time since it; name another measure in `covariates`"
        )


def _check_first(metric: Metric, where: str) -> None:
    if metric.first is not None and metric.kind != "conversion":
        raise MetricsError(f'{where}: key "first" belongs to kind "conversion", and kind is "{metric.kind}"')
    _check_days(metric.first, f'{where}: key "first"')


def _check_belonging(metric: Metric, where: str) -> None:
    """Keys of a ratio or composite are none of another kind's."""
    for key, kind in (("numerator", "ratio"), ("denominator", "ratio"), ("combine", "composite")):
        if getattr(metric, key) and metric.kind != kind:
            raise MetricsError(f'{where}: key "{key}" belongs to kind "{kind}", and kind is "{metric.kind}"')


def _check_composite(metric: Metric, where: str) -> None:
    said = [
        key for key in ("event", "where", "value", "currency", "window") if getattr(metric, key) is not None
    ]
    for key in (*said, *(["at_least"] if metric.at_least != 1 else [])):
        raise MetricsError(
            f'{where}: key "{key}" does not apply to kind "composite"; the metrics that it combines say it'
        )
    if not metric.combine:
        raise MetricsError(
            f'{where}: key "combine" is missing; name the metrics that are added up, as in '
            'combine = [{ metric = "revenue" }, { metric = "refunds", weight = -1 }]'
        )
    for number, one in enumerate(metric.combine, start=1):
        millionths = one.weight * 10**6
        if not 0 < abs(one.weight) <= MAX_WEIGHT or abs(millionths - round(millionths)) > 1e-6 * abs(
            millionths
        ):
            raise MetricsError(
                f'{where}: combine, entry {number}: key "weight" is {one.weight}; write a number other than '
                f"0, at most {MAX_WEIGHT} and with at most six decimals, as in 0.25 or -1"
            )


def _check_ratio(metric: Metric, where: str) -> None:
    said = [key for key in ("event", "where", "value", "currency") if getattr(metric, key) is not None]
    for key in (*said, *(["at_least"] if metric.at_least != 1 else [])):
        raise MetricsError(
            f'{where}: key "{key}" of a ratio belongs into "numerator" or "denominator", as in '
            'numerator = { kind = "count", event = "click" }'
        )
    for key in ("numerator", "denominator"):
        part: Part | None = getattr(metric, key)
        if part is None:
            raise MetricsError(
                f'{where}: key "{key}" is missing; a ratio has both, as in {key} = {{ kind = "count", '
                'event = "click" }'
            )
        _refuse_quantile(part, f"{where}: {key}")
        if part.metric is None:
            _check_part(part, f"{where}: {key}")
    if (metric.numerator and metric.numerator.metric) is None:
        if metric.denominator and metric.denominator.metric is not None:
            raise _half_named(where)
    elif metric.denominator and metric.denominator.metric is None:
        raise _half_named(where)
    elif metric.window is not None:
        raise MetricsError(
            f'{where}: key "window" does not apply to a ratio of metrics; each counts in its own window'
        )


def _half_named(where: str) -> MetricsError:
    return MetricsError(
        f'{where}: only one of "numerator" and "denominator" names a metric; either both do, and each counts '
        "in its own window, or both say their kind and event"
    )


def _refuse_quantile(part: Part, where: str) -> None:
    if part.kind == "quantile":
        raise MetricsError(
            f'{where}: key "kind" is "quantile", which is no number of a unit; measure it as a metric of '
            "its own"
        )


def _check_quantile(metric: Metric, where: str) -> None:
    if metric.kind != "quantile":
        for key, unsaid in (("quantile", None), ("significant_digits", SIGNIFICANT_DIGITS)):
            if getattr(metric, key) != unsaid:
                raise MetricsError(
                    f'{where}: key "{key}" belongs to kind "quantile", and kind is "{metric.kind}"'
                )
        return
    if metric.quantile is None or not 0 < metric.quantile < 1:  # NaN is refused too
        found = "is missing" if metric.quantile is None else f"is {metric.quantile}"
        raise MetricsError(
            f'{where}: key "quantile" {found}; write the share of values at or below it, above 0 and below '
            "1, as in 0.9"
        )
    digits = metric.significant_digits
    if digits != "exact" and not MIN_DIGITS <= digits <= MAX_DIGITS:
        raise MetricsError(
            f'{where}: key "significant_digits" is {digits}; write {MIN_DIGITS} to {MAX_DIGITS}, or "exact"'
        )
    for key in ("covariate", "covariates"):
        if getattr(metric, key):
            raise MetricsError(f'{where}: key "{key}" does not apply to kind "quantile"; leave it out')


def _check_part(part: Part, where: str, *, is_alone: bool = False) -> None:
    if not part.event:
        raise MetricsError(f'{where}: key "event" is empty; name the event that is measured')
    if part.value is not None and part.kind in NUMERIC | {"count_distinct"}:
        _check_value_field(part.value, f'{where}: key "value"')
    elif part.value is not None:
        raise MetricsError(
            f'{where}: key "value" belongs to kind "revenue", "sum", "quantile" or "count_distinct", and '
            f'kind is "{part.kind}"'
        )
    if part.currency is not None and part.kind not in NUMERIC:
        raise MetricsError(
            f'{where}: key "currency" belongs to kind "revenue", "sum" or "quantile", and kind is '
            f'"{part.kind}"'
        )
    if part.kind == "time_to_event" and not is_alone:
        raise MetricsError(
            f'{where}: kind "time_to_event" is not one number of every unit; allowed: {", ".join(PART_KINDS)}'
        )
    if part.at_least < 1 or (part.at_least != 1 and part.kind != "conversion"):
        raise MetricsError(
            f'{where}: key "at_least" is {part.at_least}; it is the number of events that makes a conversion '
            "or retention, from 1 on, and belongs to those kinds only"
        )
    if part.where is not None:
        _check_condition(part.where, f'{where}: key "where"')


def _check_value_field(field: str, where: str) -> None:
    if field != "value" and (not field.startswith("properties.") or "" in field.split(".")):
        raise MetricsError(
            f'{where}: "{field}" is not a field of an event with a value; write "value" or "properties.NAME"'
        )


def _check_condition(condition: dict[str, Any], where: str) -> None:
    try:
        check_fields(parse(condition))
    except (ConditionError, MetricsError) as reason:
        raise MetricsError(f"{where}: {reason}") from None


def _check_duration(duration: str | None, where: str) -> None:
    if duration is None:
        return
    if seconds(duration, where=where, error=MetricsError) == 0:
        raise MetricsError(f'{where}: "{duration}" must be longer than nothing')


def _check_days(duration: str | None, where: str) -> None:
    _check_duration(duration, where)
    if duration is not None and seconds(duration, where=where, error=MetricsError) % DAY_S:
        raise MetricsError(
            f'{where} is "{duration}"; write whole days, as in "14d", so that it covers the same time at day '
            "precision"
        )


def _check_winsorize(metric: Metric, where: str) -> None:
    quantile = metric.winsorize
    if quantile is None:
        return
    if not MIN_CAP_QUANTILE <= quantile < 1:  # NaN is refused too
        raise MetricsError(
            f'{where}: key "winsorize" is {quantile}; write the quantile above which values are capped, '
            f"at least {MIN_CAP_QUANTILE} and below 1, as in 0.999"
        )
    if metric.kind in ("ratio", "quantile") or metric.kind in SHARES:
        raise MetricsError(
            f'{where}: key "winsorize" does not apply to kind "{metric.kind}"; it caps revenue, sum, '
            "count, count_distinct and engagement"
        )
