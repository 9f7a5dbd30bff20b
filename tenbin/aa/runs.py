"""Every metric, every run: the engine's estimators and laws, on stacks of moments with a row per run.

Units are added up by arm and look with `numpy.bincount`, whose order of summation is the log's; centred at
the log's mean beforehand, so that no digits cancel.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stats import contrasts, inference
from stats.arrays import Codes, Numbers
from stats.contrasts import Contrast
from stats.exact import FEW
from stats.moments import Stack
from stats.numerics import quiet
from stats.proportions import Counts, score_statistic
from stats.references import ConfidenceSequence, StudentT, p_value
from stats.sequential import GroupSequential
from stats.srm import sample_ratio
from tenbin.aa.assign import arms_by_run
from tenbin.aa.log import Flags, Log, LoggedMetric

LOOKS = 10  # equally spaced over the units, in the log's order


class Analysed(NamedTuple):
    """One metric, one variant against the control; an element per run."""

    metric: LoggedMetric
    variant: int  # 1 is the first beside the control
    z: Numbers  # of the whole log; NaN where it is not defined
    p_value: Numbers  # two-sided
    sequence: Flags  # whether the confidence sequence excluded 0 at any look
    group_sequential: Flags  # whether the group-sequential test rejected at any look


class Runs(NamedTuple):
    """All runs."""

    analysed: tuple[Analysed, ...]
    srm_p_value: Numbers


def simulate(
    log: Log,
    weights: Sequence[float],
    *,
    runs: int,
    seed: int,
    alpha: float,
    step: Callable[[], None] = lambda: None,
) -> Runs:
    """Randomise the log again and again, and analyse it as if it were an experiment.

    Args:
        log: what is randomised.
        weights: of the arms, control first.
        runs: how often.
        seed: of the salts.
        alpha: two-sided level of the sequential tests.
        step: called after each run.
    """
    looks = np.arange(log.units) * LOOKS // log.units
    adders = [_Adder(metric, looks, len(weights)) for metric in log.metrics]
    sums = [np.empty((runs, *adder.shape)) for adder in adders]
    srm = np.empty(runs)
    names = {str(arm): weight for arm, weight in enumerate(weights)}
    for run, arms_of_ids in enumerate(arms_by_run(log.ids, weights, runs=runs, seed=seed)):
        arms = arms_of_ids[log.of]
        for adder, found in zip(adders, sums, strict=True):
            found[run] = adder.add(arms)
        counts = np.bincount(arms, minlength=len(weights)).tolist()
        ratio = sample_ratio(dict(zip(names, counts, strict=True)), names)
        srm[run] = math.nan if ratio.p_value is None else ratio.p_value
        step()
    seen = np.bincount(looks, minlength=LOOKS).cumsum()
    analysed = [
        _test(adder, found, weights, variant, seen=seen, alpha=alpha)
        for adder, found in zip(adders, sums, strict=True)
        for variant in range(1, len(weights))
    ]
    return Runs(tuple(analysed), srm)


class _Adder:
    """Sums of a metric's columns and of their products, by look and arm."""

    def __init__(self, metric: LoggedMetric, looks: Codes, arms: int) -> None:
        self.metric = metric
        self.arms = arms
        self._present = np.flatnonzero(metric.present)
        self._place = looks[self._present] * arms
        columns = [column[self._present] for column in metric.columns]
        self.centres = [_centre(column) for column in columns]
        centred = [column - centre for column, centre in zip(columns, self.centres, strict=True)]
        pairs = itertools.combinations_with_replacement(range(len(columns)), 2)
        self.pairs = {pair: len(columns) + 1 + place for place, pair in enumerate(pairs)}
        self._weights = [*centred, *(centred[i] * centred[j] for i, j in self.pairs)]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sums, looks, arms; the first sum is the number of units, then the columns', then the products'."""
        return len(self._weights) + 1, LOOKS, self.arms

    def add(self, arms: Codes) -> Numbers:
        """The sums of one run up to each look."""
        key, cells = self._place + arms[self._present], LOOKS * self.arms
        sums = [np.bincount(key, minlength=cells)]
        sums += [np.bincount(key, weights=weight, minlength=cells) for weight in self._weights]
        return np.array(sums, dtype=np.float64).reshape(self.shape).cumsum(axis=1)

    @quiet
    def stack(self, sums: Numbers, arm: int) -> Stack:
        """The moments of one arm: every number an array, (runs, looks)."""
        n, *rest = np.moveaxis(sums[..., arm], 1, 0)
        some, more = np.where(n > 0, n, math.nan), np.where(n > 1, n - 1, math.nan)
        width = range(len(self.centres))
        shift = [rest[i] / some for i in width]
        cov = [
            [(rest[self.pairs[min(i, j), max(i, j)] - 1] - rest[i] * shift[j]) / more for j in width]
            for i in width
        ]
        return Stack(
            n,
            tuple(centre + moved for centre, moved in zip(self.centres, shift, strict=True)),
            tuple(tuple(row) for row in cov),
        )


def _centre(column: Numbers) -> float:
    """Its mean; of a constant column exactly that constant, so that it has no variance."""
    if not len(column):
        return 0.0
    return float(column[0] if column.min() == column.max() else column.mean())


@quiet
def _test(
    adder: _Adder, sums: Numbers, weights: Sequence[float], variant: int, *, seen: Codes, alpha: float
) -> Analysed:
    metric = adder.metric
    arms = (adder.stack(sums, variant), adder.stack(sums, 0))
    contrast = _contrast(metric, *arms)
    usable = contrast.variance_against(1.0) > 0
    statistic = np.where(usable, inference.statistic(contrast), math.nan)
    p = np.where(usable, p_value(inference.log10_p(contrast, StudentT(contrast.df))), math.nan)[:, -1]
    z = statistic[:, -1]
    if metric.kind == "proportion" and len(metric.columns) == 1:
        few = _few(*arms)
        statistic = np.where(few, math.nan, statistic)  # withheld under a sequential horizon
        score = score_statistic(Counts.of(*(_last(arm) for arm in arms)))
        z = np.where(few[:, -1], score, z)
        p = np.where(few[:, -1], p_value(StudentT().log10_p(score)), p)
    df = np.broadcast_to(contrast.df, statistic.shape)
    pair = (weights[variant] + weights[0]) / math.fsum(weights)
    sequence = ConfidenceSequence(arms[0].n + arms[1].n, tuned_for=seen[-1] * pair, alpha=alpha)
    return Analysed(
        metric=metric,
        variant=variant,
        z=z,
        p_value=p,
        sequence=_ever(np.abs(statistic) >= sequence.critical(alpha)),
        group_sequential=_ever(np.abs(statistic) >= _boundary(seen, alpha, df)),
    )


def _contrast(metric: LoggedMetric, variant: Stack, control: Stack) -> Contrast:
    """The headline estimator of the metric."""
    arms = (variant, control)
    if len(metric.columns) > (2 if metric.kind == "ratio" else 1):
        return contrasts.adjusted(*(map(contrasts.linearised, arms) if metric.kind == "ratio" else arms))
    match metric.kind:
        case "proportion":
            return contrasts.difference_of_proportions(*arms)
        case "mean":
            return contrasts.difference_of_means(*arms)
        case "ratio":
            return contrasts.difference_of_ratios(*arms)


def _few(*arms: Stack) -> Flags:
    """Where an arm has so few conversions, or units without one, that the engine leaves the unpooled z."""
    conversions = [np.rint(arm.mean[0] * arm.n) for arm in arms]
    counts = [each for arm, x in zip(arms, conversions, strict=True) for each in (x, arm.n - x)]
    found: Flags = ~(np.minimum.reduce(counts) >= FEW)
    return found


def _ever(rejected: Flags) -> Flags:
    """Whether a run was rejected at any look."""
    found: Flags = np.any(rejected, axis=1)
    return found


def _last(arm: Stack) -> Stack:
    """The moments at the last look."""
    return Stack(
        arm.n[:, -1],
        tuple(mean[:, -1] for mean in arm.mean),
        tuple(tuple(number[:, -1] for number in row) for row in arm.cov),
    )


def _boundary(seen: Codes, alpha: float, df: Numbers) -> Numbers:
    """Critical values at the looks, spending as O'Brien and Fleming would; df and they are (runs, looks)."""
    units, shares = seen.tolist(), (seen / seen[-1]).tolist()
    found = np.empty(df.shape)
    for look in range(1, len(units) + 1):
        law = GroupSequential(units[:look], shares[:look], df=df[:, look - 1])
        found[:, look - 1] = law.critical(alpha)
    return found
