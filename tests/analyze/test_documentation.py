"""The page about `tenbin analyze` shows what the real command prints."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "analyze.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```console\n\$ tenbin analyze ((?:.*\\\n)*.*)\n((?:.*\n)*?)```", PAGE)


@pytest.fixture
def orders(tmp_path: Path, monkeypatch) -> Path:
    """The files of the examples, in the working directory of a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name, content in re.findall(r"`(\w+\.csv)`[^`]*```csv\n(.*?)```", PAGE, re.DOTALL):
        Path(name).write_text(content, encoding="utf-8")
    return Path("orders.csv")


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_what_the_page_shows_is_what_is_printed(run, command, shown):
    file, *options = shlex.split(command.replace("\\\n", ""))
    done = run(Path(file), *options, output=())
    assert [line.rstrip() for line in (done.out + done.err).splitlines()] == shown.splitlines()


def test_there_are_examples():
    assert len(EXAMPLES) == 5


def test_the_json_of_the_page_is_that_of_the_example(run, orders):
    _, *options = shlex.split(EXAMPLES[0][0].replace("\\\n", ""))
    found = run(orders, *options).json
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    assert shown == found | {"results": [], "findings": []}
