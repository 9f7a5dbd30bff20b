"""What can't be used: one sentence that names file, row, column, value and remedy; exit code 2; no output."""

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import zstandard

GOOD = b"u,v,y\n1,A,1\n2,B,0\n3,A,0\n4,B,1\n"
NO_NUMBER = "is no finite number; write one with a decimal point, or leave the cell empty"
NEITHER = (
    "is neither yes nor no; a conversion is true, false, 0, 1 or empty (counts and amounts belong to --mean "
    "or --revenue)"
)
WRITE_QUANTILE = "write COLUMN@Q with Q between 0 and 1, both excluded, as in latency@0.9"
BETWEEN = "must lie between 1e-12 and 0.5, as in 0.05"
OPTIONS = ("--unit", "u", "--variant", "v", "--control", "A", "--conversion", "y")


def refused(run, path: Path, *options: str, report: Path | None = None) -> str:
    """The sentence, after checking that nothing else was said; `--report` leaves nothing behind either."""
    report = report or path.parent / "report.html"
    done = run(path, *(options or OPTIONS), "--report", report)
    assert (done.code, done.out) == (2, ""), done.out + done.err
    assert done.err.startswith("tenbin: ")
    assert done.err.endswith("\n")
    assert done.err.count("\n") == 1
    assert not report.exists()
    return done.err.removeprefix("tenbin: ").removesuffix("\n")


@pytest.fixture
def file(tmp_path: Path):
    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def long_file(row: int, line: bytes) -> bytes:
    """100,000 good rows, one of which is `line`."""
    rows = [b"%d,%s,%d" % (n, b"AB"[n % 2 : n % 2 + 1], n % 2) for n in range(1, 100_001)]
    rows[row - 1] = line
    return b"u,v,y\n" + b"\n".join(rows) + b"\n"


# What is not there, or can't be opened


def test_a_missing_file(run, tmp_path, file):
    file("cookie_cats.csv", GOOD)
    path = tmp_path / "cookie_cat.csv"
    assert refused(run, path) == f'{path}: there is no such file; did you mean "cookie_cats.csv"?'


def test_a_missing_folder(run, tmp_path):
    path = tmp_path / "no folder" / "a.csv"
    assert refused(run, path, report=tmp_path / "report.html") == (
        f"{path}: there is no such file; there is no directory {path.parent} either; check the path"
    )


def test_a_name_that_is_not_utf8(run, tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    path.write_bytes(GOOD)
    assert refused(run, path).endswith("caf\\udce9.csv'): its name is not UTF-8; rename it")


def test_a_directory(run, tmp_path):
    assert refused(run, tmp_path) == f"{tmp_path}: is a directory; give one file in it"


@pytest.fixture
def closed() -> Iterator[Path]:
    """A file of mode 0, and the rights of somebody to whom it is closed (root can read everything)."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "closed.csv"
        path.write_bytes(GOOD)
        path.chmod(0)
        if root:
            os.seteuid(65_534)
        try:
            yield path
        finally:
            if root:
                os.seteuid(0)


def test_an_unreadable_file(run, closed):
    assert refused(run, closed) == (
        f"{closed}: can't be read (Permission denied); make it readable for this user"
    )


def test_a_report_that_can_not_be_written(run, file):
    path = file("data.csv", GOOD)
    done = run(path, *OPTIONS, "--report", path / "out.html")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"tenbin: {path / 'out.html'}: ")
    assert done.err.count("\n") == 1


def test_a_report_never_takes_the_place_of_what_it_is_about(run, file):
    path = file("data.csv", GOOD)
    link = path.with_name("link.csv")
    link.symlink_to(path)
    for out in (path, link, path.parent / "." / "data.csv"):
        done = run(path, *OPTIONS, "--report", out)
        assert (done.code, done.out) == (2, "")
        assert done.err == (
            f"tenbin: --report {out}: is the file to analyse; give the report a name of its own\n"
        )
    assert path.read_bytes() == GOOD


@pytest.mark.parametrize("content", [GOOD, b"", b"<!doctype html>\n<title>My own page</title>"])
def test_a_report_never_takes_the_place_of_something_else(run, file, content):
    path, out = file("data.csv", GOOD), file("thesis.html", content)
    done = run(path, *OPTIONS, "--report", out)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"tenbin: --report {out}: is there already and is no report of `tenbin analyze`; remove it or give "
        "another name\n"
    )
    assert out.read_bytes() == content


@pytest.mark.parametrize("out", [".", "..", "/", ""])
def test_a_report_that_is_a_directory(run, file, monkeypatch, out):
    path = file("data.csv", GOOD)
    monkeypatch.chdir(path.parent)
    done = run(path, *OPTIONS, "--report", out)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"tenbin: --report {out or '.'}: is a directory; name a file in it, as in report.html\n"
    )
    assert [entry.name for entry in path.parent.iterdir()] == ["data.csv"]


@pytest.mark.parametrize("name", ["data.xlsx", "data", "data.parquet.gz", "data.gz"])
def test_a_name_that_does_not_say_what_it_is(run, file, name):
    path = file(name, GOOD)
    assert refused(run, path) == (
        f"{path}: its name does not say what it is; name it .csv, .tsv, .ndjson, .jsonl or .json (each also "
        "with .gz or .zst), or .parquet"
    )


# Empty, or not what the name says


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("empty.ndjson", b""),
        ("empty.parquet", b""),
        ("blank.csv", b"\n \n\n"),
        ("bom.csv", b"\xef\xbb\xbf"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0)),
        ("empty.csv.zst", zstandard.compress(b"")),
    ],
)
def test_an_empty_file(run, file, name, content):
    path = file(name, content)
    assert refused(run, path) == f"{path}: is empty; it must have a header and at least one row"


@pytest.mark.parametrize("name", ["header.csv", "header.csv.gz"])
def test_a_header_without_rows(run, file, name):
    path = file(name, gzip.compress(b"u,v,y\n") if name.endswith(".gz") else b"u,v,y")
    assert refused(run, path) == f"{path}: has columns but no rows; there is nothing to analyse"


def test_a_parquet_file_without_rows(run, tmp_path):
    path = tmp_path / "none.parquet"
    pl.DataFrame(schema={"u": pl.String, "v": pl.String, "y": pl.Boolean}).write_parquet(path)
    assert refused(run, path) == f"{path}: has columns but no rows; there is nothing to analyse"


@pytest.mark.parametrize("content", [b"PAR1", GOOD, b"PAR1" + 1_000 * b"x" + b"PAR1"])
def test_a_parquet_file_that_is_none(run, file, content):
    path = file("data.parquet", content)
    said = refused(run, path)
    assert said.startswith(f"{path}: is not a whole Parquet file (")
    assert said.endswith("); write it again, or give it the ending of what it is")


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_a_packed_file_that_is_none(run, file, kind):
    path = file(f"data.csv.{kind}", GOOD)
    said = refused(run, path)
    assert said.startswith(f"{path}: can't be unpacked (")
    assert said.endswith(f"get it again, or take .{kind} off the name of a plain file")


@pytest.mark.parametrize(("kind", "pack"), [("gz", gzip.compress), ("zst", zstandard.compress)])
@pytest.mark.parametrize("left", [0.5, 0.9, 0.999])
def test_a_packed_file_that_was_cut_off(run, file, kind, pack, left):
    """DuckDB reads the first half of a zstd file as a whole one."""
    packed = pack(long_file(1, b"1,B,1"))
    path = file(f"data.csv.{kind}", packed[: int(len(packed) * left)])
    assert refused(run, path).startswith(f"{path}: can't be unpacked (Compressed file ended before ")


def test_a_packed_file_whose_checksum_is_wrong(run, file):
    packed = bytearray(gzip.compress(GOOD))
    packed[-8] ^= 1
    path = file("data.csv.gz", bytes(packed))
    assert refused(run, path).startswith(f"{path}: can't be unpacked (CRC check failed ")


@pytest.mark.parametrize("start", [GOOD, long_file(1, b"1,A,1")], ids=["near the top", "far down"])
def test_text_that_is_not_utf8(run, file, start):
    path = file("latin.csv", start + "5,Bé,1\n".encode("latin-1"))
    line = start.count(b"\n") + 1
    assert refused(run, path) == f"{path}: line {line:,}: is not UTF-8 text; save it as UTF-8"


def test_utf16(run, file):
    assert "not UTF-8 text" in refused(run, file("utf16.csv", GOOD.decode().encode("utf-16")))
    assert "not UTF-8 text" in refused(run, file("utf16le.csv", GOOD.decode().encode("utf-16-le")))


# The shape of text files


def test_a_delimiter_that_is_none(run, file):
    path = file("carets.csv", GOOD.replace(b",", b"^"))
    assert refused(run, path) == (
        f'{path}: --conversion y: there is no column "y"; the header is one column, "u^v^y"; separate '
        "columns by , ; tab or |"
    )


def test_another_delimiter_below_the_header(run, file):
    path = file("mixed.csv", GOOD.replace(b",", b";").replace(b"u;v;y", b"u,v,y"))
    assert refused(run, path) == (
        f"{path}: line 2: has 1 cell where the header has 3; write one cell per column, with quotes around a "
        "cell that holds the delimiter"
    )


@pytest.mark.parametrize(("line", "cells"), [(b"70001,A", "2 cells"), (b"70001,A,1,2", "4 cells")])
def test_a_row_with_too_few_or_too_many_cells(run, file, line, cells):
    path = file("ragged.csv", long_file(70_001, line))
    assert refused(run, path).startswith(f"{path}: line 70,002: has {cells} where the header has 3; ")


def test_quotes_that_do_not_end(run, file):
    path = file("quotes.csv", b'u,v,y\n1,A,1\n2,"B,0\n3,A,1\n')
    assert refused(run, path) == (
        f"{path}: line 3: a quoted cell does not end where the next delimiter is; close the quotes, and "
        "double those inside a cell"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            b'{"u":1,"v":"A","y":tru',
            "is not valid JSON (Input data was truncated); write one whole object per line",
        ),
        (b"1,A,1", "is not valid JSON ("),
        (b'{"u":1,"v":"B\xe9","y":1}', "is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_a_line_that_is_not_json(run, file, line, problem):
    """The line is the file's, not counted from where a thread began to read."""
    good = b'{"u":1,"v":"A","y":true}\n{"u":2,"v":"B","y":false}\n' * 50_000
    path = file("bad.ndjson", good[:50] + good[50:] * 2 + line + b"\n" + good)
    at = (good[:50] + good[50:] * 2).count(b"\n") + 1
    assert refused(run, path).startswith(f"{path}: line {at:,}: {problem}")


@pytest.mark.parametrize(("line", "problem"), [
    (b"7", 'is no JSON object; write {"user": "1", …}'),
    (b"[1, 2]", 'is no JSON object; write {"user": "1", …}'),
    (b'{"u": 3, "v": "A", "y": 1, "y": 0}', "has a key twice; name each key once"),
])  # fmt: skip
def test_a_line_that_is_no_object(run, file, line, problem):
    path = file("bad.ndjson", b'{"u":1,"v":"A","y":true}\n{"u":2,"v":"B","y":false}\n' + line + b"\n")
    assert refused(run, path) == f"{path}: row 3: {problem}"


# Columns and cells


def test_a_renamed_column(run, file):
    path = file("data.csv", GOOD.replace(b"u,v,y", b"user,variant,y"))
    assert refused(run, path, "--variant", "varient", "--control", "A", "--conversion", "y") == (
        f'{path}: --variant varient: there is no column "varient"; did you mean "variant"?'
    )


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--unit", "z"), ("--variant", "z"), ("--cluster", "z"), ("--segment", "z"), ("--conversion", "z"),
        ("--mean", "z"), ("--revenue", "z"), ("--quantile", "z@0.5"), ("--ratio", "z/y"), ("--ratio", "y/z"),
        ("--covariate", "y=z"),
    ],
)  # fmt: skip
def test_an_unknown_column_of_every_option(run, file, option, text):
    path = file("data.csv", GOOD)
    done = run(path, *OPTIONS, option, text)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"tenbin: {path}: {option} ")
    assert done.err.endswith('there is no column "z"; known: u, v, y\n')


def test_two_columns_of_one_name(run, file):
    path = file("data.csv", b"u,v,y,y\n1,A,1,1\n2,B,0,0\n")
    assert refused(run, path) == f'{path}: --conversion y: there are 2 columns named "y"; rename all but one'


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--mean", "much", f"'much' {NO_NUMBER}"),
        ("--revenue", "1.234,50", f"'1.234,50' {NO_NUMBER}"),
        ("--mean", "1_000", f"'1_000' {NO_NUMBER}"),
        ("--mean", "NA", f"'NA' {NO_NUMBER}"),
        ("--mean", "nan", f"'nan' {NO_NUMBER}"),
        ("--mean", "inf", f"'inf' {NO_NUMBER}"),
        ("--mean", " ", f"' ' {NO_NUMBER}"),
        ("--quantile", "slow", f"'slow' {NO_NUMBER}"),
        ("--mean", "TRUE", f"'TRUE' {NO_NUMBER}; use --conversion for yes and no"),
        ("--conversion", "2", f"'2' {NEITHER}"),
        ("--conversion", "yes", f"'yes' {NEITHER}"),
    ],
)
def test_a_cell_that_is_no_number_in_row_70001(run, file, option, value, said):
    path = file("data.csv", long_file(70_001, b'70001,A,"' + value.encode() + b'"'))
    column = "y@0.5" if option == "--quantile" else "y"
    message = refused(run, path, "--variant", "v", "--control", "A", option, column)
    assert message == f'{path}: row 70,001 (header not counted), column "y": {said}'


@pytest.mark.parametrize("column", ["a", "b"])
def test_text_in_either_column_of_a_ratio_or_in_a_covariate(run, file, column):
    header = f"v,{column},{'b' if column == 'a' else 'a'}\n".encode()
    path = file("data.csv", header + b"A,1,2\nB,x,4\n")
    message = refused(run, path, "--variant", "v", "--control", "A", "--ratio", "a/b")
    assert message.startswith(
        f"{path}: row 2 (header not counted), column \"{column}\": 'x' is no finite number"
    )


def test_text_in_a_number_column_of_ndjson_and_parquet(run, file, tmp_path):
    path = file("data.ndjson", b'{"v":"A","y":1}\n{"v":"B","y":{"amount":2}}\n')
    assert refused(run, path, "--variant", "v", "--control", "A", "--mean", "y").startswith(
        f'{path}: row 2, column "y": \'{{"amount":2}}\' is no finite number'
    )
    path = tmp_path / "data.parquet"
    pl.DataFrame({"v": ["A", "B"], "y": ["1", "two"]}).write_parquet(path)
    assert refused(run, path, "--variant", "v", "--control", "A", "--mean", "y").startswith(
        f"{path}: row 2, column \"y\": 'two' is no finite number"
    )


@pytest.mark.parametrize(("values", "said"), [
    ([[1], [2]], "is of type BIGINT[], but numbers belong there; convert it to numbers first"),
    ([True, False], "is of type BOOLEAN, but numbers belong there; use it with --conversion"),
])  # fmt: skip
def test_a_parquet_column_that_holds_no_numbers(run, tmp_path, values, said):
    path = tmp_path / "data.parquet"
    pl.DataFrame({"v": ["A", "B"], "y": values}).write_parquet(path)
    assert refused(run, path, "--variant", "v", "--control", "A", "--mean", "y") == (
        f'{path}: column "y" {said}'
    )


# Variants


def test_a_control_that_is_not_named(run, file):
    path = file("data.csv", GOOD)
    assert refused(run, path, "--variant", "v", "--conversion", "y") == (
        f'{path}: --control is missing; name one of the variants in column "v": "A", "B"'
    )


def test_a_control_that_is_not_there(run, file):
    path = file("data.csv", GOOD.replace(b",A,", b", A,"))
    assert refused(run, path) == f'{path}: column "v" has no variant "A" (--control); it has: " A", "B"'


def test_one_variant_alone(run, file):
    path = file("data.csv", b"u,v,y\n1,A,1\n2,A,0\n")
    assert refused(run, path) == (
        f'{path}: column "v" has the one variant "A"; a comparison needs another one beside the control'
    )


def test_no_variant_at_all(run, file):
    path = file("data.csv", b"u,v,y\n1,,1\n2,,0\n")
    assert refused(run, path) == f'{path}: column "v" has no variant "A" (--control); it has: none'


def test_every_unit_in_two_variants(run, file):
    path = file("data.csv", b"u,v,y\n1,A,1\n1,B,0\n2,A,1\n2,B,0\n")
    assert refused(run, path).startswith(f"{path}: every unit was seen in several variants")


def test_a_column_that_is_not_of_variants(run, file):
    path = file("data.csv", long_file(1, b"1,A,1"))
    assert refused(run, path, "--variant", "u", "--control", "1", "--conversion", "y").startswith(
        f'{path}: column "u" has more than 64 values ("1", "10", "100", '
    )


def test_a_segment_with_too_many_values(run, file):
    path = file("data.csv", long_file(1, b"1,A,1"))
    assert refused(run, path, *OPTIONS[2:], "--segment", "u") == (
        f'{path}: column "u" has more than 200 values (--segment); group them into fewer first'
    )


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mean", "y", "--mean", "y"), '--mean y: metric "y" is named twice; name it once'),
        (("--mean", "y", "--revenue", "y"), '--revenue y: metric "y" is named twice; name it once'),
        (("--ratio", "y"), "--ratio y: write NUMERATOR/DENOMINATOR, as in clicks/views"),
        (("--quantile", "y"), f"--quantile y: {WRITE_QUANTILE}"),
        (("--quantile", "y@1"), f"--quantile y@1: {WRITE_QUANTILE}"),
        (("--quantile", "y@90%"), f"--quantile y@90%: {WRITE_QUANTILE}"),
        (("--mean", "y", "--alpha", "0"), f"--alpha: 0 {BETWEEN}"),
        (("--mean", "y", "--alpha", "1"), f"--alpha: 1 {BETWEEN}"),
        (("--mean", "y", "--alpha", "1e-320"), f"--alpha: 9.99989e-321 {BETWEEN}"),
        (("--mean", "y", "--alpha", "nan"), f"--alpha: nan {BETWEEN}"),
    ],
)
def test_an_option_that_says_nothing_sensible(run, file, options, said):
    path = file("data.csv", GOOD)
    assert refused(run, path, "--variant", "v", "--control", "A", *options) == said


@pytest.mark.parametrize(
    ("covariates", "said"),
    [
        (("u",), "--covariate u: write METRIC=COLUMN, as in spent=history"),
        (("x=u",), '--covariate x=u: "x" is not among the metrics asked for; known: y, y@0.5'),
        (("y=u", "y=u"), '--covariate y=u: metric "y" already has covariate "u"; name it once'),
        (("y@0.5=u",), "--covariate y@0.5=u: a quantile has no covariate; leave it out"),
        (
            ("y=y",),
            "--covariate y=y: a metric can't be its own covariate; name what was measured before exposure",
        ),
    ],
)
def test_a_covariate_that_can_not_be(run, file, covariates, said):
    options = ["--variant", "v", "--control", "A", "--mean", "y", "--quantile", "y@0.5"]
    for text in covariates:
        options += ["--covariate", text]
    assert refused(run, file("data.csv", GOOD), *options) == said


def test_no_metric(run, file):
    assert refused(run, file("data.csv", GOOD), "--variant", "v", "--control", "A") == (
        "no metric was asked for; name at least one column with --conversion, --mean, --revenue, --ratio or "
        "--quantile"
    )


def test_no_variant(run, file):
    assert refused(run, file("data.csv", GOOD), "--mean", "y") == (
        "--variant is missing; name the column that says which variant a row belongs to, or say with "
        "--moments that the file has aggregates"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--variant", "v", "--alpha", "small"), "Invalid value for '--alpha'"),
        (("--variant", "v", "--horizon", "sequential"), "Invalid value for '--horizon'"),
        (("--variant", "v", "--median", "y"), "No such option: --median"),
        (("--variant",), "Option '--variant' requires an argument"),
    ],
)
def test_a_command_line_that_is_malformed(run, file, options, said):
    done = run(file("data.csv", GOOD), *options, output=())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"tenbin: {said}")
    assert done.err.endswith("; `tenbin analyze --help` shows what is allowed\n")
    assert done.err.count("\n") == 1
