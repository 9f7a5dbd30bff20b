"""Which rows of a readout are shown where: headline rows, their absolute and relative twins, segments."""

from collections.abc import Iterable, Sequence

import msgspec

from reports.readout import Readout
from stats.results import Result, Status

ROLE_ORDER = {"primary": 0, "secondary": 1, "guardrail": 2, "quality": 3}


class Pair(msgspec.Struct, frozen=True):
    """One comparison: the row that the verdict reads, and the same on both scales where they are."""

    head: Result
    absolute: Result | None
    relative: Result | None

    @property
    def shown(self) -> Result:
        """The row for charts: relative where it has an estimate, else absolute."""
        if self.relative is not None and self.relative.estimate is not None:
            return self.relative
        return self.absolute or self.head


def pairs(rows: Iterable[Result], readout: Readout) -> tuple[Pair, ...]:
    """Headline pairs in the order of the page: by metric as listed, then segment, as-of day, variant."""
    groups: dict[tuple[str, str, str, str, str], list[Result]] = {}
    for row in rows:
        day = row.as_of.isoformat() if row.as_of else ""
        groups.setdefault((row.metric, row.segment or "", day, row.variant, row.baseline), []).append(row)
    metrics = {metric.name: index for index, metric in enumerate(readout.metrics)}
    variants = {variant: index for index, variant in enumerate(readout.variants)}

    def order(item: tuple[tuple[str, str, str, str, str], list[Result]]) -> tuple[object, ...]:
        metric, segment, day, variant, baseline = item[0]
        role = ROLE_ORDER.get(item[1][0].role, len(ROLE_ORDER))
        place = metrics.get(metric, len(metrics))
        return (
            role,
            place,
            metric,
            segment,
            day,
            variants.get(baseline, 0),
            variants.get(variant, 0),
            variant,
        )

    return tuple(_pair(rows) for _, rows in sorted(groups.items(), key=order))


def _pair(rows: Sequence[Result]) -> Pair:
    heads = [row for row in rows if row.headline]
    absolute, relative = _on(rows, heads, "absolute"), _on(rows, heads, "relative")
    head = next((row for row in (absolute, relative) if row in heads), heads[0] if heads else rows[0])
    return Pair(head, absolute, relative)


def _on(rows: Sequence[Result], heads: Sequence[Result], scale: str) -> Result | None:
    """The headline row on this scale, or the nearest thing: same horizon, two-sided, first with a number."""
    for row in heads:
        if row.scale == scale:
            return row
    horizon = heads[0].horizon if heads else None
    near = [
        row
        for row in rows
        if row.scale == scale and row.alternative == "two-sided" and horizon in {None, row.horizon}
    ]
    return next((row for row in near if row.status is not Status.UNDEFINED), near[0] if near else None)
