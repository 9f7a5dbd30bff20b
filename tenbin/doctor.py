"""`tenbin doctor`: what is wrong with this machine, or with a workspace on it. It changes nothing."""

import datetime as dt
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from workspace import UserError, Workspace, load_workspace

_OLDEST_PYTHON = (3, 11)
_FREE_BYTES_NOTE = 5 * 10**9
_FREE_BYTES_WRONG = 200 * 10**6
_EARLIEST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  # before this code was written
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_CLOCK_TOLERANCE = dt.timedelta(minutes=5)


class Health(StrEnum):
    """Whether something must be done."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; the message says what was found and, when it is wrong, what to do."""

    name: str
    health: Health
    message: str


def examine(root: Path | None = None) -> tuple[Finding, ...]:
    """Everything that can be looked at, in reading order; never raises for what is wrong."""
    findings = [_python(), _packages(), _clock(), _browser()]
    if root is None:
        return (*findings, _disk(Path.cwd()))
    try:
        workspace = load_workspace(root)
    except UserError as error:
        return (*findings, Finding(name="workspace", health=Health.WRONG, message=str(error)))
    findings.append(Finding(name="workspace", health=Health.OK, message=f"{workspace.root} can be read"))
    return (*findings, *_workspace(workspace))


def _workspace(workspace: Workspace) -> Iterator[Finding]:
    from lake.sources import landing_files
    from metrics.audit import read_definitions

    defined = read_definitions(workspace)
    wrong: dict[str, list[str]] = {"metrics": [], "experiments": [], "references": [], "rules": []}
    for problem in defined.problems:
        about = "references" if problem.experiment else (problem.file or "").partition("/")[0]
        about = "rules" if about == workspace.toml.name else about
        wrong[about].append(f"{problem.file}: {problem.message}; {problem.remedy}")
    right = {
        "metrics": f"{len(defined.metrics)} defined",
        "experiments": f"{len(defined.experiments)} defined",
        "references": "every metric that an experiment names is defined",
        "rules": f"{len(workspace.config.exclude)} leave units out",
    }
    for name, said in right.items():
        if not wrong[name]:
            yield Finding(name=name, health=Health.OK, message=said)
        for message in wrong[name]:
            yield Finding(name=name, health=Health.WRONG, message=message)
    if workspace.config.workspace.engine == "spark":
        yield _try("Spark", lambda: _spark(workspace))
    yield _try("landing files", lambda: f"{sum(1 for _ in landing_files(workspace))} found")
    for name, path in (
        ("landing", workspace.landing),
        ("lake", workspace.lake),
        ("reports", workspace.reports),
    ):
        yield _writable(name, path)
    yield _disk(workspace.root)


def _spark(workspace: Workspace) -> str:
    """What the Spark engine would run on; the cluster itself is not asked."""
    from metrics.engines.session import find_java, refuse_settings, require_pyspark

    refuse_settings(workspace)
    return f"PySpark {require_pyspark()} on {find_java()}, master {workspace.config.spark.master}"


def _try(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, health=Health.OK, message=look())
    except UserError as error:
        return Finding(name=name, health=Health.WRONG, message=str(error))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Finding(
            name="Python", health=Health.WRONG, message=f"{version} is too old; 3.11 or newer is needed"
        )
    return Finding(name="Python", health=Health.OK, message=version)


def _packages() -> Finding:
    """Every dependency that the project states is installed in a version that it allows."""
    from packaging.requirements import Requirement

    try:
        stated = importlib.metadata.requires("tenbin") or []
    except importlib.metadata.PackageNotFoundError:
        return Finding(
            name="packages",
            health=Health.WRONG,
            message="tenbin itself is not installed; run `make demo` or `pip install -e .`",
        )
    wrong, count = [], 0
    for text in stated:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        count += 1
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, needed {requirement.specifier}")
    if wrong:
        return Finding(
            name="packages",
            health=Health.WRONG,
            message="; ".join(wrong) + "; install the versions of requirements.lock",
        )
    return Finding(name="packages", health=Health.OK, message=f"all {count} in the versions needed")


def _clock() -> Finding:
    """Days are closed by the clock: one that is years off closes days that have not happened."""
    now = dt.datetime.now(dt.UTC)
    newest = max(_made(Path(__file__)), _EARLIEST)
    if now + _CLOCK_TOLERANCE < newest:
        return Finding(
            name="clock",
            health=Health.WRONG,
            message=f"says {now:%Y-%m-%d %H:%M} UTC, older than this copy ({newest:%Y-%m-%d}); set it",
        )
    return Finding(name="clock", health=Health.OK, message=f"{now:%Y-%m-%d %H:%M} UTC")


def _made(path: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)


def _browser() -> Finding:
    """Only the page tests need one."""
    stated = os.environ.get("CHROMIUM_PATH")
    if stated:
        if os.access(stated, os.X_OK):
            return Finding(name="browser", health=Health.OK, message=stated)
        return Finding(
            name="browser",
            health=Health.WRONG,
            message=f"CHROMIUM_PATH is {stated}, which can't be started; correct or unset it",
        )
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found:
        return Finding(name="browser", health=Health.OK, message=found)
    return Finding(
        name="browser",
        health=Health.NOTE,
        message="no Chromium (chromium, google-chrome, CHROMIUM_PATH): only the tests of the pages need it",
    )


def _writable(name: str, path: Path) -> Finding:
    """The directory, or the one in which it would be made, can be written."""
    nearest = path
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        return Finding(
            name=name, health=Health.WRONG, message=f"{nearest} is a file where a directory belongs; move it"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Finding(
            name=name,
            health=Health.WRONG,
            message=f"{nearest} can't be written; make it writable for this user",
        )
    return Finding(name=name, health=Health.OK, message=f"{path} can be written")


def _disk(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    message = f"{free / 1e9:,.1f} GB free at {path}"
    if free < _FREE_BYTES_WRONG:
        return Finding(name="disk", health=Health.WRONG, message=f"{message}: a run needs more; free some")
    if free < _FREE_BYTES_NOTE:
        return Finding(name="disk", health=Health.NOTE, message=f"{message}: little for a large lake")
    return Finding(name="disk", health=Health.OK, message=message)
