"""Landing files without the rows of some units, written again under new names; foreign files are only named.

A row is a unit's when ingestion would take it for the unit's; a row that is no record, when its text names
the unit. A kill between any two steps leaves each file as the old one, the new one, or both, all of them
known to `ingested`, so that nothing comes in twice.
"""

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb

from lake import delta, faults, textfiles
from lake.dedup import IDENTITY
from lake.erasure.mentions import Mentions
from lake.erasure.model import Progress, Removed, Units, Unreached
from lake.erasure.replaced import Content, conceal_names, is_ingested, record_replaced, sha256
from lake.errors import LakeError
from lake.lake import Lake
from lake.readers import ReadFile, drop_stage, make_stage, stage
from lake.sources import LANDING, SourceFile
from lake.sql import file_literal, identifier, literal

PREPARED = ".erasing-"  # how files begin that are not in their place yet, hidden from ingestion
_LINKED = "the same file had another name on this disk (a hard link), which keeps the rows; delete that too"
_PAGE = 20_000
_FOREIGN = (
    "a source of tenbin.toml names it, and Tenbin never edits files that are not its own: take the rows out "
    "where the file is made"
)


@dataclasses.dataclass(frozen=True)
class _Found:
    """The rows of the units in one file, by their numbers from 1, ascending."""

    rows: int  # of the file
    good: list[int]
    bad: list[int]  # that are no records

    @property
    def all(self) -> list[int]:
        return sorted([*self.good, *self.bad])


@dataclasses.dataclass(frozen=True)
class LandingFiles:
    """The files of every source, those of `landing/` and foreign ones."""

    lake: Lake
    files: Sequence[SourceFile]
    progress: Progress | None = None

    def forget(self, units: Units, *, dry_run: bool) -> Iterator[Removed]:
        """Write the files of `landing/` again without the units; name the foreign files that have them."""
        ours = [file for file in self.files if self._is_ours(file)]
        foreign = [file for file in self.files if not self._is_ours(file)]
        with self.lake.connect() as con:
            search = _Search(self.lake, con, units)
            yield self._rewrite(con, search, ours, dry_run=dry_run)
            if not dry_run:
                conceal_names(self.lake, con, search.mentions)
            if foreign:
                yield self._name(search, foreign)

    def _rewrite(
        self, con: duckdb.DuckDBPyConnection, search: "_Search", files: Sequence[SourceFile], *, dry_run: bool
    ) -> Removed:
        counts: list[int] = []
        left: list[Unreached] = []
        for file, found in self._searched(search, files, left):
            counts.append(len(found.all))
            if file.path.stat().st_nlink > 1:
                left.append(Unreached(place=file.name, rows=len(found.all), why=_LINKED))
            if not dry_run:
                _Rewrite(self.lake, con, search, file, found).run()
        return Removed(store="landing files", rows=sum(counts), files=len(counts), unreached=tuple(left))

    def _name(self, search: "_Search", files: Sequence[SourceFile]) -> Removed:
        left: list[Unreached] = []
        for file, found in self._searched(search, files, left):
            left.append(Unreached(place=file.name, rows=len(found.all), why=_FOREIGN))
        return Removed(store="foreign files", rows=0, files=0, unreached=tuple(left))

    def _searched(
        self, search: "_Search", files: Sequence[SourceFile], left: list[Unreached]
    ) -> Iterator[tuple[SourceFile, _Found]]:
        """The files that have rows of the units; one that can't be read is noted in `left`."""
        for number, file in enumerate(files):
            if self.progress is not None:
                self.progress("landing files", number / len(files))
            if file.kind == "moments":
                continue  # aggregates, of no single unit
            try:
                found = search.find(file)
            except LakeError as reason:
                left.append(Unreached(place=file.name, rows=None, why=f"not searched: {reason}"))
                continue
            if found.all:
                yield file, found

    def _is_ours(self, file: SourceFile) -> bool:
        """A link in `landing/` may lead out of it."""
        landing = self.lake.workspace.landing.resolve()
        return file.source == LANDING and file.path.resolve().is_relative_to(landing)


class _Search:
    """Finds the units' rows in files, in a session that keeps nothing of a file when the next one comes."""

    def __init__(self, lake: Lake, con: duckdb.DuckDBPyConnection, units: Units) -> None:
        self.con, self.mentions = con, Mentions(units.ids)
        self.folder = lake.scratch(con)
        con.execute(
            "CREATE TEMP TABLE wanted AS SELECT $unit_type AS unit_type, unnest($ids) AS unit_id",
            {"unit_type": units.unit_type, "ids": list(units.ids)},
        )

    def find(self, file: SourceFile) -> _Found:
        return self._staged(file, lambda read: self._rows(file.kind, read))

    def _rows(self, kind: str, read: ReadFile) -> _Found:
        con, table = self.con, identifier(f"stage_{kind}")
        is_theirs = "(unit_type, unit_id) IN (SELECT (unit_type, unit_id) FROM wanted)"
        good = con.execute(
            f"SELECT rowid + 1 FROM {table} WHERE reason IS NULL AND {is_theirs} ORDER BY rowid"
        ).fetchall()
        # The rows that are no records, in their order, beside what quarantine would say of them.
        bad = con.execute(
            f"SELECT number, theirs, concat_ws(chr(10), raw, text) FROM (SELECT rowid + 1 AS number, "
            f"coalesce({is_theirs}, false) AS theirs FROM {table} WHERE reason IS NOT NULL ORDER BY rowid) "
            "POSITIONAL JOIN (SELECT raw, reason AS text FROM stage_quarantine ORDER BY rowid)"
        )
        named: list[int] = []
        while page := bad.fetchmany(_PAGE):
            named += [number for number, theirs, text in page if theirs or self.mentions.found_in(text or "")]
        return _Found(read.rows, [number for (number,) in good], named)

    def _staged(self, file: SourceFile, look: Callable[[ReadFile], _Found]) -> _Found:
        self.folder.mkdir(exist_ok=True)
        make_stage(self.con)
        try:
            return look(stage(self.con, file, 0, self.folder))
        finally:
            drop_stage(self.con)
            shutil.rmtree(self.folder)


@dataclasses.dataclass
class _Rewrite:
    """One file of `landing/` that has rows of the units."""

    lake: Lake
    con: duckdb.DuckDBPyConnection
    search: _Search
    file: SourceFile
    found: _Found

    def run(self) -> None:
        with delta.writing(self.file.path):
            prepared = self._prepare()
            faults.reached("erasure: landing prepared")
            if not is_ingested(self.con, self.file):
                self._replace_in_place(prepared)
            elif prepared is None:
                record_replaced(self.lake, self.con, self.file, None)
                self.file.path.unlink()
            else:
                self._replace(prepared)
            delta.sync(self.file.path.parent)
        faults.reached("erasure: landing replaced")

    def _replace_in_place(self, prepared: Path | None) -> None:
        """Nobody knows the file yet, so it may keep its name."""
        if prepared is None:
            self.file.path.unlink()
        else:
            prepared.replace(self.file.path)

    def _replace(self, prepared: Path) -> None:
        """Under a name of its own, because ingestion refuses a file that changes under its old one."""
        digest, stat = sha256(prepared), prepared.stat()
        target = prepared.with_name(f"erased-{digest[:16]}{self._suffix()}")
        good, bad = len(self.found.good), len(self.found.bad)
        new = Content(
            path=str(target.relative_to(self.lake.workspace.root)),
            file_hash=digest,
            bytes=stat.st_size,
            modified_ns=stat.st_mtime_ns,
            rows=good + bad,
            quarantined=bad,
            duplicates=good - self._accepted(),
        )
        record_replaced(self.lake, self.con, self.file, new)
        prepared.replace(target)
        faults.reached("erasure: landing placed")
        delta.sync(target.parent)
        self.file.path.unlink()

    def _prepare(self) -> Path | None:
        """The file without the rows, complete and hidden; None when nothing would be left."""
        left = self.found.rows - len(self.found.all)
        if left == 0:
            return None
        folder = self.search.folder
        folder.mkdir(exist_ok=True)
        try:
            plain = textfiles.plain(self.file.path, self.file.name, folder)
            target = folder / f"rewritten.{self.file.format}"
            _WRITERS[self.file.format](self.con, plain, target, self.found.all)
            prepared = self._folder() / f"{PREPARED}rows{self._suffix()}"
            with delta.writing(prepared):
                textfiles.pack(target, prepared)
            delta.sync(prepared)
        finally:
            shutil.rmtree(folder)
        self._check(prepared, left)
        return prepared

    def _check(self, prepared: Path, left: int) -> None:
        """Read it as ingestion will: a row more or less would be another unit's."""
        again = self.search.find(dataclasses.replace(self.file, path=prepared))
        if again.rows != left or again.all:
            prepared.unlink()
            raise LakeError(
                f"{self.file.name}: can't be written again without the units' rows: {again.rows} rows would "
                f"stay of {left}; write the file anew under another name, as plain CSV, NDJSON or Parquet"
            )

    def _folder(self) -> Path:
        """Beside the file, unless the names of its folders name a unit."""
        landing = self.lake.workspace.landing
        inside = self.file.path.parent.relative_to(landing)
        return landing / self.file.kind if self.search.mentions.found_in(str(inside)) else landing / inside

    def _suffix(self) -> str:
        packed = self.file.path.suffix if self.file.path.suffix.lower() in textfiles.PACKED else ""
        return Path(self.file.path.name.removesuffix(packed)).suffix + packed

    def _accepted(self) -> int:
        """Rows of the units that the lake has from the file."""
        if self.file.kind not in IDENTITY:
            return len(self.found.good)
        found: int = self.con.execute(
            f"SELECT count(*) FROM {self.file.kind} SEMI JOIN wanted USING (unit_type, unit_id) "
            "WHERE file_hash = $1 AND source = $2",
            [sha256(self.file.path), self.file.source],
        ).fetchall()[0][0]
        return found


def _write_ndjson(_con: object, plain: Path, target: Path, rows: list[int]) -> None:
    textfiles.copy_without(plain, target, textfiles.ndjson_lines(plain, rows), newline="\n")


def _write_csv(_con: object, plain: Path, target: Path, rows: list[int]) -> None:
    delimiter, header = textfiles.csv_header(plain, plain.name)
    lines = textfiles.csv_lines(plain, delimiter, len(header), rows)
    textfiles.copy_without(plain, target, lines, newline="")


def _write_parquet(con: duckdb.DuckDBPyConnection, plain: Path, target: Path, rows: list[int]) -> None:
    con.execute(
        f"COPY (SELECT * EXCLUDE file_row_number FROM read_parquet({file_literal(plain)}, "
        "hive_partitioning = false, file_row_number = true) "
        "WHERE file_row_number + 1 NOT IN (SELECT unnest($rows))) "
        f"TO {literal(str(target))} (FORMAT parquet)",
        {"rows": rows},
    )


_WRITERS = {"ndjson": _write_ndjson, "csv": _write_csv, "parquet": _write_parquet}
