"""Ingestion in processes that can be killed: forked from a server that has the libraries loaded already."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from lake import ingest as ingestion
from workspace import UserError, load_workspace

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.processes"])


def start(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process of its own that runs `target`."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def run(target: Callable[..., None], *arguments: object) -> int:
    """The exit code of a process that runs `target`; minus the signal that ended it."""
    process = start(target, *arguments)
    process.join(timeout=120)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError("the process did not end within two minutes")
    return process.exitcode


def ingest(root: Path, environment: dict[str, str] | None = None, wait_s: float = 600.0) -> None:
    """Ingest in small batches; a `UserError` ends the process with code 2 and is left in `root`/said.txt."""
    os.environ.update(environment or {})
    ingestion.BATCH_FILES = 3
    ingestion._WAIT_S = wait_s
    try:
        ingestion.ingest(load_workspace(root))
    except UserError as reason:
        (root / "said.txt").write_text(str(reason), encoding="utf-8")
        sys.exit(2)
