"""A piece of work in a process of its own: its seconds and the most memory that it held."""

import functools
import multiprocessing
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Generic, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Measured(NamedTuple, Generic[T_co]):
    """What the work gave and what it took."""

    result: T_co
    seconds: float  # without the start of the process
    cpu_s: float  # of all its threads: what other programs on the machine change least
    peak_mb: int  # resident, of the whole process


def measured(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> Measured[T]:
    """Do it in a fresh process, so that nothing is left of anything before."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_timed, functools.partial(work, *args, **named)).result()


def _timed(work: Callable[[], T]) -> Measured[T]:
    begun, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Measured(result, time.perf_counter() - begun, time.process_time() - cpu, _peak_mb())


def _peak_mb() -> int:
    """`ru_maxrss` would begin with the peak of the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024
