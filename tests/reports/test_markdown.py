"""Markdown under snapshot: `TENBIN_UPDATE_GOLDEN=1 pytest tests/reports` writes it anew, for review."""

import os
from pathlib import Path

import pytest

from reports.markdown import escape, to_markdown
from reports.page import build_page
from tests.reports import sample

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    "build", [sample.winner, sample.broken_split, sample.withheld, sample.looked_at, sample.statuses]
)
def test_markdown_is_as_reviewed(build):
    path = GOLDEN / f"{build.__name__}.md"
    text = to_markdown(build_page(build()))
    if os.environ.get("TENBIN_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_text_cannot_break_out_of_a_cell():
    assert escape("a | b\n<img> [x](y) `c` *d*") == r"a \| b \<img\> \[x\](y) \`c\` \*d\*"
