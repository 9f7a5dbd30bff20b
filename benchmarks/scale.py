"""W1, W2 and W3 of DESIGN 8: experiments from the lake beside the query that an analyst would write.

Reference data (`benchmarks/reference`) is made and ingested; then, turn and turn about and each in a fresh
process with the same threads and memory, the hand-written queries and we compute the moments of one
experiment with all units (W1) and of twenty with a tenth each (W2). W3 takes days as they come and compares
what day 28 costs with what day 2 cost. The numbers of both sides must be the same. Ours is everything from
the ingested lake on: partials, first exposures, unit metrics and moments, written. The fastest turn counts.
"""

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.reference import shop, single
from benchmarks.reference.answer import Answer, check_same
from benchmarks.reference.measure import Measured, measured
from benchmarks.reference.shop import Steps
from benchmarks.reference.world import ALL_UNITS, World, generate

AIMS = {"W1": 0.5, "W2": 0.25, "W3": 1.3}


def main(argv: Sequence[str] | None = None) -> int:
    """Print seconds, ratios, memory and rows per second; 0 when every aim is met, else 1."""
    options = _options(argv)
    world = World(events=options.events, units=options.units or options.events // 10)
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        plain = Path(folder) / "plain"
        generate(world, plain)
        missed = [
            *_whole(options, world, plain, Path(folder) / "whole"),
            *_by_day(options, world, plain, Path(folder) / "by_day"),
        ]
    if missed:
        print(f"  short of the aim: {', '.join(missed)}")
    return int(bool(missed))


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks scale", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000, help="on the experiments' 28 days")
    parser.add_argument("--units", type=int, default=None, help="a tenth of the events if absent")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of DuckDB, for both")
    parser.add_argument("--memory-limit", default="2GB", help="of DuckDB, for both")
    parser.add_argument(
        "--directory", default=None, help="where the work is done; the system's own if absent"
    )
    return parser.parse_args(argv)


def _whole(options: argparse.Namespace, world: World, plain: Path, at: Path) -> Iterable[str]:
    """W1 and W2; the names of those that miss their aims."""
    shop.write_definitions(world, at, options.memory_limit, options.threads)
    arrival = measured(shop.arrive, plain, at, world.all_days)
    rows = world.events // world.days * len(world.all_days)
    print(f"{rows:,} events of {world.units:,} units, {world.before} + {world.days} days, 10 metrics")
    print(f"  {'ingested, apart (W9)':<26}{_said(arrival, rows)}")
    for name, keys in (("W1", (ALL_UNITS,)), ("W2", world.keys)):
        turns = [_turn(options, world, plain, at, keys) for _ in range(options.turns)]
        peer, ours = (min(each, key=lambda one: one.seconds) for each in zip(*turns, strict=True))
        ratio, steps = ours.seconds / peer.seconds, ours.result
        shared = (ours.seconds - steps.unit_days) / peer.seconds
        print(f"{name} {len(keys)} experiment{'s'[: len(keys) > 1]} from the lake")
        print(f"  {'hand-written queries':<26}{_said(peer, rows * len(keys))}")
        print(f"  {'tenbin':<26}{_said(ours, rows * len(keys))}")
        print(
            f"    partials {steps.unit_days:.2f} s, first exposures {steps.first_exposures:.2f} s, "
            f"units {steps.units:.2f} s, moments {steps.moments:.2f} s"
        )
        print(
            f"  ratio {ratio:.2f} (aim: at most {AIMS[name]}); {shared:.2f} where the partials are there "
            f"already, as on every day but a metric's first; of processor time "
            f"{ours.cpu_s / peer.cpu_s:.2f}",
            flush=True,
        )
        apart = (ours.cpu_s - steps.partials_cpu_s) / len(keys)
        print(
            f"    processor time per event: partials {steps.partials_cpu_s / rows * 1e6:.2f} µs, "
            f"each experiment {apart / rows * 1e6:.2f} µs"
        )
        if ratio > AIMS[name]:
            yield name
    sizes = ", ".join(f"{table} {size:.1f}" for table, size in shop.bytes_per_row(at).items())
    print(f"bytes per row in the lake: {sizes}")


def _turn(
    options: argparse.Namespace, world: World, plain: Path, at: Path, keys: Sequence[str]
) -> tuple[Measured[Answer], Measured[Steps]]:
    as_of = world.day(world.days)
    peer = measured(single.query, plain, keys, as_of, options.memory_limit, options.threads)
    shop.forget_computed(at)
    ours = measured(shop.compute, at, keys, as_of)
    check_same(shop.read(at, keys, as_of), peer.result)
    return peer, ours


def _by_day(options: argparse.Namespace, world: World, plain: Path, at: Path) -> Iterable[str]:
    """W3: the increment on the second day and on the last."""
    shop.write_definitions(world, at, options.memory_limit, options.threads)
    days = (2, world.days)
    steps, done = [], -world.before
    for day in days:
        _bring_to(world, plain, at, done + 1, day - 1)
        shop.arrive(plain, at, [world.day(day)])
        done = day
        steps.append(measured(shop.compute, at, [ALL_UNITS], world.day(day), split=True))
    early, late = (step.result for step in steps)
    ratio = late.event_level / early.event_level
    print(f"W3 the increment of one experiment, day {days[0]} and day {days[1]}")
    for day, step in zip(days, steps, strict=True):
        print(
            f"  day {day:<3} event-level {step.result.event_level:6.2f} s  pass over units "
            f"{step.result.units - step.result.boundary:6.2f} s  {step.peak_mb:6,} MB"
        )
    print(f"  ratio of the event-level work {ratio:.2f} (aim: at most {AIMS['W3']})", flush=True)
    if ratio > AIMS["W3"]:
        yield "W3"


def _bring_to(world: World, plain: Path, at: Path, first: int, last: int) -> None:
    """Days `first` to `last` have arrived and been computed."""
    shop.arrive(plain, at, [world.day(number) for number in range(first, last + 1)])
    measured(shop.compute, at, [ALL_UNITS], world.day(last))


def _said(one: Measured[object], rows: int) -> str:
    return f"{one.seconds:8.2f} s  {one.peak_mb:6,} MB  {rows / one.seconds:14,.0f} rows/s"
