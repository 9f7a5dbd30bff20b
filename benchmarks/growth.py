"""How cost grows: with events, with experiments, with days; `--write` makes docs/performance.md and its plot.

The reference work of `benchmarks.scale` at several sizes, ours beside the hand-written queries; every pair of
numbers is checked to be the same. By itself it takes a minute or two; the page is written from `--events
1000000 10000000 --experiments 1 10 50 --days 2 28 180`, which takes some twenty minutes on two quiet cores,
and with 100000000 events an hour and 40 GB of disk.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.reference import page, shop, single
from benchmarks.reference.answer import check_same
from benchmarks.reference.measure import Measured, measured
from benchmarks.reference.page import Cost, Point
from benchmarks.reference.world import ALL_UNITS, World, generate

DOCS = Path(__file__).parents[1] / "docs"
_DAYS = 28


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line per point; growth has no aim of its own, so 0."""
    options = _options(argv)
    points = []
    for point in itertools.chain(_by_events(options), _by_experiments(options), _by_days(options)):
        points.append(point)
        print(f"  {page.line(point)}", flush=True)
    if options.write:
        DOCS.joinpath("performance.md").write_text(page.markdown(points, options), encoding="utf-8")
        DOCS.joinpath("performance.svg").write_text(page.plot(points), encoding="utf-8")
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks growth", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--experiments", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--days", type=int, nargs="+", default=[2, 28])
    parser.add_argument("--events-a-day", type=int, default=36_000, help="for the growth with days")
    parser.add_argument("--events-shared", type=int, default=1_000_000, help="for that with experiments")
    parser.add_argument("--threads", type=int, default=2, help="of DuckDB, for both")
    parser.add_argument("--memory-limit", default="2GB", help="of DuckDB, for both")
    parser.add_argument(
        "--directory", default=None, help="where the work is done; the system's own if absent"
    )
    parser.add_argument("--write", action="store_true", help="docs/performance.md and docs/performance.svg")
    return parser.parse_args(argv)


def _by_events(options: argparse.Namespace) -> Iterator[Point]:
    for events in options.events:
        world = World(events=events, units=events // 10, experiments=0)
        with tempfile.TemporaryDirectory(dir=options.directory) as folder:
            plain, at = _prepared(options, world, Path(folder))
            shop.arrive(plain, at, world.all_days)
            yield _compared(options, world, (plain, at), (ALL_UNITS,), ("events", events))


def _by_experiments(options: argparse.Namespace) -> Iterator[Point]:
    events = options.events_shared
    world = World(events=events, units=events // 10, experiments=max(options.experiments))
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        plain, at = _prepared(options, world, Path(folder))
        shop.arrive(plain, at, world.all_days)
        for count in options.experiments:
            yield _compared(options, world, (plain, at), world.keys[:count], ("experiments", count))


def _compared(
    options: argparse.Namespace,
    world: World,
    folders: tuple[Path, Path],
    keys: Sequence[str],
    where: tuple[str, int],
) -> Point:
    plain, at = folders
    as_of = world.day(world.days)
    peer = measured(single.query, plain, keys, as_of, options.memory_limit, options.threads)
    shop.forget_computed(at)
    ours = measured(shop.compute, at, keys, as_of)
    check_same(shop.read(at, keys, as_of), peer.result)
    return Point(*where, _cost(ours), _cost(peer))


def _by_days(options: argparse.Namespace) -> Iterator[Point]:
    """The increment of one experiment on each of the days, the day before having been computed."""
    days = max(_DAYS, *options.days)
    events = options.events_a_day * days
    world = World(events=events, units=events // 10, days=days, experiments=0)
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        plain, at = _prepared(options, world, Path(folder))
        done = -world.before
        for day in sorted(options.days):
            shop.arrive(plain, at, [world.day(number) for number in range(done + 1, day)])
            measured(shop.compute, at, [ALL_UNITS], world.day(day - 1))
            shop.arrive(plain, at, [world.day(day)])
            ours = measured(shop.compute, at, [ALL_UNITS], world.day(day))
            done = day
            yield Point("day", day, _cost(ours))


def _cost(one: Measured[object]) -> Cost:
    return Cost(one.seconds, one.cpu_s, one.peak_mb)


def _prepared(options: argparse.Namespace, world: World, folder: Path) -> tuple[Path, Path]:
    plain, at = folder / "plain", folder / "shop"
    generate(world, plain)
    shop.write_definitions(world, at, options.memory_limit, options.threads)
    return plain, at
