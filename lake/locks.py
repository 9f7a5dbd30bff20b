"""Locks and scratch space of a workspace, held by the operating system: a kill unlocks."""

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lake.errors import LakeError, meaning

_POLL_S = 0.1
_WAIT_S = 3_600.0


@contextmanager
def lock(path: Path, *, wait_s: float, purpose: str) -> Iterator[None]:
    """Hold the lock file `path`, waiting for another process at most `wait_s` seconds.

    Raises:
        LakeError: another process still holds it, or the folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as reason:
        raise LakeError(
            f"{path}: the lock file can't be made: {meaning(reason, path.parent)}; free space there or make "
            "it writable, then run again"
        ) from None
    try:
        deadline = time.monotonic() + wait_s
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise LakeError(f"{path}: another process is {purpose}; run again when it has finished")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(lake: Path) -> Iterator[None]:
    """Neither ingestion nor analysis works on this lake meanwhile.

    Raises:
        LakeError: another process still does after an hour.
    """
    with (
        lock(lake / ".ingest.lock", wait_s=_WAIT_S, purpose="ingesting into this workspace"),
        lock(lake / ".evidence.lock", wait_s=_WAIT_S, purpose="computing in this workspace"),
    ):
        yield


@contextmanager
def scratch(lake: Path) -> Iterator[Path]:
    """A folder of this process alone on the lake's disk; what killed processes left is cleared first.

    Raises:
        LakeError: the folder can't be written.
    """
    base = lake / ".scratch"
    folder = base / uuid.uuid4().hex
    try:
        base.mkdir(parents=True, exist_ok=True)
        with _locked(base):
            _clear_dead(base)
            folder.mkdir()
            descriptor = os.open(folder, os.O_RDONLY)
            _try_lock(descriptor)
    except OSError as reason:
        raise LakeError(
            f"{base}: can't be written: {meaning(reason, base)}; free space there or make it writable, then "
            "run again"
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody clears while another has made a folder and does not hold it yet."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear_dead(base: Path) -> None:
    """Remove the folders that no process holds any more."""
    for folder in base.iterdir():
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                if _try_lock(descriptor):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
