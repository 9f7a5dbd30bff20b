"""`tenbin demo`: a workspace to try everything on, with data whose truth is known.

Four experiments (a clear winner, no effect, a broken guardrail, a broken split) over three weeks of a shop:
real bucketing, events with known effects, and the dirt that real data has: repeated, late and malformed
rows. The same arguments give the same bytes.
"""

import concurrent.futures
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from assignments import experiment_to_toml
from tenbin.demo_definitions import METRICS, TENBIN_TOML, TRUTHS, TrueExperiment, experiments
from tenbin.demo_world import World, simulate
from workspace import UserError

Progress = Callable[[str, float], None]

_MARKER = ".tenbin-demo.json"
_DERIVED_DIRECTORIES = ("landing", "lake", "reports", ".dagster")
_DERIVED_FILES = ("warehouse.duckdb",)
_MIN_UNITS, _MAX_UNITS = 1_000, 1_000_000
_MIN_DAYS, _MAX_DAYS = 7, 90

_DAY_MS = 86_400_000
_LATE_SHARE = 0.02
_REPEATED_SHARE = 0.005  # within a file, and as much again across files


class DemoError(UserError):
    """The demo can't be made there or with these numbers."""


class DemoTruth(msgspec.Struct, frozen=True, kw_only=True):
    """What was made: the truth per experiment, and how many rows of which kind were written."""

    root: Path
    seed: int
    units: int
    days: int
    experiments: tuple[TrueExperiment, ...]
    rows: dict[str, int]  # record kind → lines written, dirt included
    repeated: int  # lines that say again what another line says
    late: int  # lines received a day or more after they happened
    malformed: int  # lines that must end in quarantine

    @property
    def verdicts(self) -> dict[str, str]:
        """Experiment → the verdict that the readout must come to."""
        return {experiment.key: experiment.verdict.value for experiment in self.experiments}


def check_place(root: Path) -> None:
    """Refuse a place that is somebody else's.

    Raises:
        DemoError: `root` is a file, or a directory with something else in it.
    """
    if root.exists() and not root.is_dir():
        raise DemoError(f"{root}: is a file; give a directory that is not there yet, or an empty one")
    if root.is_dir() and any(root.iterdir()) and not (root / _MARKER).is_file():
        raise DemoError(
            f"{root}: is not empty and holds no demo, so nothing was written; "
            "give a directory that is not there yet, or an empty one"
        )


def make_demo(
    root: Path, *, units: int = 50_000, days: int = 21, seed: int = 7, progress: Progress | None = None
) -> DemoTruth:
    """Write the demo workspace into `root`.

    Args:
        root: a directory that is not there yet, is empty, or holds a demo; a demo of other numbers loses
            its data and what was derived from it.
        units: how many units there are.
        days: of enrolment, from 2026-03-02 on.
        seed: of everything drawn; the verdicts are known for the default numbers.
        progress: called with what is being done and the share that is done, 0 to 1.

    Raises:
        DemoError: `root` holds something else, can't be written, or the numbers are out of bounds.
    """
    report = progress or (lambda _text, _share: None)
    _check_numbers(units, days)
    try:
        _prepare(root, {"units": units, "days": days, "seed": seed})
        report("Defining experiments and metrics", 0.0)
        defined = experiments(days, seed)
        _write(root / "tenbin.toml", TENBIN_TOML.encode())
        for name, text in METRICS.items():
            _write(root / "metrics" / name, text.encode())
        for experiment in defined.values():
            _write(root / "experiments" / f"{experiment.key}.toml", experiment_to_toml(experiment).encode())
        report(f"Letting {units:,} units live for {days} days", 0.05)
        world = simulate(defined, units=units, days=days, seed=seed)
        return _land(
            root,
            world,
            DemoTruth(
                root=root,
                seed=seed,
                units=units,
                days=days,
                experiments=TRUTHS,
                rows={},
                repeated=0,
                late=0,
                malformed=0,
            ),
            report,
        )
    except OSError as reason:
        raise DemoError(
            f"{root}: the demo can't be written ({reason.strerror or reason}); "
            "give a directory that can be written and has room for 200 MB"
        ) from reason


def _check_numbers(units: int, days: int) -> None:
    for name, value, low, high in (
        ("units", units, _MIN_UNITS, _MAX_UNITS),
        ("days", days, _MIN_DAYS, _MAX_DAYS),
    ):
        if not low <= value <= high:
            raise DemoError(f"{name} = {value} is out of bounds; give a number from {low} to {high}")


def _prepare(root: Path, numbers: dict[str, int]) -> None:
    """Make sure that `root` is ours to write to; clear the data of a demo with other numbers."""
    check_place(root)
    marker = root / _MARKER
    text = json.dumps(numbers, sort_keys=True) + "\n"
    if marker.is_file() and marker.read_text(encoding="utf-8", errors="replace") != text:
        for name in _DERIVED_DIRECTORIES:
            if (root / name).is_dir() and not (root / name).is_symlink():
                shutil.rmtree(root / name)
        for name in _DERIVED_FILES:
            (root / name).unlink(missing_ok=True)
    # First of all: a demo that was cut off is known as one, and can be made again.
    _write(marker, text.encode())


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there in whole or not at all; equal bytes are left alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _land(root: Path, world: World, truth: DemoTruth, report: Progress) -> DemoTruth:
    """Write the landing files and count what is in them."""
    rng = np.random.default_rng([truth.seed, 1])
    rows: dict[str, int] = {}
    repeated = late = malformed = 0
    kinds = {
        "events": _event_lines(world, rng),
        "exposures": _exposure_lines(world, rng),
        "assignments": _assignment_lines(world, rng),
    }
    for step, (kind, lines) in enumerate(kinds.items()):
        report(f"Writing {kind}", 0.4 + 0.18 * step)
        frame, extra, delayed = _disorder(lines, rng)
        bad = _malformed(kind, frame)
        _write_days(root / "landing" / kind, pl.concat([frame, bad]))
        rows[kind] = frame.height + bad.height
        repeated, late, malformed = repeated + extra, late + delayed, malformed + bad.height
    units = _unit_lines(world)
    _write(root / "landing" / "units" / "units.ndjson", "".join(f"{line}\n" for line in units).encode())
    rows["units"] = units.len()
    report("Workspace written", 1.0)
    return msgspec.structs.replace(truth, rows=rows, repeated=repeated, late=late, malformed=malformed)


# --- records as lines ----------------------------------------------------------------------------------


def _event_lines(world: World, rng: np.random.Generator) -> pl.DataFrame:
    frames = [
        frame.with_columns(
            pl.lit(name).alias("event"),
            pl.struct(pl.exclude("unit_id", "at", "value", "currency")).alias("properties"),
        ).pipe(
            _lines,
            rng,
            id_name="event_id",
            time_name="occurred_at",
            fields=("event", "value", "currency", "properties"),
        )
        for name, frame in world.events.items()
    ]
    return pl.concat(frames)


def _exposure_lines(world: World, rng: np.random.Generator) -> pl.DataFrame:
    return pl.concat([_decision_lines(key, seen.exposures, rng) for key, seen in world.seen.items()])


def _assignment_lines(world: World, rng: np.random.Generator) -> pl.DataFrame:
    return pl.concat([_decision_lines(key, seen.assignments, rng) for key, seen in world.seen.items()])


def _decision_lines(experiment: str, frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    shaped = frame.with_columns(
        pl.lit(experiment).alias("experiment"),
        pl.lit(1).alias("iteration"),
        pl.struct("device").alias("attributes"),
    )
    fields = ("experiment", "iteration", "variant", "ruleset_version", "attributes")
    return _lines(shaped, rng, id_name="exposure_id", time_name="exposed_at", fields=fields)


def _unit_lines(world: World) -> pl.Series:
    record = pl.struct(
        pl.lit("user").alias("unit_type"), "unit_id", pl.struct("plan", "country", "city").alias("attributes")
    )
    return world.units.select(_json(record)).to_series()


def _lines(
    frame: pl.DataFrame, rng: np.random.Generator, *, id_name: str, time_name: str, fields: tuple[str, ...]
) -> pl.DataFrame:
    """Records as `head` (JSON up to the times of arrival, which `_disorder` may change), `at`, `received`."""
    at = frame["at"].to_numpy()
    record = pl.struct(
        pl.lit("production").alias("environment"),
        _uuids(at, rng).alias(id_name),
        pl.lit("user").alias("unit_type"),
        "unit_id",
        _instant(pl.col("at")).alias(time_name),
        *(field for field in fields if field in frame.columns),
    )
    received = at + 200 + rng.exponential(4_000.0, at.size).astype(np.int64).clip(max=50_000)
    return frame.select(
        _json(record).str.strip_suffix("}").alias("head"), "at", pl.Series("received", received)
    )


def _json(record: pl.Expr) -> pl.Expr:
    """JSON text of a struct; a null field is left out, as a client leaves out what it does not know."""
    return record.struct.json_encode().str.replace_all(r',"\w+":null', "")


def _instant(milliseconds: pl.Expr) -> pl.Expr:
    return milliseconds.cast(pl.Datetime("ms", "UTC")).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")


def _uuids(at: np.ndarray[tuple[int], np.dtype[np.int64]], rng: np.random.Generator) -> pl.Series:
    """UUIDs of version 7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    raw = rng.integers(0, 256, (at.size, 16), dtype=np.uint8)
    raw[:, :6] = at.astype(">i8").view(np.uint8).reshape(-1, 8)[:, 2:]
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x70
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    digits = pl.Series("id", np.frombuffer(raw.tobytes().hex().encode(), dtype="S32").astype(str))
    parts = [
        digits.str.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))
    ]
    return pl.select(pl.concat_str(parts, separator="-")).to_series()


# --- the dirt ------------------------------------------------------------------------------------------


def _disorder(lines: pl.DataFrame, rng: np.random.Generator) -> tuple[pl.DataFrame, int, int]:
    """Make some lines late and repeat some; returns lines with `received`, and how many of both."""
    size = lines.height
    late = rng.random(size) < _LATE_SHARE
    delay = np.where(late, rng.integers(_DAY_MS, 3 * _DAY_MS, size), 0)
    lines = lines.with_columns(pl.col("received") + pl.Series(delay))
    # A client that heard no answer sends again: half a minute later, or on the next day.
    soon = lines.filter(pl.Series(rng.random(size) < _REPEATED_SHARE)).with_columns(
        pl.col("received") + 30_000
    )
    next_day = lines.filter(pl.Series((rng.random(size) < _REPEATED_SHARE) & ~late)).with_columns(
        pl.col("received") + _DAY_MS
    )
    every = pl.concat([lines, soon, next_day])
    stamped = every.select(
        pl.format(
            '{},"sent_at":"{}","received_at":"{}"}}',
            "head",
            _instant(pl.col("received") - 150),
            _instant(pl.col("received")),
        ).alias("line"),
        "received",
    )
    return stamped, soon.height + next_day.height, int(late.sum())


def _malformed(kind: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A few lines of each sort that no reader can use, spread over the files."""
    if kind == "assignments":
        return frame.clear()
    time_name = "occurred_at" if kind == "events" else "exposed_at"
    good = frame.gather_every(max(1, frame.height // 40)).head(40)
    line = pl.col("line")
    sort = pl.int_range(pl.len()) % 4
    broken = (
        pl.when(sort == 0)
        .then(line.str.head(70))  # cut off
        .when(sort == 1)
        .then(line.str.replace(r'"unit_id":"[^"]*",', ""))  # nobody did it
        .when(sort == 2)  # noqa: PLR2004
        .then(line.str.replace(rf'"{time_name}":"[^"]*"', f'"{time_name}":"yesterday"'))
        .otherwise(line.str.replace(r'"unit_id":"[^"]*"', '"unit_id":{"id":7}'))  # wrong type
    )
    return good.with_columns(broken.alias("line"))


def _write_days(directory: Path, lines: pl.DataFrame) -> None:
    """One sealed file per day of arrival. The compressed bytes carry no name and no time."""
    days = lines.sort("received", "line").with_columns(
        pl.col("received").cast(pl.Datetime("ms", "UTC")).dt.date().alias("day")
    )
    files = days.group_by("day", maintain_order=True).agg(pl.col("line").str.join("\n"))

    def seal(day: str, text: str) -> None:
        data = gzip.compress(f"{text}\n".encode(), compresslevel=1, mtime=0)
        _write(directory / f"{day}.ndjson.gz", data)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda row: seal(str(row[0]), row[1]), files.iter_rows()))
