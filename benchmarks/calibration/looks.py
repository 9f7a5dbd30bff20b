"""What is simulated, part two: tests that are looked at many times, families of tests, sample ratios."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from benchmarks.calibration import worlds
from benchmarks.calibration.cells import DRIFT, Cell, planned_lift, size
from benchmarks.calibration.methods import ALPHA
from benchmarks.calibration.tally import Found
from benchmarks.calibration.worlds import World
from stats import contrasts
from stats.arrays import Numbers, Real
from stats.contrasts import Contrast
from stats.moments import Stack
from stats.multiplicity import Procedure, benjamini_hochberg, fcr_alphas, hochberg, holm
from stats.numerics import quiet
from stats.references import ConfidenceSequence, StudentT, msprt, p_value
from stats.sequential import GroupSequential
from stats.spending import OBrienFleming, Pocock, Spending
from stats.srm import always_valid, sample_ratio

LOOKS = 14
METRICS = 8

Boundary = Callable[[Contrast, Numbers, float], Real]  # contrasts by look, units of an arm, planned effect


def peeking(world: World, per_look: int, *, changed: Callable[[float], World] | None = None) -> Cell:
    """Both arms grow by so many units a day for 14 days; significance is looked for every day.

    The effect is what a fixed test at the end would find in 80 % of the runs.

    Args:
        world: of the units.
        per_look: units of each arm, per day.
        changed: for proportions, the world with a lift; other measures are multiplied.
    """
    last = LOOKS * per_look
    lift = planned_lift(world.cv, last, last)
    compare = contrasts.difference_of_means if changed is None else contrasts.difference_of_proportions

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        variant, baseline = (_grown(world, draw, runs, per_look) for _ in range(2))
        better = (
            worlds.scaled(variant, 1 + lift)
            if changed is None
            else _grown(changed(lift), draw, runs, per_look)
        )
        null, effect = compare(variant, baseline), compare(better, baseline)
        n, difference = variant.n[:, :1], lift * world.mean
        for name, boundary in _BOUNDARIES.items():
            crossed = np.abs(_z(null)) >= boundary(null, n, difference)
            yield name, "ever_false", crossed.any(axis=0)
            yield from _followed(name, effect, boundary(effect, n, difference), difference)

    return Cell(
        section="peeking",
        world=world.name,
        size=f"{LOOKS} x {size(per_look, per_look)}",
        run=run,
        numbers=6 * last,
    )


def converting(rate: float, per_look: int) -> Cell:
    """The same for proportions."""
    return peeking(worlds.converted(rate), per_look, changed=lambda lift: worlds.converted(rate * (1 + lift)))


def _grown(world: World, draw: np.random.Generator, runs: int, per_look: int) -> Stack:
    """Moments by look, (looks, runs). Values are centred at the truth, so that squares lose no digits."""
    values = world.draw(draw, (runs, LOOKS * per_look))[0] - world.mean
    n = per_look * np.arange(1.0, LOOKS + 1)[:, None]
    total, square = (
        part.reshape(runs, LOOKS, per_look).sum(axis=2).cumsum(axis=1).T for part in (values, values**2)
    )
    variance = (square - total**2 / n) / (n - 1)
    return Stack(np.broadcast_to(n, total.shape), (total / n + world.mean,), ((variance,),))


def _followed(name: str, contrast: Contrast, boundary: Real, truth: float) -> Iterator[Found]:
    """An A/B test that stops at the first significant look; intervals are read at every look."""
    z = _z(contrast)
    crossed = np.abs(z) >= boundary
    first = np.where(crossed.any(axis=0), crossed.argmax(axis=0), LOOKS - 1)
    runs = np.arange(z.shape[1])
    yield name, "power", crossed[first, runs] & (z[first, runs] > 0)
    yield name, "average_n", (first + 1) / LOOKS
    yield name, "ever_missed", (np.abs(_z(contrast, truth)) > boundary).any(axis=0)


@quiet
def _z(contrast: Contrast, truth: float = 0.0) -> Numbers:
    """How far the estimate is from the truth, in standard errors; nothing is known without variance."""
    variance = contrast.variance_against(1.0)
    z: Numbers = (contrast.estimate - truth) / np.sqrt(np.where(np.greater(variance, 0), variance, math.nan))
    return z


def _at_the_end(contrast: Contrast, n: Numbers, _: float) -> Real:
    fixed = StudentT(contrast.df).critical(ALPHA)
    found: Numbers = np.where(n < n[-1], math.inf, fixed)
    return found


def _naive(contrast: Contrast, _n: Numbers, _: float) -> Real:
    return StudentT(contrast.df).critical(ALPHA)


def _confidence_sequence(_c: Contrast, n: Numbers, _: float) -> Real:
    return ConfidenceSequence(2 * n, tuned_for=2 * float(n[-1, 0]), alpha=ALPHA).critical(ALPHA)


@quiet
def _msprt(contrast: Contrast, _n: Numbers, effect: float) -> Real:
    return msprt(contrast.variance_against(1.0), effect).critical(ALPHA)


def _group_sequential(spending: Spending) -> Boundary:
    def boundary(contrast: Contrast, n: Numbers, _: float) -> Real:
        units = [float(each) for each in n[:, 0]]
        shares = [each / units[-1] for each in units]
        df = np.broadcast_to(contrast.df, np.shape(contrast.estimate))
        return np.array(
            [
                np.broadcast_to(
                    GroupSequential(
                        units[: look + 1], shares[: look + 1], spending=spending, df=df[look]
                    ).critical(ALPHA),
                    df[look].shape,
                )
                for look in range(LOOKS)
            ]
        )

    return boundary


_BOUNDARIES: Mapping[str, Boundary] = {
    "fixed, read at the end": _at_the_end,
    "fixed, read every day (wrong)": _naive,
    "group sequential, O'Brien-Fleming": _group_sequential(OBrienFleming()),
    "group sequential, Pocock": _group_sequential(Pocock()),
    "confidence_sequence": _confidence_sequence,
    "mSPRT": _msprt,
}


def families(correlation: float) -> Cell:
    """Eight metrics with one correlation; in the second half of the measures, four have an effect."""
    rest, common = math.sqrt(1 - correlation), math.sqrt(correlation)
    shift = np.where(np.arange(METRICS) < METRICS // 2, 0.0, DRIFT)
    null = shift == 0

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        noise = common * draw.standard_normal((runs, 1)) + rest * draw.standard_normal((runs, METRICS))
        p = [np.asarray(p_value(StudentT().log10_p(z))) for z in (noise, noise + shift)]
        for name, procedure in _FAMILIES.items():
            of_null, of_half = (np.array([procedure(list(row)) for row in each]) <= ALPHA for each in p)
            yield name, "any_of_null", of_null.any(axis=1)
            if name != "benjamini_hochberg":  # which promises the share only
                yield name, "any_of_half", of_half[:, null].any(axis=1)
            yield name, "false_share", of_half[:, null].sum(axis=1) / np.maximum(of_half.sum(axis=1), 1)
            yield name, "power", of_half[:, ~null].mean(axis=1)
        levels = np.array([fcr_alphas(list(row), ALPHA) for row in p[1]])
        selected = ~np.isnan(levels)
        missed = selected & (np.abs(noise) > StudentT().critical(np.where(selected, levels, 0.5)))
        share = missed.sum(axis=1) / np.maximum(selected.sum(axis=1), 1)
        yield "benjamini_hochberg", "interval_share", share

    return Cell(
        section="families",
        world=f"{METRICS} metrics, correlation {correlation:g}",
        size="all null; half null",
        run=run,
        numbers=100,
    )


_FAMILIES: Mapping[str, Procedure] = {
    "no correction (wrong)": list,
    "holm": holm,
    "hochberg": hochberg,
    "benjamini_hochberg": benjamini_hochberg,
}


def sample_ratios(weights: Mapping[str, float], n: int) -> Cell:
    """A sample ratio that is as planned, tested once."""
    shares = np.array(list(weights.values())) / math.fsum(weights.values())

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        # One test costs as much as its distinct counts: ten times the runs show rates of one in a thousand.
        seen, times = np.unique(draw.multinomial(n, shares, 10 * runs), axis=0, return_counts=True)
        tests = [sample_ratio(dict(zip(weights, map(int, row), strict=True)), weights) for row in seen]
        p = np.repeat([1.0 if test.p_value is None else test.p_value for test in tests], times)
        for level, measure in _SRM_LEVELS.items():
            yield tests[0].method, measure, p <= level

    split = ":".join(f"{weight:g}" for weight in weights.values())
    return Cell(section="srm", world=f"weights {split}", size=f"{n:,} units", run=run, numbers=100)


_SRM_LEVELS = {0.05: "p05", 0.01: "p01", 0.001: "p001"}


def sample_ratio_looks(per_look: int, *, broken: float) -> Cell:
    """The always-valid test, looked at every day; in the second world the split is not as planned."""
    weights = {"variant": 0.5, "baseline": 0.5}

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        name = f"always valid, {LOOKS} looks"
        p = _last_p(draw, runs, per_look, 0.5, weights)
        for level, measure in _SRM_LEVELS.items():
            yield name, measure, p <= level
        yield name, "power", _last_p(draw, runs, per_look, broken, weights) <= 0.001

    return Cell(
        section="srm",
        world=f"weights 1:1; broken: {broken:.1%} in one arm",
        size=f"{LOOKS} x {per_look:,} units",
        run=run,
        numbers=2_000,
    )


def _last_p(
    draw: np.random.Generator, runs: int, per_look: int, share: float, weights: Mapping[str, float]
) -> Numbers:
    """The smallest p-value of all looks; it is the last one."""
    seen = draw.binomial(per_look, share, (runs, LOOKS)).cumsum(axis=1)
    total = per_look * np.arange(1, LOOKS + 1)
    return np.array(
        [
            always_valid(
                [{"variant": int(x), "baseline": int(n - x)} for x, n in zip(row, total, strict=True)],
                weights,
            )[-1].p_value
            for row in seen
        ]
    )
