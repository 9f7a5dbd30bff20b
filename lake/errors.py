"""The lake's errors, and what those of the libraries below mean."""

import shutil
from pathlib import Path

from workspace import UserError

_MEANINGS = {
    "No space left on device": "the disk is full",
    "Disk quota exceeded": "the disk quota is used up",
    "File too large": "the file would be larger than is allowed here",
    "Read-only file system": "the file system is read-only",
    "Permission denied": "permission denied",
    "failed to offload": "the disk has no room for what does not fit into memory",
}
_FULL_BYTES = 64 << 10


class LakeError(UserError):
    """A landing file, a source or the lake itself can't be used as it is."""


def meaning(reason: BaseException, folder: Path) -> str:
    """What went wrong with reading or writing in `folder`, in a few words."""
    for words, said in _MEANINGS.items():
        if words in str(reason):
            return said
    return "the disk is full" if _is_full(folder) else first_line(reason)


def first_line(reason: BaseException) -> str:
    """What a library says of an error, short enough for a sentence."""
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0][:300]


def _is_full(folder: Path) -> bool:
    """Not every library passes on what the system said."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free < _FULL_BYTES
