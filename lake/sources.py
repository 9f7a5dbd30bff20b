"""`tenbin.toml`'s sources, and the built-in `landing` source, as files and as a mapping onto record fields."""

import dataclasses
import glob
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from assignments.records import CONTRACTS, RecordKind
from lake.errors import LakeError
from workspace import Source, Workspace
from workspace import Column as SourceColumn

LANDING = "landing"
FORMATS = {"csv": "csv", "tsv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "parquet": "parquet"}
KINDS: tuple[RecordKind, ...] = ("events", "exposures", "assignments", "units")
_IDS = {"events": "event_id", "exposures": "exposure_id", "assignments": "exposure_id"}
_OBJECTS = {
    "events": "properties",
    "exposures": "attributes",
    "assignments": "attributes",
    "units": "attributes",
}


@dataclasses.dataclass(frozen=True)
class FieldMap:
    """Where one record field comes from: a column, or a constant (None: absent)."""

    column: str | None = None
    constant: str | None = None
    format: str | None = None
    timezone: str = "UTC"
    required: bool = False  # a row without it goes to quarantine
    present: bool = True  # a file without the column is refused


@dataclasses.dataclass(frozen=True)
class RecordMap:
    """How the rows of a source become records of one kind."""

    source: str
    kind: RecordKind
    fields: Mapping[str, FieldMap]
    id_field: str | None  # event_id or exposure_id
    id_from: str  # "row", "content" or "column"
    object_field: str  # properties or attributes
    object_columns: tuple[str, ...] | None  # columns that make up the object; None: one column holds it
    definition: str  # hash of what tenbin.toml says

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        names = [field.column for field in self.fields.values() if field.column is not None]
        return tuple(dict.fromkeys([*names, *(self.object_columns or ())]))

    @property
    def required_columns(self) -> tuple[str, ...]:
        """The columns without which a file is refused."""
        names = [field.column for field in self.fields.values() if field.column and field.present]
        optional = {field.column for field in self.fields.values() if not field.present}
        return tuple(dict.fromkeys([*names, *(c for c in self.object_columns or () if c not in optional)]))


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    path: Path  # absolute
    name: str  # as the lake records it: relative to the workspace where the source says it so
    format: str  # csv | ndjson | parquet
    mapping: RecordMap

    @property
    def source(self) -> str:
        return self.mapping.source

    @property
    def kind(self) -> RecordKind:
        return self.mapping.kind


def landing_files(workspace: Workspace) -> tuple[SourceFile, ...]:
    """Every file of every source, in the order of ingestion.

    Raises:
        LakeError: a source matches no file, or a file's kind can't be told.
    """
    found: list[SourceFile] = []
    for name, source in workspace.config.sources.items():
        mapping = _mapping(workspace, name, source)
        found += _source_files(workspace, name, source, mapping)
    found += _landing(workspace)
    return tuple(sorted(found, key=lambda file: (file.source, file.kind, file.name)))


def _source_files(
    workspace: Workspace, name: str, source: Source, mapping: RecordMap
) -> Iterator[SourceFile]:
    where = f"{workspace.toml}: sources.{name}.path"
    pattern = Path(source.path) if Path(source.path).is_absolute() else workspace.root / source.path
    if pattern.is_dir():
        paths = [path for path in pattern.iterdir() if not path.is_dir() and _format(path) is not None]
    elif pattern.is_file():
        paths = [pattern]
    else:
        # The workspace's own name is no pattern, whatever characters it has.
        root = Path("/") if Path(source.path).is_absolute() else workspace.root
        relative = str(pattern.relative_to(root)) if root == Path("/") else source.path
        paths = [root / item for item in glob.glob(relative, root_dir=root, recursive=True)]
        paths = [path for path in paths if not path.is_dir()]
    if not paths:
        raise LakeError(
            f'{where}: no file matches "{source.path}"; a path is taken from the workspace\'s own directory, '
            "put files there or mend the path"
        )
    for path in paths:
        kind = source.format or _format(path)
        if kind is None:
            raise LakeError(
                f'{where}: the format of "{path}" can\'t be told from its name; add format = "csv", '
                '"ndjson" or "parquet"'
            )
        if Path(source.path).is_absolute():
            shown = str(path)
        else:
            shown = str(path.relative_to(workspace.root))
        yield SourceFile(path, shown, kind, mapping)


def _landing(workspace: Workspace) -> Iterator[SourceFile]:
    for kind in KINDS:
        folder = workspace.landing / kind
        if not folder.is_dir():
            continue
        mapping = _record_map(kind)
        for path in sorted(folder.rglob("*")):
            # Segments that are not sealed yet have another suffix or a leading dot.
            kind_of_file = _format(path)
            if path.is_dir() or path.name.startswith(".") or kind_of_file is None:
                continue
            yield SourceFile(path, str(path.relative_to(workspace.root)), kind_of_file, mapping)


def _format(path: Path) -> str | None:
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return FORMATS.get(name.rpartition(".")[2])


def _record_map(kind: RecordKind) -> RecordMap:
    """The record contract's own names."""
    id_field = _IDS.get(kind)
    fields = {
        field.name: FieldMap(
            column=field.name,
            constant=None if field.default is None else str(field.default),
            required=field.required,
            present=field.required,
        )
        for field in CONTRACTS[kind]
    }
    return RecordMap(LANDING, kind, fields, id_field, "column", _OBJECTS[kind], None, "contract/1")


def _mapping(workspace: Workspace, name: str, source: Source) -> RecordMap:
    kind: RecordKind = source.kind
    zone = workspace.config.workspace.timezone
    fields: dict[str, FieldMap] = {}
    id_field = _IDS.get(kind)
    id_from = "column"
    for field in CONTRACTS[kind]:
        if field.name == _OBJECTS[kind]:
            continue
        given: object = getattr(source, field.name, None)
        if field.name == id_field and given in ("row", "content"):
            id_from = str(given)
            continue
        if isinstance(given, SourceColumn):
            fields[field.name] = FieldMap(
                column=given.column,
                format=given.format,
                timezone=given.timezone or zone,
                required=field.required,
            )
        elif given is not None:
            fields[field.name] = FieldMap(constant=str(given), required=field.required)
        elif field.default is not None:
            fields[field.name] = FieldMap(constant=str(field.default))
    columns = source.properties if kind == "events" else source.attributes
    definition = hashlib.sha256(msgspec.json.encode([source, zone], order="sorted")).hexdigest()[:16]
    return RecordMap(name, kind, fields, id_field, id_from, _OBJECTS[kind], columns, definition)
