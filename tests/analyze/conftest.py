"""`tenbin analyze` as a command, in this process: exit code, standard output, standard error."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tenbin.cli import app


class Ran:
    """What one call of the command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> dict:
        return json.loads(self.out)

    def row(
        self,
        metric: str,
        *,
        variant: str = "B",
        scale: str = "absolute",
        segment: str | None = None,
        method: str | None = None,
    ) -> dict:
        """The headline row of a comparison, or the one of a method."""
        found = [
            row
            for row in self.json["results"]
            if (row["metric"], row["variant"], row["scale"], row["segment"])
            == (metric, variant, scale, segment)
            and (row["headline"] if method is None else row["method"] == method)
        ]
        assert len(found) == 1, [(row["metric"], row["method"], row["segment"]) for row in found]
        return found[0]


@pytest.fixture
def run() -> Callable[..., Ran]:
    """`run(path, *options)`: the command with `--json`, refused or answered."""

    def call(path: Path, *options: object, output: Sequence[str] = ("--json",)) -> Ran:
        arguments = ["analyze", str(path), *map(str, options), *output]
        done = CliRunner().invoke(app, arguments, prog_name="tenbin")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    return call


@pytest.fixture
def analyze(run: Callable[..., Ran]) -> Callable[..., Ran]:
    """Like `run`, on variant column `v` with control A; the answer must be there."""

    def call(path: Path, *options: object) -> Ran:
        done = run(path, "--variant", "v", "--control", "A", *options)
        assert done.code in {0, 1}, done.err
        return done

    return call


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """`table("u,v,y", rows)`: a CSV file; None is an empty cell."""

    def write(header: str, rows: Iterable[Sequence[object]], name: str = "data.csv") -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(header.split(","))
            writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
        return path

    return write
