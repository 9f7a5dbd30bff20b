"""Other people's engines, each in an environment of its own from its own hashed lock.

Their pins are not ours (gbstats needs NumPy 1 and pandas 1), and nothing of theirs enters this project.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stats.moments import Moments

FOLDER = Path(__file__).parent


class Task(msgspec.Struct, frozen=True):
    """One comparison; columns as its kind has them."""

    kind: str
    variant: Moments
    baseline: Moments


class Work(msgspec.Struct, frozen=True):
    """What a peer is asked."""

    turns: int
    tasks: Sequence[Task]


class Answer(msgspec.Struct, frozen=True):
    """What it says: seconds of its fastest turn over all tasks, and a set of numbers for each."""

    version: str
    seconds: float
    checked: list[dict[str, float | None]]


class NotThere(Exception):  # noqa: N818 - no fault of anybody's
    """The peer could not be installed here; the message says why."""


def ask(peer: str, work: Work) -> Answer:
    """Install the peer from `peers/<peer>.lock`, and let `peers/<peer>_peer.py` do the work.

    Raises:
        NotThere: it can't be installed here.
        RuntimeError: it failed at the work.
    """
    with tempfile.TemporaryDirectory() as folder:
        python = _install(peer, Path(folder) / "environment")
        source, target = Path(folder) / "work.json", Path(folder) / "answer.json"
        source.write_bytes(msgspec.json.encode(work))
        done = _run(
            [str(python), "-m", f"benchmarks.peers.{peer}_peer", str(source), str(target)],
            PYTHONPATH=str(FOLDER.parents[1]),
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return msgspec.json.decode(target.read_bytes(), type=Answer)


def _install(peer: str, home: Path) -> Path:
    """The peer's interpreter."""
    uv, lock = [sys.executable, "-m", "uv"], str(FOLDER / f"{peer}.lock")
    python = home / "bin" / "python"
    for command in (
        [*uv, "venv", "--quiet", "--python", sys.executable, str(home)],
        [*uv, "pip", "sync", "--quiet", "--python", str(python), "--require-hashes", lock],
    ):
        done = _run(command)
        if done.returncode:
            raise NotThere(done.stderr.strip())
    return python


def _run(command: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter
        command, capture_output=True, text=True, check=False, env=os.environ | more
    )
