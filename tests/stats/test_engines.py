"""Every number of every engine in the vectors: made again to its last digits, or explained in the table."""

import pytest

from tests.stats import engines
from tests.stats.conftest import VECTORS, cases
from tests.stats.differences import DIFFERENCES
from tests.support import ROOT

pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="../shared/stats-vectors is not there")


def test_every_case_of_every_file_is_counted():
    """No case has only numbers that are left out of the accounts."""
    seen = {(leaf.family, leaf.case["id"]) for leaf in engines.leaves()}
    families = {path.stem for path in VECTORS.glob("*.json")} - {"reference_numbers"}
    assert seen == {(family, case["id"]) for family in families for case in cases(family)}


def test_every_number_agrees_or_is_explained():
    left = [leaf.where for leaf in engines.unexplained()]
    assert not left, f"{len(left)} numbers are neither ours nor explained, the first: {left[:5]}"


@pytest.mark.parametrize("one", DIFFERENCES, ids=lambda one: one.name)
def test_every_explanation_is_of_something(one):
    assert engines.explained()[one.name]


def test_no_explanation_hides_that_most_agrees():
    """Two numbers in three are the same digits; the others are sentinels, other procedures, other scales."""
    found = engines.leaves()
    assert sum(leaf.agrees for leaf in found) > 0.65 * len(found)


def test_the_page_is_what_the_vectors_say():
    page = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    assert engines.counts() in page, (
        "run python -m tests.stats.engines and put its tables into docs/engines.md"
    )
    assert engines.table() in page, (
        "run python -m tests.stats.engines and put its tables into docs/engines.md"
    )
