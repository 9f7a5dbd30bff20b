"""What is simulated, part one: comparisons that are read once. A cell is one world at one size.

Every cell yields, per method and measure, one number per run. Measures of a two-sided test or interval come
in pairs: `…_below` (the test finds the variant worse, the interval lies below the truth) and `…_above`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.calibration import methods, worlds
from benchmarks.calibration.methods import ALPHA, Method, Reading
from benchmarks.calibration.tally import Found
from benchmarks.calibration.worlds import ClusterWorld, StrataWorld, World
from stats import contrasts, lifts
from stats.arrays import Numbers, Real
from stats.bayes import DEFAULT, Prior, difference_posterior, lift_posterior
from stats.contrasts import Contrast
from stats.doubts import doubtful, quantile_doubtful
from stats.equivalence import equivalent_lift, non_inferior_lift
from stats.inference import Interval
from stats.measures import Kind
from stats.moments import Stack
from stats.proportions import Counts
from stats.references import StudentT

NUMBERS_AT_ONCE = 6_000_000  # drawn together, so that a cell stays far below a gigabyte
DRIFT = 2.8016  # z at 5 % plus z at 80 % power: of the effect that a z-test finds in 80 %
_LARGEST_LIFT = 1.0


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the page per method: what is drawn, in which section it stands."""

    section: str
    world: str
    size: str
    run: Callable[[np.random.Generator, int], Iterable[Found]]
    numbers: int  # drawn per run

    @property
    def name(self) -> str:
        return f"{self.section} · {self.world} · {self.size}"

    @property
    def at_once(self) -> int:
        return max(1, NUMBERS_AT_ONCE // self.numbers)


class Truth(NamedTuple):
    """The effect of an A/B test."""

    difference: float
    lift: float

    @classmethod
    def of(cls, mean: float, lift: float) -> Self:
        return cls(mean * lift, lift)


def size(n: int, m: int) -> str:
    """Units of both arms."""
    return f"{n:,} : {m:,}"


def false_positives(method: str, found: Reading, alpha: float = ALPHA) -> Iterator[Found]:
    """Of an A/A test."""
    rejects = _where_known(found.log10_p, found.log10_p <= math.log10(alpha))
    yield method, "false_below", rejects * (found.estimate < 0)
    yield method, "false_above", rejects * (found.estimate > 0)
    yield method, "undefined", np.isnan(found.log10_p)


def misses(method: str, measure: str, interval: Interval, truth: Real) -> Iterator[Found]:
    """Of an A/B test whose truth is known."""
    yield method, f"{measure}_below", _where_known(interval.upper, interval.upper < truth)
    yield method, f"{measure}_above", _where_known(interval.lower, interval.lower > truth)


def power(method: str, found: Reading) -> Found:
    """How often an increase is found to be one; what is not defined finds nothing."""
    return method, "power", (found.log10_p <= math.log10(ALPHA)) & (found.estimate > 0)


def compared(method: str, null: Reading, changed: Reading, truth: Truth) -> Iterator[Found]:
    """An A/A and an A/B test by one method."""
    yield from false_positives(method, null)
    yield from misses(method, "absolute", changed.difference, truth.difference)
    yield from misses(method, "relative", changed.lift, truth.lift)
    yield power(method, changed)


def warned(method: str, kind: Kind, variant: Stack, baseline: Stack, *, non_negative: bool = True) -> Found:
    """Whether the engine doubts an A/B test; a method's name may say more than what the engine calls it."""
    words = method.replace(",", "").split(" ")
    engine = words[-1] if words[-1] in lifts.RELATIVE else words[0]
    found = doubtful(kind, engine, variant, baseline, non_negative=non_negative)
    return method, "warned", np.any([*np.broadcast_arrays(*found.values())], axis=0) + 0 * variant.n


def _where_known(known: Real, outcome: npt.ArrayLike) -> Numbers:
    found: Numbers = np.where(np.isnan(known), math.nan, np.asarray(outcome, dtype=np.float64))
    return found


def planned_lift(cv: float, n: int, m: int) -> float:
    """The lift that a z-test finds in 80 % of the runs, at most +100 %."""
    return min(DRIFT * cv * math.sqrt(1 / n + 1 / m), _LARGEST_LIFT)


def of_units(
    section: str,
    world: World,
    n: int,
    m: int,
    asked: Mapping[str, Method],
    *,
    kind: Kind = "mean",
    lift: float | None = None,
) -> Cell:
    """Units from a world, compared by methods that need moments; by the planned lift, or a given one."""
    truth = Truth.of(world.mean, planned_lift(world.cv, n, m) if lift is None else lift)

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        variant = worlds.moments(*world.draw(draw, (runs, n)))
        baseline = worlds.moments(*world.draw(draw, (runs, m)))
        changed = worlds.scaled(variant, 1 + truth.lift)
        for name, method in asked.items():
            yield from compared(name, method(variant, baseline), method(changed, baseline), truth)
            yield warned(name, kind, changed, baseline, non_negative=world.non_negative)

    label = size(n, m) if lift is None else f"{size(n, m)}, {lift:+.0%}"
    return Cell(section=section, world=world.name, size=label, run=run, numbers=n + m)


def of_counts(rate: float, n: int, m: int) -> Cell:
    """Two proportions."""
    lift = min(planned_lift(math.sqrt((1 - rate) / rate), n, m), 0.8 / rate - 1)

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        baseline = draw.binomial(m, rate, runs).astype(np.float64)
        null, changed = (
            Counts(draw.binomial(n, share, runs).astype(np.float64), n, baseline, m)
            for share in (rate, rate * (1 + lift))
        )
        for name, method in methods.PROPORTIONS.items():
            both = methods.on_unique(method, null), methods.on_unique(method, changed)
            yield from compared(name, *both, Truth.of(rate, lift))
        arms = methods.shares(changed)
        engine = ("z_unpooled", "miettinen_nurminen", "barnard")
        doubted = {name: warned(name, "proportion", *arms) for name in engine}
        yield from (doubted[name] for name in engine if name in methods.PROPORTIONS)
        picked = methods.picked(changed)
        yield (
            "as chosen",
            "warned",
            np.select([picked == name for name in engine], [doubted[name][2] for name in engine]),
        )

    # All runs at once, so that every table is asked about once.
    return Cell(section="proportions", world=f"rate {rate:.1%}", size=size(n, m), run=run, numbers=100)


def of_ratios(world: World, n: int, m: int) -> Cell:
    """Ratios of sums, whose numerators change."""
    return of_units("ratios", world, n, m, methods.RATIOS, kind="ratio")


def of_clusters(world: ClusterWorld, n: int, m: int) -> Cell:
    """Units randomised in clusters; for contrast also the test that takes them for independent."""
    units = 20.5 if not world.equal else 20.0
    unit_cv = 0.3 * math.sqrt((1 + (units - 1) * world.icc) / units)
    lift = planned_lift(unit_cv, n, m)

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        arms = [world.draw(draw, (runs, clusters)) for clusters in (n, m)]
        plain = [worlds.moments(total, count) for total, count, _ in arms]
        changed = worlds.scaled(plain[0], 1 + lift)
        truth = Truth.of(world.mean, lift)
        for name, method in methods.CLUSTERED.items():
            yield from compared(name, method(*plain), method(changed, plain[1]), truth)
            yield warned(name, "mean", changed, plain[1])
        (total, count, _), baseline = arms[0], (arms[1][0], arms[1][1])
        null, effect = (methods.read(methods.cr2((by * total, count), baseline)) for by in (1.0, 1 + lift))
        yield from compared("cluster_cr2", null, effect, truth)
        yield warned("cluster_cr2", "mean", changed, plain[1])
        units = [_units(*arm) for arm in arms]
        naive = [
            methods.read(contrasts.difference_of_means(variant, units[1]))
            for variant in (units[0], worlds.scaled(units[0], 1 + lift))
        ]
        yield from compared("welch_t of units (wrong)", naive[0], naive[1], truth)

    return Cell(section="clusters", world=world.name, size=size(n, m), run=run, numbers=8 * (n + m))


def _units(total: Numbers, count: Numbers, within: Numbers) -> Stack:
    """Moments of the units, as if they were independent."""
    n = count.sum(axis=1)
    mean = total.sum(axis=1) / n
    between = (count * np.square(total / count - mean[:, None])).sum(axis=1)
    return Stack(n, (mean,), (((between + within) / (n - 1),),))


def of_strata(world: StrataWorld, n: int, m: int) -> Cell:
    """Post-stratification beside the plain difference."""
    lift = planned_lift(world.cv, n, m)

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        variant, baseline = world.draw(draw, (runs, n)), world.draw(draw, (runs, m))
        higher = (1 + lift) * variant[0]
        null, changed = (
            methods.read(
                methods.post_stratified((values, variant[1]), baseline, strata_count=len(world.shares))
            )
            for values in (variant[0], higher)
        )
        yield from compared("post_stratified", null, changed, Truth.of(world.mean, lift))
        plain = [
            methods.read(contrasts.difference_of_means(worlds.moments(values), worlds.moments(baseline[0])))
            for values in (variant[0], higher)
        ]
        yield from compared("welch_t (unadjusted)", plain[0], plain[1], Truth.of(world.mean, lift))

    return Cell(section="strata", world=world.name, size=size(n, m), run=run, numbers=2 * (n + m))


def of_quantiles(sigma: float, q: float, n: int, m: int) -> Cell:
    """A quantile of a lognormal measure."""
    from scipy import special

    z = float(special.ndtri(q))
    value = math.exp(sigma * z)
    # The quantile's standard error over its value, as n grows.
    cv = math.sqrt(q * (1 - q)) * sigma * math.sqrt(2 * math.pi) * math.exp(z * z / 2)
    lift, world = planned_lift(cv, n, m), worlds.lognormal(sigma)

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        variant, baseline = (methods.quantile_arm(world.draw(draw, (runs, units))[0], q) for units in (n, m))
        changed = contrasts.Arm(
            variant.estimate * (1 + lift), variant.unit_variance * (1 + lift) ** 2, variant.n
        )
        null, better = (methods.read(contrasts.of_quantiles(arm, baseline)) for arm in (variant, changed))
        yield from compared("quantile", null, better, Truth.of(value, lift))
        yield "quantile", "warned", np.full(runs, quantile_doubtful(q, n, m))

    return Cell(
        section="quantiles",
        world=f"{100 * q:g} % quantile, {world.name}",
        size=size(n, m),
        run=run,
        numbers=n + m,
    )


def of_ranks(world: World, n: int, m: int, *, superiority: Callable[[float], float]) -> Cell:
    """Ranks, where the variant's values are multiplied.

    Args:
        world: of the units.
        n: units of the variant.
        m: units of the baseline.
        superiority: P(variant > baseline) + P(equal) / 2 for a multiplier.
    """
    by = 1 + planned_lift(1.0, n, m)

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        variant, baseline = (world.draw(draw, (runs, units))[0] for units in (n, m))
        yield from false_positives("mann_whitney", methods.mann_whitney(variant, baseline))
        yield power("mann_whitney", methods.mann_whitney(by * variant, baseline))
        null, changed = (
            methods.read(methods.superiority(values, baseline)) for values in (variant, by * variant)
        )
        yield from false_positives("brunner_munzel", null)
        yield from misses("brunner_munzel", "absolute", changed.difference, superiority(by) - 0.5)
        yield power("brunner_munzel", changed)

    return Cell(section="ranks", world=world.name, size=size(n, m), run=run, numbers=n + m)


def of_margins(world: World, n: int, m: int, *, margin: float = 0.1) -> Cell:
    """A guardrail whose true lift is just what its margin allows: passing is an error, one-sided."""

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        arms = [worlds.moments(*world.draw(draw, (runs, units))) for units in (n, m)]
        for sign in (1, -1):
            contrast = contrasts.difference_of_means(worlds.scaled(arms[0], 1 - sign * margin), arms[1])
            yield from _passes("non_inferiority", contrast, margin=margin, sign=sign)
            yield from _passes("margin x observed mean (wrong)", contrast, margin=margin, sign=sign)

    return Cell(section="margins", world=world.name, size=size(n, m), run=run, numbers=n + m)


def _passes(method: str, contrast: Contrast, *, margin: float, sign: int) -> Iterator[Found]:
    law, side = StudentT(contrast.df), "lower" if sign > 0 else "upper"
    if method == "non_inferiority":
        shown = non_inferior_lift(contrast, law, margin=margin, alpha=ALPHA / 2, sign=sign)
        log10_p = shown.log10_p
    else:
        shift = sign * (contrast.estimate + sign * margin * contrast.baseline)
        log10_p = law.log10_p(shift / np.sqrt(contrast.variance_against(1.0)), 1)
    yield method, f"passes_{side}", _where_known(log10_p, log10_p <= math.log10(ALPHA / 2))
    if method == "non_inferiority" and sign > 0:
        both = equivalent_lift(contrast, law, lower=-margin, upper=margin, alpha=ALPHA / 2)
        yield method, "passes_both", _where_known(both.log10_p, both.log10_p <= math.log10(ALPHA / 2))


def of_priors(world: World, n: int, m: int, *, sd: float) -> Cell:
    """Lifts come from a normal law; does a credible interval hold 95 % of them?"""

    def run(draw: np.random.Generator, runs: int) -> Iterator[Found]:
        arms = [worlds.moments(*world.draw(draw, (runs, units))) for units in (n, m)]
        lift = sd * draw.standard_normal(runs)
        by = 1 + lift
        variant = Stack(arms[0].n, (by * arms[0].mean[0],), ((by * by * arms[0].cov[0][0],),))
        contrast = contrasts.difference_of_means(variant, arms[1])
        for name, prior in (
            ("prior of lifts as they are", Prior(0.0, sd)),
            ("default prior, sd 0.3", DEFAULT),
        ):
            relative, absolute = lift_posterior(contrast, prior), difference_posterior(contrast, prior)
            yield from misses(name, "relative", relative.interval(ALPHA), lift)
            yield from misses(name, "absolute", absolute.interval(ALPHA), lift * world.mean)
            # Below, a claim that the variant is better with 95 % is wrong in 5 % of the cases at most.
            sure = relative.above(0.0) >= 1 - ALPHA
            yield name, "overconfident", np.where(sure, lift <= 0, math.nan)

    return Cell(
        section="priors", world=f"{world.name}, lifts of sd {sd:g}", size=size(n, m), run=run, numbers=n + m
    )
