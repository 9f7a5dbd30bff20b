"""CSV, Parquet and NDJSON, plain and packed: one table, one answer; and what those formats allow."""

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import zstandard

from tests.support import ROOT

OPTIONS = ("--unit", "unit", "--conversion", "hit", "--mean", "amount", "--segment", "country")


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"unit": [f"u{n}" for n in range(500)], "v": rng.choice(["A", "B"], 500)})
    frame["hit"] = rng.random(500) < 0.3
    frame["amount"] = rng.normal(10, 3, 500).round(2)
    frame["country"] = rng.choice(["JP", "日本", "zoë", "😀"], 500)
    return frame


def lines(frame: pd.DataFrame) -> bytes:
    rows = json.loads(frame.to_json(orient="records"))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def in_two(data: bytes) -> tuple[bytes, bytes]:
    return data[: len(data) // 2], data[len(data) // 2 :]


WRITERS = {
    "data.csv.gz": lambda frame: gzip.compress(frame.to_csv(index=False).encode()),
    "data.csv.zst": lambda frame: zstandard.compress(frame.to_csv(index=False).encode()),
    "two members.csv.gz": lambda frame: b"".join(
        gzip.compress(part) for part in in_two(frame.to_csv(index=False).encode())
    ),
    "two frames.csv.zst": lambda frame: b"".join(
        zstandard.compress(part) for part in in_two(frame.to_csv(index=False).encode())
    ),
    "semicolons.csv": lambda frame: frame.to_csv(index=False, sep=";").encode(),
    "pipes.csv": lambda frame: frame.to_csv(index=False, sep="|").encode(),
    "data.tsv": lambda frame: frame.to_csv(index=False, sep="\t").encode(),
    "quoted.csv": lambda frame: frame.to_csv(index=False, quoting=1).encode(),
    "windows.csv": lambda frame: frame.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig"),
    "blank lines.csv": lambda frame: (
        b"\n \n" + frame.to_csv(index=False).replace("\nu250", "\n\nu250").encode()
    ),
    "no last newline.csv": lambda frame: frame.to_csv(index=False).rstrip().encode(),
    "numbers for booleans.csv": lambda frame: (
        frame.assign(hit=frame["hit"].astype(int)).to_csv(index=False).encode()
    ),
    "data.ndjson": lines,
    "data.jsonl": lines,
    "data.ndjson.gz": lambda frame: gzip.compress(lines(frame)),
    "data.ndjson.zst": lambda frame: zstandard.compress(lines(frame)),
    "array.json": lambda frame: frame.to_json(orient="records").encode(),
    "keys in any order.ndjson": lambda frame: b"".join(
        json.dumps(dict(sorted(json.loads(line).items(), reverse=place % 2 == 0))).encode() + b"\n"
        for place, line in enumerate(lines(frame).splitlines())
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_text_format_gives_the_same_answer(analyze, frame, tmp_path, name):
    frame.to_parquet(tmp_path / "data.parquet")
    (tmp_path / name).write_bytes(WRITERS[name](frame))
    expected, found = analyze(tmp_path / "data.parquet", *OPTIONS), analyze(tmp_path / name, *OPTIONS)
    assert found.out.replace(name, "data.parquet") == expected.out


def test_parquet_from_polars_and_duckdb_is_the_same(analyze, frame, tmp_path):
    """Another writer's types: large strings, categories, decimals, a UUID, JSON."""
    frame.to_parquet(tmp_path / "data.parquet")
    pl.from_pandas(frame).with_columns(
        pl.col("country").cast(pl.Categorical), amount=pl.col("amount").cast(pl.Decimal(10, 2))
    ).write_parquet(tmp_path / "polars.parquet")
    duckdb.execute(
        "COPY (SELECT md5(unit)::UUID AS unit, v::ENUM ('A', 'B') AS v, hit, "
        "amount::DECIMAL(10, 2) AS amount, to_json(country) AS country FROM frame) TO ? (FORMAT parquet)",
        [str(tmp_path / "duckdb.parquet")],
    )
    expected = analyze(tmp_path / "data.parquet", *OPTIONS)
    polars = analyze(tmp_path / "polars.parquet", *OPTIONS)
    duck = analyze(tmp_path / "duckdb.parquet", *OPTIONS[:-2])
    assert polars.out.replace("polars.parquet", "data.parquet") == expected.out
    assert duck.row("amount") == expected.row("amount") | {"experiment": "duckdb.parquet"}


def test_nulls_of_every_format_are_missing(analyze, tmp_path):
    rows = [("A", 1.5), ("A", None), ("B", 2.0), ("B", 4.0), (None, 9.0)]
    pl.DataFrame(rows, schema=["v", "y"], orient="row").write_parquet(tmp_path / "n.parquet")
    (tmp_path / "n.csv").write_text('v,y\nA,1.5\n"A",""\nB,2\nB,4\n,9\n')
    (tmp_path / "n.ndjson").write_text(
        '{"v":"A","y":1.5}\n{"v":"A"}\n{"v":"B","y":2}\n{"v":"B","y":4.0}\n{"v":null,"y":9}\n'
    )
    answers = []
    for name in ("n.parquet", "n.csv", "n.ndjson"):
        found = analyze(tmp_path / name, "--mean", "y")
        assert found.json["units"]["null_variant"] == 1
        answers.append(found.out.replace(name, ""))
    assert len(set(answers)) == 1


def test_decimals_of_parquet_are_read_as_they_are(analyze, tmp_path):
    values = [Decimal("0.10"), Decimal("0.20"), Decimal("0.30"), Decimal("0.40")]
    pl.DataFrame({"v": ["A", "A", "B", "B"], "y": values}).write_parquet(tmp_path / "d.parquet")
    row = analyze(tmp_path / "d.parquet", "--revenue", "y").row("y")
    assert (row["mean_baseline"], row["mean_variant"]) == (0.15, 0.35)


def test_times_are_read_in_utc_on_every_machine(tmp_path):
    """As a process with another time zone: a segment is not called after the machine that looks at it."""
    path = tmp_path / "times.parquet"
    when = [datetime(2026, 1, 31, 23, 30, tzinfo=UTC)] * 4
    pl.DataFrame({"v": ["A", "A", "B", "B"], "y": [1, 2, 3, 4], "day": when}).write_parquet(path)
    done = subprocess.run(
        [sys.executable, "-m", "tenbin", "analyze", str(path), "--variant", "v", "--control", "A",
         "--mean", "y", "--segment", "day", "--json"],
        capture_output=True, check=True, cwd=ROOT, env=os.environ | {"TZ": "Asia/Tokyo"},
    )  # fmt: skip
    segments = {row["segment"] for row in json.loads(done.stdout)["results"]}
    assert segments == {None, "day=2026-01-31 23:30:00+00"}


def test_a_folder_named_like_a_partition_adds_no_column(analyze, frame, tmp_path):
    """DuckDB would read v=C from the path, for every row."""
    folder = tmp_path / "v=C" / "unit=7"
    folder.mkdir(parents=True)
    frame.to_parquet(folder / "data.parquet")
    frame.to_csv(folder / "data.csv", index=False)
    (folder / "data.ndjson").write_bytes(lines(frame))
    for name in ("data.parquet", "data.csv", "data.ndjson"):
        assert analyze(folder / name, *OPTIONS).json["srm"]["observed"].keys() == {"A", "B"}


@pytest.mark.parametrize(
    "name", ["every*.csv", "wh?t.parquet", "list[1].ndjson", "~tilde.csv", "😀 対照群.csv"]
)
def test_a_file_name_is_no_pattern(analyze, frame, tmp_path: Path, monkeypatch, name):
    write = {".csv": lambda f, p: f.to_csv(p, index=False), ".parquet": lambda f, p: f.to_parquet(p)}
    for other in ("everything.csv", "what.parquet", "list1.ndjson"):
        (tmp_path / other).write_text("not this one")
    path = tmp_path / name
    write.get(path.suffix, lambda f, p: p.write_bytes(lines(f)))(frame, path)
    monkeypatch.chdir(tmp_path)
    assert analyze(Path(name), *OPTIONS).json["units"]["rows"] == 500


def test_keys_that_differ_by_case_are_columns_of_their_own(analyze, tmp_path):
    (tmp_path / "case.ndjson").write_text(
        "".join(f'{{"V": "x", "v": "{"AB"[n % 2]}", "Y": {n}, "y": {2 * n}}}\n' for n in range(10))
    )
    (tmp_path / "case.csv").write_text(
        "V,v,Y,y\n" + "".join(f"x,{'AB'[n % 2]},{n},{2 * n}\n" for n in range(10))
    )
    for name in ("case.ndjson", "case.csv"):
        found = analyze(tmp_path / name, "--mean", "y", "--mean", "Y")
        assert found.row("y")["mean_baseline"] == 2 * found.row("Y")["mean_baseline"] == 8


def test_a_key_that_appears_late_is_a_column(analyze, tmp_path):
    early = '{"v": "A"}\n{"v": "B"}\n' * 50_000
    (tmp_path / "late.ndjson").write_text(early + '{"v": "B", "y": 100000}\n')
    assert analyze(tmp_path / "late.ndjson", "--mean", "y").row("y")["mean_variant"] == pytest.approx(
        100_000 / 50_001
    )
