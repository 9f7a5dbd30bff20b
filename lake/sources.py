"""`tenbin.toml`'s sources and the built-in `landing` source, as files and as mappings onto record fields."""

import dataclasses
import glob
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import msgspec

from assignments.records import CONTRACTS, RecordField, RecordKind
from lake.errors import LakeError
from workspace import Column as SourceColumn
from workspace import Source, Workspace, suggest

LANDING = "landing"
FORMATS = {"csv": "csv", "tsv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "parquet": "parquet"}
KINDS: tuple[RecordKind, ...] = ("events", "exposures", "assignments", "units", "moments")
_IDS = {"events": "event_id", "exposures": "exposure_id", "assignments": "exposure_id"}
_OBJECTS = {
    "events": "properties",
    "exposures": "attributes",
    "assignments": "attributes",
    "units": "attributes",
}
_KEYS_OF_MOMENTS = ("experiment", "variant", "metric", "as_of")


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
    object_field: str  # properties or attributes; moments have none
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
        if name == LANDING:
            raise LakeError(
                f"{workspace.toml}: sources.{LANDING}: files in landing/ have this name; choose another"
            )
        mapping = _mapping(workspace, name, source)
        found += _source_files(workspace, name, source, mapping)
    found += _landing(workspace)
    return tuple(sorted(found, key=lambda file: (file.source, file.kind, file.name)))


def _source_files(
    workspace: Workspace, name: str, source: Source, mapping: RecordMap
) -> Iterator[SourceFile]:
    where = f"{workspace.toml}: sources.{name}.path"
    paths = _matching(workspace.root, source)
    if not paths:
        raise LakeError(
            f'{where}: no file matches "{source.path}"; a path is taken from the workspace\'s own directory, '
            "put files there or mend the path"
        )
    is_absolute = Path(source.path).is_absolute()
    for path in paths:
        form = source.format or _format(path)
        if form is None:
            raise LakeError(
                f'{where}: the format of "{path}" can\'t be told from its name; add format = "csv", '
                '"ndjson" or "parquet"'
            )
        shown = str(path) if is_absolute else str(path.relative_to(workspace.root))
        yield SourceFile(_checked(path, shown), shown, form, mapping)


def _matching(root: Path, source: Source) -> list[Path]:
    """A directory stands for its files of known formats, a file for itself, anything else is a pattern."""
    path = root / source.path
    if path.is_dir():
        return [item for item in path.iterdir() if _format(item) is not None and _is_offered(item, path)]
    if path.is_file():
        return [path]
    # The workspace's own name is no pattern, whatever characters it has.
    base, pattern = (
        (Path("/"), source.path.lstrip("/")) if Path(source.path).is_absolute() else (root, source.path)
    )
    found = [base / item for item in glob.glob(pattern, root_dir=base, recursive=True)]  # noqa: PTH207
    return [item for item in found if not item.is_dir()]


def _landing(workspace: Workspace) -> Iterator[SourceFile]:
    for kind in KINDS:
        folder = workspace.landing / kind
        if not folder.is_dir():
            continue
        mapping = _record_map(kind)
        for path in folder.rglob("*"):
            form = _format(path)
            # Segments that are not sealed yet have another suffix or a leading dot.
            if form is not None and _is_offered(path, folder):
                shown = str(path.relative_to(workspace.root))
                yield SourceFile(_checked(path, shown), shown, form, mapping)


def _is_offered(path: Path, folder: Path) -> bool:
    """Whether a file is there to be read: not hidden, nor in a hidden folder."""
    parts = path.relative_to(folder).parts
    return not path.is_dir() and not any(part.startswith(".") for part in parts)


def _checked(path: Path, shown: str) -> Path:
    """The path, once it is known to lead to a file whose name is text.

    Raises:
        LakeError: it does not.
    """
    if not path.is_file():
        raise LakeError(
            f"{shown}: can't be read: it is no file, or a link to nothing; mend it or take it away"
        )
    try:
        shown.encode()
    except UnicodeEncodeError:
        raise LakeError(f"{shown!r}: the file's name is not UTF-8 text; rename the file") from None
    return path


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
    return RecordMap(LANDING, kind, fields, id_field, "column", _OBJECTS.get(kind, ""), None, "contract/1")


def _mapping(workspace: Workspace, name: str, source: Source) -> RecordMap:
    kind: RecordKind = source.kind
    zone = workspace.config.workspace.timezone
    fields: dict[str, FieldMap] = {}
    id_field = _IDS.get(kind)
    id_from = "column"
    for field in CONTRACTS[kind]:
        if field.name == _OBJECTS.get(kind, ""):
            continue
        given: object = _given(source, field)
        if field.name == id_field and given in ("row", "content"):
            id_from = str(given)
            continue
        if isinstance(given, SourceColumn):
            _check_format(given.format, f"{workspace.toml}: sources.{name}.{field.name}.format")
            fields[field.name] = FieldMap(
                column=given.column,
                format=given.format,
                timezone=given.timezone or zone,
                required=field.required,
                present=field.required or kind != "moments" or field.name in source.columns,
            )
        elif given is not None:
            fields[field.name] = FieldMap(constant=str(given), required=field.required)
        elif field.default is not None:
            fields[field.name] = FieldMap(constant=str(field.default))
    _check_renamed(source, f"{workspace.toml}: sources.{name}.columns")
    columns = source.properties if kind == "events" else source.attributes
    definition = hashlib.sha256(msgspec.json.encode([source, zone], order="sorted")).hexdigest()[:16]
    mapping = RecordMap(name, kind, fields, id_field, id_from, _OBJECTS.get(kind, ""), columns, definition)
    _check_columns(mapping.columns, f"{workspace.toml}: sources.{name}")
    return mapping


def _given(source: Source, field: RecordField) -> object:
    """What the source says of a field; what no key of moments is about is in a column of its name."""
    if source.kind != "moments":
        return getattr(source, field.name, None)
    given: object = getattr(source, field.name) if field.name in _KEYS_OF_MOMENTS else None
    return given or SourceColumn(source.columns.get(field.name, field.name))


def _check_renamed(source: Source, where: str) -> None:
    known = [field.name for field in CONTRACTS["moments"]]
    for name in source.columns:
        if source.kind != "moments":
            raise LakeError(f'{where}: belongs to kind "moments", and kind is "{source.kind}"')
        if name not in known:
            raise LakeError(f'{where}: "{name}" is no field of moments; {suggest(name, known)}')
        if name in _KEYS_OF_MOMENTS and getattr(source, name):
            raise LakeError(f'{where}: "{name}" is said by a key of its own too; say it once')


def _check_format(pattern: str | None, where: str) -> None:
    if pattern is None:
        return
    try:
        duckdb.execute("SELECT try_strptime('', $1)", [pattern]).fetchall()
    except duckdb.Error:
        raise LakeError(
            f'{where}: "{pattern}" is no format of a time; write one such as "%Y-%m-%d %H:%M:%S"'
        ) from None


def _check_columns(columns: tuple[str, ...], where: str) -> None:
    """SQL takes names that differ only in case for one."""
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.casefold(), column)
        if other != column:
            raise LakeError(
                f'{where}: the columns "{other}" and "{column}" differ only in case and can\'t both be read; '
                "rename one of them in a copy of the file"
            )
