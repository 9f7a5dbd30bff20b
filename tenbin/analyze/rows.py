"""The rows that a terminal shows: per comparison its headlines, then the further methods asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from reports import format as fmt
from stats.results import Result
from tenbin.analyze.answer import Answer

_MARGINS = ("non_inferiority", "equivalence")


class Head(NamedTuple):
    """One metric's headline."""

    absolute: Result
    relative: Result | None


class Further(NamedTuple):
    """One metric by one further method, on the scales that it has."""

    absolute: Result | None
    relative: Result | None


class Comparison(NamedTuple):
    """One variant against one baseline, over everyone or in one segment."""

    title: str
    baseline: str
    heads: tuple[Head, ...]
    further: tuple[Further, ...]
    kinds: Mapping[str, str]  # of the metrics

    def scale(self, metric: str) -> fmt.Scale:
        """How the metric's values are written."""
        return fmt.Scale(self.kinds[metric], None)


def comparisons(found: Answer) -> Iterator[Comparison]:
    """Everyone before segments, in each the pairs in the order of the plan."""
    groups: dict[tuple[str | None, str, str], list[Result]] = {}
    for row in found.analysis.results:
        groups.setdefault((row.segment, row.variant, row.baseline), []).append(row)
    kinds = {spec.name: spec.kind for spec in found.metrics}
    for segment in dict.fromkeys((None, *(segment for segment, _, _ in groups))):
        for variant, baseline in found.plan.pairs:
            rows = groups.get((segment, variant, baseline), [])
            title = f"{variant} against {baseline}"
            yield Comparison(
                title=title if segment is None else f"{segment}: {title}",
                baseline=baseline,
                heads=tuple(_heads(rows)),
                further=tuple(_further(rows, (*found.plan.settings.methods, *_MARGINS))),
                kinds=kinds,
            )


def _heads(rows: Sequence[Result]) -> Iterator[Head]:
    heads = [row for row in rows if row.headline]
    relative = {row.metric: row for row in heads if row.scale == "relative"}
    for row in heads:
        if row.scale == "absolute":
            yield Head(row, relative.get(row.metric))


def _further(rows: Sequence[Result], methods: Sequence[str]) -> Iterator[Further]:
    """The rows that a named method has beside the headline; the lift of a pair comes right after it."""
    others: dict[tuple[str, str], dict[str, Result]] = {}
    for before, row in zip([None, *rows], rows, strict=False):
        if row.headline:
            continue
        twin = before if row.scale == "relative" and before is not None and not before.headline else None
        method = row.method if row.method in methods or twin is None else twin.method
        if method in methods:
            others.setdefault((row.metric, method), {}).setdefault(row.scale, row)
    for scales in others.values():
        yield Further(scales.get("absolute"), scales.get("relative"))
