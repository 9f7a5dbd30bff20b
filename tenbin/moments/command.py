"""One call of `tenbin analyze --moments`, from the path to an answer per experiment."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from stats.aggregates import Measured
from stats.analysis import analyse
from stats.choices import Kind
from stats.plan import NEEDS_UNITS, MetricPlan, Plan, Settings
from tenbin.analyze.answer import Answer
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.looks import taken_looks
from tenbin.analyze.names import known_metric
from tenbin.analyze.plan import KINDS
from tenbin.analyze.request import MetricKind, MetricSpec, Request, Wanted
from tenbin.analyze.settings import earlier_looks, settings_of
from tenbin.analyze.specs import Said, as_said, said_of
from tenbin.analyze.units import Tally
from tenbin.analyze.weights import resolve_weights
from tenbin.moments.given import Given, experiments_of
from tenbin.moments.rows import read_rows
from workspace import check_alpha

METHOD_VERSION = 1  # raised when the same file and options give other numbers

Progress = Callable[[Sequence[Given]], Iterator[Given]]  # goes through the experiments, and shows how far

# Options about single units and their columns, which aggregates do not have; as they are typed.
_OF_UNITS = {"variant": "variant", "unit": "unit", "cluster": "cluster", "covariates": "covariate",
             "segments": "segment"}  # fmt: skip
_SHOWN_AS: dict[Kind, MetricKind] = {"proportion": "conversion", "mean": "mean", "ratio": "ratio"}
_DEPENDS = ("alpha", "horizon", "all_pairs", "planned_units", "looks", "final")


class Answers(NamedTuple):
    """What was found in the file."""

    answers: tuple[Answer, ...]
    several: bool  # whether the file has a column of experiments

    @property
    def found_wrong(self) -> bool:
        """Whether the data of any experiment can't be trusted."""
        return any(answer.found_wrong for answer in self.answers)

    @property
    def only(self) -> Answer:
        """The one answer that a page can show.

        Raises:
            AnalyzeError: there are several.
        """
        if len(self.answers) > 1:
            raise AnalyzeError(
                f"--report writes the page of one experiment, and {self.answers[0].path} has "
                f"{len(self.answers):,}; keep the rows of one of them in a file"
            )
        return self.answers[0]


class _Asked(NamedTuple):
    """What holds of every experiment of the call."""

    path: Path
    request: Request
    said: Said
    settings: Settings
    notes: tuple[str, ...]
    alone: bool  # whether there is one experiment


def analyze_moments(path: Path, request: Request, progress: Progress = iter) -> Answers:
    """Read the file, and compare the variants of each of its experiments.

    Raises:
        AnalyzeError: the file or an option can't be used; the message says which, where and what to do.
    """
    _check(request)
    rows = read_rows(path, {option.text: KINDS[option.kind] for option in request.metrics})
    found = tuple(experiments_of(rows))
    names = list(dict.fromkeys(name for given in found for name in given.metrics))
    for option in request.metrics:
        known_metric(option.kind, option.text, option.text, names)
    said = said_of(request, names)
    request = _with_what_the_file_says(request, found)
    specs = [spec for given in found for spec in _specs(request, given, said)]
    asked = _Asked(
        path=path,
        request=request,
        said=said,
        settings=settings_of(request, specs),
        notes=tuple(_unread(rows.unread)),
        alone=len(found) == 1,
    )
    answers = tuple(_answer(asked, given) for given in progress(found))
    return Answers(answers, several=any(row.stated.experiment is not None for row in rows.rows))


def _check(request: Request) -> None:
    """Refuse what needs single units."""
    check_alpha(request.alpha, where="--alpha", error=AnalyzeError)
    for name, option in _OF_UNITS.items():
        if getattr(request, name):
            raise AnalyzeError(
                f"--{option} is about a file of units; with --moments the file's own columns say it"
            )
    if any(option.kind == "quantile" for option in request.metrics):
        raise AnalyzeError("--quantile needs the values of units; aggregates have means and covariances")
    for option, name in (
        *(("method", name) for name in request.methods),
        ("adjustment", request.adjustment),
        ("clusters", f"cluster_{request.clusters}"),
    ):
        if name in NEEDS_UNITS:
            shown = request.clusters if option == "clusters" else name
            raise AnalyzeError(
                f"--{option} {shown} reads single units; aggregates have means and covariances alone"
            )


def _with_what_the_file_says(request: Request, found: Sequence[Given]) -> Request:
    """The request as it would be of units: the segments that there are, whether groups were randomised."""
    cells = [cell for given in found for cell in given.cells]
    dimensions = dict.fromkeys(cell.segment.partition("=")[0] for cell in cells if cell.segment is not None)
    if request.strata is not None and request.strata not in dimensions:
        known = ", ".join(dimensions) or "none"
        raise AnalyzeError(f"--strata {request.strata}: no segment has this dimension; there are: {known}")
    clustered = any(measured.clustered for given in found for measured in given.metrics.values())
    return msgspec.structs.replace(
        request, segments=tuple(dimensions), cluster="clustered" if clustered else None
    )


def _unread(columns: Sequence[str]) -> Iterator[str]:
    if columns:
        listed = ", ".join(f'"{name}"' for name in columns)
        yield f"Columns that mean nothing here were not read: {listed}."


def _specs(request: Request, given: Given, said: Said) -> tuple[MetricSpec, ...]:
    """The metrics asked for that the experiment has; all of its metrics when none was asked for."""
    kinds: dict[str, MetricKind] = {option.text: option.kind for option in request.metrics}
    chosen = [name for name in kinds if name in given.metrics] if kinds else list(given.metrics)
    return as_said((_spec(name, given.metrics[name], kinds.get(name)) for name in chosen), said)


def _spec(name: str, measured: Measured, kind: MetricKind | None) -> MetricSpec:
    before = tuple(f"covariate {number}" for number in range(1, (measured.covariates or 0) + 1))
    paired = (before[0], before[1]) if measured.ratio_covariate else None
    return MetricSpec(
        name=name,
        kind=kind or _SHOWN_AS[measured.kind or "mean"],
        role=measured.role or "secondary",
        column=name,
        ratio_covariate=paired,
        covariates=before[2:] if paired else before,
        direction=measured.direction or "increase",
        margin=measured.margin,
        equivalence=measured.equivalence,
    )


def _answer(asked: _Asked, given: Given) -> Answer:
    request, specs = asked.request, _specs(asked.request, given, asked.said)
    variants = _variants(asked, given)
    weights = resolve_weights(request.weights, variants, asked.path)
    plan = _plan(asked, given, specs, variants, weights)
    cells = tuple(cell for cell in given.cells if any(cell.metric == spec.name for spec in specs))
    wanted = Wanted(
        metrics=specs,
        variant=None,
        control=variants[0],
        unit=None,
        cluster=request.cluster,
        segments=request.segments,
        settings=asked.settings,
        earlier_looks=earlier_looks(request),
    )
    taken = taken_looks(request, wanted, plan, cells)
    analysis = analyse(
        plan,
        cells,
        counts=given.counts,
        as_of=None,
        ended=plan.horizon != "group_sequential" or bool(taken and taken[-1].look.final),
        taken=taken,
    )
    counts = given.counts or {}
    dated = [msgspec.structs.replace(row, as_of=given.as_of) for row in analysis.results]
    return Answer(
        path=asked.path,
        request=request,
        metrics=specs,
        variants=variants,
        weights=weights,
        counts=counts,
        tally=Tally(given.rows, sum(counts.values()), 0, 0, (*asked.notes, *given.warnings)),
        left_out_failed=False,
        as_of=given.as_of,
        plan=plan,
        analysis=msgspec.structs.replace(analysis, results=tuple(dated)),
    )


def _variants(asked: _Asked, given: Given) -> tuple[str, ...]:
    """Control first, the others in their order as text; without --control the first row names it."""
    control = asked.request.control or given.variants[0]
    listed = ", ".join(f'"{name}"' for name in given.variants)
    where = f'{asked.path}: experiment "{given.experiment}"'
    if control not in given.variants:
        raise AnalyzeError(f'{where} has no variant "{control}" (--control); it has: {listed}')
    if len(given.variants) == 1 and asked.alone:
        raise AnalyzeError(
            f'{where} has the one variant "{control}"; a comparison needs another one beside the control'
        )
    return (control, *sorted(name for name in given.variants if name != control))


def _plan(
    asked: _Asked,
    given: Given,
    specs: Sequence[MetricSpec],
    variants: tuple[str, ...],
    weights: Mapping[str, float],
) -> Plan:
    request = asked.request
    return Plan(
        experiment=given.experiment,
        iteration=given.iteration,
        control=variants[0],
        variants=variants,
        compare="all_pairs" if request.all_pairs else "control",
        alpha=request.alpha,
        horizon=request.horizon,
        weights=dict(weights),
        planned_units=request.planned_units,
        metrics=tuple(_metric(asked, spec, given.metrics[spec.name], weights) for spec in specs),
        settings=asked.settings,
    )


def _metric(asked: _Asked, spec: MetricSpec, measured: Measured, weights: Mapping[str, float]) -> MetricPlan:
    return MetricPlan(
        name=spec.name,
        kind=KINDS[spec.kind],
        role=spec.role,
        direction=spec.direction,
        margin=spec.margin,
        equivalence=spec.equivalence,
        covariates=len(spec.before),
        ratio_covariate=spec.ratio_covariate is not None,
        non_negative=measured.non_negative is not False,
        clustered=bool(measured.clustered),
        fingerprint=_fingerprint(asked, spec, weights),
    )


def _fingerprint(asked: _Asked, spec: MetricSpec, weights: Mapping[str, float]) -> str:
    """What the numbers of a metric depend on besides the file."""
    depends = {
        "method": METHOD_VERSION,
        "metric": spec,
        "weights": weights,
        "settings": asked.settings,
        "control": asked.request.control,
        **{name: getattr(asked.request, name) for name in _DEPENDS},
    }
    return hashlib.sha256(msgspec.json.encode(depends, order="deterministic")).hexdigest()[:16]
