"""Workspaces that were really run, once per session and process."""

import json
from pathlib import Path

import pytest

from tests.support import globox_workspace, tenbin


@pytest.fixture(scope="session")
def globox(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The GloBox workspace after `tenbin run --json`, and what it printed."""
    root = globox_workspace(tmp_path_factory.mktemp("globox") / "ワークスペース globox")
    return root, json.loads(tenbin("run", str(root), "--json").stdout)
