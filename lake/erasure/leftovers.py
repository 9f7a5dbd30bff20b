"""What else in the workspace mentions units: pages, Dagster's history, files that nobody ingests. Only named.

Files of the lake's tables are not searched: their rows are compressed, and other stores answer for them.
"""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from lake.erasure.mentions import Mentions
from lake.erasure.model import Removed, Units, Unreached
from lake.lake import Lake
from lake.sources import SourceFile
from lake.tables import TABLES

_CHUNK = 1 << 22
_OVERLAP = 1 << 13
_UNKNOWN = "a folder of the lake that this version of Tenbin does not know; look into it, or delete it"
_SCRATCH = "spilled data of a session that is still open; it is deleted when the session is closed"


@dataclasses.dataclass(frozen=True)
class Leftovers:
    """Every file of the workspace that no other store looked into."""

    lake: Lake
    searched: tuple[SourceFile, ...]

    def forget(self, units: Units, *, dry_run: bool) -> Iterator[Removed]:  # noqa: ARG002  nothing is changed
        """Name the files that mention a unit."""
        mentions = Mentions(units.ids)
        found = [
            Unreached(place=str(path.relative_to(self.lake.workspace.root)), rows=None, why=self._why(path))
            for path in self._files()
            if _mentions(path, mentions)
        ]
        found += [Unreached(place=name, rows=None, why=why) for name, why in self._unknown()]
        yield Removed(store="other files", rows=0, files=0, unreached=tuple(found))

    def _files(self) -> Iterator[Path]:
        """Not those of the lake, nor those that were searched row by row; no link is followed."""
        searched = {file.path for file in self.searched if file.kind != "moments"}
        root = self.lake.workspace.root
        for folder, folders, names in os.walk(root):
            if Path(folder) == root:
                folders[:] = [name for name in folders if root / name != self.lake.root]
            paths = (Path(folder) / name for name in sorted(names))
            yield from (path for path in paths if path not in searched and not path.is_symlink())

    def _unknown(self) -> Iterator[tuple[str, str]]:
        """Folders of the lake that are no tables."""
        if not self.lake.root.is_dir():
            return
        for path in sorted(self.lake.root.iterdir()):
            if path.is_dir() and path.name not in TABLES and path.name != ".scratch":
                yield f"lake/{path.name}", _UNKNOWN
        scratch = self.lake.root / ".scratch"
        for path in sorted(scratch.iterdir()) if scratch.is_dir() else ():
            yield f"lake/.scratch/{path.name}", _SCRATCH

    def _why(self, path: Path) -> str:
        workspace = self.lake.workspace
        if path.is_relative_to(workspace.dagster_home):
            return "Dagster's history mentions a unit; delete the runs that do in Dagster's UI"
        if path.is_relative_to(workspace.reports):
            return "a page mentions a unit; delete it, the next run writes it again"
        if path.is_relative_to(workspace.landing):
            return "ingestion does not take it: it is not sealed, hidden, or of no known format"
        return "the file mentions a unit, and Tenbin does not know what it is; look into it"


def _mentions(path: Path, mentions: Mentions) -> bool:
    """Whether it does, its name included; a file that went away meanwhile does not."""
    if mentions.found_in(path.name):
        return True
    before = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if mentions.found_in_bytes(before + chunk):
                    return True
                before = chunk[-_OVERLAP:]
    except OSError:
        return path.exists()  # what can't be read is named, to be looked into
    return False
