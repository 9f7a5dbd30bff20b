"""The index page: every experiment with its verdict, its primary metric, its health and its dates."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import msgspec

from reports import format as fmt
from reports import tables, words
from reports.page import health_of
from reports.readout import MetricDefinition, Readout
from reports.select import Pair, pairs
from reports.slugs import slug
from reports.words import Badge
from stats.results import Verdict

SCHEMA_VERSION = 1


class PrimaryLift(msgspec.Struct, frozen=True, kw_only=True):
    """The headline of one primary metric and variant: as numbers (fractions) and as shown."""

    metric: str
    variant: str
    scale: str  # relative | absolute
    estimate: float | None
    lower: float | None
    upper: float | None
    p_value: float | None
    text: str
    interval: str
    reading: Badge


class IndexEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment on the index; `folder` is beside `index.json`."""

    experiment: str
    folder: str
    title: str
    verdict: Verdict
    sentence: str
    health: Badge
    start: dt.date | None
    end: dt.date | None
    as_of: dt.date
    provisional: bool
    units: int
    owner: str | None
    primary: tuple[PrimaryLift, ...]
    fingerprint: str


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """`index.json`."""

    title: str
    experiments: tuple[IndexEntry, ...]
    without_page: int = 0  # declared experiments that nobody asked a page of
    schema_version: int = SCHEMA_VERSION


def build_entry(readout: Readout) -> IndexEntry:
    """The index entry of a readout.

    Raises:
        ValueError: the readout has no as-of day, so it has no place among dated experiments.
    """
    if readout.as_of is None:
        raise ValueError(
            f'the readout of "{readout.experiment}" has no as-of day; render it as a single file'
        )
    metrics = {metric.name: metric for metric in readout.metrics}
    primaries = (row for row in readout.results if row.segment is None and row.role == "primary")
    return IndexEntry(
        experiment=readout.experiment,
        folder=slug(readout.experiment),
        title=readout.title or readout.experiment,
        verdict=readout.decision.verdict,
        sentence=readout.decision.sentence,
        health=health_of(readout),
        start=readout.start,
        end=readout.end,
        as_of=readout.as_of,
        provisional=readout.provisional,
        units=sum(readout.units.values()),
        owner=readout.owner or None,
        primary=tuple(_primary(pair, metrics.get(pair.head.metric)) for pair in pairs(primaries, readout)),
        fingerprint=readout.fingerprint,
    )


def ordered(entries: Iterable[IndexEntry]) -> tuple[IndexEntry, ...]:
    """What asks for a person first; within that, the latest first, then by key."""
    return tuple(
        sorted(
            entries,
            key=lambda entry: (
                words.URGENCY.index(entry.verdict),
                -entry.as_of.toordinal(),
                entry.experiment,
            ),
        )
    )


def read_index(out: Path) -> Index:
    """The index that `render_index` wrote into `out`."""
    return msgspec.json.decode((out / "index.json").read_bytes(), type=Index)


def table_rows(entries: Iterable[IndexEntry]) -> list[dict[str, object]]:
    """Entries as the template shows them."""
    return [
        {
            "entry": entry,
            "href": f"{quote(entry.folder)}/index.html",
            "verdict": words.VERDICTS[entry.verdict],
            "units": fmt.count(entry.units),
        }
        for entry in entries
    ]


def _primary(pair: Pair, metric: MetricDefinition | None) -> PrimaryLift:
    shown, line = pair.shown, tables.line(pair, metric)
    relative = shown.scale == "relative"
    return PrimaryLift(
        metric=shown.metric,
        variant=shown.variant,
        scale=shown.scale,
        estimate=shown.estimate,
        lower=shown.lower,
        upper=shown.upper,
        p_value=shown.p_value,
        text=line.relative if relative else line.absolute,
        interval=line.relative_interval if relative else line.absolute_interval,
        reading=line.reading,
    )
