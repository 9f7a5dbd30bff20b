"""The peer's side of a comparison: read the work, do it, answer.

Standard library only, so that any engine's environment can run it.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Prepared = TypeVar("Prepared")


class Arm(NamedTuple):
    """Moments of one arm, as this project has them: covariances have the divisor n - 1."""

    n: int
    mean: Sequence[float]
    cov: Sequence[Sequence[float]]


class Task(NamedTuple):
    """One comparison."""

    kind: str
    variant: Arm
    baseline: Arm


def serve(
    version: str,
    prepare: Callable[[Task], Prepared],
    analyse: Callable[[Prepared], object],
    check: Callable[[Prepared], dict[str, float]],
) -> None:
    """Answer the work named on the command line.

    Args:
        version: of the engine, for the record.
        prepare: makes the engine's own inputs; not timed.
        analyse: the engine's own defaults; timed, the fastest turn over all tasks counts.
        check: the numbers that are compared; not timed.
    """
    source, target = map(Path, sys.argv[1:])
    work = json.loads(source.read_text(encoding="utf-8"))
    tasks = [Task(one["kind"], Arm(**one["variant"]), Arm(**one["baseline"])) for one in work["tasks"]]
    prepared = [prepare(task) for task in tasks]
    answer = {
        "version": version,
        "seconds": min(_turn(analyse, prepared) for _ in range(work["turns"])),
        "checked": [check(one) for one in prepared],
    }
    target.write_text(json.dumps(answer), encoding="utf-8")


def _turn(analyse: Callable[[Any], object], prepared: Sequence[Any]) -> float:
    begun = time.perf_counter()
    for one in prepared:
        analyse(one)
    return time.perf_counter() - begun
