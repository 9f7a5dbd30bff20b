"""Rows become units: several rows of one, units in two variants, rows without a variant, missing values."""

import pytest


def test_without_unit_every_row_is_one(analyze, table):
    found = analyze(table("v,y", [("A", 1), ("A", 0), ("B", 1), ("B", 0), ("B", 0)]), "--conversion", "y")
    assert found.json["units"] == {"rows": 5, "units": 5, "mixed_variant": 0, "null_variant": 0}
    row = found.row("y")
    assert (row["n_baseline"], row["n_variant"]) == (2, 3)
    assert (row["mean_baseline"], row["mean_variant"]) == pytest.approx((1 / 2, 1 / 3))


def test_several_rows_of_a_unit_are_brought_to_one(analyze, table):
    """Conversion: any of its rows; mean and revenue: their sum."""
    path = table(
        "u,v,bought,visits,spent",
        [
            (1, "A", 0, 2, 1.5),
            (2, "A", 0, 1, None),
            (1, "A", 1, 3, 2.25),
            (3, "B", 1, 4, 0),
            (4, "B", 0, 6, 8),
            (3, "B", 1, 5, 1),
        ],
    )
    found = analyze(path, "--unit", "u", "--conversion", "bought", "--mean", "visits", "--revenue", "spent")
    assert found.json["units"]["units"] == 4
    means = {
        name: (found.row(name)["mean_baseline"], found.row(name)["mean_variant"])
        for name in ("bought", "visits", "spent")
    }
    assert means == {"bought": (1 / 2, 1 / 2), "visits": (3.0, 7.5), "spent": (1.875, 4.5)}


def test_a_unit_in_two_variants_is_excluded_and_counted(analyze, table):
    """Never first-wins: unit 1 began in A, and counts in neither arm."""
    rows = [(1, "A", 9), (1, "B", 9), (2, "A", 1), (3, "A", 3), (4, "B", 5), (5, "B", 7)]
    found = analyze(table("u,v,y", rows), "--unit", "u", "--mean", "y")
    assert found.json["units"] == {"rows": 6, "units": 4, "mixed_variant": 1, "null_variant": 0}
    assert found.json["srm"]["observed"] == {"A": 2, "B": 2}
    assert (found.row("y")["mean_baseline"], found.row("y")["mean_variant"]) == (2.0, 6.0)


@pytest.mark.parametrize(("mixed", "code"), [(10, 0), (11, 1)])
def test_many_units_in_two_variants_are_found_wrong(analyze, table, mixed, code):
    """Above one in a hundred, as in the pipeline: those who stay may differ from those who were left out."""
    from metrics.checks import LEFT_OUT_FAIL
    from tenbin.analyze import answer

    assert answer.LEFT_OUT_FAIL == LEFT_OUT_FAIL == 0.01
    rows = [(n, "AB"[n % 2], n % 3) for n in range(1_000)] + [(n, "BA"[n % 2], 0) for n in range(mixed)]
    found = analyze(table("u,v,y", rows), "--unit", "u", "--mean", "y")
    assert found.json["units"]["mixed_variant"] == mixed
    assert found.code == code


def test_rows_without_a_variant_are_counted_apart(analyze, table):
    """They do not take their unit out of its arm."""
    rows = [(1, "A", 1), (1, None, 5), (2, "A", 2), (3, "B", 3), (4, "B", 4), (5, None, 6)]
    found = analyze(table("u,v,y", rows), "--unit", "u", "--mean", "y")
    assert found.json["units"] == {"rows": 6, "units": 4, "mixed_variant": 0, "null_variant": 2}
    assert found.row("y")["mean_baseline"] == 1.5


def test_rows_without_a_unit_are_left_out_and_said(analyze, table):
    rows = [(1, "A", 1), (None, "A", 50), (2, "A", 2), (3, "B", 3), (4, "B", 4)]
    found = analyze(table("u,v,y", rows), "--unit", "u", "--mean", "y")
    assert found.json["units"]["units"] == 4
    assert found.row("y")["mean_baseline"] == 1.5
    assert "1 row without a unit left out." in found.json["warnings"]


def test_a_missing_value_counts_as_nothing_happened(analyze, table):
    rows = [("A", 1, 2), ("A", None, None), ("B", None, 4), ("B", 1, 8)]
    found = analyze(table("v,y,m", rows), "--conversion", "y", "--mean", "m")
    assert (found.row("y")["mean_baseline"], found.row("m")["mean_baseline"]) == (0.5, 1.0)
    assert found.json["warnings"][:2] == [
        '2 units without a value in column "y" counted as 0.',
        '1 unit without a value in column "m" counted as 0.',
    ]


def test_a_value_missing_in_one_row_of_a_unit_is_no_missing_unit(analyze, table):
    rows = [(1, "A", 1), (1, "A", None), (2, "A", 5), (3, "B", 3), (4, "B", 4)]
    found = analyze(table("u,v,y", rows), "--unit", "u", "--mean", "y")
    assert found.row("y")["mean_baseline"] == 3.0
    assert not any("without a value" in warning for warning in found.json["warnings"])


def test_units_are_told_apart_exactly(analyze, table):
    """As text: no folding of case, no trimming, no number that loses its last digits, no normalisation."""
    units = ["a", "A", " a", "1", "01", "1.0", "12345678901234567890", "12345678901234567891", "é", "e\u0301"]
    rows = [(unit, "AB"[place % 2], place) for place, unit in enumerate(units)]
    found = analyze(table("u,v,y", rows), "--unit", "u", "--mean", "y")
    assert found.json["units"]["units"] == len(units)


def test_a_changing_covariate_is_refused(run, table):
    rows = [(1, "A", 1, 5), (2, "B", 2, 7), (2, "B", 2, None), (2, "B", 2, 8)]
    path = table("u,v,y,before", rows)
    done = run(
        path, "--variant", "v", "--control", "A", "--unit", "u", "--mean", "y", "--covariate", "y=before"
    )
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f'tenbin: {path}: row 4 (header not counted), column "before": 8, but an earlier row of its unit has '
        "7; a covariate is one number per unit\n"
    )


def test_a_covariate_in_one_row_of_a_unit_is_enough(analyze, table):
    """A missing cell is no other value."""
    values = [(n, "AB"[n % 2], n % 7, n % 5) for n in range(200)]
    once = [(u, v, y, x) for u, v, y, x in values] + [(u, v, 0, None) for u, v, _, _ in values]
    options = ("--unit", "u", "--mean", "y", "--covariate", "y=x")
    several = analyze(table("u,v,y,x", once), *options)
    single = analyze(table("u,v,y,x", values, "single.csv"), *options)
    assert several.row("y")["std_error"] == single.row("y")["std_error"]
    assert several.row("y")["method"] == "cuped"
