"""Aggregates of no data, options that they can't answer: one sentence with row and column, exit code 2."""

import pytest

BASE = "metric,variant,n,mean,variance"
A, B = ("m", "A", 100, 1.0, 2.0), ("m", "B", 110, 1.9, 2.1)
LISTS = "metric,variant,n,kind,means,covariances"


@pytest.fixture
def refused(run, table):
    """The sentence after the file's name."""

    def call(header: str, *rows: tuple, options: tuple = ()) -> str:
        path = table(header, rows)
        done = run(path, "--moments", *options)
        assert (done.code, done.out) == (2, ""), done.out + done.err
        assert done.err.count("\n") == 1
        return done.err.removeprefix(f"tenbin: {path}: ").removeprefix("tenbin: ").removesuffix("\n")

    return call


def at(row: int, column: str, said: str) -> str:
    return f'row {row} (header not counted), column "{column}": {said}'


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (-3, "-3 is no whole number from 0 on"),
        (99.5, "99.5 is no whole number from 0 on"),
        ("many", "'many' is no finite number; write one with a decimal point"),
        ("1_000", "'1_000' is no finite number; write one with a decimal point"),
        ("1e300", "1e300 is no whole number from 0 on"),
        (None, "is empty; write how many units the row is about"),
    ],
)
def test_units(refused, n, said):
    assert refused(BASE, A, ("m", "B", n, 1.9, 2.1)) == at(2, "n", said)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("mean", "high", "'high' is no finite number; write one with a decimal point"),
        ("mean", "nan", "'nan' is no finite number; write one with a decimal point"),
        ("mean", None, 'is empty; "variance" alone says too little'),
        ("variance", -0.1, "-0.1 is below 0"),
        ("metric", None, "is empty; every row needs it"),
        ("variant", None, "is empty; every row needs it"),
    ],
)
def test_cells(refused, column, value, said):
    row = [value if name == column else cell for name, cell in zip(BASE.split(","), B, strict=True)]
    assert refused(BASE, A, tuple(row)) == at(2, column, said)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("segment", "JP", '"JP" is no segment; write dimension=value, as in country=JP'),
        ("segment", "=JP", '"=JP" is no segment; write dimension=value, as in country=JP'),
        ("as_of", "31.1.2026", '"31.1.2026" is no day; write one like 2026-01-31'),
        ("iteration", 0, "0 is no whole number from 1 on"),
        ("clipped", 111, "111 units of 110 can't have been capped"),
        ("kind", "median", '"median" is none of proportion, mean, ratio'),
        ("kind", "ratio", "states 1 means, but a ratio has two columns before its 0 covariates"),
        ("kind", "proportion", "1.9 is no share of units; one is from 0 to 1"),
        ("role", "main", '"main" is none of primary, secondary, guardrail, quality'),
        ("direction", "up", '"up" is none of increase, decrease'),
        ("margin", 1.5, "1.5 is no share; write a number from 0 to below 1, as in 0.02"),
        ("equivalence", -0.1, "-0.1 is no share; write a number from 0 to below 1, as in 0.02"),
        ("clustered", "maybe", '"maybe" is neither true nor false'),
        ("ratio_covariate", "true", "is true, but only a ratio with two covariates or more has a pair"),
        ("covariates", 1, "states 1 means, but a mean has one column before its 1 covariates"),
        ("std", 1.2, 'is stated beside "mean" and "variance"; state the moments in one way'),
        ("successes", 12, 'is stated beside "mean" and "variance"; state the moments in one way'),
    ],
)
def test_further_columns(refused, column, value, said):
    shown = "mean" if "states" in said or "no share of units" in said else column
    assert refused(f"{BASE},{column}", (*A, None), (*B, value)) == at(2, shown, said)


@pytest.mark.parametrize(
    ("means", "covariances", "column", "said"),
    [
        ("[1, 2]", "[1, 0, 0]", "covariances",
         "has 3 numbers, but 2 means have 2 x 2 covariances; write the whole matrix, row by row"),
        ("[1, 2]", "[1, 0.5, 0.4, 1]", "covariances",
         "is not symmetric: covariance i, j must be covariance j, i"),
        ("[1, 2]", "[1, 1.1, 1.1, 1]", "covariances",
         "is no matrix of covariances of any numbers: it is not positive semi-definite"),
        ("[1, 2, 3]", "[1, 0.9, -0.9, 0.9, 1, 0.9, -0.9, 0.9, 1]", "covariances",
         "is no matrix of covariances of any numbers: it is not positive semi-definite"),
        ("[1, 2]", "[-1, 0, 0, 1]", "covariances", "has a negative variance on its diagonal"),
        ("[1, null]", "[1, 0, 0, 1]", "means",
         "null is no finite number; a list holds numbers, as in [0.1, 2.3]"),
        ("[1, NaN]", "[1, 0, 0, 1]", "means",
         '"NaN" is no finite number; a list holds numbers, as in [0.1, 2.3]'),
        ("[]", "[]", "means", "an empty list is no finite number; a list holds numbers, as in [0.1, 2.3]"),
        ("1;2", "[1, 0, 0, 1]", "means", "'1;2' is no list of numbers; write one like [0.1, 2.3]"),
        ("[1, 2]", None, "covariances", 'is empty; "means" alone says too little'),
    ],
)  # fmt: skip
def test_lists(refused, means, covariances, column, said):
    good = ("r", "A", 100, "ratio", "[1, 2]", "[1, 0, 0, 1]")
    assert refused(LISTS, good, ("r", "B", 90, "ratio", means, covariances)) == at(2, column, said)


def test_a_list_of_several_says_what_it_is(refused):
    assert refused(LISTS, ("r", "A", 9, None, "[1, 2]", "[1, 0, 0, 1]")) == at(
        1, "means",
        "states 2 means; a column kind (proportion, mean, ratio) or covariates has to say of what",
    )  # fmt: skip


def test_conversions_above_n(refused):
    assert refused("metric,variant,n,successes", ("m", "A", 10, 3), ("m", "B", 10, 11)) == at(
        2, "successes", "11 units of 10 can't have converted; n counts them all"
    )


def test_sums_of_no_numbers(refused):
    header = "metric,variant,n,sum,sum_squares"
    assert refused(header, ("m", "A", 10, 20, 39.9)) == at(
        1, "sum_squares",
        "is below sum^2 / n, as of no numbers: digits were lost while adding up; state mean and variance",
    )  # fmt: skip


def test_a_mean_that_nothing_can_be_compared_with(refused):
    assert refused("metric,variant,n,mean", ("m", "A", 10, 2)) == at(
        1, "mean", 'has no "variance" and no "std" beside it; without one nothing can be compared'
    )
    assert refused("metric,variant,n", ("m", "A", 10)) == at(
        1, "n", "counts 10 units, but no column of the row says their mean"
    )


def test_columns_that_must_be_there(refused):
    assert refused("metric,arm,n,mean,variance", A) == (
        'there is no column "variant"; aggregates have one (metric, variant, n); known: arm'
    )  # fmt: skip
    assert refused(f"{BASE},n", (*A, 1)) == 'there are 2 columns named "n"; rename all but one'


def test_rows_that_contradict_each_other(refused):
    assert refused(BASE, A, B, ("m", "A", 5, 1, 1)) == (
        'row 3 (header not counted): metric "m" in variant "A" was stated in row 1 already; state it once'
    )
    assert refused(f"{BASE},kind", (*A, "proportion"), (*B, None)) == (
        'row 2 (header not counted): metric "m" has kind mean here, but proportion in row 1; say the same in '
        "all of its rows"
    )
    assert refused(f"{BASE},units", (*A, 100), (*B, 110), ("k", "A", 90, 1, 1, 101)) == (
        'row 3 (header not counted): variant "A" has units 101 here, but 100 in row 1; say the same in '
        "all of its rows"
    )
    assert refused(f"{BASE},phase", (*A, 1), (*B, 2)) == at(
        2, "phase",
        "is 2, but row 1 of the experiment is of phase 1; phases with different weights are never pooled: "
        "give each an experiment of its own",
    )  # fmt: skip
    assert refused(f"{BASE},as_of", (*A, "2026-01-01"), (*B, None)) == at(
        2, "as_of", "is empty, but other rows of the experiment have a day; write one in each"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--control", "C"), 'experiment "data.csv" has no variant "C" (--control); it has: "B", "A"'),
        (("--weights", "A=1,C=1"), '--weights A=1,C=1: PATH has no variant "C"; known: A, B'),
        (("--mean", "k"), '--mean k: "k" is not among the metrics asked for; known: m'),
        (("--conversion", "m"), at(1, "mean", "1.9 is no share of units; one is from 0 to 1")),
        (("--unit", "u"), "--unit is about a file of units; with --moments the file's own columns say it"),
        (("--segment", "u"),
         "--segment is about a file of units; with --moments the file's own columns say it"),
        (("--covariate", "m=x"),
         "--covariate is about a file of units; with --moments the file's own columns say it"),
        (("--quantile", "m@0.5"),
         "--quantile needs the values of units; aggregates have means and covariances"),
        (("--method", "bootstrap"),
         "--method bootstrap reads single units; aggregates have means and covariances alone"),
        (("--adjustment", "lin_hc2"),
         "--adjustment lin_hc2 reads single units; aggregates have means and covariances alone"),
        (("--clusters", "cr2"),
         "--clusters cr2 reads single units; aggregates have means and covariances alone"),
        (("--strata", "country"), "--strata country: no segment has this dimension; there are: none"),
        (("--alpha", "2"), "--alpha: 2 must lie between 1e-12 and 0.5, as in 0.05"),
        (("--looks", "10"), "--looks 10 is about looks; it needs --horizon group_sequential"),
    ],
)  # fmt: skip
def test_options(refused, options, said, tmp_path):
    found = refused(BASE, B, ("m", "A", 100, 1.0, 2.0), options=options)
    assert found == said.replace("PATH", str(tmp_path / "data.csv"))


def test_a_kind_that_the_command_line_says_otherwise(refused):
    assert refused(f"{BASE},kind", (*A, "mean"), options=("--ratio", "m")) == at(
        1, "kind", 'is "mean", but the command line says ratio; leave one of them out'
    )


def test_one_variant(refused):
    assert refused(BASE, A) == (
        'experiment "data.csv" has the one variant "A"; a comparison needs another one beside the control'
    )


def test_a_page_has_room_for_one_experiment(run, table, tmp_path):
    path = table(f"experiment,{BASE}", [(key, *row) for key in "xy" for row in (A, B)])
    done = run(path, "--moments", "--report", tmp_path / "out.html")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"tenbin: --report writes the page of one experiment, and {path} has 2; keep the rows of one of them "
        "in a file\n"
    )
    assert not (tmp_path / "out.html").exists()


def test_the_row_of_json_is_a_line(run, tmp_path):
    path = tmp_path / "data.ndjson"
    path.write_text(
        '{"metric": "m", "variant": "A", "n": 3, "mean": 1, "variance": "wide"}\n', encoding="utf-8"
    )
    done = run(path, "--moments")
    assert done.err == (
        f"tenbin: {path}: row 1, column \"variance\": 'wide' is no finite number; write one with a decimal "
        "point\n"
    )
