"""Names in any script and with any mark work everywhere: columns, variants, segments, units, options."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import ROOT

NAMES = [
    "対照群",
    "zoë",
    "😀",
    "a/b",
    "x=y",
    "a,b",
    "[bold]x[/]",
    "<b>",
    "'; DROP TABLE source; --",
    "c0",
    "%s",
]


def write(tmp_path, columns, rows):
    path = tmp_path / "データ 😀.ndjson"
    path.write_text(
        "".join(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n" for row in rows),
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_any_name(run, tmp_path, name):
    # In a segment "=" stands between the column and its value, so there its name can't hold one.
    segment = f"{name} segment".replace("=", "-")
    columns = [f"{name} unit", f"{name} variant", name, segment, f"{name} before"]
    rows = [(f"{name}{n}", "AB"[n % 2], n % 2, f"{name} {n % 3}", n % 5) for n in range(60)]
    found = run(
        write(tmp_path, columns, rows), "--unit", columns[0], "--variant", columns[1], "--control", "A",
        "--mean", name, "--segment", columns[3], "--covariate", f"{name}={columns[4]}",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert found.row(name)["estimate"] == pytest.approx(1.0, abs=0.2)
    assert found.row(name, segment=f"{columns[3]}={name} 0")["n_variant"] == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_may_have_any_name(run, tmp_path, name):
    other = f"{name}2"
    rows = [((name, other)[n % 2], n % 7) for n in range(100)]
    path = write(tmp_path, ["v", "y"], rows)
    options = ("--variant", "v", "--control", name, "--mean", "y", "--weights", f"{name}=1,{other}=1")
    found = run(path, *options)
    assert found.code == 0, found.err
    assert found.json["srm"]["observed"] == {name: 50, other: 50}
    assert found.row("y", variant=other)["baseline"] == name
    shown = run(path, *options, output=())
    assert other in shown.out


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_terminal_that_can_not_show_a_name_stops_nothing(tmp_path, options):
    """As a process whose standard output is ASCII: JSON is UTF-8 all the same, text is escaped."""
    path = write(tmp_path, ["v", "y"], [(("対照群", "zoë 😀")[n % 2], n % 7) for n in range(100)])
    done = subprocess.run(
        [sys.executable, "-m", "tenbin", "analyze", str(path), "--variant", "v", "--control", "対照群",
         "--mean", "y", *options],
        capture_output=True, check=True, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.stderr == b""
    if options:
        assert json.loads(done.stdout)["srm"]["observed"] == {"対照群": 50, "zoë 😀": 50}
    else:
        assert r"\u5bfe\u7167\u7fa4 (control)" in done.stdout.decode("ascii")


def test_options_are_taken_apart_by_the_names_that_are_there(run, tmp_path):
    """A ratio of columns with slashes, a quantile of a column with @, a covariate of columns with =."""
    columns = ["v", "a/b", "c/d", "m@x", "p=q", "r=s"]
    rows = [("AB"[n % 2], n % 3, n % 4 + 1, n, n % 6, n % 5) for n in range(60)]
    found = run(
        write(tmp_path, columns, rows), "--variant", "v", "--control", "A", "--ratio", "a/b/c/d",
        "--quantile", "m@x@0.5", "--mean", "p=q", "--covariate", "p=q=r=s",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert {row["metric"] for row in found.json["results"]} == {"a/b/c/d", "m@x@0.5", "p=q"}
    assert found.row("p=q")["method"] == "cuped"


def test_of_several_readings_the_one_whose_names_are_there_counts(run, tmp_path):
    """Weights of x and x=1; a covariate of p or of p=q, of which only one has its column."""
    columns = ["v", "p", "p=q", "r"]
    rows = [(("x", "x=1")[n % 3 // 2], n % 6, n % 5, n % 4) for n in range(90)]
    found = run(
        write(tmp_path, columns, rows), "--variant", "v", "--control", "x", "--mean", "p", "--mean", "p=q",
        "--covariate", "p=q=r", "--weights", "x=1=1,x=2",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert found.json["srm"]["expected"] == {"x": 60, "x=1": 30}
    methods = {name: found.row(name, variant="x=1")["method"] for name in ("p", "p=q")}
    assert methods == {"p": "welch_t", "p=q": "cuped"}


def test_only_a_truly_ambiguous_ratio_is_refused(run, tmp_path):
    path = write(tmp_path, ["v", "a", "b/c", "a/b", "c"], [("A", 1, 2, 3, 4), ("B", 1, 2, 3, 4)])
    done = run(path, "--variant", "v", "--control", "A", "--ratio", "a/b/c")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        'tenbin: --ratio a/b/c can be read as "a" over "b/c" or "a/b" over "c"; rename a column\n'
    )
