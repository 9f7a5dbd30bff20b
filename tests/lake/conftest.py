"""A workspace in a folder whose name has a space and other scripts in it."""

import pytest

from tests.lake.support import Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "wörk space 対照群")
