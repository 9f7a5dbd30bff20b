"""A disk that fills up for real: one sentence, exit code 2, nothing half-written; with space all is well."""

import json
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults import processes
from tests.support import globox_workspace, tenbin

FULL = "TENBIN_TEST_FULL" in os.environ
DISK_BYTES = 16 << 20
STEPS = 60 if FULL else 4


@pytest.fixture
def mount():
    """Makes a folder a small file system of its own."""
    mounted = []

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("NOT TESTED: a disk that is really full needs the right to mount a tmpfs (root)")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("step", range(STEPS))
def test_a_full_disk_is_one_sentence_and_with_space_all_is_well(case, tmp_path, mount, step):
    """There is space for nothing, for a little, for ever more, and at last for nearly all that is written."""
    disk = mount(tmp_path / "disk")
    shop = case.copy(disk / "店")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - step * case.growth // STEPS))
    code, said = processes.run(processes.ingest, shop.root)
    assert code == 2
    assert said.startswith(f"{shop.root / 'lake'}")
    assert "the disk is full" in said
    assert "\n" not in said
    ballast.unlink()
    assert processes.run(processes.ingest, shop.root).code == 0
    case.check(shop)


@pytest.mark.slow
@pytest.mark.parametrize("free_kb", [0, 200, 3_000], ids=["at once", "in ingestion", "in the analysis"])
def test_the_command_ends_with_that_sentence_and_code_2(tmp_path, mount, free_kb):
    root = globox_workspace(tmp_path / "globox")
    command = ("run", str(root), "--to", "2023-01-27", "--json")
    disk = mount(root / "lake")
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - free_kb * 1024))
    ended = tenbin(*command, check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    [sentence] = [line for line in ended.stderr.splitlines() if line.startswith("tenbin: ")]
    assert f"{root / 'lake'}" in sentence
    assert "the disk is full; free space there" in sentence
    (disk / "ballast").unlink()
    assert json.loads(tenbin(*command).stdout)["experiments"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 100, 1_000, 2_000, 3_000, 4_000] if FULL else [100, 3_000])
def test_a_limit_on_the_size_of_files_is_one_sentence_too(case, tmp_path, limit):
    shop = case.copy(tmp_path / "店")
    code, said = processes.run(_ingest_with_small_files, shop.root, limit)
    assert code == 2
    assert said.startswith(f"{shop.root / 'lake'}")
    assert "the file would be larger than is allowed here" in said
    assert processes.run(processes.ingest, shop.root).code == 0
    case.check(shop)


def _ingest_with_small_files(root: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    processes.ingest(root)
