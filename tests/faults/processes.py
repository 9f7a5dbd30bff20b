"""Ingestion in processes that can be killed: forked from a server that has the libraries loaded already."""

import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from lake import erasure
from lake import ingest as ingestion
from tests.lake.erasure import GONE, NOW
from workspace import UserError, load_workspace

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.processes"])
_PATIENCE_S = 120


class Ended(NamedTuple):
    """How a process ended."""

    code: int  # minus the signal that ended it
    said: str  # of a `UserError`, which is code 2


@dataclasses.dataclass(frozen=True)
class Started:
    """A process at work."""

    process: BaseProcess
    reader: Connection

    def end(self) -> Ended:
        """Wait for its end."""
        self.process.join(timeout=_PATIENCE_S)
        if self.process.exitcode is None:
            self.kill()
            raise AssertionError(f"the process did not end within {_PATIENCE_S} seconds")
        with self.reader:
            said = self.reader.recv() if self.process.exitcode == 2 and self.reader.poll() else ""
        return Ended(self.process.exitcode, said)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def start(target: Callable[..., None], *arguments: object) -> Started:
    """A process of its own that runs `target`."""
    reader, writer = _CONTEXT.Pipe(duplex=False)
    with writer:
        process = _CONTEXT.Process(target=_run, args=(writer, target, *arguments))
        process.start()
    return Started(process, reader)


def run(target: Callable[..., None], *arguments: object) -> Ended:
    """Start it and wait for its end."""
    return start(target, *arguments).end()


def ingest(root: Path, environment: dict[str, str] | None = None, wait_s: float = 600.0) -> None:
    """Ingest in small batches."""
    os.environ.update(environment or {})
    ingestion.BATCH_FILES = 3
    ingestion._WAIT_S = wait_s
    ingestion.ingest(load_workspace(root))


def forget(root: Path, environment: dict[str, str] | None = None) -> None:
    """Erase the units that `tests.lake.erasure` has everywhere."""
    os.environ.update(environment or {})
    erasure.forget(load_workspace(root), erasure.units_of(GONE, "user"), now=NOW)


def _run(writer: Connection, target: Callable[..., None], *arguments: object) -> None:
    try:
        target(*arguments)
    except UserError as reason:
        writer.send(str(reason))
        sys.exit(2)
