"""What is printed: the JSON object of DESIGN 4.9 and nothing else, the terminal's tables, the page."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from reports import words
from stats.results import Finding, Result
from tenbin.analyze.command import analyze_file
from tenbin.analyze.page import readout_of
from tenbin.analyze.request import MetricOption, Request
from tests.support import ROOT, tenbin

OPTIONS = (
    "--unit", "u", "--variant", "v", "--control", "A", "--conversion", "hit", "--revenue", "spent",
    "--ratio", "clicks/views", "--quantile", "spent@0.9", "--covariate", "spent=before",
    "--segment", "country",
)  # fmt: skip


@pytest.fixture
def data(table: Callable[..., Path]) -> Path:
    rng = np.random.default_rng(8)
    rows = [
        (
            n,
            "AB"[n % 2],
            n % 5 == 0,
            round(rng.gamma(2) * (1 + n % 2), 2),
            rng.poisson(3),
            9,
            n // 2 % 4,
            "日本US"[n % 2 * 2 :][:2],
        )
        for n in range(400)
    ]
    return table(
        "u,v,hit,spent,clicks,views,before,country",
        [*rows, (1, "A", *rows[1][2:]), (900, None, *rows[0][2:])],
    )


def test_json_is_the_object_of_the_design(run, data):
    done = run(data, *OPTIONS)
    assert done.err == ""
    found = done.json
    assert list(found) == ["srm", "units", "results", "findings", "warnings"]
    assert list(found["srm"]) == ["observed", "expected", "chi2", "p_value"]
    assert list(found["units"]) == ["rows", "units", "mixed_variant", "null_variant"]
    assert found["units"] == {"rows": 402, "units": 399, "mixed_variant": 1, "null_variant": 1}
    for finding in found["findings"]:
        assert tuple(finding) == Finding.__struct_fields__
    for row in found["results"]:
        assert tuple(row) == Result.__struct_fields__
        assert row["experiment"] == "data.csv"
        assert re.fullmatch("[0-9a-f]{16}", row["fingerprint"])
    assert all(isinstance(warning, str) for warning in found["warnings"])


def test_results_carry_twelve_digits_and_no_number_that_json_does_not_know(run, data):
    done = run(data, *OPTIONS)
    found = json.loads(done.out, parse_constant=pytest.fail)
    for numbers in (*found["results"], *(finding["numbers"] for finding in found["findings"])):
        for value in numbers.values():
            if isinstance(value, float):
                assert value == float(f"{value:.12g}")


def test_a_fingerprint_changes_with_what_was_asked(run, data):
    plain = run(data, "--variant", "v", "--control", "A", "--mean", "spent")
    again = run(data, "--variant", "v", "--control", "A", "--mean", "spent", "--segment", "country")
    by_unit = run(data, "--variant", "v", "--control", "A", "--mean", "spent", "--unit", "u")
    prints = [done.row("spent")["fingerprint"] for done in (plain, again, by_unit)]
    assert prints[0] == prints[1] != prints[2]


def test_json_goes_to_standard_output_alone_when_something_is_wrong(table):
    """As a process: the exit code is 1, and what a program reads is whole."""
    path = table("v,y", [("AB"[n % 3 // 2], n) for n in range(900)])
    done = tenbin("analyze", str(path), "--variant", "v", "--control", "A", "--mean", "y", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["srm"]["observed"] == {"A": 600, "B": 300}
    assert done.stderr == ""


def test_wrong_use_says_one_sentence_as_a_process(table):
    path = table("v,y", [("A", 1), ("B", "many")])
    done = tenbin(
        "analyze", str(path), "--variant", "v", "--control", "A", "--mean", "y", "--json", check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"tenbin: {path}: row 2 (header not counted), column \"y\": 'many' is no finite number; write one "
        "with a decimal point, or leave the cell empty\n"
    )


def test_the_same_file_gives_the_same_bytes(data, tmp_path, monkeypatch):
    """JSON and page of whole processes, whose sets are in different orders."""
    page = tmp_path / "out.html"
    outputs = set()
    for seed in ("0", "1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        done = tenbin("analyze", str(data), *OPTIONS, "--json", "--report", str(page))
        outputs.add((done.stdout, page.read_bytes()))
    assert len(outputs) == 1


def test_nothing_heavy_is_imported(data):
    """What makes `analyze --json` start fast: SciPy's special functions are enough."""
    program = f"""
import sys
from tenbin.cli import app
try:
    app({["analyze", str(data), *OPTIONS, "--json"]!r})
except SystemExit as done:
    heavy = {{"dagster", "deltalake", "jinja2", "lake", "metrics", "pandas", "pipelines", "plotly", "polars",
             "pyarrow", "reports", "rich", "scipy.optimize", "scipy.stats", "sqlglot", "statsmodels"}}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        check=True,
    )
    assert json.loads(done.stdout)["units"]["units"] == 399
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_gets_verdict_units_and_tables_in_its_width(run, data, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    done = run(data, *OPTIONS, output=())
    lines = done.out.splitlines()
    assert lines[0].startswith("Ship B: spent rose in B by ") or lines[0].startswith("Inconclusive: ")
    assert max(map(cell_len, lines)) <= width
    assert "402 rows, 399 units compared" in lines
    assert "1 unit seen in more than one variant: left out" in lines
    assert "1 row without a variant: left out" in lines
    heads = [line.split() for line in lines if line.startswith("metric")]
    wide = ["difference", "interval"] if width == 160 else []
    believed = ["P(better)", "loss"] if width == 160 else []
    assert heads[0] == [
        "metric",
        "control",
        "variant",
        *wide,
        "lift",
        "interval",
        "p",
        "Holm's",
        "p",
        *believed,
    ]
    assert len(heads) == 3  # everyone, and two countries
    shown = re.search(r"^hit +(\S+%) +(\S+%)", done.out, re.MULTILINE)
    row = run(data, *OPTIONS).row("hit")
    assert shown.groups() == (f"{row['mean_baseline']:.2%}", f"{row['mean_variant']:.2%}")


@pytest.mark.parametrize("width", [80, 160])
def test_long_names_and_many_variants_take_no_number_away(run, table, width, monkeypatch):
    """A table per variant; what can be folded is the metric's name, and intervals between their bounds."""
    monkeypatch.setenv("COLUMNS", str(width))
    rng = np.random.default_rng(4)
    names = ["A", "対照群 zoë 😀", "a variant whose name is long"]
    metric = "an even longer name of a metric, which nobody should have given it"
    rows = [(names[n % 3], round(1e6 + 1e5 * rng.normal() + 4e5 * (n % 3), 2)) for n in range(600)]
    path = table("v,y", rows)
    path.write_text(path.read_text(encoding="utf-8").replace("v,y", f'v,"{metric}"', 1), encoding="utf-8")
    options = ("--variant", "v", "--control", "A", "--revenue", metric, "--quantile", f"{metric}@0.5")
    shown = run(path, *options, output=()).out
    assert max(map(cell_len, shown.splitlines())) <= width
    for name in names[1:]:
        assert f"\n{name} against A\n" in shown
        for row in (run(path, *options).row(found, variant=name) for found in (metric, f"{metric}@0.5")):
            assert f"{row['mean_variant']:,.3f}" in shown
    assert shown.count("Holm's p") == 2
    assert shown.count("< 0.0001") == 8


def test_the_terminal_says_why_a_result_is_not_defined(run, table):
    path = table("v,a,b", [("A", 1, 0), ("B", 2, 0), ("A", 1, 0), ("B", 2, 0)])
    done = run(path, "--variant", "v", "--control", "A", "--ratio", "a/b", output=())
    assert f" - a/b: {words.reason('zero_denominator')}\n" in done.out


def test_colour_and_marks_of_names_are_not_mixed_up(run, table):
    """Square brackets in names are no markup."""
    path = table("v,[red]y", [("A[/]", n % 3) for n in range(9)] + [("[b]", n % 4) for n in range(9)])
    done = run(path, "--variant", "v", "--control", "A[/]", "--mean", "[red]y", output=())
    assert "A[/] (control)" in done.out
    assert "[red]y" in done.out


def test_the_page_is_one_file_that_says_the_same(run, data, tmp_path):
    page = tmp_path / "レポート" / "out.html"
    done = run(data, *OPTIONS, "--report", page)
    html = page.read_text(encoding="utf-8")
    assert [entry.name for entry in page.parent.iterdir()] == ["out.html"]
    assert "data.csv" in html
    outside = re.sub("<(script|style)[^>]*>.*?</(script|style)>", "", html, flags=re.DOTALL)
    assert "://" not in outside
    assert f"{done.row('hit')['mean_variant']:.2%}" in html
    assert "1 of 400 units were seen in more than one variant" in html


@pytest.mark.parametrize(("mixed", "status"), [(0, "passed"), (1, "warning"), (50, "failed")])
def test_the_page_says_how_bad_units_in_two_variants_are(table, mixed, status):
    """In the words of the pipeline's check of the same name."""
    rows = [(n, "AB"[n % 2], n % 3) for n in range(1_000)] + [(n, "BA"[n % 2], 0) for n in range(mixed)]
    request = Request(variant="v", control="A", unit="u", metrics=(MetricOption("mean", "y"),))
    check = readout_of(analyze_file(table("u,v,y", rows), request)).checks[0]
    assert (check.name, check.status) == ("mixed_variants", status)
    assert check.message.startswith(f"{mixed:,} of 1,000 units were seen in more than one variant (")


def test_the_page_has_every_finding_and_every_method(run, data, tmp_path):
    page = tmp_path / "out.html"
    methods = ("--method", "bootstrap", "--method", "newcombe", "--guardrail", "hit=0.1")
    done = run(data, *OPTIONS, *methods, "--report", page)
    html = page.read_text(encoding="utf-8")
    checks = "".join(re.findall(r'<ul class="checks">(.*?)</ul>', html, re.DOTALL))
    for finding in done.json["findings"]:
        assert escape(finding["message"]) in checks
    assert "<bdi>Few units decide · spent · B · A</bdi>" in checks
    assert "Noted" in checks
    table = html[html.index("All methods, everyone") :]
    for method in ("bootstrap", "newcombe", "non_inferiority"):
        assert f">{method}<" in table


@pytest.mark.parametrize("width", [80, 160])
def test_the_terminal_shows_further_methods_and_findings(run, data, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    methods = (
        "--method",
        "lin",
        "--method",
        "newcombe",
        "--method",
        "log_delta",
        "--equivalence",
        "spent=0.1",
    )
    done = run(data, *OPTIONS, *methods, output=())
    lines = done.out.splitlines()
    assert max(map(cell_len, lines)) <= width
    further = [line.split()[:2] for line in lines[lines.index("Also") + 2 :][:7]]
    assert further == [
        ["hit", "newcombe"], ["hit", "log_delta"],
        ["spent", "equivalence"], ["spent", "lin"], ["spent", "log_delta"],
        ["clicks/views", "log_delta"], [],
    ]  # fmt: skip
    assert "%" in next(line for line in lines if line.split()[:2] == ["spent", "lin"])  # its lift
    text = " ".join(done.out.split())
    assert "spent: the lift lies within ±10.0% with probability" in text
    assert "spent by country: " in text
    assert "The arms were alike before exposure" not in text  # what is well is left to --json


def test_the_page_path_is_told_at_the_end(run, data, tmp_path):
    page = tmp_path / "out.html"
    done = run(data, *OPTIONS, "--report", page, output=())
    assert done.out.splitlines()[-1] == f"Report: {page}"
