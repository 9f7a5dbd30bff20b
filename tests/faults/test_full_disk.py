"""A disk that fills up for real: one sentence, exit code 2, nothing half-written; with space all is well."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults import processes

FULL = "TENBIN_TEST_FULL" in os.environ
DISK_BYTES = 16 << 20
STEPS = 60 if FULL else 8


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: a disk that is really full needs the right to mount a tmpfs (root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("step", range(STEPS))
def test_a_full_disk_is_one_sentence_and_with_space_all_is_well(case, disk, step):
    """There is space for nothing, for a little, for ever more, and at last for nearly all that is written."""
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
@pytest.mark.parametrize("limit", [0, 100, 1_000, 2_000, 3_000, 4_000])
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
