"""What several test folders need: the `tenbin` command in a process of its own, and workspaces for it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that knows no workspace but the one that it is told."""
    left_out = ("TENBIN_", "DAGSTER_", "PYTHONDONTWRITEBYTECODE")
    # Each process imports two thousand modules; compiled once, they cost the tests a third of their time.
    compiled = {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "tenbin-pycache")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | compiled | dict(more)


def tenbin(
    *arguments: str, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The `tenbin` command in a process of its own, as a person would start it."""
    done = subprocess.run(
        [sys.executable, "-m", "tenbin", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(env or {}),
        cwd=ROOT,
        timeout=240,
        check=False,
    )
    # 1 says that something was found wrong; a defect of ours ends with 1 too, and with a traceback.
    if check and (done.returncode not in {0, 1} or "Traceback" in done.stderr):
        raise AssertionError(
            f"tenbin {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return done


def globox_workspace(root: Path) -> Path:
    """A copy of `examples/globox` in `root` that reads the same data."""
    if not (DATA / "globox").is_dir():
        pytest.skip("the GloBox data (../shared/data/globox beside the project) is not on this machine")
    names = ("tenbin.toml", "metrics", "experiments")
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        source = ROOT / "examples" / "globox" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    settings = (root / "tenbin.toml").read_text(encoding="utf-8")
    (root / "tenbin.toml").write_text(
        settings.replace("../../../shared/data", DATA.as_posix()), encoding="utf-8"
    )
    return root
