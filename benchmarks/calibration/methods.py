"""The engine's methods, each applied to many runs at once: its p-values and both of its intervals."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stats import (
    clusters,
    contrasts,
    exact,
    inference,
    lifts,
    proportions,
    quantiles,
    ranks,
    regression,
    strata,
)
from stats.arrays import Codes, Numbers, Real
from stats.contrasts import Arm, Contrast
from stats.inference import Interval
from stats.moments import Moments, Stack
from stats.numerics import positive, quiet
from stats.proportions import Counts
from stats.references import Reference, StudentT

ALPHA = 0.05
NOTHING = Interval(math.nan, math.nan)


class Reading(NamedTuple):
    """What a method says of each run; NaN where it says nothing."""

    estimate: Real
    log10_p: Real
    difference: Interval = NOTHING
    lift: Interval = NOTHING


Method = Callable[[Stack, Stack], Reading]


@quiet
def read(contrast: Contrast, reference: Reference | None = None, *, relative: str = "fieller") -> Reading:
    """The two-sided test of a contrast, its interval, and one of the intervals of the lift.

    For `fieller` the test is that of the difference; the other lifts have tests of their own.
    """
    law = StudentT(contrast.df) if reference is None else reference
    varies = np.where(np.isnan(positive(contrast.variance_against(1.0))), math.nan, 1.0)
    pair = lifts.RELATIVE[relative]
    z = inference.statistic(contrast) if relative == "fieller" else pair.statistic(contrast, 0.0)
    plain = inference.difference_interval(contrast, law, ALPHA)
    lift = pair.interval(contrast, law, ALPHA, 2)
    return Reading(
        contrast.estimate * varies,
        law.log10_p(np.where(np.isfinite(z * varies), z, 0.0)) * varies,
        Interval(plain.lower * varies, plain.upper * varies),
        Interval(lift.lower * varies, lift.upper * varies),
    )


def of_contrast(make: Callable[[Stack, Stack], Contrast], *, relative: str = "fieller") -> Method:
    """A method that ends in a contrast."""
    return lambda variant, baseline: read(make(variant, baseline), relative=relative)


MEANS: Mapping[str, Method] = {
    "welch_t, fieller": of_contrast(contrasts.difference_of_means),
    "welch_t, linear_delta": of_contrast(contrasts.difference_of_means, relative="linear_delta"),
    "welch_t, log_delta": of_contrast(contrasts.difference_of_means, relative="log_delta"),
}
RATIOS: Mapping[str, Method] = {"delta": of_contrast(contrasts.difference_of_ratios)}
CLUSTERED: Mapping[str, Method] = {
    "cluster_delta": of_contrast(clusters.delta_means),
    "cluster_cr1": of_contrast(clusters.cr1_means),
}


ADJUSTED: Mapping[str, Method] = {
    "welch_t (unadjusted)": of_contrast(contrasts.difference_of_means),
    "cuped": of_contrast(contrasts.adjusted),
    "lin": of_contrast(regression.lin),
    "ancova": of_contrast(regression.ancova),
}


def z_unpooled(counts: Counts) -> Reading:
    """The unpooled z of two proportions, Wald's interval and Fieller's."""
    return read(contrasts.difference_of_proportions(*shares(counts)))


def shares(counts: Counts) -> tuple[Stack, Stack]:
    """The moments of both arms."""
    return (
        _shares(counts.variant, counts.n_variant),
        _shares(counts.baseline, counts.n_baseline),
    )


def _shares(x: Real, n: Real) -> Stack:
    share = np.asarray(x / n, dtype=np.float64)
    return Stack(np.broadcast_to(np.asarray(n, dtype=np.float64), share.shape), (share,), ((share,),))


def score(counts: Counts) -> Reading:
    """The score test with Miettinen and Nurminen's intervals."""
    law = StudentT()
    return Reading(
        counts.variant / counts.n_variant - counts.baseline / counts.n_baseline,
        law.log10_p(proportions.score_statistic(counts)),
        proportions.miettinen_nurminen_difference(counts, law, ALPHA),
        proportions.miettinen_nurminen_lift(counts, law, ALPHA),
    )


def chosen(counts: Counts) -> Reading:
    """What `exact.choose` picks for each table."""
    n, m = int(counts.n_variant), int(counts.n_baseline)
    tables = [(int(x), n, int(y), m) for x, y in zip(*_arrays(counts), strict=True)]
    names = picked(counts)
    found = np.full((6, len(tables)), math.nan)
    for name, method in (("z_unpooled", z_unpooled), ("miettinen_nurminen", score)):
        here = names == name
        if here.any():
            x, y = (each[here] for each in _arrays(counts))
            found[:, here] = _flat(method(Counts(x, float(n), y, float(m))))
    for place in np.flatnonzero(names == "barnard"):
        found[:, place] = _barnard(*tables[place])
    return Reading(found[0], found[1], Interval(found[2], found[3]), Interval(found[4], found[5]))


def picked(counts: Counts) -> npt.NDArray[np.str_]:
    """The names that `exact.choose` picks."""
    n, m = int(counts.n_variant), int(counts.n_baseline)
    tables, back = np.unique(np.stack(_arrays(counts)), axis=1, return_inverse=True)
    names = [exact.choose(Counts(int(x), n, int(y), m)).method for x, y in tables.T]
    return np.array(names)[back.ravel()]


def _arrays(counts: Counts) -> tuple[Numbers, Numbers]:
    return np.asarray(counts.variant, dtype=np.float64), np.asarray(counts.baseline, dtype=np.float64)


def _flat(reading: Reading) -> Numbers:
    found: Numbers = np.array([reading.estimate, reading.log10_p, *reading.difference, *reading.lift])
    return found


@functools.cache
def _barnard(x: int, n: int, y: int, m: int) -> tuple[float, ...]:
    found = exact.barnard(Counts(x, n, y, m), alpha=ALPHA)
    bounds = (*found.difference, *found.lift)
    return (x / n - y / m, math.log10(found.p_value), *(float(bound) for bound in bounds))


PROPORTIONS: Mapping[str, Callable[[Counts], Reading]] = {
    "z_unpooled": z_unpooled,
    "miettinen_nurminen": score,
    "as chosen": chosen,
}


def on_unique(method: Callable[[Counts], Reading], counts: Counts) -> Reading:
    """The method on tables that are many times the same: each is asked about once."""
    n, m = float(counts.n_variant), float(counts.n_baseline)
    tables, back = np.unique(np.stack(_arrays(counts)), axis=1, return_inverse=True)
    found = _flat(method(Counts(tables[0], n, tables[1], m)))[:, back.ravel()]
    return Reading(found[0], found[1], Interval(found[2], found[3]), Interval(found[4], found[5]))


def cr2(variant: tuple[Numbers, Numbers], baseline: tuple[Numbers, Numbers]) -> Contrast:
    """CR2 for runs whose arms are totals and sizes of clusters, (runs, clusters)."""
    return _together(
        clusters.cr2_means(clusters.Clusters(a, b), clusters.Clusters(c, d))
        for a, b, c, d in zip(*variant, *baseline, strict=True)
    )


def post_stratified(
    variant: tuple[Numbers, Codes], baseline: tuple[Numbers, Codes], *, strata_count: int
) -> Contrast:
    """The difference within strata, run by run; arms are values and strata, (runs, units)."""

    def cell(values: Numbers, stratum: Codes, number: int) -> Moments:
        return Moments.from_columns(values[stratum == number])

    return _together(
        strata.post_stratified(
            [(cell(y, s, k), cell(z, t, k)) for k in range(strata_count)], kind="mean"
        ).contrast
        for y, s, z, t in zip(*variant, *baseline, strict=True)
    )


def _together(found: Iterable[Contrast]) -> Contrast:
    """Contrasts of single comparisons as one of arrays."""
    rows = list(found)

    def column(name: str) -> Numbers:
        return np.array([getattr(row, name) for row in rows], dtype=np.float64)

    return Contrast(
        method=rows[0].method,
        **{
            name: column(name)
            for name in ("variant", "baseline", "var_variant", "var_baseline", "covariance", "df")
        },
    )


def quantile_arm(values: Numbers, q: float) -> Arm:
    """One arm's quantile in every run, values being (runs, units); NaN where it has no error."""
    found = [quantiles.quantile(row, q, alpha=ALPHA) for row in values]
    value, variance = (
        np.array([math.nan if part is None else part for part in column])
        for column in ([each.value for each in found], [each.variance for each in found])
    )
    n = np.array([each.n for each in found], dtype=np.float64)
    return Arm(value, variance * n, n)


def mann_whitney(variant: Numbers, baseline: Numbers) -> Reading:
    """Mann and Whitney's test of every run; the estimate is U beyond its mean."""
    found = [ranks.mann_whitney(a, b) for a, b in zip(variant, baseline, strict=True)]
    middle = variant.shape[1] * baseline.shape[1] / 2
    return Reading(np.array([each.u for each in found]) - middle, np.array([each.log10_p for each in found]))


def superiority(variant: Numbers, baseline: Numbers) -> Contrast:
    """Brunner and Munzel's probability of superiority, less 1/2, of every run."""
    return _together(ranks.superiority(a, b) for a, b in zip(variant, baseline, strict=True))
