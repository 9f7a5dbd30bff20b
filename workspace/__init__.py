"""A deployment's own directory: `tenbin.toml`, definitions, data. Imports nothing of ours.

tenbin.toml  metrics/*.toml  experiments/*.toml        written by people
landing/  lake/  warehouse.duckdb  reports/  .dagster/  written by Tenbin
"""

import dataclasses
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from workspace.bounds import check_alpha, check_weights
from workspace.config import Column, Config, ExclusionRule, Field, Source, SourceKind
from workspace.errors import UserError, WorkspaceError
from workspace.toml import convert, read_toml, seconds, suggest

__all__ = [
    "Column",
    "Config",
    "ExclusionRule",
    "Field",
    "Source",
    "SourceKind",
    "UserError",
    "Workspace",
    "WorkspaceError",
    "check_alpha",
    "check_weights",
    "convert",
    "load_workspace",
    "read_toml",
    "seconds",
    "suggest",
]


@dataclasses.dataclass(frozen=True)
class Workspace:
    """An opened workspace: its root (absolute), its settings, and where everything in it lies."""

    root: Path
    config: Config

    @property
    def name(self) -> str:
        return self.config.workspace.name

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.config.workspace.timezone)

    @property
    def lateness_s(self) -> int:
        """How long a day stays open for late rows, in seconds."""
        where = f'{self.toml}: key "workspace.lateness"'
        return seconds(self.config.workspace.lateness, where=where, error=WorkspaceError)

    @property
    def retention_s(self) -> int:
        """How long replaced files of the lake stay, in seconds."""
        where = f'{self.toml}: key "workspace.retention"'
        return seconds(self.config.workspace.retention, where=where, error=WorkspaceError)

    @property
    def toml(self) -> Path:
        return self.root / "tenbin.toml"

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics"

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    @property
    def dagster_home(self) -> Path:
        return self.root / ".dagster"


def load_workspace(root: Path | str) -> Workspace:
    """Open the workspace in `root` and check its settings.

    Raises:
        WorkspaceError: there is no such directory or no valid `tenbin.toml` in it.
    """
    path = Path(root).absolute()
    toml = path / "tenbin.toml"
    if not path.is_dir():
        raise WorkspaceError(
            f"{root}: there is no such directory; `tenbin demo {root}` makes a workspace to try"
        )
    if not toml.is_file():
        raise WorkspaceError(
            f"{toml}: a workspace needs this file; `tenbin demo DIRECTORY` makes one to copy from"
        )
    workspace = Workspace(path, _config(toml))
    _check(workspace)
    return workspace


def _config(toml: Path) -> Config:
    """Each source is converted on its own, so that an error can name it."""
    table = read_toml(toml, WorkspaceError)
    sources = table.pop("sources", {})
    if not isinstance(sources, dict):
        raise WorkspaceError(f"{toml}: sources: must be tables, one [sources.NAME] each")
    config = convert(table, Config, where=str(toml), error=WorkspaceError)
    return msgspec.structs.replace(
        config,
        sources={
            name: convert(source, Source, where=f"{toml}: sources.{name}", error=WorkspaceError)
            for name, source in sources.items()
        },
    )


_REQUIRED: dict[SourceKind, tuple[str, ...]] = {
    "events": ("event", "unit_id", "occurred_at"),
    "exposures": ("experiment", "variant", "unit_id", "exposed_at"),
    "assignments": ("experiment", "variant", "unit_id", "exposed_at"),
    "units": ("unit_id", "attributes"),
    "moments": (),
}


def _check(workspace: Workspace) -> None:
    _check_zone(workspace.config.workspace.timezone, f"{workspace.toml}: workspace.timezone")
    _ = workspace.lateness_s, workspace.retention_s
    _check_rules(workspace)
    for name, source in workspace.config.sources.items():
        where = f"{workspace.toml}: sources.{name}"
        for key in _REQUIRED[source.kind]:
            if not getattr(source, key):
                raise WorkspaceError(
                    f'{where}: key "{key}" is missing; a source of kind "{source.kind}" needs it'
                )
        for key in ("occurred_at", "exposed_at", "received_at", "sent_at", "valid_from"):
            column: Column | None = getattr(source, key)
            if column is not None and column.timezone is not None:
                _check_zone(column.timezone, f"{where}.{key}.timezone")


def _check_rules(workspace: Workspace) -> None:
    names: set[str] = set()
    for number, rule in enumerate(workspace.config.exclude, start=1):
        where = f"{workspace.toml}: exclude, entry {number}"
        if not rule.name or rule.name in names:
            raise WorkspaceError(f'{where}: key "name" is "{rule.name}"; every rule needs a name of its own')
        names.add(rule.name)
        if rule.where is None and rule.events_per_day is None:
            raise WorkspaceError(
                f'{where} ("{rule.name}"): says of no unit that it is left out; give it a condition, as in '
                'where = { field = "unit.is_staff", op = "equals", value = "true" }, or events_per_day = 1000'
            )
        if rule.events_per_day is None and (rule.event is not None or rule.period != "before_exposure"):
            raise WorkspaceError(
                f'{where} ("{rule.name}"): keys "event" and "period" belong to a rule with "events_per_day"'
            )


def _check_zone(zone: str, where: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise WorkspaceError(
            f'{where}: "{zone}" is not a known time zone; write an IANA name such as "UTC" or "Asia/Tokyo"'
        ) from None
