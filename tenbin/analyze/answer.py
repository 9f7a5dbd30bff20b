"""From units to the answer: the statistics of one finished experiment (DESIGN 4.6, 4.7)."""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from stats.analysis import Analysis, Plan, analyse
from stats.results import Verdict
from tenbin.analyze.groups import cells_of, counts_of, places_of, randomised
from tenbin.analyze.looks import taken_looks
from tenbin.analyze.plan import plan_of
from tenbin.analyze.request import MetricSpec, Request, Wanted
from tenbin.analyze.units import Sample, Tally

# Above this share of units left out, those who stay may differ: `metrics.checks.LEFT_OUT_FAIL`, which is not
# imported because it brings the SQL compiler along.
LEFT_OUT_FAIL = 0.01


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What `tenbin analyze` found."""

    path: Path
    request: Request
    metrics: tuple[MetricSpec, ...]
    variants: tuple[str, ...]  # control first
    weights: dict[str, float]
    counts: dict[str, int]  # compared units by variant
    tally: Tally
    left_out_failed: bool  # so many units were left out that the comparison can't be trusted
    as_of: dt.date | None = None  # of aggregates: the day that they are of
    plan: Plan
    analysis: Analysis

    @property
    def found_wrong(self) -> bool:
        """Whether the data can't be trusted."""
        return self.analysis.decision.verdict is Verdict.INVESTIGATE

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know, a sentence each."""
        return (*self.tally.warnings, *self.analysis.warnings)


def answer(
    path: Path, request: Request, wanted: Wanted, sample: Sample, weights: Mapping[str, float]
) -> Answer:
    """Analyse the units as one finished experiment, or as one look of a group-sequential one.

    Raises:
        AnalyzeError: the looks that were asked for can't be those of this file.
    """
    plan = plan_of(path, request, wanted, sample, weights)
    cells = tuple(cells_of(plan, wanted.metrics, sample))
    taken = taken_looks(request, wanted, plan, cells)
    failed_checks = tuple(_failed_checks(sample.tally))
    analysis = analyse(
        plan,
        cells,
        counts=counts_of(sample.units.variant[randomised(sample.units)], sample),
        as_of=None,
        ended=plan.horizon != "group_sequential" or bool(taken and taken[-1].look.final),
        failed_checks=failed_checks,
        taken=taken,
        places=places_of(sample),
    )
    return Answer(
        path=path,
        request=request,
        metrics=wanted.metrics,
        variants=sample.variants,
        weights=dict(weights),
        counts=counts_of(sample.units.variant, sample),
        tally=sample.tally,
        left_out_failed=bool(failed_checks),
        plan=plan,
        analysis=analysis,
    )


def _failed_checks(tally: Tally) -> Iterator[str]:
    seen = tally.units + tally.mixed_variant
    share = tally.mixed_variant / seen
    if share > LEFT_OUT_FAIL:
        yield f"{tally.mixed_variant:,} of {seen:,} units ({share:.2%}) were seen in more than one variant"
