"""Too little disk or memory while metrics are computed: a sentence, and the same moments afterwards."""

import os
import shutil
import subprocess

import pytest

from benchmarks.reference import shop as reference
from benchmarks.reference.world import ALL_UNITS, World, generate
from tenbin.failures import sentence_of

WORLD = World(events=40_000, units=8_000, days=4, before=1, experiments=1)
KEYS = (ALL_UNITS, *WORLD.keys)
AS_OF = WORLD.day(WORLD.days)
DISK_BYTES = 48 << 20
STEPS = 4


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """A workspace whose lake has what ingestion brought."""
    root = tmp_path_factory.mktemp("analysis")
    generate(WORLD, root / "plain")
    reference.write_definitions(WORLD, root / "shop", "500MB", 2)
    reference.arrive(root / "plain", root / "shop", WORLD.all_days)
    return root / "shop"


@pytest.fixture(scope="module")
def undisturbed(ingested, tmp_path_factory):
    """The moments when nothing happens, and the bytes that this takes on a disk."""
    root = shutil.copytree(ingested, tmp_path_factory.mktemp("undisturbed") / "shop")
    before = _bytes(root)
    reference.compute(root, KEYS, AS_OF)
    return reference.read(root, KEYS, AS_OF), _bytes(root) - before


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: a disk that is really full needs the right to mount a tmpfs (root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("step", range(STEPS))
def test_a_full_disk_is_one_sentence_and_with_space_the_moments_are_the_same(
    ingested, undisturbed, disk, step
):
    """There is space for nothing, for a quarter, for half and for three quarters of what is written."""
    expected, growth = undisturbed
    root = shutil.copytree(ingested, disk / "shop")
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - step * growth // STEPS))
    with pytest.raises(Exception, match=r".") as caught:
        reference.compute(root, KEYS, AS_OF)
    said = sentence_of(caught.value)
    assert said is not None
    assert "the disk" in said
    assert "run again" in said
    ballast.unlink()
    reference.compute(root, KEYS, AS_OF)
    assert reference.read(root, KEYS, AS_OF) == expected
    assert list((root / "lake" / ".scratch").iterdir()) == []


@pytest.mark.slow
def test_too_little_memory_is_one_sentence_and_with_more_the_moments_are_the_same(
    ingested, undisturbed, tmp_path
):
    expected, _ = undisturbed
    root = shutil.copytree(ingested, tmp_path / "shop")
    reference.write_definitions(WORLD, root, "1MB", 2)
    with pytest.raises(Exception, match=r".") as caught:
        reference.compute(root, KEYS, AS_OF)
    said = sentence_of(caught.value)
    assert said is not None
    assert "memory_limit in tenbin.toml" in said
    reference.write_definitions(WORLD, root, "500MB", 2)
    reference.compute(root, KEYS, AS_OF)
    assert reference.read(root, KEYS, AS_OF) == expected
    assert list((root / "lake" / ".scratch").iterdir()) == []


def _bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
