"""Options → how the statistics analyse; an option that would do nothing here is refused, not passed over."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast, get_args

from stats.bayes import DEFAULT, Prior
from stats.choices import Method
from stats.plan import Settings
from stats.spending import HwangShihDeCani, OBrienFleming, Pocock, Power, Spending
from tenbin.analyze.errors import AnalyzeError
from tenbin.analyze.request import MetricSpec, Request
from workspace import suggest

_RESAMPLING = {"permutation", "bootstrap"}  # the methods that draw


def settings_of(request: Request, metrics: Sequence[MetricSpec]) -> Settings:
    """The settings that the options ask for.

    Raises:
        AnalyzeError: an option can't be read, or applies to nothing that was asked for.
    """
    for stated, lacking, remedy in _conditions(request):
        if stated and lacking:
            raise AnalyzeError(f"--{stated} {remedy}")
    _check_methods(request, metrics)
    return Settings(
        alternative="better" if request.one_sided else "two-sided",
        proportions=request.proportions,
        adjustment=request.adjustment,
        strata=request.strata,
        clusters=request.clusters,
        correction=request.correction,
        families=request.families,
        methods=cast("tuple[Method, ...]", request.methods),
        prior=_prior(request.prior),
        msprt=request.msprt,
        spending=_spending(request.spending),
        planned_segments=request.planned_segments,
        seed=request.seed,
    )


def earlier_looks(request: Request) -> tuple[int, ...]:
    """Units at each look before this one.

    Raises:
        AnalyzeError: no whole numbers that grow, from 1 to below the planned units.
    """
    if request.looks is None:
        return ()
    parts = [part.strip() for part in request.looks.split(",")]
    found = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts]
    grow = all(earlier < later for earlier, later in zip([0, *found], found, strict=False))
    if not grow or found[-1] >= (request.planned_units or 0):
        raise AnalyzeError(
            f"--looks {request.looks}: write the units at each look before this one, growing and below "
            "--planned-units, as in 10000,20000"
        )
    return tuple(found)


class _Condition(NamedTuple):
    stated: str  # the option and its value, "" where it was not given
    lacking: bool  # whether what it needs is absent
    remedy: str


def _conditions(request: Request) -> Iterator[_Condition]:
    """What an option needs beside it."""
    sequential = request.horizon == "group_sequential"
    needs_group_sequential = "is about looks; it needs --horizon group_sequential"
    yield _Condition(_said("looks", request.looks), not sequential, needs_group_sequential)
    yield _Condition("final" if request.final else "", not sequential, needs_group_sequential)
    yield _Condition(_said("spending", request.spending), not sequential, needs_group_sequential)
    yield _Condition(
        _said("planned-units", request.planned_units),
        request.horizon == "fixed",
        "is what a test with several looks is tuned to; it needs --horizon anytime or group_sequential",
    )
    yield _Condition(
        _said("planned-units", request.planned_units),
        (request.planned_units or 0) < 1,
        "is no number of units; write a whole number above 0",
    )
    yield _Condition(
        "horizon group_sequential" if sequential else "",
        request.planned_units is None,
        "needs --planned-units, the most units that will be looked at",
    )
    yield _Condition(
        _said("msprt", request.msprt),
        request.horizon != "anytime",
        "replaces the boundary of --horizon anytime, and needs it",
    )
    yield _Condition(
        _said("msprt", request.msprt),
        not 0 < (request.msprt or 0) < math.inf,
        "is no standard deviation of the lift; write a number above 0, as in 0.1",
    )
    yield _Condition(
        _said("clusters", None if request.clusters == "auto" else request.clusters),
        request.cluster is None,
        "is about randomised groups; name their column with --cluster",
    )
    yield _Condition(
        "planned-segments" if request.planned_segments else "",
        not request.segments and request.strata is None,
        "is about segments; name them with --segment",
    )
    yield _Condition(
        _said("proportions", None if request.proportions in {"auto", "z_unpooled"} else request.proportions),
        request.horizon != "fixed",
        "has no sequential form; use auto, or --horizon fixed",
    )
    yield _Condition(
        _said("seed", request.seed), request.seed < 0, "is no seed; write a whole number from 0 on"
    )
    yield _Condition(
        _said("seed", request.seed or None),
        _RESAMPLING.isdisjoint(request.methods),
        "is of resampling; it needs --method permutation or --method bootstrap",
    )


def _said(option: str, value: object) -> str:
    return "" if value is None else f"{option} {value}"


class _Need(NamedTuple):
    """What a metric must be for a method to apply to it."""

    words: str
    met: Callable[[MetricSpec, Request], bool]


_PROPORTIONS = _Need(
    "a --conversion, without --cluster",
    lambda spec, request: spec.kind == "conversion" and request.cluster is None,
)
_MOMENTS = _Need("a metric that is no --quantile", lambda spec, _: spec.kind != "quantile")
_COVARIATES = _Need("a metric with a --covariate", lambda spec, _: bool(spec.before))
_UNITS_AND_COVARIATES = _Need(
    "a --conversion, --mean or --revenue with a --covariate, without --cluster",
    lambda spec, request: bool(spec.before) and _per_unit(spec) and request.cluster is None,
)
_STRATA = _Need(
    "--strata, and a metric that is no --quantile",
    lambda spec, request: spec.kind != "quantile" and request.strata is not None,
)
_CLUSTERS = _Need(
    "--cluster with a --conversion, --mean or --revenue",
    lambda spec, request: _per_unit(spec) and request.cluster is not None,
)
_VALUES = _Need(
    "a --conversion, --mean or --revenue, without --cluster",
    lambda spec, request: _per_unit(spec) and request.cluster is None,
)

_NEEDS: dict[str, _Need] = {
    **dict.fromkeys(
        (
            "z_unpooled", "miettinen_nurminen", "barnard", "boschloo", "fisher", "newcombe",
            "agresti_caffo", "log_relative", "beta_posterior",
        ),
        _PROPORTIONS,
    ),
    **dict.fromkeys(("linear_delta", "log_delta", "bootstrap", "normal_posterior", "msprt"), _MOMENTS),
    **dict.fromkeys(("cuped", "lin", "ancova"), _COVARIATES),
    **dict.fromkeys(("lin_hc2", "lin_hc3"), _UNITS_AND_COVARIATES),
    "post_stratified": _STRATA,
    **dict.fromkeys(("cluster_delta", "cluster_cr1", "cluster_cr2"), _CLUSTERS),
    **dict.fromkeys(("mann_whitney", "brunner_munzel", "permutation"), _VALUES),
}  # fmt: skip


def _per_unit(spec: MetricSpec) -> bool:
    return spec.kind in {"conversion", "mean", "revenue"}


def _check_methods(request: Request, metrics: Sequence[MetricSpec]) -> None:
    """Refuse the name of no method, and a method that applies to none of the metrics."""
    for name in request.methods:
        if name not in get_args(Method):
            raise AnalyzeError(
                f'--method {name}: there is no method "{name}"; {suggest(name, list(get_args(Method)))}'
            )
    chosen = [
        *(("method", name) for name in request.methods),
        *(("adjustment", name) for name in (request.adjustment,) if name not in {"auto", "none"}),
        *(("proportions", name) for name in (request.proportions,) if name != "auto"),
    ]
    for option, name in chosen:
        need = _NEEDS[name]
        if not any(need.met(spec, request) for spec in metrics):
            raise AnalyzeError(f"--{option} {name} applies to none of the metrics; it needs {need.words}")


def _prior(text: str | None) -> Prior:
    if text is None:
        return DEFAULT
    mean, _, sd = text.partition(",")
    try:
        return Prior(float(mean), float(sd))
    except ValueError:
        raise AnalyzeError(
            f"--prior {text}: write MEAN,SD of the lift, SD above 0 (inf: flat), as in 0,0.3"
        ) from None


_SPENDINGS: dict[str, Callable[[], Spending]] = {"obrien_fleming": OBrienFleming, "pocock": Pocock}
_SHAPED: dict[str, Callable[[float], Spending]] = {"power": Power, "hwang_shih_decani": HwangShihDeCani}


def _spending(text: str | None) -> Spending:
    if text is None:
        return OBrienFleming()
    name, equals, number = text.partition("=")
    if name in _SPENDINGS and not equals:
        return _SPENDINGS[name]()
    try:
        return _SHAPED[name](float(number))
    except (KeyError, ValueError):
        raise AnalyzeError(
            f"--spending {text}: write obrien_fleming, pocock, power=RHO with RHO above 0, or "
            "hwang_shih_decani=GAMMA with GAMMA from -40 to 40"
        ) from None
