"""One A/A test from a log to the answer."""

from collections.abc import Callable, Sequence

import msgspec

from tenbin.aa.checks import MetricHealth, SplitHealth, judge_metric, judge_split, level_of
from tenbin.aa.log import Log
from tenbin.aa.runs import LOOKS, simulate


class AaAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `tenbin aa` found."""

    source: str
    units: int
    runs: int
    seed: int
    weights: tuple[float, ...]  # control first
    alpha: float
    looks: int  # of the sequential methods
    level: float  # of each check
    split: tuple[SplitHealth, ...]
    metrics: tuple[MetricHealth, ...]
    warnings: tuple[str, ...]
    healthy: bool


def answer(
    log: Log,
    weights: Sequence[float],
    *,
    runs: int,
    seed: int,
    alpha: float,
    step: Callable[[], None] = lambda: None,
) -> AaAnswer:
    """Randomise the log `runs` times and judge what the analysis said of it; see `runs.simulate`."""
    found = simulate(log, weights, runs=runs, seed=seed, alpha=alpha, step=step)
    level = level_of(len(log.metrics), len(weights) - 1)
    split = judge_split(found, units=log.units, weights=weights, level=level)
    metrics = tuple(
        judge_metric(analysed, weights=weights, alpha=alpha, level=level) for analysed in found.analysed
    )
    return AaAnswer(
        source=log.source,
        units=log.units,
        runs=runs,
        seed=seed,
        weights=tuple(weights),
        alpha=alpha,
        looks=LOOKS,
        level=level,
        split=split,
        metrics=metrics,
        warnings=log.notes,
        healthy=all(each.flagged.healthy for each in split) and all(m.verdict != "off" for m in metrics),
    )


def to_json(found: AaAnswer) -> bytes:
    """The answer as indented JSON; the same log, options and seed give the same bytes."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2)
