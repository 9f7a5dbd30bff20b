"""`tenbin forget`: units out of everything that Tenbin holds, then the pipelines over what is left."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from lake import open_lake
from lake.erasure import Receipt, Store, Units, forget, units_of
from tenbin.progress import progress
from tenbin.run import run_workspace
from workspace import UserError, Workspace

# Stores beyond the workspace's own files; each takes part by the protocol `lake.erasure.Store`.
MORE_STORES: tuple[Store, ...] = ()
_MAX_BYTES = 64 << 20


class ForgetError(UserError):
    """Who is to be forgotten was not said as it must be."""


class ForgetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt, and what became of the aggregates."""

    receipt: Receipt
    recomputed: bool  # moments, results and pages are those of the units that are left
    reason: str | None  # why they are not

    @property
    def complete(self) -> bool:
        """Whether nothing is left for a person to do."""
        return (self.recomputed or self.receipt.dry_run) and not self.receipt.unreached


def chosen_units(ids: Sequence[str], file: Path | None, unit_type: str) -> Units:
    """The units named on the command line and in a file with an id per line.

    Raises:
        UserError: there is none, an id is none, or the file can't be read.
    """
    return units_of([*ids, *(_lines(file) if file is not None else ())], unit_type)


def look_for(workspace: Workspace, units: Units, *, console: Console | None = None) -> ForgetSummary:
    """What forgetting would remove; nothing is changed."""
    receipt = _forget(workspace, units, console, dry_run=True)
    return ForgetSummary(receipt=receipt, recomputed=False, reason="a dry run changes nothing")


def forget_units(
    workspace: Workspace, units: Units, *, run: bool = True, console: Console | None = None
) -> ForgetSummary:
    """Forget the units; then, unless `run` is false, compute again what they took part in.

    What stops the computation does not undo the erasure; it is the summary's `reason`.

    Raises:
        UserError: a file or table can't be written; run again, it is finished then.
    """
    receipt = _forget(workspace, units, console, dry_run=False)
    if not run:
        reason = f"it was not asked for; `tenbin run {workspace.root}` does it"
        return ForgetSummary(receipt=receipt, recomputed=False, reason=reason)
    try:
        if _has_moments(workspace):
            run_workspace(workspace, console=console)
    except UserError as error:
        return ForgetSummary(receipt=receipt, recomputed=False, reason=" ".join(str(error).split()))
    return ForgetSummary(receipt=receipt, recomputed=True, reason=None)


def _forget(workspace: Workspace, units: Units, console: Console | None, *, dry_run: bool) -> Receipt:
    with progress(console) as bar:
        task = bar.add_task("Searching" if dry_run else "Forgetting", total=1.0)
        receipt = forget(
            workspace,
            units,
            now=dt.datetime.now(dt.UTC),
            dry_run=dry_run,
            more=MORE_STORES,
            progress=lambda _what, share: bar.update(task, completed=share),
        )
        bar.update(task, completed=1.0)
    return receipt


def _has_moments(workspace: Workspace) -> bool:
    return any(path.exists() for path in open_lake(workspace).paths("moments"))


def _lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as reason:
        raise ForgetError(
            f"{file}: can't be read ({reason}); give a UTF-8 text with an id per line"
        ) from None
    if len(content) > _MAX_BYTES:
        raise ForgetError(f"{file}: is larger than {_MAX_BYTES} bytes; split it")
    return [line for line in text.replace("\r\n", "\n").split("\n") if line]
