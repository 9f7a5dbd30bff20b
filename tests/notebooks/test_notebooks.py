"""Every notebook runs, on a workspace that was really run, and its own assertions hold."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_runs_and_agrees_with_the_report(
    path: Path, globox: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TENBIN_WORKSPACE", str(globox[0]))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    printed = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("agrees" in text for text in printed)
